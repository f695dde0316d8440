//! The same names under a model checker: every lock, wait and wake-up is a point where it may switch threads.
//!
//! Both checkers follow std's shape (guards move through `wait`, locks can be poisoned); the wrappers below give
//! them parking_lot's, which the crate is written against.

#[cfg(flight_group_loom)]
use loom as checker;
#[cfg(flight_group_shuttle)]
use shuttle as checker;

pub(crate) use checker::sync::atomic;
pub(crate) use checker::thread::{JoinHandle, Thread, yield_now};
pub(crate) use checker::thread_local as checker_thread_local;

mod monitor;
mod mutex;
pub(crate) use monitor::Monitor;
pub(crate) use mutex::{Mutex, MutexGuard};

#[cfg(flight_group_loom)]
mod loom_condvar;
#[cfg(flight_group_loom)]
pub(crate) use loom_condvar::{Condvar, toss, wait_until};

#[cfg(flight_group_shuttle)]
mod shuttle_condvar;
#[cfg(flight_group_shuttle)]
pub(crate) use shuttle_condvar::{Condvar, below as toss, wait_until};

/// Starts a named thread of the crate's own.
pub(crate) fn spawn_named(name: String, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    checker::thread::Builder::new().name(name).spawn(body)
}

/// Few enough for a checker to finish.
pub(crate) fn cores() -> usize {
    1
}

/// A process-wide value, made anew in every explored schedule.
macro_rules! process_wide {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        crate::sync::checker_lazy_static! {
            $(#[$meta])*
            static ref $name: $type = $init;
        }
    };
}
pub(crate) use checker::lazy_static as checker_lazy_static;
pub(crate) use process_wide;

/// A value of each checked thread's own.
macro_rules! per_thread {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        crate::sync::checker_thread_local! {
            $(#[$meta])*
            static $name: $type = $init;
        }
    };
}
pub(crate) use per_thread;

/// The calling thread, for the reports that name it.
pub(crate) fn current_thread() -> Thread {
    checker::thread::current()
}

/// loom has no scoped threads: what is built on them is checked by shuttle alone.
#[cfg(flight_group_shuttle)]
pub(crate) use checker::thread::{Scope, scope};

/// Starts a thread that `scope` joins; the checker knows no names for these.
#[cfg(flight_group_shuttle)]
pub(crate) fn spawn_scoped<'scope>(
    scope: &'scope Scope<'scope, '_>,
    _name: String,
    body: impl FnOnce() + Send + 'scope,
) -> std::io::Result<()> {
    drop(scope.spawn(body));
    Ok(())
}
