//! What callers and leaders do in a pool, and what the deadlock check sees.

use crate::support::{ROW, Rows, Signal, answer, ask, ask_thread, pool, rows, until, within};
use flight_group::Error;
use rayon::prelude::*;
use rayon::{Yield, current_thread_index, join, scope, yield_now};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// The circle that a call on this thread was refused for has so many hops.
fn hops(outcome: Result<u64, Error<std::convert::Infallible>>) -> usize {
    match outcome {
        Err(Error::Deadlock(circle)) => circle.hops().len(),
        other => panic!("expected a deadlock, got {other:?}"),
    }
}

#[test]
fn a_follower_blocks_its_worker_and_the_other_worker_goes_on() {
    within(|| {
        let (pool, group, land) = (pool("calls", 2), rows(), Signal::default());
        let leader = ask_thread({
            let (group, land) = (group.clone(), land.clone());
            move || {
                let work = || {
                    land.wait();
                    7
                };
                group.work(&ROW, work)
            }
        });
        until(|| group.flights().len() == 1);
        let follower = ask(&pool, {
            let group = group.clone();
            move || (current_thread_index().unwrap(), group.work(&ROW, || unreachable!()))
        });
        until(|| group.followers(&ROW) == 1);

        let tasks = 0..1000;
        let ran_on: Vec<_> = pool.install(|| tasks.into_par_iter().map(|_| current_thread_index().unwrap()).collect());
        assert_eq!(group.followers(&ROW), 1, "it still waits");

        land.set();
        let (blocked, value) = answer(&follower);
        assert_eq!((value, answer(&leader)), (7, 7));
        assert!(ran_on.iter().all(|worker| *worker != blocked), "worker {blocked} waited: {ran_on:?}");
    });
}

/// The leader is in its closure until `go`, and its sum is that of all numbers below 1,000.
fn three_follow_and_get_the_sum(group: &Arc<Rows>, go: &Signal, leader: &Receiver<u64>) {
    until(|| group.flights().len() == 1);
    let followers = [(); 3].map(|()| {
        let group = group.clone();
        ask_thread(move || group.work(&ROW, || unreachable!()))
    });
    until(|| group.followers(&ROW) == 3);
    go.set();
    assert_eq!(answer(leader), 499_500);
    assert!(followers.iter().all(|follower| answer(follower) == 499_500));
}

/// The leader is a worker, the followers are threads.
#[test]
fn a_leader_may_join() {
    within(|| {
        let sum = |group: Arc<Rows>, go: Signal| {
            group.work(&ROW, || {
                go.wait();
                let (left, right) = join(|| (0..500).sum::<u64>(), || (500..1000).sum::<u64>());
                left + right
            })
        };
        let (pool, group, go) = (pool("calls", 2), rows(), Signal::default());
        let leader = ask(&pool, {
            let (group, go) = (group.clone(), go.clone());
            move || sum(group, go)
        });
        three_follow_and_get_the_sum(&group, &go, &leader);
    });
}

/// The leader is a thread, the pool does its work, and the followers are other threads.
#[test]
fn a_leader_may_use_par_iter() {
    within(|| {
        let (pool, group, go) = (pool("loads", 2), rows(), Signal::default());
        let leader = ask_thread({
            let (group, go) = (group.clone(), go.clone());
            move || {
                let work = || {
                    go.wait();
                    pool.install(|| (0..1000_u64).into_par_iter().sum())
                };
                group.work(&ROW, work)
            }
        });
        three_follow_and_get_the_sum(&group, &go, &leader);
    });
}

/// One worker. Its leader yields to rayon, and so runs two other tasks on top of its own stack.
#[test]
fn a_task_on_top_of_its_leader_is_refused_for_that_key_only() {
    within(|| {
        let (pool, group) = (pool("calls", 1), rows());
        let (same, other, landed) = answer(&ask(&pool, {
            let group = group.clone();
            move || {
                let (mut same, mut other) = (None, None);
                let landed = scope(|tasks| {
                    let (same, other) = (&mut same, &mut other);
                    group.try_work(&ROW, || {
                        tasks.spawn(|_| *same = Some(group.try_work(&ROW, || unreachable!())));
                        tasks.spawn(|_| *other = Some(group.try_work(&"other", || Ok(8))));
                        assert_eq!(yield_now(), Some(Yield::Executed));
                        assert_eq!(yield_now(), Some(Yield::Executed));
                        assert_eq!(group.stats().led, 2, "the other ran while the row's flight was in the air");
                        Ok(7)
                    })
                });
                (same.unwrap(), other.unwrap(), landed)
            }
        }));
        assert_eq!(hops(same), 1);
        assert_eq!((other, landed), (Ok(8), Ok(7)));
        assert_eq!(group.work(&ROW, || 9), 9, "the key works");
    });
}

/// Two workers. The leader joins, its other half is stolen, and while it waits for that half it runs another task.
#[test]
fn a_leader_that_joins_may_run_a_task_for_its_own_key() {
    within(|| {
        let (pool, group) = (pool("calls", 2), rows());
        let (stolen, done) = (Signal::default(), Signal::default());
        let (same, landed) = answer(&ask(&pool, move || {
            let (sender, same) = channel();
            let landed = group.try_work(&ROW, || {
                let on_top = group.clone();
                let mine = || {
                    stolen.wait(); // from here on the other worker is busy
                    let done = done.clone();
                    rayon::spawn(move || {
                        let refused = on_top.try_work(&ROW, || unreachable!());
                        let _ = sender.send((current_thread_index(), refused));
                        done.set();
                    });
                    current_thread_index()
                };
                let theirs = || {
                    stolen.set();
                    done.wait();
                    current_thread_index()
                };
                let (mine, theirs) = join(mine, theirs);
                assert_ne!(mine, theirs);
                Ok(mine.unwrap() as u64)
            });
            (same.try_recv().unwrap(), landed.unwrap())
        }));
        let (worker, refused) = same;
        assert_eq!(worker.unwrap() as u64, landed, "on the leader's own stack");
        assert_eq!(hops(refused), 1);
    });
}

/// The first worker leads the row. The second leads the table, and asks for the row. A task on top of the first asks for the
/// table. Whichever of the two waits last closes the circle, and is refused.
#[test]
fn a_circle_through_two_workers_is_seen() {
    within(|| {
        let (pool, group, led) = (pool("calls", 2), rows(), Signal::default());
        let first = ask(&pool, {
            let (group, led) = (group.clone(), led.clone());
            move || {
                let (sender, on_top) = channel();
                let landed = group.try_work(&ROW, || {
                    led.set();
                    until(|| group.followers(&ROW) == 1); // the second worker is blocked, or about to be
                    let group = group.clone();
                    rayon::spawn(move || drop(sender.send(group.try_work(&"table", || unreachable!()))));
                    assert_eq!(yield_now(), Some(Yield::Executed));
                    Ok(7)
                });
                (on_top.try_recv().unwrap(), landed)
            }
        });
        led.wait();
        let second = ask(&pool, {
            let group = group.clone();
            move || {
                let mut row = None;
                let table = group.try_work(&"table", || {
                    row = Some(group.try_work(&ROW, || unreachable!()));
                    Ok(8)
                });
                (row.unwrap(), table)
            }
        });
        let ((on_top, landed), (row, table)) = (answer(&first), answer(&second));
        assert_eq!((landed, table), (Ok(7), Ok(8)));
        match (on_top, row) {
            (Ok(8), row) => assert_eq!(hops(row), 2),
            (on_top, row) => assert_eq!((hops(on_top), row), (2, Ok(7))),
        }
        assert_eq!(group.stats().deadlocked, 1);
    });
}
