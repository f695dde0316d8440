//! P4: of the closures whose callers are still waiting at promotion the newest runs, the others are dropped unrun;
//! a superseded caller returns when the run that covers it has landed, never earlier.

use crate::support::{AGES, Clock, Held, SOON, finish, hold, line_up, until, until_waiting, within};
use flight_group::{Error, Group, Role, WriteGroup};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread::spawn;

#[test]
fn p4_the_newest_of_those_waiting_runs() {
    within(|| {
        for n in 1..8 {
            let group: WriteGroup<u8, usize> = WriteGroup::new();
            let first = hold(&group, 1, || 1000);
            let queued = line_up(&group, 1, n, |group, i| group.call(&1).run(|| Ok(i)).unwrap());
            first.release();
            for (i, caller) in queued.into_iter().enumerate() {
                let landing = finish(caller);
                assert_eq!(landing.value, n - 1);
                assert_eq!(landing.role, if i == n - 1 { Role::Leader } else { Role::Follower });
                assert_eq!(landing.shared(), n > 1);
            }
            assert_eq!(group.stats().superseded as usize, n - 1);
        }
    });
}

/// Spawned and blocked calls stand in one line.
#[test]
fn p4_a_spawned_call_can_be_the_newest_and_can_be_superseded() {
    within(|| {
        for spawned_last in [true, false] {
            let group: WriteGroup<u8, usize> = WriteGroup::new();
            let first = hold(&group, 1, || 1000);
            let earlier = group.spawn(&1, || Ok(0));
            until_waiting(&group, &1, 1);
            let blocked = {
                let group = group.clone();
                spawn(move || group.call(&1).run(|| Ok(1)).unwrap())
            };
            until_waiting(&group, &1, 2);
            let later = spawned_last.then(|| group.spawn(&1, || Ok(2)));
            first.release();
            let expected = if spawned_last { 2 } else { 1 };
            let blocked = finish(blocked);
            assert_eq!((blocked.value, blocked.role == Role::Leader), (expected, !spawned_last));
            let earlier = earlier.recv().unwrap().unwrap();
            assert_eq!((earlier.value, earlier.role), (expected, Role::Follower));
            if let Some(later) = later {
                let later = later.recv().unwrap().unwrap();
                assert_eq!((later.value, later.role), (expected, Role::Leader));
            }
            assert_eq!(group.stats().led, 2);
        }
    });
}

/// Whoever leaves the line is not the newest any more, wherever it stood.
#[test]
fn p4_who_has_timed_out_is_not_counted() {
    within(|| {
        for (impatient, expected) in [(2, 1), (1, 2), (0, 2)] {
            let group: WriteGroup<u8, usize> = WriteGroup::new();
            let first = hold(&group, 1, || 1000);
            // All three stand in line before the impatient one's time is up, or it is already gone: both are fine.
            let callers: Vec<_> = (0..3)
                .map(|i| {
                    let boarded = group.stats().joined;
                    let caller = {
                        let group = group.clone();
                        spawn(move || {
                            let wait = if i == impatient { SOON } else { AGES };
                            group.call(&1).timeout(wait).run(|| Ok(i))
                        })
                    };
                    until(|| group.stats().joined > boarded);
                    caller
                })
                .collect();
            until(|| callers[impatient].is_finished());
            assert_eq!(group.followers(&1), 2);
            first.release();
            for (i, caller) in callers.into_iter().enumerate() {
                match finish(caller) {
                    Ok(landing) => assert_eq!(landing.value, expected),
                    Err(error) => assert_eq!((error, i), (Error::timed_out(), impatient)),
                }
            }
            assert_eq!(group.stats().timed_out, 1);
        }
    });
}

#[test]
fn p4_a_superseded_caller_returns_after_the_run_that_covers_it() {
    within(|| {
        let group: WriteGroup<u8, usize> = WriteGroup::new();
        let clock = Arc::new(Clock::default());
        let ended = Arc::new(AtomicU64::new(0));
        let first = hold(&group, 1, || 1000);
        let returned = clock.clone();
        let superseded = line_up(&group, 1, 3, move |group, i| {
            let value = group.write(&1, || i);
            (value, returned.tick())
        });
        let (newest, entered) = Held::begin({
            let (group, clock, ended) = (group.clone(), clock.clone(), ended.clone());
            move |stay| {
                group.write(&1, || {
                    stay();
                    ended.store(clock.tick(), SeqCst);
                    77
                })
            }
        });
        until_waiting(&group, &1, 4);
        first.release();
        entered.pass();
        assert_eq!(group.followers(&1), 3, "the superseded wait for the run that covers them");
        assert!(superseded.iter().all(|caller| !caller.is_finished()));
        newest.release();
        for caller in superseded {
            let (value, returned) = finish(caller);
            assert_eq!(value, 77);
            assert!(returned > ended.load(SeqCst), "returned before the covering run had ended");
        }
    });
}

/// The rule holds for fresh reads, too, and after `forget` has promoted them.
#[test]
fn p4_the_newest_fresh_read_runs() {
    within(|| {
        for forget in [false, true] {
            let group: Group<u8, usize> = Group::new();
            let old = hold(&group, 1, || 1000);
            let fresh = line_up(&group, 1, 4, |group, i| group.call(&1).fresh().run(|| Ok(i)).unwrap());
            if forget {
                assert!(group.forget(&1));
            } else {
                old.let_go();
            }
            for (i, caller) in fresh.into_iter().enumerate() {
                let landing = finish(caller);
                assert_eq!((landing.value, landing.role == Role::Leader), (3, i == 3));
            }
            assert_eq!(old.release(), 1000);
        }
    });
}
