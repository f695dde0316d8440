//! P7 in a scope: a task that waits for the thread of its scope, and circles through other threads.

use crate::support::{SOON, message, until, until_refused, until_waiting, within};
use flight_group::{ErrGroup, Error, Group, Kind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

/// The thread that leads the flight cannot leave its scope without the task: the task is told, whoever waits first.
#[test]
fn p7_a_task_that_waits_for_the_thread_of_its_scope_is_told() {
    within(|| {
        let group: Group<u8, u32> = Group::builder().name("rows").debug_keys().build();
        for body_first in [false, true] {
            let before = group.stats().deadlocked;
            let value = group.work(&1, || {
                let outcome = ErrGroup::scope(|g| {
                    g.spawn(|_| {
                        if body_first {
                            (0..100).for_each(|_| thread::yield_now()); // the body ends; nothing tells when it sleeps
                        }
                        match group.try_work(&1, || Ok(0)) {
                            Err(Error::Deadlock(circle)) => Err(circle),
                            other => panic!("expected a deadlock, got {other:?}"),
                        }
                    });
                    until(|| body_first || group.stats().deadlocked > before);
                });
                let circle = outcome.unwrap_err();
                let hops = circle.hops();
                assert_eq!(hops.len(), 2, "{circle}");
                assert_eq!((hops[0].kind(), hops[0].group(), hops[0].key()), (Kind::Group, Some("rows"), Some("1")));
                assert_eq!((hops[1].kind(), hops[1].group(), hops[1].key()), (Kind::ErrGroup, None, None));
                assert!(hops[1].thread().contains("err-group"), "{circle}");
                let words = circle.to_string();
                assert!(words.contains("in an error group on thread \"err-group\""), "{words}");
                7
            });
            assert_eq!(value, 7);
        }
        assert_eq!(group.stats().deadlocked, 2);
    });
}

/// Through another thread: the task waits for a flight whose leader waits for the scope's thread.
#[test]
fn p7_a_circle_through_a_scope_and_another_thread() {
    within(|| {
        let (group, refused) = (Group::<u8, u32>::new(), AtomicUsize::new(0));
        let call = |key: u8| {
            group.try_work(&key, || Ok(0)).map(drop).or_else(|error| {
                assert!(error.is_deadlock(), "{error}");
                refused.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        };
        let both = Barrier::new(2);
        thread::scope(|threads| {
            threads.spawn(|| {
                group.work(&2, || {
                    both.wait();
                    call(1).map(|()| 2).unwrap_or_else(|error: Error<std::convert::Infallible>| panic!("{error}"))
                })
            });
            group.work(&1, || {
                both.wait();
                let outcome = ErrGroup::scope(|g| {
                    g.spawn(|_| call(2));
                });
                assert!(outcome.is_ok());
                1
            });
        });
        assert!(refused.into_inner() >= 1);
    });
}

/// What the scope's thread leads inside the scope can end before the scope: a task may wait for it.
#[test]
fn p7_no_alarm_for_a_flight_that_is_led_inside_the_scope() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let outcome: Result<u32, Error<_>> = ErrGroup::scope(|g| {
            g.spawn(|_| {
                until(|| group.in_flight() == 1);
                assert_eq!(group.try_work(&1, || unreachable!("it is in the air"))?, 5);
                Ok(())
            });
            group.work(&1, || {
                until_waiting(&group, &1, 1);
                5
            })
        });
        assert_eq!(outcome, Ok(5));
        assert_eq!(group.stats().deadlocked, 0);
    });
}

