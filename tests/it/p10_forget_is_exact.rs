//! P10: `forget` detaches the flight in the air: its callers still get its outcome, the next caller starts anew,
//! the old flight's landing never removes its successor, and callers queued behind it go into the air at once.
//! `max_age` and a take-over detach in the same way.

use crate::support::{Held, SOON, finish, hold_call, line_up, try_hold, until, until_waiting, within};
use flight_group::{Error, Group, Role};
use std::thread::spawn;
use std::time::Duration;

type G = Group<u8, u32>;

#[test]
fn p10_a_forgotten_flights_callers_get_its_outcome_and_the_next_starts_anew() {
    within(|| {
        let group = G::new();
        assert!(!group.forget(&1), "nothing to forget");
        let old = hold_call(&group, 1, || Ok(1));
        let of_old = line_up(&group, 1, 2, |group, _| group.call(&1).run(|| unreachable!()).unwrap());
        assert!(group.forget(&1));
        assert_eq!((group.in_flight(), group.followers(&1)), (0, 0));
        assert!(!group.forget(&1), "forgotten once");
        assert_eq!(group.call(&1).follow(), None, "and not to be found");
        let new = hold_call(&group, 1, || Ok(2));
        let of_new = line_up(&group, 1, 2, |group, _| group.call(&1).run(|| unreachable!()).unwrap());
        // The old one lands while its successor is in the air, and does not touch it.
        let landing = old.release().unwrap();
        assert_eq!((landing.value, landing.role, landing.detached()), (1, Role::Leader, true));
        for follower in of_old {
            let landing = finish(follower);
            assert_eq!((landing.value, landing.detached(), landing.shared()), (1, true, true));
        }
        assert_eq!((group.in_flight(), group.followers(&1)), (1, 2));
        let third = {
            let group = group.clone();
            spawn(move || group.call(&1).run(|| unreachable!()).unwrap())
        };
        until_waiting(&group, &1, 3);
        let landing = new.release().unwrap();
        assert_eq!((landing.value, landing.detached()), (2, false));
        for follower in of_new.into_iter().chain([third]) {
            let landing = finish(follower);
            assert_eq!((landing.value, landing.detached()), (2, false));
        }
        assert_eq!(group.stats().forgotten, 1);
    });
}

/// A lone leader's flight has no memory of its own: forgotten, it is only missing from the table.
#[test]
fn p10_a_lone_leaders_flight_is_forgotten() {
    within(|| {
        let group = G::new();
        let old = hold_call(&group, 1, || Ok(1));
        assert!(group.forget(&1));
        let new = hold_call(&group, 1, || Ok(2));
        let landing = old.release().unwrap();
        assert_eq!((landing.value, landing.detached(), landing.shared()), (1, true, false));
        assert_eq!(group.in_flight(), 1, "its successor is in the air");
        assert!(!new.release().unwrap().detached());
        assert_eq!(group.in_flight(), 0);
    });
}

/// Failures and panics of a forgotten flight reach its own callers, and only those.
#[test]
fn p10_a_forgotten_flights_failure_is_its_callers_own() {
    within(|| {
        for panics in [false, true] {
            let group: Group<u8, u32, &str> = Group::new();
            let old = Held::start({
                let group = group.clone();
                move |stay| {
                    group.try_work(&1, || {
                        stay();
                        assert!(!panics, "old");
                        Err("old")
                    })
                }
            });
            let of_old = line_up(&group, 1, 1, |group, _| group.try_work(&1, || unreachable!()));
            assert!(group.forget(&1));
            let new = try_hold(&group, 1, || Ok(2));
            assert_eq!(old.release_caught().is_err(), panics);
            for follower in of_old {
                let error = finish(follower).unwrap_err();
                assert!(if panics { error.is_panicked() } else { error == Error::Work("old") });
            }
            assert_eq!(new.release(), Ok(2));
        }
    });
}

#[test]
fn p10_those_queued_behind_a_forgotten_flight_go_into_the_air_at_once() {
    within(|| {
        let group = G::new();
        let old = hold_call(&group, 1, || Ok(1));
        let fresh = line_up(&group, 1, 3, |group, i| group.call(&1).fresh().run(|| Ok(10 + i as u32)).unwrap());
        assert!(group.forget(&1));
        for (i, caller) in fresh.into_iter().enumerate() {
            let landing = finish(caller); // although the old flight is still in the air
            assert_eq!((landing.value, landing.role == Role::Leader, landing.detached()), (12, i == 2, false));
        }
        assert!(!old.has_returned());
        assert!(old.release().unwrap().detached());
        assert_eq!((group.in_flight(), group.stats().led, group.stats().joined), (0, 2, 2));
    });
}

