//! How long first attempts take: a histogram that forgets.

use crate::sync::{Duration, Mutex};

/// Steps per power of two: a bucket is at most 1/16 wider than what it holds.
const STEPS: usize = 16;
const STEP_BITS: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = STEPS * (64 - STEP_BITS as usize + 1);
/// With as many observations all counts are halved: old times fade as new ones come.
const FADE_AT: u32 = 4_096;
/// Before so many were made a percentile says nothing.
const ENOUGH: u32 = 64;
/// How many observations may be made before the percentile is worked out anew.
const STALE: u32 = 32;

/// A percentile of the times observed, in constant memory (4 KB).
#[derive(Debug)]
pub(super) struct Latency {
    fraction: f64,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    counts: Box<[u32]>,
    total: u32,
    stale: u32,
    percentile: Option<Duration>,
}

impl Latency {
    /// `percentile` is above 0 and below 100.
    pub(super) fn new(percentile: f64) -> Self {
        let seen = Seen { counts: vec![0; BUCKETS].into(), total: 0, stale: 0, percentile: None };
        Self { fraction: percentile / 100.0, seen: Mutex::new(seen) }
    }

    pub(super) fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut seen = self.seen.lock();
        seen.counts[bucket(nanos)] += 1;
        seen.total += 1;
        seen.stale += 1;
        if seen.total >= FADE_AT {
            seen.counts.iter_mut().for_each(|count| *count /= 2);
            seen.total = seen.counts.iter().sum();
        }
        if seen.total >= ENOUGH && (seen.percentile.is_none() || seen.stale >= STALE) {
            seen.stale = 0;
            let rank = (self.fraction * f64::from(seen.total)).ceil() as u32;
            let mut below = 0;
            let reached = seen.counts.iter().position(|count| {
                below += count;
                below >= rank
            });
            seen.percentile = reached.map(|bucket| Duration::from_nanos(upper_edge(bucket)));
        }
    }

    /// The percentile, `None` before [`ENOUGH`] observations.
    pub(super) fn percentile(&self) -> Option<Duration> {
        self.seen.lock().percentile
    }
}

/// The first 16 values have a bucket each; from there on every power of two has 16 of equal width.
fn bucket(nanos: u64) -> usize {
    let high = nanos.checked_ilog2().unwrap_or(0);
    if high < STEP_BITS {
        nanos as usize
    } else {
        let step = (nanos >> (high - STEP_BITS)) as usize - STEPS;
        (high - STEP_BITS + 1) as usize * STEPS + step
    }
}

/// The largest value of the bucket: waiting until then, no more than the asked share is still running.
fn upper_edge(bucket: usize) -> u64 {
    let (power, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    match power.checked_sub(1) {
        None => step,
        Some(shift) => {
            let next = u128::from(STEPS as u64 + step + 1) << shift;
            u64::try_from(next - 1).unwrap_or(u64::MAX)
        }
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(nanos: u64) {
            let b = bucket(nanos);
            prop_assert!(b < BUCKETS);
            prop_assert!(nanos <= upper_edge(b));
            prop_assert!(b == 0 || nanos > upper_edge(b - 1));
            prop_assert!(upper_edge(b) - nanos <= nanos / STEPS as u64);
        }

        /// Against the exact percentile of the sorted values: never below, and at most one bucket's width above.
        #[test]
        fn the_percentile_is_that_of_the_sorted_values(
            mut times in prop::collection::vec(1..10_000_000_u64, 64..=64),
            percentile in 1.0..99.0_f64,
        ) {
            let latency = Latency::new(percentile);
            for &nanos in &times {
                prop_assert_eq!(latency.percentile(), None);
                latency.observe(Duration::from_nanos(nanos));
            }
            times.sort_unstable();
            let exact = times[(percentile / 100.0 * 64.0).ceil() as usize - 1];
            let got = latency.percentile().unwrap().as_nanos() as u64;
            prop_assert!(exact <= got && got <= exact + exact / STEPS as u64);
        }
    }

    #[test]
    fn old_times_fade() {
        let latency = Latency::new(90.0);
        for _ in 0..10_000 {
            latency.observe(Duration::from_millis(100));
        }
        assert!(latency.percentile().unwrap() >= Duration::from_millis(100));
        for _ in 0..20_000 {
            latency.observe(Duration::from_millis(1));
        }
        assert!(latency.percentile().unwrap() < Duration::from_millis(2));
        latency.observe(Duration::MAX);
        latency.observe(Duration::ZERO);
    }
}
