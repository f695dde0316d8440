//! Every lock, condvar, clock and thread of this crate comes through here.
//!
//! In a normal build the names below are parking_lot's, once_cell's and std's. Built with
//! `--cfg flight_group_shuttle` or `--cfg flight_group_loom` they are the model checker's, so that what is
//! checked is the code that ships, and not a model of it.
//!
//! Rules for the rest of the crate: no `std::sync::Mutex`, no `std::thread::spawn`, no `thread::park` (the
//! `unpark` token belongs to the caller, P12), and no decision taken from the clock where [`wait_until`] has
//! already answered: under a checker a timeout is a coin toss, not a duration.

pub(crate) use once_cell::sync::OnceCell;
pub(crate) use std::sync::Arc;
pub(crate) use std::time::{Duration, Instant};

#[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
mod real;
#[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
pub(crate) use real::*;

#[cfg(any(flight_group_shuttle, flight_group_loom))]
mod model;
#[cfg(any(flight_group_shuttle, flight_group_loom))]
pub(crate) use model::*;

/// `now + duration`, or `None` for a moment too far away for the clock: such a wait has no end.
pub(crate) fn after(duration: Duration) -> Option<Instant> {
    Instant::now().checked_add(duration)
}

/// Widens a window that is hard to hit, in builds with `--cfg flight_group_test_delay` only.
#[inline(always)]
pub(crate) fn test_delay() {
    #[cfg(flight_group_test_delay)]
    std::thread::sleep(Duration::from_micros(300));
}
