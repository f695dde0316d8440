//! The real code under model checkers.
//!
//! `RUSTFLAGS="--cfg flight_group_shuttle" cargo test --release --test model`: random schedules, PCT (few
//! preemptions, placed where they hurt) and, for the smallest scenarios, all schedules up to a bound. Timeouts are
//! a coin toss. A hang is what shuttle reports as a deadlock, at once.
//!
//! `RUSTFLAGS="--cfg flight_group_loom" cargo test --release --test model`: every schedule, and the memory model,
//! of the two or three smallest.
//!
//! A failing run prints its schedule; with `FLIGHT_GROUP_REPLAY` and that schedule, the same test runs it again.
#![cfg(any(flight_group_shuttle, flight_group_loom))]

#[cfg(flight_group_loom)]
mod loom;

#[cfg(flight_group_shuttle)]
mod batch;
#[cfg(flight_group_shuttle)]
mod cancel;
#[cfg(flight_group_shuttle)]
mod deadlocks;
#[cfg(flight_group_shuttle)]
mod detaching;
#[cfg(flight_group_shuttle)]
mod err_group;
#[cfg(flight_group_shuttle)]
mod events;
#[cfg(flight_group_shuttle)]
mod failures;
#[cfg(flight_group_shuttle)]
mod harness;
#[cfg(flight_group_shuttle)]
mod hedge;
#[cfg(flight_group_shuttle)]
mod many;
#[cfg(all(flight_group_shuttle, feature = "tracing"))]
mod observing;
#[cfg(flight_group_shuttle)]
mod reads;
#[cfg(flight_group_shuttle)]
mod spawned;
#[cfg(all(flight_group_shuttle, feature = "tracing"))]
#[path = "../it/observing/trace.rs"]
mod trace;
#[cfg(flight_group_shuttle)]
mod writes;