/// But if that flight then waits for the task, `wait` has no error to return.
#[test]
fn p7_wait_is_a_panic_where_a_task_waits_for_the_calling_thread() {
    within(|| {
        let group: Group<u8, u32> = Group::builder().name("rows").build();
        let payload = catch_unwind(AssertUnwindSafe(|| {
            ErrGroup::scope(|g| {
                g.spawn(|_| {
                    until(|| group.in_flight() == 1);
                    match group.try_work(&1, || unreachable!("it is in the air")) {
                        Err(Error::Panicked(panic)) => Err(panic),
                        other => panic!("expected its leader's panic, got {other:?}"),
                    }
                });
                group.work(&1, || {
                    until_waiting(&group, &1, 1);
                    u32::from(g.wait())
                })
            })
        }))
        .unwrap_err();
        let words = message(&*payload);
        assert!(words.starts_with("deadlock: this thread would wait for scope "), "{words}");
        assert!(words.contains("in an error group on thread \"err-group\""), "{words}");
        assert!(
            words.contains(", which waits for flight ") && words.contains("in group \"rows\" on thread"),
            "{words}"
        );
        assert_eq!(group.in_flight(), 0);
    });
}

/// All places wait for the calling thread: it goes on in one more, instead of for ever.
#[test]
fn p7_a_spawn_that_all_places_wait_for_runs_the_task_itself() {
    within(|| {
        let group: Group<u8, thread::ThreadId> = Group::new();
        let (places, here) = (Group::<u8, _>::new(), thread::current().id());
        let outcome: Result<thread::ThreadId, Error<_>> = ErrGroup::builder().limit(2).scope(|g| {
            for place in 0..2 {
                let (group, places) = (&group, &places);
                g.spawn(move |_| {
                    until(|| group.in_flight() == 1);
                    places.work(&place, || group.try_work(&1, || unreachable!("it is in the air")).map(drop))
                });
            }
            group.work(&1, || {
                until_waiting(&group, &1, 2);
                for place in 0..2 {
                    until_refused(|| places.call(&place).timeout(SOON).run(|| unreachable!("it is in the air")));
                }
                let (ran, said) = mpsc::channel();
                assert!(g.spawn(move |_| {
                    ran.send(thread::current().id()).unwrap();
                    Ok(())
                }));
                said.try_recv().expect("it ran before spawn returned")
            })
        });
        assert_eq!(outcome, Ok(here));
    });
}

/// As long as one place is held by a task that goes on, `spawn` waits for it.
#[test]
fn p7_a_spawn_that_one_place_does_not_wait_for_blocks() {
    within(|| {
        let group: Group<u8, thread::ThreadId> = Group::new();
        let here = thread::current().id();
        let outcome: Result<thread::ThreadId, Error<_>> = ErrGroup::builder().limit(2).scope(|g| {
            g.spawn(|_| {
                until(|| group.in_flight() == 1);
                group.try_work(&1, || unreachable!("it is in the air")).map(drop)
            });
            let (go, gone) = mpsc::channel::<()>();
            g.spawn(move |_| {
                let _ = gone.recv();
                (0..100).for_each(|_| thread::yield_now());
                Ok(())
            });
            group.work(&1, || {
                until_waiting(&group, &1, 1);
                drop(go);
                let (ran, said) = mpsc::channel();
                assert!(g.spawn(move |_| {
                    ran.send(thread::current().id()).unwrap();
                    Ok(())
                }));
                said.recv().unwrap()
            })
        });
        assert_ne!(outcome.unwrap(), here);
    });
}

/// Scopes inside flights and flights inside tasks, in one order of keys only: nobody is told anything.
#[test]
fn p7_no_false_alarm_under_a_storm_of_scopes() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let callers: Vec<_> = (0..4_u8)
            .map(|caller| {
                let group = group.clone();
                thread::spawn(move || {
                    for round in 0..40_u8 {
                        let low = (caller + round) % 2;
                        let value = group.try_work(&low, || {
                            let outcome = ErrGroup::builder().limit(2).scope(|g| {
                                for key in 2..6 {
                                    let group = &group;
                                    assert!(g.spawn(move |_| {
                                        let inner = || {
                                            thread::yield_now();
                                            group.try_work(&(key + 4), || Ok(1)).map_err(|error| panic!("{error}"))
                                        };
                                        group.try_work(&key, inner).map(drop)
                                    }));
                                }
                                g.wait()
                            });
                            assert_eq!(outcome, Ok(true));
                            Ok(1)
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
