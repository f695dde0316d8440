//! What a hedge did so far.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a [`Hedge`](crate::Hedge) and its clones did so far; read with [`Hedge::stats`](crate::Hedge::stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HedgeStats {
    /// Calls of `run` and `run_under`.
    pub calls: u64,
    /// Attempts beyond each call's first.
    pub extra_attempts: u64,
    /// Calls whose reply came from an attempt beyond the first.
    pub won_by_extra: u64,
    /// How often an attempt was due and the budget was empty.
    pub denied: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    calls: AtomicU64,
    extra_attempts: AtomicU64,
    won_by_extra: AtomicU64,
    denied: AtomicU64,
}

impl Counters {
    /// The call's number.
    pub(super) fn called(&self) -> u64 {
        self.calls.fetch_add(1, Relaxed) + 1
    }

    pub(super) fn attempted(&self, index: usize) {
        if index > 0 {
            self.extra_attempts.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn won(&self, index: usize) {
        if index > 0 {
            self.won_by_extra.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn denied(&self) {
        self.denied.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> HedgeStats {
        HedgeStats {
            calls: self.calls.load(Relaxed),
            extra_attempts: self.extra_attempts.load(Relaxed),
            won_by_extra: self.won_by_extra.load(Relaxed),
            denied: self.denied.load(Relaxed),
        }
    }
}
