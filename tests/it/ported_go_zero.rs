//! What the tests of go-zero's `syncx.SingleFlight` and `syncx.LockedCalls` assert, in our own words.

use crate::support::{Alone, Held, finish, hold_call, line_up, within};
use flight_group::{Error, Group, Role, WriteGroup};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// go-zero `TestExclusiveCallDo` and `TestExclusiveCallDoErr`.
#[test]
fn a_lone_call_returns_value_or_error() {
    within(|| {
        let group: Group<String, String, &str> = Group::new();
        assert_eq!(group.try_work("key", || Ok("bar".to_owned())), Ok("bar".to_owned()));
        assert_eq!(group.try_work("key", || Err("some error")), Err(Error::Work("some error")));
    });
}

/// go-zero `TestExclusiveCallDoDupSuppress` and `TestExclusiveCallDoExDupSuppress`: of ten callers one runs, and
/// exactly one is told that the value is fresh, that is its own.
#[test]
fn of_ten_callers_one_is_told_that_it_did_the_work() {
    within(|| {
        let group: Group<String, String> = Group::new();
        let first = hold_call(&group, "key".to_owned(), || Ok("bar".to_owned()));
        let others = line_up(&group, "key".to_owned(), 9, |group, _| group.call("key").run(|| Ok("own".to_owned())));
        let landings: Vec<_> =
            [first.release()].into_iter().chain(others.into_iter().map(finish)).map(Result::unwrap).collect();
        assert!(landings.iter().all(|landing| landing.value == "bar"));
        assert_eq!(landings.iter().filter(|landing| landing.role == Role::Leader).count(), 1);
        assert_eq!(group.stats().led, 1);
    });
}

/// go-zero `TestExclusiveCallDoDiffDupSuppress`: thirteen calls for five keys, all at once, are five runs.
#[test]
fn each_key_runs_once() {
    within(|| {
        let group: Group<&str, usize> = Group::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let mut waiting = HashMap::new();
        let (mut leaders, mut followers) = (Vec::new(), Vec::new());
        for key in ["e", "a", "e", "a", "b", "c", "b", "a", "c", "d", "b", "c", "d"] {
            let n = waiting.entry(key).and_modify(|n| *n += 1).or_insert(0);
            if *n == 0 {
                let (group, runs) = (group.clone(), runs.clone());
                leaders.push(Held::start(move |stay| {
                    group.work(&key, || {
                        stay();
                        runs.fetch_add(1, SeqCst)
                    })
                }));
            } else {
                let own = group.clone();
                followers.push(std::thread::spawn(move || own.work(&key, || unreachable!())));
                crate::support::until_waiting(&group, &key, *n);
            }
        }
        assert_eq!(group.in_flight(), 5);
        leaders.into_iter().for_each(|leader| assert!(leader.release() < 5));
        followers.into_iter().for_each(|follower| assert!(finish(follower) < 5));
        assert_eq!(runs.load(SeqCst), 5);
    });
}

/// go-zero `TestLockedCallDo` and `TestLockedCallDoErr`.
#[test]
fn a_lone_locked_call_returns_value_or_error() {
    within(|| {
        let group: WriteGroup<String, String, &str> = WriteGroup::new();
        assert_eq!(group.try_write("key", || Ok("bar".to_owned())), Ok("bar".to_owned()));
        assert_eq!(group.try_write("key", || Err("some error")), Err(Error::Work("some error")));
    });
}

/// go-zero `TestLockedCallDoDupSuppress`: of ten calls for one key never two run at once. There all ten run, one
/// after the other; here those that queue are collapsed, and every caller still gets a run that came after its
/// call.
#[test]
fn locked_calls_never_overlap() {
    within(|| {
        let group: WriteGroup<String, usize> = WriteGroup::new();
        let alone = Arc::new(Alone::default());
        let first = Held::start({
            let (group, alone) = (group.clone(), alone.clone());
            move |stay| {
                group.write("key", || {
                    alone.run(|| {
                        stay();
                        0
                    })
                })
            }
        });
        let runs = alone.clone();
        let others = line_up(&group, "key".to_owned(), 9, move |group, i| group.write("key", || runs.run(|| i + 1)));
        assert_eq!(first.release(), 0);
        assert!(others.into_iter().all(|caller| finish(caller) == 9));
        alone.assert_never_two();
        assert_eq!(alone.runs(), 2);
    });
}
