//! What an observer is told, when, and that its panic concerns one call only.

use crate::support::{
    AGES, Gate, Held, SOON, finish, keep_quiet_about, line_up, message, until, until_waiting, within,
};
use flight_group::{Ending, Error, EventKind, Group, Role, WriteGroup};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::spawn;
use std::time::{Duration, Instant};

type G = Group<u8, u32, String>;

/// What was told, as words; with the number of the flight.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(u64, String)>>>);

impl Log {
    fn note<K: std::fmt::Debug>(&self, event: &flight_group::Event<'_, K>) {
        let words = match event.kind {
            EventKind::Landed { ending, followers, detached, .. } => {
                let detached = if detached { " detached" } else { "" };
                format!("landed {ending:?} {followers}{detached}")
            }
            EventKind::Followed { ending, .. } => format!("followed {ending:?}"),
            EventKind::TimedOut { .. } => "timed out".to_owned(),
            kind => format!("{kind:?}").to_lowercase(),
        };
        assert_eq!(format!("{:?}", event.key), "1");
        assert_eq!(event.group, Some("observed"));
        self.0.lock().unwrap().push((event.flight, words));
    }

    fn words(&self) -> Vec<String> {
        let mut words: Vec<_> = self.0.lock().unwrap().iter().map(|(_, words)| words.clone()).collect();
        words.sort(); // several threads tell at once
        words
    }

    fn take(&self) -> Vec<String> {
        let words = self.words();
        self.0.lock().unwrap().clear();
        words
    }

    fn flights(&self) -> Vec<u64> {
        let mut flights: Vec<_> = self.0.lock().unwrap().iter().map(|(flight, _)| *flight).collect();
        flights.sort_unstable();
        flights.dedup();
        flights
    }
}

fn observed() -> (G, Log) {
    let log = Log::default();
    let notes = log.clone();
    (Group::builder().name("observed").observer(move |event| notes.note(event)).build(), log)
}

fn hold(group: &G, end: Result<u32, String>) -> Held<Result<flight_group::Landing<u32>, Error<String>>> {
    let group = group.clone();
    Held::start(move |stay| {
        group.call(&1).run(|| {
            stay();
            end
        })
    })
}

#[test]
fn leaders_and_followers_are_told_of() {
    within(|| {
        let (group, log) = observed();
        group.try_work(&1, || Ok(1)).unwrap();
        assert_eq!(log.take(), ["landed Value 0", "led"]);
        group.try_work(&1, || Err(String::new())).unwrap_err();
        assert_eq!(log.take(), ["landed Failed 0", "led"]);
        catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || panic!("x")))).unwrap_err();
        assert_eq!(log.take(), ["landed Panicked 0", "led"]);
        assert_eq!(group.call(&1).wait(), None);
        assert!(log.take().is_empty());

        let leader = hold(&group, Ok(1));
        assert_eq!(log.words(), ["led"], "before the closure runs");
        let followers =
            line_up(
                &group,
                1,
                2,
                |group, i| {
                    if i == 0 { group.call(&1).run(|| Ok(2)) } else { group.call(&1).wait().unwrap() }
                },
            );
        let receiver = group.call(&1).spawn(|| Ok(2));
        leader.release().unwrap();
        followers.into_iter().for_each(|follower| drop(finish(follower)));
        receiver.recv().unwrap().unwrap();
        assert_eq!(log.flights().len(), 1, "all of one flight");
        assert_eq!(
            log.take(),
            ["followed Value", "followed Value", "joined", "joined", "landed Value 3", "led"],
            "a receiver is counted, and not told of"
        );
    });
}

