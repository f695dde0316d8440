//! Defects of other crates and packages that must be impossible here, one test each, named after its owner.

use crate::support::{Alone, Held, finish, hold, line_up, message, until, until_waiting, within};
use flight_group::{Error, Group, Role, WriteGroup};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{park, spawn};

/// go-zero: followers of a leader that panicked get a nil value and no error.
#[test]
fn p5_not_go_zeros_false_success_after_a_panic() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let leader = hold(&group, 1, || panic!("the leader's"));
        let followers = line_up(&group, 1, 5, |group, _| group.try_work(&1, || Ok(1)));
        assert_eq!(message(&*leader.release_caught().unwrap_err()), "the leader's");
        for follower in followers {
            assert!(matches!(finish(follower), Err(Error::Panicked(panic)) if panic.message() == "the leader's"));
        }
    });
}

/// groupcache, and the crate `singleflight` 0.3: followers of a leader that panicked hang, and so does the key.
#[test]
fn p5_not_groupcaches_and_singleflights_hang_after_a_panic() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        for _ in 0..3 {
            let leader = hold(&group, 1, || panic!("the leader's"));
            let followers = line_up(&group, 1, 3, |group, _| group.call(&1).run(|| Ok(1)));
            assert!(leader.release_caught().is_err());
            assert!(followers.into_iter().all(|follower| finish(follower).unwrap_err().is_panicked()));
            assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));
        }
    });
}

/// moka: a panicking `V::clone` kills the key.
#[test]
fn p5_not_mokas_key_killed_by_a_panicking_clone() {
    #[derive(Debug)]
    struct Grumpy(Arc<AtomicUsize>);
    impl Clone for Grumpy {
        fn clone(&self) -> Self {
            assert_ne!(self.0.fetch_add(1, SeqCst), 0, "the first clone fails");
            Self(self.0.clone())
        }
    }
    within(|| {
        let group: Group<u8, Grumpy> = Group::new();
        let clones = Arc::new(AtomicUsize::new(0));
        let leader = Held::start({
            let (group, clones) = (group.clone(), clones.clone());
            move |stay| {
                group.work(&1, || {
                    stay();
                    Grumpy(clones)
                })
            }
        });
        let followers = line_up(&group, 1, 3, |group, _| group.work(&1, || unreachable!()));
        let mut panics = usize::from(leader.release_caught().is_err());
        for follower in followers {
            panics += usize::from(follower.join().is_err());
        }
        assert_eq!(panics, 1, "it concerns the one caller the clone was made for");
        group.work(&1, || Grumpy(clones.clone()));
        assert_eq!(group.in_flight(), 0);
    });
}

/// x/sync, moka, quick_cache, once_map: a closure that calls for its own key waits for itself, silently.
#[test]
fn p7_not_the_peers_hang_on_re_entry() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let value = group.try_work(&1, || match group.try_work(&1, || Ok(0)) {
            Err(Error::Deadlock(_)) => Ok(5),
            other => panic!("{other:?}"),
        });
        assert_eq!(value, Ok(5));
    });
}

/// The same peers: two threads, a -> b and b -> a.
#[test]
fn p7_not_the_peers_hang_on_a_two_thread_cycle() {
    within(|| {
        let group: Group<&str, u32> = Group::new();
        let both_lead = Arc::new(Barrier::new(2));
        let callers: Vec<_> = [("a", "b"), ("b", "a")]
            .into_iter()
            .map(|(mine, other)| {
                let (group, both_lead) = (group.clone(), both_lead.clone());
                spawn(move || {
                    group.try_work(&mine, || {
                        both_lead.wait();
                        Ok(group.try_work(&other, || Ok(0)).map_or(100, |value| value + 1))
                    })
                })
            })
            .collect();
        let values: Vec<_> = callers.into_iter().map(|caller| finish(caller).unwrap()).collect();
        assert!(values.contains(&100), "one of them was told: {values:?}");
        assert_eq!(group.in_flight(), 0);
    });
}

