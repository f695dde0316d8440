//! `ErrGroup`: the first error comes back, the rest are told, skipped or joined, and panics keep their payload.

use crate::support::{message, until, until_waiting, within};
use flight_group::err_group::{Errors, NotSpawned};
use flight_group::{CancelToken, ErrGroup, Error, Group, Kind};
use proptest::prelude::*;
use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

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

/// x/sync errgroup: `TestTryGo` (as many as the limit allows, then refused, and admitted again afterwards).
#[test]
fn try_spawn_admits_as_many_as_the_limit_allows() {
    within(|| {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let task = |_: &CancelToken| held.lock().unwrap().recv().map_err(|e| e.to_string());
        let outcome: Outcome = ErrGroup::builder().limit(42).scope(|g| {
            for _ in 0..42 {
                g.try_spawn(task).unwrap();
            }
            assert!(matches!(g.try_spawn(task), Err(NotSpawned::Full(_))));
            for _ in 0..42 {
                release.send(()).unwrap();
            }
            assert!(g.wait());
            g.try_spawn(task).unwrap();
            release.send(()).unwrap();
        });
        assert_eq!(outcome, Ok(()));
    });
}

/// x/sync errgroup: `TestGoLimit`; conc: `TestErrorPool/limit`. And no more threads than the limit, however many tasks.
#[test]
fn never_more_tasks_nor_threads_than_the_limit() {
    within(|| {
        for limit in [1, 3, 10] {
            let (active, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let threads = Mutex::new(HashSet::new());
            let outcome: Outcome = ErrGroup::builder().limit(limit).scope(|g| {
                for _ in 0..=1_024 {
                    let admitted = g.spawn(|_| {
                        most.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        threads.lock().unwrap().insert(thread::current().id());
                        thread::yield_now();
                        active.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    });
                    assert!(admitted);
                }
            });
            assert_eq!(outcome, Ok(()));
            assert!(most.into_inner() <= limit);
            assert!(threads.into_inner().unwrap().len() <= limit, "threads are reused");
        }
    });
}

/// Without a limit every task has its thread: tasks that wait for each other get on.
#[test]
fn without_a_limit_all_tasks_run_at_once() {
    within(|| {
        let all = Barrier::new(20);
        let outcome: Outcome = ErrGroup::scope(|g| {
            for _ in 0..20 {
                g.spawn(|_| {
                    all.wait();
                    Ok(())
                });
            }
        });
        assert_eq!(outcome, Ok(()));
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

/// conc: `TestErrorPool/propagates_panics`, `TestWaitGroup/panic`; here with the payload itself, after all have ended.
#[test]
fn a_panic_is_re_raised_with_its_own_payload_after_all_have_ended() {
    within(|| {
        // Nobody is skipped: the panic comes when all have started.
        let (ended, started) = (AtomicUsize::new(0), Barrier::new(10));
        let payload = catch_unwind(AssertUnwindSafe(|| {
            ErrGroup::scope(|g| {
                for i in 0..10_u64 {
                    let (ended, started) = (&ended, &started);
                    g.spawn(move |token| -> Outcome {
                        started.wait();
                        if i == 5 {
                            panic_any(i);
                        }
                        let told = token.wait();
                        assert_eq!(told.cause().to_string(), "the work panicked: a payload that is not a string");
                        ended.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    });
                }
            })
        }))
        .unwrap_err();
        assert_eq!(*payload.downcast::<u64>().unwrap(), 5);
        assert_eq!(ended.into_inner(), 9);
    });
}

/// conc: `TestWaitGroup/panic/one_is_propagated`, `nonpanics_do_not_overwrite_panic`: a panic outranks errors, the
/// first one outranks later ones.
#[test]
fn the_first_panic_outranks_everything_else() {
    within(|| {
        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                g.spawn(|_| Err("an error".to_owned()));
                g.wait();
            })
        });
        assert_eq!(payload.unwrap(), Err("an error".to_owned()));

        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                g.spawn(|token| {
                    token.wait();
                    panic!("second")
                });
                g.spawn(|token| {
                    token.wait();
                    Err("an error".to_owned())
                });
                g.spawn(|_| panic!("first"));
            })
        });
        assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "first");
    });
}

