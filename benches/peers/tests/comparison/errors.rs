//! Who runs, and who is told, when the work fails while others wait for it.

use crate::contestants::{
    Answer, CachedByKey, CachedPlain, CachedWhole, Contestant, FlightGroup, Moka, OnceMap, QuickCache,
};
use crate::support::{Alone, Held, facts, quiet};
use flight_group::Group;
use std::sync::Arc;
use std::thread::spawn;

const WAITERS: usize = 8;

facts! {
    shared_flight_group: shared::<FlightGroup> => "1 run; 9 callers: down";
    shared_flight_group_each_its_own: || failing(Arc::new(FlightGroup(Group::builder().share_failures(false).build())))
        => "9 runs, one after the other; 9 callers: down";
    shared_moka: shared::<Moka> => "1 run; 9 callers: down";
    shared_quick_cache: shared::<QuickCache> => "9 runs, one after the other; 9 callers: down";
    shared_once_map: shared::<OnceMap> => "9 runs, one after the other; 9 callers: down";
    shared_cached_plain: shared::<CachedPlain> => "9 runs, 9 at a time; 9 callers: down";
    shared_cached_by_key: shared::<CachedByKey> => "9 runs, one after the other; 9 callers: down";
    shared_cached_whole: shared::<CachedWhole> => "9 runs, one after the other; 9 callers: down";
}

fn shared<P: Contestant>() -> String {
    failing(Arc::new(P::default()))
}

/// The work fails while eight others wait for it, whose own would fail too.
fn failing<P: Contestant>(peer: Arc<P>) -> String {
    let runs = Arc::new(Alone::default());
    let call = |stays: bool| {
        let (peer, runs) = (peer.clone(), runs.clone());
        move |stay: &dyn Fn()| -> Answer {
            peer.get(1, &|| {
                runs.run(|| {
                    if stays {
                        stay();
                    }
                    Err("down".to_owned())
                })
            })
        }
    };
    let leader = Held::start(call(true));
    // Whoever does not wait runs beside the leader, and stays until all are there.
    let beside = Arc::new(crate::support::Gate::default());
    let waiters: Vec<_> = (0..WAITERS)
        .map(|_| {
            let (call, beside) = (call(!waits::<P>()), beside.clone());
            spawn(move || call(&|| beside.pass()))
        })
        .collect();
    quiet();
    beside.open();
    let mut answers = vec![leader.release().unwrap()];
    answers.extend(waiters.into_iter().map(|waiter| waiter.join().unwrap()));
    let down = answers.iter().filter(|answer| **answer == Err("down".to_owned())).count();
    format!("{}; {down} callers: down", runs.told())
}

fn waits<P: Contestant>() -> bool {
    std::any::TypeId::of::<P>() != std::any::TypeId::of::<CachedPlain>()
}
