//! `Hedge` and `hedge::first`: the first good reply, at once, whatever the losers do.

mod deadlocks;
mod failures;
mod settings;
mod threads;

use crate::support::{until, within};
use flight_group::hedge::{self, Attempt, HedgeStats, InvalidHedge, Job, Threads};
use flight_group::{CancelToken, Error, Hedge, HedgeError};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
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
                } else {
                    until(|| made.load(Ordering::SeqCst) >= 7); // the others' threads may be late
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
