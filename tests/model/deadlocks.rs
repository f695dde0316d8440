//! P7: no silent deadlock, and no false alarm.

use crate::harness::{A_WHILE, explore, explore_for, spawn, work};
use flight_group::{Batcher, Error, Event, EventGroup, EventKind, Group, WriteGroup};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn chain(group: &Group<u8, u8>, first: u8, second: u8, circles: &AtomicUsize) {
    let outcome = group.try_work(&first, || {
        work();
        match group.try_work(&second, || Ok(second)) {
            Ok(value) => Ok(value),
            Err(Error::Deadlock(circle)) => {
                circles.fetch_add(1, SeqCst);
                assert!((1..=3).contains(&circle.hops().len()));
                Ok(0)
            }
            Err(other) => panic!("{other}"),
        }
    });
    assert!(outcome.is_ok());
}

/// Two threads, a then b and b then a: nobody hangs.
#[test]
fn p7_a_circle_of_two_is_refused() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let circles = Arc::new(AtomicUsize::new(0));
        let other = {
            let (group, circles) = (group.clone(), circles.clone());
            spawn(move || chain(&group, 2, 1, &circles))
        };
        chain(&group, 1, 2, &circles);
        other.join().unwrap();
        assert_eq!(group.in_flight(), 0);
    });
}

/// Both threads are in the air before either asks for the other: at least one must be told.
#[test]
fn p7_of_two_that_close_a_circle_one_sees_it() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let circles = Arc::new(AtomicUsize::new(0));
        let meeting = Arc::new(shuttle::sync::Barrier::new(2));
        let run = |first: u8, second: u8| {
            let (group, circles, meeting) = (group.clone(), circles.clone(), meeting.clone());
            move || {
                group.work(&first, || {
                    meeting.wait();
                    let nested = group.try_work(&second, || Ok(second));
                    match nested {
                        Ok(_) => {}
                        Err(Error::Deadlock(circle)) => {
                            assert_eq!(circle.hops().len(), 2);
                            circles.fetch_add(1, SeqCst);
                        }
                        Err(other) => panic!("{other}"),
                    }
                    0
                });
            }
        };
        let other = spawn(run(2, 1));
        run(1, 2)();
        other.join().unwrap();
        assert!(circles.load(SeqCst) >= 1);
    });
}

/// Three threads in a circle, across a read group and a write group.
#[test]
fn p7_a_circle_of_three_across_groups() {
    explore(|| {
        let reads: Group<u8, u8> = Group::new();
        let writes: WriteGroup<u8, u8> = WriteGroup::new();
        let circles = Arc::new(AtomicUsize::new(0));
        let count = |outcome: Result<u8, Error<_>>, circles: &AtomicUsize| {
            if let Err(error) = outcome {
                let _: &Error<std::convert::Infallible> = &error;
                assert!(error.is_deadlock());
                circles.fetch_add(1, SeqCst);
            }
            0
        };
        let a = {
            let (reads, writes, circles) = (reads.clone(), writes.clone(), circles.clone());
            spawn(move || {
                reads.work(&1, || {
                    work();
                    count(writes.try_write(&2, || Ok(0)), &circles)
                })
            })
        };
        let b = {
            let (reads, writes, circles) = (reads.clone(), writes.clone(), circles.clone());
            spawn(move || {
                writes.write(&2, || {
                    work();
                    count(reads.try_work(&3, || Ok(0)), &circles)
                })
            })
        };
        reads.work(&3, || {
            work();
            count(reads.try_work(&1, || Ok(0)), &circles)
        });
        a.join().unwrap();
        b.join().unwrap();
        assert_eq!(reads.in_flight() + writes.in_flight(), 0);
    });
}

