//! A value under a lock, and the bell that goes with it.

#[cfg(flight_group_loom)]
use super::loom_condvar::{Condvar, wait_until};
use super::mutex::{Mutex, MutexGuard};
#[cfg(flight_group_shuttle)]
use super::shuttle_condvar::{Condvar, wait_until};
use crate::sync::Instant;

/// See the real build's.
pub(crate) struct Monitor<T> {
    state: Mutex<T>,
    bell: Condvar,
}

impl<T> Monitor<T> {
    pub(crate) fn new(state: T) -> Self {
        Self { state: Mutex::new(state), bell: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock()
    }

    pub(crate) fn wait<'a>(
        &'a self,
        mut guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
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
