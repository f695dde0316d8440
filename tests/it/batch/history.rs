//! Generated histories: callers with one key or several, deadlines and pauses; a function that answers, forgets, fails
//! and panics. Every run is logged with one clock, and judged by a checker that knows the promises and not the code.

use crate::support::within;
use flight_group::{Batcher, Error};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// What a call asks for.
#[derive(Clone, Debug)]
enum Ask {
    /// `load`.
    One(u8),
    /// `load_many`: any number of keys, some of them twice.
    Many(Vec<u8>),
}

impl Ask {
    fn keys(&self) -> HashSet<u8> {
        match self {
            Ask::One(key) => HashSet::from([*key]),
            Ask::Many(keys) => keys.iter().copied().collect(),
        }
    }
}

/// One call in a thread's script.
#[derive(Clone, Debug)]
struct Load {
    ask: Ask,
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
    let ask = prop_oneof![(0..6_u8).prop_map(Ask::One), prop::collection::vec(0..6_u8, 0..7).prop_map(Ask::Many)];
    let load = (ask, timeout, 0..20_u8).prop_map(|(ask, timeout, pause)| Load { ask, timeout, pause });
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

/// A call of `load` or `load_many`, from the caller's. Values, errors and panics carry the number of their batch.
#[derive(Debug)]
struct Called {
    load: Load,
    thread: ThreadId,
    call: usize,
    end: usize,
    /// A part for each key. Or the number of the batch whose panic went on in this call, and took all parts with it.
    got: Result<HashMap<u8, Got>, usize>,
}

#[derive(Debug, PartialEq)]
enum Got {
    Value { key: u8, batch: usize },
    Work { batch: usize },
    Panicked { batch: usize },
    Missing,
    TimedOut,
}

impl Got {
    /// The batch it came from, where it tells.
    fn batch(&self) -> Option<usize> {
        match *self {
            Got::Value { batch, .. } | Got::Work { batch } | Got::Panicked { batch } => Some(batch),
            Got::Missing | Got::TimedOut => None,
        }
    }
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
                    loads.iter().map(|load| one(batcher, clock, load)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let ran = ran.lock().unwrap().clone();
    (ran, called, batcher)
}

fn one(batcher: &Subject, clock: &AtomicUsize, load: &Load) -> Called {
    for _ in 0..load.pause {
        thread::yield_now();
    }
    let call = clock.fetch_add(1, SeqCst);
    let parts = catch_unwind(AssertUnwindSafe(|| match (&load.ask, load.timeout) {
        (Ask::One(key), None) => HashMap::from([(*key, batcher.load(key))]),
        (Ask::One(key), Some(timeout)) => HashMap::from([(*key, batcher.call(key).timeout(timeout).load())]),
        (Ask::Many(keys), None) => batcher.load_many(keys),
        (Ask::Many(keys), Some(timeout)) => batcher.call(keys).timeout(timeout).load_many(),
    }));
    let end = clock.fetch_add(1, SeqCst);
    let got = match parts {
        Ok(parts) => Ok(parts.into_iter().map(|(key, part)| (key, read(part))).collect()),
        Err(payload) => Err(payload.downcast_ref::<String>().unwrap().parse().unwrap()),
    };
    Called { load: load.clone(), thread: thread::current().id(), call, end, got }
}

fn read(part: Result<(u8, usize), Error<usize>>) -> Got {
    match part {
        Ok((key, batch)) => Got::Value { key, batch },
        Err(Error::Work(batch)) => Got::Work { batch },
        Err(Error::Panicked(panic)) => Got::Panicked { batch: panic.message().parse().unwrap() },
        Err(Error::Missing(_)) => Got::Missing,
        Err(Error::TimedOut(_)) => Got::TimedOut,
        Err(other) => panic!("unexpected {other:?}"),
    }
}

/// A log, and the promises about a single key of a single call.
struct Log<'a> {
    script: &'a Script,
    ran: &'a [Ran],
}

impl Log<'_> {
    fn act(&self, batch: usize) -> Act {
        self.script.acts[batch % self.script.acts.len()]
    }

    /// The batch had this key, started after the call, and ended before the call returned.
    fn aboard(&self, c: &Called, key: u8, batch: usize) -> bool {
        let ran = &self.ran[batch];
        ran.keys.contains(&key) && c.call < ran.start && ran.end < c.end
    }

    /// This batch can be what the call got `got` for this key from.
    fn answers(&self, c: &Called, key: u8, got: &Got, batch: usize) -> bool {
        let led = self.ran[batch].leader == c.thread;
        self.aboard(c, key, batch)
            && got.batch().is_none_or(|told| told == batch)
            && match (got, self.act(batch)) {
                (Got::Value { key: of, .. }, act) => {
                    *of == key
                        && match act {
                            Act::Answer => true,
                            Act::Forget(forgotten) => forgotten != key,
                            Act::Fail => self.script.per_key && key % 2 == 1,
                            Act::Panic => false,
                        }
                }
                (Got::Work { .. }, Act::Fail) => !self.script.per_key || key % 2 == 0,
                (Got::Panicked { .. }, Act::Panic) => !led,
                (Got::Missing, Act::Forget(forgotten)) => forgotten == key,
                _ => false,
            }
    }

