//! Many keys at once keep the promises of single calls, on the same table.

use crate::support::{Held, finish, line_up, message, try_hold, until_waiting, within};
use flight_group::{CancelToken, Error, Group, Role};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};
use std::thread::spawn;
use std::time::{Duration, Instant};

type G = Group<u8, u32, &'static str>;

fn doubled(keys: &[u8]) -> HashMap<u8, u32> {
    keys.iter().map(|key| (*key, u32::from(*key) * 2)).collect()
}

#[test]
fn p1_many_keys_share_the_flights_of_single_calls() {
    within(|| {
        let group = G::new();
        let single = try_hold(&group, 1, || Ok(100));
        let (many, entered) = Held::begin({
            let group = group.clone();
            move |stay| {
                group.work_many(&[1, 2, 2, 3], |missing| {
                    assert_eq!(missing, [2, 3], "not the one in the air, and each once");
                    stay();
                    Ok(doubled(missing))
                })
            }
        });
        entered.pass();
        assert_eq!(group.in_flight(), 3);
        let of_many = line_up(&group, 2, 2, |group, _| group.call(&2).run(|| unreachable!()));
        // It lands its own before it waits for others: whoever waits for those is served at once.
        many.let_go();
        for follower in of_many {
            let landing = finish(follower).unwrap();
            assert_eq!((landing.value, landing.role), (4, Role::Follower));
        }
        assert!(!many.has_returned());
        until_waiting(&group, &1, 1);
        single.release().unwrap();
        let found = many.release();
        assert_eq!(found.len(), 3);
        let of = |key| found[&key].as_ref().map(|landing| (landing.value, landing.role, landing.shared())).unwrap();
        assert_eq!(of(1), (100, Role::Follower, true));
        assert_eq!(of(2), (4, Role::Leader, true));
        assert_eq!(of(3), (6, Role::Leader, false));
        assert_eq!((group.in_flight(), group.stats().led, group.stats().joined), (0, 3, 3));
    });
}

/// A key that was not returned is missing for all who boarded it; a failure is everybody's; a panic is the caller's
/// own, and a message for those who boarded.
#[test]
fn p5_every_end_of_many_reaches_every_follower() {
    within(|| {
        for end in ["missing", "failure", "panic"] {
            let group = G::new();
            let many = {
                let group = group.clone();
                Held::start(move |stay| {
                    catch_unwind(AssertUnwindSafe(|| {
                        group.work_many(&[1, 2], |_| {
                            stay();
                            match end {
                                "missing" => Ok(HashMap::from([(1, 1)])),
                                "failure" => Err("down"),
                                _ => panic!("many"),
                            }
                        })
                    }))
                })
            };
            let followers = line_up(&group, 2, 2, |group, i| match i {
                0 => group.try_work(&2, || unreachable!()),
                _ => group.call(&2).follow().unwrap().map(flight_group::Landing::into_value),
            });
            let own = many.release();
            for follower in followers {
                match (end, finish(follower).unwrap_err()) {
                    ("missing", error) => assert!(error.is_missing()),
                    ("failure", error) => assert_eq!(error, Error::Work("down")),
                    (_, Error::Panicked(panic)) => assert_eq!(panic.message(), "many"),
                    (_, other) => panic!("{other:?}"),
                }
            }
            match own {
                Ok(found) if end == "missing" => {
                    assert_eq!(found[&1].as_ref().unwrap().value, 1);
                    assert_eq!(found[&2], Err(Error::missing()));
                }
                Ok(found) => assert!(found.values().all(|share| *share == Err(Error::Work("down")))),
                Err(payload) => assert_eq!((end, message(&*payload).as_str()), ("panic", "many")),
            }
            assert_eq!(group.in_flight(), 0);
            assert_eq!(group.try_work(&2, || Ok(3)), Ok(3));
        }
    });
}