#[test]
fn every_way_out_is_told_of() {
    within(|| {
        let (group, log) = observed();
        let leader = hold(&group, Ok(1));
        assert!(group.call(&1).timeout(SOON).run(|| Ok(2)).is_err());
        assert!(group.call(&1).timeout(Duration::ZERO).run(|| Ok(2)).is_err());
        assert_eq!(log.words(), ["joined", "led", "timed out", "timed out"]);
        assert!(group.forget(&1));
        assert_eq!(log.words(), ["forgotten", "joined", "led", "timed out", "timed out"]);
        leader.release().unwrap();
        assert_eq!(log.flights().len(), 1);
        assert_eq!(log.take(), ["forgotten", "joined", "landed Value 0 detached", "led", "timed out", "timed out"]);

        group
            .try_work(&1, || {
                assert!(group.try_work(&1, || Ok(1)).unwrap_err().is_deadlock());
                Ok(1)
            })
            .unwrap();
        assert_eq!(log.take(), ["deadlock", "joined", "landed Value 0", "led"]);

        let leader = hold(&group, Ok(1));
        assert_eq!(group.call(&1).takeover_after(SOON).run(|| Ok(2)).unwrap().role, Role::Leader);
        leader.release().unwrap();
        let words = log.take();
        assert_eq!(words, ["joined", "landed Value 0", "landed Value 0 detached", "led", "led", "takenover"]);

        let leader = hold(&group, Ok(1));
        let fresh = line_up(&group, 1, 2, |group, i| group.call(&1).fresh().run(|| Ok(i as u32)));
        leader.release().unwrap();
        fresh.into_iter().for_each(|caller| drop(finish(caller)));
        assert_eq!(log.flights().len(), 2);
        assert_eq!(
            log.take(),
            ["followed Value", "joined", "joined", "landed Value 0", "landed Value 1", "led", "led", "superseded"]
        );
    });
}

#[test]
fn expiry_and_overload_are_told_of() {
    within(|| {
        let log = Log::default();
        let notes = log.clone();
        let group: G =
            Group::builder().name("observed").max_age(Duration::ZERO).observer(move |event| notes.note(event)).build();
        let old = hold(&group, Ok(1));
        group.try_work(&1, || Ok(2)).unwrap();
        assert_eq!(log.take(), ["expired", "landed Value 0", "led", "led"]);
        let receiver = {
            let _old_one_is_gone = old.release().unwrap();
            let old = hold(&group, Ok(1));
            let receiver = group.call(&1).spawn(|| Ok(3));
            receiver.recv().unwrap().unwrap();
            old.release().unwrap();
            receiver
        };
        drop(receiver);
        let words = log.take();
        assert_eq!(words.iter().filter(|words| *words == "expired").count(), 1, "{words:?}");

        let log = Log::default();
        let notes = log.clone();
        let group: G =
            Group::builder().name("observed").max_followers(0).observer(move |event| notes.note(event)).build();
        let leader = hold(&group, Ok(1));
        assert!(group.try_work(&1, || Ok(2)).unwrap_err().is_overloaded());
        assert!(group.call(&1).spawn(|| Ok(2)).recv().unwrap().unwrap_err().is_overloaded());
        leader.release().unwrap();
        assert_eq!(log.flights().len(), 1, "the number is that of the flight in the air");
        assert_eq!(log.take(), ["landed Value 0", "led", "overloaded", "overloaded"]);
    });
}

#[test]
fn spawned_flights_and_writes_are_told_of() {
    within(|| {
        let (group, log) = observed();
        group.call(&1).spawn(|| Ok(1)).recv().unwrap().unwrap();
        until(|| log.words().len() == 2);
        assert_eq!(log.take(), ["landed Value 0", "led"]);
        group.call(&1).spawn(|| panic!("x")).recv().unwrap().unwrap_err();
        until(|| log.words().len() == 2);
        assert_eq!(log.take(), ["landed Panicked 0", "led"]);

        let log = Log::default();
        let notes = log.clone();
        let writes: WriteGroup<u8, u32> =
            WriteGroup::builder().name("observed").observer(move |event| notes.note(event)).build();
        let first = {
            let writes = writes.clone();
            Held::start(move |stay| {
                writes.write(&1, || {
                    stay();
                    1
                })
            })
        };
        let queued = line_up(&writes, 1, 2, |writes, _| writes.write(&1, || 2));
        first.release();
        queued.into_iter().for_each(|caller| assert_eq!(finish(caller), 2));
        assert_eq!(
            log.take(),
            ["followed Value", "joined", "joined", "landed Value 0", "landed Value 1", "led", "led", "superseded"]
        );
    });
}

