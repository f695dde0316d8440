//! `EventGroup`: what is promised of it, what its peers' tests assert, and user types that panic. What happens
//! *when* is tested in `src/event_group/timed_tests.rs`, with a clock that only the test moves.

mod bombs;
mod bounded;
mod close;
mod failures;
mod history;
mod last_handle;
mod ported;

use crate::support::{patience, until, within};
use flight_group::{Error, EventGroup, Role};
use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

fn soon<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(patience()).expect("waited in vain for a message")
}

type Lists = EventGroup<String, Vec<u32>, Vec<u32>, &'static str>;

type Builder = flight_group::EventGroupBuilder<String, Vec<u32>, Vec<u32>, &'static str>;

/// A group whose runs report what they carry, and go on when they are told to. Dropping the sender lets all go on.
fn gated() -> (Builder, Receiver<Vec<u32>>, Sender<()>) {
    let (started, starts) = channel();
    let (go, gate) = channel();
    let (started, gate) = (Mutex::new(started), Mutex::new(gate));
    let builder = EventGroup::builder(
        |all: &mut Vec<u32>, more| all.extend(more),
        move |_: &String, all: Vec<u32>| {
            let _ = started.lock().unwrap().send(all.clone());
            let _ = gate.lock().unwrap().recv();
            if all.contains(&13) { Err("unlucky") } else { Ok(all) }
        },
    );
    (builder, starts, go)
}

