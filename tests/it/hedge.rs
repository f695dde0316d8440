//! `Hedge` and `hedge::first`: the first good reply, at once, whatever the losers do.

use crate::support::{no_hope, panic_of, until, until_waiting, within};
use flight_group::hedge::{self, Attempt, HedgeStats, InvalidHedge, Job, Threads};
use flight_group::{CancelToken, Error, Group, Hedge, HedgeError, Kind};
use proptest::prelude::*;
use std::collections::HashSet;
use std::error::Error as _;
use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

const NEVER: Duration = Duration::MAX;
const SOON: Duration = Duration::from_millis(1);

/// Opened once; blocks until then.
#[derive(Clone, Default)]
struct Gate(CancelToken);

impl Gate {
    fn open(&self) {
        self.0.cancel("open");
    }
    fn pass(&self) {
        self.0.wait();
    }
}

/// Tells when it is dropped, and on which thread; panics then, if asked to.
struct Dropped {
    by: mpsc::Sender<thread::ThreadId>,
    panics: bool,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.by.send(thread::current().id());
        if self.panics && !thread::panicking() {
            panic!("boom in drop");
        }
    }
}

#[test]
fn auto_traits_are_pinned() {
    fn shared<T: Send + Sync + UnwindSafe + RefUnwindSafe + Clone + fmt::Debug + 'static>() {}
    fn sent<T: Send + fmt::Debug + 'static>() {}
    fn error<T: std::error::Error + Clone + PartialEq + Send + Sync + 'static>() {}
    shared::<Hedge>();
    shared::<Threads>();
    shared::<Attempt>();
    shared::<HedgeStats>();
    sent::<Job>();
    error::<HedgeError<fmt::Error>>();
    error::<InvalidHedge>();
}

/// failsafe-go: `TestHedgePolicy/should_not_hedge_when_delay_not_exceeded`; hedgedhttp: `TestFirstIsOK`.
#[test]
fn a_quick_first_attempt_is_the_only_one() {
    within(|| {
        let hedge = Hedge::new().delay(NEVER).max(10);
        assert_eq!(hedge.run(|attempt| Ok::<_, String>(attempt.index())).unwrap(), 0);
        let stats = hedge.stats();
        assert_eq!((stats.calls, stats.extra_attempts, stats.won_by_extra), (1, 0, 0));
    });
}

/// failsafe-go: `TestHedgePolicy/should_hedge_when_delay_exceeded`, `first_returned_result_triggers_cancellation`.
#[test]
fn a_slow_first_attempt_is_hedged_and_told_that_it_lost() {
    within(|| {
        let (told, cause) = mpsc::channel();
        let told = Mutex::new(told);
        let hedge = Hedge::new().delay(SOON);
        let reply = hedge.run(move |attempt| match attempt.index() {
            0 => {
                let cause = attempt.token().wait().cause().to_string();
                told.lock().unwrap().send(cause).unwrap();
                Err("lost")
            }
            n => Ok(n),
        });
        assert_eq!(reply.unwrap(), 1);
        assert_eq!(cause.recv().unwrap(), "another attempt was quicker");
        let stats = hedge.stats();
        assert_eq!((stats.calls, stats.extra_attempts, stats.won_by_extra), (1, 1, 1));
    });
}

/// hedgedhttp: `TestUpto`, `TestHangAllExceptLast`; failsafe-go: `TestHedgePolicy/all_hedges_used`.
#[test]
fn attempts_are_started_up_to_the_maximum_and_no_further() {
    within(|| {
        let (made, gate) = (Arc::new(AtomicUsize::new(0)), Gate::default());
        let hedge = Hedge::new().delay(SOON).max(7);
        let reply = hedge.run({
            let (made, gate) = (Arc::clone(&made), gate.clone());
            move |attempt| {
                made.fetch_add(1, Ordering::SeqCst);
                if attempt.index() < 6 {
                    gate.pass();
                }
                Ok::<_, String>(attempt.index())
            }
        });
        assert_eq!(reply.unwrap(), 6);
        assert_eq!(made.load(Ordering::SeqCst), 7);
        gate.open();
    });
}

