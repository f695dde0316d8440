//! P5: panics and failures strand nobody.

use crate::harness::{explore, spawn, work};
use flight_group::{Error, Group, WriteGroup};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
