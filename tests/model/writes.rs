//! Writes: P1, P3, P4, P6, P11.

use crate::harness::{A_WHILE, Alone, Clock, explore, explore_for, spawn, work};
use flight_group::{Error, Group, Role, WriteGroup};
use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// P1, P3: no two runs at once, and every caller is covered by a run that started after it arrived.
#[test]
fn p3_every_write_is_covered_by_a_later_run() {
    explore(|| {
        let group: WriteGroup<u8, usize> = WriteGroup::new();
        let (alone, clock) = (Arc::new(Alone::default()), Arc::new(Clock::default()));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (group, alone, clock) = (group.clone(), alone.clone(), clock.clone());
                spawn(move || {
                    let arrived = clock.tick();
                    let started = group.write(&1, || alone.run(|| clock.tick()));
                    assert!(started > arrived, "handed a run that had started before the call");
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
        assert_eq!(group.stats().led + group.stats().joined, 4);
    });
}

/// P3, P4: a burst behind one running write costs one more run, of the newest closure.
#[test]
fn p4_a_burst_is_one_more_run_of_the_newest() {
    explore(|| {
        let group: WriteGroup<u8, usize> = WriteGroup::new();
        let alone = Arc::new(Alone::default());
        let callers = group.write(&1, || {
            let mut callers = Vec::new();
            for i in 1..=3 {
                let (group, alone) = (group.clone(), alone.clone());
                let inner = group.clone();
                callers.push(spawn(move || inner.call(&1).run(|| Ok(alone.run(|| i))).unwrap()));
                while group.followers(&1) < i {
                    work(); // so that the order of arrival is known
                }
            }
            VALUES.lock().unwrap().extend(callers);
            0
        });
        assert_eq!(callers, 0);
        let callers: Vec<_> = std::mem::take(&mut *VALUES.lock().unwrap());
        for (i, caller) in callers.into_iter().enumerate() {
            let landing = caller.join().unwrap();
            assert_eq!(landing.value, 3, "not the newest");
            assert_eq!(landing.role == Role::Leader, i == 2);
        }
        assert_eq!(alone.runs.load(SeqCst), 1);
        assert_eq!(group.stats().superseded, 2);
    });
}
static VALUES: StdMutex<Vec<shuttle::thread::JoinHandle<flight_group::Landing<usize>>>> = StdMutex::new(Vec::new());

/// P4, P6: captains that time out hand over to the newest still waiting; nobody hangs, no patient write is lost.
#[test]
fn p6_a_captain_that_times_out_hands_over() {
    explore(|| {
        let group: WriteGroup<u8, usize> = WriteGroup::new();
        let (alone, clock) = (Arc::new(Alone::default()), Arc::new(Clock::default()));
        let callers: Vec<_> = (0..5)
            .map(|i| {
                let (group, alone, clock) = (group.clone(), alone.clone(), clock.clone());
                spawn(move || {
                    let arrived = clock.tick();
                    let write = || Ok(alone.run(|| clock.tick()));
                    let landing =
                        if i % 2 == 0 { group.call(&1).run(write) } else { group.call(&1).timeout(A_WHILE).run(write) };
                    match landing {
                        Ok(landing) => assert!(landing.value > arrived),
                        Err(error) => assert!(error == Error::timed_out() && i % 2 == 1),
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
        assert_eq!(group.followers(&1), 0);
    });
}

/// A thread's waiter goes from one queue to the next, and must have left the last one: a landing there would otherwise
/// take it out of the queue that it stands in now.
#[test]
fn p6_waiters_are_used_again() {
    explore_for(6, || {
        let group: WriteGroup<u8, u8> = WriteGroup::new();
        let write = |group: &WriteGroup<u8, u8>, key: u8| group.write(&key, || key);
        let callers: Vec<_> = (0..4)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    for key in [1, 2, 1] {
                        let key = if i == 3 { 3 - key } else { key };
                        assert_eq!(write(&group, key), key);
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
    });
}

/// More queued writers than a landing wakes itself; those that time out must pass on what was meant for them.
#[test]
fn p6_a_share_of_wake_ups_is_never_lost_in_a_queue() {
    explore_for(4, || {
        let group: WriteGroup<u8, u8> = WriteGroup::new();
        let callers: Vec<_> = (0..6)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let call = group.call(&1);
                    let landing = if i % 3 == 0 { call.run(|| Ok(1)) } else { call.timeout(A_WHILE).run(|| Ok(1)) };
                    assert!(landing.is_ok() || landing == Err(Error::timed_out()) && i % 3 != 0);
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
    });
}

/// All who could lead give up, while others wait without a closure: they are told, or find the running write.
#[test]
fn p6_a_queued_flight_that_everybody_left_is_dissolved() {
    explore(|| {
        let group: WriteGroup<u8, u8> = WriteGroup::new();
        let leader = {
            let group = group.clone();
            spawn(move || {
                group.write(&1, || {
                    work();
                    work();
                    1
                })
            })
        };
        let hasty = {
            let group = group.clone();
            spawn(move || drop(group.call(&1).timeout(A_WHILE).run(|| Ok(2))))
        };
        let onlooker = {
            let group = group.clone();
            spawn(move || match group.call(&1).flush() {
                None => {}
                Some(Ok(landing)) => assert!(landing.value == 1 || landing.value == 2),
                Some(Err(error)) => assert_eq!(error, Error::abandoned()),
            })
        };
        leader.join().unwrap();
        hasty.join().unwrap();
        onlooker.join().unwrap();
        assert_eq!(group.in_flight(), 0);
    });
}

/// P3: `wait` returns after every write that had boarded before it: each run notes how many had when it started.
#[test]
fn p3_wait_covers_all_writes_that_arrived_before() {
    explore(|| {
        let group: WriteGroup<u8, ()> = WriteGroup::new();
        let covered = Arc::new(AtomicU64::new(0));
        let boarded = |group: &WriteGroup<u8, ()>| group.stats().led + group.stats().joined;
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (group, covered) = (group.clone(), covered.clone());
                spawn(move || {
                    let inner = group.clone();
                    group.write(&1, || {
                        let covers = boarded(&inner);
                        work();
                        covered.fetch_max(covers, SeqCst);
                    });
                })
            })
            .collect();
        work();
        let before = boarded(&group);
        let _ = group.call(&1).flush();
        assert!(covered.load(SeqCst) >= before, "a write that had arrived is not done");
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

/// P3 for reads: after a write has returned, a read that starts sees it; fresh reads too.
#[test]
fn p3_invalidated_and_fresh_reads_see_the_write() {
    explore(|| {
        let stored = Arc::new(AtomicUsize::new(0));
        let reads: Group<u8, usize> = Group::new();
        let writes: WriteGroup<u8, ()> = WriteGroup::builder().invalidates(&reads).build();
        let read = move |reads: &Group<u8, usize>, stored: &AtomicUsize| {
            reads.work(&1, || {
                let value = stored.load(SeqCst);
                work();
                value
            })
        };
        let reader = {
            let (reads, stored) = (reads.clone(), stored.clone());
            spawn(move || {
                read(&reads, &stored);
            })
        };
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (reads, writes, stored) = (reads.clone(), writes.clone(), stored.clone());
                spawn(move || {
                    writes.write(&1, || {
                        stored.fetch_add(1, SeqCst);
                    });
                    let at_least = 1;
                    assert!(read(&reads, &stored) >= at_least, "a read after a write returned the value before it");
                    let fresh = reads.call(&1).fresh().run(|| Ok(stored.load(SeqCst)));
                    assert!(fresh.unwrap().value >= at_least);
                })
            })
            .collect();
        reader.join().unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(reads.in_flight() + writes.in_flight(), 0);
    });
}

/// A key is not idle in the moment between two runs: whoever waits for that would find the next run beginning.
#[test]
fn p8_a_key_between_two_runs_is_not_idle() {
    explore(|| {
        let group: WriteGroup<u8> = WriteGroup::new();
        let (open, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let run = {
            let (group, open, ended) = (group.clone(), open.clone(), ended.clone());
            move || {
                group.write(&1, || {
                    while open.load(SeqCst) == 0 {
                        work();
                    }
                    ended.fetch_add(1, SeqCst);
                });
            }
        };
        let first = spawn(run.clone());
        while group.in_flight() == 0 {
            work();
        }
        let queued = spawn(run);
        while group.followers(&1) == 0 {
            work();
        }
        open.store(1, SeqCst);
        while group.in_flight() > 0 {
            work();
        }
        assert_eq!(ended.load(SeqCst), 2);
        first.join().unwrap();
        queued.join().unwrap();
    });
}
