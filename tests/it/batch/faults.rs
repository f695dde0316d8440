//! Errors, absences, panics and calls that would wait for themselves.

use super::{Act, Gated, HANG};
use crate::support::{until, within};
use flight_group::{Batcher, Error};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::OnceLock;
use std::thread;

#[test]
fn an_error_reaches_every_caller_of_its_batch_and_no_other() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let queued = [2, 3, 2].map(|key| gated.queue(key));
        gated.tell(Act::Answer);
        gated.started();
        let third = gated.queue(4);
        gated.tell(Act::Fail("locked"));
        gated.tell(Act::Answer);
        assert_eq!(first.join().unwrap(), Ok(10));
        for thread in queued {
            assert_eq!(thread.join().unwrap(), Err(Error::Work("locked")));
        }
        assert_eq!(third.join().unwrap(), Ok(40));
        assert_eq!(gated.started().0, [4]);
        assert_eq!(gated.batcher.stats().failed, 1);
        gated.tell(Act::Fail("again"));
        assert_eq!(gated.batcher.load(&5), Err(Error::Work("again")), "a lone caller's, too");
        gated.started();
        gated.assert_idle();
    });
}

#[test]
fn a_key_that_the_function_forgot_is_missing_and_the_others_are_not() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let queued = [2, 3, 2].map(|key| gated.queue(key));
        gated.tell(Act::AnswerBut(1));
        gated.started();
        gated.tell(Act::AnswerBut(2));
        assert_eq!(first.join().unwrap(), Err(Error::missing()));
        assert_eq!(queued.map(|thread| thread.join().unwrap()), [Err(Error::missing()), Ok(30), Err(Error::missing())]);
        assert_eq!(gated.batcher.stats().missing, 3);
        gated.assert_idle();
    });
}

#[test]
fn a_key_that_nobody_asked_for_is_ignored() {
    let batcher: Batcher<u32, u32> = Batcher::new(|_: &[u32]| Ok(HashMap::from([(1, 10), (2, 20)])));
    assert_eq!(batcher.load(&1), Ok(10));
    assert_eq!(batcher.load(&3), Err(Error::missing()));
}

#[test]
fn one_bad_key_fails_nobody_else() {
    within(|| {
        let (tell, started) = crossbeam_channel::unbounded();
        let (go, may_go) = crossbeam_channel::unbounded::<()>();
        let batcher: Batcher<u32, u32, String> = Batcher::per_key(move |keys: &[u32]| {
            tell.send(keys.to_vec()).unwrap();
            may_go.recv_timeout(HANG).unwrap();
            let answer = |key: u32| if key % 2 == 0 { Ok(key * 10) } else { Err(format!("{key} is odd")) };
            keys.iter().filter(|&&key| key < 10).map(|&key| (key, answer(key))).collect()
        });
        let spawn = |key: u32| {
            let batcher = batcher.clone();
            thread::spawn(move || batcher.load(&key))
        };
        let first = spawn(1);
        assert_eq!(started.recv_timeout(HANG).unwrap(), [1]);
        let mut queued = vec![];
        for (n, key) in [2, 3, 4, 10, 3].into_iter().enumerate() {
            queued.push(spawn(key));
            until(|| batcher.waiting() == n + 1);
        }
        go.send(()).unwrap();
        assert_eq!(started.recv_timeout(HANG).unwrap(), [2, 3, 4, 10]);
        go.send(()).unwrap();
        let odd = |key| Err(Error::Work(format!("{key} is odd")));
        assert_eq!(first.join().unwrap(), odd(1));
        let got: Vec<_> = queued.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(got, [Ok(20), odd(3), Ok(40), Err(Error::missing()), odd(3)]);
        let stats = batcher.stats();
        assert_eq!((stats.failed, stats.missing), (0, 1), "no batch failed as a whole");
    });
}

#[test]
fn a_panic_unwinds_in_the_leader_and_is_told_to_its_followers() {
    within(|| {
        let gated = Gated::new();
        let first = gated.spawn(1);
        gated.started();
        let queued = [2, 3, 4].map(|key| gated.queue(key));
        gated.tell(Act::Answer);
        let (_, leader) = gated.started();
        let third = gated.queue(5);
        gated.tell(Act::Panic("no such table"));
        gated.tell(Act::Answer);
        assert_eq!(first.join().unwrap(), Ok(10));
        for thread in queued {
            let led = thread.thread().id() == leader;
            match thread.join() {
                Ok(got) => {
                    assert!(!led, "the leader's panic goes on");
                    match got {
                        Err(Error::Panicked(panic)) => assert_eq!(panic.message(), "no such table"),
                        other => panic!("a follower of a panic got {other:?}"),
                    }
                }
                Err(payload) => {
                    assert!(led, "a follower does not unwind");
                    assert_eq!(payload.downcast_ref::<String>().unwrap(), "no such table");
                }
            }
        }
        assert_eq!(third.join().unwrap(), Ok(50), "the next batch runs as if nothing had happened");
        gated.started();
        assert_eq!(gated.batcher.stats().panicked, 1);
        gated.assert_idle();
    });
}