    /// The call can have brought the key to this batch: the answer is from there, or was lost when the call unwound,
    /// with this batch or with a later one.
    fn served(&self, c: &Called, key: u8, batch: usize) -> bool {
        match &c.got {
            Ok(parts) => parts.get(&key).is_some_and(|got| self.answers(c, key, got, batch)),
            Err(unwound) => batch <= *unwound && c.load.ask.keys().contains(&key) && self.aboard(c, key, batch),
        }
    }
}

/// Judges a log by the promises alone.
fn judge(script: &Script, ran: &[Ran], called: &[Called]) -> Result<(), TestCaseError> {
    let log = Log { script, ran };
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
        // It leads for a key of its own, and no deadline interrupts that.
        let own = ran.keys.iter().any(|&key| log.served(led[0], key, batch));
        prop_assert!(own, "{ran:?} answers no key of its leader: {:?}", led[0]);
        let unwound = led[0].got == Err(batch);
        prop_assert_eq!(unwound, matches!(log.act(batch), Act::Panic), "{:?}", led[0]);
        // A batch starts when its leader takes it out of the queue, a moment before the function can say so. Until
        // then a caller that gives up withdraws its key, and from then on it does not. That moment comes after the
        // end of the batch before it, and after the leader's call.
        let opened = batch.checked_sub(1).map_or(0, |before| log.ran[before].end).max(led[0].call);
        for &key in &ran.keys {
            let wanted = |c: &Called| {
                let gave_up = || c.got.as_ref().is_ok_and(|parts| parts.get(&key) == Some(&Got::TimedOut));
                log.served(c, key, batch) || (gave_up() && c.call < ran.start && opened < c.end)
            };
            prop_assert!(called.iter().any(wanted), "nobody wants {key} of {ran:?}");
        }
    }

    // Where no caller gives up, no key leaves a batch.
    let steady = script.threads.iter().flatten().all(|load| load.timeout.is_none());
    for c in called {
        let parts = match &c.got {
            Ok(parts) => parts,
            Err(batch) => {
                let led = ran[*batch].leader == c.thread && matches!(log.act(*batch), Act::Panic);
                let aboard = c.load.ask.keys().iter().any(|&key| log.aboard(c, key, *batch));
                prop_assert!(led && aboard, "no batch explains {c:?}");
                continue;
            }
        };
        prop_assert_eq!(parts.keys().copied().collect::<HashSet<_>>(), c.load.ask.keys(), "a part for each key");
        for (&key, got) in parts {
            let explained = match got {
                Got::TimedOut => c.load.timeout.is_some(),
                got => (0..ran.len()).any(|batch| log.answers(c, key, got, batch)),
            };
            prop_assert!(explained, "no batch explains {key}'s part of {c:?}");
        }
        // The keys go together. A call has several batches only where one had no room for all its keys.
        if script.max_batch == usize::MAX && parts.values().any(|got| *got != Got::TimedOut) {
            let together = |batch| parts.iter().all(|(&key, got)| log.answers(c, key, got, batch));
            prop_assert!((0..ran.len()).any(together), "not one batch: {c:?}");
        }
        let batches: HashSet<usize> = parts.values().filter_map(Got::batch).collect();
        for &batch in &batches {
            let last = batches.iter().all(|&other| other <= batch);
            let full = ran[batch].keys.len() == script.max_batch;
            prop_assert!(last || full || !steady, "there was room for more keys in {:?}: {c:?}", ran[batch]);
        }
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
        let parts = || called.iter().filter_map(|c| c.got.as_ref().ok()).flat_map(HashMap::values);
        let count = |got: Got| parts().filter(|part| **part == got).count() as u64;
        let asked = |c: &Called| c.load.ask.keys().len() as u64;
        prop_assert_eq!(stats.loads, called.iter().map(asked).sum::<u64>());
        prop_assert_eq!(stats.batches, ran.len() as u64);
        prop_assert_eq!(stats.keys, ran.iter().map(|ran| ran.keys.len() as u64).sum::<u64>());
        prop_assert_eq!(stats.timed_out, count(Got::TimedOut));
        // A call that unwinds loses the parts that it had, and they stay counted.
        let unwound = || called.iter().filter(|c| c.got.is_err());
        let lost: u64 = unwound().map(|c| asked(c) - 1).sum();
        let missing = count(Got::Missing);
        prop_assert!((missing..=missing + lost).contains(&stats.missing), "{stats:?}, {missing}, {lost}");
        prop_assert_eq!(stats.panicked, unwound().count() as u64);
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
