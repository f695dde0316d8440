//! Whether to ask the server at all.
//!
//! While it is known to be away, no call finds that out again by waiting: calls fail at once, or wait for its return if
//! that is what they were told. Only the commander's own thread tries to connect, at growing intervals.

use super::FleetError;
use crate::sync::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);
/// While calls wait for the server to come back.
const LONGEST_AWAITED: Duration = Duration::from_millis(100);

/// What is known about the server.
#[derive(Debug, Clone)]
pub(crate) enum Breaker {
    /// There is a connection, or one has just been lost and the first try to replace it is still to come: calls wait.
    Closed,
    /// The last try failed: calls fail with its reason until the next one succeeds.
    Open { reason: FleetError, failed: Instant, pause: Duration },
}

impl Breaker {
    /// The error to give out now, if the server is known to be away.
    pub(crate) fn refusal(&self) -> Option<&FleetError> {
        match self {
            Self::Closed => None,
            Self::Open { reason, .. } => Some(reason),
        }
    }

    /// When to try again, sooner where it is `awaited`; `None` is now.
    pub(crate) fn next_try(&self, awaited: bool) -> Option<Instant> {
        match self {
            Self::Closed => None,
            Self::Open { failed, pause, .. } => {
                Some(*failed + if awaited { (*pause).min(LONGEST_AWAITED) } else { *pause })
            }
        }
    }

    pub(crate) fn failed(&mut self, reason: FleetError, now: Instant) {
        let pause = match self {
            Self::Closed => SHORTEST,
            Self::Open { pause, .. } => (*pause * 2).min(LONGEST),
        };
        *self = Self::Open { reason, failed: now, pause };
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::Closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_one_success_forgets_them() {
        let now = Instant::now();
        let mut breaker = Breaker::Closed;
        assert!(breaker.refusal().is_none() && breaker.next_try(false).is_none());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            breaker.failed(FleetError::TimedOut, now);
            assert_eq!(breaker.refusal(), Some(&FleetError::TimedOut));
            pauses.push(breaker.next_try(false).unwrap() - now);
        }
        assert_eq!(pauses[0], SHORTEST);
        assert!(pauses.windows(2).all(|pair| pair[1] >= pair[0]));
        assert_eq!(pauses[7], LONGEST);
        assert_eq!(breaker.next_try(true), Some(now + LONGEST_AWAITED));
        breaker.succeeded();
        assert!(breaker.refusal().is_none());
        breaker.failed(FleetError::TimedOut, now);
        assert_eq!(breaker.next_try(true), Some(now + SHORTEST));
    }
}
