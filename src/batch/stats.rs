//! What a batcher has done so far, in numbers.

use std::ops::{RangeInclusive, Sub};

/// One bucket per power of two: 1, 2 to 3, 4 to 7, and so on.
const BUCKETS: usize = usize::BITS as usize;

/// What a [`Batcher`](crate::Batcher) has done since it was made: a snapshot, from
/// [`Batcher::stats`](crate::Batcher::stats).
///
/// ```
/// use flight_group::Batcher;
/// use std::{collections::HashMap, convert::Infallible};
///
/// let squares = Batcher::new(|keys: &[u64]| {
///     Ok::<_, Infallible>(keys.iter().map(|&key| (key, key * key)).collect::<HashMap<_, _>>())
/// });
/// squares.load(&3)?;
/// squares.load(&4)?;
///
/// let stats = squares.stats();
/// assert_eq!((stats.loads, stats.batches, stats.keys), (2, 2, 2));
/// assert_eq!(stats.largest, 1);
/// assert_eq!(stats.mean_size(), Some(1.0));
/// assert_eq!(stats.sizes().collect::<Vec<_>>(), [(1..=1, 2)]);
/// # Ok::<(), flight_group::Error<Infallible>>(())
/// ```
///
/// The difference of two looks is what happened between them, but for `largest`, which stays what it was at the
/// later look.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchStats {
    /// Loads so far, those still waiting and those refused included: one for each call of `load`, and one for each
    /// distinct key of a `load_many`.
    pub loads: u64,
    /// Batches started: calls of the function.
    pub batches: u64,
    /// Keys passed to the function, in all batches together.
    pub keys: u64,
    /// Loads that found their key already queued and shared its place.
    pub shared: u64,
    /// Keys in the largest batch so far.
    pub largest: usize,
    /// Batches whose leader had queued, and was handed the lead when the batch before landed.
    pub handed_over: u64,
    /// Batches for which the function returned one error for all.
    pub failed: u64,
    /// Batches in which the function panicked.
    pub panicked: u64,
    /// Loads whose key the function did not return.
    pub missing: u64,
    /// Loads that gave up at their deadline.
    pub timed_out: u64,
    /// Keys taken out of the queue because all who wanted them had given up.
    pub withdrawn: u64,
    /// Loads refused because they would have waited for themselves.
    pub deadlocks: u64,
    sizes: [u64; BUCKETS],
}

impl BatchStats {
    pub(super) fn new() -> Self {
        Self {
            loads: 0,
            batches: 0,
            keys: 0,
            shared: 0,
            largest: 0,
            handed_over: 0,
            failed: 0,
            panicked: 0,
            missing: 0,
            timed_out: 0,
            withdrawn: 0,
            deadlocks: 0,
            sizes: [0; BUCKETS],
        }
    }

    /// Counts a batch of `keys` keys (at least one) as started.
    pub(super) fn started(&mut self, keys: usize) {
        self.batches += 1;
        self.keys += keys as u64;
        self.largest = self.largest.max(keys);
        self.sizes[keys.ilog2() as usize] += 1;
    }

    /// Keys per batch on average; `None` before the first batch.
    pub fn mean_size(&self) -> Option<f64> {
        (self.batches > 0).then(|| self.keys as f64 / self.batches as f64)
    }

    /// How many batches had how many keys, in ranges of powers of two (`1..=1`, `2..=3`, `4..=7`, ..), the empty
    /// ranges left out.
    pub fn sizes(&self) -> impl Iterator<Item = (RangeInclusive<usize>, u64)> + '_ {
        self.sizes.iter().enumerate().filter(|&(_, &count)| count > 0).map(|(power, &count)| {
            let low = 1_usize << power;
            (low..=low + (low - 1), count)
        })
    }
}

impl Default for BatchStats {
    /// Of a batcher that has done nothing.
    fn default() -> Self {
        Self::new()
    }
}

impl Sub for BatchStats {
    type Output = Self;

    /// What happened between an `earlier` look and this one, never less than 0; [`largest`](Self::largest) as it is.
    fn sub(self, earlier: Self) -> Self {
        Self {
            loads: self.loads.saturating_sub(earlier.loads),
            batches: self.batches.saturating_sub(earlier.batches),
            keys: self.keys.saturating_sub(earlier.keys),
            shared: self.shared.saturating_sub(earlier.shared),
            largest: self.largest,
            handed_over: self.handed_over.saturating_sub(earlier.handed_over),
            failed: self.failed.saturating_sub(earlier.failed),
            panicked: self.panicked.saturating_sub(earlier.panicked),
            missing: self.missing.saturating_sub(earlier.missing),
            timed_out: self.timed_out.saturating_sub(earlier.timed_out),
            withdrawn: self.withdrawn.saturating_sub(earlier.withdrawn),
            deadlocks: self.deadlocks.saturating_sub(earlier.deadlocks),
            sizes: std::array::from_fn(|power| self.sizes[power].saturating_sub(earlier.sizes[power])),
        }
    }
}
