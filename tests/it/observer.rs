//! What an observer is told, when, and that its panic concerns one call only.

mod panics;

use crate::support::{
    AGES, Gate, SOON, finish, hold, hold_call, keep_quiet_about, line_up, message, until, until_waiting, within,
};
use flight_group::{CancelToken, Ending, Error, EventKind, Group, Hedge, Role, WriteGroup};
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
        assert_eq!(group.call(&1).follow(), None);
        assert!(log.take().is_empty());

        let leader = hold_call(&group, 1, || Ok(1));
        assert_eq!(log.words(), ["led"], "before the closure runs");
        let followers =
            line_up(
                &group,
                1,
                2,
                |group, i| {
                    if i == 0 { group.call(&1).run(|| Ok(2)) } else { group.call(&1).follow().unwrap() }
                },
            );
        let receiver = group.spawn(&1, || Ok(2));
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
        let leader = hold_call(&group, 1, || Ok(1));
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

        let leader = hold_call(&group, 1, || Ok(1));
        assert_eq!(group.call(&1).takeover_after(SOON).run(|| Ok(2)).unwrap().role, Role::Leader);
        leader.release().unwrap();
        let words = log.take();
        assert_eq!(words, ["joined", "landed Value 0", "landed Value 0 detached", "led", "led", "takenover"]);

        let leader = hold_call(&group, 1, || Ok(1));
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
        let old = hold_call(&group, 1, || Ok(1));
        group.try_work(&1, || Ok(2)).unwrap();
        assert_eq!(log.take(), ["expired", "landed Value 0", "led", "led"]);
        let receiver = {
            let _old_one_is_gone = old.release().unwrap();
            let old = hold_call(&group, 1, || Ok(1));
            let receiver = group.spawn(&1, || Ok(3));
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
        let leader = hold_call(&group, 1, || Ok(1));
        assert!(group.try_work(&1, || Ok(2)).unwrap_err().is_overloaded());
        assert!(group.spawn(&1, || Ok(2)).recv().unwrap().unwrap_err().is_overloaded());
        leader.release().unwrap();
        assert_eq!(log.flights().len(), 1, "the number is that of the flight in the air");
        assert_eq!(log.take(), ["landed Value 0", "led", "overloaded", "overloaded"]);
    });
}

#[test]
fn spawned_flights_and_writes_are_told_of() {
    within(|| {
        let (group, log) = observed();
        group.spawn(&1, || Ok(1)).recv().unwrap().unwrap();
        until(|| log.words().len() == 2);
        assert_eq!(log.take(), ["landed Value 0", "led"]);
        group.spawn(&1, || panic!("x")).recv().unwrap().unwrap_err();
        until(|| log.words().len() == 2);
        assert_eq!(log.take(), ["landed Panicked 0", "led"]);

        let log = Log::default();
        let notes = log.clone();
        let writes: WriteGroup<u8, u32> =
            WriteGroup::builder().name("observed").observer(move |event| notes.note(event)).build();
        let first = hold(&writes, 1, || 1);
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
        let leader = hold(&group, 1, || 1);
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
        let leader = hold(&group, 1, || 1);
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
        let leader = hold(&group, 1, || 1);
        let followers = line_up(&group, 1, 3, |group, _| group.work(&1, || 2));
        leader.let_go();
        assert!(followers.into_iter().all(|follower| finish(follower) == 1));
        assert!(!leader.has_returned());
        release.open();
        assert_eq!(leader.release(), 1);
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

/// A hedge's call is a flight, and its key is `()`.
#[test]
fn a_hedges_calls_are_told_of() {
    keep_quiet_about(&["attempt down"]);
    within(|| {
        let told: Arc<Mutex<Vec<(u64, String)>>> = Arc::default();
        let notes = told.clone();
        let hedge = Hedge::new().delay(AGES).name("observed").observer(move |event| {
            assert_eq!((event.group, event.key), (Some("observed"), &()));
            let words = match event.kind {
                EventKind::Landed { ending, followers: 0, detached: false, .. } => format!("landed {ending}"),
                EventKind::Cancelled { .. } => "cancelled".to_owned(),
                kind => format!("{kind:?}").to_lowercase(),
            };
            notes.lock().unwrap().push((event.flight, words));
        });
        let take =
            || -> Vec<String> { told.lock().unwrap().drain(..).map(|(n, words)| format!("{n} {words}")).collect() };

        let seen = told.clone();
        let led = hedge.run(move |_| Ok::<_, String>(seen.lock().unwrap().len()));
        assert_eq!(led, Ok(1), "told before the first attempt");
        assert_eq!(take(), ["1 led", "1 landed value"]);
        hedge.clone().run(|_| Err::<(), _>("down")).unwrap_err();
        assert_eq!(take(), ["2 led", "2 landed failed"], "one flight, two attempts");
        hedge
            .run(|attempt| -> Result<(), _> {
                if attempt.index() == 0 { panic!("attempt down") } else { Err("down") }
            })
            .unwrap_err();
        assert_eq!(take(), ["3 led", "3 landed panicked"]);

        let token = CancelToken::new();
        let cancels = token.clone();
        let cancelled = hedge.run_under(&token, move |attempt| {
            cancels.cancel("gone");
            Err::<(), _>(attempt.token().wait().to_string())
        });
        assert!(cancelled.unwrap_err().is_cancelled());
        assert_eq!(take(), ["4 led", "4 cancelled"], "nothing landed");

        hedge.first([|_| Ok::<_, String>(1)]).unwrap();
        let other = hedge.clone().observer(|_| ());
        other.run(|_| Ok::<_, String>(1)).unwrap();
        assert_eq!(take(), [""; 0], "`first` is not told of, and a clone may have another observer");
        assert!(format!("{hedge:?}").contains("observed"));
    });
}

/// An observer's panic unwinds in the caller, and the reply's own is no second one.
#[test]
fn an_observer_that_panics_ends_one_hedged_call() {
    struct Reply;
    impl Drop for Reply {
        fn drop(&mut self) {
            panic!("reply dropped");
        }
    }
    keep_quiet_about(&["observer down", "reply dropped"]);
    within(|| {
        for on_led in [true, false] {
            let armed = Arc::new(AtomicBool::new(true));
            let arm = armed.clone();
            let hedge = Hedge::new().observer(move |event| {
                let led = matches!(event.kind, EventKind::Led);
                assert!(led != on_led || !arm.load(SeqCst), "observer down");
            });
            let unwound = catch_unwind(AssertUnwindSafe(|| hedge.run(|_| Ok::<_, ()>(Reply)))).err().unwrap();
            assert_eq!(message(&*unwound), "observer down");
            armed.store(false, SeqCst);
            assert_eq!(hedge.run(|_| Ok::<_, ()>(1)), Ok(1));
        }
    });
}
