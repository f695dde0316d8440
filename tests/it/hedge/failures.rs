//! Attempts that fail or panic, and losers that run on: what becomes of their errors and results.

use super::{Dropped, Gate, NEVER, SOON};
use crate::support::{until, within};
use flight_group::hedge::Threads;
use flight_group::{CancelToken, Error, Hedge, HedgeError};
use proptest::prelude::*;
use std::error::Error as _;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

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