#[test]
fn a_lone_callers_panic_keeps_its_payload() {
    struct Payload(u32);
    let batcher: Batcher<u32, u32> = Batcher::new(|keys: &[u32]| match keys {
        [1] => panic_any(Payload(42)),
        _ => Ok(keys.iter().map(|&key| (key, key)).collect()),
    });
    let payload = catch_unwind(|| batcher.load(&1)).unwrap_err();
    assert_eq!(payload.downcast_ref::<Payload>().unwrap().0, 42);
    assert_eq!(batcher.load(&2), Ok(2));
    assert_eq!(batcher.stats().panicked, 1);
}

#[test]
fn a_function_that_loads_from_its_own_batcher_is_told_so() {
    static BATCHER: OnceLock<Batcher<u32, u32, String>> = OnceLock::new();
    within(|| {
        let batcher = BATCHER.get_or_init(|| {
            Batcher::builder().name("users").build(|keys: &[u32]| {
                if keys == [0] {
                    return Ok(HashMap::from([(0, 0)]));
                }
                let batcher = BATCHER.get().unwrap();
                // A deadline does not make it better, and neither does a different key. With no time there is no wait.
                let at_once = batcher.call(&0).timeout(std::time::Duration::ZERO).load();
                assert_eq!(at_once.map_err(|error| error.is_timed_out()), Err(true));
                let error = batcher.call(&0).timeout(HANG).load().unwrap_err();
                let Error::Deadlock(circle) = &error else { panic!("expected a deadlock, got {error:?}") };
                assert_eq!(circle.hops().len(), 1);
                assert_eq!(circle.hops()[0].group(), Some("users"));
                assert_eq!(circle.hops()[0].flight(), 2, "the batch it would be in");
                assert!(circle.hops()[0].thread().contains("re-entrant"), "{circle}");
                Err(error.to_string())
            })
        });
        let thread = thread::Builder::new().name("re-entrant".into()).spawn(|| batcher.load(&1)).unwrap();
        let error = thread.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("would wait for batch 2 in batcher \"users\" on thread \"re-entrant\""), "{error}");
        assert_eq!(batcher.stats().deadlocks, 1);
        assert_eq!(batcher.load(&0), Ok(0));
    });
}

/// Another batcher may be called, unless the way leads back.
#[test]
fn a_function_may_load_from_another_batcher() {
    static BACK: OnceLock<Batcher<u32, u32>> = OnceLock::new();
    within(|| {
        let inner: Batcher<u32, u32> = Batcher::new(|keys: &[u32]| {
            if keys == [13] {
                assert!(BACK.get().unwrap().load(&1).unwrap_err().is_deadlock());
            }
            Ok(keys.iter().map(|&key| (key, key + 1)).collect())
        });
        let outer = BACK.get_or_init(|| {
            Batcher::new(move |keys: &[u32]| Ok(keys.iter().map(|&key| (key, inner.load(&key).unwrap() * 2)).collect()))
        });
        assert_eq!(outer.load(&1), Ok(4));
        assert_eq!(outer.load(&13), Ok(28));
    });
}

/// A panic in a value's clone stays with the caller it was made for.
#[test]
fn a_panicking_clone_is_its_own_callers() {
    #[derive(Debug)]
    struct Fussy(u32);
    impl Clone for Fussy {
        fn clone(&self) -> Self {
            assert_ne!(self.0, 3, "three is not cloned");
            Self(self.0)
        }
    }
    within(|| {
        let (tell, started) = crossbeam_channel::unbounded();
        let (go, may_go) = crossbeam_channel::unbounded::<()>();
        let batcher: Batcher<u32, Fussy> = Batcher::new(move |keys: &[u32]| {
            tell.send(()).unwrap();
            may_go.recv_timeout(HANG).unwrap();
            Ok(keys.iter().map(|&key| (key, Fussy(key))).collect())
        });
        let spawn = |key: u32| {
            let batcher = batcher.clone();
            thread::spawn(move || catch_unwind(AssertUnwindSafe(|| batcher.load(&key).unwrap().0)).ok())
        };
        let first = spawn(3);
        started.recv_timeout(HANG).unwrap();
        let mut queued = vec![];
        for (n, key) in [2, 3, 4].into_iter().enumerate() {
            queued.push(spawn(key));
            until(|| batcher.waiting() == n + 1);
        }
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Some(3), "moved, not cloned");
        let got: Vec<_> = queued.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(got, [Some(2), None, Some(4)]);
    });
}