/// hedgedhttp: `TestNoTimeout`; failsafe-go: `TestHedgePolicy/backup_executions`.
#[test]
fn a_delay_of_zero_starts_all_at_once() {
    within(|| {
        let all = Arc::new(Barrier::new(4));
        let hedge = Hedge::new().delay(Duration::ZERO).max(4);
        // No attempt ends before all have begun.
        assert!(hedge.run(move |_| Ok::<_, String>(all.wait())).is_ok());
        assert_eq!(hedge.stats().extra_attempts, 3);
    });
}

/// hedgedhttp: `TestGetSuccessEvenWithErrorsPresent`. The delay never passes: only failures start attempts.
#[test]
fn a_failure_starts_the_next_attempt_at_once() {
    within(|| {
        let hedge = Hedge::new().delay(NEVER).max(5);
        let reply = hedge.run(|attempt| if attempt.index() < 4 { Err("down") } else { Ok("success") });
        assert_eq!(reply.unwrap(), "success");
        assert_eq!(hedge.stats().extra_attempts, 4);

        // Also while another attempt hangs.
        let gate = Gate::default();
        let held = gate.clone();
        let reply = Hedge::new().delay(SOON).max(3).run(move |attempt| match attempt.index() {
            0 => {
                held.pass();
                Err("late")
            }
            1 => Err("down"),
            _ => Ok("success"),
        });
        assert_eq!(reply.unwrap(), "success");
        gate.open();
    });
}

/// hedgedhttp: `TestGetFailureAfterAllRetries`. The order is that of the starts, though they end in reverse.
#[test]
fn all_failed_is_every_error_in_the_order_of_the_attempts() {
    within(|| {
        let gates: Arc<[Gate; 4]> = Arc::default();
        gates[3].open();
        let error = Hedge::new()
            .delay(Duration::ZERO)
            .max(4)
            .run(move |attempt| -> Result<(), _> {
                let index = attempt.index();
                gates[index].pass();
                if let Some(before) = index.checked_sub(1) {
                    gates[before].open();
                }
                Err(format!("e{index}"))
            })
            .unwrap_err();
        let errors: Vec<_> = error.errors().iter().map(|error| error.work().unwrap().as_str()).collect();
        assert_eq!(errors, ["e0", "e1", "e2", "e3"]);
        assert_eq!(error.to_string(), "all 4 attempts failed: e0; e1; e2; e3");
        let panicked = Hedge::new().max(1).run(|_| -> Result<(), String> { panic!("boom") }).unwrap_err();
        assert_eq!(panicked.to_string(), "the only attempt failed: the work panicked: boom");
    });
}

