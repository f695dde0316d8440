//! The fleet on a real `redis-server`, started by the tests themselves; its scenarios with real processes.
#![cfg(unix)]

mod cable;
mod children;
mod cuts;
mod forks;
mod groups;
mod leases;
mod outages;
mod processes;
mod refusals;
mod scripts;
mod support;
mod writes;
