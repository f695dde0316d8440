//! P8: an idle group holds no entry, key, value or thread. (What its tables keep is counted in tests/costs.rs.)

use crate::support::{Canary, Gate, Held, SOON, finish, line_up, until, until_waiting, within};
use flight_group::{Error, Group, WriteGroup};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::spawn;

/// Keys, values and errors that count: a strong count of one is "nobody else holds it".
#[test]
fn p8_no_key_value_or_error_outlives_its_flight() {
    within(|| {
        let (key, value, error) = (Arc::new(1u8), Arc::new(2u8), Arc::new(3u8));
        let reads: Group<Arc<u8>, Arc<u8>, Arc<u8>> = Group::builder().name("reads").build();
        let writes: WriteGroup<Arc<u8>, Arc<u8>, Arc<u8>> = WriteGroup::builder().invalidates(&reads).build();
        for ending in 0..3 {
            let end = {
                let (value, error) = (value.clone(), error.clone());
                move || match ending {
                    0 => Ok(value.clone()),
                    1 => Err(error.clone()),
                    _ => resume_unwind(Box::new(())),
                }
            };
            let end = Arc::new(end);
            let leader = Held::start({
                let (reads, key, end) = (reads.clone(), key.clone(), end.clone());
                move |stay| {
                    catch_unwind(AssertUnwindSafe(|| {
                        reads.try_work(&key, || {
                            stay();
                            end()
                        })
                    }))
                }
            });
            let run = end.clone();
            let followers = {
                let key = key.clone();
                line_up(&reads, key.clone(), 3, move |group, i| {
                    let run = run.clone();
                    let call = group.call(&key);
                    drop(catch_unwind(AssertUnwindSafe(|| match i {
                        0 => drop(call.run(|| run())),
                        1 => drop(call.fresh().run(|| run())),
                        _ => drop(call.follow()),
                    })));
                })
            };
            let run = end.clone();
            let receiver = reads.spawn(&key, move || run());
            let hasty = reads.call(&key).timeout(SOON).run(|| end());
            assert!(hasty.unwrap_err().is_timed_out());
            if ending == 1 {
                assert!(reads.forget(&key));
            }
            drop(leader.release());
            followers.into_iter().for_each(finish);
            drop(receiver.recv().unwrap());
            let writers: Vec<_> = (0..3)
                .map(|_| {
                    let (writes, key, end) = (writes.clone(), key.clone(), end.clone());
                    spawn(move || drop(catch_unwind(AssertUnwindSafe(|| writes.try_write(&key, || end())))))
                })
                .collect();
            writers.into_iter().for_each(finish);
        }
        assert_eq!((reads.in_flight(), writes.in_flight()), (0, 0));
        assert!(reads.flights().is_empty() && writes.flights().is_empty());
        // A spawned call's thread may still be on its way out.
        until(|| Arc::strong_count(&key) == 1);
        until(|| Arc::strong_count(&value) == 1);
        until(|| Arc::strong_count(&error) == 1);
        let groups_alive = (reads.in_flight(), writes.in_flight());
        assert_eq!(groups_alive, (0, 0), "and the groups are still here");
    });
}

#[test]
fn p8_a_storm_leaves_an_idle_group() {
    within(|| {
        let group: Group<u32, u32, ()> = Group::new();
        let callers: Vec<_> = (0..6u32)
            .map(|caller| {
                let group = group.clone();
                spawn(move || {
                    for round in 0..500 {
                        let key = (caller * 31 + round * 7) % 40;
                        let work = move || if round % 3 == 0 { Err(()) } else { Ok(round) };
                        match round % 6 {
                            0 => drop(group.call(&key).fresh().run(work)),
                            1 => drop(group.call(&key).follow()),
                            2 => drop(group.forget(&key)),
                            3 => drop(group.call(&key).takeover_after(SOON / 100).run(work)),
                            _ => drop(group.try_work(&key, work)),
                        }
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        assert_eq!(group.in_flight(), 0);
        assert!((0..40).all(|key| group.followers(&key) == 0));
    });
}

/// The thread that ran a spawned flight ends, and with it what it keeps for itself.
#[test]
fn p8_a_spawned_flights_thread_ends() {
    thread_local! {
        static KEPT: RefCell<Option<Canary>> = const { RefCell::new(None) };
    }
    within(|| {
        let group: Group<u8, String> = Group::builder().name("prices").build();
        let (canary, gone) = Canary::new();
        let receiver = group.spawn(&1, move || {
            KEPT.set(Some(canary));
            Ok(std::thread::current().name().unwrap_or_default().to_owned())
        });
        assert_eq!(receiver.recv().unwrap().unwrap().value, "flight prices");
        until(|| gone.load(SeqCst) == 1);
    });
}

/// Flights detached while others wait for them are kept by number until they land, and no longer.
#[test]
fn p8_detached_flights_are_not_kept() {
    within(|| {
        let value = Arc::new(());
        let group: Group<u8, Arc<()>> = Group::new();
        for _ in 0..3 {
            let held: Vec<_> = (0..4)
                .map(|_| {
                    let leader = Held::start({
                        let (group, value) = (group.clone(), value.clone());
                        move |stay| {
                            group.work(&1, || {
                                stay();
                                value
                            })
                        }
                    });
                    let follower = line_up(&group, 1, 1, |group, _| group.work(&1, || unreachable!()));
                    assert!(group.forget(&1));
                    (leader, follower)
                })
                .collect();
            assert_eq!(group.in_flight(), 0, "none belongs to the key any more");
            for (leader, follower) in held {
                leader.release();
                follower.into_iter().for_each(|follower| drop(finish(follower)));
            }
        }
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(group.stats().forgotten, 12);
    });
}

/// A dropped receiver, a dropped group handle, a dropped job: nothing stays.
#[test]
fn p8_what_nobody_waits_for_any_more_is_dropped() {
    within(|| {
        let (canary, gone) = Canary::new();
        let (gate, ran) = (Gate::new(), Gate::new());
        let group: Group<u8, u32> = Group::new();
        drop(group.spawn(&1, {
            let (gate, ran) = (gate.clone(), ran.clone());
            move || {
                let _canary = canary;
                gate.pass();
                ran.open();
                Ok(1)
            }
        }));
        let late = group.spawn(&1, || unreachable!());
        until_waiting(&group, &1, 1);
        drop(group); // the last handle of ours: the flight goes on
        gate.open();
        ran.pass();
        assert_eq!(late.recv().unwrap().unwrap().value, 1);
        until(|| gone.load(SeqCst) == 1);

        let (canary, gone) = Canary::new();
        let group: Group<u8, u32> = Group::builder().executor(drop).build();
        let receiver = group.spawn(&1, move || {
            let _canary = canary;
            Ok(1)
        });
        assert_eq!(receiver.recv().unwrap(), Err(Error::abandoned()));
        assert_eq!((gone.load(SeqCst), group.in_flight()), (1, 0));
    });
}
