//! Flush, close and the last handle: what had been accepted is done, or given back.

use super::{Events, Log, logged};
use crate::harness::{A_WHILE, explore, spawn, work};
use flight_group::EventGroup;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex as StdMutex};

/// Nothing that was accepted is lost, whoever carries it; and when the last handle has been dropped, it is done.
#[test]
fn what_was_submitted_is_done_when_the_last_handle_is_gone() {
    explore(|| {
        let (builder, log) = logged();
        let events = builder.workers(2).build();
        let callers: Vec<_> = (1..=3)
            .map(|i: u32| {
                let events = events.clone();
                spawn(move || {
                    let key = (i % 2) as u8;
                    events.submit(&key, vec![100 * i]).unwrap();
                    events.submit(&key, vec![100 * i + 1]).unwrap();
                    if i == 3 {
                        assert!(events.push(&key, vec![302]).unwrap().value.contains(&302));
                    }
                })
            })
            .collect();
        drop(events);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(log.check(), [100, 101, 200, 201, 300, 301, 302]);
        assert_eq!(Arc::strong_count(&log), 1, "somebody still has the group's closures");
    });
}

/// After `flush`, what had been accepted before is done; callers and workers are at it at the same time.
#[test]
fn flush_returns_when_all_that_had_arrived_is_done() {
    explore(|| {
        let (builder, log) = logged();
        let events = builder.workers(1).quiet(A_WHILE).build();
        let others: Vec<_> = (1..=2)
            .map(|i: u32| {
                let events = events.clone();
                spawn(move || {
                    if i == 1 {
                        assert!(events.push(&1, vec![100]).unwrap().value.contains(&100));
                    } else {
                        let _ = events.call(&1).timeout(A_WHILE).push(vec![200]);
                        events.flush().unwrap();
                    }
                })
            })
            .collect();
        events.submit(&1, vec![300]).unwrap();
        events.call(&2).delay(A_WHILE).submit(vec![301]).unwrap();
        events.flush().unwrap();
        let done = log.check();
        assert!(done.contains(&300) && done.contains(&301), "flushed, and not done: {done:?}");
        others.into_iter().for_each(|other| other.join().unwrap());
        drop(events);
        log.check();
        assert_eq!(Arc::strong_count(&log), 1);
    });
}

