//! Feature `tracing`: a span for every flight and every wait, each closed whatever happens.

use super::trace;
use crate::support::{SOON, keep_quiet_about, no_hope, until, within};
use flight_group::{CancelToken, Error, Group, Hedge, Job, Role, WriteGroup};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tracing::Level;

fn reads(name: &str) -> Group<u32, u32, &'static str> {
    trace::start();
    Group::builder().name(name).traced().build()
}

#[test]
fn a_lone_flight_is_one_span_around_its_closure() {
    let group = reads("lone");
    let outer = tracing::info_span!("request", group = "lone's caller");
    let value = outer.in_scope(|| {
        group.try_work(&7, || {
            tracing::info!("loading");
            Ok(49)
        })
    });
    assert_eq!(value, Ok(49));

    let seen = trace::of("lone");
    seen.assert_complete();
    let [flight] = &seen.spans[..] else { panic!("{seen:?}") };
    assert_eq!((flight.name, flight.entered), ("flight", 1));
    assert_eq!((&*flight.fields["outcome"], &*flight.fields["followers"]), ("value", "0"));
    assert_eq!((&*flight.fields["detached"], flight.fields.contains_key("ran_us")), ("false", true));
    assert!(!flight.fields.contains_key("key"), "a key may be a secret");
    assert_eq!(seen.messages(), [(Level::INFO, "loading"), (Level::DEBUG, "landed")]);
    assert!(seen.events.iter().all(|event| event.inside == Some(flight.at)));

    drop(outer);
    let outer = trace::of("lone's caller");
    assert_eq!(flight.parent, Some(outer.spans[0].at), "it belongs to what its caller was doing");
    assert!(outer.spans[0].closed, "and keeps none of it open");
}

#[test]
fn keys_are_shown_where_the_group_may_show_them() {
    trace::start();
    let group: Group<String, u8> = Group::builder().name("keys shown").debug_keys().traced().build();
    group.work("a key", || {
        assert!(group.forget("a key"));
        1
    });
    let seen = trace::of("keys shown");
    seen.assert_complete();
    assert_eq!(seen.spans[0].fields["key"], "\"a key\"");
    assert_eq!((&*seen.events[0].message, &*seen.events[0].fields["key"]), ("forgotten", "\"a key\""));
    assert_eq!(seen.spans[0].fields["detached"], "true");
}

#[test]
fn every_wait_follows_from_the_flight_that_served_it() {
    within(|| {
        let group = reads("served");
        std::thread::scope(|s| {
            group.work_fails(s, 3);
        });
        let seen = trace::of("served");
        seen.assert_complete();
        assert_eq!(seen.named("flight").len(), 1);
        assert_eq!(seen.named("flight")[0].fields["followers"], "3");
        let waits = seen.named("wait");
        assert_eq!(waits.len(), 3);
        for wait in waits {
            assert_eq!((&*wait.fields["outcome"], wait.follows.len()), ("failed", 1));
        }
        assert_eq!(trace::of("served").messages(), [(Level::DEBUG, "landed")]);
    });
}

/// Shared by the tests above and below: a flight that fails in front of `followers` blocked callers.
trait Scenario {
    fn work_fails<'s>(&'s self, scope: &'s std::thread::Scope<'s, '_>, followers: usize);
}

impl Scenario for Group<u32, u32, &'static str> {
    fn work_fails<'s>(&'s self, scope: &'s std::thread::Scope<'s, '_>, followers: usize) {
        let led = self.try_work(&1, || {
            for _ in 0..followers {
                scope.spawn(|| assert_eq!(self.try_work(&1, || Ok(0)), Err(Error::Work("down"))));
            }
            until(|| self.followers(&1) == followers);
            Err("down")
        });
        assert_eq!(led, Err(Error::Work("down")));
    }
}

#[test]
fn queued_writes_wait_for_the_next_flight_and_say_who_led_it() {
    within(|| {
        trace::start();
        let group: WriteGroup<u32, u32> = WriteGroup::builder().name("queued").traced().build();
        std::thread::scope(|s| {
            group.write(&1, || {
                for queued in 1..=3 {
                    s.spawn(|| group.write(&1, || 2));
                    until(|| group.followers(&1) == queued);
                }
                1
            });
        });
        let seen = trace::of("queued");
        seen.assert_complete();
        let [first, next] = &seen.named("flight")[..] else { panic!("{seen:?}") };
        assert_eq!((&*first.fields["followers"], &*next.fields["followers"]), ("0", "2"));
        let mut outcomes: Vec<_> = seen.named("wait").iter().map(|wait| &*wait.fields["outcome"]).collect();
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["led", "value", "value"]);
        for wait in seen.named("wait").iter().filter(|wait| wait.fields["outcome"] == "value") {
            assert_eq!(wait.follows, [next.at]);
        }
        assert_eq!(seen.messages().iter().filter(|told| **told == (Level::DEBUG, "superseded")).count(), 2);
    });
}