/// x/sync, golang/go#31420: the landing of a forgotten flight removes its successor from the map.
#[test]
fn p10_not_x_syncs_forgotten_flight_that_removes_its_successor() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let hold = |value| hold(&group, 1, move || value);
        let first = hold(1);
        group.forget(&1);
        let second = hold(2);
        assert_eq!(first.release(), 1);
        let third = line_up(&group, 1, 1, |group, _| group.work(&1, || 3));
        assert_eq!(second.release(), 2);
        assert!(third.into_iter().all(|caller| finish(caller) == 2), "the second flight was not to be found");
    });
}

/// x/sync: who calls after a write has returned may be given the value from before it. Here `.fresh()` or
/// `invalidates` keep that from happening.
#[test]
fn p3_not_x_syncs_value_from_before_the_write() {
    within(|| {
        for invalidates in [false, true] {
            let stored = Arc::new(AtomicU32::new(1));
            let reads: Group<u8, u32> = Group::new();
            let writes: WriteGroup<u8> = {
                let builder = WriteGroup::builder();
                if invalidates { builder.invalidates(&reads).build() } else { builder.build() }
            };
            let slow = Held::start({
                let (reads, stored) = (reads.clone(), stored.clone());
                move |stay| {
                    reads.work(&1, || {
                        let value = stored.load(SeqCst);
                        stay();
                        value
                    })
                }
            });
            writes.write(&1, || stored.store(2, SeqCst));
            let after = {
                let (reads, stored) = (reads.clone(), stored.clone());
                spawn(move || {
                    let call = reads.call(&1);
                    let call = if invalidates { call } else { call.fresh() };
                    call.run(|| Ok(stored.load(SeqCst))).unwrap().value
                })
            };
            if !invalidates {
                until_waiting(&reads, &1, 1);
                slow.let_go();
            }
            assert_eq!(finish(after), 2);
            assert_eq!(slow.release(), 1);
        }
    });
}

/// resenje.org/singleflight: a flight that is done can still be joined while its callers drain.
#[test]
fn p2_not_resenjes_completed_flight_that_stays_joinable() {
    /// Its clones take as long as the test wants: the followers drain, one after the other.
    struct Slow(u32, Arc<crate::support::Gate>);
    impl Clone for Slow {
        fn clone(&self) -> Self {
            self.1.pass();
            Self(self.0, self.1.clone())
        }
    }
    within(|| {
        let group: Group<u8, Slow> = Group::new();
        let drained = crate::support::Gate::new();
        let leader = Held::start({
            let (group, drained) = (group.clone(), drained.clone());
            move |stay| {
                group.work(&1, || {
                    stay();
                    Slow(1, drained)
                })
            }
        });
        let followers = line_up(&group, 1, 3, |group, _| group.work(&1, || unreachable!()).0);
        leader.let_go();
        until(|| group.in_flight() == 0); // landed; all its callers are still busy cloning
        let open = crate::support::Gate::new();
        open.open();
        let landing = group.call(&1).run(|| Ok(Slow(2, open))).unwrap();
        assert_eq!((landing.value.0, landing.role), (2, Role::Leader));
        drained.open();
        assert!(followers.into_iter().all(|follower| finish(follower) == 1));
        assert_eq!(leader.release().0, 1);
    });
}

/// quick_cache, once_map: when the work fails, each waiter tries it once more, one after the other.
#[test]
fn p1_not_the_peers_failing_work_run_once_per_waiter() {
    within(|| {
        let group: Group<u8, u32, &str> = Group::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let leader = Held::start({
            let (group, runs) = (group.clone(), runs.clone());
            move |stay| {
                group.try_work(&1, || {
                    runs.fetch_add(1, SeqCst);
                    stay();
                    Err("down")
                })
            }
        });
        let counter = runs.clone();
        let followers = line_up(&group, 1, 16, move |group, _| {
            group.try_work(&1, || {
                counter.fetch_add(1, SeqCst);
                Err("down")
            })
        });
        assert_eq!(leader.release(), Err(Error::Work("down")));
        assert!(followers.into_iter().all(|follower| finish(follower) == Err(Error::Work("down"))));
        assert_eq!(runs.load(SeqCst), 1);
    });
}

