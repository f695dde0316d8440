//! What a `Batcher` costs a caller that is alone, and what it saves callers that are not. Ratios, taken in turns.
//!
//! ```text
//! cargo bench --bench batch
//! ```
#![allow(clippy::print_stdout, reason = "a program that reports")]

use flight_group::Batcher;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;

fn main() {
    // `cargo bench` passes `--bench`, and there is nothing to choose from.
    lone();
    for cost in [1, 10, 100, 1000] {
        together(16, Duration::from_micros(cost));
    }
}

fn answer(keys: &[u64]) -> HashMap<u64, u64> {
    keys.iter().map(|&key| (key, key + 1)).collect()
}

/// The function by itself against the function through a batcher, one caller.
fn lone() {
    const CALLS: u64 = 200_000;
    let batcher: Batcher<u64, u64> = Batcher::new(|keys: &[u64]| Ok::<_, Infallible>(answer(keys)));
    let (mut bare, mut through) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for key in 0..CALLS {
            black_box(answer(&[key]).remove(&key));
        }
        bare.push(start.elapsed());
        let start = Instant::now();
        for key in 0..CALLS {
            black_box(batcher.load(&key)).expect("the function never fails");
        }
        through.push(start.elapsed());
    }
    let (bare, through) = (median(bare) / CALLS as f64 * 1e9, median(through) / CALLS as f64 * 1e9);
    println!("alone: the function {bare:.0} ns, through a batcher {through:.0} ns: {:.0} ns more", through - bare);
}

/// A call that costs the same however many keys it has, on a resource that serves one call at a time.
fn together(threads: usize, cost: Duration) {
    const CALLS: u64 = 64;
    fn spend(cost: Duration) {
        let start = Instant::now();
        while start.elapsed() < cost {
            std::hint::spin_loop();
        }
    }
    let resource = Mutex::new(());
    let batcher: Batcher<u64, u64> = Batcher::new(move |keys: &[u64]| {
        spend(cost);
        Ok::<_, Infallible>(answer(keys))
    });
    let each = |key: u64| {
        let _one_at_a_time = resource.lock().expect("nobody panics");
        spend(cost);
        black_box(answer(&[key]).remove(&key));
    };
    let batched = |key: u64| {
        black_box(batcher.load(&key)).expect("the function never fails");
    };
    let (mut each_took, mut batched_took) = (vec![], vec![]);
    for _ in 0..ROUNDS.min(5) {
        each_took.push(burst(threads, CALLS, each));
        batched_took.push(burst(threads, CALLS, batched));
    }
    let ratio = median(each_took) / median(batched_took);
    let size = batcher.stats().mean_size().unwrap_or_default();
    println!("{threads} threads, {cost:?} a call: {ratio:.2} times as fast, {size:.1} keys a batch");
}

/// All threads make their calls at once; until the last has made its last.
fn burst(threads: usize, calls: u64, call: impl Fn(u64) + Sync) -> Duration {
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for thread in 0..threads as u64 {
            let (barrier, call) = (&barrier, &call);
            scope.spawn(move || {
                barrier.wait();
                for n in 0..calls {
                    call(thread * calls + n);
                }
            });
        }
        barrier.wait();
        Instant::now()
    })
    .elapsed()
}

fn median(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took[took.len() / 2].as_secs_f64()
}
