//! `Batcher` under shuttle: every wait is a point where somebody may be lost, and every timeout is a coin toss.

use crate::harness::explore_for;
use flight_group::{Batcher, Error};
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn check(scenario: impl Fn() + Send + Sync + 'static) {
    explore_for(3, scenario);
}

#[derive(Clone, Copy)]
struct Caller {
    key: u32,
    timed: bool,
}

const fn caller(key: u32) -> Caller {
    Caller { key, timed: false }
}

const fn timed(key: u32) -> Caller {
    Caller { key, timed: true }
}

#[derive(Clone, Copy, Default)]
struct Setting {
    window: bool,
    max_batch: Option<usize>,
    /// The function panics when it sees this key.
    panics_on: Option<u32>,
}

/// What the function returns for a key: who made it, and when.
#[derive(Clone, Debug)]
struct Made {
    key: u32,
    batch: usize,
    started: usize,
    leader: thread::ThreadId,
}

/// What the function saw, and the clock everybody reads.
#[derive(Default)]
struct World {
    clock: AtomicUsize,
    running: AtomicBool,
    /// The keys, and the thread that ran them.
    batches: Mutex<Vec<(Vec<u32>, thread::ThreadId)>>,
}

impl World {
    fn run(&self, setting: Setting, keys: &[u32]) -> HashMap<u32, Made> {
        assert!(!self.running.swap(true, SeqCst), "two batches overlap");
        let started = self.clock.fetch_add(1, SeqCst);
        let distinct: HashSet<_> = keys.iter().collect();
        assert!(!keys.is_empty() && distinct.len() == keys.len(), "keys are not distinct: {keys:?}");
        assert!(keys.len() <= setting.max_batch.unwrap_or(usize::MAX), "too many keys: {keys:?}");
        let leader = thread::current().id();
        let batch = {
            let mut batches = self.batches.lock().unwrap();
            batches.push((keys.to_vec(), leader));
            batches.len() - 1
        };
        thread::yield_now();
        assert!(self.running.swap(false, SeqCst));
        if keys.iter().any(|&key| setting.panics_on == Some(key)) {
            panic!("bad key");
        }
        keys.iter().map(|&key| (key, Made { key, batch, started, leader })).collect()
    }
}

/// How a caller's load ended: the thread it ran on, and what it got; `Err(())` where it unwound.
type End = (Caller, thread::ThreadId, Result<Result<Made, Error<()>>, ()>);

/// Runs the callers at once, each on a thread of its own, and judges what each of them got.
fn play(setting: Setting, callers: &[Caller]) {
    let world = Arc::new(World::default());
    let mut builder = Batcher::builder();
    if setting.window {
        builder = builder.window(Duration::from_secs(5));
    }
    if let Some(keys) = setting.max_batch {
        builder = builder.max_batch(keys);
    }
    let batcher: Batcher<u32, Made, ()> = builder.build({
        let world = Arc::clone(&world);
        move |keys: &[u32]| Ok(world.run(setting, keys))
    });

    let threads: Vec<_> = callers
        .iter()
        .map(|&caller| {
            let (world, batcher) = (Arc::clone(&world), batcher.clone());
            thread::spawn(move || -> End {
                let called = world.clock.fetch_add(1, SeqCst);
                let mut call = batcher.call(&caller.key);
                if caller.timed {
                    // Before the window closes, or after it.
                    call = call.timeout(Duration::from_secs(if caller.key % 2 == 1 { 1 } else { 9 }));
                }
                let got = catch_unwind(AssertUnwindSafe(|| call.load())).map_err(drop);
                if let Ok(Ok(made)) = &got {
                    assert_eq!(made.key, caller.key);
                    assert!(called < made.started, "the batch started before the call");
                }
                (caller, thread::current().id(), got)
            })
        })
        .collect();
    let ends: Vec<End> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();

    assert_eq!((batcher.waiting(), batcher.queued()), (0, 0), "something is left behind");
    let batches = world.batches.lock().unwrap().clone();
    judge(setting, &ends, &batches);
    let stats = batcher.stats();
    assert_eq!(stats.loads, callers.len() as u64);
    assert_eq!(stats.batches, batches.len() as u64);
    assert_eq!(stats.keys, batches.iter().map(|(keys, _)| keys.len() as u64).sum::<u64>());
    assert_eq!(
        stats.timed_out,
        ends.iter().filter(|(_, _, got)| matches!(got, Ok(Err(Error::TimedOut(_))))).count() as u64
    );

    if setting.panics_on.is_none() {
        assert_eq!(batcher.load(&99).unwrap().key, 99, "the batcher works on");
    }
}

