//! What an `EventGroup` has done so far.

use crate::error::Error;
use crate::stats::difference;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What an [`EventGroup`](crate::EventGroup) has done since it was made. Every number only grows. The numbers are read one
/// after the other, while other threads go on.
///
/// ```
/// use flight_group::EventGroup;
///
/// let events: EventGroup<&str, u32> = EventGroup::new(|sum, n| *sum += n, |_, _| Ok(()));
/// events.push(&"a", 1).unwrap();
/// events.submit(&"a", 2).unwrap();
/// events.submit(&"a", 3).unwrap();
/// events.flush().unwrap();
///
/// let stats = events.stats();
/// assert_eq!((stats.pushed, stats.submitted), (1, 2));
/// assert!((2..=3).contains(&stats.runs));      // 3 if a worker came before the second `submit`
/// ```
///
/// The difference of two looks is what happened between them: see [`Stats`](crate::Stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EventStats {
    /// Events that came with [`push`](crate::EventGroup::push), also those that were taken back later.
    pub pushed: u64,
    /// Events that [`submit`](crate::EventGroup::submit) accepted.
    pub submitted: u64,
    /// Runs that began. `carried - runs` is how many pushes merging saved.
    pub runs: u64,
    /// Events the runs carried.
    pub carried: u64,
    /// Runs whose `push` returned an error.
    pub failed: u64,
    /// Runs whose `merge` or `push` panicked.
    pub panicked: u64,
    /// Calls that returned [`Error::TimedOut`].
    pub timed_out: u64,
    /// Calls that returned [`Error::Cancelled`].
    pub cancelled: u64,
    /// Calls that returned [`Error::Deadlock`].
    pub deadlocked: u64,
    /// Calls that returned [`Error::Overloaded`].
    pub overloaded: u64,
}

difference!(EventStats: pushed submitted runs carried failed panicked timed_out cancelled deadlocked overloaded);

/// Counts for [`EventStats`]. They are not under a lock: four threads that submit would queue for it.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) pushed: AtomicU64,
    pub(super) submitted: AtomicU64,
    pub(super) runs: AtomicU64,
    pub(super) carried: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) deadlocked: AtomicU64,
    pub(super) overloaded: AtomicU64,
}

impl Counts {
    /// A `push` has ended.
    pub(super) fn ended<V, E>(&self, result: &Result<V, Error<E>>) {
        let count = match result {
            Err(Error::TimedOut(_)) => &self.timed_out,
            Err(Error::Cancelled(_)) => &self.cancelled,
            Err(Error::Deadlock(_)) => &self.deadlocked,
            _ => return,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> EventStats {
        EventStats {
            pushed: self.pushed.load(Relaxed),
            submitted: self.submitted.load(Relaxed),
            runs: self.runs.load(Relaxed),
            carried: self.carried.load(Relaxed),
            failed: self.failed.load(Relaxed),
            panicked: self.panicked.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            deadlocked: self.deadlocked.load(Relaxed),
            overloaded: self.overloaded.load(Relaxed),
        }
    }
}