/// Of the runs that had failed when `flush` returns, `on_failure` has been told, whichever thread ran them.
#[test]
fn flush_returns_after_on_failure() {
    explore(|| {
        let (failed, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (failing, telling) = (failed.clone(), told.clone());
        let events: EventGroup<u8, u32, (), ()> = EventGroup::builder(
            |_, _| {},
            move |_, _| {
                work();
                failing.fetch_add(1, SeqCst);
                Err(())
            },
        )
        .workers(1)
        .on_failure(move |_, _| {
            work();
            telling.fetch_add(1, SeqCst);
        })
        .build();
        let other = events.clone();
        let other = spawn(move || {
            other.submit(&1, 1).unwrap();
            other.flush().unwrap();
        });
        events.submit(&2, 1).unwrap();
        events.flush().unwrap();
        assert!(told.load(SeqCst) > 0, "the own event's failure was not told");
        let before = failed.load(SeqCst);
        events.flush().unwrap();
        assert!(told.load(SeqCst) >= before, "{before} runs failed");
        other.join().unwrap();
        assert_eq!((failed.load(SeqCst), told.load(SeqCst)), (2, 2));
    });
}

/// The batch behind a run may dissolve, because everybody in it left: that is no end of the run.
#[test]
fn flush_waits_for_the_run_in_the_air_whatever_becomes_of_the_batch_behind_it() {
    explore(|| {
        let (started, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (starting, ending) = (started.clone(), ended.clone());
        let events: EventGroup<u8, u32> = EventGroup::new(
            |sum, n| *sum += n,
            move |_, n| {
                if n == 1 {
                    starting.store(1, SeqCst);
                    (0..4).for_each(|_| work());
                    ending.store(1, SeqCst);
                }
                Ok(())
            },
        );
        let (leading, leaving) = (events.clone(), events.clone());
        let leader = spawn(move || leading.push(&1, 1).unwrap());
        while started.load(SeqCst) == 0 {
            work();
        }
        let leaver = spawn(move || drop(leaving.call(&1).timeout(A_WHILE).push(2)));
        work();
        events.flush().unwrap();
        assert_eq!(ended.load(SeqCst), 1, "flushed before the run in the air had ended");
        leader.join().unwrap();
        leaver.join().unwrap();
    });
}

/// The last handle goes down on a worker: it lets the workers go instead of waiting for itself, and what had been
/// accepted is done all the same.
#[test]
fn the_last_handle_dropped_on_a_worker_does_not_join_itself() {
    explore(|| {
        let done = Arc::new(AtomicUsize::new(0));
        let slot: Arc<StdMutex<Option<EventGroup<u8, u32>>>> = Arc::default();
        let (inside, counter) = (slot.clone(), done.clone());
        let events: EventGroup<u8, u32> = EventGroup::builder(
            |sum, n| *sum += n,
            move |key, sum| {
                counter.fetch_add(sum as usize, SeqCst);
                work();
                if *key == 1 {
                    let last = inside.lock().unwrap().take();
                    drop(last);
                }
                Ok(())
            },
        )
        .workers(2)
        .build();
        events.submit(&1, 1).unwrap();
        events.submit(&1, 10).unwrap();
        events.call(&2).delay(A_WHILE).submit(100).unwrap();
        // From here on the group belongs to its own run; or, if that is over, to the next, or to us.
        *slot.lock().unwrap() = Some(events);
        while Arc::strong_count(&slot) > 1 && done.load(SeqCst) < 111 {
            work();
        }
        let ours = slot.lock().unwrap().take();
        drop(ours);
        while done.load(SeqCst) < 111 {
            work();
        }
        assert_eq!(done.load(SeqCst), 111);
    });
}

/// P13: `close` beside submits, blocked pushes and a merge that panics nowhere: every event that was accepted was carried,
/// given back, or reported; none of them twice.
#[test]
fn close_gives_back_what_was_not_carried() {
    explore(|| {
        let log = Arc::new(Log::default());
        let logging = log.clone();
        let events: Events = EventGroup::builder(
            |all: &mut Vec<u32>, more| {
                work();
                all.extend(more);
            },
            move |key: &u8, events| Ok(logging.run(*key, events)),
        )
        .workers(1)
        .on_failure(|_, error| panic!("nothing fails, and nobody merges when the group is closed: {error:?}"))
        .build();
        let callers: Vec<_> = (1..=2)
            .map(|i: u32| {
                let events = events.clone();
                spawn(move || {
                    let mut accepted = Vec::new();
                    for event in [100 * i, 100 * i + 1] {
                        let taken = match i {
                            1 => events.submit(&1, vec![event]),
                            _ => events.push(&1, vec![event]).map(|landing| assert!(landing.value.contains(&event))),
                        };
                        match taken {
                            Ok(()) => accepted.push(event),
                            Err(error) => assert!(error.is_closed()),
                        }
                    }
                    accepted
                })
            })
            .collect();
        events.submit(&1, vec![300]).unwrap();
        let back = events.close(std::time::Instant::now() + A_WHILE);
        let mut accepted: Vec<u32> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        accepted.push(300);
        accepted.sort();
        let mut found = log.check();
        found.extend(back.into_iter().flat_map(|(_, events)| events));
        drop(events);
        while Arc::strong_count(&log) > 1 {
            work(); // a worker is on its way out
        }
        found.extend(log.check());
        found.sort();
        found.dedup();
        assert_eq!(found, accepted);
    });
}

/// P13: the workers of two groups drop each other's last handle, and nothing is lost.
#[test]
fn two_groups_that_drop_each_other_both_drain() {
    explore(|| {
        type Slot = Arc<StdMutex<Option<EventGroup<u8, usize>>>>;
        let done = Arc::new(AtomicUsize::new(0));
        let slots: [Slot; 2] = Default::default();
        let dropping = |other: &Slot| -> EventGroup<u8, usize> {
            let (other, counter) = (other.clone(), done.clone());
            EventGroup::builder(
                |sum, n| *sum += n,
                move |_, sum| {
                    let last = other.lock().unwrap().take();
                    drop(last);
                    counter.fetch_add(sum, SeqCst);
                    Ok(())
                },
            )
            .workers(1)
            .build()
        };
        let groups = [dropping(&slots[1]), dropping(&slots[0])];
        for events in &groups {
            events.submit(&1, 1).unwrap();
            events.call(&2).delay(A_WHILE).submit(10).unwrap();
        }
        for (slot, events) in slots.iter().zip(groups) {
            *slot.lock().unwrap() = Some(events);
        }
        // Whoever's run was over before its slot was filled leaves the handle to us.
        for slot in &slots {
            let ours = slot.lock().unwrap().take();
            drop(ours);
        }
        while done.load(SeqCst) < 22 {
            work();
        }
    });
}
