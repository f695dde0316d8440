//! `CancelToken` in every order of cancel, wait and birth of children; and calls of every kind that are cancelled.

use crate::harness::{A_WHILE, Alone, explore, explore_for};
use flight_group::{Batcher, CancelToken, Error, Event, EventGroup, EventKind, Group, WriteGroup};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// No wake-up is lost: a waiter that comes before, while or after the cancel ends with the cause.
#[test]
fn a_waiter_never_misses_the_cancel() {
    explore(|| {
        let token = CancelToken::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let token = token.clone();
                thread::spawn(move || token.wait().cause().to_string())
            })
            .collect();
        token.cancel("stop");
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), "stop");
        }
    });
}

/// A child born while its parent is being cancelled is cancelled: told by the parent, or born so.
#[test]
fn a_child_born_during_the_cancel_is_told() {
    explore(|| {
        let parent = CancelToken::new();
        let child = thread::spawn({
            let parent = parent.clone();
            move || {
                let grandchild = parent.child().child();
                grandchild.wait().to_string()
            }
        });
        parent.cancel("all");
        assert_eq!(child.join().unwrap(), "cancelled: all");
    });
}

/// Of several cancels exactly one wins, and everybody sees that one's cause.
#[test]
fn one_cancel_wins() {
    explore(|| {
        let token = CancelToken::new();
        let child = token.child();
        let won = Arc::new(AtomicUsize::new(0));
        let cancels: Vec<_> = (1..=2)
            .map(|i| {
                let (token, won) = (token.clone(), Arc::clone(&won));
                thread::spawn(move || {
                    if token.cancel(i.to_string()) {
                        assert_eq!(won.swap(i, Ordering::SeqCst), 0);
                    }
                })
            })
            .collect();
        let seen = child.wait().cause().to_string();
        cancels.into_iter().for_each(|cancel| cancel.join().unwrap());
        assert_eq!(seen, won.load(Ordering::SeqCst).to_string());
    });
}

/// A wait with a deadline ends either way, and a cancel that was complete before it wins over the timeout.
#[test]
fn a_wait_with_a_deadline_ends() {
    explore(|| {
        let token = CancelToken::new();
        let waiter = thread::spawn({
            let token = token.clone();
            move || token.wait_timeout(Duration::from_secs(1)).is_some()
        });
        token.cancel("stop");
        waiter.join().unwrap();
        assert!(token.wait_timeout(Duration::from_secs(1)).is_some());
    });
}

type Call = Arc<dyn Fn(Option<Duration>, Option<&CancelToken>) -> Result<u8, Error<Infallible>> + Send + Sync>;