/// The newest queued call, which leads after `forget`, may be a spawned one.
#[test]
fn p10_forget_promotes_a_spawned_call() {
    within(|| {
        let group = G::new();
        let old = hold_call(&group, 1, || Ok(1));
        let receiver = group.spawn_fresh(&1, || Ok(2));
        until_waiting(&group, &1, 1);
        assert!(group.forget(&1));
        assert_eq!(receiver.recv().unwrap().unwrap().value, 2);
        assert_eq!(old.release().unwrap().value, 1);
    });
}

/// The promoted flight is the key's: others join it, and it can be forgotten in its turn.
#[test]
fn p10_flights_forgotten_one_after_the_other_all_land() {
    within(|| {
        let group = G::new();
        let held: Vec<_> = (0..6)
            .map(|value| {
                let leader = hold_call(&group, 1, move || Ok(value));
                let follower = line_up(&group, 1, 1, |group, _| group.work(&1, || unreachable!()));
                assert!(group.forget(&1));
                (value, leader, follower)
            })
            .collect();
        // Landing in an order of their own.
        for i in [3, 0, 5, 1, 4, 2] {
            held[i].1.let_go();
            until(|| held[i].1.has_returned());
        }
        for (value, leader, follower) in held {
            let landing = leader.release().unwrap();
            assert_eq!((landing.value, landing.detached(), landing.shared()), (value, true, true));
            assert!(follower.into_iter().all(|follower| finish(follower) == value));
        }
        assert_eq!(group.in_flight(), 0);
    });
}

#[test]
fn p10_a_flight_older_than_max_age_is_detached() {
    within(|| {
        // Zero: nobody ever joins.
        let group: G = Group::builder().max_age(Duration::ZERO).build();
        let old = hold_call(&group, 1, || Ok(1));
        let new = hold_call(&group, 1, || Ok(2)); // arrives while the old one flies, and starts its own
        assert_eq!(group.in_flight(), 1);
        assert!(group.call(&1).follow().is_none(), "too old to be waited for");
        assert!(old.release().unwrap().detached());
        assert_eq!(group.in_flight(), 1, "the successor stays");
        let landing = new.release().unwrap();
        assert_eq!((landing.value, landing.detached(), group.stats().expired), (2, false, 1));

        // Long enough: everybody joins.
        let group: G = Group::builder().max_age(Duration::from_secs(3600)).build();
        let old = hold_call(&group, 1, || Ok(1));
        let follower = line_up(&group, 1, 1, |group, _| group.work(&1, || unreachable!()));
        assert_eq!(old.release().unwrap().value, 1);
        assert!(follower.into_iter().all(|follower| finish(follower) == 1));
        assert_eq!(group.stats().expired, 0);

        // In between: who comes in time joins, who comes late does not; both get what they boarded.
        let age = Duration::from_millis(60);
        let group: G = Group::builder().max_age(age).build();
        let old = hold_call(&group, 1, || Ok(1));
        let began = std::time::Instant::now();
        let follower = {
            let group = group.clone();
            spawn(move || (group.call(&1).run(|| Ok(5)).unwrap(), began.elapsed()))
        };
        until(|| began.elapsed() > age + SOON);
        let landing = group.call(&1).run(|| Ok(2)).unwrap();
        assert_eq!((landing.value, landing.role), (2, Role::Leader));
        old.release().unwrap();
        let (landing, _) = finish(follower);
        assert!(landing.value == 1 || landing.value == 5);
    });
}

