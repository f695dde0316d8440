//! What a batcher counts, and where.

use super::keys::Rules;
use super::outcome::Outcome;
use super::stats::BatchStats;
use crate::engine::panics::{caught, resume_unwind};
use crate::error::Error;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts for [`BatchStats`]: those of calls one by one, those of batches under a lock.
pub(super) struct Counts {
    pub(super) loads: AtomicU64,
    pub(super) shared: AtomicU64,
    missing: AtomicU64,
    timed_out: AtomicU64,
    deadlocks: AtomicU64,
    batches: Mutex<BatchStats>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            loads: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            deadlocks: AtomicU64::new(0),
            batches: Mutex::new(BatchStats::new()),
        }
    }
}

impl Counts {
    pub(super) fn started(&self, keys: usize, handed_over: bool) {
        let mut batches = self.batches.lock();
        batches.started(keys);
        batches.handed_over += u64::from(handed_over);
    }

    /// Runs the function, and counts if it fails.
    pub(super) fn watch<K, V, E>(&self, function: impl FnOnce() -> Outcome<K, V, E>) -> Outcome<K, V, E> {
        let outcome = caught(function).unwrap_or_else(|payload| {
            self.batches.lock().panicked += 1;
            resume_unwind(payload)
        });
        if matches!(outcome, Outcome::Failed(_)) {
            self.batches.lock().failed += 1;
        }
        outcome
    }

    /// A call has ended.
    pub(super) fn ended<V, E>(&self, part: &Result<V, Error<E>>) {
        let count = match part {
            Err(Error::Missing(_)) => &self.missing,
            Err(Error::TimedOut(_)) => &self.timed_out,
            Err(Error::Deadlock(_)) => &self.deadlocks,
            _ => return,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self, rules: &Rules) -> BatchStats {
        let mut stats = self.batches.lock().clone();
        stats.loads = self.loads.load(Relaxed);
        stats.shared = self.shared.load(Relaxed);
        stats.missing = self.missing.load(Relaxed);
        stats.timed_out = self.timed_out.load(Relaxed);
        stats.deadlocks = self.deadlocks.load(Relaxed);
        stats.withdrawn = rules.withdrawn.load(Relaxed);
        stats
    }
}
