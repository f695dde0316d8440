//! Until when a call of the fleet waits: its deadline, or the moment its token is cancelled.

use super::FleetError;
use crate::cancel::CancelToken;
use crate::engine::options::WaitOptions;
use crate::sync::Instant;

/// A wait that has begun: what ends it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Until<'c> {
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancel: Option<&'c CancelToken>,
}

impl<'c> Until<'c> {
    /// What a call's options say, if its wait begins now.
    pub(crate) fn begin(mut options: WaitOptions<'c>) -> Self {
        let deadline = if options.start() { Some(Instant::now()) } else { options.deadline() };
        Self { deadline, cancel: options.cancel }
    }

    /// No token ends this wait: it belongs to no call, or to what a call does with its own work.
    pub(crate) const fn at(deadline: Option<Instant>) -> Self {
        Self { deadline, cancel: None }
    }

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
