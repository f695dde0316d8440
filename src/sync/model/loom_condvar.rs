//! parking_lot's `Condvar` over loom's.

use super::mutex::{HELD, MutexGuard};
use crate::sync::Instant;
use std::sync::PoisonError;

#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(loom::sync::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    #[allow(dead_code, reason = "part of the shape, for whoever wakes everybody")]
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// loom explores every schedule and has no coin to toss: its scenarios use no deadlines, and none passes here.
pub(crate) fn wait_until<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, _deadline: Option<Instant>) -> bool {
    let held = guard.held.take().expect(HELD);
    guard.held = Some(condvar.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    false
}

/// A coin that always falls on the same side.
pub(crate) fn toss(_sides: usize) -> usize {
    0
}
