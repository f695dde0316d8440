//! What `min_interval`, `quiet` and `max_wait` put off, and for how long.

use super::{BRIEF, EventGroup, eventually, ms, timed, within};
use crate::engine::clock::Clock;
use crate::engine::clock::manual::Manual;
use crate::error::Error;
use crate::landing::Role;
use crate::threads::HIRE;
use crossbeam_channel::unbounded;
use std::thread;
use std::time::{Duration, Instant};

/// A closed group keeps no key for its interval.
#[test]
fn a_closed_group_lets_its_keys_rest_no_longer() {
    within(|| {
        let (events, _timed) = timed(HIRE, |builder| builder.min_interval(Duration::from_secs(3600)));
        events.push("a", vec![1]).unwrap();
        events.submit("a", vec![2]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        assert_eq!(events.close(deadline), []);
        assert_eq!(events.stats().carried, 2);
        eventually("no key", || format!("{events:?}").contains("keys: 0"));
    });
}

/// lodash `throttle`: the first at once, those that follow within the interval merged at its end, always.
#[test]
fn lodash_the_trailing_edge_always_runs() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder.min_interval(ms(100)));
        assert_eq!(events.push("key", vec![1]).unwrap().value, [1]);
        timed.next();
        events.submit("key", vec![2]).unwrap();
        events.submit("key", vec![3]).unwrap();
        timed.sleeping_until(&[ms(100)]);
        timed.none();
        timed.clock.advance(ms(100));
        assert_eq!(timed.next(), ("key", vec![2, 3]));
        // The trailing run began an interval of its own.
        eventually("the trailing run to land", || events.in_flight() == 0);
        events.submit("key", vec![4]).unwrap();
        timed.sleeping_until(&[ms(200)]);
        timed.none();
        // Other keys are not held up.
        assert_eq!(events.push("other", vec![9]).unwrap().value, [9]);
        timed.next();
        timed.clock.advance(ms(100));
        assert_eq!(timed.next(), ("key", vec![4]));
    });
}

/// The interval over, nothing of the key is left; and a while later no thread either.
#[test]
fn a_key_that_has_rested_is_forgotten_and_the_worker_leaves() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder.min_interval(ms(100)));
        events.push("key", vec![1]).unwrap();
        assert!(format!("{events:?}").contains("keys: 1, workers: 1"), "{events:?}");
        timed.sleeping_until(&[ms(100)]);
        timed.clock.advance(ms(100));
        timed.at_rest(&events);
        assert!(format!("{events:?}").contains("keys: 0, workers: 1"), "{events:?}");
        eventually("the worker to leave", || format!("{events:?}").contains("keys: 0, workers: 0"));
        // And comes back.
        events.submit("key", vec![2]).unwrap();
        timed.next();
        assert_eq!(timed.next(), ("key", vec![2]));
    });
}

/// p-debounce, "multiple calls": all calls of a burst share the one run at its end, each with its outcome.
#[test]
fn p_debounce_a_burst_is_one_run_for_all() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder.quiet(ms(100)));
        thread::scope(|s| {
            let mut calls = Vec::new();
            for i in 1..=5 {
                let events = &events;
                calls.push(s.spawn(move || events.push("key", vec![i]).unwrap()));
                eventually("the call", || events.followers("key") == i as usize);
            }
            timed.sleeping_until(&[ms(100)]); // one keeps the time, the others wait for it
            timed.none();
            timed.clock.advance(ms(100));
            let landings: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
            assert!(landings.iter().all(|landing| landing.value == [1, 2, 3, 4, 5] && landing.shared()));
            assert_eq!(landings.iter().filter(|landing| landing.role == Role::Leader).count(), 1);
            timed.next();
            // A later call is one of its own (p-debounce's `await debounced(6)` after the pause).
            let later = s.spawn(|| events.push("key", vec![6]).unwrap().value);
            timed.sleeping_until(&[ms(200)]);
            timed.clock.advance(ms(100));
            assert_eq!(later.join().unwrap(), [6]);
        });
        assert_eq!(events.stats().runs, 2);
    });
}

