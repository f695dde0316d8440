//! `ErrGroup` in every order of admission, failure and end.

use crate::harness::explore;
use flight_group::ErrGroup;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

/// Every task runs once, never more at a time than the limit, and the scope ends: no wake-up is lost between
/// blocked spawns, idle threads and the close.
#[test]
fn every_task_runs_once_within_the_limit() {
    explore(|| {
        let (ran, active) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outcome: Result<(), String> = ErrGroup::builder().limit(2).scope(|g| {
            for _ in 0..4 {
                assert!(g.spawn(|_| {
                    assert!(active.fetch_add(1, Ordering::SeqCst) < 2);
                    ran.fetch_add(1, Ordering::SeqCst);
                    active.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }));
            }
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(ran.load(Ordering::SeqCst), 4);
    });
}

/// Whatever fails first: its error is returned, it is the cause every waiting task sees, and run, failed and skipped
/// add up.
#[test]
fn the_first_error_is_the_cause_and_every_task_is_accounted_for() {
    explore(|| {
        let (ran, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut cause = String::new();
        let outcome = ErrGroup::builder().limit(2).all_errors().scope(|g| {
            for i in 0..4 {
                let ran = &ran;
                let admitted = g.spawn(move |_| {
                    ran.fetch_add(1, Ordering::SeqCst);
                    if i > 0 { Err(i) } else { Ok(()) }
                });
                refused.fetch_add(usize::from(!admitted), Ordering::SeqCst);
            }
            assert!(!g.wait());
            cause = g.token().wait().cause().to_string();
        });
        let errors = outcome.unwrap_err();
        assert_eq!(errors.first().to_string(), cause);
        let ran = ran.load(Ordering::SeqCst);
        assert_eq!(ran + errors.skipped(), 4);
        assert!(errors.skipped() >= refused.load(Ordering::SeqCst));
        assert!(errors.iter().count() >= ran - 1);
    });
}

/// A task that was admitted, but not yet started, is skipped, too; in some schedules there is one.
#[test]
fn an_admitted_task_is_skipped_when_the_group_fails_before_it_starts() {
    static SEEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    explore(|| {
        let ran = AtomicUsize::new(0);
        let mut admitted = false;
        let outcome = ErrGroup::builder().all_errors().scope(|g| {
            g.spawn(|_| Err("no"));
            admitted = g.spawn(|_| {
                ran.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
        });
        let skipped = outcome.unwrap_err().skipped();
        assert_eq!(skipped + ran.load(Ordering::SeqCst), 1);
        SEEN.fetch_or(admitted && skipped == 1, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(SEEN.load(std::sync::atomic::Ordering::Relaxed));
}

/// The token is cancelled with the first error before the scope can end with another cause.
#[test]
fn tasks_that_wait_are_told_the_first_error() {
    explore(|| {
        let outcome = ErrGroup::scope(|g| {
            for _ in 0..2 {
                g.spawn(|token| {
                    let cause = token.wait().cause().to_string();
                    assert!(cause == "left" || cause == "right", "{cause}");
                    Ok(())
                });
            }
            g.spawn(|_| Err("left"));
            g.spawn(|_| Err("right"));
            let waited = g.token().clone();
            g.wait();
            waited.cause().unwrap().to_string()
        });
        assert!(matches!(outcome, Err("left" | "right")));
    });
}

/// A task may spawn into the full group and fail there; a spawn blocked in the closure is let go.
#[test]
fn a_failure_inside_a_place_lets_blocked_spawns_go() {
    explore(|| {
        let returned = flight_group::CancelToken::new();
        let outcome: Result<(), &str> = ErrGroup::builder().limit(1).scope(|g| {
            let (g2, returned) = (g.clone(), &returned);
            g.spawn(move |_| {
                g2.spawn(|_| Err("inner"));
                returned.wait();
                Ok(())
            });
            assert!(!g.spawn(|_| Ok(())));
            returned.cancel("returned");
        });
        assert_eq!(outcome, Err("inner"));
    });
}

/// A panic of any task at any moment: all are joined, and the payload is the first one's.
#[test]
fn a_panic_ends_the_group_with_its_payload() {
    explore(|| {
        let ended = AtomicUsize::new(0);
        let payload = catch_unwind(AssertUnwindSafe(|| {
            ErrGroup::builder().limit(2).scope(|g| {
                let ended = &ended;
                g.spawn(move |token| -> Result<(), String> {
                    token.wait();
                    ended.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
                g.spawn(|_| panic_any(7_u8));
                g.spawn(|_| Ok(()));
            })
        }))
        .unwrap_err();
        assert_eq!(*payload.downcast::<u8>().unwrap(), 7);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    });
}
