//! What a key's next flight carries, and when it may start.

use crate::sync::{Duration, Instant};

/// What the callers of a key's *next* flight bring. The callers of a `Group` and a `WriteGroup` bring nothing: their
/// load is `()`, and their next flight starts as soon as no flight is in the air.
///
/// A load is changed under the shard's lock. The only user code in here is `Eq`.
pub(crate) trait Load: Default {
    /// Whether calls bring anything. Where they do not, the compiler removes what is only for those that do.
    const CARRIES: bool;
    /// The group's settings for its loads.
    type Rules;
    /// What a caller gets back if it leaves.
    type Back;

    fn due(&self, rules: &Self::Rules) -> Due;
    fn is_empty(&self) -> bool;
    /// The thread that works on it outside the lock.
    fn busy(&self) -> Option<u64> {
        None
    }
    /// Takes back what the call with this ticket brought. `None`: others still count on it.
    fn withdraw(&mut self, rules: &Self::Rules, ticket: u64) -> Option<Self::Back>;
    /// From now on it is due: no delay, window or interval counts.
    fn hurry(&mut self);
    fn is_hurried(&self) -> bool;
    /// The flight in front of it has landed.
    fn handed_on(&mut self) {}
    /// Another flight waits behind it. New calls join that one.
    fn close(&mut self) {}
    /// Whether the group takes nothing any more.
    fn is_closed(_rules: &Self::Rules) -> bool {
        false
    }
    /// How long after the start of a flight the key's next one may start.
    fn interval(_rules: &Self::Rules) -> Option<Duration> {
        None
    }
}

/// What one call brings to a load.
pub(crate) trait Bring<L> {
    /// Puts it into the load. Under the shard's lock.
    fn join(&mut self, load: &mut L) -> Joined;
    /// Makes what `join` lacked. Outside the lock: it runs user code.
    fn make(&mut self);
}

/// What became of a call's attempt to join a load.
pub(crate) enum Joined {
    /// It joined. The ticket takes it back.
    In(u64),
    /// This load is full: try the flight behind.
    Full,
    /// The group takes no more.
    Refused,
    /// Something is missing: call `make`, then come again.
    Lacks,
}

/// When a next flight may start, once no flight is in the air.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Due {
    Now,
    At(Instant),
    /// This thread works on the load outside the lock: it merges. It hands the flight on when it is done.
    Busy(u64),
}

impl Due {
    /// Not before `earliest`; a moment that has passed is now.
    pub(super) fn at(self, earliest: Option<Instant>, now: impl FnOnce() -> Instant) -> Self {
        let moment = match (self, earliest) {
            (Self::Busy(_), _) | (Self::Now, None) => return self,
            (Self::Now, Some(earliest)) => earliest,
            (Self::At(at), earliest) => earliest.map_or(at, |earliest| at.max(earliest)),
        };
        if moment <= now() { Self::Now } else { Self::At(moment) }
    }
}

impl Load for () {
    const CARRIES: bool = false;
    type Rules = ();
    type Back = ();

    fn due(&self, (): &()) -> Due {
        Due::Now
    }

    fn is_empty(&self) -> bool {
        true
    }

    fn withdraw(&mut self, (): &(), _: u64) -> Option<()> {
        None
    }

    fn hurry(&mut self) {}

    fn is_hurried(&self) -> bool {
        false
    }
}
