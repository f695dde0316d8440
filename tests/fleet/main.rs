//! The fleet on a real `redis-server`, started by the tests themselves; its scenarios with real processes.
#![cfg(unix)]

mod leases;
mod scripts;
mod support;
