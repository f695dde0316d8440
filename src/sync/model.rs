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
pub(crate) use checker::thread::Thread;
pub(crate) use checker::thread_local;

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

/// parking_lot's `Condvar`: waits through `&mut` guard.
#[derive(Debug, Default)]
pub(crate) struct Condvar(checker::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(checker::sync::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect(HELD);
        guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    #[allow(dead_code, reason = "part of the shape, for whoever wakes everybody")]
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A wait with a deadline tosses a coin: heads, the deadline passes, after other threads had a turn with the lock
/// free; tails, it is too far away to matter. The clock is never asked, so that a schedule can be replayed.
///
/// Nothing is lost by not parking the thread that will time out: parking_lot gives a notification only to a
/// thread whose wait then does *not* report a timeout, so to everybody else it is as if it had not been there.
pub(crate) fn wait_until<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, deadline: Option<Instant>) -> bool {
    if deadline.is_some() && toss(2) == 0 {
        guard.held = None;
        for _ in 0..toss(4) {
            checker::thread::yield_now();
        }
        guard.held = guard.mutex.lock().held;
        return true;
    }
    condvar.wait(guard);
    false
}

/// A number below `sides`, drawn from the schedule's own randomness.
#[cfg(flight_group_shuttle)]
fn toss(sides: u32) -> u32 {
    use shuttle::rand::Rng;
    shuttle::rand::thread_rng().gen_range(0..sides)
}

/// loom explores every schedule and has no coin to toss: its scenarios use no deadlines.
#[cfg(flight_group_loom)]
fn toss(sides: u32) -> u32 {
    sides - 1
}

/// Starts a named thread of the crate's own.
pub(crate) fn spawn_named(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<checker::thread::JoinHandle<()>> {
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