/// Whatever arrives while a run is in the air is one more run, in the order of arrival, by one of its own callers;
/// and each caller gets the outcome of the run with its event.
#[test]
fn a_burst_behind_a_run_is_one_more_run_by_one_of_its_own_callers() {
    within(|| {
        let (builder, starts, go) = gated();
        let events = builder.build();
        thread::scope(|s| {
            let events = &events;
            let first = s.spawn(|| events.push("key", vec![0]).unwrap());
            assert_eq!(soon(&starts), [0]);
            let burst: Vec<_> = (1..=9)
                .map(|i| {
                    let call = s.spawn(move || events.push("key", vec![i]).unwrap());
                    until(|| events.followers("key") == i as usize);
                    call
                })
                .collect();
            assert_eq!(events.waiting("key"), 9);
            drop(go);
            let first = first.join().unwrap();
            assert_eq!((first.value.as_slice(), first.role, first.shared()), ([0].as_slice(), Role::Leader, false));
            assert_eq!(soon(&starts), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
            let landings: Vec<_> = burst.into_iter().map(|call| call.join().unwrap()).collect();
            assert!(landings.iter().all(|landing| landing.value == [1, 2, 3, 4, 5, 6, 7, 8, 9] && landing.shared()));
            assert_eq!(landings.iter().filter(|landing| landing.role == Role::Leader).count(), 1);
        });
        let stats = events.stats();
        assert_eq!((stats.pushed, stats.runs, stats.carried), (10, 2, 10));
        assert!(
            format!("{events:?}").contains("keys: 0, workers: 0"),
            "{events:?}: nobody submitted, so nobody was hired"
        );
    });
}

/// A batch that a `submit` began is led by the first caller that blocks on it, and not by a worker.
#[test]
fn a_blocked_caller_takes_over_from_the_crew() {
    within(|| {
        let (builder, starts, go) = gated();
        let events = builder.workers(1).build();
        thread::scope(|s| {
            events.submit("busy", vec![1]).unwrap();
            assert_eq!(soon(&starts), [1]); // the only worker is in the air, and stays there
            events.submit("key", vec![2]).unwrap();
            let caller = s.spawn(|| events.push("key", vec![3]).unwrap());
            assert_eq!(soon(&starts), [2, 3]);
            drop(go);
            assert_eq!(caller.join().unwrap().role, Role::Leader);
        });
    });
}

/// Different keys do not wait for each other.
#[test]
fn keys_do_not_wait_for_each_other() {
    within(|| {
        let meeting = Arc::new(std::sync::Barrier::new(8));
        let met = meeting.clone();
        let events: EventGroup<u32, ()> = EventGroup::new(
            |(), ()| {},
            move |_, ()| {
                met.wait(); // all eight are in the air at once, or this never ends
                Ok(())
            },
        );
        let (done, all_done) = channel();
        for key in 0..8 {
            let (events, done) = (events.clone(), done.clone());
            thread::spawn(move || done.send(events.push(&key, ()).is_ok()));
        }
        for _ in 0..8 {
            assert!(soon(&all_done));
        }
    });
}

/// `capacity` counts what waits after merging. Over it `submit` is refused, loudly; `push` blocks, and is done.
#[test]
fn at_capacity_submit_is_refused_and_push_blocks() {
    within(|| {
        let (builder, starts, go) = gated();
        let events = builder.capacity(2).workers(1).build();
        thread::scope(|s| {
            events.submit("a", vec![1]).unwrap();
            assert_eq!(soon(&starts), [1]); // carried: it does not count any more
            events.submit("a", vec![2]).unwrap();
            events.submit("b", vec![3]).unwrap();
            events.submit("a", vec![4]).unwrap(); // merged into what waits: it takes no more room
            assert_eq!(events.submit("c", vec![5]), Err(Error::overloaded()));
            let pusher = s.spawn(|| events.push("a", vec![6]).unwrap().value);
            until(|| events.followers("a") == 1);
            assert_eq!(events.submit("a", vec![8]), Err(Error::overloaded()), "behind a push it stands by itself");
            drop(go);
            assert_eq!(pusher.join().unwrap(), [2, 4, 6]);
        });
        events.flush().unwrap();
        events.submit("a", vec![7]).unwrap(); // there is room again
        let overloaded = events.stats().overloaded;
        drop(events);
        let mut carried: Vec<u32> = starts.try_iter().flatten().collect();
        carried.sort();
        assert_eq!((carried, overloaded), (vec![2, 3, 4, 6, 7], 2));
    });
}

/// P7: to push to the key one is pushing for, or to flush the run one is in, would wait for oneself.
#[test]
fn p7_re_entry_is_refused_and_names_its_hop() {
    within(|| {
        static GROUP: OnceLock<EventGroup<u32, u32, u32>> = OnceLock::new();
        let events = GROUP.get_or_init(|| {
            EventGroup::builder(
                |sum, n| *sum += n,
                |key, sum| {
                    let events = GROUP.get().expect("set");
                    if *key == 1 {
                        let error = events.push(key, 100).unwrap_err();
                        let Error::Deadlock(circle) = &error else { panic!("{error}") };
                        assert_eq!(circle.hops().len(), 1);
                        assert_eq!(circle.hops()[0].group(), Some("sums"));
                        assert_eq!(circle.hops()[0].key(), Some("1"));
                        assert!(events.flush().unwrap_err().is_deadlock());
                        assert_eq!(events.waiting(key), 0, "the refused event is still there");
                        // Another key is no circle.
                        assert_eq!(events.push(&2, sum).unwrap().value, sum);
                        // And what does not wait is none either.
                        events.submit(&3, 1).unwrap();
                    }
                    Ok(sum)
                },
            )
            .name("sums")
            .debug_keys()
            .build()
        });
        assert_eq!(events.push(&1, 7).unwrap().value, 7);
        events.flush().unwrap();
        assert_eq!(events.stats().deadlocked, 2);
        assert_eq!(events.stats().carried, 3);
    });
}

/// `flush` on the only worker, with work for a worker left: it does the work itself.
#[test]
fn a_flush_on_the_only_worker_does_not_wait_for_a_worker() {
    within(|| {
        let slot: Arc<OnceLock<EventGroup<u32, u32>>> = Arc::default();
        let inside = slot.clone();
        let (flushed, is_flushed) = channel();
        let flushed = Mutex::new(flushed);
        let done = Arc::new(AtomicUsize::new(0));
        let counter = done.clone();
        let events: EventGroup<u32, u32> = EventGroup::builder(
            |sum, n| *sum += n,
            move |key, _| {
                if *key == 1 {
                    let events = inside.get().expect("set");
                    events.submit(&2, 1).unwrap();
                    events.call(&3).delay(Duration::MAX).submit(1).unwrap();
                    assert!(events.flush().unwrap_err().is_deadlock(), "its own run, and that alone");
                    let _ = flushed.lock().unwrap().send(counter.load(SeqCst));
                }
                counter.fetch_add(1, SeqCst);
                Ok(())
            },
        )
        .workers(1)
        .build();
        slot.set(events.clone()).unwrap();
        events.submit(&1, 1).unwrap();
        assert_eq!(soon(&is_flushed), 2, "the two others were done by the time `flush` returned");
    });
}

/// The last handle goes down inside a run, on a worker: nobody waits for himself, and nothing that was accepted is
/// lost.
#[test]
fn the_last_handle_may_be_dropped_on_a_worker() {
    within(|| {
        let (done, all_done) = channel();
        let done = Mutex::new(done);
        let (go, gate) = channel::<EventGroup<u32, u32>>();
        let gate = Mutex::new(gate);
        let events: EventGroup<u32, u32> = EventGroup::builder(
            |sum, n| *sum += n,
            move |key, sum| {
                if *key == 1 && sum == 1 {
                    drop(gate.lock().unwrap().recv().unwrap()); // the last
                }
                done.lock().unwrap().send((*key, sum)).unwrap();
                Ok(())
            },
        )
        .workers(1)
        .build();
        events.submit(&1, 1).unwrap();
        until(|| events.in_flight() == 1);
        events.submit(&1, 10).unwrap();
        events.call(&2).delay(Duration::MAX).submit(100).unwrap();
        go.send(events).unwrap();
        let mut carried = [soon(&all_done), soon(&all_done), soon(&all_done)];
        carried.sort();
        assert_eq!(carried, [(1, 1), (1, 10), (2, 100)]);
        assert!(all_done.recv().is_err(), "the closures are still there: so is a thread that has them");
    });
}

/// Bad settings are told at once, with the value and what was expected.
#[test]
fn bad_settings_are_clear() {
    let builder = || EventGroup::<u32, u32>::builder(|_, _| {}, |_, _| Ok(()));
    let message = |set: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(set)).unwrap_err();
        payload.downcast_ref::<String>().cloned().or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()))
    };
    assert_eq!(message(&|| drop(builder().workers(0))).as_deref(), Some("workers is 0, expected at least 1"));
    assert_eq!(message(&|| drop(builder().capacity(0))).as_deref(), Some("capacity is 0, expected at least 1"));
    let nul = message(&|| drop(builder().name("a\0b"))).unwrap();
    assert_eq!(nul, "name is \"a\\0b\", expected one without a NUL");
}

/// The auto traits, pinned.
#[test]
fn auto_traits() {
    fn shared<T: Send + Sync + Clone + std::panic::UnwindSafe + std::panic::RefUnwindSafe + std::fmt::Debug>() {}
    shared::<EventGroup<String, Vec<u32>, Arc<u32>, Arc<str>>>();
    shared::<Lists>();
    // The events themselves need not be `Sync`, nor anything but `Send`.
    shared::<EventGroup<u8, std::cell::Cell<u32>>>();
}