/// Two calls for the same keys in opposite order do not wait for each other in a circle.
#[test]
fn p7_two_calls_for_the_same_keys_never_wait_in_a_circle() {
    within(|| {
        let group = G::new();
        for _ in 0..100 {
            let start = Arc::new(Barrier::new(2));
            let callers: Vec<_> = [[1u8, 2, 3, 4], [4, 3, 2, 1]]
                .into_iter()
                .map(|keys| {
                    let (group, start) = (group.clone(), start.clone());
                    spawn(move || {
                        start.wait();
                        group.work_many(&keys, |missing| Ok(doubled(missing)))
                    })
                })
                .collect();
            for caller in callers {
                let found = finish(caller);
                assert!((1..=4).all(|key| found[&key].as_ref().unwrap().value == u32::from(key) * 2));
            }
        }
        assert_eq!((group.stats().deadlocked, group.in_flight()), (0, 0));
    });
}

#[test]
fn p7_re_entry_is_refused_key_by_key() {
    within(|| {
        let group = G::new();
        let value = group.try_work(&1, || {
            let found = group.work_many(&[1, 2], |missing| {
                assert_eq!(missing, [2]);
                Ok(doubled(missing))
            });
            assert!(found[&1].as_ref().unwrap_err().is_deadlock());
            Ok(found[&2].as_ref().unwrap().value)
        });
        assert_eq!(value, Ok(4));
        assert!(group.work_many(&[], |_| unreachable!("nothing is missing")).is_empty());
    });
}

#[test]
fn many_keys_respect_max_followers_and_forget() {
    within(|| {
        let group: G = Group::builder().max_followers(0).build();
        let single = try_hold(&group, 1, || Ok(100));
        let found = group.work_many(&[1, 2], |missing| Ok(doubled(missing)));
        assert_eq!((&found[&1], found[&2].as_ref().unwrap().value), (&Err(Error::overloaded()), 4));
        assert!(group.forget(&1));
        let found = group.work_many(&[1, 2], |missing| {
            assert!(group.forget(&2));
            Ok(doubled(missing))
        });
        assert!(!found[&1].as_ref().unwrap().detached() && found[&2].as_ref().unwrap().detached());
        single.release().unwrap();
        assert_eq!(group.in_flight(), 0);
    });
}

/// The call's own flights land, whatever becomes of its waits; keys with an outcome keep it.
#[test]
fn p6_a_limit_of_many_ends_its_waits_and_nothing_else() {
    within(|| {
        for end in ["zero", "timeout", "past", "deadline", "cancelled meanwhile"] {
            let group = G::new();
            let single = try_hold(&group, 1, || Ok(100));
            let token = CancelToken::new();
            let call = group.call_many(&[1, 2, 1]);
            let call = match end {
                "zero" => call.timeout(Duration::ZERO),
                "timeout" => call.timeout(Duration::from_millis(1)),
                "past" => call.deadline(Instant::now()),
                "deadline" => call.deadline(Instant::now() + Duration::from_millis(1)),
                _ => call.cancel(&token),
            };
            let found = call.run(|missing| {
                token.cancel("the server shuts down");
                assert_eq!(missing, [2]);
                Ok(doubled(missing))
            });
            assert_eq!(found.len(), 2);
            assert_eq!(found[&2].as_ref().unwrap().value, 4);
            let error = found[&1].as_ref().unwrap_err();
            assert_eq!(
                (error.is_timed_out(), error.is_cancelled()),
                (end != "cancelled meanwhile", end.contains("cancel"))
            );
            assert_eq!((group.followers(&1), group.in_flight()), (0, 1), "{end}");
            single.release().unwrap();
            let again = call.run(|missing| Ok(doubled(missing)));
            assert_eq!(again[&1].is_ok(), !end.contains("cancel"), "a token stays cancelled");
        }
    });
}

/// Its deadline passes while it does its own work, and so does the other flight's landing.
#[test]
fn p6_an_outcome_that_is_there_wins_over_the_deadline_of_many() {
    within(|| {
        let group = G::new();
        let single = try_hold(&group, 1, || Ok(100));
        let mut single = Some(single);
        let deadline = Instant::now() + Duration::from_millis(100);
        let found = group.call_many(&[1, 2]).deadline(deadline).run(|missing| {
            single.take().unwrap().release().unwrap();
            while Instant::now() < deadline {
                std::thread::yield_now();
            }
            Ok(doubled(missing))
        });
        assert_eq!(found[&1].as_ref().unwrap().value, 100, "an outcome that is there wins");
        assert_eq!(found[&2].as_ref().unwrap().value, 4);
    });
}
