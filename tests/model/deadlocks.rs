//! P7: no silent deadlock, and no false alarm.

use crate::harness::{A_WHILE, explore, spawn, work};
use flight_group::{Error, Group, WriteGroup};
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

/// Another thread's wait that ends by itself is no deadlock; the caller's own deadline suppresses nothing.
#[test]
fn p7_a_deadline_breaks_the_circle_for_others_only() {
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
            // If `other` waits for us by now, its wait ends by itself, unless the coin lets it sleep on: then
            // only we could end it, and so this thread must not wait for it without a deadline of its own.
            match group.call(&2).timeout(Duration::ZERO).run(|| Ok(0)) {
                Ok(landing) => landing.value,
                Err(error) => {
                    assert!(error.is_timed_out());
                    0
                }
            }
        });
        other.join().unwrap();
    });
}
use std::time::Duration;

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
            assert!(group.call(&1).wait().unwrap().unwrap_err().is_deadlock());
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
