//! What an `EventGroup` has done so far.

use crate::stats::difference;

/// What an [`EventGroup`](crate::EventGroup) has done since it was made; every number only grows, and all were
/// true at one moment.
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
/// assert!((2..=3).contains(&stats.runs));      // two, unless a worker was quicker than the second `submit`
/// ```
///
/// The difference of two looks is what happened between them: see [`Stats`](crate::Stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EventStats {
    /// Events that came with [`push`](crate::EventGroup::push), those withdrawn later included.
    pub pushed: u64,
    /// Events that [`submit`](crate::EventGroup::submit) accepted.
    pub submitted: u64,
    /// Runs that began. The events they carried, less the runs, is what merging saved.
    pub runs: u64,
    /// Events the runs carried.
    pub carried: u64,
    /// Runs whose `push` returned an error.
    pub failed: u64,
    /// Runs whose `merge` or `push` panicked.
    pub panicked: u64,
    /// Calls that returned [`Error::TimedOut`](crate::Error::TimedOut).
    pub timed_out: u64,
    /// Calls that returned [`Error::Deadlock`](crate::Error::Deadlock).
    pub deadlocked: u64,
    /// Calls that returned [`Error::Overloaded`](crate::Error::Overloaded).
    pub overloaded: u64,
}

difference!(EventStats: pushed submitted runs carried failed panicked timed_out deadlocked overloaded);