/// Times are of the closure and of the wait, and not of anything else.
#[test]
fn times_are_told() {
    within(|| {
        let (ran, waited) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
        let (ran_, waited_) = (ran.clone(), waited.clone());
        let joined = Arc::new(Mutex::new(None));
        let joined_ = joined.clone();
        let group: Group<u8, u32> = Group::builder()
            .observer(move |event| match event.kind {
                EventKind::Landed { ran, ending: Ending::Value, .. } => ran_.store(ran.as_nanos() as u64, SeqCst),
                EventKind::Joined => *joined_.lock().unwrap() = Some(Instant::now()),
                EventKind::TimedOut { waited, .. } => waited_.store(waited.as_nanos() as u64, SeqCst),
                _ => {}
            })
            .build();
        let leader = {
            let group = group.clone();
            Held::start(move |stay| {
                group.work(&1, || {
                    stay();
                    1
                })
            })
        };
        let deadline = Instant::now() + SOON;
        assert!(group.call(&1).deadline(deadline).run(|| Ok(1)).is_err());
        leader.release();
        let (ran, waited) = (ran.load(SeqCst), waited.load(SeqCst));
        // Counted from before `Joined` was told to after the deadline, however long the machine takes for either.
        let least = joined.lock().unwrap().map_or(Duration::ZERO, |joined| deadline.saturating_duration_since(joined));
        assert!(u128::from(waited) >= least.as_nanos(), "waited {waited} ns, expected at least {least:?}");
        assert!(ran >= waited, "ran {ran} ns, waited {waited} ns");
        assert!(u128::from(ran) < AGES.as_nanos());
    });
}

/// Outside every lock: it may look at the group, and even call it for other keys.
#[test]
fn p1_an_observer_may_call_the_group() {
    within(|| {
        let own: Arc<Mutex<Option<Group<u8, u32>>>> = Arc::default();
        let (handle, calls) = (own.clone(), Arc::new(AtomicU64::new(0)));
        let counter = calls.clone();
        let group: Group<u8, u32> = Group::builder()
            .shards(1)
            .observer(move |event| {
                let group = handle.lock().unwrap().clone().unwrap();
                group.flights();
                group.followers(event.key);
                if *event.key < 5 {
                    counter.fetch_add(1, SeqCst);
                    group.work(&(event.key + 100), || 1);
                }
            })
            .build();
        *own.lock().unwrap() = Some(group.clone());
        let leader = {
            let group = group.clone();
            Held::start(move |stay| {
                group.work(&1, || {
                    stay();
                    1
                })
            })
        };
        let followers = line_up(&group, 1, 2, |group, _| group.work(&1, || 2));
        leader.release();
        assert!(followers.into_iter().all(|follower| finish(follower) == 1));
        assert_eq!(calls.load(SeqCst), 6);
        *own.lock().unwrap() = None; // the group holds its observer, which holds the group
    });
}

/// Told after whoever had to be woken has been: an observer that never returns holds up its own call only.
#[test]
fn an_observer_that_hangs_holds_up_one_call() {
    within(|| {
        let release = Gate::new();
        let inside = release.clone();
        let group: Group<u8, u32> = Group::builder()
            .observer(move |event| {
                if let EventKind::Landed { .. } = event.kind {
                    inside.pass();
                }
            })
            .build();
        let leader = {
            let group = group.clone();
            Held::start(move |stay| {
                group.work(&1, || {
                    stay();
                    1
                })
            })
        };
        let followers = line_up(&group, 1, 3, |group, _| group.work(&1, || 2));
        leader.let_go();
        assert!(followers.into_iter().all(|follower| finish(follower) == 1));
        assert!(!leader.has_returned());
        release.open();
        assert_eq!(leader.release(), 1);
    });
}

