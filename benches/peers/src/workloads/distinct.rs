//! Threads that want different keys: they must not get into each other's way.

use crate::measure::{Contestant, Mark, Metric, Workload, of};
use crate::workloads::{Depth, Planned, plan};
use flight_group_peers::contestants::{Fast, Flights, OURS, SINGLE, Single, Visitor, each};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const KEYS_PER_THREAD: u64 = 64;

struct Distinct {
    window: Duration,
    contestants: Vec<Contestant>,
}

impl Visitor<u64> for Distinct {
    fn visit<C: Flights<u64> + 'static>(&mut self, name: &str, make: impl Fn() -> C + Send + Sync + 'static) {
        let window = self.window;
        let run = Box::new(move || [1, 2, 8].map(|threads| rate(&make(), threads, window)).to_vec());
        self.contestants.push(Contestant { name: name.to_owned(), run });
    }
}

/// Millions of calls a second, all threads together.
fn rate<C: Flights<u64>>(contestant: &C, threads: u64, window: Duration) -> f64 {
    let (calls, stop, ready) = (AtomicU64::new(0), AtomicBool::new(false), Barrier::new(threads as usize + 1));
    let took = std::thread::scope(|s| {
        for thread in 0..threads {
            let (calls, stop, ready) = (&calls, &stop, &ready);
            s.spawn(move || {
                let first = thread * KEYS_PER_THREAD;
                let mut made = 0;
                ready.wait();
                while !stop.load(Relaxed) {
                    for key in first..first + KEYS_PER_THREAD {
                        black_box(contestant.work(black_box(&key), || black_box(key)));
                    }
                    made += KEYS_PER_THREAD;
                }
                calls.fetch_add(made, Relaxed);
            });
        }
        ready.wait();
        let began = Instant::now();
        std::thread::sleep(window);
        stop.store(true, Relaxed);
        began.elapsed()
    });
    calls.into_inner() as f64 / took.as_secs_f64() / 1e6
}

pub fn plans(depth: Depth) -> Vec<Planned> {
    let rounds = depth.pick(5, 25);
    let window = Duration::from_millis(depth.pick(15, 40));
    vec![plan("distinct", 3.2 * window.as_secs_f64(), rounds * 8, move || {
        let mut distinct = Distinct { window, contestants: Vec::new() };
        each::<u64, u64, Fast>("", &mut distinct);
        distinct.visit(SINGLE, Single::default);
        Workload {
            title: "Threads on distinct keys (foldhash)".to_owned(),
            method: format!(
                "Each thread calls with 64 keys of its own, in turn, for {window:?}; the closure returns at once."
            ),
            metrics: vec![
                Metric { name: "1 thread", unit: "M calls/s" },
                Metric { name: "2 threads", unit: "M calls/s" },
                Metric { name: "8 threads", unit: "M calls/s" },
            ],
            contestants: distinct.contestants,
            rounds,
            marks: vec![
                Mark::at_least("2 threads", of(OURS, 1), of(OURS, 0), 1.4).on_page(),
                // 1, but for the noise.
                Mark::at_least("8 threads", of(OURS, 2), of(OURS, 1), 0.97).on_page(),
            ],
            reference: OURS.to_owned(),
        }
    })]
}
