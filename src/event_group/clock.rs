//! What `min_interval`, `quiet`, `max_wait`, a delay and an idle worker read the time from.
//!
//! The group asks a clock, and not the system, so that the tests of what happens *when* can move the time
//! themselves: no test sleeps, and none can be late. It is not public: a program that wants to test its own
//! timing wants to test the intervals it has set, which a shorter interval does as well.
//!
//! A caller's own deadline is not asked of it: it is a moment of the system's clock, as everywhere in the crate.

use crate::engine::flight::Flight;
use crate::engine::seat::{Seat, Seated};
use crate::sync::{Arc, Duration, Instant};

pub(super) trait Clock: Send + Sync {
    fn now(&self) -> Instant;

    /// Sleeps until the sleeper is called, its flight has landed, `deadline` has passed on the system's clock
    /// (`TimedOut`), or `due` has passed on this one, which counts as a call: the sleeper looks what it is for.
    fn wait(&self, sleeper: &dyn Sleeper, due: Instant, deadline: Option<Instant>) -> Seated;
}

/// Somebody who waits for a moment, and for whatever comes before it.
pub(super) trait Sleeper {
    #[cfg_attr(not(test), allow(dead_code, reason = "for the clock that the tests move"))]
    fn seat(&self) -> &Arc<Seat>;
    fn sleep(&self, until: Option<Instant>) -> Seated;
}

/// A captain: it waits for the moment its flight may start.
pub(super) struct Captain<'a, V, E> {
    pub(super) seat: &'a Arc<Seat>,
    pub(super) flight: &'a Flight<V, E>,
}

impl<V, E> Sleeper for Captain<'_, V, E> {
    fn seat(&self) -> &Arc<Seat> {
        self.seat
    }

    fn sleep(&self, until: Option<Instant>) -> Seated {
        self.flight.wait_in(self.seat, until)
    }
}

/// A worker: it waits for the first thing on the agenda.
impl Sleeper for Arc<Seat> {
    fn seat(&self) -> &Arc<Seat> {
        self
    }

    fn sleep(&self, until: Option<Instant>) -> Seated {
        Seat::sleep(self, until, || false)
    }
}

/// `at + duration`; a moment the clock cannot name is a century away.
pub(super) fn later(at: Instant, duration: Duration) -> Instant {
    const A_CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    at.checked_add(duration.min(A_CENTURY)).unwrap_or(at)
}

/// The clock a group is built with.
#[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
pub(super) fn system() -> Box<dyn Clock> {
    Box::new(System)
}

#[cfg(any(flight_group_shuttle, flight_group_loom))]
pub(super) fn system() -> Box<dyn Clock> {
    Box::new(checked::AnyTime::new())
}

#[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
struct System;

#[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
impl Clock for System {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait(&self, sleeper: &dyn Sleeper, due: Instant, deadline: Option<Instant>) -> Seated {
        let gives_up = deadline.filter(|deadline| *deadline < due);
        match sleeper.sleep(Some(gives_up.unwrap_or(due))) {
            Seated::TimedOut if gives_up.is_none() => Seated::Called,
            other => other,
        }
    }
}

#[cfg(any(flight_group_shuttle, flight_group_loom))]
mod checked {
    use super::{Clock, Duration, Instant, Seated, Sleeper};
    use crate::sync::{Mutex, toss};

    /// A clock that moves only when somebody waits for it: every due moment comes, after others have had as many
    /// turns as the schedule says. The system's clock is never read twice, so that a schedule can be replayed.
    pub(super) struct AnyTime(Mutex<Instant>);

    impl AnyTime {
        pub(super) fn new() -> Self {
            Self(Mutex::new(Instant::now()))
        }
    }

    impl Clock for AnyTime {
        fn now(&self) -> Instant {
            *self.0.lock()
        }

        fn wait(&self, sleeper: &dyn Sleeper, due: Instant, deadline: Option<Instant>) -> Seated {
            let seated = sleeper.sleep(Some(due));
            if !matches!(seated, Seated::TimedOut) || (deadline.is_some() && toss(2) == 0) {
                return seated;
            }
            let mut now = self.0.lock();
            *now = due.max(*now + Duration::from_nanos(1));
            Seated::Called
        }
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
pub(super) mod manual {
    use super::{Clock, Duration, Instant, Seated, Sleeper};
    use crate::engine::seat::Seat;
    use crate::sync::{Arc, Mutex};

    /// A clock that stands still until a test moves it.
    pub(in crate::event_group) struct Manual(Mutex<Standing>);

    struct Standing {
        now: Instant,
        sleepers: Vec<(Instant, Arc<Seat>)>,
    }

    impl Manual {
        pub(in crate::event_group) fn new() -> Arc<Self> {
            Arc::new(Self(Mutex::new(Standing { now: Instant::now(), sleepers: Vec::new() })))
        }

        /// Moves the time, and wakes whoever waits for a moment that has passed by then.
        pub(in crate::event_group) fn advance(&self, by: Duration) {
            let mut standing = self.0.lock();
            standing.now += by;
            for (due, seat) in &standing.sleepers {
                if *due <= standing.now {
                    seat.call();
                    seat.ring();
                }
            }
        }

        /// The moments that are waited for: what a test waits for before it moves the time.
        pub(in crate::event_group) fn sleepers(&self) -> Vec<Instant> {
            self.0.lock().sleepers.iter().map(|(due, _)| *due).collect()
        }
    }

    impl Clock for Arc<Manual> {
        fn now(&self) -> Instant {
            self.0.lock().now
        }

        fn wait(&self, sleeper: &dyn Sleeper, due: Instant, deadline: Option<Instant>) -> Seated {
            {
                let mut standing = self.0.lock();
                if due <= standing.now {
                    return Seated::Called;
                }
                standing.sleepers.push((due, sleeper.seat().clone()));
            }
            let seated = sleeper.sleep(deadline);
            self.0.lock().sleepers.retain(|(_, seat)| !Arc::ptr_eq(seat, sleeper.seat()));
            seated
        }
    }
}
