//! What the groups of a fleet report: to the observer, as spans (feature `tracing`), in meters (feature `metrics`).

use crate::groups::{Group, LONG, Two};
use crate::support::{Server, patient, until, watched};
use flight_group::fleet::{FleetGroupBuilder, FleetWriteGroup, FleetWriteGroupBuilder, Json};
use flight_group::{CancelToken, Error, Event, EventKind, Kind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

#[cfg(feature = "metrics")]
mod meters;
#[cfg(feature = "tracing")]
mod spans;

type Writes = FleetWriteGroup<u32, u64, String>;

/// What an observer was told, in words without times.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn write(&self, event: &Event<'_, u32>) {
        assert_eq!((event.group, event.key), (Some("g"), &1));
        let words = match event.kind {
            EventKind::Landed { ending, followers, .. } => format!("landed {ending} before {followers}"),
            EventKind::Followed { ending, .. } => format!("followed {ending}"),
            EventKind::InFleet { role, .. } => format!("{role} in the fleet"),
            other => format!("{other:?}").split(' ').next().unwrap().to_lowercase(),
        };
        self.0.lock().unwrap().push(format!("{}: {words}", event.flight));
    }

    /// What was told since the last look; numbers of flights count from 1.
    fn take(&self) -> Vec<String> {
        let told = std::mem::take(&mut *self.0.lock().unwrap());
        let mut flights: Vec<_> = told.iter().map(|line| line.split_once(':').unwrap().0.to_owned()).collect();
        flights.dedup();
        let number = |line: &String| {
            let (flight, words) = line.split_once(':').unwrap();
            format!("{}:{words}", 1 + flights.iter().position(|other| other == flight).unwrap())
        };
        told.iter().map(number).collect()
    }
}

type Reads = FleetGroupBuilder<u32, String, String>;

fn watched_reads(builder: Reads) -> (Group, Told) {
    let told = Told::default();
    let teller = told.clone();
    (builder.observer(move |event| teller.write(event)).build().unwrap(), told)
}

fn watched_writes(builder: FleetWriteGroupBuilder<u32, u64, String>) -> (Writes, Told) {
    let told = Told::default();
    let teller = told.clone();
    (builder.observer(move |event| teller.write(event)).build().unwrap(), told)
}

#[test]
fn an_observer_is_told_who_ran_the_closure() {
    watched("observer", || {
        let two = Two::start();
        let (first, led) = watched_reads(two.one.group_with("g", Json::new()));
        let (second, followed) = watched_reads(two.other.group_with("g", Json::new()));
        two.lead_and_follow((&first, &second), Ok("mine".into()), Ok("not run".into())).1.unwrap();
        assert_eq!(led.take(), ["1: led", "1: leader in the fleet", "1: landed value before 0"]);
        assert_eq!(followed.take(), ["1: led", "1: follower in the fleet", "1: landed value before 0"]);

        two.lead_and_follow((&first, &second), Err("no row".into()), Ok("not run".into())).1.unwrap_err();
        assert_eq!(led.take(), ["1: led", "1: leader in the fleet", "1: landed failed before 0"]);
        assert_eq!(followed.take(), ["1: led", "1: follower in the fleet", "1: landed failed before 0"]);
    });
}

#[test]
fn an_observer_is_told_who_followed_in_this_process() {
    watched("local followers", || {
        let two = Two::start();
        let (group, told) = watched_reads(two.one.group_with("g", Json::new()));
        std::thread::scope(|s| {
            let led = group.try_work(&1, || {
                s.spawn(|| group.try_work(&1, || Ok("not run".into())).unwrap());
                until("it follows", || group.followers(&1) == 1);
                Ok("shared".into())
            });
            led.unwrap();
        });
        let mut told = told.take();
        told.sort_unstable(); // the leader and the follower tell at the same time
        let expected =
            ["1: followed value", "1: joined", "1: landed value before 1", "1: leader in the fleet", "1: led"];
        assert_eq!(told, expected);
    });
}

