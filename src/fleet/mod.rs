//! One flight in many processes, and leases, on Redis or Valkey (feature `redis`).
//!
//! Where a program outgrows one process, the same rule holds across the fleet: *a read boards the flight that is
//! already in the air, a write boards the next one*. Each process's threads are collapsed by a local group first, so
//! that a process sends one question however many of its threads ask.

mod breaker;
mod clock;
mod commander;
mod core;
mod error;
#[expect(clippy::module_inception, reason = "a type's file is named after it")]
mod fleet;
mod held;
mod keeper;
mod keys;
mod lease;
mod mailbox;
mod per_process;
mod reply;
mod scripts;
mod stats;
mod subscriber;
mod token;
mod wire;

pub use error::FleetError;
pub use fleet::{Fleet, FleetBuilder};
pub use lease::{Lease, LeaseBuilder};
pub use stats::FleetStats;
