//! What a panic does: in the closure, to those who wait for it and to the key; and in a value's `Clone`.

use crate::contestants::{
    Answer, CachedByKey, CachedWhole, Contestant, FlightGroup, Moka, OnceMap, QuickCache, Singleflight,
};
use crate::support::{Alone, Held, facts, message, quiet, silent_panics, step};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::spawn;

facts! {
    waiters_flight_group: waiters::<FlightGroup> => "1 run; 3 of 3 waiters: Err(Error::Panicked(boom))";
    waiters_singleflight: waiters::<Singleflight> => "hangs: the waiters of a call that panicked";
    waiters_moka: waiters::<Moka> => "2 runs, one after the other; 3 of 3 waiters: Ok(7)";
    waiters_quick_cache: waiters::<QuickCache> => "2 runs, one after the other; 3 of 3 waiters: Ok(7)";
    waiters_once_map: waiters::<OnceMap> => "2 runs, one after the other; 3 of 3 waiters: Ok(7)";
    waiters_cached_by_key: waiters::<CachedByKey> => "2 runs, one after the other; 3 of 3 waiters: Ok(7)";
    waiters_cached_whole: waiters::<CachedWhole> => "2 runs, one after the other; 3 of 3 waiters: Ok(7)";

    every_time_flight_group: every_time::<FlightGroup> => "1 run; 1 of 4 callers unwound";
    every_time_moka: every_time::<Moka> => "4 runs, one after the other; 4 of 4 callers unwound";
    every_time_quick_cache: every_time::<QuickCache> => "4 runs, one after the other; 4 of 4 callers unwound";
    every_time_once_map: every_time::<OnceMap> => "4 runs, one after the other; 4 of 4 callers unwound";
    every_time_cached_by_key: every_time::<CachedByKey> => "4 runs, one after the other; 4 of 4 callers unwound";
    every_time_cached_whole: every_time::<CachedWhole> => "4 runs, one after the other; 4 of 4 callers unwound";

    key_afterwards_flight_group: key_afterwards::<FlightGroup> => "unwinds with its own payload; then Ok(2)";
    key_afterwards_singleflight: key_afterwards::<Singleflight> => "hangs: the key's next call";
    key_afterwards_moka: key_afterwards::<Moka> => "unwinds with its own payload; then Ok(2)";
    key_afterwards_quick_cache: key_afterwards::<QuickCache> => "unwinds with its own payload; then Ok(2)";
    key_afterwards_once_map: key_afterwards::<OnceMap> => "unwinds with its own payload; then Ok(2)";
    key_afterwards_cached_by_key: key_afterwards::<CachedByKey> => "unwinds with its own payload; then Ok(2)";
    key_afterwards_cached_whole: key_afterwards::<CachedWhole> => "unwinds with its own payload; then Ok(2)";

    clone_flight_group: clone_in_flight_group => "the next call: works";
    clone_moka: clone_in_moka => "the next call: panics: Got unexpected state `Computing` after resolving `init` future. This might be a bug in Moka";
    clone_quick_cache: clone_in_quick_cache => "the next call: works";
}

/// The first call panics while three others wait, whose own closures would succeed.
fn waiters<P: Contestant>() -> String {
    silent_panics();
    let (peer, runs) = (Arc::new(P::default()), Arc::new(Alone::default()));
    let (leader, waiters) = panicking(&peer, &runs, || Ok(7));
    step("the waiters of a call that panicked");
    let payload = leader.release().unwrap_err();
    assert_eq!(message(&*payload), "boom", "the leader's own payload");
    let mut answers: Vec<String> = waiters.into_iter().map(|waiter| format!("{:?}", waiter.join().unwrap())).collect();
    answers.dedup();
    let [answer] = &answers[..] else { return format!("{}; the waiters differ: {answers:?}", runs.told()) };
    format!("{}; 3 of 3 waiters: {}", runs.told(), answer.replace('"', ""))
}

