//! What the scenarios share.

pub(crate) mod server;
pub(crate) mod wait;

pub(crate) use server::Server;
pub(crate) use wait::{until, watched};
