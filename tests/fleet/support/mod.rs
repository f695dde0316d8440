//! What the scenarios share.

pub(crate) mod log;
pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod wait;

pub(crate) use log::Log;
pub(crate) use server::Server;
pub(crate) use wait::{until, watched};
