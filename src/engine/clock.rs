//! What `min_interval`, `quiet`, `max_wait`, `delay`, `window` and an idle worker read the time from.
//!
//! The engine asks a clock and not the system, so that tests of what happens *when* can move the time themselves: no
//! test sleeps, and none can be late. A caller's own deadline is not read from it: that is a moment of the system's
//! clock, as everywhere in the crate.

use crate::engine::waiter::{Waiter, Wake};
use crate::sync::{Arc, Duration, Instant};

/// A group's clock.
pub(crate) enum Clock {
    #[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
    System,
    #[cfg(any(test, flight_group_shuttle, flight_group_loom))]
    Other(Arc<dyn Time>),
}

#[cfg(any(test, flight_group_shuttle, flight_group_loom))]
pub(crate) trait Time: Send + Sync {
    fn now(&self) -> Instant;
    /// See [`Clock::wait`].
    fn wait(&self, waiter: &Arc<Waiter>, due: Instant, deadline: Option<Instant>, sleep: Sleep<'_>) -> Wake;
}

/// Sleeps until the moment it is given.
pub(crate) type Sleep<'a> = &'a dyn Fn(Option<Instant>) -> Wake;

impl Clock {
    /// The clock a group is built with.
    pub(crate) fn system() -> Self {
        #[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
        return Self::System;
        #[cfg(any(flight_group_shuttle, flight_group_loom))]
        return Self::Other(Arc::new(checked::AnyTime::new()));
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            #[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
            Self::System => Instant::now(),
            #[cfg(any(test, flight_group_shuttle, flight_group_loom))]
            Self::Other(time) => time.now(),
        }
    }

    /// Sleeps in `waiter`, by `sleep`, until `deadline` has passed on the system's clock (`TimedOut`), or until `due`
    /// has passed on this one. The latter counts as a call: the sleeper looks at what it waits for.
    #[cfg_attr(not(any(test, flight_group_shuttle, flight_group_loom)), allow(unused_variables))]
    pub(crate) fn wait(&self, waiter: &Arc<Waiter>, due: Instant, deadline: Option<Instant>, sleep: Sleep<'_>) -> Wake {
        match self {
            #[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
            Self::System => {
                let gives_up = deadline.filter(|deadline| *deadline < due);
                match sleep(Some(gives_up.unwrap_or(due))) {
                    Wake::TimedOut if gives_up.is_none() => Wake::Called,
                    other => other,
                }
            }
            #[cfg(any(test, flight_group_shuttle, flight_group_loom))]
            Self::Other(time) => time.wait(waiter, due, deadline, sleep),
        }
    }
}

/// `at + duration`. A moment that the clock cannot name becomes one in a hundred years.
pub(crate) fn later(at: Instant, duration: Duration) -> Instant {
    const A_CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    at.checked_add(duration.min(A_CENTURY)).unwrap_or(at)
}

#[cfg(any(flight_group_shuttle, flight_group_loom))]
mod checked {
    use super::{Duration, Instant, Sleep, Time, Waiter, Wake};
    use crate::sync::{Arc, Mutex, toss};

    /// A clock that moves only when a thread waits for it: every due moment comes, after others have had as many
    /// turns as the schedule says. The system's clock is read once, so that a schedule can be replayed.
    pub(super) struct AnyTime(Mutex<Instant>);

    impl AnyTime {
        pub(super) fn new() -> Self {
            Self(Mutex::new(Instant::now()))
        }
    }

    impl Time for AnyTime {
        fn now(&self) -> Instant {
            *self.0.lock()
        }

        fn wait(&self, _: &Arc<Waiter>, due: Instant, deadline: Option<Instant>, sleep: Sleep<'_>) -> Wake {
            let woken = sleep(Some(due));
            if woken != Wake::TimedOut || (deadline.is_some() && toss(2) == 0) {
                return woken;
            }
            let mut now = self.0.lock();
            *now = due.max(*now + Duration::from_nanos(1));
            Wake::Called
        }
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
pub(crate) mod manual {
    use super::{Duration, Instant, Sleep, Time, Waiter, Wake};
    use crate::sync::{Arc, Mutex};

    /// A clock that stands still until a test moves it.
    pub(crate) struct Manual(Mutex<Standing>);

    struct Standing {
        now: Instant,
        sleepers: Vec<(Instant, Arc<Waiter>)>,
    }

    impl Manual {
        pub(crate) fn new() -> Arc<Self> {
            Arc::new(Self(Mutex::new(Standing { now: Instant::now(), sleepers: Vec::new() })))
        }

        /// Moves the time, and wakes the threads that wait for a moment that has passed by then.
        pub(crate) fn advance(&self, by: Duration) {
            let mut standing = self.0.lock();
            standing.now += by;
            for (due, waiter) in &standing.sleepers {
                if *due <= standing.now {
                    waiter.call();
                    waiter.notify();
                }
            }
        }

        /// The moments that are waited for: what a test waits for before it moves the time.
        pub(crate) fn sleepers(&self) -> Vec<Instant> {
            self.0.lock().sleepers.iter().map(|(due, _)| *due).collect()
        }
    }

    impl Time for Manual {
        fn now(&self) -> Instant {
            self.0.lock().now
        }

        fn wait(&self, waiter: &Arc<Waiter>, due: Instant, deadline: Option<Instant>, sleep: Sleep<'_>) -> Wake {
            {
                let mut standing = self.0.lock();
                if due <= standing.now {
                    return Wake::Called;
                }
                standing.sleepers.push((due, waiter.clone()));
            }
            let woken = sleep(deadline);
            self.0.lock().sleepers.retain(|(_, sleeper)| !Arc::ptr_eq(sleeper, waiter));
            woken
        }
    }
}
