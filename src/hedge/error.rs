//! Why a hedged call got no reply.

use crate::cancel::Cancelled;
use crate::error::{Deadlock, Error};
use std::fmt;

/// Why a hedged call got no reply.
///
/// `Clone` where `E` is, so that it can be the error of a [`Group`](crate::Group) whose flights hedge.
///
/// The message holds the messages of all attempts. Its [`source`](std::error::Error::source) is what stands behind
/// the first of them, so that nothing is said twice in a chain.
///
/// ```
/// use flight_group::{Error, Hedge, HedgeError, hedge};
///
/// let hedge = Hedge::new().max(2);
/// let ask = |attempt: hedge::Attempt| -> Result<(), _> {
///     Err(format!("replica {} is down", attempt.index()))
/// };
/// let error = hedge.run(ask).unwrap_err();
///
/// let down = |i| Error::Work(format!("replica {i} is down"));
/// assert_eq!(error, HedgeError::Failed(vec![down(0), down(1)]));
/// assert_eq!(error.to_string(), "all 2 attempts failed: replica 0 is down; replica 1 is down");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum HedgeError<E> {
    /// Every attempt that was made failed: their errors in the order in which the attempts started, never none.
    /// [`Error::Work`] is what an attempt returned, [`Error::Panicked`] what it panicked with.
    Failed(Vec<Error<E>>),
    /// The token given to [`Hedge::run_under`](crate::Hedge::run_under) was cancelled first.
    Cancelled(Cancelled),
    /// The call would have waited for itself: no further attempt will be made, and all that run wait for the calling
    /// thread. They are not waited for any more.
    Deadlock(Deadlock),
    /// The first reply of no replicas at all was asked for.
    Invalid(InvalidHedge),
}

impl<E> HedgeError<E> {
    /// The errors of all attempts, in the order in which these started; empty unless the attempts failed.
    pub fn errors(&self) -> &[Error<E>] {
        match self {
            Self::Failed(errors) => errors,
            _ => &[],
        }
    }

    /// Whether every attempt failed.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether the call was cancelled while it waited.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether the call would have waited for itself.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Self::Deadlock(_))
    }

    /// Whether there was no replica to ask.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid(_))
    }
}

impl<E: fmt::Display> fmt::Display for HedgeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(errors) => {
                match errors.len() {
                    1 => f.write_str("the only attempt failed")?,
                    n => write!(f, "all {n} attempts failed")?,
                }
                errors.iter().enumerate().try_for_each(|(i, error)| {
                    f.write_str(if i == 0 { ": " } else { "; " })?;
                    match error {
                        Error::Work(error) => error.fmt(f), // that it failed has been said
                        other => other.fmt(f),
                    }
                })
            }
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Deadlock(deadlock) => deadlock.fmt(f),
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for HedgeError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(errors) => match errors.first()? {
                Error::Work(error) => error.source(),
                other => other.source(),
            },
            Self::Cancelled(cancelled) => cancelled.source(),
            Self::Deadlock(_) | Self::Invalid(_) => None,
        }
    }
}

/// The first reply of no replicas was asked for; see [`Hedge::first`](crate::Hedge::first).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHedge(());

impl InvalidHedge {
    pub(super) fn no_replicas() -> Self {
        Self(())
    }
}

impl fmt::Display for InvalidHedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the first of no replicas was asked for: at least 1 is needed, got 0")
    }
}

impl std::error::Error for InvalidHedge {}
