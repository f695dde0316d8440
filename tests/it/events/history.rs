//! `EventGroup` under generated schedules, judged by one checker that knows the promises and nothing else.

use flight_group::{Error, EventGroup};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const KEYS: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Push,
    PushFor(Duration),
    Submit,
    SubmitIn(Duration),
    Flush,
}

/// What an event does to the run that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    Good,
    Fails,
    Panics,
}

#[derive(Clone, Copy, Debug)]
struct Op {
    key: u8,
    kind: Kind,
    flavour: Flavour,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    workers: usize,
    capacity: usize,
    min_interval: Duration,
    quiet: Duration,
    work: u32,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    id: usize,
    flavour: Flavour,
}

#[derive(Clone, Debug)]
struct Run {
    number: usize,
    key: u8,
    events: Vec<Event>,
    start: usize,
    end: usize,
}

impl Run {
    fn flavour(&self) -> Flavour {
        let has = |flavour| self.events.iter().any(|event| event.flavour == flavour);
        if has(Flavour::Panics) {
            Flavour::Panics
        } else if has(Flavour::Fails) {
            Flavour::Fails
        } else {
            Flavour::Good
        }
    }
}

/// How a call ended; a run is known by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Value(usize),
    Failed(usize),
    Panicked,
    TimedOut,
    Accepted,
    Refused,
    Flushed,
}

#[derive(Clone, Debug)]
struct Call {
    id: usize,
    op: Op,
    arrived: usize,
    returned: usize,
    told: Told,
}

struct History {
    calls: Vec<Call>,
    runs: Vec<Run>,
    /// The keys `on_failure` was told of.
    failures: Vec<u8>,
}

fn play(settings: Settings, threads: &[Vec<Op>]) -> History {
    let clock = Arc::new(AtomicUsize::new(0));
    let tick = move || clock.fetch_add(1, SeqCst);
    let runs = Arc::new(Mutex::new(Vec::new()));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let numbers = AtomicUsize::new(0);

    let (ticking, log, failing) = (tick.clone(), runs.clone(), failures.clone());
    let events: EventGroup<u8, Vec<Event>, usize, usize> = EventGroup::builder(
        |all: &mut Vec<Event>, more| all.extend(more),
        move |key: &u8, events| {
            let start = ticking();
            let number = numbers.fetch_add(1, SeqCst);
            (0..settings.work).for_each(|_| thread::yield_now());
            let run = Run { number, key: *key, events, start, end: ticking() };
            let flavour = run.flavour();
            log.lock().unwrap().push(run);
            match flavour {
                Flavour::Good => Ok(number),
                Flavour::Fails => Err(number),
                Flavour::Panics => panic!("bomb: a bad event"),
            }
        },
    )
    .workers(settings.workers)
    .capacity(settings.capacity)
    .min_interval(settings.min_interval)
    .quiet(settings.quiet)
    .max_wait(settings.quiet * 3)
    .on_failure(move |key, _| failing.lock().unwrap().push(*key))
    .build();

    let ids = AtomicUsize::new(0);
    let calls = Mutex::new(Vec::new());
    thread::scope(|s| {
        for ops in threads {
            let (events, tick, ids, calls) = (&events, &tick, &ids, &calls);
            s.spawn(move || {
                for &op in ops {
                    let id = ids.fetch_add(1, SeqCst);
                    let event = vec![Event { id, flavour: op.flavour }];
                    let arrived = tick();
                    let told = call(events, op, event);
                    calls.lock().unwrap().push(Call { id, op, arrived, returned: tick(), told });
                }
            });
        }
    });
    drop(events);
    let take = |failures: Arc<Mutex<Vec<u8>>>| std::mem::take(&mut *failures.lock().unwrap());
    assert_eq!(Arc::strong_count(&runs), 1, "a thread of the group's is left");
    let runs = std::mem::take(&mut *runs.lock().unwrap());
    History { calls: calls.into_inner().unwrap(), runs, failures: take(failures) }
}