/// Every event puts the run off; `max_wait` ends that.
#[test]
fn a_steady_stream_does_not_postpone_for_ever() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder.quiet(ms(100)).max_wait(ms(250)));
        for i in 0..4 {
            events.submit("key", vec![i]).unwrap(); // at 0, 80, 160, 240: never quiet for 100
            timed.none();
            let due = (u64::from(i) * 80 + 100).min(250);
            // The worker may still sleep until an earlier moment: it looks again then.
            eventually("the worker to sleep", || timed.clock.sleepers().iter().any(|at| *at <= timed.began + ms(due)));
            if i < 3 {
                timed.clock.advance(ms(80));
            }
        }
        timed.sleeping_until(&[ms(250)]);
        timed.none();
        timed.clock.advance(ms(10));
        assert_eq!(timed.next(), ("key", vec![0, 1, 2, 3]));

        // Without the stream, quiet is enough.
        eventually("the run to land", || events.in_flight() == 0);
        events.submit("key", vec![9]).unwrap();
        timed.sleeping_until(&[ms(350)]);
        timed.clock.advance(ms(100));
        assert_eq!(timed.next(), ("key", vec![9]));
    });
}

/// An event that is withdrawn takes its hurry with it.
#[test]
fn a_withdrawn_event_does_not_hasten_the_others() {
    within(|| {
        let (events, timed) = timed(HIRE, |builder| builder.min_interval(ms(10)));
        events.push("key", vec![0]).unwrap();
        timed.next();
        events.call("key").delay(ms(50)).submit(vec![1]).unwrap();
        assert_eq!(events.call("key").timeout(Duration::ZERO).push(vec![2]), Err(Error::timed_out()));
        assert_eq!(events.waiting("key"), 1);
        eventually("the worker to sleep", || timed.clock.sleepers().len() == 1);
        timed.clock.advance(ms(20));
        timed.sleeping_until(&[ms(50)]);
        timed.none();
        timed.clock.advance(ms(30));
        assert_eq!(timed.next(), ("key", vec![1]));
    });
}

/// `flush` and the last drop wait for no time; a flush that finds a caller waiting for its moment lets that lead.
#[test]
fn flush_and_drop_wait_for_no_time() {
    within(|| {
        let (events, timed) =
            timed(HIRE, |builder| builder.quiet(ms(100)).min_interval(ms(1000)).max_wait(Duration::from_secs(60)));
        events.call("a").delay(Duration::MAX).submit(vec![1]).unwrap();
        events.submit("b", vec![2]).unwrap();
        events.flush().unwrap();
        let mut runs = [timed.next(), timed.next()];
        runs.sort();
        assert_eq!(runs, [("a", vec![1]), ("b", vec![2])]);
        thread::scope(|s| {
            let caller = s.spawn(|| events.push("a", vec![3]).unwrap());
            eventually("the caller", || events.followers("a") == 1);
            events.flush().unwrap();
            assert_eq!(caller.join().unwrap().value, [3]);
        });
        timed.next();
        events.submit("a", vec![4]).unwrap();
        drop(events);
        assert_eq!(timed.runs.try_recv(), Ok(("a", vec![4])), "not drained");
        assert!(timed.runs.recv().is_err(), "the group's closures are gone, and with them every thread that had them");
    });
}

/// One worker, three keys, and one of them is busy all the time: it stands behind the others each time.
#[test]
fn a_hot_key_goes_to_the_tail() {
    within(|| {
        let (sender, runs) = unbounded();
        let (go, gate) = unbounded::<()>();
        let clock = Manual::new();
        let events: EventGroup<String, u32> = EventGroup::builder(
            |sum, n| *sum += n,
            move |key: &String, _| {
                let _ = sender.send(&*key.clone().leak());
                let _ = gate.recv();
                Ok(())
            },
        )
        .workers(1)
        .for_test(Clock::Other(clock), HIRE, BRIEF)
        .build();
        events.submit("hot", 1).unwrap();
        let mut order = vec![runs.recv().unwrap()];
        events.submit("hot", 1).unwrap(); // while it runs: pending
        events.submit("a", 1).unwrap();
        events.submit("b", 1).unwrap();
        for _ in 0..4 {
            events.submit("hot", 1).unwrap();
            go.send(()).unwrap();
            order.push(runs.recv_timeout(Duration::from_secs(20)).unwrap());
            if order.len() == 3 {
                events.submit("a", 1).unwrap(); // `a` runs again: after the hot one, which waits since
            }
            if order.len() == 5 {
                break;
            }
        }
        assert_eq!(order, ["hot", "a", "b", "hot", "a"]);
        drop(go);
    });
}
