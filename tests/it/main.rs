//! The promises of `flight-group`, kept: one module per promise or feature.
#![cfg(not(any(flight_group_shuttle, flight_group_loom)))]

mod support;

mod batch;
mod cancel;
mod err_group;
mod hedge;
mod spawned;
