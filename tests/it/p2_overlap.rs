//! P2: a read gets the outcome of a flight that was in the air at some moment of its call; a landed flight is never
//! joined.

use crate::support::{Clock, finish, hold, hold_call, line_up, until_waiting, within};
use flight_group::{Error, Group, Role};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

#[test]
fn p2_a_follower_gets_the_outcome_of_the_flight_it_found() {
    within(|| {
        let group: Group<String, String, String> = Group::new();
        for fails in [false, true] {
            let end = move || if fails { Err("no".to_owned()) } else { Ok("yes".to_owned()) };
            let leader = hold_call(&group, "k".to_owned(), end);
            let followers = line_up(&group, "k".to_owned(), 5, |group, _| group.call("k").run(|| unreachable!()));
            let led = leader.release();
            for follower in followers {
                let followed = finish(follower);
                match (&led, followed) {
                    (Ok(led), Ok(followed)) => {
                        assert_eq!((led.role, followed.role), (Role::Leader, Role::Follower));
                        assert!(led.shared() && followed.shared());
                        assert!(!led.detached() && !followed.detached());
                        assert_eq!((led.value.as_str(), followed.value.as_str()), ("yes", "yes"));
                    }
                    (Err(led), Err(followed)) => {
                        assert_eq!(led, &Error::Work("no".to_owned()));
                        assert_eq!(&followed, led);
                    }
                    other => panic!("leader and follower disagree: {other:?}"),
                }
            }
        }
    });
}

#[test]
fn p2_a_landed_flight_is_never_joined() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        for n in 0..100 {
            let landing = group.call(&1).run(|| Ok(n)).unwrap();
            assert_eq!((landing.value, landing.role), (n, Role::Leader));
            assert!(!landing.shared() && !landing.detached());
            assert!(group.call(&1).follow().is_none());
        }
    });
}

/// Many short flights, many callers: whoever is handed a value was calling before the value's leader returned,
/// and returned after its closure had begun.
#[test]
fn p2_every_value_is_of_a_flight_that_overlaps_the_call() {
    within(|| {
        struct Call {
            arrived: u64,
            returned: u64,
            run: u64,
            led: bool,
        }
        let group: Group<u8, u64> = Group::new();
        let clock = Arc::new(Clock::default());
        let runs = Arc::new(AtomicU64::new(0));
        let log = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (group, clock, runs, log) = (group.clone(), clock.clone(), runs.clone(), log.clone());
                spawn(move || {
                    for _ in 0..400 {
                        let arrived = clock.tick();
                        let landing = group.call(&1).run(|| {
                            let run = runs.fetch_add(1, SeqCst);
                            log.lock().unwrap().0.push((run, clock.tick()));
                            std::thread::yield_now();
                            Ok(run)
                        });
                        let landing = landing.unwrap();
                        let returned = clock.tick();
                        let led = landing.role == Role::Leader;
                        log.lock().unwrap().1.push(Call { arrived, returned, run: landing.value, led });
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(finish);
        let log = log.lock().unwrap();
        let (starts, calls) = &*log;
        let started: std::collections::HashMap<u64, u64> = starts.iter().copied().collect();
        assert_eq!(started.len(), calls.iter().filter(|call| call.led).count(), "each run has one leader");
        // It has landed, at the latest, when the first of its callers is back.
        let mut landed = std::collections::HashMap::new();
        for call in calls {
            let first = landed.entry(call.run).or_insert(call.returned);
            *first = call.returned.min(*first);
        }
        for call in calls {
            assert!(call.arrived < landed[&call.run], "joined a flight that had landed before the call");
            assert!(call.returned > started[&call.run], "given a value before its closure had begun");
        }
    });
}

/// `wait` follows and never leads.
#[test]
fn p2_follow_joins_what_is_there_and_is_none_otherwise() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        assert_eq!(group.call(&1).follow(), None);
        let leader = hold(&group, 1, || 3);
        assert_eq!(group.call(&2).follow(), None, "another key's flight is not this key's");
        assert_eq!(group.call(&1).fresh().follow(), None, "nothing is queued");
        let onlooker = {
            let group = group.clone();
            spawn(move || group.call(&1).follow())
        };
        until_waiting(&group, &1, 1);
        leader.release();
        let landing = finish(onlooker).unwrap().unwrap();
        assert_eq!((landing.value, landing.role), (3, Role::Follower));
        assert_eq!(group.stats().led, 1);
    });
}
