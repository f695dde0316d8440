//! Writes: one closure per key at a time, and every caller covered by a run that started after it came.

use crate::measure::{Contestant, Mark, Metric, Workload, of};
use crate::quantile::Sorted;
use crate::workloads::{Depth, Planned, plan};
use flight_group::WriteGroup;
use flight_group_peers::contestants::{Fast, OURS};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const THREADS: u64 = 64;
const WRITE: Duration = Duration::from_micros(100);

/// Serialized writes by key; returns what the run that covers the call returned.
trait Writes: Send + Sync {
    fn write(&self, key: u64, work: impl FnOnce() -> u64) -> u64;
}

struct Ours(WriteGroup<u64, u64, Infallible, Fast>);

impl Writes for Ours {
    fn write(&self, key: u64, work: impl FnOnce() -> u64) -> u64 {
        self.0.write(&key, work)
    }
}

/// What people write: a mutex for every key. Every write runs.
struct MutexPerKey<M>(parking_lot::Mutex<HashMap<u64, Arc<M>, Fast>>);

impl<M: Default> MutexPerKey<M> {
    fn new() -> Self {
        Self(parking_lot::Mutex::new(HashMap::default()))
    }

    fn of(&self, key: u64) -> Arc<M> {
        self.0.lock().entry(key).or_default().clone()
    }
}

impl Writes for MutexPerKey<std::sync::Mutex<()>> {
    fn write(&self, key: u64, work: impl FnOnce() -> u64) -> u64 {
        let mutex = self.of(key);
        let _guard = mutex.lock().unwrap();
        work()
    }
}

impl Writes for MutexPerKey<parking_lot::Mutex<()>> {
    fn write(&self, key: u64, work: impl FnOnce() -> u64) -> u64 {
        let mutex = self.of(key);
        let _guard = mutex.lock();
        work()
    }
}

/// Executions in per cent of calls, wall in ms, wall over (executions x one lone write), overlapping runs, lost
/// writes (covered by a run that had started before the call came).
fn one_key<W: Writes>(writes: &W, calls_per_thread: u64) -> Vec<f64> {
    let lone = Sorted::new((0..31).map(|_| {
        let began = Instant::now();
        writes.write(1, || {
            std::thread::sleep(WRITE);
            0
        });
        began.elapsed()
    }));
    let lone = lone.quantile(0.5).expect("there are 31");
    let clock = AtomicU64::new(1);
    let (runs, overlaps, lost) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let running = AtomicBool::new(false);
    let ready = Barrier::new(THREADS as usize + 1);
    let wall = std::thread::scope(|s| {
        let writers: Vec<_> = (0..THREADS)
            .map(|_| {
                s.spawn(|| {
                    ready.wait();
                    for _ in 0..calls_per_thread {
                        let came = clock.fetch_add(1, SeqCst);
                        let covered_by = writes.write(7, || {
                            let started = clock.fetch_add(1, SeqCst);
                            runs.fetch_add(1, SeqCst);
                            if running.swap(true, SeqCst) {
                                overlaps.fetch_add(1, SeqCst);
                            }
                            std::thread::sleep(WRITE);
                            running.store(false, SeqCst);
                            started
                        });
                        if covered_by < came {
                            lost.fetch_add(1, SeqCst);
                        }
                    }
                })
            })
            .collect();
        ready.wait();
        let began = Instant::now();
        for writer in writers {
            writer.join().expect("writers do not panic");
        }
        began.elapsed().as_secs_f64()
    });
    let runs = runs.into_inner() as f64;
    vec![
        runs / (THREADS * calls_per_thread) as f64 * 100.0,
        wall * 1e3,
        wall / (runs * lone.as_secs_f64()),
        overlaps.into_inner() as f64,
        lost.into_inner() as f64,
    ]
}

