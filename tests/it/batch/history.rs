//! Generated histories: callers with keys, deadlines and pauses; a function that answers, forgets, fails and
//! panics. Every run is logged with one clock, and judged by a checker that knows the promises and not the code.

use crate::support::within;
use flight_group::{Batcher, Error};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// One load in a thread's script.
#[derive(Clone, Copy, Debug)]
struct Load {
    key: u8,
    timeout: Option<Duration>,
    /// Turns given away before the call, to vary who meets whom.
    pause: u8,
}

/// What the function does with its n-th batch.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer,
    Forget(u8),
    Fail,
    Panic,
}

#[derive(Clone, Debug)]
struct Script {
    max_batch: usize,
    window: Duration,
    per_key: bool,
    threads: Vec<Vec<Load>>,
    acts: Vec<Act>,
}

fn scripts() -> impl Strategy<Value = Script> {
    let timeout = prop_oneof![3 => Just(None), 1 => (0..400_u64).prop_map(|us| Some(Duration::from_micros(us)))];
    let load = (0..6_u8, timeout, 0..20_u8).prop_map(|(key, timeout, pause)| Load { key, timeout, pause });
    let act = prop_oneof![
        5 => Just(Act::Answer),
        1 => (0..6_u8).prop_map(Act::Forget),
        1 => Just(Act::Fail),
        1 => Just(Act::Panic),
    ];
    (
        prop_oneof![Just(usize::MAX), 1..4_usize],
        prop_oneof![3 => Just(Duration::ZERO), 1 => (1..300_u64).prop_map(Duration::from_micros)],
        any::<bool>(),
        prop::collection::vec(prop::collection::vec(load, 1..8), 1..7),
        prop::collection::vec(act, 1..12),
    )
        .prop_map(|(max_batch, window, per_key, threads, acts)| Script {
            max_batch,
            window,
            per_key,
            threads,
            acts,
        })
}

/// A call of the function, from its own point of view.
#[derive(Clone, Debug)]
struct Ran {
    start: usize,
    end: usize,
    keys: Vec<u8>,
    leader: ThreadId,
}

/// A call of `load`, from the caller's. Values, errors and panics carry the number of their batch.
#[derive(Debug)]
struct Called {
    load: Load,
    thread: ThreadId,
    call: usize,
    end: usize,
    got: Got,
}

#[derive(Debug, PartialEq)]
enum Got {
    Value { key: u8, batch: usize },
    Work { batch: usize },
    Panicked { batch: usize },
    Unwound { batch: usize },
    Missing,
    TimedOut,
}

/// Values are the key and the batch's number, errors the batch's number.
type Subject = Batcher<u8, (u8, usize), usize>;

