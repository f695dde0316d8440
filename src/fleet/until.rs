//! Until when a call of the fleet waits: its deadline, or the moment its token is cancelled.

use super::FleetError;
use crate::cancel::CancelToken;
use crate::sync::{Duration, Instant, after};

/// How long a call waits, as its options say it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wait<'c> {
    time: Time,
    pub(crate) cancel: Option<&'c CancelToken>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Time {
    #[default]
    ForEver,
    /// Counted from the moment the call begins to wait.
    For(Duration),
    Until(Instant),
}

impl<'c> Wait<'c> {
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.time = Time::For(timeout);
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.time = Time::Until(deadline);
    }

    /// The same, if the wait begins now.
    pub(crate) fn begin(self) -> Until<'c> {
        let deadline = match self.time {
            Time::ForEver => None,
            Time::For(timeout) => after(timeout),
            Time::Until(deadline) => Some(deadline),
        };
        Until { deadline, cancel: self.cancel }
    }
}

/// A wait that has begun: what ends it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Until<'c> {
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: Option<&'c CancelToken>,
}

impl Until<'_> {
    pub(crate) fn is_over(&self) -> bool {
        self.cancel.is_some_and(CancelToken::is_cancelled)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Why it is over, once it is.
    pub(crate) fn error(&self) -> FleetError {
        match self.cancel.map(CancelToken::check) {
            Some(Err(cancelled)) => FleetError::Cancelled(cancelled),
            _ => FleetError::TimedOut,
        }
    }

    /// When to look again: at `alarm`, or when the deadline passes.
    pub(crate) fn or_at(&self, alarm: Option<Instant>) -> Option<Instant> {
        match (alarm, self.deadline) {
            (Some(alarm), Some(deadline)) => Some(alarm.min(deadline)),
            (alarm, deadline) => alarm.or(deadline),
        }
    }
}
