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
