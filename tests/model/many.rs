//! `work_many` beside single calls, on one table.

use crate::harness::{explore, spawn, work};
use flight_group::{Error, Group};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// a, b and b, a, and a single call for b: nobody waits for ever, everybody gets every key.
#[test]
fn p7_crossing_calls_never_wait_for_each_other() {
    explore(|| {
        let group: Group<u8, u8> = Group::new();
        let all = |missing: &[u8]| {
            work();
            Ok(missing.iter().map(|&key| (key, key * 10)).collect::<HashMap<_, _>>())
        };
        let callers: Vec<_> = [[1, 2, 3], [3, 2, 1], [2, 3, 1]]
            .into_iter()
            .map(|keys| {
                let group = group.clone();
                spawn(move || {
                    let shares = group.work_many(&keys, all);
                    assert_eq!(shares.len(), 3);
                    for (key, share) in shares {
                        assert_eq!(share.unwrap().value, key * 10);
                    }
                })
            })
            .collect();
        assert_eq!(
            group.work(&2, || {
                work();
                20
            }),
            20
        );
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(group.in_flight(), 0);
    });
}

/// A panic over many keys, and a key the work forgot, strand none of those who boarded them.
#[test]
fn p5_a_panic_over_many_keys_strands_none() {
    explore(|| {
        std::panic::set_hook(Box::new(|_| {}));
        let group: Group<u8, u8> = Group::new();
        let many = {
            let group = group.clone();
            spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    group.work_many(&[1, 2], |_| {
                        work();
                        panic!("bang")
                    })
                }));
                if let Ok(shares) = outcome {
                    // Both keys were in the air already: the closure did not run, and one forgot its key.
                    assert_eq!(shares[&1].as_ref().unwrap().value, 1);
                    assert!(shares[&2].is_ok() || shares[&2] == Err(Error::missing()));
                }
            })
        };
        let forgetful = {
            let group = group.clone();
            spawn(move || {
                drop(group.work_many(&[2], |_| {
                    work();
                    Ok(HashMap::new())
                }))
            })
        };
        for key in [1, 2] {
            match group.try_work(&key, || {
                work();
                Ok(key)
            }) {
                Ok(value) => assert_eq!(value, key),
                Err(Error::Panicked(panic)) => assert_eq!(panic.message(), "bang"),
                Err(error) => assert_eq!((error, key), (Error::missing(), 2)),
            }
        }
        forgetful.join().unwrap();
        many.join().unwrap();
        assert_eq!(group.in_flight(), 0);
    });
}