/// An observer that panics, at its first event of one kind.
fn trapped(kind: &'static str) -> (flight_group::GroupBuilder<u8, u32, String>, Arc<AtomicBool>) {
    keep_quiet_about(&[
        "trapped at Expired",
        "trapped at Followed",
        "trapped at Forgotten",
        "trapped at Joined",
        "trapped at Landed",
        "trapped at Led",
        "trapped at Overloaded",
        "trapped at Superseded",
        "trapped at TakenOver",
        "trapped at TimedOut",
    ]);
    let sprung = Arc::new(AtomicBool::new(false));
    let trap = sprung.clone();
    let builder = Group::builder().observer(move |event| {
        if format!("{:?}", event.kind).starts_with(kind) && !trap.swap(true, SeqCst) {
            panic!("trapped at {kind}");
        }
    });
    (builder, sprung)
}

fn assert_trapped<T>(result: std::thread::Result<T>) {
    let payload = result.err().expect("the observer's panic unwinds in this call");
    assert!(message(&*payload).starts_with("trapped at "));
}

#[test]
fn p5_a_panic_at_led_lands_the_flight_unrun() {
    within(|| {
        let (builder, sprung) = trapped("Led");
        let group = builder.build();
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || unreachable!()))));
        assert!(sprung.load(SeqCst));
        assert_eq!((group.in_flight(), group.stats().abandoned), (0, 1));
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));
    });
}

#[test]
fn p5_a_panic_at_landed_unwinds_in_the_leader_only() {
    within(|| {
        let group = trapped("Landed").0.build();
        let leader = hold(&group, Ok(1));
        let followers = line_up(&group, 1, 3, |group, _| group.try_work(&1, || Ok(2)));
        assert_trapped(leader.release_caught());
        assert!(followers.into_iter().all(|follower| finish(follower) == Ok(1)));
        assert_eq!(group.in_flight(), 0);
    });
}

/// The work's own panic goes before the observer's.
#[test]
fn p5_a_panic_at_landed_does_not_replace_the_works_own() {
    within(|| {
        let group = trapped("Landed").0.build();
        let payload = catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || panic!("own")))).unwrap_err();
        assert_eq!(message(&*payload), "own");
    });
}

#[test]
fn p5_a_panic_at_joined_followed_or_timed_out_unwinds_in_that_follower_only() {
    within(|| {
        for kind in ["Joined", "Followed", "TimedOut"] {
            let (builder, sprung) = trapped(kind);
            let group = builder.build();
            let leader = hold(&group, Ok(1));
            let call = {
                let group = group.clone();
                move || {
                    catch_unwind(AssertUnwindSafe(|| match kind {
                        "TimedOut" => group.call(&1).timeout(SOON).run(|| Ok(2)).map(|landing| landing.value),
                        _ => group.try_work(&1, || Ok(2)),
                    }))
                }
            };
            let first = spawn(call);
            until(|| sprung.load(SeqCst) || (kind == "Followed" && group.followers(&1) == 1));
            let n = group.followers(&1);
            let second = {
                let group = group.clone();
                spawn(move || group.try_work(&1, || Ok(2)))
            };
            until(|| group.stats().joined == 2);
            let _ = n;
            assert_eq!(leader.release().unwrap().value, 1);
            // One of the two followers springs the trap.
            let first = finish(first);
            match second.join() {
                Ok(result) => {
                    assert_eq!(result, Ok(1));
                    assert_trapped(first);
                }
                Err(payload) => {
                    assert_trapped::<()>(Err(payload));
                    assert_eq!(first.unwrap(), Ok(1));
                }
            }
            assert_eq!((group.in_flight(), group.followers(&1)), (0, 0));
        }
    });
}

#[test]
fn p5_a_panic_at_forgotten_or_overloaded_leaves_order() {
    within(|| {
        let group = trapped("Forgotten").0.build();
        let old = hold(&group, Ok(1));
        let fresh = line_up(&group, 1, 2, |group, i| group.call(&1).fresh().run(|| Ok(i as u32)));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.forget(&1))));
        assert!(fresh.into_iter().all(|caller| finish(caller).unwrap().value == 1), "they went into the air");
        old.release().unwrap();

        let group = trapped("Overloaded").0.max_followers(0).build();
        let leader = hold(&group, Ok(1));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || Ok(2)))));
        leader.release().unwrap();
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));

        let group = trapped("Overloaded").0.max_followers(0).build();
        let leader = hold(&group, Ok(1));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.call(&1).spawn(|| Ok(2)))));
        leader.release().unwrap();
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));
    });
}