#[test]
fn an_observer_is_told_that_a_process_is_alone() {
    watched("alone", || {
        let mut two = Two::start();
        let small = |fleet: &flight_group::fleet::Fleet| fleet.group_with("g", Json::new()).max_result(100);
        let (first, second) = (small(&two.one).build().unwrap(), watched_reads(small(&two.other)));
        let (second, told) = second;
        let large = "x".repeat(101);
        two.lead_and_follow((&first, &second), Ok(large), Ok("own".into())).1.unwrap();
        assert_eq!(told.take(), ["1: led", "1: alone in the fleet", "1: landed value before 0"], "it was too large");

        two.server.kill();
        assert_eq!(second.try_work(&1, || Ok("own".into())), Ok("own".into()));
        assert_eq!(told.take(), ["1: led", "1: alone in the fleet", "1: landed value before 0"]);

        let patience = Duration::from_millis(50);
        let strict = small(&two.other).refuse_when_unavailable(true).patience(patience);
        let (strict, told) = watched_reads(strict);
        assert!(matches!(strict.try_work(&1, || Ok("not run".into())), Err(Error::Fleet(_))));
        assert_eq!(told.take(), ["1: led", "1: landed failed before 0"], "it is nothing in the fleet");
    });
}

/// The wait for another process ends for the leader alone: it is told as any call's.
#[test]
fn an_observer_is_told_that_a_leader_waited_no_longer() {
    watched("late leaders", || {
        let two = Two::start();
        let (holder, _) = two.groups();
        let (group, told) = watched_reads(two.other.group_with("g", Json::new()));
        let token = CancelToken::new();
        std::thread::scope(|s| {
            let (land, landing) = mpsc::channel::<()>();
            let (started, start) = mpsc::channel();
            let holder = &holder;
            let held = s.spawn(move || {
                holder.try_work(&1, || {
                    started.send(()).unwrap();
                    landing.recv_timeout(LONG).unwrap();
                    Ok("late".into())
                })
            });
            start.recv_timeout(LONG).unwrap();
            let late = group.call(&1).timeout(Duration::from_millis(100)).run(|| Ok("not run".into()));
            assert_eq!(late, Err(Error::timed_out()));
            assert_eq!(told.take(), ["1: led", "1: landed failed before 0", "1: timedout"]);

            let waits = s.spawn(|| group.call(&1).cancel(&token).run(|| Ok("not run".into())));
            until("it waits for the other process", || two.other.waiting() == 1);
            token.cancel("the server shuts down");
            assert!(waits.join().unwrap().unwrap_err().is_cancelled());
            assert_eq!(told.take(), ["1: led", "1: landed failed before 0", "1: cancelled"]);
            let stats = group.local_stats();
            assert_eq!((stats.timed_out, stats.cancelled, stats.failed), (1, 1, 2));

            land.send(()).unwrap();
            assert_eq!(held.join().unwrap(), Ok("late".into()));
        });
    });
}