fn call(events: &EventGroup<u8, Vec<Event>, usize, usize>, op: Op, event: Vec<Event>) -> Told {
    let outcome = catch_unwind(AssertUnwindSafe(|| match op.kind {
        Kind::Push => events.push(&op.key, event).map(|landing| Told::Value(landing.value)),
        Kind::PushFor(limit) => {
            events.call(&op.key).timeout(limit).push(event).map(|landing| Told::Value(landing.value))
        }
        Kind::Submit => events.submit(&op.key, event).map(|()| Told::Accepted),
        Kind::SubmitIn(delay) => events.call(&op.key).delay(delay).submit(event).map(|()| Told::Accepted),
        Kind::Flush => events.flush().map(|()| Told::Flushed),
    }));
    match outcome {
        Ok(Ok(told)) => told,
        Ok(Err(Error::Work(number))) => Told::Failed(number),
        Ok(Err(Error::Panicked(panic))) if panic.message() == "bomb: a bad event" => Told::Panicked,
        Ok(Err(Error::TimedOut(_))) => Told::TimedOut,
        Ok(Err(Error::Overloaded(_))) => Told::Refused,
        Ok(Err(other)) => panic!("an unexpected outcome: {other:?}"),
        Err(payload) => {
            assert_eq!(payload.downcast_ref(), Some(&"bomb: a bad event"));
            Told::Panicked
        }
    }
}

/// The promises.
fn check(history: &History) -> Result<(), TestCaseError> {
    let History { calls, runs, failures } = history;
    // One run per key at a time.
    for key in 0..KEYS {
        let mut of_key: Vec<&Run> = runs.iter().filter(|run| run.key == key).collect();
        of_key.sort_by_key(|run| run.start);
        for pair in of_key.windows(2) {
            prop_assert!(pair[0].end < pair[1].start, "two runs at once: {pair:?}");
        }
    }
    // Each event in one run at most, and at one place there.
    let mut carried: HashMap<usize, (&Run, usize)> = HashMap::new();
    for run in runs {
        for (place, event) in run.events.iter().enumerate() {
            prop_assert!(carried.insert(event.id, (run, place)).is_none(), "event {} carried twice", event.id);
        }
    }
    for call in calls {
        let run = carried.get(&call.id).map(|(run, _)| *run);
        if let Some(run) = run {
            prop_assert_eq!(run.key, call.op.key);
            prop_assert!(run.start > call.arrived, "carried by a run that had started before it came");
        }
        // The outcome is that of the run that carried the event, after that run.
        let by = match call.told {
            Told::Value(number) => Some((number, Flavour::Good)),
            Told::Failed(number) => Some((number, Flavour::Fails)),
            _ => None,
        };
        if let Some((number, flavour)) = by {
            prop_assert!(run.is_some_and(|run| run.number == number), "told of run {number}: {call:?} {run:?}");
            prop_assert_eq!(run.map(Run::flavour), Some(flavour));
        }
        match call.told {
            Told::Value(_) | Told::Failed(_) => {
                prop_assert!(run.is_some_and(|run| run.end < call.returned), "told before it was so");
            }
            Told::Panicked => prop_assert_eq!(run.map(Run::flavour), Some(Flavour::Panics)),
            // Nothing accepted is lost: the group has been dropped by now.
            Told::Accepted => prop_assert!(run.is_some(), "lost: {call:?}"),
            Told::Refused => prop_assert!(run.is_none(), "refused, and carried"),
            Told::TimedOut => {
                prop_assert!(matches!(call.op.kind, Kind::PushFor(_)));
                // Withdrawn; or carried by a run that had begun, which a run does after the one before it has ended.
                let before = run.and_then(|run| {
                    runs.iter().filter(|before| before.key == run.key && before.end < run.start).max_by_key(|b| b.end)
                });
                prop_assert!(before.is_none_or(|before| before.end < call.returned), "carried after it was withdrawn");
            }
            Told::Flushed => {
                for before in calls.iter().filter(|before| before.returned < call.arrived) {
                    if let Some((run, _)) = carried.get(&before.id) {
                        prop_assert!(run.end < call.returned, "flushed before {before:?} was done");
                    }
                }
            }
        }
    }
    // The order of arrival: what had been accepted or answered before another call came is before it, or gone.
    for earlier in calls {
        for later in calls.iter().filter(|later| later.op.key == earlier.op.key && later.arrived > earlier.returned) {
            if let (Some((first, at)), Some((second, then))) = (carried.get(&earlier.id), carried.get(&later.id)) {
                let in_order = (first.start, at) < (second.start, then);
                prop_assert!(in_order, "{later:?} overtook {earlier:?}");
            }
        }
    }
    // Whoever submitted is told of a failure through `on_failure`: once for each run.
    let submitted: HashSet<usize> =
        calls.iter().filter(|call| call.told == Told::Accepted).map(|call| call.id).collect();
    let mut expected: Vec<u8> = runs
        .iter()
        .filter(|run| run.flavour() != Flavour::Good && run.events.iter().any(|event| submitted.contains(&event.id)))
        .map(|run| run.key)
        .collect();
    let mut failures = failures.clone();
    expected.sort_unstable();
    failures.sort_unstable();
    prop_assert_eq!(failures, expected);
    Ok(())
}

