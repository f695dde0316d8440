//! P1: for one key at most one closure is running, and different keys never wait for each other.

use crate::support::{Alone, Canary, Held, finish, hold, line_up, try_hold, until, until_waiting, within};
use flight_group::{Group, WriteGroup};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::spawn;
use std::time::Duration;

#[test]
fn p1_two_closures_of_one_read_key_never_overlap() {
    within(|| {
        let group: Group<u8, usize, ()> = Group::new();
        let alone = Arc::new([Alone::default(), Alone::default()]);
        let callers: Vec<_> = (0..6)
            .map(|caller| {
                let (group, alone) = (group.clone(), alone.clone());
                spawn(move || {
                    for round in 0..300 {
                        let key = u8::from((caller + round) % 3 == 0);
                        let work = || alone[usize::from(key)].run(|| if round % 7 == 0 { Err(()) } else { Ok(round) });
                        match round % 4 {
                            0 => drop(group.call(&key).fresh().run(work)),
                            1 => drop(group.call(&key).timeout(Duration::from_micros(50)).run(work)),
                            _ => drop(group.try_work(&key, work)),
                        }
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        alone.iter().for_each(Alone::assert_never_two);
        assert!(alone.iter().all(|alone| alone.runs() > 0));
    });
}

#[test]
fn p1_two_closures_of_one_write_key_never_overlap() {
    within(|| {
        let group: WriteGroup<u8, usize, ()> = WriteGroup::new();
        let alone = Arc::new(Alone::default());
        let callers: Vec<_> = (0..6)
            .map(|caller| {
                let (group, alone) = (group.clone(), alone.clone());
                spawn(move || {
                    for round in 0..200 {
                        let alone_in_run = alone.clone();
                        let work = move || alone_in_run.run(|| if round % 5 == 0 { Err(()) } else { Ok(round) });
                        match (caller + round) % 4 {
                            0 => drop(group.call(&1).timeout(Duration::from_micros(50)).run(work)),
                            1 => drop(group.spawn(&1, work)),
                            2 => drop(std::panic::catch_unwind(|| {
                                let alone = alone.clone();
                                group.try_write(&1, move || alone.run(|| std::panic::resume_unwind(Box::new(()))))
                            })),
                            _ => drop(group.try_write(&1, work)),
                        }
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        until(|| group.in_flight() == 0); // the spawned ones may still be on their way
        alone.assert_never_two();
        assert!(alone.runs() > 1);
    });
}

#[test]
fn p1_callers_that_arrive_during_a_read_share_it() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = runs.clone();
        let leader = Held::start({
            let group = group.clone();
            move |stay| {
                group.work(&1, || {
                    counter.fetch_add(1, SeqCst);
                    stay();
                    7
                })
            }
        });
        let counter = runs.clone();
        let followers = line_up(&group, 1, 20, move |group, _| {
            group.work(&1, || {
                counter.fetch_add(1, SeqCst);
                8
            })
        });
        assert_eq!(leader.release(), 7);
        assert!(followers.into_iter().all(|follower| finish(follower) == 7));
        assert_eq!(runs.load(SeqCst), 1);
    });
}

/// With one shard, every key is in the same one.
#[test]
fn p1_different_keys_do_not_wait_for_each_other() {
    within(|| {
        let reads: Group<u32, u32> = Group::builder().shards(1).build();
        let writes: WriteGroup<u32, u32> = WriteGroup::builder().shards(1).build();
        let reading = hold(&reads, 0, || 0);
        let writing = hold(&writes, 0, || 0);
        for key in 1..200 {
            assert_eq!(reads.work(&key, || key), key);
            assert_eq!(reads.call(&key).fresh().run(|| Ok(key)).unwrap().value, key);
            assert_eq!(writes.write(&key, || key), key);
        }
        assert!(!reading.has_returned() && !writing.has_returned());
        reading.release();
        writing.release();
    });
}

/// All keys have one hash: they share a shard and a bucket's worth of probing, and nothing else.
#[test]
fn p1_keys_with_the_same_hash_are_different_keys() {
    #[derive(Clone, PartialEq, Eq)]
    struct Colliding(u32);
    impl Hash for Colliding {
        fn hash<H: Hasher>(&self, state: &mut H) {
            0.hash(state);
        }
    }
    within(|| {
        let group: Group<Colliding, u32> = Group::new();
        let held: Vec<_> = (0..20).map(|key| hold(&group, Colliding(key), move || key)).collect();
        assert_eq!(group.in_flight(), 20);
        let follower = {
            let group = group.clone();
            spawn(move || group.work(&Colliding(11), || 99))
        };
        until_waiting(&group, &Colliding(11), 1);
        assert_eq!(group.followers(&Colliding(12)), 0);
        for (key, held) in held.into_iter().enumerate() {
            assert_eq!(held.release(), key as u32);
        }
        assert_eq!(finish(follower), 11);
        assert_eq!(group.in_flight(), 0);
    });
}

/// Looks at every shard of the group: hangs if this thread holds the lock of one.
fn look() {
    if let Some(look) = LOOK.get() {
        look();
    }
}
static LOOK: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// A key, value and error that call the group from everywhere a caller's code may be called from outside locks.
#[derive(Debug)]
struct Nosy(u8);

impl Hash for Nosy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        look();
        self.0.hash(state);
    }
}
impl PartialEq for Nosy {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 // under the lock, as documented
    }
}
impl Eq for Nosy {}
impl Clone for Nosy {
    fn clone(&self) -> Self {
        Self(self.0) // a key's: under the lock, as documented
    }
}
impl Drop for Nosy {
    fn drop(&mut self) {
        look();
    }
}

#[derive(Debug)]
struct NosyValue(u8);
impl Clone for NosyValue {
    fn clone(&self) -> Self {
        look();
        Self(self.0)
    }
}
impl Drop for NosyValue {
    fn drop(&mut self) {
        look();
    }
}

/// Of the caller's code only a key's `Eq` and a new leader's `to_owned` run under a lock: all else may call the
/// group. One shard, so that every lock is the same.
#[test]
fn p1_nothing_of_the_users_is_hashed_dropped_or_cloned_under_a_lock() {
    within(|| {
        let reads: Group<Nosy, NosyValue, NosyValue> = Group::builder().shards(1).max_followers(4).build();
        let writes: WriteGroup<Nosy, NosyValue, NosyValue> =
            WriteGroup::builder().shards(1).max_followers(4).invalidates(&reads).build();
        let (seen_reads, seen_writes) = (reads.clone(), writes.clone());
        let looked = Arc::new(AtomicUsize::new(0));
        let counter = looked.clone();
        let _ = LOOK.set(Box::new(move || {
            counter.fetch_add(1, SeqCst);
            seen_reads.in_flight();
            seen_writes.in_flight();
            seen_writes.stats();
        }));

        for fails in [false, true] {
            let end = move |n| if fails { Err(NosyValue(n)) } else { Ok(NosyValue(n)) };
            let leader = Held::start({
                let (reads, nosy) = (reads.clone(), NosyValue(0));
                move |stay| {
                    reads.try_work(&Nosy(1), || {
                        let _captured = nosy;
                        stay();
                        end(1)
                    })
                }
            });
            // Followers of every kind; the fifth is shed.
            let joined = {
                let reads = reads.clone();
                spawn(move || {
                    let nosy = NosyValue(0);
                    reads.try_work(&Nosy(1), move || {
                        let _captured = nosy;
                        end(2)
                    })
                })
            };
            until_waiting(&reads, &Nosy(1), 1);
            let nosy = NosyValue(0);
            let receiver = reads.spawn(&Nosy(1), move || {
                let _captured = nosy;
                end(3)
            });
            let fresh = line_up_from(&reads, 2, move |reads| {
                let nosy = NosyValue(0);
                reads.call(&Nosy(1)).fresh().run(move || {
                    let _captured = nosy;
                    end(4)
                })
            });
            let shed = reads.try_work(&Nosy(1), || end(5));
            assert!(shed.unwrap_err().is_overloaded());
            let (canary, gone) = Canary::new();
            let nosy = NosyValue(0);
            let shed = reads.spawn(&Nosy(1), move || {
                let _captured = (nosy, canary);
                end(5)
            });
            assert!(shed.recv().unwrap().unwrap_err().is_overloaded());
            assert_eq!(gone.load(SeqCst), 1);
            if fails {
                assert!(reads.forget(&Nosy(1)));
            }
            drop(leader.release());
            drop(finish(joined));
            drop(receiver.recv().unwrap());
            fresh.into_iter().for_each(|caller| drop(finish(caller)));

            let writer = try_hold(&writes, Nosy(1), move || end(1));
            let queued = line_up_from(&writes, 0, move |writes| {
                let nosy = NosyValue(0);
                writes.try_write(&Nosy(1), move || {
                    let _captured = nosy;
                    end(2)
                })
            });
            drop(writer.release());
            queued.into_iter().for_each(|caller| drop(finish(caller)));
        }
        assert!(looked.load(SeqCst) > 50, "the nosy types were hardly asked");
        assert_eq!(reads.in_flight() + writes.in_flight(), 0);
    });
}

/// Two more callers behind `before` that wait already.
fn line_up_from<G, T>(
    group: &G,
    before: usize,
    call: impl Fn(&G) -> T + Send + Sync + 'static,
) -> Vec<std::thread::JoinHandle<T>>
where
    G: crate::support::Counts<Nosy> + Clone + Send + 'static,
    T: Send + 'static,
{
    let call = Arc::new(call);
    (0..2)
        .map(|i| {
            let (call, own) = (call.clone(), group.clone());
            let caller = spawn(move || call(&own));
            until_waiting(group, &Nosy(1), before + i + 1);
            caller
        })
        .collect()
}
