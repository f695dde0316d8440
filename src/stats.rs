//! What a group has done so far, and what it is doing now.

use crate::sync::Duration;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a group has done since it was made; every number only grows.
///
/// Returned by [`Group::stats`](crate::Group::stats) and [`WriteGroup::stats`](crate::WriteGroup::stats). The
/// numbers of one reading were not all true at one moment: each shard is read under its own lock, one after the
/// other.
///
/// A call that was served raised either `led` or `joined`, except that a call which boarded again (a failure not
/// shared, a take-over, an abandoned flight) was counted at each boarding.
///
/// ```
/// use flight_group::Group;
///
/// let group: Group<&str, u32> = Group::new();
/// group.work(&"a", || 1);
/// group.work(&"a", || 2);      // the first flight has landed: a new one
/// assert_eq!(group.stats().led, 2);
/// assert_eq!(group.stats().joined, 0);
/// ```
///
/// The difference of two looks is what happened between them. A number that is smaller in the later look (a look at
/// another group) gives 0:
///
/// ```
/// use flight_group::{Group, Stats};
///
/// let group: Group<&str, u32> = Group::new();
/// let before = group.stats();
/// group.work(&"a", || 3);
/// let last_minute = group.stats() - before;
/// assert_eq!(last_minute.led, 1);
/// assert_eq!((before - group.stats()).led, 0);
///
/// // For a test of the code that reads them:
/// let mut stats = Stats::default();
/// stats.timed_out = 3;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Flights that began: closures run, or handed to the executor.
    pub led: u64,
    /// Calls that waited for another caller's flight, receivers and [`follow`](crate::Call::follow) included. What the
    /// group saved.
    pub joined: u64,
    /// Flights whose closure returned an error.
    pub failed: u64,
    /// Flights whose closure panicked.
    pub panicked: u64,
    /// Calls that returned [`Error::TimedOut`](crate::Error::TimedOut).
    pub timed_out: u64,
    /// Calls that returned [`Error::Cancelled`](crate::Error::Cancelled) after they had waited.
    pub cancelled: u64,
    /// Closures that were dropped unrun because a newer one of the same queued flight ran.
    pub superseded: u64,
    /// Flights detached by [`takeover_after`](crate::Call::takeover_after).
    pub taken_over: u64,
    /// Flights detached by [`forget`](crate::Group::forget), or by a write that invalidates this group.
    pub forgotten: u64,
    /// Flights detached because they were older than [`max_age`](crate::GroupBuilder::max_age).
    pub expired: u64,
    /// Calls that returned [`Error::Overloaded`](crate::Error::Overloaded).
    pub overloaded: u64,
    /// Calls that returned [`Error::Deadlock`](crate::Error::Deadlock), or panicked with its words.
    pub deadlocked: u64,
    /// Flights that ended without having run.
    pub abandoned: u64,
}

/// `later - earlier` for stats that consist of counters: what happened in between, never less than 0.
macro_rules! difference {
    ($stats:ident: $($counter:ident)+) => {
        impl std::ops::Sub for $stats {
            type Output = Self;

            /// What happened between an `earlier` look and this one. Never less than 0.
            fn sub(self, earlier: Self) -> Self {
                Self { $($counter: self.$counter.saturating_sub(earlier.$counter)),+ }
            }
        }
    };
}
pub(crate) use difference;

difference!(Stats: led joined failed panicked timed_out cancelled superseded taken_over forgotten expired overloaded deadlocked
    abandoned);

/// A flight in the air, as [`Group::flights`](crate::Group::flights) saw it: what is stuck, since when, and who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlightInfo<K> {
    /// The key; `()` for a batch of a [`Batcher`](crate::Batcher), which has many.
    pub key: K,
    /// How long it has been running: counted from its start in groups that read the clock (built with
    /// [`timed`](crate::GroupBuilder::timed), [`max_age`](crate::GroupBuilder::max_age),
    /// [`observer`](crate::GroupBuilder::observer), `traced` or `metered`), otherwise from the arrival of its first follower, and `None`
    /// for a leader nobody has followed.
    pub age: Option<Duration>,
    /// How many wait for the key: for this flight, or for the one queued behind it.
    pub followers: usize,
    /// The flight's number, unique in its group: the one a [`Deadlock`](crate::Deadlock) names.
    pub flight: u64,
    /// Whether a thread runs its closure. `false`: it was spawned, and the executor has not started its job yet.
    pub running: bool,
}

impl<K> FlightInfo<K> {
    /// A running flight for this key that nobody follows, with the number 0 and no age: for tests, which set the fields that
    /// they need.
    ///
    /// ```
    /// use flight_group::FlightInfo;
    /// use std::time::Duration;
    ///
    /// fn is_stuck(flight: &FlightInfo<&str>) -> bool {
    ///     flight.followers > 0 && flight.age.is_some_and(|age| age > Duration::from_secs(10))
    /// }
    ///
    /// let mut flight = FlightInfo::new("users");
    /// assert!(!is_stuck(&flight));
    /// flight.followers = 3;
    /// flight.age = Some(Duration::from_secs(60));
    /// assert!(is_stuck(&flight));
    /// ```
    pub fn new(key: K) -> Self {
        Self { key, age: None, followers: 0, flight: 0, running: true }
    }

    pub(crate) fn map_key<Q>(self, map: impl FnOnce(K) -> Q) -> FlightInfo<Q> {
        let Self { key, age, followers, flight, running } = self;
        FlightInfo { key: map(key), age, followers, flight, running }
    }
}

/// The rare events, counted for the group as a whole; the frequent ones are counted in the shards.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) failed: Counter,
    pub(crate) panicked: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) superseded: Counter,
    pub(crate) taken_over: Counter,
    pub(crate) forgotten: Counter,
    pub(crate) expired: Counter,
    pub(crate) overloaded: Counter,
    pub(crate) deadlocked: Counter,
    pub(crate) abandoned: Counter,
}

/// A number that only grows, and orders nothing.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }
}

impl Rare {
    pub(crate) fn read(&self) -> Stats {
        let read = |counter: &Counter| counter.0.load(Relaxed);
        Stats {
            led: 0,
            joined: 0,
            failed: read(&self.failed),
            panicked: read(&self.panicked),
            timed_out: read(&self.timed_out),
            cancelled: read(&self.cancelled),
            superseded: read(&self.superseded),
            taken_over: read(&self.taken_over),
            forgotten: read(&self.forgotten),
            expired: read(&self.expired),
            overloaded: read(&self.overloaded),
            deadlocked: read(&self.deadlocked),
            abandoned: read(&self.abandoned),
        }
    }
}