/// Runs a script and logs what happened.
fn run(script: &Script) -> (Vec<Ran>, Vec<Called>, Subject) {
    let clock = Arc::new(AtomicUsize::new(0));
    let ran: Arc<Mutex<Vec<Ran>>> = Arc::default();
    let body = {
        let (clock, ran, acts) = (Arc::clone(&clock), Arc::clone(&ran), script.acts.clone());
        move |keys: &[u8]| -> (usize, Act) {
            let start = clock.fetch_add(1, SeqCst);
            let batch = {
                let mut ran = ran.lock().unwrap();
                ran.push(Ran { start, end: usize::MAX, keys: keys.to_vec(), leader: thread::current().id() });
                ran.len() - 1
            };
            for _ in 0..batch % 5 {
                thread::yield_now();
            }
            ran.lock().unwrap()[batch].end = clock.fetch_add(1, SeqCst);
            (batch, acts[batch % acts.len()])
        }
    };
    let kept = |act, key| !matches!(act, Act::Forget(forgotten) if forgotten == key);
    let builder = Batcher::builder().max_batch(script.max_batch).window(script.window);
    let batcher = if script.per_key {
        builder.build_per_key(move |keys: &[u8]| {
            let (batch, act) = body(keys);
            assert!(!matches!(act, Act::Panic), "{batch}");
            let answer = |key: u8| if matches!(act, Act::Fail) && key % 2 == 0 { Err(batch) } else { Ok((key, batch)) };
            keys.iter().filter(|&&key| kept(act, key)).map(|&key| (key, answer(key))).collect()
        })
    } else {
        builder.build(move |keys: &[u8]| {
            let (batch, act) = body(keys);
            assert!(!matches!(act, Act::Panic), "{batch}");
            if matches!(act, Act::Fail) {
                return Err(batch);
            }
            Ok(keys.iter().filter(|&&key| kept(act, key)).map(|&key| (key, (key, batch))).collect())
        })
    };

    let barrier = Barrier::new(script.threads.len());
    let called = thread::scope(|scope| {
        let threads: Vec<_> = script
            .threads
            .iter()
            .map(|loads| {
                let (batcher, clock, barrier) = (&batcher, &clock, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    loads.iter().map(|&load| one(batcher, clock, load)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let ran = ran.lock().unwrap().clone();
    (ran, called, batcher)
}

fn one(batcher: &Subject, clock: &AtomicUsize, load: Load) -> Called {
    for _ in 0..load.pause {
        thread::yield_now();
    }
    let call = clock.fetch_add(1, SeqCst);
    let mut options = batcher.call(&load.key);
    if let Some(timeout) = load.timeout {
        options = options.timeout(timeout);
    }
    let got = match catch_unwind(AssertUnwindSafe(|| options.load())) {
        Ok(Ok((key, batch))) => Got::Value { key, batch },
        Ok(Err(Error::Work(batch))) => Got::Work { batch },
        Ok(Err(Error::Panicked(panic))) => Got::Panicked { batch: panic.message().parse().unwrap() },
        Ok(Err(Error::Missing(_))) => Got::Missing,
        Ok(Err(Error::TimedOut(_))) => Got::TimedOut,
        Ok(Err(other)) => panic!("unexpected {other:?}"),
        Err(payload) => Got::Unwound { batch: payload.downcast_ref::<String>().unwrap().parse().unwrap() },
    };
    Called { load, thread: thread::current().id(), call, end: clock.fetch_add(1, SeqCst), got }
}

/// Judges a log by the promises alone.
fn judge(script: &Script, ran: &[Ran], called: &[Called]) -> Result<(), TestCaseError> {
    let act = |batch: usize| script.acts[batch % script.acts.len()];

    let ran_before = |batch: usize| batch.checked_sub(1).map_or(0, |before| ran[before].end);

    for pair in ran.windows(2) {
        prop_assert!(pair[0].end < pair[1].start, "two batches overlap: {pair:?}");
    }
    for (batch, ran) in ran.iter().enumerate() {
        let distinct: HashSet<_> = ran.keys.iter().collect();
        prop_assert_eq!(distinct.len(), ran.keys.len(), "a key is passed twice: {:?}", ran);
        prop_assert!(!ran.keys.is_empty() && ran.keys.len() <= script.max_batch, "too few or too many: {ran:?}");
        // The leader is the one caller that this batch's function ran inside of.
        let led: Vec<_> =
            called.iter().filter(|c| c.thread == ran.leader && c.call < ran.start && ran.end < c.end).collect();
        prop_assert_eq!(led.len(), 1, "a leader has one call at a time");
        // A batch starts when its leader takes it out of the queue, a moment before the function can say so. Until
        // then a caller that gives up withdraws its key, and from then on it does not. That moment comes after the
        // end of the batch before it, and after the leader's call.
        let opened = ran_before(batch).max(led[0].call);
        for key in &ran.keys {
            let wanted = |c: &Called| {
                let until = if c.got == Got::TimedOut { opened } else { ran.start };
                c.load.key == *key && c.call < ran.start && until < c.end
            };
            prop_assert!(called.iter().any(wanted), "nobody wants {key} of {ran:?}");
        }
        prop_assert!(ran.keys.contains(&led[0].load.key), "led by a caller of another batch: {ran:?}");
        prop_assert!(led[0].got != Got::TimedOut, "whoever leads is never interrupted");
        let unwound = led[0].got == Got::Unwound { batch };
        prop_assert_eq!(unwound, matches!(act(batch), Act::Panic), "{:?}", led[0]);
    }

    for c in called {
        // Its batch started after it called, and ended before it returned.
        let of = |batch: usize| c.call < ran[batch].start && ran[batch].end < c.end;
        let aboard = |batch: usize| of(batch) && ran[batch].keys.contains(&c.load.key);
        let explained = match c.got {
            Got::Value { key, batch } => {
                key == c.load.key
                    && aboard(batch)
                    && match act(batch) {
                        Act::Answer => true,
                        Act::Forget(forgotten) => forgotten != key,
                        Act::Fail => script.per_key && key % 2 == 1,
                        Act::Panic => false,
                    }
            }
            Got::Work { batch } => {
                aboard(batch) && matches!(act(batch), Act::Fail) && (!script.per_key || c.load.key % 2 == 0)
            }
            Got::Panicked { batch } => {
                aboard(batch) && matches!(act(batch), Act::Panic) && ran[batch].leader != c.thread
            }
            Got::Unwound { batch } => {
                aboard(batch) && matches!(act(batch), Act::Panic) && ran[batch].leader == c.thread
            }
            Got::Missing => {
                (0..ran.len()).any(|batch| aboard(batch) && matches!(act(batch), Act::Forget(key) if key == c.load.key))
            }
            Got::TimedOut => c.load.timeout.is_some(),
        };
        prop_assert!(explained, "no batch explains {c:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises(script in scripts()) {
        let (ran, called, batcher) = {
            let script = script.clone();
            within(move || run(&script))
        };
        judge(&script, &ran, &called)?;

        prop_assert_eq!((batcher.waiting(), batcher.queued()), (0, 0));
        let stats = batcher.stats();
        let count = |got: fn(&Got) -> bool| called.iter().filter(|c| got(&c.got)).count() as u64;
        prop_assert_eq!(stats.loads, called.len() as u64);
        prop_assert_eq!(stats.batches, ran.len() as u64);
        prop_assert_eq!(stats.keys, ran.iter().map(|ran| ran.keys.len() as u64).sum::<u64>());
        prop_assert_eq!(stats.timed_out, count(|got| matches!(got, Got::TimedOut)));
        prop_assert_eq!(stats.missing, count(|got| matches!(got, Got::Missing)));
        prop_assert_eq!(stats.panicked, count(|got| matches!(got, Got::Unwound { .. })));
        let mut sizes = HashMap::new();
        for ran in &ran {
            *sizes.entry(ran.keys.len().ilog2()).or_insert(0) += 1;
        }
        for (range, count) in stats.sizes() {
            prop_assert_eq!(sizes.remove(&range.start().ilog2()), Some(count));
        }
        prop_assert!(sizes.is_empty());
    }
}
