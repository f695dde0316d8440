//! `ErrGroup` in every order of admission, failure and end.

use crate::harness::{explore, spawn, work};
use flight_group::{ErrGroup, Error, Group};
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

/// Longer than the stack may be deep: the rest is put off, and every task runs once, in the only place.
#[test]
fn p14_a_chain_in_the_only_place_runs_to_its_end() {
    fn link<'scope>(g: &ErrGroup<'scope, '_, String>, left: usize, ran: &'scope AtomicUsize) {
        ran.fetch_add(1, Ordering::SeqCst);
        if left > 1 {
            let own = g.clone();
            assert!(g.spawn(move |_| {
                link(&own, left - 1, ran);
                Ok(())
            }));
        }
    }
    explore(|| {
        let ran = AtomicUsize::new(0);
        let outcome: Result<(), String> = ErrGroup::builder().limit(1).scope(|g| {
            let (own, ran) = (g.clone(), &ran);
            g.spawn(move |_| {
                link(&own, 20, ran);
                Ok(())
            });
            g.spawn(|_| Ok(()));
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(ran.load(Ordering::SeqCst), 20);
    });
}

/// The task waits for the thread that must wait for it: it is told, whether that thread sleeps by then or not.
#[test]
fn p7_a_task_that_waits_for_the_thread_of_its_scope_is_told() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let value = group.work(&1, || {
            let outcome = ErrGroup::builder().limit(1).scope(|g| {
                g.spawn(|_| match group.try_work(&1, || Ok(0)) {
                    Err(Error::Deadlock(circle)) => Err(circle.hops().len().to_string()),
                    other => panic!("expected a deadlock, got {other:?}"),
                });
                g.spawn(|_| Ok(()));
            });
            assert_eq!(outcome.unwrap_err(), "2");
            1
        });
        assert_eq!(value, 1);
    });
}

/// What is led inside the scope ends before it: waiting for that is no circle, though the scope waits for the task.
#[test]
fn p7_no_alarm_for_a_flight_that_is_led_inside_the_scope() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let outcome = ErrGroup::builder().limit(2).scope(|g| {
            for _ in 0..2 {
                g.spawn(|_| match group.try_work(&1, || Ok(1)) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(format!("a false alarm: {error}")),
                });
            }
            group.work(&1, || {
                work();
                1
            })
        });
        assert_eq!(outcome, Ok(1));
    });
}

/// All places may wait for the thread that wants one: it goes on in one more, or, if it waits first, the task is told.
/// With a place that waits for nothing, though it may not be run in yet, it waits for that, and nobody is told.
#[test]
fn p7_a_spawn_into_a_group_that_waits_for_the_caller() {
    for limit in [1, 2] {
        explore(move || {
            let group: Group<u8, u8> = Group::new();
            let caller = shuttle::thread::current().id();
            let (led, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let outcome = ErrGroup::builder().limit(limit).scope(|g| {
                g.spawn(|_| match group.try_work(&1, || Ok(1)) {
                    Err(error) if limit == 2 || !error.is_deadlock() => Err(format!("a false alarm: {error}")),
                    _ => Ok(()),
                });
                group.work(&1, || {
                    led.store(3, Ordering::SeqCst); // unless the task leads it
                    for _ in 0..3 {
                        let ran = &ran;
                        g.spawn(move |_| {
                            assert!(limit == 1 || shuttle::thread::current().id() != caller);
                            ran.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        });
                    }
                    1
                });
            });
            assert_eq!(outcome, Ok(()));
            assert_eq!(ran.load(Ordering::SeqCst), led.load(Ordering::SeqCst));
        });
    }
}

/// Two threads, each with a scope whose task waits for what the other leads: at least one task is told.
#[test]
fn p7_a_circle_through_two_scopes() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let told = std::sync::Arc::new(AtomicUsize::new(0));
        let both = std::sync::Arc::new(shuttle::sync::Barrier::new(2));
        let run = |mine: u8, other: u8| {
            let (group, told, both) = (group.clone(), told.clone(), both.clone());
            move || {
                group.work(&mine, || {
                    both.wait();
                    let outcome: Result<(), String> = ErrGroup::scope(|g| {
                        g.spawn(|_| match group.try_work(&other, || Ok(0)) {
                            Ok(_) => Ok(()),
                            Err(error) => {
                                assert!(error.is_deadlock());
                                told.fetch_add(1, Ordering::SeqCst);
                                Ok(())
                            }
                        });
                    });
                    assert_eq!(outcome, Ok(()));
                    mine
                })
            }
        };
        let other = spawn(run(1, 2));
        run(2, 1)();
        other.join().unwrap();
        assert!(told.load(Ordering::SeqCst) >= 1);
    });
}

/// Scopes, full groups and flights in one order only: nobody is told anything.
#[test]
fn p7_no_false_alarm_among_scopes_and_flights() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let calm = |outcome: Result<u8, Error<_>>| match outcome {
            Ok(_) => Ok(()),
            Err(error) => {
                let _: &Error<std::convert::Infallible> = &error;
                Err(format!("a false alarm: {error}"))
            }
        };
        let other = {
            let group = group.clone();
            spawn(move || {
                calm(group.try_work(&1, || Ok(calm(group.try_work(&2, || Ok(2))).map_or(0, |()| 1)))).unwrap()
            })
        };
        let outcome = ErrGroup::builder().limit(1).scope(|g| {
            for key in [1, 2] {
                let group = &group;
                g.spawn(move |_| {
                    calm(group.try_work(&key, || {
                        work();
                        Ok(key)
                    }))
                });
            }
            assert!(g.wait());
            calm(group.try_work(&1, || Ok(1)))
        });
        assert_eq!(outcome, Ok(Ok(())));
        other.join().unwrap();
    });
}
