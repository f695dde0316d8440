//! parking_lot's `Mutex` over the checker's.

#[cfg(flight_group_loom)]
use loom as checker;
#[cfg(flight_group_shuttle)]
use shuttle as checker;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

/// parking_lot's `Mutex`: no poisoning.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(pub(super) checker::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checker::sync::Mutex::new(value))
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.0.try_lock().is_err()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
    }
}

/// Holds the checker's guard, and nothing while its owner sleeps.
pub(crate) struct MutexGuard<'a, T> {
    pub(super) mutex: &'a Mutex<T>,
    pub(super) held: Option<checker::sync::MutexGuard<'a, T>>,
}

pub(super) const HELD: &str = "the lock is held whenever its owner runs";

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
