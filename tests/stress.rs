//! Every verb of both groups from many threads at once, for a bounded number of operations: a test like any other,
//! and what ThreadSanitizer is given to watch (`.ci/run` has the command). Everything here that threads share is
//! ordered by the groups alone, or by locks the sanitizer knows: parking_lot's, not std's, whose code it has not
//! instrumented.
#![cfg(not(any(flight_group_shuttle, flight_group_loom)))]

use flight_group::{Error, EventKind, Group, Job, WriteGroup};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::spawn;
use std::time::Duration;

/// `FLIGHT_GROUP_STRESS` multiplies the number of operations.
fn operations() -> u64 {
    let times = std::env::var("FLIGHT_GROUP_STRESS").ok().map_or(1, |n| n.parse::<u64>().expect("a number"));
    1500 * times
}

/// A value whose clones are made by many threads at once, with something behind a pointer to race for.
type Value = Arc<[AtomicU64; 4]>;

fn value(n: u64) -> Value {
    let value = Value::default();
    value.iter().for_each(|cell| cell.store(n, Relaxed));
    value
}

fn whole(value: &Value) -> u64 {
    let first = value[0].load(Relaxed);
    assert!(value.iter().all(|cell| cell.load(Relaxed) == first), "seen before it was whole");
    first
}

/// Not `rand`: a thread's own sequence, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn reads(group: &Group<u64, Value, u64>, dice: &mut Dice, n: u64) {
    let key = dice.roll(3);
    let fails = dice.roll(5) == 0;
    let work = move || if fails { Err(n) } else { Ok(value(n)) };
    let wait = Duration::from_micros(dice.roll(120));
    let result = match dice.roll(13) {
        0 => group.call(&key).fresh().run(work),
        1 => group.call(&key).timeout(wait).run(work),
        2 => group.call(&key).fresh().timeout(wait).run(work),
        3 => group.call(&key).takeover_after(wait).run(work),
        4 => match group.call(&key).follow() {
            Some(result) => result,
            None => return,
        },
        5 => group.spawn(&key, work).recv().expect("an outcome"),
        6 => return drop(group.spawn_fresh(&key, work)),
        7 => {
            group.forget(&key);
            return;
        }
        8 => {
            let inner = group.try_work(&key, || match group.try_work(&key, work) {
                Ok(value) => Ok(value), // forgotten meanwhile
                Err(error) => Err(if error.is_deadlock() { 0 } else { 1 }),
            });
            return drop(inner);
        }
        9 => {
            return drop(catch_unwind(AssertUnwindSafe(|| group.try_work(&key, || resume_unwind(Box::new(n))))));
        }
        10 => {
            let found = group.work_many(&[0, 1, 2], |missing| Ok(missing.iter().map(|key| (*key, value(n))).collect()));
            for landing in found.values().flatten() {
                whole(&landing.value);
            }
            return;
        }
        11 => {
            group.flights();
            group.stats();
            group.followers(&key);
            return;
        }
        _ => group.call(&key).run(work),
    };
    match result {
        Ok(landing) => {
            whole(&landing.value);
        }
        Err(Error::Missing(_) | Error::Deadlock(_)) => panic!("neither is possible here"),
        Err(_) => {}
    }
}

fn writes(group: &WriteGroup<u64, Value, u64>, dice: &mut Dice, plain: &[AtomicU64], n: u64) {
    let key = dice.roll(2);
    let fails = dice.roll(7) == 0;
    let wait = Duration::from_micros(dice.roll(120));
    let write = || {
        // Load and store: the key is the lock. A lost update is a breach of P1 or P9.
        let cell = &plain[key as usize];
        let seen = cell.load(Relaxed);
        cell.store(seen + 1, Relaxed);
        if fails { Err(n) } else { Ok(value(seen)) }
    };
    let result = match dice.roll(5) {
        0 => group.call(&key).timeout(wait).run(write),
        1 => match group.call(&key).flush() {
            Some(result) => result,
            None => return,
        },
        _ => group.call(&key).run(write),
    };
    if let Ok(landing) = result {
        whole(&landing.value);
    }
}

