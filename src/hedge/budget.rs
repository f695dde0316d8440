//! How many extra attempts may be made.

use crate::sync::atomic::{AtomicU64, Ordering};

/// One attempt's worth of credit; counted in millionths, so that a share of a call is a whole number.
const ATTEMPT: u64 = 1_000_000;

/// A bucket of credit: every call puts its share in, every extra attempt takes a whole one out. Never blocks.
///
/// Of any `n` calls in a row it allows at most `share * n` plus a full bucket of extra attempts: a long quiet time
/// saves up no more than that. (gRPC's retry throttle and Finagle's retry budget are buckets, too.)
#[derive(Debug)]
pub(super) struct Budget {
    credit: AtomicU64,
    per_call: u64,
    full: u64,
}

impl Budget {
    /// `share` is between 0 and 1.
    pub(super) fn new(share: f64, minimum: u32) -> Self {
        let per_call = (share * ATTEMPT as f64).round() as u64;
        let minimum = u64::from(minimum) * ATTEMPT;
        // A share alone must be able to save up for one attempt.
        let full = if per_call > 0 { minimum.max(ATTEMPT) } else { minimum };
        Self { credit: AtomicU64::new(minimum), per_call, full }
    }

    /// A call was made.
    pub(super) fn earn(&self) {
        self.put(self.per_call);
    }

    /// Whether an extra attempt may be made; it is paid for then.
    pub(super) fn spend(&self) -> bool {
        // Relaxed: the credit guards no other memory.
        self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| credit.checked_sub(ATTEMPT)).is_ok()
    }

    /// An extra attempt that was paid for was never made.
    pub(super) fn refund(&self, attempts: usize) {
        self.put(attempts as u64 * ATTEMPT);
    }

    fn put(&self, credit: u64) {
        let add = |old: u64| (old < self.full && credit > 0).then(|| old.saturating_add(credit).min(self.full));
        let _ = self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Over any stretch of calls: never more than the share of the stretch and one full bucket.
        #[test]
        fn every_stretch_keeps_to_the_share(
            share in 0.0..=1.0_f64,
            minimum in 0..5_u32,
            wanted in prop::collection::vec(0..3_usize, 1..200),
        ) {
            let budget = Budget::new(share, minimum);
            let made: Vec<usize> = wanted
                .iter()
                .map(|&wanted| {
                    budget.earn();
                    (0..wanted).filter(|_| budget.spend()).count()
                })
                .collect();
            for from in 0..made.len() {
                for to in from..=made.len() {
                    let allowed = share * (to - from) as f64 + f64::from(minimum.max(1)) + 1e-3;
                    prop_assert!(made[from..to].iter().sum::<usize>() as f64 <= allowed);
                }
            }
        }
    }

    #[test]
    fn the_minimum_is_there_at_once_and_the_share_is_earned() {
        let budget = Budget::new(0.25, 2);
        assert!(budget.spend() && budget.spend() && !budget.spend());
        for _ in 0..3 {
            budget.earn();
            assert!(!budget.spend());
        }
        budget.earn();
        assert!(budget.spend() && !budget.spend());
        budget.refund(1);
        assert!(budget.spend() && !budget.spend());
        let none = Budget::new(0.0, 0);
        none.earn();
        none.refund(1);
        assert!(!none.spend());
    }
}