/// A panic at any event unwinds in the call of whoever told it. Nobody waits for ever, and the key works afterwards.
#[test]
fn an_observers_panic_is_its_callers_alone() {
    watched("observer's bomb", || {
        let two = Two::start();
        let (_, other) = two.groups();
        let bomb = Arc::new(Mutex::new(""));
        let fuse = bomb.clone();
        let group: Group = two
            .one
            .group_with("g", Json::new())
            .observer(move |event: &Event<'_, u32>| {
                let kind = format!("{:?}", event.kind);
                let word = *fuse.lock().unwrap();
                assert!(word.is_empty() || !kind.starts_with(word), "expected in this test's output");
            })
            .build()
            .unwrap();
        for word in ["Led", "InFleet", "Landed"] {
            *bomb.lock().unwrap() = word;
            std::thread::scope(|s| {
                let (group, two, other) = (&group, &two, &other);
                let follows = || {
                    s.spawn(move || assert_eq!(other.try_work(&1, || Ok("own".into())), Ok("led".into())));
                    until("the other process follows", || two.registered() == 1);
                    Ok("led".into())
                };
                // At `Led` the flight has not begun, so the closure does not run.
                let led = catch_unwind(AssertUnwindSafe(|| group.try_work(&1, follows)));
                assert!(led.is_err(), "{word}");
            });
            *bomb.lock().unwrap() = "";
            assert_eq!(group.try_work(&1, || Ok("again".into())), Ok("again".into()), "{word}");
            assert_eq!((group.in_flight(), two.one.holding()), (0, 0), "{word}");
        }
        assert_eq!(two.other.stats().followed_inline, 2, "it got the outcomes of the flights that ran");
    });
}

#[test]
fn an_observer_is_told_of_writes() {
    watched("writes", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let (writes, told) = watched_writes(fleet.write_group_with("g").timed().debug_keys());
        writes.try_write(&1, |lease| Ok(lease.fence())).unwrap();
        assert_eq!(told.take(), ["1: led", "1: leader in the fleet", "1: landed value before 0"]);
        writes.try_write(&1, |_| Err("no".into())).unwrap_err();
        assert_eq!(told.take(), ["1: led", "1: leader in the fleet", "1: landed failed before 0"]);

        // Others wait for the run that has to wait for the lease: one flight gets it, the next one runs with it.
        let elsewhere = patient(&server.url()).connect().unwrap();
        let holder: Writes = elsewhere.write_group("g");
        std::thread::scope(|s| {
            let held = holder.try_write(&1, |lease| {
                let write = || s.spawn(|| writes.try_write(&1, |lease| Ok(lease.fence())).unwrap());
                write();
                until("it waits for the lease", || fleet.waiting() == 1);
                let late = writes.call(&1).timeout(Duration::ZERO).run(|_| Ok(0));
                assert_eq!(late, Err(Error::timed_out()));
                write();
                until("the second joins", || writes.followers(&1) == 1);
                Ok(lease.fence())
            });
            held.unwrap();
        });
        let told = told.take();
        let roles = told.iter().filter(|line| line.ends_with("leader in the fleet")).count();
        assert_eq!(roles, 1, "one run: {told:?}");
        let landed = told.iter().filter(|line| line.contains("landed value")).count();
        assert_eq!(landed, 2, "two flights: {told:?}");
        assert_eq!(told.iter().filter(|line| line.ends_with("timedout")).count(), 1, "{told:?}");
    });
}

#[test]
fn deadlocks_name_the_kind() {
    watched("kinds", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let reads: Group = fleet.group_with("g", Json::new()).debug_keys().build().unwrap();
        let words = reads.try_work(&1, || match reads.try_work(&1, || Ok(String::new())) {
            Err(Error::Deadlock(circle)) => {
                let hop = &circle.hops()[0];
                assert_eq!((hop.kind(), hop.group(), hop.key()), (Kind::FleetGroup, Some("g"), Some("1")));
                Ok(circle.to_string())
            }
            other => panic!("expected a deadlock, got {other:?}"),
        });
        assert!(words.unwrap().contains("of key 1 in fleet group \"g\" on"));
        let writes: Writes = fleet.write_group_with("w").debug_keys().build().unwrap();
        let outcome = writes.try_write(&1, |_| match writes.try_write(&1, |_| Ok(0)) {
            Err(Error::Deadlock(circle)) => {
                let hop = &circle.hops()[0];
                assert_eq!((hop.kind(), hop.group(), hop.key()), (Kind::FleetWriteGroup, Some("w"), Some("1")));
                Ok(1)
            }
            other => panic!("expected a deadlock, got {other:?}"),
        });
        assert_eq!(outcome, Ok(1));
    });
}