/// Always in the same order: there is no circle, so nobody may be told of one, whatever is promoted meanwhile.
#[test]
fn p7_no_false_alarm() {
    explore(|| {
        let group: WriteGroup<u8, u8> = WriteGroup::new();
        let callers: Vec<_> = (0..4)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let outcome = group.try_write(&1, || {
                        work();
                        match group.try_write(&2, || {
                            work();
                            Ok(2)
                        }) {
                            Ok(value) => Ok(value),
                            Err(error) => panic!("a false alarm: {error}"),
                        }
                    });
                    assert!(outcome.is_ok(), "{outcome:?}");
                    if i % 2 == 0 {
                        assert!(group.try_write(&2, || Ok(1)).is_ok());
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}

/// Another thread's wait that ends by itself is no deadlock: whoever meets it waits for it, and is served.
#[test]
fn p7_a_wait_that_ends_by_itself_is_no_deadlock() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let meeting = Arc::new(shuttle::sync::Barrier::new(2));
        let other = {
            let (group, meeting) = (group.clone(), meeting.clone());
            spawn(move || {
                group.work(&2, || {
                    meeting.wait();
                    match group.call(&1).timeout(A_WHILE).run(|| Ok(9)) {
                        Ok(landing) => landing.value,
                        // Its own deadline does not suppress the check, if it comes second.
                        Err(error) => {
                            assert!(error.is_timed_out() || error.is_deadlock());
                            0
                        }
                    }
                })
            })
        };
        group.work(&1, || {
            meeting.wait();
            match group.try_work(&2, || Ok(5)) {
                Ok(value) => value,
                Err(error) => panic!("the other's wait has a deadline: {error}"),
            }
        });
        other.join().unwrap();
    });
}

/// A chain that changes while it is walked may look like a circle and never have been one.
///
/// The first thread, about to wait for 1, walks: 1 is led by the second, who waits for 2, which is led by the third
/// and has not landed. Then 2 lands, and the third goes on to wait for 0, which the first leads: every edge was there
/// once, and the circle never was. All three are in their places before the first sets out, so that the one moment
/// that matters is when the third goes on.
#[test]
fn p7_a_chain_that_changes_under_the_walk_is_no_alarm() {
    explore_for(12, || {
        // Nobody spins: the fewer steps a schedule has, the more likely one is to change threads at the right one.
        let joined = Arc::new([(); 3].map(|()| Gate::default()));
        let in_the_air = Arc::new(Gate::default());
        let group: Group<u8, u8> = {
            let joined = joined.clone();
            let tell = move |event: &Event<'_, u8>| {
                if event.kind == EventKind::Joined {
                    joined[usize::from(*event.key)].open();
                }
            };
            Group::builder().observer(tell).build()
        };
        let calm = |outcome: Result<u8, Error<_>>| match outcome {
            Ok(value) => value,
            Err(error) => {
                let _: &Error<std::convert::Infallible> = &error;
                panic!("a false alarm: {error}")
            }
        };
        let third = {
            let (group, joined, in_the_air) = (group.clone(), joined.clone(), in_the_air.clone());
            spawn(move || {
                calm(group.try_work(&2, || {
                    in_the_air.open();
                    joined[1].pass();
                    Ok(2)
                }));
                calm(group.try_work(&0, || Ok(0)))
            })
        };
        let second = {
            let group = group.clone();
            spawn(move || {
                calm(group.try_work(&1, || {
                    in_the_air.pass();
                    Ok(calm(group.try_work(&2, || Ok(2))))
                }))
            })
        };
        calm(group.try_work(&0, || {
            joined[2].pass();
            Ok(calm(group.try_work(&1, || Ok(1))))
        }));
        second.join().unwrap();
        third.join().unwrap();
    });
}

/// Passed by nobody until it is opened.
#[derive(Default)]
struct Gate(shuttle::sync::Mutex<bool>, shuttle::sync::Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let mut open = self.0.lock().unwrap();
        while !*open {
            open = self.1.wait(open).unwrap();
        }
    }
}

/// Re-entry on one thread: the shortest circle, through a read, a fresh read and a write.
#[test]
fn p7_re_entry_is_refused() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let writes: WriteGroup<u8, u8> = WriteGroup::new();
        let onlooker = {
            let group = group.clone();
            spawn(move || drop(group.try_work(&1, || Ok(1))))
        };
        group.work(&1, || {
            let nested = group.try_work(&1, || Ok(0)).unwrap_err();
            assert!(nested.is_deadlock());
            assert!(group.call(&1).fresh().run(|| Ok(0)).unwrap_err().is_deadlock());
            assert!(group.call(&1).timeout(A_WHILE).run(|| Ok(0)).unwrap_err().is_deadlock());
            assert!(group.call(&1).follow().unwrap().unwrap_err().is_deadlock());
            1
        });
        writes.write(&1, || {
            assert!(writes.try_write(&1, || Ok(0)).unwrap_err().is_deadlock());
            1
        });
        onlooker.join().unwrap();
        assert_eq!(group.in_flight() + writes.in_flight(), 0);
    });
}

