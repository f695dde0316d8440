//! A clock that goes on while the machine sleeps.
//!
//! A lease ends on the server's time whether or not the holder's machine is awake. `Instant` is CLOCK_MONOTONIC on
//! Linux, which stands still during suspend: after a night with the lid closed a holder would believe for another
//! full time to live in a lease that ended hours ago. CLOCK_BOOTTIME counts the night.
//!
//! Elsewhere this falls back to `Instant` (macOS: stands still as well; Windows: goes on).

use crate::sync::Duration;

/// A moment on this machine's clock, in nanoseconds since an arbitrary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// The end of time: what is due then is never due.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // Neither is negative: the clock starts at zero when the machine does.
        let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn now() -> Self {
        use crate::sync::Instant;
        static START: once_cell::sync::OnceCell<Instant> = once_cell::sync::OnceCell::new();
        let start = *START.get_or_init(Instant::now);
        Self(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// This moment and `duration` more; a duration too long for the clock ends at [`NEVER`](Self::NEVER).
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long until this moment; zero when it has passed.
    pub(crate) fn remaining(self) -> Duration {
        self.since(Self::now())
    }

    /// How long after `earlier` this is; zero when it is before it.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn has_passed(self) -> bool {
        self != Self::NEVER && Self::now() >= self
    }

    /// For an atomic.
    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_too_far_away_is_never() {
        assert_eq!(Moment::now().plus(Duration::MAX), Moment::NEVER);
        assert!(!Moment::NEVER.has_passed());
        assert!(Moment::now().has_passed());
    }

    #[test]
    fn the_clock_does_not_go_back() {
        let early = Moment::now();
        let late = Moment::now();
        assert!(late >= early);
        assert_eq!(early.since(late.plus(Duration::from_secs(1))), Duration::ZERO);
    }
}
