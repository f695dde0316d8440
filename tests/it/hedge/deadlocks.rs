//! P7 in a hedge: a call is refused when no attempt is left that could bring a reply.

use super::{NEVER, SOON};
use crate::support::{no_hope, until, until_waiting, within};
use flight_group::hedge::{self, Attempt, Threads};
use flight_group::{Error, Group, Hedge, HedgeError, Kind};
use std::thread;
use std::time::Duration;

/// Issue: hung for ever. Attempt 0 waits for the flight of the call it is part of; attempt 1 is told; then so is the
/// call, because no attempt is left that could bring a reply.
#[test]
fn p7_attempts_that_wait_for_the_calls_own_flight() {
    within(|| {
        for max in [1, 2] {
            let group: Group<u8, u8> = Group::builder().name("rows").build();
            let again = group.clone();
            let outcome = group.try_work(&1, || {
                let hedge = Hedge::new().max(max).delay(SOON);
                Ok(match hedge.run(move |_| again.try_work(&1, || Ok(0))) {
                    Err(HedgeError::Deadlock(circle)) => {
                        let hops = circle.hops();
                        assert_eq!(hops.len(), 2, "{circle}");
                        assert_eq!((hops[0].kind(), hops[0].flight()), (Kind::Hedge, 1));
                        assert!(hops[0].thread().contains("\"hedge\""), "{circle}");
                        assert_eq!((hops[1].kind(), hops[1].group()), (Kind::Group, Some("rows")));
                        let words = circle.to_string();
                        assert!(
                            words.contains("would wait for hedged call 1 in a hedge on thread \"hedge\""),
                            "{words}"
                        );
                        5
                    }
                    Err(HedgeError::Failed(errors)) => {
                        assert!(errors.iter().all(|error| error.work().is_some_and(Error::is_deadlock)), "{errors:?}");
                        5
                    }
                    other => panic!("expected a deadlock, got {other:?}"),
                })
            });
            assert_eq!(outcome, Ok(5));
        }
    });
}

/// The call waits first: then the attempt that closes the circle is told, and can do something about it.
#[test]
fn p7_an_attempt_that_closes_the_circle_is_told() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let (again, own) = (group.clone(), group.clone());
        let value = group.work(&1, || {
            let outcome = Hedge::new().max(1).delay(NEVER).run(move |_| {
                // Until the call waits, nothing is refused: this one comes back.
                until(|| match again.call(&1).timeout(SOON).run(|| Ok(0)) {
                    Err(Error::TimedOut(_)) => false,
                    Err(Error::Deadlock(circle)) => {
                        assert_eq!(circle.hops().len(), 2);
                        true
                    }
                    other => panic!("expected a refusal, got {other:?}"),
                });
                again.try_work(&1, || Ok(0)).or_else(|error| if error.is_deadlock() { Ok(8) } else { Err(error) })
            });
            outcome.unwrap()
        });
        assert_eq!((value, own.in_flight()), (8, 0));
    });
}

/// One attempt waits for the call's own flight, the other one fails when that is sure: nothing is left to wait for.
#[test]
fn p7_the_call_is_told_when_its_last_hope_fails() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let value = group.work(&1, || {
            let outcome = Hedge::new().max(2).delay(SOON).run(no_hope(&group));
            let Err(HedgeError::Deadlock(circle)) = outcome else { panic!("expected a deadlock, got {outcome:?}") };
            assert_eq!(circle.hops().len(), 2);
            7
        });
        assert_eq!(value, 7);
    });
}

/// As long as one attempt can bring a reply nobody is told, however many wait for the caller.
#[test]
fn p7_no_alarm_while_one_attempt_goes_on() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let again = group.clone();
        let value = group.work(&1, || {
            let ask = |i: u8| {
                let again = again.clone();
                move |_: Attempt| {
                    if i < 2 {
                        return again.try_work(&1, || unreachable!("it is in the air"));
                    }
                    until_waiting(&again, &1, 2);
                    (0..100).for_each(|_| thread::yield_now());
                    Ok(i)
                }
            };
            hedge::first([0, 1, 2].map(ask)).unwrap()
        });
        assert_eq!((value, group.stats().deadlocked), (2, 0));
    });
}

/// An attempt to come that the budget denies is no way on: all that run wait for the caller.
#[test]
fn p7_a_denied_attempt_does_not_hide_a_deadlock() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let again = group.clone();
        let value = group.work(&1, || {
            let hedge = Hedge::new().delay(SOON).max(2).budget(0.0, 0);
            let outcome = hedge.run(move |_| again.try_work(&1, || Ok(0)));
            u8::from(outcome.is_err())
        });
        assert_eq!(value, 1);
    });
}

/// A hedge inside a hedge, round two groups and back.
#[test]
fn p7_a_circle_through_two_hedges() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let (outer, inner) = (group.clone(), group.clone());
        let value = group.work(&1, || {
            let outcome = Hedge::new().max(1).run(move |_| {
                let inner = inner.clone();
                outer.try_work(&2, || {
                    let inner = inner.clone();
                    match Hedge::new().max(1).run(move |_| inner.try_work(&1, || Ok(0))) {
                        Ok(value) => Ok(value),
                        Err(HedgeError::Deadlock(_) | HedgeError::Failed(_)) => Ok(9),
                        Err(other) => panic!("{other}"),
                    }
                })
            });
            outcome.unwrap_or(9)
        });
        assert_eq!(value, 9);
        until(|| group.in_flight() == 0);
    });
}

/// Hedges whose attempts call groups in one order only can never wait in a circle.
#[test]
fn p7_no_false_alarm_under_a_storm_of_hedges() {
    within(|| {
        let group: Group<u8, u8> = Group::new();
        let threads = Threads::new(16);
        let callers: Vec<_> = (0..4_u8)
            .map(|caller| {
                let (group, threads) = (group.clone(), threads.clone());
                thread::spawn(move || {
                    for round in 0..60_u8 {
                        let low = (caller + round) % 2;
                        let inner = group.clone();
                        let value = group.try_work(&low, || {
                            let hedge = Hedge::new().threads(&threads).max(2).delay(Duration::ZERO);
                            let reply = hedge.run(move |attempt| {
                                thread::yield_now();
                                let key = 2 + (attempt.index() as u8 + round) % 2;
                                inner.try_work(&key, || Ok(1))
                            });
                            Ok(reply.unwrap_or_else(|error| panic!("{error}")))
                        });
                        assert_eq!(value, Ok(1));
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!((group.stats().deadlocked, group.stats().panicked), (0, 0));
    });
}
