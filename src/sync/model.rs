//! The same names under a model checker: every lock, wait and wake-up is a point where it may switch threads.
//!
//! Both checkers follow std's shape (guards move through `wait`, locks can be poisoned); the wrappers below give
//! them parking_lot's, which the crate is written against.

use super::Instant;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

#[cfg(flight_group_loom)]
use loom as checker;
#[cfg(flight_group_shuttle)]
use shuttle as checker;

pub(crate) use checker::sync::atomic;
pub(crate) use checker::thread::{JoinHandle, Thread, ThreadId};
pub(crate) use checker::thread_local as checker_thread_local;

/// parking_lot's `Mutex`: no poisoning.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checker::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
    }
}

/// Holds the checker's guard, and nothing while its owner sleeps.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: Option<checker::sync::MutexGuard<'a, T>>,
}

const HELD: &str = "the lock is held whenever its owner runs";

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.held.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect(HELD)
    }
}

/// See the real build's.
pub(crate) struct Monitor<T> {
    state: Mutex<T>,
    bell: Condvar,
}

impl<T> Monitor<T> {
    pub(crate) fn new(state: T) -> Self {
        Self { state: Mutex::new(state), bell: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MonitorGuard<'_, T> {
        self.state.lock()
    }

    pub(crate) fn wait<'a>(
        &'a self,
        mut guard: MonitorGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (MonitorGuard<'a, T>, bool) {
        let timed_out = wait_until(&self.bell, &mut guard, deadline);
        (guard, timed_out)
    }

    pub(crate) fn notify_one(&self) {
        self.bell.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.bell.notify_all();
    }
}

pub(crate) use MutexGuard as MonitorGuard;

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
