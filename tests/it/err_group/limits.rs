//! How many tasks and threads there are at most (P14).

use super::Outcome;
use crate::support::{until, within};
use flight_group::err_group::NotSpawned;
use flight_group::{CancelToken, ErrGroup};
use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

/// x/sync errgroup: `TestTryGo` (as many as the limit allows, then refused, and admitted again afterwards).
#[test]
fn try_spawn_admits_as_many_as_the_limit_allows() {
    within(|| {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let task = |_: &CancelToken| held.lock().unwrap().recv().map_err(|e| e.to_string());
        let mut texts = Default::default();
        let outcome: Outcome = ErrGroup::builder().limit(42).scope(|g| {
            for _ in 0..42 {
                g.try_spawn(task).unwrap();
            }
            let refused = g.try_spawn(task).unwrap_err();
            assert!(matches!(refused, NotSpawned::Full(_)) && !refused.is_failed());
            texts = (format!("{refused:?}"), refused.to_string());
            for _ in 0..42 {
                release.send(()).unwrap();
            }
            assert!(g.wait());
            g.try_spawn(task).unwrap();
            release.send(()).unwrap();
        });
        assert_eq!(texts.0, "Full(..)");
        assert_eq!(texts.1, "as many tasks as the error group's limit allows are running");
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
fn a_limit_of_zero_is_refused_by_name() {
    let payload = catch_unwind(|| ErrGroup::builder().limit(0)).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "the limit of an error group must be at least 1 task, got 0");
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

/// A task that spawns the next one, `left` in all.
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

/// Issue: at a limit of 1 the stack overflowed after some thousand tasks. A small stack, so that depth would show.
#[test]
fn p14_a_million_tasks_each_of_which_spawns_the_next() {
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
