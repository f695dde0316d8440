//! Reads: P1, P2, P6, P8, P9.

use crate::harness::{A_WHILE, Alone, Clock, explore, explore_for, spawn, work};
use flight_group::{Error, Group, Role};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// P1, P2, P8, P9: one at a time, every outcome from a flight that was in the air during the call, nothing left.
///
/// A flight is in the air from before its closure starts until some moment before the first of its callers returns.
#[test]
fn p1_p2_callers_of_one_key_share_flights_they_met() {
    explore(|| {
        let group: Group<u8, usize> = Group::new();
        let (alone, clock) = (Arc::new(Alone::default()), Arc::new(Clock::default()));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (group, alone, clock) = (group.clone(), alone.clone(), clock.clone());
                spawn(move || {
                    [(); 2].map(|()| {
                        let arrived = clock.tick();
                        let landing = group.call(&1).run(|| Ok(alone.run(|| clock.tick()))).unwrap();
                        (arrived, landing.role, landing.value, clock.tick())
                    })
                })
            })
            .collect();
        let calls: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        for &(arrived, _, started, returned) in &calls {
            assert!(calls.iter().any(|call| call.1 == Role::Leader && call.2 == started));
            let landed = calls.iter().filter(|call| call.2 == started).map(|call| call.3).min().unwrap();
            assert!(started < returned && arrived < landed, "a flight outside the call was joined");
        }
        assert_eq!(group.in_flight(), 0);
        let stats = group.stats();
        assert_eq!(stats.led + stats.joined, 6);
    });
}

/// P1: different keys run at the same time: each waits inside its closure for the other.
#[test]
fn p1_different_keys_never_wait_for_each_other() {
    explore(|| {
        let group: Group<u8, ()> = Group::new();
        let meeting = Arc::new(shuttle::sync::Barrier::new(2));
        let other = {
            let (group, meeting) = (group.clone(), meeting.clone());
            spawn(move || {
                group.work(&2, || {
                    meeting.wait();
                });
            })
        };
        group.work(&1, || {
            meeting.wait();
        });
        other.join().unwrap();
    });
}

/// P6: deadlines pass at any moment, and nobody else is disturbed; an outcome that is there wins.
#[test]
fn p6_timeouts_disturb_nobody() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let patient: Vec<_> = (0..2)
            .map(|_| {
                let group = group.clone();
                spawn(move || {
                    assert!(
                        group
                            .call(&1)
                            .run(|| {
                                work();
                                Ok(1)
                            })
                            .is_ok()
                    )
                })
            })
            .collect();
        let hasty: Vec<_> = (0..3)
            .map(|_| {
                let group = group.clone();
                spawn(move || {
                    match group.call(&1).timeout(A_WHILE).run(|| {
                        work();
                        Ok(1)
                    }) {
                        Ok(landing) => assert_eq!(landing.value, 1),
                        Err(error) => assert_eq!(error, Error::timed_out()),
                    }
                })
            })
            .collect();
        patient.into_iter().chain(hasty).for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
    });
}

/// Seven followers sleep on the flight's condvar: one broadcast wakes all of them.
#[test]
fn p6_every_follower_is_woken() {
    explore(|| many_followers(7, |_| false));
}

/// Some followers time out before the landing, and some during it.
#[test]
fn p6_followers_that_leave_keep_nobody_asleep() {
    explore(|| many_followers(4, |follower| follower < 2));
    explore(|| many_followers(4, |follower| follower % 2 == 1));
}

/// The leader lands once everybody has boarded; who has no deadline returns with its outcome.
fn many_followers(followers: usize, hasty: impl Fn(usize) -> bool) {
    let group: Group<u8, u8> = Group::new();
    let mut callers = Vec::new();
    group.work(&1, || {
        for follower in 0..followers {
            let (group, hasty) = (group.clone(), hasty(follower));
            callers.push(spawn(move || {
                let unused = || unreachable!("the flight lands with a value");
                let landing = match hasty {
                    true => group.call(&1).timeout(A_WHILE).run(unused),
                    false => group.call(&1).run(unused),
                };
                assert!(landing.is_ok_and(|landing| landing.value == 7) || hasty);
            }));
        }
        while group.stats().joined < followers as u64 {
            shuttle::thread::yield_now();
        }
        7
    });
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

/// Some of six followers time out.
#[test]
fn p6_a_share_of_wake_ups_is_never_lost() {
    explore_for(4, || {
        let group: Group<u8, u8> = Group::new();
        let callers: Vec<_> = (0..6)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let call = group.call(&1);
                    let landing = if i % 2 == 0 {
                        call.run(|| {
                            work();
                            Ok(1)
                        })
                    } else {
                        call.timeout(A_WHILE).run(|| {
                            work();
                            Ok(1)
                        })
                    };
                    assert!(landing.is_ok() || landing == Err(Error::timed_out()) && i % 2 == 1);
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}

/// `follow` follows or returns, and never leads.
#[test]
fn p2_follow_follows_a_flight_in_the_air() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let leader = {
            let group = group.clone();
            spawn(move || {
                group.work(&1, || {
                    work();
                    5
                })
            })
        };
        if let Some(landing) = group.call(&1).follow() {
            let landing = landing.unwrap();
            assert_eq!((landing.value, landing.role), (5, Role::Follower));
        }
        assert_eq!(leader.join().unwrap(), 5);
        assert_eq!(group.call(&1).follow(), None);
    });
}

/// P8 beside many keys: slots come and go under each other's feet.
#[test]
fn p8_an_idle_group_holds_nothing() {
    explore(|| {
        let group: Group<u8, u8> = Group::builder().shards(1).build();
        let callers: Vec<_> = (0..4u8)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    for key in 0..3 {
                        group.work(&((key + i) % 3), || {
                            work();
                            key
                        });
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
        assert!(group.flights().is_empty());
    });
}

/// However threads are scheduled, one expiry costs one load: whoever missed just before a landing looks again.
#[test]
fn a_read_through_loads_once() {
    explore(|| {
        let group: Group<u8, usize> = Group::new();
        let (cache, loads) = (Arc::new(shuttle::sync::Mutex::new(None)), Arc::new(Alone::default()));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (group, cache, loads) = (group.clone(), cache.clone(), loads.clone());
                spawn(move || {
                    let load = || {
                        let value = loads.run(|| 7);
                        *cache.lock().unwrap() = Some(value);
                        Ok(value)
                    };
                    group.read_through(&1, || *cache.lock().unwrap(), load)
                })
            })
            .collect();
        assert!(callers.into_iter().all(|caller| caller.join().unwrap() == Ok(7)));
        assert_eq!((loads.runs.load(SeqCst), group.in_flight()), (1, 0));
    });
}
