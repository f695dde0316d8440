//! What helps, and what does not.

use crate::rayon_pool::Totals;
use crate::support::{PATIENCE, ROW, Rows, SHORT, Signal, answer, ask, pool, rows, thread_name, within};
use flight_group::crossbeam_channel::RecvTimeoutError;
use flight_group::{Error, Job};
use rayon::prelude::*;
use rayon::{ThreadPool, Yield, current_thread_index, scope, yield_now};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

/// A group whose spawned calls run in this pool.
fn rows_in(pool: &Arc<ThreadPool>) -> Arc<Rows> {
    let pool = pool.clone();
    Arc::new(Rows::builder().name("rows").executor(move |job: Job| pool.spawn(move || job.run())).build())
}

/// A load that uses the pool it runs in.
fn parallel_load() -> u64 {
    (0..1000).into_par_iter().sum()
}

#[test]
fn a_pool_of_their_own_for_the_loads_helps() {
    within(|| {
        let (calls, loads) = (pool("calls", 2), pool("loads", 2));
        let group = rows_in(&loads);
        let ran_on = Arc::new(Mutex::new(Vec::new()));
        let load = {
            let ran_on = ran_on.clone();
            move || {
                let sum = (0..1000).into_par_iter().inspect(|_| ran_on.lock().unwrap().push(thread_name())).sum();
                Ok(sum)
            }
        };
        let keys = [ROW, "other", ROW, "other", ROW, "other", ROW, "other"];
        let values: Vec<_> = calls.install(|| {
            let spawned = keys.par_iter().map(|key| group.spawn(key, load.clone()));
            spawned.map(|receiver| receiver.recv().unwrap().unwrap().value).collect()
        });
        assert_eq!(values, [499_500; 8]);
        assert_eq!(group.stats().deadlocked, 0);
        let ran_on = ran_on.lock().unwrap();
        assert!(ran_on.iter().all(|thread| thread.starts_with("loads ")));
    });
}

/// In the pool of the loads one load may run on top of another.
#[test]
fn a_load_on_top_of_another_does_no_harm() {
    within(|| {
        let loads = pool("loads", 1);
        let group = rows_in(&loads);
        let queued = Signal::default();
        let order = Arc::new(Mutex::new(Vec::new()));
        let under = group.spawn(&ROW, {
            let (queued, order) = (queued.clone(), order.clone());
            move || {
                queued.wait();
                assert_eq!(yield_now(), Some(Yield::Executed));
                order.lock().unwrap().push(ROW);
                Ok(7)
            }
        });
        let on_top = group.spawn(&"other", {
            let order = order.clone();
            move || {
                order.lock().unwrap().push("other");
                Ok(8)
            }
        });
        queued.set();
        assert_eq!(under.recv().unwrap().unwrap().value, 7);
        assert_eq!(on_top.recv().unwrap().unwrap().value, 8);
        assert_eq!(*order.lock().unwrap(), ["other", ROW]);
    });
}

/// The code on the page.
#[test]
fn the_totals_of_the_page_help() {
    within(|| {
        let (calls, totals) = (pool("calls", 2), Totals::new(2).unwrap());
        let orders: Vec<u64> = (0..1000).collect();
        let customers = [1_u64, 2, 1, 2, 1, 2, 1, 2];
        let found: Vec<_> =
            calls.install(|| customers.par_iter().map(|customer| totals.get(*customer, &orders, PATIENCE)).collect());
        assert_eq!(found, [const { Ok(499_500) }; 8]);
    });
}

/// One worker, which has a second call for the same key at hand while it waits. It does not run it: it sleeps, and the
/// load is done elsewhere.
#[test]
fn a_worker_that_waits_for_a_spawned_call_runs_nothing_on_top() {
    within(|| {
        let (calls, loads) = (pool("calls", 1), pool("loads", 2));
        let group = rows_in(&loads);
        let order = Arc::new(Mutex::new(Vec::new()));
        let call = |name: &'static str| {
            let (group, order) = (group.clone(), order.clone());
            move || {
                order.lock().unwrap().push(format!("{name} begins"));
                let landing = group.spawn(&ROW, || Ok(parallel_load())).recv().unwrap().unwrap();
                order.lock().unwrap().push(format!("{name} ends"));
                assert_eq!(landing.value, 499_500);
            }
        };
        let (first, second) = (call("first"), call("second"));
        calls.install(|| {
            scope(|tasks| {
                tasks.spawn(|_| second());
                first();
            });
        });
        assert_eq!(*order.lock().unwrap(), ["first begins", "first ends", "second begins", "second ends"]);
    });
}