#[test]
fn a_panicking_attempt_is_a_failed_one_also_when_all_panic() {
    within(|| {
        let hedge = Hedge::new().delay(NEVER).max(2);
        let reply = hedge.run(|attempt| if attempt.index() == 0 { panic!("mad") } else { Ok::<_, String>(7) });
        assert_eq!(reply.unwrap(), 7);

        let error = hedge.run(|attempt| -> Result<(), fmt::Error> { panic!("mad {}", attempt.index()) }).unwrap_err();
        let messages: Vec<_> = error
            .errors()
            .iter()
            .map(|error| match error {
                Error::Panicked(panic) => panic.message(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(messages, ["mad 0", "mad 1"]);
        assert!(error.is_failed() && error.to_string().contains("mad 0; "), "{error}");
    });
}

#[test]
fn the_call_returns_while_a_deaf_loser_runs_and_its_result_is_dropped_on_its_own_thread() {
    within(|| {
        for panics in [false, true] {
            let gate = Gate::default();
            let (by, dropped) = mpsc::channel();
            let threads = Threads::new(4);
            let hedge = Hedge::new().threads(&threads).delay(SOON);
            let (loser, loser_thread) = mpsc::channel();
            let state = Mutex::new((by, loser));
            let held = gate.clone();
            let reply = hedge.run(move |attempt| {
                let (by, loser) = state.lock().unwrap().clone();
                let late = attempt.index() == 0;
                if late {
                    loser.send(thread::current().id()).unwrap();
                    held.pass(); // deaf: does not look at its token
                }
                Ok::<_, String>(Dropped { by, panics: panics && late })
            });
            let reply = reply.unwrap();
            assert!(dropped.try_recv().is_err(), "the loser still runs");
            gate.open();
            let loser = loser_thread.recv().unwrap();
            assert_eq!(dropped.recv().unwrap(), loser);
            drop(reply);
            assert_eq!(dropped.recv().unwrap(), thread::current().id(), "the reply is the caller's");
            // The thread that saw the panic works on.
            let alive = threads.alive();
            until(|| hedge.run(|_| Ok::<_, String>(thread::current().id())).unwrap() == loser);
            assert!(threads.alive() >= alive.min(2));
        }
    });
}

/// Errors of attempts that failed before another one won are not the caller's to drop either.
#[test]
fn an_earlier_failures_error_is_dropped_by_the_winner() {
    within(|| {
        let (by, dropped) = mpsc::channel();
        let by = Mutex::new(by);
        let reply = Hedge::new().delay(NEVER).max(2).run(move |attempt| match attempt.index() {
            0 => Err(Dropped { by: by.lock().unwrap().clone(), panics: true }),
            _ => Ok(thread::current().id()),
        });
        let winner = reply.map_err(|_| ()).unwrap();
        assert_eq!(dropped.recv().unwrap(), winner);
    });
}

#[test]
fn the_winners_token_is_never_cancelled() {
    within(|| {
        let (tokens, seen) = mpsc::channel();
        let tokens = Mutex::new(tokens);
        let winner = Hedge::new()
            .delay(SOON)
            .max(3)
            .run(move |attempt| {
                tokens.lock().unwrap().send((attempt.index(), attempt.token().clone())).unwrap();
                if attempt.index() < 2 {
                    attempt.token().wait();
                }
                Ok::<_, String>(attempt.index())
            })
            .unwrap();
        assert_eq!(winner, 2);
        for (index, token) in seen.iter().take(3) {
            if index == winner {
                assert!(!token.is_cancelled());
            } else {
                token.wait();
            }
        }
    });
}

/// retryctl: `test_zero_max_hedges_raises`. What makes no sense is refused by name, when it is set, and there.
#[test]
fn settings_that_make_no_sense_are_refused_when_they_are_set() {
    fn refused(set: impl FnOnce() -> Hedge) -> String {
        let (words, place) = panic_of(set);
        assert_eq!(place.file, file!());
        words
    }
    let share = "a budget's share of the calls must be between 0 and 1, got";
    let percentile = "a percentile must be above 0 and below 100, got";
    assert_eq!(refused(|| Hedge::new().max(0)), "a hedged call needs at least 1 attempt, got max(0)");
    assert_eq!(refused(|| Hedge::new().budget(-0.1, 1)), format!("{share} -0.1"));
    assert_eq!(refused(|| Hedge::new().budget(1.01, 1)), format!("{share} 1.01"));
    assert_eq!(refused(|| Hedge::new().budget(f64::NAN, 1)), format!("{share} NaN"));
    assert_eq!(refused(|| Hedge::new().percentile(0.0)), format!("{percentile} 0"));
    assert_eq!(refused(|| Hedge::new().percentile(100.0)), format!("{percentile} 100"));
    assert_eq!(refused(|| Hedge::new().percentile(f64::NAN)), format!("{percentile} NaN"));
    let hedge = Hedge::new().max(1).budget(0.0, 0).budget(1.0, 0).percentile(0.1);
    assert_eq!(hedge.run(|_| Ok::<_, String>(1)), Ok(1));
}

/// Nothing is said twice in a chain: the source is what stands behind the first attempt's error.
#[test]
fn errors_compare_and_chain_without_saying_anything_twice() {
    #[derive(Debug, Clone, PartialEq)]
    struct Down(fmt::Error);
    impl fmt::Display for Down {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("down")
        }
    }
    impl std::error::Error for Down {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    within(|| {
        let fail = || Hedge::new().max(1).run(|_| Err::<(), _>(Down(fmt::Error))).unwrap_err();
        assert_eq!(fail(), fail());
        assert_eq!(fail(), HedgeError::Failed(vec![Error::Work(Down(fmt::Error))]));
        assert_eq!(fail().to_string(), "the only attempt failed: down");
        let error = fail();
        let source = error.source().unwrap();
        assert!(source.is::<fmt::Error>() && source.source().is_none(), "{source}");

        let token = CancelToken::new();
        token.cancel("stop");
        let cancelled = || Hedge::new().run_under(&token, |_| Ok::<_, Down>(())).unwrap_err();
        assert_eq!(cancelled(), cancelled());
        assert_ne!(cancelled(), fail());
    });
}

/// failsafe-go answers a denied hedge with a failed call; here the attempt that runs goes on.
#[test]
fn an_empty_budget_denies_extra_attempts_and_never_the_call() {
    within(|| {
        let hedge = Hedge::new().delay(SOON).max(3).budget(0.0, 1);
        let slow = |denials: u64| {
            let watched = hedge.clone();
            hedge.run(move |attempt| {
                if attempt.index() == 0 {
                    until(|| watched.stats().denied >= denials || attempt.token().is_cancelled());
                }
                Ok::<_, String>(attempt.index())
            })
        };
        assert_eq!(slow(u64::MAX).unwrap(), 1, "the minimum allows one");
        // Asked, denied, asked again after another delay.
        assert_eq!(slow(2).unwrap(), 0);
        let stats = hedge.stats();
        assert_eq!((stats.calls, stats.extra_attempts), (2, 1));
        assert!(stats.denied >= 2);
    });
}

#[test]
fn the_budget_holds_for_all_calls_and_clones_together() {
    within(|| {
        let hedge = Hedge::new().delay(NEVER).max(4).budget(0.1, 3);
        thread::scope(|s| {
            for _ in 0..4 {
                let hedge = hedge.clone();
                s.spawn(move || {
                    for _ in 0..50 {
                        hedge.run(|_| Err::<(), _>("down")).unwrap_err();
                    }
                });
            }
        });
        let stats = hedge.stats();
        assert_eq!(stats.calls, 200);
        assert!((20..=23).contains(&stats.extra_attempts), "{stats:?}");
    });
}

/// The fixed delay is never over; the observed percentile is what starts the second attempt.
#[test]
fn the_observed_percentile_shortens_the_delay() {
    within(|| {
        // A call is observed by the thread that makes its attempt: here, at first, so that 64 calls are 64 times.
        let (inline, threads) = (Arc::new(AtomicBool::new(true)), Threads::new(2));
        let here = Arc::clone(&inline);
        let hedge = Hedge::new()
            .delay(NEVER)
            .percentile(90.0)
            .executor(move |job| if here.load(Ordering::SeqCst) { job.run() } else { threads.execute(job) });
        for _ in 0..64 {
            hedge.run(|_| Ok::<_, String>(())).unwrap();
        }
        inline.store(false, Ordering::SeqCst);
        let reply = hedge.run(|attempt| {
            if attempt.index() == 0 {
                attempt.token().wait();
            }
            Ok::<_, String>(attempt.index())
        });
        assert_eq!(reply.unwrap(), 1);
    });
}

#[test]
fn threads_are_bounded_and_a_full_set_makes_calls_unhedged_on_their_own_thread() {
    within(|| {
        let threads = Threads::new(2);
        let hedge = Hedge::new().threads(&threads).delay(Duration::ZERO).max(3);
        let seen = Arc::new(Mutex::new(HashSet::new()));
        let callers: HashSet<_> = thread::scope(|s| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    s.spawn(|| {
                        for i in 0..50 {
                            let seen = Arc::clone(&seen);
                            let reply = hedge.run(move |_| {
                                seen.lock().unwrap().insert(thread::current().id());
                                Ok::<_, String>(i)
                            });
                            assert_eq!(reply.unwrap(), i);
                            assert!(threads.alive() <= 2);
                        }
                        thread::current().id()
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        let seen = seen.lock().unwrap();
        assert!(seen.difference(&callers).count() <= 2);
    });
}

/// A set of one thread, whose only thread makes a hedged call: a queue would wait for itself for ever.
#[test]
fn hedged_calls_nest_on_the_smallest_set_of_threads() {
    within(|| {
        let hedge = Hedge::new().threads(&Threads::new(1)).delay(NEVER).max(2);
        let inner = hedge.clone();
        let reply = hedge.run(move |_| {
            let deeper = inner.clone();
            inner
                .run(move |_| deeper.run(|a| if a.index() == 0 { Err("first") } else { Ok(a.index()) }))
                .map_err(|e| e.to_string())
        });
        assert_eq!(reply.unwrap(), 1);
    });
}

#[test]
fn idle_threads_leave_and_come_again() {
    within(|| {
        let threads = Threads::with_keep_alive(4, SOON);
        let hedge = Hedge::new().threads(&threads).delay(Duration::ZERO).max(4);
        for _ in 0..3 {
            assert!(hedge.run(|_| Ok::<_, String>(())).is_ok());
            until(|| threads.alive() == 0);
        }
    });
}

/// No thread outlives its set by more than the attempt it is making.
#[test]
fn threads_end_when_the_last_handle_is_dropped() {
    thread_local!(static ALIVE: std::cell::RefCell<Option<Arc<()>>> = const { std::cell::RefCell::new(None) });

    within(|| {
        let alive = Arc::new(());
        let gate = Gate::default();
        let threads = Threads::with_keep_alive(8, NEVER);
        let hedge = Hedge::new().threads(&threads).delay(SOON).max(2);
        let (marker, held) = (Arc::clone(&alive), gate.clone());
        let reply = hedge.run(move |attempt| {
            ALIVE.with_borrow_mut(|slot| *slot = Some(Arc::clone(&marker)));
            if attempt.index() == 0 {
                held.pass();
            }
            Ok::<_, String>(())
        });
        assert!(reply.is_ok());
        assert_eq!(threads.alive(), 2);
        drop((hedge, threads));
        // The idle one leaves though its keep-alive never passes; the loser keeps its marker and the closure's.
        until(|| Arc::strong_count(&alive) <= 3);
        gate.open();
        until(|| Arc::strong_count(&alive) == 1);
    });
}

#[test]
fn an_executor_may_refuse_now_later_or_always() {
    within(|| {
        // Always: every attempt is made here, one after the other.
        let here = thread::current().id();
        let hedge = Hedge::new().executor(drop).delay(Duration::ZERO).max(3);
        let error = hedge.run(move |_| -> Result<(), _> { Err(thread::current().id() == here) }).unwrap_err();
        assert_eq!(error.errors(), [Error::Work(true), Error::Work(true), Error::Work(true)]);

        let reply = hedge.first([0, 1, 2].map(|i| move |_: Attempt| if i < 2 { Err(i) } else { Ok(i) }));
        assert_eq!(reply.unwrap(), 2);

        // The extra attempt only, time and again: the first one goes on.
        let offered = Arc::new(AtomicUsize::new(0));
        let threads = Threads::new(1);
        let hedge = Hedge::new().delay(Duration::ZERO).max(2).executor({
            let offered = Arc::clone(&offered);
            move |job| {
                offered.fetch_add(1, Ordering::SeqCst);
                threads.execute(job);
            }
        });
        let watched = Arc::clone(&offered);
        let reply = hedge.run(move |attempt| {
            until(|| watched.load(Ordering::SeqCst) > 3);
            Ok::<_, String>(attempt.index())
        });
        assert_eq!(reply.unwrap(), 0);

        // Later, on another thread.
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || queue.into_iter().for_each(drop));
        let hedge = Hedge::new().executor(move |job| jobs.send(job).unwrap());
        assert!(hedge.run(move |_| Ok::<_, String>(thread::current().id() == here)).unwrap());
    });
}

#[test]
fn a_refused_attempt_costs_no_budget() {
    within(|| {
        let threads = Threads::new(1);
        let hedge = Hedge::new().threads(&threads).delay(Duration::ZERO).max(2).budget(0.0, 1);
        let offered = hedge.clone();
        let reply = hedge.run(move |attempt| {
            until(|| offered.stats().extra_attempts == 1);
            Ok::<_, String>(attempt.index())
        });
        assert_eq!(reply.unwrap(), 0, "the extra attempt found no thread");
        // Paid back: another call can still make its own. It runs them itself, as the thread may not be idle yet.
        let error = hedge.executor(Job::run).run(|_| Err::<(), _>("down")).unwrap_err();
        assert_eq!(error.errors().len(), 2);
    });
}

#[test]
fn an_executor_that_runs_inline_makes_a_retry() {
    let hedge = Hedge::new().executor(Job::run).max(3);
    assert_eq!(hedge.run(|a| if a.index() < 2 { Err("down") } else { Ok(a.index()) }).unwrap(), 2);
}

#[test]
fn an_executor_that_panics_unwinds_in_its_caller_and_tells_the_attempts() {
    within(|| {
        let threads = Threads::new(1);
        let (calls, began) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let running = Arc::clone(&began);
        let hedge = Hedge::new().delay(Duration::ZERO).executor(move |job| {
            if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                return threads.execute(job);
            }
            until(|| running.load(Ordering::SeqCst));
            panic!("the pool is gone")
        });
        let (told, cause) = mpsc::channel();
        let told = Mutex::new(told);
        let payload = catch_unwind(AssertUnwindSafe(|| {
            hedge.run(move |attempt| {
                began.store(true, Ordering::SeqCst);
                let cause = attempt.token().wait().cause().to_string();
                told.lock().unwrap().send(cause).unwrap();
                Ok::<_, String>(())
            })
        }));
        assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "the pool is gone");
        assert_eq!(cause.recv().unwrap(), "the call did not wait for this attempt");
    });
}

/// hedgedhttp: `TestCancelByClient`. The attempts are deaf: only the caller can have heard.
#[test]
fn a_cancel_ends_the_call_at_once_and_a_reply_that_is_there_wins() {
    within(|| {
        let (gate, request) = (Gate::default(), CancelToken::new());
        let hedge = Hedge::new().delay(NEVER);
        let held = gate.clone();
        let cancel = request.clone();
        let began = Arc::new(AtomicBool::new(false));
        let canceller = thread::spawn({
            let began = Arc::clone(&began);
            move || {
                until(|| began.load(Ordering::SeqCst));
                cancel.cancel("the user went away")
            }
        });
        let error = hedge
            .run_under(&request, move |attempt| {
                began.store(true, Ordering::SeqCst);
                held.pass();
                assert!(attempt.token().is_cancelled());
                Ok::<_, String>(())
            })
            .unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.to_string(), "cancelled: the user went away");
        assert!(canceller.join().unwrap());
        gate.open();

        let error = hedge.run_under(&request, |_| -> Result<(), String> { unreachable!("an attempt was made") });
        assert!(error.unwrap_err().is_cancelled());

        // The attempt cancels the token itself before it replies, on an executor that runs it before the call waits.
        let request = CancelToken::new();
        let own = request.clone();
        let reply = Hedge::new().executor(Job::run).run_under(&request, move |_| {
            own.cancel("late");
            Ok::<_, String>(1)
        });
        assert_eq!(reply.unwrap(), 1);
    });
}

/// The seeds' "moving later": replicas that answer at different times, all asked at once.
#[test]
fn first_asks_all_replicas_at_once_and_takes_the_first_good_reply() {
    within(|| {
        let all = Arc::new(Barrier::new(3));
        let ask = |i: usize| {
            let all = Arc::clone(&all);
            move |attempt: Attempt| {
                assert_eq!(attempt.index(), i);
                all.wait();
                if i < 2 { Err(format!("replica {i} is down")) } else { Ok(i) }
            }
        };
        assert_eq!(hedge::first([0, 1, 2].map(ask)).unwrap(), 2);

        let error = hedge::first((0..3).map(|i| move |_: Attempt| Err::<(), _>(i))).unwrap_err();
        assert_eq!(error.errors(), [Error::Work(0), Error::Work(1), Error::Work(2)]);

        let nobody = Vec::<fn(Attempt) -> Result<(), String>>::new();
        let error = hedge::first(nobody).unwrap_err();
        assert!(error.is_invalid());
        assert_eq!(error.to_string(), "the first of no replicas was asked for: at least 1 is needed, got 0");
    });
}

/// What a replica replies need be neither `Clone` nor `Sync`, and closures of different types are boxed.
#[test]
fn replies_are_moved() {
    within(|| {
        type Ask = Box<dyn FnOnce(Attempt) -> Result<mpsc::Receiver<i32>, String> + Send>;
        let (tx, rx) = mpsc::channel();
        let replicas: Vec<Ask> = vec![Box::new(|_| Err("down".to_owned())), Box::new(move |_| Ok(rx))];
        let rx = hedge::first(replicas).unwrap();
        tx.send(3).unwrap();
        assert_eq!(rx.recv(), Ok(3));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any list of attempts that fail (`Some(false)`), panic (`None`) or reply, on any number of threads, refusals
    /// included: without a delay in play the first that replies is the answer; none: every error, in order.
    #[test]
    fn in_turn_the_first_good_attempt_is_the_answer(
        attempts in prop::collection::vec(prop_oneof![2 => Just(Some(false)), 1 => Just(None), 1 => Just(Some(true))], 1..8),
        threads in 1..4_usize,
    ) {
        let hedge = Hedge::new().threads(&Threads::new(threads)).delay(NEVER).max(attempts.len());
        let plan = attempts.clone();
        let outcome = hedge.run(move |attempt| match plan[attempt.index()] {
            Some(true) => Ok(attempt.index()),
            Some(false) => Err(attempt.index()),
            // Without the hook: two hundred cases would fill the screen.
            None => resume_unwind(Box::new(attempt.index().to_string())),
        });
        let good = attempts.iter().position(|does| *does == Some(true));
        prop_assert_eq!(hedge.stats().extra_attempts as usize, good.unwrap_or(attempts.len() - 1));
        match outcome {
            Ok(index) => prop_assert_eq!(Some(index), good),
            Err(error) => {
                prop_assert!(good.is_none());
                prop_assert_eq!(error.errors().len(), attempts.len());
                for (i, (error, does)) in error.errors().iter().zip(&attempts).enumerate() {
                    match error {
                        Error::Work(index) => prop_assert!(*index == i && does.is_some()),
                        Error::Panicked(panic) => prop_assert!(panic.message() == i.to_string() && does.is_none()),
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
            }
        }
    }
}

/// Issue: hung for ever. Attempt 0 waits for the flight of the call it is part of; attempt 1 is told; then so is the
/// call, because no attempt is left that could bring a reply.
#[test]
fn p7_attempts_that_wait_for_the_calls_own_flight() {
    within(|| {
        for max in [1, 2] {
            let group: Group<u8, u8> = Group::builder().name("rows").build();
            let again = group.clone();
            let outcome = group.try_work(&1, || {
                let hedge = Hedge::new().max(max).delay(SOON);
                Ok(match hedge.run(move |_| again.try_work(&1, || Ok(0))) {
                    Err(HedgeError::Deadlock(circle)) => {
                        let hops = circle.hops();
                        assert_eq!(hops.len(), 2, "{circle}");
                        assert_eq!((hops[0].kind(), hops[0].flight()), (Kind::Hedge, 1));
                        assert!(hops[0].thread().contains("\"hedge\""), "{circle}");
                        assert_eq!((hops[1].kind(), hops[1].group()), (Kind::Group, Some("rows")));
                        let words = circle.to_string();
                        assert!(
                            words.contains("would wait for hedged call 1 in a hedge on thread \"hedge\""),
                            "{words}"
                        );
                        5
                    }
                    Err(HedgeError::Failed(errors)) => {
                        assert!(errors.iter().all(|error| error.work().is_some_and(Error::is_deadlock)), "{errors:?}");
                        5
                    }
                    other => panic!("expected a deadlock, got {other:?}"),
                })
            });
            assert_eq!(outcome, Ok(5));
        }
    });
}

/// The call waits first: then the attempt that closes the circle is told, and can do something about it.
#[test]
fn p7_an_attempt_that_closes_the_circle_is_told() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let (again, own) = (group.clone(), group.clone());
        let value = group.work(&1, || {
            let outcome = Hedge::new().max(1).delay(NEVER).run(move |_| {
                // Until the call waits, nothing is refused: this one comes back.
                until(|| match again.call(&1).timeout(SOON).run(|| Ok(0)) {
                    Err(Error::TimedOut(_)) => false,
                    Err(Error::Deadlock(circle)) => {
                        assert_eq!(circle.hops().len(), 2);
                        true
                    }
                    other => panic!("expected a refusal, got {other:?}"),
                });
                again.try_work(&1, || Ok(0)).or_else(|error| if error.is_deadlock() { Ok(8) } else { Err(error) })
            });
            outcome.unwrap()
        });
        assert_eq!((value, own.in_flight()), (8, 0));
    });
}

/// One attempt waits for the call's own flight, the other one fails when that is sure: nothing is left to wait for.
#[test]
fn p7_the_call_is_told_when_its_last_hope_fails() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let value = group.work(&1, || {
            let outcome = Hedge::new().max(2).delay(SOON).run(no_hope(&group));
            let Err(HedgeError::Deadlock(circle)) = outcome else { panic!("expected a deadlock, got {outcome:?}") };
            assert_eq!(circle.hops().len(), 2);
            7
        });
        assert_eq!(value, 7);
    });
}

