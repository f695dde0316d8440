//! Hedged calls and their threads in every order; whether a delay passes is a coin toss.

use crate::harness::explore;
use flight_group::hedge::{Attempt, Job, Threads};
use flight_group::{CancelToken, Error, Group, Hedge, HedgeError};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use std::sync::Arc;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(10);

/// A reply that counts itself when it is dropped by the caller.
struct Reply {
    caller: thread::ThreadId,
    by_caller: Arc<AtomicUsize>,
}

impl Drop for Reply {
    fn drop(&mut self) {
        if thread::current().id() == self.caller {
            self.by_caller.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Whoever wins: one reply comes back, the winner's token stays, every loser is told, and late replies are dropped
/// by their own threads, which end with the set (the checker reports a thread that does not).
#[test]
fn one_reply_comes_back_and_the_losers_are_told() {
    explore(|| {
        let caller = thread::current().id();
        let by_caller = Arc::new(AtomicUsize::new(0));
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let (index, reply) = {
            let threads = Threads::new(3);
            let hedge = Hedge::new().threads(&threads).delay(DELAY).max(3);
            let (by_caller, tokens) = (Arc::clone(&by_caller), Arc::clone(&tokens));
            hedge
                .run(move |attempt| {
                    tokens.lock().unwrap().push(attempt.clone());
                    Ok::<_, String>((attempt.index(), Reply { caller, by_caller: Arc::clone(&by_caller) }))
                })
                .unwrap()
        };
        assert_eq!(by_caller.load(Ordering::SeqCst), 0);
        drop(reply);
        assert_eq!(by_caller.load(Ordering::SeqCst), 1);
        // Only those told never end here: a loser that was not told would keep this waiting for ever.
        let attempts: Vec<Attempt> = tokens.lock().unwrap().clone();
        for attempt in attempts {
            if attempt.index() == index {
                assert!(!attempt.token().is_cancelled());
            } else {
                attempt.token().wait();
            }
        }
    });
}

/// Failures, delays and panics in any order: every error comes back, in the order of the attempts.
#[test]
fn all_failed_is_every_error_in_order() {
    explore(|| {
        let threads = Threads::new(2);
        let hedge = Hedge::new().threads(&threads).delay(DELAY).max(3);
        let error = hedge
            .run(|attempt| -> Result<(), usize> {
                if attempt.index() == 1 {
                    panic!("one");
                }
                Err(attempt.index())
            })
            .unwrap_err();
        assert_eq!(error.errors().len(), 3);
        assert_eq!(error.errors()[0], Error::Work(0));
        assert!(error.errors()[1].is_panicked());
        assert_eq!(error.errors()[2], Error::Work(2));
    });
}

/// An attempt that hangs until it has lost: the next one is started by the coin or not at all, so it is given one
/// failure to start it for sure.
#[test]
fn a_failure_starts_the_next_attempt_beside_one_that_hangs() {
    explore(|| {
        let threads = Threads::new(3);
        let hedge = Hedge::new().threads(&threads);
        let reply = hedge.first([0, 1, 2].map(|i| {
            move |attempt: Attempt| match i {
                0 => {
                    attempt.token().wait();
                    Err(0)
                }
                1 => Err(1),
                _ => Ok(2),
            }
        }));
        assert_eq!(reply.unwrap(), 2);
    });
}

/// A cancel from outside meets replies and failures: the call ends, with one or the other.
#[test]
fn a_cancel_and_a_reply_race() {
    explore(|| {
        let threads = Threads::new(2);
        let request = CancelToken::new();
        let hedge = Hedge::new().threads(&threads).delay(DELAY).max(2);
        let canceller = thread::spawn({
            let request = request.clone();
            move || request.cancel("stop")
        });
        let outcome = hedge.run_under(&request, |attempt| match attempt.index() {
            0 => Err(attempt.token().wait().to_string()),
            n => Ok(n),
        });
        match outcome {
            Ok(1) => {}
            Err(HedgeError::Cancelled(cancelled)) => assert_eq!(cancelled.cause().to_string(), "stop"),
            // Told in time to fail by itself, and so was the other one.
            Err(HedgeError::Failed(errors)) => assert!(!errors.is_empty()),
            other => panic!("{other:?}"),
        }
        assert!(canceller.join().unwrap());
    });
}

/// No wake-up is lost between a cancel and the wait: the only attempt is deaf until the call has returned.
#[test]
fn a_cancel_wakes_a_call_whose_attempt_is_deaf() {
    explore(|| {
        let threads = Threads::new(1);
        let (request, returned) = (CancelToken::new(), CancelToken::new());
        let hedge = Hedge::new().threads(&threads).delay(DELAY).max(1);
        let canceller = thread::spawn({
            let request = request.clone();
            move || request.cancel("stop")
        });
        let held = returned.clone();
        let outcome = hedge.run_under(&request, move |_| {
            held.wait();
            Ok::<_, String>(())
        });
        returned.cancel("returned");
        assert!(outcome.unwrap_err().is_cancelled());
        assert!(canceller.join().unwrap());
    });
}

/// More calls than threads: each attempt runs on one of the threads or, refused, on the caller's; none is lost, none
/// is made twice, and nobody waits for a thread.
#[test]
fn a_full_set_of_threads_loses_no_call() {
    explore(|| {
        let threads = Threads::with_keep_alive(1, DELAY);
        let made = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..2)
            .map(|i| {
                let hedge = Hedge::new().threads(&threads).delay(DELAY).max(1);
                let made = Arc::clone(&made);
                thread::spawn(move || {
                    for _ in 0..2 {
                        let made = Arc::clone(&made);
                        let reply = hedge.run(move |_| {
                            made.fetch_add(1, Ordering::SeqCst);
                            Ok::<_, String>(i)
                        });
                        assert_eq!(reply.unwrap(), i);
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(made.load(Ordering::SeqCst), 4);
        assert!(threads.alive() <= 1);
    });
}

/// An executor that drops jobs later, on another thread, while the caller waits for them.
#[test]
fn a_job_dropped_by_another_thread_is_made_by_the_caller() {
    explore(|| {
        let hedge = Hedge::new().delay(DELAY).max(2).executor(|job: Job| {
            thread::spawn(move || drop(job));
        });
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let caller = thread::current().id();
        let error = hedge
            .run(move |_| -> Result<(), _> {
                count.fetch_add(1, Ordering::SeqCst);
                Err(thread::current().id() == caller)
            })
            .unwrap_err();
        assert_eq!(error.errors(), [Error::Work(true), Error::Work(true)]);
        assert_eq!(made.load(Ordering::SeqCst), 2);
    });
}

/// Calls that share a budget never make more extra attempts than it has.
#[test]
fn the_budget_is_spent_once() {
    explore(|| {
        let threads = Threads::new(2);
        let hedge = Hedge::new().threads(&threads).delay(DELAY).max(3).budget(0.0, 2);
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let hedge = hedge.clone();
                thread::spawn(move || hedge.run(|_| Err::<(), _>("down")).unwrap_err().errors().len())
            })
            .collect();
        let made: usize = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert_eq!(made, 4, "two calls, two extra attempts");
    });
}

/// The attempts wait for the flight that the call is part of: the call, or an attempt, is told, and all end.
#[test]
fn p7_attempts_that_wait_for_the_calls_own_flight() {
    for max in [1, 2] {
        explore(move || {
            let group: Group<u8, u8> = Group::new();
            let threads = Threads::new(2);
            let again = group.clone();
            let value = group.work(&1, || {
                let hedge = Hedge::new().threads(&threads).delay(DELAY).max(max);
                match hedge.run(move |_| again.try_work(&1, || Ok(0))) {
                    Err(HedgeError::Deadlock(circle)) => assert_eq!(circle.hops().len(), 2),
                    Err(HedgeError::Failed(errors)) => {
                        assert!(errors.iter().all(|error| error.work().is_some_and(Error::is_deadlock)))
                    }
                    other => panic!("{other:?}"),
                }
                7
            });
            assert_eq!(value, 7);
        });
    }
}

/// One attempt can always bring a reply: whatever the others wait for, nobody is told.
#[test]
fn p7_no_alarm_while_one_attempt_goes_on() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let threads = Threads::new(2);
        let again = group.clone();
        let value = group.work(&1, || {
            let hedge = Hedge::new().threads(&threads);
            let ask = |i: u8| {
                let again = again.clone();
                move |_: Attempt| match i {
                    0 => again.try_work(&1, || Ok(9)).map_err(|error| error.to_string()),
                    _ => {
                        crate::harness::work();
                        Ok(i)
                    }
                }
            };
            hedge.first([0, 1].map(ask)).unwrap_or_else(|error| panic!("a false alarm: {error}"))
        });
        assert_eq!(value, 1);
    });
}

/// Hedged flights that another thread's flight waits for, in one order only.
#[test]
fn p7_no_false_alarm_among_hedges_and_flights() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let threads = Threads::new(2);
        let run = || {
            let (group, threads) = (group.clone(), threads.clone());
            move || {
                let inner = group.clone();
                let outcome = group.try_work(&1, || {
                    let hedge = Hedge::new().threads(&threads).delay(DELAY).max(2);
                    let reply = hedge.run(move |attempt| inner.try_work(&(2 + attempt.index() as u8), || Ok(1)));
                    Ok(reply.unwrap_or_else(|error| panic!("a false alarm: {error}")))
                });
                assert_eq!(outcome, Ok(1));
            }
        };
        let other = thread::spawn(run());
        run()();
        other.join().unwrap();
    });
}
