//! What an observer is told.

use crate::sync::Duration;
use std::fmt;

/// Something that happened to a flight, as told to a group's [`observer`](crate::GroupBuilder::observer).
///
/// The observer is called by the thread of the event, outside every lock, after all callers that have to be woken were
/// woken. If it panics, the panic unwinds in that one call, and the flight lands all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'a, K> {
    /// The group's name, if it was given one.
    pub group: Option<&'a str>,
    /// The key.
    pub key: &'a K,
    /// The flight's number, unique in its group.
    pub flight: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to the flight of an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A call became its leader; the closure runs next.
    Led,
    /// A call boarded it and is about to wait; told to no receiver of a spawned call.
    Joined,
    /// It landed: told by its leader, once for each flight.
    #[non_exhaustive]
    Landed {
        /// How it ended.
        ending: Ending,
        /// How long the closure ran.
        ran: Duration,
        /// How many were waiting for it, receivers included.
        followers: usize,
        /// Whether it had been detached from its key.
        detached: bool,
    },
    /// A follower got its outcome.
    #[non_exhaustive]
    Followed {
        /// How the flight ended.
        ending: Ending,
        /// How long this follower waited.
        waited: Duration,
    },
    /// A follower's deadline passed.
    #[non_exhaustive]
    TimedOut {
        /// How long it had waited.
        waited: Duration,
    },
    /// A call stopped waiting because its token was cancelled.
    #[non_exhaustive]
    Cancelled {
        /// How long it had waited.
        waited: Duration,
    },
    /// A call was refused, because it would have waited for itself.
    Deadlock,
    /// A call was refused, because too many wait already. `flight` is the flight in the air.
    Overloaded,
    /// `forget` or a write that invalidates the group detached it.
    Forgotten,
    /// It was older than `max_age` and was detached.
    Expired,
    /// A caller with `takeover_after` detached it.
    TakenOver,
    /// A caller that had been queued for it got its outcome, and its own closure was dropped unrun.
    Superseded,
    /// Only in the groups of a fleet (feature `redis`): what this process is in the fleet's flight. Told by the leader,
    /// before its closure runs, or when another process's outcome has arrived.
    #[non_exhaustive]
    InFleet {
        /// What it is.
        role: FleetRole,
    },
}

/// How a flight ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// The closure returned a value.
    Value,
    /// The closure returned an error.
    Failed,
    /// The closure panicked.
    Panicked,
    /// It never ran.
    Abandoned,
    /// The closure was run for several keys and returned nothing for this one.
    Missing,
}

impl Ending {
    /// The word for it in spans and meters: `value`, `failed`, `panicked`, `abandoned` or `missing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Abandoned => "abandoned",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a process is in a flight of its fleet, as told by [`EventKind::InFleet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FleetRole {
    /// Its closure runs for the fleet: with the key's record, or with the lease of a write.
    Leader,
    /// It gets the outcome of another process's flight, and runs no closure.
    Follower,
    /// Its closure runs for this process only: the server is unavailable, or the outcome of the flight it followed could
    /// not be shared.
    Alone,
}

impl FleetRole {
    /// The word for it in spans and meters: `leader`, `follower` or `alone`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Alone => "alone",
        }
    }
}

impl fmt::Display for FleetRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
