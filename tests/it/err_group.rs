//! `ErrGroup`: the first error comes back, the rest are told, skipped or joined, and panics keep their payload.

mod deadlocks;
mod failures;
mod limits;
mod panics;

use crate::support::within;
use flight_group::err_group::Errors;
use flight_group::{CancelToken, ErrGroup};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};

type Outcome = Result<(), String>;

#[test]
fn auto_traits_are_pinned() {
    fn shared<T: Send + Sync + UnwindSafe + RefUnwindSafe + Clone + fmt::Debug>() {}
    fn error<T: std::error::Error + Send + Sync + Clone + PartialEq>() {}
    shared::<ErrGroup<'_, '_, String>>();
    error::<Errors<std::num::ParseIntError>>();
}

/// x/sync errgroup: `TestZeroGroup` (after every task, `Wait` says whether anything has failed so far; the scope
/// returns the first error of the list).
#[test]
fn wait_after_every_task_and_the_first_error_at_the_end() {
    within(|| {
        for errors in [&[][..], &[None], &[Some("1")], &[Some("1"), None], &[Some("1"), None, Some("2")]] {
            let first = errors.iter().flatten().next();
            let outcome: Result<(), &str> = ErrGroup::scope(|g| {
                let mut failed = false;
                for error in errors {
                    failed |= error.is_some();
                    g.spawn(move |_| error.map_or(Ok(()), Err));
                    assert_eq!(g.wait(), !failed);
                }
            });
            assert_eq!(outcome.err(), first.copied());
        }
    });
}

/// x/sync errgroup: `TestWithContext`, `TestCancelCause` (the token is cancelled when the group ends, with the first
/// error as its cause where there is one).
#[test]
fn the_token_is_cancelled_with_the_first_errors_message_or_the_scopes_end() {
    within(|| {
        for (errors, cause) in [
            (&[][..], "the scope of the error group has ended"),
            (&[None], "the scope of the error group has ended"),
            (&[Some("doomed")], "doomed"),
            (&[Some("doomed"), None], "doomed"),
        ] {
            let mut token = CancelToken::new();
            let outcome: Result<(), &str> = ErrGroup::scope(|g| {
                token = g.token().clone();
                assert!(!token.is_cancelled());
                for error in errors {
                    let _ = g.try_spawn(move |_| error.map_or(Ok(()), Err));
                }
            });
            assert_eq!(outcome.is_err(), cause == "doomed");
            assert_eq!(token.cause().unwrap().to_string(), cause);
        }
    });
}

/// x/sync errgroup: `ExampleGroup_parallel` (results go to slots of the caller's frame).
#[test]
fn tasks_borrow_from_the_frame_around_the_scope() {
    within(|| {
        let words = ["web", "image", "video"];
        let mut found = vec![String::new(); words.len()];
        let returned = ErrGroup::scope(|g| {
            for (slot, word) in found.iter_mut().zip(&words) {
                g.spawn(move |_| {
                    *slot = format!("{word} result");
                    Ok::<(), String>(())
                });
            }
            "what the closure returned"
        });
        assert_eq!(returned, Ok("what the closure returned"));
        assert_eq!(found, ["web result", "image result", "video result"]);
    });
}

/// conc: `TestContextPool/context_error_propagates` (a cancel from outside reaches the tasks, and what they make of it
/// comes back). None is skipped: a scope that returns `Ok` has run every task.
#[test]
fn a_parents_cancel_reaches_tasks_and_skips_none() {
    within(|| {
        let request = CancelToken::new();
        request.cancel("the user went away");
        let ran = AtomicUsize::new(0);
        let outcome: Outcome = ErrGroup::builder().limit(1).parent(&request).scope(|g| {
            for _ in 0..3 {
                g.spawn(|token| {
                    assert_eq!(token.cause().unwrap().to_string(), "the user went away");
                    ran.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
            }
            g.wait();
            g.spawn(|token| token.check().map_err(|e| e.to_string()));
        });
        assert_eq!(outcome, Err("cancelled: the user went away".to_owned()));
        assert_eq!(ran.into_inner(), 3);

        let outer = CancelToken::new();
        let failed: Outcome = ErrGroup::builder().parent(&outer).scope(|g| {
            g.spawn(|_| Err("mine".to_owned()));
        });
        assert!(failed.is_err() && !outer.is_cancelled(), "a failure stays in its group");
    });
}

/// A group inside a task of a group: the inner one's blocking calls are not taken for the outer one's.
#[test]
fn groups_nest() {
    within(|| {
        let total = AtomicUsize::new(0);
        let outcome: Outcome = ErrGroup::builder().limit(2).scope(|outer| {
            for _ in 0..4 {
                let total = &total;
                outer.spawn(move |token| {
                    ErrGroup::builder().limit(1).parent(token).scope(|inner| {
                        for _ in 0..5 {
                            inner.spawn(|_| {
                                total.fetch_add(1, Ordering::SeqCst);
                                Ok(())
                            });
                        }
                        assert!(inner.wait());
                    })
                });
            }
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(total.into_inner(), 20);
    });
}
