//! `load_many`: one caller's keys together, in as few batches as there can be.

use super::{Act, Gated};
use crate::support::{AGES, finish, until, within};
use flight_group::{Batcher, CancelToken, Error};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::Duration;

/// What the function was given, batch by batch.
type Seen = Arc<Mutex<Vec<Vec<u32>>>>;

fn tenfold(max_batch: Option<usize>) -> (Batcher<u32, u32>, Seen) {
    let seen = Seen::default();
    let given = seen.clone();
    let builder = Batcher::builder();
    let builder = match max_batch {
        Some(keys) => builder.max_batch(keys),
        None => builder,
    };
    let batcher = builder.build(move |keys: &[u32]| {
        given.lock().unwrap().push(keys.to_vec());
        Ok(keys.iter().filter(|key| **key != 404).map(|&key| (key, key * 10)).collect())
    });
    (batcher, seen)
}

#[test]
fn alone_it_is_one_batch_with_each_key_once() {
    let (batcher, seen) = tenfold(None);
    let found = batcher.load_many(&[3, 1, 404, 3, 2, 1]);
    assert_eq!(*seen.lock().unwrap(), [[3, 1, 404, 2]], "in the order in which they were first asked for");
    let expected = [(1, Ok(10)), (2, Ok(20)), (3, Ok(30)), (404, Err(Error::missing()))];
    assert_eq!(found, HashMap::from(expected));
    let stats = batcher.stats();
    assert_eq!((stats.loads, stats.batches, stats.keys, stats.missing, stats.shared), (4, 1, 4, 1, 0));
    assert!(batcher.load_many(&[]).is_empty());
    assert_eq!(batcher.call(&vec![5, 6]).load_many().len(), 2);
    assert_eq!(batcher.stats().batches, 2, "no key, no batch");
}

#[test]
fn max_batch_makes_as_few_batches_as_it_allows() {
    let (batcher, seen) = tenfold(Some(10));
    let keys: Vec<u32> = (0..35).collect();
    let found = batcher.load_many(&keys);
    assert!(keys.iter().all(|key| found[key] == Ok(key * 10)));
    let sizes: Vec<_> = seen.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 10, 5]);
    assert_eq!(seen.lock().unwrap().concat(), keys);
}

/// With a window: a full batch does not wait for it.
#[test]
fn a_window_does_not_hold_a_full_batch_back() {
    within(|| {
        let batcher: Batcher<u32, u32> = Batcher::builder()
            .window(AGES)
            .max_batch(3)
            .build(|keys: &[u32]| Ok(keys.iter().map(|&key| (key, key)).collect()));
        assert_eq!(batcher.load_many(&[1, 2, 3, 4, 5, 6]).len(), 6);
        assert_eq!(batcher.stats().sizes().collect::<Vec<_>>(), [(2..=3, 2)]);
    });
}

/// Behind a running batch: its keys share places with other callers', fill what room there is, and the rest goes on.
#[test]
fn it_shares_places_and_fills_the_room_there_is() {
    within(|| {
        let gated = Gated::with(|builder| builder.max_batch(4));
        let first = gated.spawn(1);
        gated.started();
        let (two, three) = (gated.queue(2), gated.queue(3));
        let many = {
            let batcher = gated.batcher.clone();
            spawn(move || batcher.load_many(&[3, 4, 5, 6, 7]))
        };
        until(|| gated.batcher.waiting() == 3);
        assert_eq!(gated.batcher.queued(), 4, "2 and 3, and room for 4 and 5");
        gated.tell(Act::Answer);
        assert_eq!(gated.started().0, [2, 3, 4, 5]);
        gated.tell(Act::AnswerBut(4));
        assert_eq!(gated.started().0, [6, 7]);
        gated.tell(Act::Fail("table is locked"));
        let found = finish(many);
        assert_eq!((finish(first), finish(two), finish(three)), (Ok(10), Ok(20), Ok(30)));
        assert_eq!((&found[&3], &found[&4], &found[&5]), (&Ok(30), &Err(Error::missing()), &Ok(50)));
        assert_eq!(
            (&found[&6], &found[&7]),
            (&Err(Error::Work("table is locked")), &Err(Error::Work("table is locked")))
        );
        let stats = gated.batcher.stats();
        assert_eq!((stats.loads, stats.batches, stats.keys, stats.shared, stats.failed), (8, 3, 7, 1, 1));
        assert_eq!((gated.batcher.waiting(), gated.batcher.queued()), (0, 0));
    });
}

