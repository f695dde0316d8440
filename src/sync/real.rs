//! The build users get: parking_lot and std, renamed and nothing more.

use super::Instant;
use std::sync::PoisonError;

pub(crate) use once_cell::sync::Lazy;
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::atomic;
pub(crate) use std::thread::{JoinHandle, Thread, yield_now};

/// Sleeps on `condvar` until it is notified (`false`) or `deadline` has passed (`true`). Without a deadline
/// it sleeps until notified. May return early with `false`, as every condvar: call it in a loop.
pub(crate) fn wait_until<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, deadline: Option<Instant>) -> bool {
    match deadline {
        Some(deadline) => condvar.wait_until(guard, deadline).timed_out(),
        None => {
            condvar.wait(guard);
            false
        }
    }
}

/// A value under std's lock, and the bell that goes with it.
///
/// parking_lot's condvar wakes one thread and queues the others for the mutex; std's wakes all in one system call,
/// and costs one whether anybody sleeps or not. Used where many are woken at once, or where a sleeper that is
/// woken often should go straight to the system.
pub(crate) struct Monitor<T> {
    state: std::sync::Mutex<T>,
    bell: std::sync::Condvar,
}

impl<T> Monitor<T> {
    pub(crate) fn new(state: T) -> Self {
        Self { state: std::sync::Mutex::new(state), bell: std::sync::Condvar::new() }
    }

    /// Never poisoned: nothing of the user's runs under it.
    pub(crate) fn lock(&self) -> MonitorGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until notified (`false`) or until `deadline` has passed (`true`). May return early with `false`.
    pub(crate) fn wait<'a>(
        &'a self,
        guard: MonitorGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (MonitorGuard<'a, T>, bool) {
        match deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let (guard, result) = self.bell.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner);
                (guard, result.timed_out())
            }
            None => (self.bell.wait(guard).unwrap_or_else(PoisonError::into_inner), false),
        }
    }

    /// Wakes one sleeper: a system call, even if there is none.
    pub(crate) fn notify_one(&self) {
        self.bell.notify_one();
    }

    /// Wakes everybody: a system call, even if there is nobody.
    pub(crate) fn notify_all(&self) {
        self.bell.notify_all();
    }
}

pub(crate) use std::sync::MutexGuard as MonitorGuard;

/// Starts a named thread of the crate's own; `Err` where the system has no thread left to give.
pub(crate) fn spawn_named(name: String, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(body)
}

/// How many threads this process may run at once; read once, since it costs system calls and file reads.
pub(crate) fn cores() -> usize {
    static CORES: once_cell::sync::OnceCell<usize> = once_cell::sync::OnceCell::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// A process-wide value made at its first use.
macro_rules! process_wide {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $(#[$meta])*
        static $name: $crate::sync::Lazy<$type> = $crate::sync::Lazy::new(|| $init);
    };
}
pub(crate) use process_wide;

/// A value of each thread's own.
macro_rules! per_thread {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $init:expr;) => {
        std::thread_local! {
            $(#[$meta])*
            static $name: $type = const { $init };
        }
    };
}
pub(crate) use per_thread;

/// The calling thread, for the reports that name it.
pub(crate) fn current_thread() -> Thread {
    std::thread::current()
}

pub(crate) use std::thread::{Scope, scope};

/// Starts a named thread that `scope` joins; `Err` where the system has no thread left to give.
pub(crate) fn spawn_scoped<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    body: impl FnOnce() + Send + 'scope,
) -> std::io::Result<()> {
    std::thread::Builder::new().name(name).spawn_scoped(scope, body).map(drop)
}
