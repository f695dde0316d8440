//! The fleet on a real `redis-server`, started by the tests themselves; its scenarios with real processes.
#![cfg(unix)]

mod cable;
mod cancelled;
mod children;
mod cuts;
mod forks;
mod groups;
mod leases;
mod observing;
mod outages;
mod processes;
mod protocol;
mod refusals;
mod scripts;
mod sentinels;
mod support;
#[cfg(any(feature = "redis-rustls", feature = "redis-native-tls"))]
mod tls;
#[cfg(feature = "tracing")]
#[path = "../it/observing/trace.rs"]
mod trace;
mod writes;
