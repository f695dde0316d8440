//! The real code under a model checker, which decides who runs next at every lock, wait and wake-up.
#![cfg(any(flight_group_shuttle, flight_group_loom))]

#[cfg(flight_group_shuttle)]
mod batch;