#[test]
fn a_panic_of_the_scopes_closure_stops_the_tasks_and_goes_on_after_them() {
    within(|| {
        let (told, started) = (AtomicBool::new(false), Barrier::new(2));
        let payload = catch_unwind(AssertUnwindSafe(|| {
            ErrGroup::scope(|g| -> () {
                g.spawn(|token| {
                    started.wait();
                    let cause = token.wait().cause().to_string();
                    told.store(cause == "the work panicked: closure", Ordering::SeqCst);
                    Err("told".to_owned())
                });
                started.wait();
                panic!("closure")
            })
        }))
        .unwrap_err();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "closure");
        assert!(told.into_inner());
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

/// x/sync errgroup and conc block for ever here: the only place is the spawning task's own.
#[test]
fn a_task_that_spawns_into_a_full_group_runs_the_new_task_itself() {
    within(|| {
        let order = Mutex::new(Vec::new());
        let outcome: Outcome = ErrGroup::builder().limit(1).scope(|g| {
            let (g2, order) = (g.clone(), &order);
            g.spawn(move |_| {
                order.lock().unwrap().push("outer begins");
                assert!(g2.spawn(move |_| {
                    order.lock().unwrap().push("inner");
                    Ok(())
                }));
                order.lock().unwrap().push("outer ends");
                Ok(())
            });
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(order.into_inner().unwrap(), ["outer begins", "inner", "outer ends"]);
    });
}

#[test]
fn wait_in_a_task_is_a_panic_and_not_a_hang() {
    within(|| {
        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                let g2 = g.clone();
                g.spawn(move |_| -> Outcome {
                    g2.wait();
                    Ok(())
                });
            })
        })
        .unwrap_err();
        let message = payload.downcast::<&str>().unwrap();
        assert_eq!(*message, "wait was called by one of the group's own tasks: it would wait for itself");
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

#[test]
fn a_limit_of_zero_is_refused_by_name() {
    let payload = catch_unwind(|| ErrGroup::builder().limit(0)).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "the limit of an error group must be at least 1 task, got 0");
}

/// Bombs: an error whose `Display` or `Drop` panics, and a task whose captures panic when they are dropped unrun.
#[test]
fn user_types_that_panic_strand_nobody() {
    struct Bomb {
        on_display: bool,
        on_drop: bool,
    }
    impl fmt::Display for Bomb {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            assert!(!self.on_display, "boom in display");
            f.write_str("bomb")
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.on_drop && !thread::panicking() {
                panic!("boom in drop");
            }
        }
    }

    within(|| {
        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                g.spawn(|_| Err(Bomb { on_display: true, on_drop: false }));
            })
        });
        assert_eq!(*payload.err().unwrap().downcast::<&str>().unwrap(), "boom in display");

        // The second error is not wanted: its drop harms neither the thread nor the scope.
        let outcome = ErrGroup::scope(|g| {
            g.spawn(|token| {
                token.wait();
                Err(Bomb { on_display: false, on_drop: true })
            });
            g.spawn(|_| Err(Bomb { on_display: false, on_drop: false }));
        });
        assert!(!outcome.unwrap_err().on_drop);

        // Dropped unrun in `spawn`: a panic of the closure that called it.
        let payload = catch_unwind(|| {
            ErrGroup::scope(|g| {
                g.spawn(|_| Err("no"));
                g.wait();
                let bomb = Bomb { on_display: false, on_drop: true };
                g.spawn(move |_| {
                    let _bomb = &bomb;
                    Ok(())
                });
            })
        });
        assert_eq!(*payload.unwrap_err().downcast::<&str>().unwrap(), "boom in drop");
    });
}

