//! What a fleet has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// What one process has done in its fleet since it connected: a snapshot, taken by
/// [`Fleet::stats`](super::Fleet::stats).
///
/// Local followers are not in it; a [`FleetGroup`](super::FleetGroup) asks the fleet once for all of them. For numbers of
/// one group, and over time: [`docs::observing`](crate::docs::observing#groups-of-a-fleet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FleetStats {
    /// Flights led: the closure ran here, holding the fleet's record.
    pub led: u64,
    /// Outcomes of other processes' flights that came with the message.
    pub followed_inline: u64,
    /// Outcomes that were too large for a message and were fetched.
    pub followed_fetched: u64,
    /// Outcomes found by asking, because a message was late or lost.
    pub followed_polled: u64,
    /// Outcomes served from the reuse window.
    pub hits: u64,
    /// Flights led because the leader that was followed had died.
    pub takeovers: u64,
    /// Landings that came too late: the flight's record had gone to somebody else, and nothing was published.
    pub stale_finishes: u64,
    /// Leases acquired.
    pub leases: u64,
    /// Leases and flights whose record was lost while they were held.
    pub leases_lost: u64,
    /// Connections that replaced a lost one.
    pub reconnects: u64,
    /// Calls that met an unavailable server; those of groups ran their closure locally.
    pub unavailable: u64,
    /// Closures run locally because the outcome of the flight they followed was too large or of another schema.
    pub unshared: u64,
}

/// The counters behind it. Relaxed throughout: numbers to look at, on which nothing depends.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) led: Counter,
    pub(crate) followed_inline: Counter,
    pub(crate) followed_fetched: Counter,
    pub(crate) followed_polled: Counter,
    pub(crate) hits: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) stale_finishes: Counter,
    pub(crate) leases: Counter,
    pub(crate) leases_lost: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) unshared: Counter,
}

/// std's atomic, not the model checker's: a schedule has nothing to decide here.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self, reconnects: u64) -> FleetStats {
        FleetStats {
            led: self.led.get(),
            followed_inline: self.followed_inline.get(),
            followed_fetched: self.followed_fetched.get(),
            followed_polled: self.followed_polled.get(),
            hits: self.hits.get(),
            takeovers: self.takeovers.get(),
            stale_finishes: self.stale_finishes.get(),
            leases: self.leases.get(),
            leases_lost: self.leases_lost.get(),
            reconnects,
            unavailable: self.unavailable.get(),
            unshared: self.unshared.get(),
        }
    }
}
