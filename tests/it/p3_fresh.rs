//! P3: a write, and a fresh read, gets the outcome of a flight whose closure started after the call arrived; a
//! burst during one run costs one more.

use crate::support::{Alone, Clock, Held, finish, hold, line_up, until_waiting, within};
use flight_group::{Group, Role, WriteGroup};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread::spawn;

#[test]
fn p3_a_write_is_not_covered_by_a_run_that_had_started() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let first = hold(&group, 1, || 1);
        let second = line_up(&group, 1, 1, |group, _| group.call(&1).run(|| Ok(2)));
        assert_eq!(first.release(), 1);
        let landing = second.into_iter().map(finish).next().unwrap().unwrap();
        assert_eq!((landing.value, landing.role), (2, Role::Leader));
        assert_eq!((group.stats().led, group.stats().joined), (2, 0));
    });
}

#[test]
fn p3_a_fresh_read_is_not_served_by_a_flight_that_had_started() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let old = hold(&group, 1, || 1);
        let fresh = line_up(&group, 1, 3, |group, i| group.call(&1).fresh().run(|| Ok(10 + i as u32)));
        let plain = {
            let group = group.clone();
            spawn(move || group.call(&1).run(|| Ok(99)))
        };
        until_waiting(&group, &1, 4);
        // A fresh onlooker boards the queued flight, too.
        let onlooker = {
            let group = group.clone();
            spawn(move || group.call(&1).fresh().follow())
        };
        until_waiting(&group, &1, 5);
        assert_eq!(old.release(), 1);
        assert_eq!(finish(plain).unwrap().value, 1, "who does not ask for a fresh one boards what is in the air");
        for (i, caller) in fresh.into_iter().enumerate() {
            let landing = finish(caller).unwrap();
            assert_eq!(landing.value, 12, "the newest of the fresh closures");
            assert_eq!(landing.role == Role::Leader, i == 2);
        }
        assert_eq!(finish(onlooker).unwrap().unwrap().value, 12);
        assert_eq!((group.stats().led, group.stats().joined), (2, 4), "two led, and whoever led joined nobody");
    });
}

/// x/sync's users do this by hand with `Forget`; see peers_defects.rs.
#[test]
fn p3_a_fresh_read_leads_at_once_where_nothing_flies() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let landing = group.call(&1).fresh().run(|| Ok(5)).unwrap();
        assert_eq!((landing.value, landing.role), (5, Role::Leader));
    });
}

#[test]
fn p3_a_burst_during_one_run_costs_one_more_run() {
    within(|| {
        let group: WriteGroup<u8, usize> = WriteGroup::new();
        let alone = Arc::new(Alone::default());
        let first = Held::start({
            let (group, alone) = (group.clone(), alone.clone());
            move |stay| {
                group.write(&1, || {
                    alone.run(|| {
                        stay();
                        100
                    })
                })
            }
        });
        let runs = alone.clone();
        let burst = line_up(&group, 1, 40, move |group, i| group.write(&1, || runs.run(|| i)));
        first.release();
        assert!(burst.into_iter().all(|caller| finish(caller) == 39));
        assert_eq!(alone.runs(), 2);
        alone.assert_never_two();
        assert_eq!(group.stats().superseded, 39);
    });
}

/// The same without any order: every caller's value was made by a closure that began after the call did.
#[test]
fn p3_under_a_storm_every_write_is_covered_by_a_later_run() {
    within(|| {
        let group: WriteGroup<u8, u64> = WriteGroup::new();
        let reads: Group<u8, u64> = Group::new();
        let (clock, alone) = (Arc::new(Clock::default()), Arc::new(Alone::default()));
        let callers: Vec<_> = (0..6)
            .map(|_| {
                let (group, reads, clock, alone) = (group.clone(), reads.clone(), clock.clone(), alone.clone());
                spawn(move || {
                    for _ in 0..200 {
                        let arrived = clock.tick();
                        let began = group.write(&1, || alone.run(|| clock.tick()));
                        assert!(began > arrived, "handed a run that had started before the call");
                        let arrived = clock.tick();
                        let began = reads.call(&1).fresh().run(|| Ok(clock.tick())).unwrap().value;
                        assert!(began > arrived, "a fresh read was handed an older flight");
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        alone.assert_never_two();
    });
}

/// What it is for: the last state always wins, whatever the callers' order.
#[test]
fn p3_the_last_change_is_always_written() {
    within(|| {
        let group: WriteGroup<u8, u64> = WriteGroup::new();
        let (source, copy) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        for _ in 0..30 {
            let callers: Vec<_> = (0..4)
                .map(|_| {
                    let (group, source, copy) = (group.clone(), source.clone(), copy.clone());
                    spawn(move || {
                        let mine = source.fetch_add(1, SeqCst) + 1;
                        group.write(&1, || {
                            let now = source.load(SeqCst);
                            copy.store(now, SeqCst);
                            now
                        });
                        assert!(copy.load(SeqCst) >= mine, "returned before its change was written");
                    })
                })
                .collect();
            callers.into_iter().for_each(finish);
            assert_eq!(copy.load(SeqCst), source.load(SeqCst));
        }
    });
}

#[test]
fn p3_wait_returns_when_all_writes_that_arrived_before_are_done() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        assert_eq!(group.call(&1).flush(), None);
        let done = Arc::new(AtomicU32::new(0));
        let first = Held::start({
            let (group, done) = (group.clone(), done.clone());
            move |stay| {
                group.write(&1, || {
                    stay();
                    done.fetch_add(1, SeqCst)
                })
            }
        });
        let of_the_first = wait_for_one(&group, &done);
        until_waiting(&group, &1, 1);
        let queued = {
            let (group, done) = (group.clone(), done.clone());
            spawn(move || group.write(&1, || done.fetch_add(1, SeqCst)))
        };
        until_waiting(&group, &1, 2);
        let of_both = wait_for_one(&group, &done);
        until_waiting(&group, &1, 3);
        first.release();
        finish(queued);
        let (value, role, seen) = finish(of_the_first);
        assert_eq!((value, role), (0, Role::Follower));
        assert!(seen >= 1);
        let (value, role, seen) = finish(of_both);
        assert_eq!((value, role, seen), (1, Role::Follower, 2));
    });
}

type Onlooker = std::thread::JoinHandle<(u32, Role, u32)>;

fn wait_for_one(group: &WriteGroup<u8, u32>, done: &Arc<AtomicU32>) -> Onlooker {
    let (group, done) = (group.clone(), done.clone());
    spawn(move || {
        let landing = group.call(&1).flush().unwrap().unwrap();
        (landing.value, landing.role, done.load(SeqCst))
    })
}