fn judge(setting: Setting, ends: &[End], batches: &[(Vec<u32>, thread::ThreadId)]) {
    for (caller, _, got) in ends {
        match got {
            Ok(Ok(made)) => assert!(batches[made.batch].0.contains(&caller.key)),
            Ok(Err(Error::TimedOut(_))) => assert!(caller.timed),
            Ok(Err(Error::Panicked(_))) | Err(()) => assert!(setting.panics_on.is_some()),
            Ok(Err(other)) => panic!("unexpected {other:?}"),
        }
    }
    for (number, (keys, leader)) in batches.iter().enumerate() {
        let (caller, _, got) = ends.iter().find(|(_, thread, _)| thread == leader).expect("led by a caller");
        assert!(keys.contains(&caller.key), "led by a caller of another batch");
        let panicked = keys.iter().any(|&key| setting.panics_on == Some(key));
        match got {
            Ok(Ok(made)) => assert_eq!((made.batch, made.leader), (number, *leader)),
            Err(()) => assert!(panicked),
            other => panic!("the leader of a batch got {other:?}"),
        }
        if !panicked {
            // Whoever is in a batch's keys is there because somebody wanted it, then or until it started.
            assert!(keys.iter().all(|key| ends.iter().any(|(caller, ..)| caller.key == *key)));
        }
    }
    // A panic unwinds in the leaders of the batches it hit, and nowhere else.
    let unwound = ends.iter().filter(|(_, _, got)| got.is_err()).count();
    let hit = batches.iter().filter(|(keys, _)| keys.iter().any(|&key| setting.panics_on == Some(key))).count();
    assert_eq!(unwound, hit);
}

#[test]
fn whoever_queues_forms_the_next_batch() {
    check(|| play(Setting::default(), &[caller(1), caller(2), caller(3), caller(2)]));
}

#[test]
fn a_full_batch_is_closed_and_the_rest_forms_the_next() {
    let setting = Setting { max_batch: Some(2), ..Setting::default() };
    check(move || play(setting, &[caller(1), caller(2), caller(3), caller(4), caller(4)]));
}

#[test]
fn batches_of_one_take_turns() {
    let setting = Setting { max_batch: Some(1), ..Setting::default() };
    check(move || play(setting, &[caller(1), caller(2), timed(2), caller(3)]));
}

#[test]
fn a_timed_out_caller_hands_over() {
    check(|| play(Setting::default(), &[caller(1), timed(2), timed(3), caller(4)]));
    check(|| play(Setting::default(), &[caller(1), timed(2), timed(3)]));
}

#[test]
fn a_timed_out_caller_leaves_its_place_to_those_who_share_it() {
    let setting = Setting { max_batch: Some(2), ..Setting::default() };
    check(move || play(setting, &[caller(1), timed(2), caller(2), timed(3), timed(4)]));
}

#[test]
fn a_window_closes_when_its_keeper_says_so() {
    let setting = Setting { window: true, ..Setting::default() };
    check(move || play(setting, &[caller(1), caller(2), caller(1)]));
}

#[test]
fn a_keeper_that_gives_up_hands_the_window_over() {
    let setting = Setting { window: true, ..Setting::default() };
    check(move || play(setting, &[timed(1), caller(2), timed(4)]));
    check(move || play(setting, &[timed(1), timed(2), timed(1)]));
}

#[test]
fn a_window_ends_when_the_batch_is_full() {
    let setting = Setting { window: true, max_batch: Some(2), ..Setting::default() };
    check(move || play(setting, &[caller(1), timed(2), caller(3), caller(4)]));
}

#[test]
fn a_panic_reaches_its_batch_and_no_other() {
    let setting = Setting { panics_on: Some(2), ..Setting::default() };
    check(move || play(setting, &[caller(1), caller(2), caller(3), timed(4)]));
    let setting = Setting { window: true, max_batch: Some(2), panics_on: Some(2) };
    check(move || play(setting, &[caller(1), caller(2), caller(3)]));
}

/// Followers are woken in a chain, each passing on: with more of them than one link wakes, none may be left.
#[test]
fn every_sleeper_is_woken() {
    check(|| {
        play(Setting::default(), &[caller(1), caller(2), caller(2), timed(2), caller(3), timed(3), caller(4)]);
    });
}

/// Several keys of one caller, beside single loads and one that gives up: each key has its answer, and nothing is left.
#[test]
fn many_keys_of_one_caller() {
    check(|| {
        let world = Arc::new(World::default());
        let setting = Setting { max_batch: Some(2), ..Setting::default() };
        let batcher: Batcher<u32, Made, ()> = Batcher::builder().max_batch(2).build({
            let world = Arc::clone(&world);
            move |keys: &[u32]| Ok(world.run(setting, keys))
        });
        let many = |keys: &'static [u32], timed: bool| {
            let (world, batcher) = (Arc::clone(&world), batcher.clone());
            thread::spawn(move || {
                let called = world.clock.fetch_add(1, SeqCst);
                let call = batcher.call(keys);
                let call = if timed { call.timeout(Duration::from_secs(1)) } else { call };
                let found = call.load_many();
                assert_eq!(found.len(), keys.len());
                for (key, part) in found {
                    match part {
                        Ok(made) => assert!(made.key == key && called < made.started, "{made:?}"),
                        Err(error) => assert!(timed && error.is_timed_out(), "{error:?}"),
                    }
                }
            })
        };
        let callers = [many(&[1, 2, 3], false), many(&[3, 4], true), many(&[2], false)];
        assert_eq!(batcher.load(&3).unwrap().key, 3);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!((batcher.waiting(), batcher.queued()), (0, 0));
        assert_eq!(batcher.load_many(&[7, 8, 9]).len(), 3, "the batcher works on");
    });
}