/// The call that finds a flight too old leads the next: if telling of it panics, that one is landed unrun.
#[test]
fn p5_a_panic_at_expired_leaves_the_key_working() {
    within(|| {
        let group = trapped("Expired").0.max_age(Duration::ZERO).build();
        let old = hold(&group, Ok(1));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.try_work(&1, || Ok(2)))));
        assert_eq!(group.in_flight(), 0);
        assert_eq!(group.try_work(&1, || Ok(3)), Ok(3));
        old.release().unwrap();
    });
}

/// The same for a spawned call.
#[test]
fn p5_a_panic_at_expired_in_spawn_leaves_the_key_working() {
    within(|| {
        let group = trapped("Expired").0.max_age(Duration::from_millis(30)).build();
        let old = hold(&group, Ok(1));
        until(|| group.flights()[0].age.unwrap() > Duration::from_millis(30));
        let spawned = catch_unwind(AssertUnwindSafe(|| group.call(&1).spawn(|| Ok(2))));
        if let Ok(receiver) = spawned {
            drop(receiver.recv().unwrap()); // it need not unwind here; but whoever has a receiver hears
        }
        until(|| group.in_flight() == 0);
        assert_eq!(group.try_work(&1, || Ok(3)), Ok(3));
        old.release().unwrap();
    });
}

/// Those queued behind the flight that is too old are promoted: their captain is called, whatever the observer does.
#[test]
fn p5_a_panic_at_expired_strands_no_captain() {
    within(|| {
        for spawned in [false, true] {
            let group = trapped("Expired").0.max_age(Duration::from_millis(30)).build();
            let old = hold(&group, Ok(1));
            let fresh = line_up(&group, 1, 2, |group, i| group.call(&1).fresh().run(|| Ok(i as u32)));
            until(|| group.flights()[0].age.unwrap() > Duration::from_millis(30));
            let finder = catch_unwind(AssertUnwindSafe(|| {
                if spawned { drop(group.call(&1).spawn(|| Ok(9))) } else { drop(group.try_work(&1, || Ok(9))) }
            }));
            drop(finder);
            for caller in fresh {
                assert!([1, 9].contains(&finish(caller).unwrap().value));
            }
            old.release().unwrap();
            until(|| group.in_flight() == 0);
        }
    });
}

#[test]
fn p5_a_panic_at_taken_over_or_superseded_leaves_order() {
    within(|| {
        let group = trapped("TakenOver").0.build();
        let stuck = hold(&group, Ok(1));
        let other = line_up(&group, 1, 1, |group, _| group.try_work(&1, || Ok(5)));
        assert_trapped(catch_unwind(AssertUnwindSafe(|| group.call(&1).takeover_after(SOON).run(|| Ok(2)))));
        assert_eq!(group.try_work(&1, || Ok(3)), Ok(3));
        stuck.release().unwrap();
        assert!(other.into_iter().all(|other| finish(other) == Ok(1)));

        // A fresh call that takes over is promoted, and must not be lost if the observer panics then.
        let group = trapped("TakenOver").0.build();
        let stuck = hold(&group, Ok(1));
        let fresh = {
            let group = group.clone();
            spawn(move || {
                let call = || group.call(&1).fresh().takeover_after(SOON * 4).run(|| Ok(2));
                catch_unwind(AssertUnwindSafe(call))
            })
        };
        until(|| group.stats().joined > 0 || fresh.is_finished());
        let follower = {
            let group = group.clone();
            spawn(move || group.call(&1).fresh().run(|| Ok(3)))
        };
        until(|| group.stats().taken_over == 1);
        drop(finish(fresh));
        assert!([2, 3].contains(&finish(follower).unwrap().value));
        stuck.release().unwrap();
        assert_eq!(group.in_flight(), 0);

        let group = trapped("Superseded").0.build();
        let leader = hold(&group, Ok(1));
        let fresh = line_up(&group, 1, 3, |group, i| {
            catch_unwind(AssertUnwindSafe(|| group.call(&1).fresh().run(|| Ok(i as u32)).unwrap().value))
        });
        leader.release().unwrap();
        let ends: Vec<_> = fresh.into_iter().map(finish).collect();
        assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "one superseded caller");
        assert!(ends.iter().flatten().all(|value| *value == 2));
    });
}

