//! P13: nothing that was accepted is lost, wherever the last handle is dropped, and whatever panics before a run.

use super::*;
use crate::support::{SOON, until_refused};
use flight_group::{EventKind, Group};

/// A group that adds up what it carries, and where the sums go.
fn adding(workers: usize) -> (EventGroup<u32, usize>, Arc<AtomicUsize>) {
    let carried = Arc::new(AtomicUsize::new(0));
    let counter = carried.clone();
    let events = EventGroup::builder(
        |sum, n| *sum += n,
        move |_, sum| {
            counter.fetch_add(sum, SeqCst);
            Ok(())
        },
    )
    .workers(workers)
    .build();
    (events, carried)
}

/// On a worker of another group the drop drains as everywhere: what waits for its time, and what a worker of its own has
/// not come to.
#[test]
fn p13_dropped_on_a_worker_of_another_group_it_drains() {
    within(|| {
        for delay in [Duration::ZERO, Duration::MAX] {
            let (inner, carried) = adding(1);
            for key in 0..5 {
                inner.call(&key).delay(delay).submit(1).unwrap();
            }
            let (seen, is_seen) = channel();
            let (last, counter, seen) = (Mutex::new(Some(inner)), carried.clone(), Mutex::new(seen));
            let outer: EventGroup<u32, ()> = EventGroup::new(
                |(), ()| {},
                move |_, ()| {
                    let handle = last.lock().unwrap().take();
                    drop(handle);
                    let _ = seen.lock().unwrap().send((counter.load(SeqCst), Arc::strong_count(&counter)));
                    Ok(())
                },
            );
            outer.submit(&1, ()).unwrap();
            // The test's count, the outer group's, and none of the inner group's.
            assert_eq!(soon(&is_seen), (5, 2), "delay {delay:?}");
        }
    });
}

/// The leader of a flight drops the last handle, while the group's running push waits for that flight: it leaves out
/// what waits for itself, and a worker does that afterwards.
#[test]
fn p13_dropped_in_a_flight_that_the_running_push_follows_it_does_not_hang() {
    within(|| {
        for workers in [1, 4] {
            let reads: Group<u32, u32> = Group::new();
            let (carried, carries) = channel();
            let (reading, carried) = (reads.clone(), Mutex::new(carried));
            let events: EventGroup<u32, u32> = EventGroup::builder(
                |sum, n| *sum += n,
                move |key, sum| {
                    if sum == 1 {
                        assert_eq!(reading.work(&7, || 0), 42);
                    }
                    let _ = carried.lock().unwrap().send((*key, sum));
                    Ok(())
                },
            )
            .workers(workers)
            .build();
            let value = reads.work(&7, || {
                events.submit(&1, 1).unwrap();
                until(|| reads.followers(&7) == 1);
                until_refused(|| events.call(&1).timeout(SOON).push(1_000));
                events.submit(&1, 10).unwrap(); // behind the run that waits for this thread
                events.call(&2).delay(Duration::MAX).submit(100).unwrap(); // nobody's business but the drop's
                drop(events);
                42
            });
            assert_eq!(value, 42);
            let mut all = [soon(&carries), soon(&carries), soon(&carries)];
            all.sort();
            assert_eq!(all, [(1, 1), (1, 10), (2, 100)], "{workers} workers");
            assert!(carries.recv().is_err(), "somebody still has the group's closures");
        }
    });
}

/// Two groups, whose workers drop each other's last handle at the same time.
#[test]
fn p13_two_groups_that_drop_each_other_both_drain() {
    within(|| {
        type Slot = Arc<Mutex<Option<EventGroup<u32, u32>>>>;
        let (carried, carries) = channel();
        let (gate, meeting) = (crate::support::Gate::new(), Arc::new(std::sync::Barrier::new(2)));
        let dropping = |other: &Slot| -> EventGroup<u32, u32> {
            let (other, carried) = (other.clone(), Mutex::new(carried.clone()));
            let (gate, meeting) = (gate.clone(), meeting.clone());
            EventGroup::builder(
                |sum, n| *sum += n,
                move |_, sum| {
                    if sum == 1 {
                        gate.pass();
                        meeting.wait(); // both are in the air
                        let last = other.lock().unwrap().take();
                        drop(last);
                    }
                    let _ = carried.lock().unwrap().send(sum);
                    Ok(())
                },
            )
            .workers(1)
            .build()
        };
        let slots: [Slot; 2] = Default::default();
        let (first, second) = (dropping(&slots[1]), dropping(&slots[0]));
        for events in [&first, &second] {
            events.submit(&1, 1).unwrap();
        }
        for events in [&first, &second] {
            until(|| events.in_flight() == 1);
            events.submit(&1, 10).unwrap();
            events.call(&2).delay(Duration::MAX).submit(100).unwrap();
        }
        *slots[0].lock().unwrap() = Some(first);
        *slots[1].lock().unwrap() = Some(second);
        gate.open();
        let mut all: Vec<_> = (0..6).map(|_| soon(&carries)).collect();
        all.sort();
        assert_eq!(all, [1, 1, 10, 10, 100, 100]);
    });
}