#[test]
fn a_panic_closes_the_flight_and_every_wait() {
    within(|| {
        let group = reads("panics");
        std::thread::scope(|s| {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                group.try_work(&1, || {
                    for _ in 0..2 {
                        s.spawn(|| assert!(group.try_work(&1, || Ok(0)).unwrap_err().is_panicked()));
                    }
                    until(|| group.followers(&1) == 2);
                    panic!("bang")
                })
            }));
            assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"bang"));
        });
        let seen = trace::of("panics");
        seen.assert_complete();
        let outcomes: Vec<_> = seen.spans.iter().map(|span| &*span.fields["outcome"]).collect();
        assert_eq!(outcomes, ["panicked"; 3]);
        assert_eq!(seen.messages(), [(Level::WARN, "landed")]);
    });
}

#[test]
fn a_wait_that_times_out_is_linked_and_told() {
    within(|| {
        let group = reads("times out");
        let began = Instant::now();
        group
            .try_work(&1, || {
                std::thread::scope(|s| {
                    let wait = s.spawn(|| group.call(&1).timeout(Duration::from_millis(1)).run(|| Ok(0)));
                    assert_eq!(wait.join().unwrap(), Err(Error::timed_out()));
                    let none = s.spawn(|| group.call(&1).timeout(Duration::ZERO).run(|| Ok(0)));
                    assert_eq!(none.join().unwrap(), Err(Error::timed_out()));
                });
                Ok(1)
            })
            .unwrap();
        let seen = trace::of("times out");
        seen.assert_complete();
        let [wait] = &seen.named("wait")[..] else { panic!("{seen:?}") };
        assert_eq!((&*wait.fields["outcome"], wait.follows.len()), ("timed_out", 1));
        let told: Vec<_> = seen.events.iter().filter(|event| event.message == "timed out").collect();
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|event| event.level == Level::WARN));
        assert_eq!((told[0].inside, told[1].inside), (Some(wait.at), None), "the second never waited");
        assert!(told[0].fields["waited_us"].parse::<u128>().unwrap() <= began.elapsed().as_micros());
        assert_eq!(told[1].fields["waited_us"], "0");
    });
}

#[test]
fn a_deadlock_is_an_error_that_names_the_circle() {
    let group = reads("deadlocks");
    let inner = group.try_work(&1, || match group.try_work(&1, || Ok(0)) {
        Err(Error::Deadlock(_)) => Ok(1),
        other => panic!("{other:?}"),
    });
    assert_eq!(inner, Ok(1));
    let seen = trace::of("deadlocks");
    seen.assert_complete();
    let wait = seen.named("wait")[0];
    assert_eq!(wait.fields["outcome"], "deadlock");
    let told = &seen.events[0];
    assert_eq!((told.level, &*told.message, told.inside), (Level::ERROR, "deadlock", Some(wait.at)));
    assert!(told.fields["circle"].starts_with("deadlock: this thread would wait for flight"), "{told:?}");
}

#[test]
fn what_detaches_or_refuses_is_told() {
    within(|| {
        trace::start();
        let group: Group<u32, u32> =
            Group::builder().name("detached").max_followers(1).max_age(Duration::from_secs(3_600)).traced().build();
        group.work(&1, || {
            std::thread::scope(|s| {
                s.spawn(|| group.call(&1).takeover_after(Duration::from_millis(1)).run(|| Ok(2)).unwrap());
            });
            1
        });
        let expiring: Group<u32, u32> = Group::builder().name("expiring").max_age(Duration::ZERO).traced().build();
        expiring.work(&1, || expiring.work(&1, || 1));
        let full: Group<u32, u32> = Group::builder().name("full").max_followers(0).traced().build();
        full.work(&1, || {
            std::thread::scope(|s| {
                assert_eq!(s.spawn(|| full.try_work(&1, || Ok(2))).join().unwrap(), Err(Error::overloaded()));
            });
            1
        });

        for (group, message) in [("detached", "taken over"), ("expiring", "expired"), ("full", "overloaded")] {
            let seen = trace::of(group);
            seen.assert_complete();
            let told = seen.messages().into_iter().filter(|told| *told == (Level::WARN, message)).count();
            assert_eq!(told, 1, "{message}: {seen:?}");
        }
        assert_eq!(trace::of("detached").named("wait")[0].fields["outcome"], "boards_again");
        assert_eq!(trace::of("detached").named("wait")[0].follows.len(), 1);
    });
}