/// A deadline, and a token: its keys are withdrawn, but for those that somebody else wants; and nobody else notices.
#[test]
fn who_leaves_takes_its_keys_along() {
    within(|| {
        for cancels in [false, true] {
            let gated = Gated::with(|builder| builder);
            let first = gated.spawn(1);
            gated.started();
            let two = gated.queue(2);
            let token = CancelToken::new();
            let found = if cancels {
                let (batcher, cancels) = (gated.batcher.clone(), token.clone());
                let many = spawn(move || batcher.call(&[2, 3, 4]).cancel(&cancels).load_many());
                until(|| gated.batcher.queued() == 3);
                token.cancel("gone");
                finish(many)
            } else {
                gated.batcher.call(&[2, 3, 4]).timeout(Duration::from_millis(1)).load_many()
            };
            assert_eq!(found.len(), 3);
            let told = |part: &Result<u32, Error<&str>>| {
                part.as_ref().is_err_and(|error| if cancels { error.is_cancelled() } else { error.is_timed_out() })
            };
            assert!(found.values().all(told), "{found:?}");
            assert_eq!((gated.batcher.queued(), gated.batcher.waiting()), (1, 1));
            assert_eq!(gated.batcher.stats().withdrawn, 2);
            gated.tell(Act::Answer);
            assert_eq!(gated.started().0, [2]);
            gated.tell(Act::Answer);
            assert_eq!((finish(first), finish(two)), (Ok(10), Ok(20)));
        }
    });
}

/// A batch that panics on another caller's thread fails the keys that were in it, and the rest goes on.
#[test]
fn a_panic_elsewhere_fails_the_keys_of_that_batch() {
    within(|| {
        let gated = Gated::with(|builder| builder.max_batch(2));
        let first = gated.spawn(1);
        gated.started();
        let many = {
            let batcher = gated.batcher.clone();
            spawn(move || batcher.load_many(&[2, 3]))
        };
        until(|| gated.batcher.waiting() == 1);
        let newer = gated.queue(3); // shares the batch, and is the newest: it leads
        gated.tell(Act::Answer);
        assert_eq!(gated.started().0, [2, 3]);
        gated.tell(Act::Panic("boom"));
        let found = finish(many);
        assert!(found.values().all(|part| part.as_ref().is_err_and(Error::is_panicked)), "{found:?}");
        assert!(newer.join().is_err());
        assert_eq!(finish(first), Ok(10));
    });
}

/// P7: from inside the function it is told, for every key.
#[test]
fn p7_from_within_its_own_function_it_is_told() {
    within(|| {
        let own: Arc<std::sync::OnceLock<Batcher<u32, u32>>> = Arc::default();
        let inside = own.clone();
        let batcher = Batcher::builder().max_batch(2).build(move |keys: &[u32]| {
            if keys == [1] {
                let found = inside.get().unwrap().load_many(&[2, 3, 4, 5, 6]);
                assert_eq!(found.len(), 5);
                assert!(found.values().all(|part| part.as_ref().is_err_and(Error::is_deadlock)));
            }
            Ok::<_, Infallible>(keys.iter().map(|&key| (key, key)).collect())
        });
        assert!(own.set(batcher.clone()).is_ok());
        assert_eq!(batcher.load(&1), Ok(1));
        assert_eq!((batcher.queued(), batcher.stats().deadlocks), (0, 5));
    });
}

/// An `Eq` that panics in the middle of many keys leaves the queue as it was.
#[test]
fn a_panic_in_eq_leaves_the_queue_as_it_was() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    static ARMED: AtomicBool = AtomicBool::new(false);
    #[derive(Clone, Debug)]
    struct Key(u32);
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            assert!(!ARMED.load(SeqCst) || self.0 != 3, "boom");
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    within(|| {
        let gate = crate::support::Gate::new();
        let opened = gate.clone();
        let batcher: Batcher<Key, u32> = Batcher::new(move |keys: &[Key]| {
            if keys.len() == 1 && keys[0].0 == 1 {
                opened.pass();
            }
            Ok(keys.iter().map(|key| (key.clone(), key.0)).collect())
        });
        let load = |key: u32| {
            let batcher = batcher.clone();
            spawn(move || batcher.load(&Key(key)))
        };
        let first = load(1);
        until(|| batcher.stats().batches == 1);
        let third = load(3);
        until(|| batcher.waiting() == 1);
        ARMED.store(true, SeqCst);
        let call = std::panic::AssertUnwindSafe(|| batcher.load_many(&[Key(2), Key(3), Key(4)]));
        assert!(std::panic::catch_unwind(call).is_err());
        ARMED.store(false, SeqCst);
        assert_eq!((batcher.queued(), batcher.waiting()), (1, 1));
        gate.open();
        assert_eq!((finish(first), finish(third)), (Ok(1), Ok(3)));
        assert_eq!(batcher.stats().keys, 2);
    });
}