fn hammer(body: impl Fn(u64, u64, &mut Dice) + Send + Sync + 'static) {
    let body = Arc::new(body);
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            let body = body.clone();
            spawn(move || {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (thread + 1));
                for n in 0..operations() / 8 {
                    body(thread, n, &mut dice);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap_or_else(|payload| resume_unwind(payload));
    }
}

/// A pool of two, so that spawned flights do not make a thread each.
fn pool() -> (impl Fn(Job) + Send + Sync + 'static, Vec<std::thread::JoinHandle<()>>) {
    let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
    let workers = (0..2).map(|_| {
        let queue = queue.clone();
        spawn(move || queue.into_iter().for_each(Job::run))
    });
    let workers = workers.collect();
    (move |job| jobs.send(job).expect("the workers are there"), workers)
}

#[test]
fn reads_from_all_sides() {
    let (executor, workers) = pool();
    let group: Group<u64, Value, u64> = Group::builder().executor(executor).build();
    let own = group.clone();
    hammer(move |_, n, dice| reads(&own, dice, n));
    while group.in_flight() > 0 {
        std::thread::yield_now(); // spawned flights whose receivers were dropped
    }
    drop(group);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn reads_under_every_setting() {
    let (executor, workers) = pool();
    let told = Arc::new(Mutex::new(0u64));
    let count = told.clone();
    let group: Group<u64, Value, u64> = Group::builder()
        .name("stress")
        .debug_keys()
        .shards(1)
        .max_age(Duration::from_micros(300))
        .max_followers(5)
        .share_failures(false)
        .observer(move |event| {
            if let EventKind::Landed { .. } = event.kind {
                *count.lock() += 1;
            }
        })
        .executor(executor)
        .build();
    let own = group.clone();
    hammer(move |_, n, dice| reads(&own, dice, n));
    while group.in_flight() > 0 {
        std::thread::yield_now();
    }
    drop(group);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert!(*told.lock() > 0);
}

#[test]
fn writes_from_all_sides() {
    let group: WriteGroup<u64, Value, u64> = WriteGroup::new();
    let plain: Arc<[AtomicU64; 2]> = Arc::default();
    let (own, cells) = (group.clone(), plain.clone());
    hammer(move |_, n, dice| writes(&own, dice, &cells[..], n));
    assert_eq!(group.in_flight(), 0);
    let written: u64 = plain.iter().map(|cell| cell.load(Relaxed)).sum();
    assert_eq!(written, group.stats().led, "an update was lost: two runs of a key overlapped");
}

/// What a write wrote, plainly, a read that starts after it sees: the groups alone order them.
#[test]
fn writes_that_invalidate_reads() {
    let reads: Group<u64, u64> = Group::new();
    let writes: WriteGroup<u64, u64> = WriteGroup::builder().invalidates(&reads).build();
    let stored: Arc<[Mutex<u64>; 2]> = Arc::default();
    hammer(move |thread, _, dice| {
        let key = dice.roll(2);
        let cell = &stored[key as usize];
        if thread % 2 == 0 {
            reads.work(&key, || *cell.lock());
            return;
        }
        let before = *cell.lock();
        writes.write(&key, || {
            let mut cell = cell.lock();
            *cell += 1;
            *cell
        });
        assert!(reads.work(&key, || *cell.lock()) > before, "a read after the write saw the value from before it");
    });
}

/// Values that are dropped by whoever is last, on whichever thread: P9 for the memory itself.
#[test]
fn values_are_freed_once_and_after_use() {
    let group: Group<u64, Arc<Mutex<Vec<u64>>>> = Group::new();
    let alive = Arc::new(());
    let (own, keep) = (group.clone(), alive.clone());
    hammer(move |_, n, dice| {
        let key = dice.roll(2);
        let value = own.work(&key, || {
            let _keep = keep.clone();
            Arc::new(Mutex::new(vec![n; 4]))
        });
        value.lock().push(n);
    });
    assert_eq!(group.in_flight(), 0);
    drop(group);
    assert_eq!(Arc::strong_count(&alive), 1);
}