/// A call that is told or served, and nothing else.
fn told<V>(outcome: Result<V, Error<std::convert::Infallible>>, circles: &AtomicUsize) {
    match outcome {
        Ok(_) => {}
        Err(Error::Deadlock(circle)) => {
            assert_eq!(circle.hops().len(), 2);
            circles.fetch_add(1, SeqCst);
        }
        Err(other) => panic!("{other}"),
    }
}

/// A batch that asks a group, whose leader loads another key.
#[test]
fn p7_a_circle_of_a_group_and_a_batcher() {
    explore(|| {
        let (group, circles): (Group<u8, u8>, _) = (Group::new(), Arc::new(AtomicUsize::new(0)));
        let meeting = Arc::new(shuttle::sync::Barrier::new(2));
        let batcher: Batcher<u8, u8> = Batcher::new({
            let (group, circles, meeting) = (group.clone(), circles.clone(), meeting.clone());
            move |keys: &[u8]| {
                if keys.contains(&7) {
                    meeting.wait();
                    told(group.try_work(&1, || Ok(1)), &circles);
                }
                Ok(keys.iter().map(|&key| (key, key)).collect())
            }
        });
        let reader = {
            let (group, batcher, circles) = (group.clone(), batcher.clone(), circles.clone());
            spawn(move || {
                group.work(&1, || {
                    meeting.wait();
                    told(batcher.load(&8), &circles);
                    1
                })
            })
        };
        assert_eq!(batcher.load(&7).unwrap(), 7);
        reader.join().unwrap();
        assert!(circles.load(SeqCst) >= 1);
        assert_eq!((group.in_flight(), batcher.waiting(), batcher.queued()), (0, 0, 0));
    });
}

/// An event's push that asks a group, whose leader pushes for the same key.
#[test]
fn p7_a_circle_of_a_group_and_a_push() {
    explore(|| {
        let (group, circles): (Group<u8, u8>, _) = (Group::new(), Arc::new(AtomicUsize::new(0)));
        let meeting = Arc::new(shuttle::sync::Barrier::new(2));
        let events: EventGroup<u8, u8> = EventGroup::new(|sum, n| *sum += n, {
            let (group, circles, meeting) = (group.clone(), circles.clone(), meeting.clone());
            move |_: &u8, sum| {
                if sum == 1 {
                    meeting.wait();
                    told(group.try_work(&1, || Ok(1)), &circles);
                }
                Ok(())
            }
        });
        let reader = {
            let (group, events, circles) = (group.clone(), events.clone(), circles.clone());
            spawn(move || {
                group.work(&1, || {
                    meeting.wait();
                    told(events.push(&5, 2), &circles);
                    1
                })
            })
        };
        told(events.push(&5, 1), &circles);
        reader.join().unwrap();
        assert!(circles.load(SeqCst) >= 1);
        assert_eq!((group.in_flight(), events.in_flight(), events.followers(&5)), (0, 0, 0));
    });
}

/// Reads before writes before events before batches: nobody is told of a circle, whatever is handed on meanwhile.
#[test]
fn p7_no_false_alarm_through_all_kinds() {
    fn calm<V>(outcome: Result<V, Error<std::convert::Infallible>>) -> Result<V, std::convert::Infallible> {
        Ok(outcome.unwrap_or_else(|error| panic!("a false alarm: {error}")))
    }
    explore(|| {
        let batcher: Batcher<u8, u8> = Batcher::new(|keys: &[u8]| {
            work();
            Ok(keys.iter().map(|&key| (key, key)).collect())
        });
        let last = batcher.clone();
        let events: EventGroup<u8, u8, u8> =
            EventGroup::new(|sum, n| *sum += n, move |key: &u8, _| calm(last.load(key)));
        let (reads, writes): (Group<u8, u8>, WriteGroup<u8, u8>) = (Group::new(), WriteGroup::new());
        let caller = |first: u8| {
            let (reads, writes, events, batcher) = (reads.clone(), writes.clone(), events.clone(), batcher.clone());
            move || {
                let push = || calm(events.push(&1, 1).map(|landing| landing.value));
                match first {
                    0 => drop(calm(reads.try_work(&1, || calm(writes.try_write(&1, push))))),
                    1 => drop(calm(writes.try_write(&1, push))),
                    2 => drop(push()),
                    _ => drop(calm(batcher.load(&2))),
                }
            }
        };
        let callers = [1, 2, 3].map(|first| spawn(caller(first)));
        caller(0)();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}