#[test]
fn the_groups_own_threads_help_if_the_load_needs_no_worker_of_the_callers_pool() {
    within(|| {
        let (calls, group) = (pool("calls", 1), rows());
        let thread = Arc::new(Mutex::new(String::new()));
        let load = {
            let thread = thread.clone();
            move || {
                *thread.lock().unwrap() = thread_name();
                assert_eq!(current_thread_index(), None, "it is in no pool: `par_iter` would use the global one");
                Ok(7)
            }
        };
        let landing = calls.install(|| group.spawn(&ROW, load).recv().unwrap().unwrap());
        assert_eq!(landing.value, 7);
        assert_eq!(*thread.lock().unwrap(), "flight rows");
    });
}

/// No worker waits for a flight, so that even the pool of the calls may be the executor.
#[test]
fn receiving_outside_the_pool_helps() {
    within(|| {
        let pool = pool("calls", 1);
        let group = rows_in(&pool);
        let keys = [ROW, "other", ROW, "other"];
        let receivers: Vec<_> =
            pool.install(|| keys.par_iter().map(|key| group.spawn(key, || Ok(parallel_load()))).collect());
        for receiver in receivers {
            assert_eq!(receiver.recv().unwrap().unwrap().value, 499_500);
        }
    });
}

/// The job is queued behind the task that waits for it. A blocking call is not refused: its flight has no thread yet.
#[test]
fn the_callers_pool_as_executor_does_not_help() {
    within(|| {
        let pool = pool("calls", 1);
        let group = rows_in(&pool);
        let (received, followed, receiver) = answer(&ask(&pool, {
            let group = group.clone();
            move || {
                let receiver = group.spawn(&ROW, || Ok(7));
                let received = receiver.recv_timeout(SHORT).map(|_| ());
                let followed = group.call(&ROW).timeout(SHORT).run(|| unreachable!());
                (received, followed, receiver)
            }
        }));
        assert_eq!(received, Err(RecvTimeoutError::Timeout));
        assert_eq!(followed, Err(Error::timed_out()));
        assert_eq!(group.stats().deadlocked, 0);
        assert_eq!(receiver.recv().unwrap().unwrap().value, 7, "now that the worker is free");
    });
}

/// The group's own threads wait for the pool, whose only worker waits for them.
#[test]
fn the_groups_own_threads_do_not_help_if_the_load_uses_the_callers_pool() {
    within(|| {
        let (pool, group) = (pool("calls", 1), rows());
        let (received, receiver) = answer(&ask(&pool, {
            let pool = pool.clone();
            move || {
                let receiver = group.spawn(&ROW, move || Ok(pool.install(parallel_load)));
                (receiver.recv_timeout(SHORT).map(|_| ()), receiver)
            }
        }));
        assert_eq!(received, Err(RecvTimeoutError::Timeout));
        assert_eq!(receiver.recv().unwrap().unwrap().value, 499_500, "now that the worker is free");
    });
}

/// `install` into the pool that the task is in already runs the closure at once, on the same stack.
#[test]
fn install_in_the_same_pool_does_not_help() {
    within(|| {
        let (calls, group) = (pool("calls", 1), rows());
        let same = answer(&ask(&calls.clone(), move || {
            let (sender, same) = channel();
            group.work(&ROW, || {
                let (calls, group) = (calls.clone(), group.clone());
                rayon::spawn(move || {
                    drop(sender.send(calls.install(|| group.try_work(&ROW, || unreachable!()))));
                });
                assert_eq!(yield_now(), Some(Yield::Executed));
                7
            });
            same.try_recv().unwrap()
        }));
        assert!(matches!(same, Err(Error::Deadlock(_))), "{same:?}");
    });
}

/// A worker that waits in `install` for another pool runs tasks of its own pool meanwhile.
#[test]
fn install_in_another_pool_does_not_help() {
    within(|| {
        let (calls, loads, group, done) = (pool("calls", 1), pool("loads", 1), rows(), Signal::default());
        let same = answer(&ask(&calls, move || {
            let (sender, same) = channel();
            group.work(&ROW, || {
                let (on_top, refused) = (group.clone(), done.clone());
                rayon::spawn(move || {
                    drop(sender.send(on_top.try_work(&ROW, || unreachable!())));
                    refused.set();
                });
                loads.install(|| done.wait()); // until the other task has run
                7
            });
            same.try_recv().unwrap()
        }));
        assert!(matches!(same, Err(Error::Deadlock(_))), "{same:?}");
    });
}