/// The first call panics while three others wait, whose own closures would panic too.
fn every_time<P: Contestant>() -> String {
    silent_panics();
    let (peer, runs) = (Arc::new(P::default()), Arc::new(Alone::default()));
    let (leader, waiters) = panicking(&peer, &runs, || panic!("boom"));
    let unwound = usize::from(leader.release().is_err())
        + waiters.into_iter().map(|waiter| usize::from(waiter.join().is_err())).sum::<usize>();
    format!("{}; {unwound} of 4 callers unwound", runs.told())
}

type Waiting = Vec<std::thread::JoinHandle<Answer>>;

fn panicking<P: Contestant>(peer: &Arc<P>, runs: &Arc<Alone>, theirs: fn() -> Answer) -> (Held<Answer>, Waiting) {
    let leader = Held::start({
        let (peer, runs) = (peer.clone(), runs.clone());
        move |stay| {
            peer.get(1, &|| {
                runs.run(|| {
                    stay();
                    panic!("boom")
                })
            })
        }
    });
    let waiters = (0..3)
        .map(|_| {
            let (peer, runs) = (peer.clone(), runs.clone());
            spawn(move || peer.get(1, &|| runs.run(theirs)))
        })
        .collect();
    quiet();
    (leader, waiters)
}

/// A call panics, with nobody else there; the key is asked for again.
fn key_afterwards<P: Contestant>() -> String {
    silent_panics();
    let peer = P::default();
    let payload = catch_unwind(AssertUnwindSafe(|| peer.get(1, &|| panic!("boom")))).unwrap_err();
    assert_eq!(message(&*payload), "boom");
    step("the key's next call");
    format!("unwinds with its own payload; then {:?}", peer.get(1, &|| Ok(2)))
}

/// A value whose first `Clone` panics.
#[derive(Debug)]
struct Grumpy(Arc<AtomicBool>);

impl Clone for Grumpy {
    fn clone(&self) -> Self {
        assert!(self.0.swap(true, SeqCst), "the first clone fails");
        Self(self.0.clone())
    }
}

/// Calls until a clone has panicked, then once more.
fn next_call(call: impl Fn(Grumpy)) -> String {
    silent_panics();
    let cloned = Arc::new(AtomicBool::new(false));
    let first = catch_unwind(AssertUnwindSafe(|| call(Grumpy(cloned.clone()))));
    assert!(first.is_err() && cloned.load(SeqCst), "its first clone was to panic");
    step("the next call");
    match catch_unwind(AssertUnwindSafe(|| call(Grumpy(cloned.clone())))) {
        Ok(()) => "the next call: works".to_owned(),
        Err(payload) => format!("the next call: panics: {}", message(&*payload)),
    }
}

/// A lone leader gets its value without a clone, so there is a follower, for whom it is made.
fn clone_in_flight_group() -> String {
    let group: flight_group::Group<u64, Grumpy> = flight_group::Group::new();
    next_call(|grumpy| {
        let leader = Held::start({
            let group = group.clone();
            move |stay| {
                group.work(&1, || {
                    stay();
                    grumpy
                })
            }
        });
        let follower = spawn({
            let group = group.clone();
            move || group.work(&1, || unreachable!("there is a flight"))
        });
        quiet();
        let (leader, follower) = (leader.release(), follower.join());
        assert!(leader.is_ok() && follower.is_ok(), "one of the two was told");
    })
}

fn clone_in_moka() -> String {
    let cache: moka::sync::Cache<u64, Grumpy> = moka::sync::Cache::new(10);
    next_call(|grumpy| drop(cache.get_with(1, || grumpy)))
}

fn clone_in_quick_cache() -> String {
    let cache: quick_cache::sync::Cache<u64, Grumpy> = quick_cache::sync::Cache::new(10);
    next_call(|grumpy| drop(cache.get_or_insert_with(&1, || Ok::<_, ()>(grumpy))))
}
