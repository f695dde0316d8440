//! The real code under the shuttle model checker:
//! `RUSTFLAGS="--cfg flight_group_shuttle" cargo test --release --test model`.
#![cfg(any(flight_group_shuttle, flight_group_loom))]

mod support;

#[cfg(flight_group_shuttle)]
mod cancel;
#[cfg(flight_group_shuttle)]
mod err_group;
#[cfg(flight_group_shuttle)]
mod hedge;
