//! Which error comes back, and what becomes of the other tasks.

use super::Outcome;
use crate::support::{until, within};
use flight_group::ErrGroup;
use flight_group::err_group::Errors;
use proptest::prelude::*;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// conc: `TestContextPool/WithFirstError_and_WithCancelOnError` (who is told by the first failure does not replace it).
#[test]
fn the_first_error_is_returned_though_others_follow() {
    within(|| {
        let outcome: Outcome = ErrGroup::scope(|g| {
            for _ in 0..3 {
                g.spawn(|token| Err(format!("told: {}", token.wait().cause())));
            }
            g.spawn(|_| Err("first".to_owned()));
        });
        assert_eq!(outcome, Err("first".to_owned()));
    });
}

/// conc: `TestErrorPool/wait_error_is_all_returned_errors`, `TestContextPool/WithCancelOnError`.
#[test]
fn all_errors_come_back_in_the_order_of_failing() {
    within(|| {
        let outcome: Result<(), Errors<String>> = ErrGroup::builder().all_errors().scope(|g| {
            g.spawn(|token| Err(format!("told: {}", token.wait().cause())));
            g.spawn(|_| Err("first".to_owned()));
            g.spawn(|_| Ok(()));
        });
        let errors = outcome.unwrap_err();
        assert_eq!(errors.first(), "first");
        assert_eq!(errors.iter().collect::<Vec<_>>(), ["first", "told: first"]);
        let text = errors.to_string();
        assert!(text.starts_with("2 tasks failed") && text.ends_with(": first; told: first"), "{text}");
    });
}

/// What a log shows: how many failed, how many were skipped if any were, and every message.
#[test]
fn the_text_of_errors_counts_and_tells_them_all() {
    within(|| {
        let one: Result<(), Errors<fmt::Error>> = ErrGroup::builder().all_errors().scope(|g| {
            g.spawn(|_| Err(fmt::Error));
        });
        let one = one.unwrap_err();
        assert_eq!(one.to_string(), format!("1 task failed: {}", fmt::Error));
        assert!(one.source().unwrap().is::<fmt::Error>());
        assert_eq!(one.skipped(), 0);

        let skipped: Result<(), Errors<&str>> = ErrGroup::builder().limit(1).all_errors().scope(|g| {
            g.spawn(|_| Err("disk full"));
            g.wait();
            g.spawn(|_| Ok(()));
        });
        assert_eq!(skipped.unwrap_err().to_string(), "1 task failed, 1 skipped: disk full");

        let two: Result<(), Errors<&str>> = ErrGroup::builder().limit(1).keep_going().all_errors().scope(|g| {
            g.spawn(|_| Err("a"));
            g.wait();
            g.spawn(|_| Err("b"));
        });
        assert_eq!(two.unwrap_err().to_string(), "2 tasks failed: a; b");
    });
}

/// conc: `TestContextPool/no_WithCancelOnError` (an error need not stop the others).
#[test]
fn a_group_that_keeps_going_runs_every_task_and_tells_nobody() {
    within(|| {
        let ran = AtomicUsize::new(0);
        let outcome: Result<(), Errors<String>> = ErrGroup::builder().limit(1).keep_going().all_errors().scope(|g| {
            for i in 0..10 {
                let ran = &ran;
                assert!(g.spawn(move |token| {
                    ran.fetch_add(1, Ordering::SeqCst);
                    assert!(!token.is_cancelled());
                    if i % 5 == 0 { Err(i.to_string()) } else { Ok(()) }
                }));
            }
            assert!(!g.wait());
        });
        assert_eq!(outcome.unwrap_err().into_vec(), ["0", "5"]);
        assert_eq!(ran.into_inner(), 10);

        let first: Outcome = ErrGroup::builder().limit(1).keep_going().scope(|g| {
            g.spawn(|_| Err("1".to_owned()));
            g.spawn(|_| Err("2".to_owned()));
        });
        assert_eq!(first, Err("1".to_owned()));
    });
}

