//! P10: `forget`, take-overs and age.

use crate::harness::{A_WHILE, explore, spawn, work};
use flight_group::{Group, Role};
use std::time::Duration;

/// The old flight's landing never removes its successor, and its callers still get its outcome.
#[test]
fn p10_a_forgotten_flight_leaves_its_successor_alone() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let callers: Vec<_> = (0..3)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let landing = group
                        .call(&1)
                        .run(|| {
                            work();
                            Ok(i)
                        })
                        .unwrap();
                    assert!(landing.role == Role::Follower || landing.value == i);
                })
            })
            .collect();
        let forgetters: Vec<_> = (0..2)
            .map(|_| {
                let group = group.clone();
                spawn(move || {
                    group.forget(&1);
                })
            })
            .collect();
        callers.into_iter().chain(forgetters).for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
        assert_eq!(group.work(&1, || 7), 7);
    });
}

/// Callers queued behind a forgotten flight go into the air at once: here the old flight does not land before
/// the fresh one has.
#[test]
fn p10_forget_wakes_the_captain() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let done = std::sync::Arc::new((shuttle::sync::Mutex::new(false), shuttle::sync::Condvar::new()));
        let old = {
            let (group, done) = (group.clone(), done.clone());
            spawn(move || {
                group.call(&1).run(|| {
                    let mut fresh = done.0.lock().unwrap();
                    while !*fresh {
                        fresh = done.1.wait(fresh).unwrap();
                    }
                    Ok(1)
                })
            })
        };
        while group.in_flight() == 0 {
            work();
        }
        let fresh: Vec<_> = (0..2)
            .map(|_| {
                let group = group.clone();
                spawn(move || {
                    group
                        .call(&1)
                        .fresh()
                        .run(|| {
                            work();
                            Ok(2)
                        })
                        .unwrap()
                })
            })
            .collect();
        while group.followers(&1) < 2 {
            work();
        }
        assert!(group.forget(&1));
        for caller in fresh {
            assert_eq!(caller.join().unwrap().value, 2);
        }
        *done.0.lock().unwrap() = true;
        done.1.notify_all();
        let landing = old.join().unwrap().unwrap();
        assert!(landing.detached() && landing.value == 1);
        assert_eq!(group.in_flight(), 0);
    });
}

/// Take-overs at any moment, of flights followed and of flights queued behind.
#[test]
fn p10_take_overs_detach_once_and_strand_nobody() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let callers: Vec<_> = (0..5)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let mut call = group.call(&1);
                    if i == 4 {
                        call = call.fresh();
                    }
                    let landing = if i > 1 {
                        call.takeover_after(A_WHILE).run(|| {
                            work();
                            Ok(i)
                        })
                    } else {
                        call.run(|| {
                            work();
                            Ok(i)
                        })
                    };
                    let landing = landing.unwrap();
                    assert!(landing.role == Role::Follower || landing.value == i);
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
        assert_eq!(group.followers(&1), 0);
    });
}

/// `max_age` of zero: nobody joins anybody, and every flight but the last is detached.
#[test]
fn p10_flights_too_old_are_not_joined() {
    explore(|| {
        let group: Group<u8, u8> = Group::builder().max_age(Duration::ZERO).build();
        let callers: Vec<_> = (0..3)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let landing = group
                        .call(&1)
                        .run(|| {
                            work();
                            Ok(i)
                        })
                        .unwrap();
                    assert_eq!((landing.value, landing.role), (i, Role::Leader));
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.stats().led, 3);
        assert_eq!(group.in_flight(), 0);
    });
}
