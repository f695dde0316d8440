//! Why a hedged call got no reply.

use crate::cancel::Cancelled;
use crate::error::Error;
use std::fmt;

/// Why a hedged call got no reply.
///
/// `Clone` where `E` is, so that it can be the error of a [`Group`](crate::Group) whose flights hedge.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HedgeError<E> {
    /// Every attempt that was made failed: their errors in the order in which the attempts started, never none.
    /// [`Error::Work`] is what an attempt returned, [`Error::Panicked`] what it panicked with.
    Failed(Vec<Error<E>>),
    /// The token given to [`Hedge::run_under`](crate::Hedge::run_under) was cancelled first.
    Cancelled(Cancelled),
    /// The settings make no sense; no attempt was made.
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

    /// Whether the settings made no sense.
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
                errors
                    .iter()
                    .enumerate()
                    .try_for_each(|(i, error)| write!(f, "{} {error}", if i == 0 { ":" } else { ";" }))
            }
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for HedgeError<E> {
    /// The first attempt's error, the cancel, or what is wrong with the settings.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(errors) => errors.first().map(|error| error as _),
            Self::Cancelled(cancelled) => Some(cancelled),
            Self::Invalid(invalid) => Some(invalid),
        }
    }
}

/// What is wrong with a [`Hedge`](crate::Hedge)'s settings: names the value, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHedge {
    message: String,
}

impl InvalidHedge {
    pub(super) fn new(message: String) -> Self {
        Self { message }
    }
}

impl fmt::Display for InvalidHedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InvalidHedge {}