/// A spawned flight's observer panics on the executor's thread: nobody unwinds there, everybody is served.
#[test]
fn p5_a_panic_on_the_executors_thread_reaches_the_receivers_or_nobody() {
    within(|| {
        let group = trapped("Led").0.build();
        let receiver = group.call(&1).spawn(|| Ok(1));
        let error = receiver.recv().unwrap().unwrap_err();
        assert!(matches!(error, Error::Panicked(panic) if panic.message() == "trapped at Led"));
        // Whoever follows it still has a closure.
        let (jobs, queue) = crossbeam_channel::unbounded::<flight_group::Job>();
        let group = trapped("Led").0.executor(move |job| jobs.send(job).unwrap()).build();
        let own = group.call(&1).spawn(|| unreachable!("its observer panicked before it ran"));
        let followers = line_up(&group, 1, 2, |group, _| group.try_work(&1, || Ok(2)));
        queue.recv().unwrap().run();
        assert!(own.recv().unwrap().unwrap_err().is_panicked());
        assert!(followers.into_iter().all(|follower| finish(follower) == Ok(2)));
        let group = trapped("Landed").0.build();
        assert_eq!(group.call(&1).spawn(|| Ok(1)).recv().unwrap().unwrap().value, 1);
        until(|| group.in_flight() == 0);
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));
    });
}

/// A write's observer panics while others are queued behind it.
#[test]
fn p5_a_captain_whose_observer_panics_leaves_its_run_to_the_others() {
    within(|| {
        for kind in ["Joined", "Led"] {
            let sprung = Arc::new(AtomicU64::new(0));
            let count = sprung.clone();
            let writes: WriteGroup<u8, u32> = WriteGroup::builder()
                .observer(move |event| {
                    // At the second of its kind: "Led" then is the promoted captain's.
                    if format!("{:?}", event.kind).starts_with(kind) && count.fetch_add(1, SeqCst) == 1 {
                        panic!("trapped at {kind}");
                    }
                })
                .build();
            let first = {
                let writes = writes.clone();
                Held::start(move |stay| {
                    writes.write(&1, || {
                        stay();
                        1
                    })
                })
            };
            let queued: Vec<_> = (0..4)
                .map(|i| {
                    let joined = writes.stats().joined;
                    let own = writes.clone();
                    let caller = spawn(move || catch_unwind(AssertUnwindSafe(|| own.write(&1, || 10 + i))));
                    until(|| writes.stats().joined > joined);
                    caller
                })
                .collect();
            first.release();
            let ends: Vec<_> = queued.into_iter().map(finish).collect();
            assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "{kind}: in one call");
            assert!(ends.into_iter().flatten().all(|value| value >= 10), "{kind}: covered by a later run");
            assert_eq!(writes.in_flight(), 0);
            until_waiting(&writes, &1, 0);
        }
    });
}

/// A caller queued with `fresh` that takes part in a failure and boards again keeps its closure: it is not
/// superseded, unless it is in the end.
#[test]
fn who_boards_again_is_not_superseded() {
    within(|| {
        let superseded = Arc::new(Mutex::new(0));
        let counter = superseded.clone();
        let group: Group<u8, u8, &str> = Group::builder()
            .share_failures(false)
            .observer(move |event| {
                if event.kind == EventKind::Superseded {
                    *counter.lock().unwrap() += 1;
                }
            })
            .build();
        std::thread::scope(|s| {
            let ran = group.call(&1).run(|| {
                for queued in 1..=2 {
                    s.spawn(|| group.call(&1).fresh().run(|| Err("no")));
                    until(|| group.followers(&1) == queued);
                }
                Ok(0)
            });
            assert_eq!(ran.unwrap().value, 0);
        });
        assert_eq!(*superseded.lock().unwrap(), 0, "both closures ran");
        assert_eq!(group.stats().failed, 2);
    });
}