/// As long as one attempt can bring a reply nobody is told, however many wait for the caller.
#[test]
fn p7_no_alarm_while_one_attempt_goes_on() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let again = group.clone();
        let value = group.work(&1, || {
            let ask = |i: u8| {
                let again = again.clone();
                move |_: Attempt| {
                    if i < 2 {
                        return again.try_work(&1, || unreachable!("it is in the air"));
                    }
                    until_waiting(&again, &1, 2);
                    (0..100).for_each(|_| thread::yield_now());
                    Ok(i)
                }
            };
            hedge::first([0, 1, 2].map(ask)).unwrap()
        });
        assert_eq!((value, group.stats().deadlocked), (2, 0));
    });
}

/// An attempt to come that the budget denies is no way on: all that run wait for the caller.
#[test]
fn p7_a_denied_attempt_does_not_hide_a_deadlock() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let again = group.clone();
        let value = group.work(&1, || {
            let hedge = Hedge::new().delay(SOON).max(2).budget(0.0, 0);
            let outcome = hedge.run(move |_| again.try_work(&1, || Ok(0)));
            u8::from(outcome.is_err())
        });
        assert_eq!(value, 1);
    });
}

/// A hedge inside a hedge, round two groups and back.
#[test]
fn p7_a_circle_through_two_hedges() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let (outer, inner) = (group.clone(), group.clone());
        let value = group.work(&1, || {
            let outcome = Hedge::new().max(1).run(move |_| {
                let inner = inner.clone();
                outer.try_work(&2, || {
                    let inner = inner.clone();
                    match Hedge::new().max(1).run(move |_| inner.try_work(&1, || Ok(0))) {
                        Ok(value) => Ok(value),
                        Err(HedgeError::Deadlock(_) | HedgeError::Failed(_)) => Ok(9),
                        Err(other) => panic!("{other}"),
                    }
                })
            });
            outcome.unwrap_or(9)
        });
        assert_eq!(value, 9);
        until(|| group.in_flight() == 0);
    });
}

/// Hedges whose attempts call groups in one order only can never wait in a circle.
#[test]
fn p7_no_false_alarm_under_a_storm_of_hedges() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let threads = Threads::new(16);
        let callers: Vec<_> = (0..4_u8)
            .map(|caller| {
                let (group, threads) = (group.clone(), threads.clone());
                thread::spawn(move || {
                    for round in 0..60_u8 {
                        let low = (caller + round) % 2;
                        let inner = group.clone();
                        let value = group.try_work(&low, || {
                            let hedge = Hedge::new().threads(&threads).max(2).delay(Duration::ZERO);
                            let reply = hedge.run(move |attempt| {
                                thread::yield_now();
                                let key = 2 + (attempt.index() as u8 + round) % 2;
                                inner.try_work(&key, || Ok(1))
                            });
                            Ok(reply.unwrap_or_else(|error| panic!("{error}")))
                        });
                        assert_eq!(value, Ok(1));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!((group.stats().deadlocked, group.stats().panicked), (0, 0));
    });
}