/// Milliseconds until 64 threads have each written their own key so many times.
fn own_keys<W: Writes>(writes: &W, calls_per_thread: u64) -> Vec<f64> {
    let ready = Barrier::new(THREADS as usize + 1);
    std::thread::scope(|s| {
        let writers: Vec<_> = (0..THREADS)
            .map(|key| {
                let ready = &ready;
                s.spawn(move || {
                    ready.wait();
                    for _ in 0..calls_per_thread {
                        writes.write(key, || {
                            std::thread::sleep(WRITE);
                            0
                        });
                    }
                })
            })
            .collect();
        ready.wait();
        let began = Instant::now();
        for writer in writers {
            writer.join().expect("writers do not panic");
        }
        vec![began.elapsed().as_secs_f64() * 1e3]
    })
}

const MUTEX_PL: &str = "mutex per key, parking_lot";
const MUTEX_STD: &str = "mutex per key, std";

fn contestants(measure: impl Measure + Clone + 'static) -> Vec<Contestant> {
    fn contestant<W: Writes + 'static>(name: &str, make: fn() -> W, measure: impl Measure + 'static) -> Contestant {
        Contestant { name: name.to_owned(), run: Box::new(move || measure.measure(&make())) }
    }
    vec![
        contestant(OURS, || Ours(WriteGroup::with_hasher(Fast::default())), measure.clone()),
        contestant(MUTEX_PL, MutexPerKey::<parking_lot::Mutex<()>>::new, measure.clone()),
        contestant(MUTEX_STD, MutexPerKey::<std::sync::Mutex<()>>::new, measure),
    ]
}

trait Measure {
    fn measure<W: Writes>(&self, writes: &W) -> Vec<f64>;
}

#[derive(Clone)]
struct OneKey(u64);

impl Measure for OneKey {
    fn measure<W: Writes>(&self, writes: &W) -> Vec<f64> {
        one_key(writes, self.0)
    }
}

#[derive(Clone)]
struct OwnKeys(u64);

impl Measure for OwnKeys {
    fn measure<W: Writes>(&self, writes: &W) -> Vec<f64> {
        own_keys(writes, self.0)
    }
}

pub fn plans(depth: Depth) -> Vec<Planned> {
    let (calls, rounds) = (depth.pick(50, 200), depth.pick(2, 9));
    let (own_calls, own_rounds) = (depth.pick(50, 200), depth.pick(5, 25));
    vec![
        plan("writes-one-key", 0.004 * calls as f64, rounds * 3, move || Workload {
            title: format!("WriteGroup, 64 threads x {calls} writes of 100 us on one key"),
            method: "A write sleeps 100 us. A write is lost if its call is covered by a run that started before the \
                call came. One lone write is measured just before, in the same round."
                .to_owned(),
            metrics: vec![
                Metric { name: "executions", unit: "% of calls" },
                Metric { name: "wall", unit: "ms" },
                Metric { name: "wall over", unit: "runs x one write" },
                Metric { name: "overlaps", unit: "runs" },
                Metric { name: "lost", unit: "writes" },
            ],
            contestants: contestants(OneKey(calls)),
            rounds,
            marks: vec![
                Mark::absolute("runs, % of calls", of(OURS, 0), if calls == 200 { 3.5 } else { 6.0 }).on_page(),
                Mark::absolute("wall time over (runs x one lone write)", of(OURS, 2), 1.25).on_page(),
                Mark::absolute("runs that overlap", of(OURS, 3), 0.0).on_page(),
                Mark::absolute("lost writes", of(OURS, 4), 0.0).on_page(),
            ],
            reference: OURS.to_owned(),
        }),
        plan("writes-own-keys", 0.00025 * own_calls as f64, own_rounds * 3, move || Workload {
            title: format!("WriteGroup, 64 threads x {own_calls} writes of 100 us on 64 keys"),
            method: "Every thread writes a key of its own: nothing to collapse, nobody to wait for.".to_owned(),
            metrics: vec![Metric { name: "wall", unit: "ms" }],
            contestants: contestants(OwnKeys(own_calls)),
            rounds: own_rounds,
            marks: vec![Mark::at_most("wall time", of(OURS, 0), of(MUTEX_PL, 0), 1.05).on_page()],
            reference: OURS.to_owned(),
        }),
    ]
}