/// Those queued behind a flight that is too old go into the air at once, led by the call that found it: the newest.
#[test]
fn p10_max_age_puts_those_queued_behind_into_the_air() {
    within(|| {
        let age = Duration::from_millis(40);
        let group: G = Group::builder().max_age(age).build();
        let old = hold_call(&group, 1, || Ok(1));
        let began = std::time::Instant::now();
        let fresh = line_up(&group, 1, 2, |group, _| group.call(&1).fresh().run(|| unreachable!()).unwrap());
        until(|| began.elapsed() > age);
        let landing = group.call(&1).run(|| Ok(3)).unwrap();
        assert_eq!((landing.value, landing.role, landing.shared()), (3, Role::Leader, true));
        for caller in fresh {
            let landing = finish(caller); // although the old flight has not landed
            assert_eq!((landing.value, landing.role), (3, Role::Follower));
        }
        assert!(!old.has_returned());
        assert!(old.release().unwrap().detached());
        let stats = group.stats();
        assert_eq!((stats.led, stats.joined, stats.superseded, stats.expired), (2, 2, 2, 1));
        assert_eq!(group.in_flight(), 0);
    });
}

/// A read that only looks does not wait for what it may not have: neither for a flight that is too old, nor for
/// the fresh one queued behind that; a fresh look waits for the queued flight alone.
#[test]
fn p10_a_look_waits_for_no_flight_that_is_too_old() {
    within(|| {
        let group: G = Group::builder().max_age(Duration::ZERO).build();
        let old = hold_call(&group, 1, || Ok(1));
        assert_eq!(group.call(&1).fresh().timeout(Duration::ZERO).follow(), None, "there is nothing to wait for");
        let fresh = line_up(&group, 1, 1, |group, _| group.call(&1).fresh().run(|| Ok(2)).unwrap().value);
        assert_eq!(group.call(&1).timeout(SOON).follow(), None);
        assert_eq!(group.call(&1).fresh().timeout(SOON).follow(), Some(Err(Error::timed_out())));
        old.release().unwrap();
        assert!(fresh.into_iter().all(|caller| finish(caller) == 2));
    });
}

#[test]
fn p10_a_take_over_detaches_once_and_boards_anew() {
    within(|| {
        let group = G::new();
        let stuck = hold_call(&group, 1, || Ok(1));
        let stays = line_up(&group, 1, 1, |group, _| group.call(&1).run(|| unreachable!()).unwrap());
        let landing = group.call(&1).takeover_after(SOON).run(|| Ok(2)).unwrap();
        assert_eq!((landing.value, landing.role, landing.detached()), (2, Role::Leader, false));
        assert!(stays.iter().all(|caller| !caller.is_finished()), "without the option a caller stays");
        assert_eq!(group.in_flight(), 0);
        let landing = stuck.release().unwrap();
        assert_eq!((landing.value, landing.detached()), (1, true), "every runner returns its own outcome");
        for caller in stays {
            let landing = finish(caller);
            assert_eq!((landing.value, landing.detached()), (1, true));
        }
        assert_eq!(group.stats().taken_over, 1);
    });
}

/// Several callers lose patience with one flight: it is detached once, and they share one new flight.
#[test]
fn p10_of_several_take_overs_one_leads_and_the_others_follow() {
    within(|| {
        let group = G::new();
        let stuck = hold_call(&group, 1, || Ok(1));
        let callers = line_up(&group, 1, 5, |group, i| {
            let landing = group.call(&1).takeover_after(Duration::from_secs(1)).run(|| {
                // The others lose patience with the old flight while this one runs.
                until(|| group.followers(&1) == 4);
                Ok(10 + i as u32)
            });
            landing.unwrap()
        });
        let landings: Vec<_> = callers.into_iter().map(finish).collect();
        let leaders: Vec<_> = landings.iter().filter(|landing| landing.role == Role::Leader).collect();
        assert_eq!(leaders.len(), 1, "{landings:?}");
        assert!(landings.iter().all(|landing| landing.value == leaders[0].value && landing.shared()));
        assert_eq!(group.stats().taken_over, 1);
        stuck.release().unwrap();
    });
}

/// Who waits in the queue for a fresh flight takes over the one in front of it.
#[test]
fn p10_a_fresh_call_takes_over_the_flight_in_front() {
    within(|| {
        let group = G::new();
        let stuck = hold_call(&group, 1, || Ok(1));
        let landing = group.call(&1).fresh().takeover_after(SOON).run(|| Ok(2)).unwrap();
        assert_eq!((landing.value, landing.role), (2, Role::Leader));
        assert!(!stuck.has_returned());
        assert!(stuck.release().unwrap().detached());
        assert_eq!((group.stats().taken_over, group.in_flight()), (1, 0));
    });
}