/// One caller that stays, one with a token, one with the token and a deadline; and the cancel, at any moment.
fn cancelled_beside_a_deadline(call: Call, waiting: impl Fn() -> usize) {
    let token = CancelToken::new();
    let callers = [(None, false), (None, true), (Some(A_WHILE), true)].map(|(timeout, cancels)| {
        let (call, token) = (call.clone(), token.clone());
        thread::spawn(move || call(timeout, cancels.then_some(&token)))
    });
    token.cancel("stop");
    let [stays, cancelled, both] = callers.map(|caller| caller.join().unwrap());
    assert!(stays.is_ok(), "{stays:?}");
    for (outcome, may_time_out) in [(cancelled, false), (both, true)] {
        match outcome {
            Ok(_) => {}
            Err(Error::Cancelled(told)) => assert_eq!(told.cause().to_string(), "stop"),
            Err(Error::TimedOut(_)) => assert!(may_time_out),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(waiting(), 0);
    assert!(call(None, Some(&token)).unwrap_err().is_cancelled());
    assert!(call(None, None).is_ok(), "the key works afterwards");
}

macro_rules! with_options {
    ($call:expr, $timeout:ident, $token:ident) => {{
        let call = $call;
        let call = match $timeout {
            Some(timeout) => call.timeout(timeout),
            None => call,
        };
        match $token {
            Some(token) => call.cancel(token),
            None => call,
        }
    }};
}

#[test]
fn p6_a_read_is_cancelled_beside_deadlines() {
    for fresh in [false, true] {
        explore_for(2, move || {
            let (group, alone): (Group<u8, u8>, _) = (Group::new(), Arc::new(Alone::default()));
            let reads = group.clone();
            let call: Call = Arc::new(move |timeout, token| {
                let call = with_options!(reads.call(&1), timeout, token);
                let call = if fresh { call.fresh() } else { call };
                call.run(|| Ok(alone.run(|| 1))).map(|landing| landing.value)
            });
            cancelled_beside_a_deadline(call, || group.followers(&1) + group.in_flight());
        });
    }
}

#[test]
fn p6_a_write_is_cancelled_beside_deadlines() {
    explore_for(2, || {
        let (group, alone): (WriteGroup<u8, u8>, _) = (WriteGroup::new(), Arc::new(Alone::default()));
        let writes = group.clone();
        let call: Call = Arc::new(move |timeout, token| {
            let call = with_options!(writes.call(&1), timeout, token);
            call.run(|| Ok(alone.run(|| 1))).map(|landing| landing.value)
        });
        cancelled_beside_a_deadline(call, || group.followers(&1) + group.in_flight());
    });
}

#[test]
fn p6_a_push_is_cancelled_beside_deadlines() {
    explore_for(2, || {
        let alone = Alone::default();
        let group: EventGroup<u8, u8, u8> =
            EventGroup::new(|sum, n| *sum += n, move |_: &u8, sum| Ok(alone.run(|| sum)));
        let events = group.clone();
        let call: Call = Arc::new(move |timeout, token| {
            with_options!(events.call(&1), timeout, token).push(1).map(|landing| landing.value)
        });
        cancelled_beside_a_deadline(call, || group.followers(&1) + group.waiting(&1) + group.in_flight());
    });
}

#[test]
fn p6_a_load_is_cancelled_beside_deadlines() {
    explore_for(2, || {
        let alone = Alone::default();
        let batcher: Batcher<u8, u8> =
            Batcher::new(move |keys: &[u8]| Ok(alone.run(|| keys.iter().map(|&key| (key, key)).collect())));
        let (loads, next) = (batcher.clone(), AtomicUsize::new(0));
        let call: Call = Arc::new(move |timeout, token| {
            let key = (next.fetch_add(1, Ordering::SeqCst) % 2) as u8; // some share a place
            with_options!(loads.call(&key), timeout, token).load()
        });
        cancelled_beside_a_deadline(call, || batcher.waiting() + batcher.queued());
    });
}

/// The flight has landed, its leader has returned, and then the token is cancelled: whoever followed has the outcome.
#[test]
fn p6_an_outcome_that_is_there_wins_over_a_cancel() {
    explore(|| {
        let aboard = Arc::new((shuttle::sync::Mutex::new(false), shuttle::sync::Condvar::new()));
        let tells = aboard.clone();
        let group: Group<u8, u8> = Group::builder()
            .observer(move |event: &Event<'_, u8>| {
                if event.kind == EventKind::Joined {
                    *tells.0.lock().unwrap() = true;
                    tells.1.notify_all();
                }
            })
            .build();
        let (leads, led) = (group.clone(), Arc::new(AtomicUsize::new(0)));
        let leader = thread::spawn({
            let led = led.clone();
            move || {
                leads.work(&1, || {
                    led.store(1, Ordering::SeqCst);
                    let mut is_aboard = aboard.0.lock().unwrap();
                    while !*is_aboard {
                        is_aboard = aboard.1.wait(is_aboard).unwrap();
                    }
                    7
                })
            }
        });
        while led.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        let token = CancelToken::new();
        let follower = thread::spawn({
            let token = token.clone();
            move || group.call(&1).cancel(&token).run(|| unreachable!("it follows")).map(|landing| landing.value)
        });
        assert_eq!(leader.join().unwrap(), 7);
        token.cancel("stop");
        assert_eq!(follower.join().unwrap(), Ok(7));
    });
}