/// The crate `singleflight` 0.3, and `cached` with `sync_writes = "by_key"`: different keys wait for each other.
#[test]
fn p1_not_singleflights_and_cacheds_keys_that_wait_for_each_other() {
    within(|| {
        let group: Group<u32, u32> = Group::builder().shards(1).build();
        let all_run = Arc::new(Barrier::new(8));
        let callers: Vec<_> = (0..8)
            .map(|key| {
                let (group, all_run) = (group.clone(), all_run.clone());
                spawn(move || {
                    group.work(&key, || {
                        all_run.wait(); // passed only when all eight keys are in the air at once
                        key
                    })
                })
            })
            .collect();
        assert_eq!(callers.into_iter().map(finish).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    });
}

/// quick_cache: a waiter parks on its thread's token, and eats one that was meant for its caller.
#[test]
fn p12_not_quick_caches_eaten_unpark_token() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let leader = hold(&group, 1, || 1);
        let waiter = line_up(&group, 1, 1, |group, _| {
            group.work(&1, || 2);
            park(); // the token given below, while this thread waited, is still there
            3
        });
        waiter[0].thread().unpark();
        leader.release();
        assert!(waiter.into_iter().all(|waiter| finish(waiter) == 3));
    });
}

/// quick_cache: after a failure the work is handed over to the waiter that came last, and its first waiter may
/// wait for ever longer. Here whoever arrives later belongs to a later run, and nobody is overtaken by two.
#[test]
fn p11_not_quick_caches_hand_over_that_lets_the_oldest_wait() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        let hold = |n: u32| {
            let (group, order) = (group.clone(), order.clone());
            Held::begin(move |stay| {
                group.write(&1, || {
                    order.lock().unwrap().push(n);
                    stay();
                    n
                })
            })
        };
        let (first, entered) = hold(1);
        entered.pass();
        let oldest = line_up(&group, 1, 1, |group, _| group.write(&1, || unreachable!("superseded by the second")));
        let (second, entered) = hold(2);
        until_waiting(&group, &1, 2);
        first.release();
        entered.pass();
        // Later ones queue behind: the oldest is covered by the second run, whatever comes after.
        let (third, entered) = hold(3);
        until_waiting(&group, &1, 2);
        assert_eq!(second.release(), 2);
        assert!(oldest.into_iter().all(|caller| finish(caller) == 2));
        entered.pass();
        assert_eq!(third.release(), 3);
        assert_eq!(*order.lock().unwrap(), [1, 2, 3]);
    });
}

/// The published Go WriteGroup, first fault: two runs of one key overlap.
#[test]
fn p1_not_the_go_write_groups_overlapping_runs() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let alone = Arc::new(Alone::default());
        let callers: Vec<_> = (0..8)
            .map(|i| {
                let (group, alone) = (group.clone(), alone.clone());
                spawn(move || {
                    for _ in 0..100 {
                        group.write(&1, || alone.run(|| i));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        alone.assert_never_two();
    });
}

/// The published Go WriteGroup, second fault: a caller is handed a run that had started before it called, and its
/// write is lost.
#[test]
fn p3_not_the_go_write_groups_lost_write() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let (state, written) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(u32::MAX)));
        let stale = Held::start({
            let (group, state, written) = (group.clone(), state.clone(), written.clone());
            move |stay| {
                group.write(&1, || {
                    let seen = state.load(SeqCst);
                    stay();
                    written.store(seen, SeqCst);
                    seen
                })
            }
        });
        state.store(1, SeqCst); // the change comes after the run has looked
        let (state_, written_) = (state.clone(), written.clone());
        let writer = line_up(&group, 1, 1, move |group, _| {
            group.write(&1, || {
                written_.store(state_.load(SeqCst), SeqCst);
                state_.load(SeqCst)
            });
            written_.load(SeqCst)
        });
        assert_eq!(stale.release(), 0);
        assert!(writer.into_iter().all(|writer| finish(writer) == 1), "returned before its change was written");
    });
}
