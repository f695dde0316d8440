//! One flight in many processes, and leases, on Redis or Valkey (feature `redis`).
//!
//! Where a program outgrows one process, the same rule holds across the fleet: *a read boards the flight that is
//! already in the air, a write boards the next one*. Each process's threads are collapsed by a local group first, so
//! that a process sends one question however many of its threads ask.
//!
//! * [`FleetGroup`], for reads: one flight in the fleet, its outcome pushed to every process that waits for it.
//! * [`FleetWriteGroup`], for writes: one process at a time, each collapsing its own.
//! * [`Lease`], for everything else: one holder, first come, first served, with a fence and a loss signal.
//!
//! What is guaranteed, what cannot be guaranteed, and what your Redis needs: [`docs::fleet`](crate::docs::fleet).

mod address;
mod breaker;
mod builders;
mod clock;
mod codec;
mod commander;
mod core;
mod error;
#[expect(clippy::module_inception, reason = "a type's file is named after it")]
mod fleet;
mod fleet_group;
mod fleet_write_group;
mod flight;
#[cfg(flight_group_fuzz)]
pub mod fuzz;
mod held;
mod keeper;
mod keys;
mod lease;
mod local;
mod local_settings;
mod mailbox;
#[cfg(all(test, flight_group_shuttle))]
mod model;
mod process;
mod reply;
mod scripts;
mod stats;
mod subscriber;
mod turn;
mod until;
mod wire;

pub use builders::{FleetGroupBuilder, FleetWriteGroupBuilder};
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use codec::{Codec, Json, JsonValues, Raw};
pub use error::FleetError;
pub use fleet::{Fleet, FleetBuilder};
pub use fleet_group::{FleetCall, FleetFlight, FleetGroup};
pub use fleet_write_group::{FleetWriteCall, FleetWriteGroup};
pub use lease::{Lease, LeaseBuilder};
pub use stats::FleetStats;
