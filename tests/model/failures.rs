//! P5: panics and failures strand nobody.

use crate::harness::{explore, spawn, work};
use flight_group::{Error, Group, WriteGroup};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

fn quiet() {
    // Panics are the point here; their reports are not.
    std::panic::set_hook(Box::new(|_| {}));
}

#[test]
fn p5_a_panicking_leader_strands_nobody() {
    explore(|| {
        quiet();
        let group: Group<u8, u8> = Group::new();
        let callers: Vec<_> = (0..3)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        group.try_work(&1, || {
                            work();
                            if i == 0 {
                                panic!("bang")
                            }
                            Ok(i)
                        })
                    }));
                    match outcome {
                        Ok(Ok(value)) => assert!(value == 1 || value == 2),
                        Ok(Err(Error::Panicked(panic))) => assert_eq!(panic.message(), "bang"),
                        Ok(Err(other)) => panic!("{other}"),
                        Err(payload) => assert_eq!((i, payload.downcast_ref()), (0, Some(&"bang"))),
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.work(&1, || 9), 9);
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn p5_a_panicking_write_fails_exactly_those_it_covers() {
    explore(|| {
        quiet();
        let group: WriteGroup<u8, u8> = WriteGroup::new();
        let callers: Vec<_> = (0..4)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        group.try_write(&1, || {
                            work();
                            if i % 2 == 0 {
                                panic!("bang")
                            }
                            Ok(i)
                        })
                    }));
                    match outcome {
                        Ok(Ok(value)) => assert_eq!(value % 2, 1),
                        Ok(Err(error)) => assert!(error.is_panicked()),
                        Err(_) => assert_eq!(i % 2, 0),
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
    });
}

/// With failures not shared, a follower tries its own closure; each runs at most once.
#[test]
fn p12_failures_not_shared_are_tried_again_by_the_next() {
    explore(|| {
        let group: Group<u8, u8, u8> = Group::builder().share_failures(false).build();
        let callers: Vec<_> = (0..4)
            .map(|i| {
                let group = group.clone();
                spawn(move || {
                    let mut runs = 0;
                    let outcome = group.try_work(&1, || {
                        runs += 1;
                        work();
                        if i < 3 { Err(i) } else { Ok(i) }
                    });
                    assert!(runs <= 1);
                    match outcome {
                        Ok(value) => assert_eq!(value, 3),
                        Err(Error::Work(error)) => assert_eq!((error, runs), (i, 1), "somebody else's failure"),
                        Err(other) => panic!("{other}"),
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
    });
}

/// A landing that puts the next flight into the air has nothing more to do with it: were it to drop the next one's
/// outcome, a `Drop` that panics would keep it from waking its own followers.
#[test]
fn p5_a_landing_does_not_drop_the_next_flights_outcome() {
    #[derive(Clone)]
    struct Value(Option<Arc<Mutex<Vec<shuttle::thread::ThreadId>>>>);
    impl Drop for Value {
        fn drop(&mut self) {
            if let Some(dropped_by) = &self.0 {
                dropped_by.lock().unwrap().push(shuttle::thread::current().id());
            }
        }
    }
    explore(|| {
        let dropped_by = Arc::new(Mutex::new(Vec::new()));
        let group: WriteGroup<u8, Value> = WriteGroup::new();
        let first = {
            let group = group.clone();
            spawn(move || {
                group.write(&1, || {
                    work();
                    Value(None)
                });
                shuttle::thread::current().id()
            })
        };
        let next = {
            let (group, dropped_by) = (group.clone(), dropped_by.clone());
            spawn(move || drop(group.write(&1, || Value(Some(dropped_by)))))
        };
        let first = first.join().unwrap();
        next.join().unwrap();
        assert!(!dropped_by.lock().unwrap().contains(&first), "dropped by who led the flight before");
        assert!(!dropped_by.lock().unwrap().is_empty());
    });
}