#[test]
fn many_keys_are_as_many_flights() {
    let group = reads("many");
    group.work_many(&[1, 2, 3], |_| {
        tracing::info!("one query");
        Ok([(1, 1), (2, 4)].into())
    });
    let seen = trace::of("many");
    seen.assert_complete();
    let outcomes: Vec<_> = seen.named("flight").iter().map(|span| &*span.fields["outcome"]).collect();
    assert_eq!(outcomes, ["value", "value", "missing"]);
    assert!(seen.spans.iter().all(|span| (span.entered, span.parent) == (1, None)), "side by side, not nested");
}

#[test]
fn a_spawned_flight_belongs_to_who_spawned_it() {
    within(|| {
        trace::start();
        let (jobs, queue) = std::sync::mpsc::channel::<Job>();
        let jobs = Mutex::new(jobs);
        let group: Group<u32, u32> =
            Group::builder().name("spawned").traced().executor(move |job| drop(jobs.lock().unwrap().send(job))).build();
        let outer = tracing::info_span!("request", group = "spawned's caller");
        let (first, second) = outer.in_scope(|| (group.spawn(&1, || Ok(1)), group.spawn(&1, || Ok(2))));
        drop(outer);
        let job = queue.recv().unwrap();
        let worker = tracing::info_span!("worker", group = "spawned's worker");
        worker.in_scope(|| job.run());
        assert_eq!(first.recv().unwrap().unwrap().role, Role::Leader);
        assert_eq!(second.recv().unwrap().unwrap().role, Role::Follower);

        let dropped = group.spawn(&2, || Ok(3));
        drop(queue.recv().unwrap());
        assert_eq!(dropped.recv().unwrap(), Err(Error::abandoned()));

        let seen = trace::of("spawned");
        seen.assert_complete();
        let [ran, abandoned] = &seen.spans[..] else { panic!("{seen:?}") };
        let outer = trace::of("spawned's caller");
        assert_eq!((ran.parent, outer.spans[0].closed), (Some(outer.spans[0].at), true));
        assert_eq!((&*ran.fields["outcome"], ran.entered), ("value", 1));
        assert_eq!((&*abandoned.fields["outcome"], abandoned.entered), ("abandoned", 0));
    });
}

#[test]
fn an_observer_that_panics_leaves_nothing_open() {
    keep_quiet_about(&["the observer's bomb"]);
    within(|| {
        for n in 0..12 {
            let (name, told) = (format!("observer's bomb {n}"), Mutex::new(0));
            trace::start();
            let group: Group<u32, u32, &str> = Group::builder()
                .name(&*name)
                .traced()
                .observer(move |_| {
                    let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    *told += 1;
                    assert!(*told != n + 1, "the observer's bomb");
                })
                .build();
            let_everybody_survive(&group);
            trace::of(&name).assert_complete();
        }
    });
}

/// P5: a subscriber is user code. Whichever of its callbacks panics, nobody hangs and the key works afterwards.
#[test]
fn p5_a_subscriber_that_panics_strands_nobody() {
    keep_quiet_about(&["the subscriber's bomb"]);
    within(|| {
        let mut exploded = 0;
        for n in 0..60 {
            let name = format!("subscriber's bomb {n}");
            let group = reads(&name);
            trace::set_bomb(&name, n);
            let_everybody_survive(&group);
            if !trace::disarm(&name) {
                exploded += 1;
            }
        }
        assert!((20..60).contains(&exploded), "the bombs covered the scenario and more: {exploded}");
    });
}

/// A leader, two followers and a queued caller, any of which may be hit by a bomb.
fn let_everybody_survive(group: &Group<u32, u32, &'static str>) {
    std::thread::scope(|s| {
        let survive = |body: &dyn Fn()| drop(catch_unwind(AssertUnwindSafe(body)));
        survive(&|| {
            let _ = group.try_work(&1, || {
                for _ in 0..2 {
                    s.spawn(move || survive(&|| drop(group.try_work(&1, || Ok(2)))));
                }
                s.spawn(move || survive(&|| drop(group.call(&1).fresh().run(|| Ok(3)))));
                until(|| group.followers(&1) > 0 || group.stats().joined > 0);
                Ok(1)
            });
        });
    });
    assert_eq!(group.in_flight(), 0);
    let try_again = || catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || Ok(9))));
    let after = try_again().or_else(|_the_bomb_itself| try_again());
    assert_eq!((after.ok(), group.in_flight()), (Some(Ok(9)), 0));
}

