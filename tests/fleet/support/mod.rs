//! What the scenarios share.

pub(crate) mod log;
pub(crate) mod monitor;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod wait;

use flight_group::fleet::{Fleet, FleetBuilder, Lease};
use std::time::Duration;

pub(crate) use log::Log;
pub(crate) use monitor::Monitor;
pub(crate) use server::Server;
pub(crate) use wait::{until, until_within, watched};

/// Waits until the time that is left of `lease` has grown.
#[track_caller]
pub(crate) fn until_renewed(lease: &Lease) {
    let mut left = lease.remaining();
    until("the lease is renewed", || {
        let before = std::mem::replace(&mut left, lease.remaining());
        left > before
    });
}

/// Tries until it succeeds: for what a busy machine does not manage within a short command timeout.
#[track_caller]
pub(crate) fn eventually<T, E: std::fmt::Debug>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let mut got = None;
    until(what, || {
        got = attempt().ok();
        got.is_some()
    });
    got.unwrap()
}

/// A fleet for scenarios that are not about time: nothing of it runs out on a machine that stands still for a while.
pub(crate) fn patient(url: &str) -> FleetBuilder {
    Fleet::builder(url)
        .ttl(Duration::from_secs(300))
        .command_timeout(Duration::from_secs(60))
        .ping_interval(Duration::from_secs(60))
}