/// P13: an observer that panics between taking the lead and the run unwinds in its call, and loses nobody's event.
#[test]
fn p13_an_observer_that_panics_loses_no_event() {
    crate::support::keep_quiet_about(&["told"]);
    within(|| {
        for (bad, panics, unwound) in [
            (EventKind::Led, 1, 1),
            (EventKind::Led, isize::MAX, 2), // in both callers; then a worker carries all
            (EventKind::Joined, 1, 1),
        ] {
            let (gate, left) = (crate::support::Gate::new(), Arc::new(AtomicIsize::new(0)));
            let (stays, fuse) = (gate.clone(), left.clone());
            let (carried, carries) = channel();
            let carried = Mutex::new(carried);
            let events: EventGroup<u32, Vec<u32>> = EventGroup::builder(
                |all: &mut Vec<u32>, more| all.extend(more),
                move |_, all: Vec<u32>| {
                    if all == [0] {
                        stays.pass();
                    } else {
                        let _ = carried.lock().unwrap().send(all);
                    }
                    Ok(())
                },
            )
            .observer(move |event| {
                if event.kind == bad && fuse.fetch_update(SeqCst, SeqCst, |left| (left > 0).then(|| left - 1)).is_ok() {
                    panic!("told");
                }
            })
            .build();
            thread::scope(|s| {
                let events = &events;
                let first = s.spawn(|| events.push(&1, vec![0]).unwrap());
                until(|| events.in_flight() == 1);
                events.submit(&1, vec![1]).unwrap();
                let push = |event| {
                    let waiting = events.waiting(&1);
                    let push = s.spawn(move || catch_unwind(AssertUnwindSafe(|| events.push(&1, vec![event]))));
                    until(|| push.is_finished() || events.waiting(&1) > waiting);
                    push
                };
                if bad == EventKind::Joined {
                    left.store(panics, SeqCst);
                }
                let second = push(2);
                if bad == EventKind::Joined {
                    until(|| second.is_finished());
                }
                let third = push(3);
                until(|| events.followers(&1) == if bad == EventKind::Joined { 1 } else { 2 });
                if bad == EventKind::Led {
                    left.store(panics, SeqCst);
                }
                gate.open();
                first.join().unwrap();
                let results = [second.join().unwrap(), third.join().unwrap()];
                assert_eq!(results.iter().filter(|result| result.is_err()).count(), unwound);
                assert!(results.into_iter().flatten().all(|result| result.is_ok()));
            });
            let expected: &[u32] = if bad == EventKind::Joined { &[1, 3] } else { &[1, 2, 3] };
            assert_eq!(soon(&carries), expected, "{bad:?}");
            left.store(0, SeqCst);
            events.push(&1, vec![4]).unwrap();
            assert_eq!(soon(&carries), [4]);
        }
    });
}

/// P13: a key whose `clone` panics when the next run begins loses nobody's event: no key is made for it.
#[test]
fn p13_a_key_that_cannot_be_cloned_any_more_loses_no_event() {
    #[derive(PartialEq, Eq, Hash)]
    struct Key;
    static ARMED: AtomicBool = AtomicBool::new(false);
    impl Clone for Key {
        fn clone(&self) -> Self {
            assert!(!ARMED.load(SeqCst), "a key was cloned");
            Self
        }
    }
    within(|| {
        let gate = crate::support::Gate::new();
        let stays = gate.clone();
        let events: EventGroup<Key, Vec<u32>, Vec<u32>> = EventGroup::new(
            |all: &mut Vec<u32>, more| all.extend(more),
            move |_, all: Vec<u32>| {
                if all == [0] {
                    stays.pass();
                }
                Ok(all)
            },
        );
        thread::scope(|s| {
            let first = s.spawn(|| events.push(&Key, vec![0]).unwrap());
            until(|| events.in_flight() == 1);
            events.submit(&Key, vec![1]).unwrap();
            let second = s.spawn(|| events.push(&Key, vec![2]));
            until(|| events.followers(&Key) == 1);
            ARMED.store(true, SeqCst);
            gate.open();
            first.join().unwrap();
            assert_eq!(second.join().unwrap().unwrap().value, [1, 2]);
            ARMED.store(false, SeqCst);
        });
    });
}