#[test]
fn a_group_that_is_not_traced_has_no_spans() {
    trace::start();
    let group: Group<u32, u32, &str> = Group::builder().name("untraced").observer(|_| {}).build();
    within(move || {
        std::thread::scope(|s| {
            group.work_fails(s, 1);
        });
        assert!(group.forget(&1) || trace::of("untraced").events.is_empty());
        assert!(trace::of("untraced").spans.is_empty());
    });
}

/// One span a call, with every attempt inside; it closes when the last of them has ended.
#[test]
fn a_hedges_call_is_one_span_around_its_attempts() {
    within(|| {
        trace::start();
        let hedge = Hedge::new().name("hedged").traced().delay(Duration::ZERO);
        let outer = tracing::info_span!("request", group = "hedge's caller");
        let reply = outer.in_scope(|| {
            hedge.run(|attempt| {
                if attempt.index() == 0 {
                    return Err(attempt.token().wait().to_string());
                }
                tracing::info!("asking");
                Ok(attempt.index())
            })
        });
        assert_eq!(reply, Ok(1));
        until(|| trace::of("hedged").spans[0].closed); // the loser ends when it has seen its token
        let seen = trace::of("hedged");
        seen.assert_complete();
        let [flight] = &seen.spans[..] else { panic!("{seen:?}") };
        assert_eq!((flight.name, flight.entered), ("flight", 2));
        assert_eq!((&*flight.fields["outcome"], &*flight.fields["flight"]), ("value", "1"));
        assert_eq!(flight.parent, Some(trace::of("hedge's caller").spans[0].at));
        assert_eq!(seen.messages(), [(Level::INFO, "asking"), (Level::DEBUG, "landed")]);
        assert!(seen.events.iter().all(|event| event.inside == Some(flight.at)));
    });
}

#[test]
fn a_hedge_that_is_cancelled_or_deadlocked_says_so_in_its_span() {
    within(|| {
        trace::start();
        let hedge = Hedge::new().name("no reply").traced().max(1);
        let token = CancelToken::new();
        token.cancel("gone");
        assert!(hedge.run_under(&token, |_| Ok::<_, &str>(1)).unwrap_err().is_cancelled());
        let seen = trace::of("no reply");
        seen.assert_complete();
        assert_eq!(seen.spans[0].fields["outcome"], "abandoned");
        assert_eq!(seen.messages(), [(Level::DEBUG, "cancelled"), (Level::WARN, "landed")]);
        assert!(seen.events.iter().all(|event| event.inside == Some(seen.spans[0].at)));

        let group: Group<u8, u8> = Group::new();
        group.work(&1, || {
            let outcome = hedge.clone().max(2).delay(SOON).run(no_hope(&group));
            assert!(outcome.unwrap_err().is_deadlock());
            1
        });
        until(|| trace::of("no reply").spans.iter().all(|span| span.closed));
        let seen = trace::of("no reply");
        seen.assert_complete();
        assert_eq!(seen.spans[1].fields["outcome"], "abandoned");
        let told = seen.events.iter().find(|event| event.message == "deadlock").unwrap();
        assert_eq!((told.level, told.inside), (Level::ERROR, Some(seen.spans[1].at)));
        assert!(told.fields["circle"].contains("hedge \"no reply\""), "{told:?}");
    });
}

#[test]
fn p5_a_subscriber_that_panics_in_a_hedge_strands_nobody() {
    keep_quiet_about(&["bomb"]);
    within(|| {
        trace::start();
        let mut went_off = 0;
        for n in 0..12 {
            let name = format!("hedge bomb {n}");
            let hedge = Hedge::new().name(&*name).traced().max(1);
            trace::set_bomb(&name, n);
            drop(catch_unwind(AssertUnwindSafe(|| hedge.run(|_| Ok::<_, &str>(1)))));
            until(|| trace::of(&name).spans.iter().all(|span| span.closed || span.entered == 0));
            went_off += usize::from(!trace::disarm(&name));
            assert_eq!(hedge.run(|_| Ok::<_, &str>(2)), Ok(2));
        }
        assert!(went_off > 3, "{went_off}");
    });
}
