//! A record this process holds, as the holder, the keeper and the watcher of its end share it.

use super::clock::Moment;
use super::process::Token;
use crate::sync::{Duration, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) type OnLost = Box<dyn FnOnce() + Send>;

/// A record held under a token until a deadline that renewals move.
pub(crate) struct Held {
    pub(crate) record: Vec<u8>,
    pub(crate) token: Token,
    pub(crate) fence: u64,
    pub(crate) ttl: Duration,
    pub(crate) renewed: bool,
    // std's atomic: read for advice only; every decision is taken under `state`.
    deadline: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    on_lost: Vec<OnLost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Holding,
    /// Released or finished by its holder: what a renewal says of it then means nothing.
    Ended,
    Lost,
}

impl Held {
    /// `sent` is the moment before the request that got it: the server's clock started later than that.
    pub(crate) fn new(record: Vec<u8>, token: Token, fence: u64, ttl: Duration, renewed: bool, sent: Moment) -> Self {
        let deadline = AtomicU64::new(local_deadline(sent, ttl).as_nanos());
        Self { record, token, fence, ttl, renewed, deadline, state: Mutex::default() }
    }

    /// Until when this process may believe that it holds the record.
    pub(crate) fn deadline(&self) -> Moment {
        // Relaxed: advice. The holder who acts on it is protected by the fence.
        Moment::from_nanos(self.deadline.load(Ordering::Relaxed))
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.state.lock().phase == Phase::Lost || self.deadline().has_passed()
    }

    pub(crate) fn remaining(&self) -> Duration {
        if self.is_lost() { Duration::ZERO } else { self.deadline().remaining() }
    }

    /// A renewal sent at `sent` went through. `Some` where it came too late: a holder that was told of a loss, or
    /// could have seen it, is not told the contrary.
    pub(crate) fn prolong(&self, sent: Moment) -> Option<Vec<OnLost>> {
        let mut state = self.state.lock();
        if state.phase != Phase::Holding {
            return None;
        }
        if self.deadline().has_passed() {
            state.phase = Phase::Lost;
            return Some(std::mem::take(&mut state.on_lost));
        }
        self.deadline.store(local_deadline(sent, self.ttl).as_nanos(), Ordering::Relaxed);
        None
    }

    /// The record is gone. `Some` with the callbacks to run, the first time and unless the holder ended it himself.
    pub(crate) fn lose(&self) -> Option<Vec<OnLost>> {
        let mut state = self.state.lock();
        if state.phase != Phase::Holding {
            return None;
        }
        state.phase = Phase::Lost;
        Some(std::mem::take(&mut state.on_lost))
    }

    /// The holder ends it. Returns the callbacks, which are the user's: to be dropped last, when nothing is left to do
    /// that a panic of theirs could prevent.
    #[must_use = "what is the user's is dropped last"]
    pub(crate) fn end(&self) -> Vec<OnLost> {
        let mut state = self.state.lock();
        if state.phase == Phase::Holding {
            state.phase = Phase::Ended;
        }
        std::mem::take(&mut state.on_lost)
    }

    /// Keeps `callback` for the loss; hands it back where that has happened, to be run at once.
    pub(crate) fn on_lost(&self, callback: OnLost) -> Option<OnLost> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Lost => Some(callback),
            _ => {
                state.on_lost.push(callback);
                None
            }
        }
    }
}

/// The server counts from when it got the request, this machine from before it sent it; the margin covers clocks
/// that run at different speeds and a holder that looks a moment before it writes.
fn local_deadline(sent: Moment, ttl: Duration) -> Moment {
    let margin = (ttl / 20).clamp(Duration::from_millis(1), Duration::from_secs(1));
    sent.plus(ttl.saturating_sub(margin))
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::*;

    fn held(ttl: Duration) -> Held {
        Held::new(b"{k}:f".to_vec(), "t.1".into(), 7, ttl, true, Moment::now())
    }

    #[test]
    fn a_loss_is_told_once_and_never_taken_back() {
        let held = held(Duration::from_secs(60));
        assert!(!held.is_lost());
        assert!(held.on_lost(Box::new(|| ())).is_none());
        assert_eq!(held.lose().map(|callbacks| callbacks.len()), Some(1));
        assert!(held.lose().is_none());
        assert!(held.prolong(Moment::now()).is_none());
        assert!(held.is_lost());
        assert_eq!(held.remaining(), Duration::ZERO);
        assert!(held.on_lost(Box::new(|| ())).is_some(), "too late to keep: run it now");
        assert!(held.end().is_empty());
        assert!(held.is_lost(), "still");
    }

    #[test]
    fn a_renewal_after_the_local_deadline_is_a_loss() {
        let held = held(Duration::ZERO);
        assert!(held.is_lost());
        assert!(held.prolong(Moment::now()).is_some());
        assert!(held.lose().is_none(), "told already");
    }

    #[test]
    fn what_its_holder_ended_cannot_be_lost() {
        let held = held(Duration::from_secs(60));
        assert!(held.on_lost(Box::new(|| ())).is_none());
        assert_eq!(held.end().len(), 1);
        assert!(held.lose().is_none());
        assert!(held.prolong(Moment::now()).is_none());
    }
}