/// A deadline that is earlier than the take-over wins, and nothing is taken over.
#[test]
fn p10_a_deadline_before_the_take_over_wins() {
    within(|| {
        let group = G::new();
        let stuck = hold_call(&group, 1, || Ok(1));
        let result = group.call(&1).timeout(SOON).takeover_after(Duration::from_secs(60)).run(|| Ok(2));
        assert_eq!(result, Err(Error::timed_out()));
        let result = group.call(&1).takeover_after(SOON).timeout(Duration::from_secs(60)).run(|| Ok(2));
        assert_eq!(result.unwrap().value, 2);
        assert!(stuck.release().unwrap().detached());
        // Without effect on `wait`, which has nothing to take over with.
        let stuck = hold_call(&group, 1, || Ok(3));
        let result = group.call(&1).takeover_after(Duration::ZERO).timeout(SOON).follow();
        assert_eq!(result, Some(Err(Error::timed_out())));
        assert!(!stuck.release().unwrap().detached());
        assert_eq!(group.stats().taken_over, 1);
    });
}

/// All at once, those with callers and those without, and each as exactly as by `forget`.
#[test]
fn p10_all_flights_are_forgotten() {
    within(|| {
        let group = G::new();
        assert_eq!(group.forget_all(), 0);
        let old: Vec<_> = (0..20).map(|key| hold_call(&group, key, move || Ok(u32::from(key)))).collect();
        let follower = line_up(&group, 3, 1, |group, _| group.call(&3).run(|| unreachable!()).unwrap());
        // Queued behind a flight: in the air at once, and not forgotten with it.
        let queued = line_up(&group, 5, 1, |group, _| group.call(&5).fresh().run(|| Ok(50)).unwrap());
        assert_eq!(group.forget_all(), 20);
        for caller in queued {
            assert_eq!((finish(caller).value, group.stats().forgotten), (50, 20));
        }
        assert_eq!((group.in_flight(), group.forget_all()), (0, 0));
        assert_eq!(group.work(&1, || 100), 100);
        for (key, flight) in old.into_iter().enumerate() {
            let landing = flight.release().unwrap();
            assert_eq!((landing.value, landing.detached()), (key as u32, true));
        }
        assert!(follower.into_iter().all(|follower| finish(follower).detached()));
    });
}

/// The predicate is asked once for each key in the air, under no lock, and may call the group; if it panics, nothing is
/// forgotten.
#[test]
fn p10_those_that_a_predicate_names_are_forgotten() {
    within(|| {
        let group = G::new();
        let flights: Vec<_> = (0..10).map(|key| hold_call(&group, key, move || Ok(u32::from(key)))).collect();
        let mut asked = Vec::new();
        let forgotten = group.forget_if(|key| {
            asked.push(*key);
            assert_eq!((group.in_flight(), group.followers(key)), (10, 0));
            assert_eq!(group.work(&(100 + key), || 1), 1);
            key % 2 == 0
        });
        asked.sort_unstable();
        assert_eq!((forgotten, asked), (5, (0..10).collect()));
        let judged = std::cell::Cell::new(0);
        let boom = std::panic::AssertUnwindSafe(|| {
            group.forget_if(|_| {
                judged.set(judged.get() + 1);
                assert!(judged.get() < 3, "boom");
                true
            })
        });
        assert!(std::panic::catch_unwind(boom).is_err());
        assert_eq!((group.in_flight(), group.stats().forgotten), (5, 5));
        for (key, flight) in flights.into_iter().enumerate() {
            assert_eq!(flight.release().unwrap().detached(), key % 2 == 0);
        }
    });
}

/// A flight that lands while the predicate thinks is gone, and its successor is not touched.
#[test]
fn p10_a_predicate_names_flights_and_not_their_successors() {
    within(|| {
        let group = G::new();
        let mut old = Some(hold_call(&group, 1, || Ok(1)));
        let mut new = None;
        let forgotten = group.forget_if(|_| {
            assert!(!old.take().unwrap().release().unwrap().detached());
            new = Some(hold_call(&group, 1, || Ok(2)));
            true
        });
        assert_eq!((forgotten, group.in_flight(), group.stats().forgotten), (0, 1, 0));
        assert!(!new.unwrap().release().unwrap().detached());
    });
}