/// All threads have been joined when the scope returns: what they keep in thread-locals is gone soon after.
#[test]
fn threads_end_with_the_scope() {
    struct Alive(Arc<AtomicUsize>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    thread_local!(static ALIVE: std::cell::RefCell<Option<Alive>> = const { std::cell::RefCell::new(None) });

    within(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let outcome: Outcome = ErrGroup::builder().limit(4).scope(|g| {
            for _ in 0..50 {
                let alive = Arc::clone(&alive);
                g.spawn(move |_| {
                    ALIVE.with_borrow_mut(|slot| {
                        slot.get_or_insert_with(|| {
                            alive.fetch_add(1, Ordering::SeqCst);
                            Alive(alive)
                        });
                    });
                    Ok(())
                });
            }
        });
        assert_eq!(outcome, Ok(()));
        until(|| alive.load(Ordering::SeqCst) == 0);
        assert_eq!(Arc::strong_count(&alive), 1);
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

/// Issue: at a limit of 1 the stack overflowed after some thousand tasks. A small stack, so that depth would show.
#[test]
fn p14_a_million_tasks_each_of_which_spawns_the_next() {
    fn link<'scope>(g: &ErrGroup<'scope, '_, String>, left: u32, ran: &'scope AtomicUsize) {
        ran.fetch_add(1, Ordering::Relaxed);
        if left > 1 {
            let own = g.clone();
            assert!(g.spawn(move |_| {
                link(&own, left - 1, ran);
                Ok(())
            }));
        }
    }
    // With the delays that hold windows open, each task takes 300 us.
    let shorter = if cfg!(flight_group_test_delay) { 1_000 } else { 1 };
    for (limit, length) in [(1, 1_000_000 / shorter), (3, 100_000 / shorter)] {
        let scope = move || {
            let ran = AtomicUsize::new(0);
            let outcome: Outcome = ErrGroup::builder().limit(limit).scope(|g| link(g, length, &ran));
            assert_eq!(outcome, Ok(()));
            assert_eq!(ran.into_inner(), length as usize);
        };
        // Longer than `within` allows where all is slow: a chain that runs ends.
        thread::Builder::new().stack_size(256 << 10).spawn(scope).unwrap().join().unwrap();
    }
}

/// Every place of the group is busy with a task that spawns: the chain goes on in the tasks' own places.
#[test]
fn p14_chains_in_all_places_of_a_full_group() {
    within(|| {
        fn link<'scope>(g: &ErrGroup<'scope, '_, String>, left: u32, ran: &'scope AtomicUsize) {
            ran.fetch_add(1, Ordering::Relaxed);
            if left > 1 {
                let own = g.clone();
                assert!(g.spawn(move |_| {
                    link(&own, left - 1, ran);
                    Ok(())
                }));
            }
        }
        let ran = AtomicUsize::new(0);
        let all = Barrier::new(4);
        let outcome: Outcome = ErrGroup::builder().limit(4).scope(|g| {
            for _ in 0..4 {
                let (own, all, ran) = (g.clone(), &all, &ran);
                g.spawn(move |_| {
                    all.wait();
                    link(&own, 5_000, ran);
                    Ok(())
                });
            }
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(ran.into_inner(), 20_000);
    });
}

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
#[cfg_attr(flight_group_test_delay, ignore = "a caller is counted 300 us before the deadlock check sees it wait")]
fn p7_a_spawn_that_all_places_wait_for_runs_the_task_itself() {
    within(|| {
        let group: Group<u8, thread::ThreadId> = Group::new();
        let here = thread::current().id();
        let outcome: Result<thread::ThreadId, Error<_>> = ErrGroup::builder().limit(2).scope(|g| {
            for _ in 0..2 {
                g.spawn(|_| {
                    until(|| group.in_flight() == 1);
                    group.try_work(&1, || unreachable!("it is in the air")).map(drop)
                });
            }
            group.work(&1, || {
                until_waiting(&group, &1, 2);
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