fn op() -> impl Strategy<Value = Op> {
    let micros = |range: std::ops::Range<u64>| range.prop_map(Duration::from_micros);
    let kind = prop_oneof![
        4 => Just(Kind::Push),
        2 => micros(0..200).prop_map(Kind::PushFor),
        4 => Just(Kind::Submit),
        2 => micros(0..300).prop_map(Kind::SubmitIn),
        1 => Just(Kind::Flush),
    ];
    let flavour = prop_oneof![8 => Just(Flavour::Good), 1 => Just(Flavour::Fails), 1 => Just(Flavour::Panics)];
    (0..KEYS, kind, flavour).prop_map(|(key, kind, flavour)| Op { key, kind, flavour })
}

fn settings() -> impl Strategy<Value = Settings> {
    let micros = |most: u64| prop_oneof![2 => Just(0), 1 => 1..most].prop_map(Duration::from_micros);
    (1..=2_usize, prop_oneof![Just(2), Just(1000)], micros(300), micros(200), 0..20_u32).prop_map(
        |(workers, capacity, min_interval, quiet, work)| Settings { workers, capacity, min_interval, quiet, work },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises(
        settings in settings(),
        threads in prop::collection::vec(prop::collection::vec(op(), 1..12), 1..5),
    ) {
        crate::support::keep_quiet_about(&["bomb: a bad event"]);
        let (done, is_done) = channel();
        thread::spawn(move || done.send(play(settings, &threads)));
        let history = is_done.recv_timeout(crate::support::patience());
        let history = history.map_err(|_| TestCaseError::fail("somebody hangs, or a thread panicked"))?;
        check(&history)?;
    }
}

/// The checker is no rubber stamp: each broken promise is seen.
#[test]
fn the_checker_sees_what_is_broken() {
    let good = Event { id: 0, flavour: Flavour::Good };
    let run = Run { number: 0, key: 0, events: vec![good], start: 2, end: 3 };
    let op = Op { key: 0, kind: Kind::Push, flavour: Flavour::Good };
    let call = Call { id: 0, op, arrived: 1, returned: 4, told: Told::Value(0) };
    let history = |calls: Vec<Call>, runs: Vec<Run>| History { calls, runs, failures: Vec::new() };
    assert!(check(&history(vec![call.clone()], vec![run.clone()])).is_ok());

    let later = Run { number: 1, start: 3, end: 5, events: vec![], ..run.clone() };
    let overlapping = Run { start: 1, ..later.clone() };
    assert!(check(&history(vec![call.clone()], vec![run.clone(), overlapping])).is_err());
    let twice = Run { number: 1, start: 5, end: 6, ..run.clone() };
    assert!(check(&history(vec![call.clone()], vec![run.clone(), twice])).is_err());
    let of_another_run = Call { told: Told::Value(1), ..call.clone() };
    assert!(check(&history(vec![of_another_run], vec![run.clone()])).is_err());
    let lost = Call { told: Told::Accepted, ..call.clone() };
    assert!(check(&history(vec![lost], vec![])).is_err());
    let too_early = Call { arrived: 2, ..call.clone() };
    assert!(check(&history(vec![too_early], vec![Run { start: 1, ..run.clone() }])).is_err());
    let withdrawn =
        Call { id: 9, told: Told::TimedOut, op: Op { kind: Kind::PushFor(Duration::ZERO), ..op }, returned: 2, ..call };
    let with_it = Run { number: 1, events: vec![Event { id: 9, ..good }], start: 5, end: 6, ..run.clone() };
    assert!(check(&history(vec![withdrawn], vec![run.clone(), with_it])).is_err());
    let flush =
        |returned| Call { id: 1, op: Op { kind: Kind::Flush, ..op }, arrived: 2, returned, told: Told::Flushed };
    let submitted = Call { id: 0, op, arrived: 0, returned: 1, told: Told::Accepted };
    let slow = Run { start: 3, end: 6, ..run };
    assert!(check(&history(vec![submitted.clone(), flush(5)], vec![slow.clone()])).is_err());
    assert!(check(&history(vec![submitted, flush(7)], vec![slow])).is_ok());
}