#[test]
fn tasks_not_started_when_the_group_fails_are_dropped_unrun_and_counted() {
    within(|| {
        let alive = Arc::new(());
        let outcome: Result<(), Errors<&str>> = ErrGroup::builder().limit(1).all_errors().scope(|g| {
            g.spawn(|_| Err("no"));
            assert!(!g.wait());
            for _ in 0..5 {
                let alive = Arc::clone(&alive);
                assert!(!g.spawn(move |_| {
                    drop(alive);
                    unreachable!("a skipped task ran")
                }));
            }
            assert_eq!(g.skipped(), 5);
            assert_eq!(Arc::strong_count(&alive), 1, "dropped before spawn returned");
            let refused = g.try_spawn(|_| Ok(())).unwrap_err();
            assert!(refused.is_failed());
            assert_eq!(format!("{refused:?}"), "Failed(..)");
            assert_eq!(refused.to_string(), "the error group has failed and admits no more tasks");
            assert_eq!(g.skipped(), 5, "a task given back is not skipped");
        });
        assert_eq!(outcome.unwrap_err().skipped(), 5);
    });
}

/// A `spawn` blocked at the limit returns when the group fails, though no place becomes free: the failing task runs in
/// the place of one that goes on until the blocked call has returned.
#[test]
fn a_failure_ends_the_wait_for_admission() {
    within(|| {
        let returned = AtomicBool::new(false);
        let outcome: Outcome = ErrGroup::builder().limit(1).scope(|g| {
            let (g2, returned) = (g.clone(), &returned);
            g.spawn(move |_| {
                g2.spawn(|_| Err("failed".to_owned()));
                until(|| returned.load(Ordering::SeqCst));
                Ok(())
            });
            assert!(!g.spawn(|_| unreachable!("a skipped task ran")));
            returned.store(true, Ordering::SeqCst);
        });
        assert_eq!(outcome, Err("failed".to_owned()));
    });
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Work,
    Fail,
    Panic,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any list of tasks under any limit. Every task runs, is skipped or is refused, once; a failed group says so, with
    /// the panic before the error; a group of one place is exactly "in turn, until the first failure".
    #[test]
    fn every_list_of_tasks_adds_up(
        tasks in prop::collection::vec(prop_oneof![4 => Just(Does::Work), 1 => Just(Does::Fail), 1 => Just(Does::Panic)], 0..12),
        limit in 1..4_usize,
        keep_going: bool,
    ) {
        let ran = Mutex::new(Vec::new());
        let mut skipped = 0;
        let mut builder = ErrGroup::builder().limit(limit);
        if keep_going {
            builder = builder.keep_going();
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| builder.all_errors().scope(|g| {
            for (i, task) in tasks.iter().enumerate() {
                let ran = &ran;
                g.spawn(move |_| {
                    ran.lock().unwrap().push(i);
                    match task {
                        Does::Work => Ok(()),
                        Does::Fail => Err(i),
                        // Without the hook: two hundred cases would fill the screen.
                        Does::Panic => resume_unwind(Box::new(i)),
                    }
                });
            }
            g.wait();
            skipped = g.skipped();
        })));
        let mut ran = ran.into_inner().unwrap();
        prop_assert_eq!(ran.len() + skipped, tasks.len());

        let stops = |does: &Does| *does == Does::Panic || *does == Does::Fail && !keep_going;
        let of = |kind: Does, ran: &[usize]| ran.iter().copied().filter(|&i| tasks[i] == kind).collect::<Vec<_>>();
        let (failed, panicked) = (of(Does::Fail, &ran), of(Does::Panic, &ran));
        match outcome {
            Ok(Ok(())) => prop_assert!(failed.is_empty() && panicked.is_empty() && skipped == 0),
            Ok(Err(errors)) => {
                prop_assert!(panicked.is_empty());
                prop_assert_eq!(errors.skipped(), skipped);
                let mut errors = errors.into_vec();
                errors.sort_unstable();
                let mut failed = failed;
                failed.sort_unstable();
                prop_assert_eq!(errors, failed);
            }
            Err(payload) => prop_assert!(panicked.contains(payload.downcast_ref::<usize>().unwrap())),
        }
        if limit == 1 {
            let first_stop = tasks.iter().position(stops).map_or(tasks.len(), |i| i + 1);
            prop_assert_eq!(ran, (0..first_stop).collect::<Vec<_>>());
        } else {
            ran.sort_unstable();
            ran.dedup();
            prop_assert_eq!(ran.len() + skipped, tasks.len(), "no task ran twice");
        }
    }
}
