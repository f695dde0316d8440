//! P9: all that the leader's closure did happens before any follower's call returns. (On a machine with a strong
//! memory order only ThreadSanitizer sees a breach: run these, and tests/stress.rs, under it.)

use crate::support::{Held, finish, line_up, within};
use flight_group::{Group, WriteGroup};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::spawn;

/// Relaxed on both sides: only the flight orders them.
#[test]
fn p9_followers_see_what_the_leader_wrote_beside_its_value() {
    within(|| {
        let group: Group<u8, u64> = Group::new();
        let beside: Arc<[AtomicU64; 8]> = Arc::default();
        for round in 1..50 {
            let leader = Held::start({
                let (group, beside) = (group.clone(), beside.clone());
                move |stay| {
                    group.work(&1, || {
                        stay();
                        beside.iter().for_each(|cell| cell.store(round, Relaxed));
                        round
                    })
                }
            });
            let seen = beside.clone();
            let followers = line_up(&group, 1, 4, move |group, i| {
                let value = if i == 3 {
                    group.call(&1).follow().unwrap().unwrap().value
                } else {
                    group.work(&1, || unreachable!())
                };
                assert!(seen.iter().all(|cell| cell.load(Relaxed) >= value));
            });
            leader.release();
            followers.into_iter().for_each(finish);
        }
    });
}

#[test]
fn p9_a_receiver_sees_what_the_leader_wrote() {
    within(|| {
        let group: Group<u8, ()> = Group::new();
        for round in 1..50 {
            let beside = Arc::new(AtomicU64::new(0));
            let written = beside.clone();
            let receiver = group.spawn(&1, move || {
                written.store(round, Relaxed);
                Ok(())
            });
            receiver.recv().unwrap().unwrap();
            assert_eq!(beside.load(Relaxed), round);
        }
    });
}

/// One write run after the other sees what the former did: the key is a lock for its closures.
#[test]
fn p9_each_run_of_a_key_sees_the_run_before_it() {
    within(|| {
        let group: WriteGroup<u8> = WriteGroup::new();
        let counter = Arc::new(AtomicU64::new(0));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (group, counter) = (group.clone(), counter.clone());
                spawn(move || {
                    for _ in 0..200 {
                        group.write(&1, || {
                            let seen = counter.load(Relaxed); // load and store: no read-modify-write to hide behind
                            std::thread::yield_now();
                            counter.store(seen + 1, Relaxed);
                        });
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        assert_eq!(counter.load(Relaxed), group.stats().led);
    });
}
