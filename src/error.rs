//! Why a call got no value.

mod cancelled;
mod deadlock;
mod panicked;

pub use cancelled::Cancelled;
pub use deadlock::{Deadlock, Hop};
pub use panicked::Panic;

use std::fmt;

/// Why a call got no value.
///
/// `E` is the error of the caller's own closure. It must be `Clone`, which most errors are not: put the error into an
/// `Arc`. With one type of error `?` in the closure does that by itself:
///
/// ```
/// use std::{num::ParseIntError, sync::Arc};
/// use flight_group::Group;
///
/// fn limit(group: &Group<&str, u32, Arc<ParseIntError>>) -> Result<u32, Box<dyn std::error::Error>> {
///     let limit = group.try_work(&"limit", || Ok("12".parse()?))?;
///     Ok(limit)
/// }
/// assert_eq!(limit(&Group::new()).unwrap(), 12);
/// ```
///
/// The outer `?`, into a `Box<dyn Error>` or anyhow's `Error`, needs an `E` that is an `Error` itself: a `String`, a
/// `&str`, an `Arc<str>` and an `Arc<anyhow::Error>` are none.
///
/// For an open set of errors use `Arc<dyn Error + Send + Sync>`. `?` turns a `Box<dyn Error + Send + Sync>` into it,
/// and `map_err(|e| Arc::from(e.into_boxed_dyn_error()))` an `anyhow::Error`; any other error takes this one line:
///
/// ```
/// use std::{error::Error as StdError, sync::Arc};
/// use flight_group::{Error, Group};
///
/// type Shared = Arc<dyn StdError + Send + Sync>;
///
/// let group: Group<&str, u32, Shared> = Group::new();
/// let outcome = group.try_work(&"limit", || {
///     let limit = "12x".parse::<u32>().map_err(|e| -> Shared { Arc::new(e) })?;
///     Ok(limit)
/// });
///
/// let error = outcome.unwrap_err();
/// assert!(error.is_work());
/// assert_eq!(error.to_string(), "the work failed: invalid digit found in string");
/// assert!(error.source().is_some(), "the chain leads to the parser's own error");
/// ```
///
/// The message of [`Error::Work`] holds the work's own message, so that a log line of one error is complete; a
/// reporter that walks `source()` as well will say it a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The closure of the flight's leader returned this error.
    Work(E),
    /// The closure of the flight's leader panicked. The leader itself sees the panic go on unwinding.
    Panicked(Panic),
    /// The deadline of this call passed while it waited. Its closure was not run by this call; the flight it
    /// waited for goes on undisturbed, and a queued write may have been covered by somebody else's run.
    TimedOut,
    /// Waiting would never have ended: the flight waits, perhaps through others, for the calling thread.
    Deadlock(Deadlock),
    /// As many callers as the group admits ([`max_followers`](crate::GroupBuilder::max_followers)) already wait
    /// for this key.
    Overloaded,
    /// The flight ended without having run: the executor dropped its job, no thread could be started for it, or
    /// all who could have led it gave up. Seen by receivers and by `wait` only; every other caller still has its
    /// closure and boards again.
    Abandoned,
    /// The work was done for several keys at once and returned nothing for this one.
    Missing,
    /// The fleet could not be asked, or said no, and the work was not run. Only from the groups of
    /// [`fleet`](crate::fleet).
    #[cfg(feature = "redis")]
    Fleet(crate::fleet::FleetError),
}

impl<E> Error<E> {
    /// Whether the closure itself returned an error.
    pub fn is_work(&self) -> bool {
        matches!(self, Self::Work(_))
    }

    /// Whether the leader's closure panicked.
    pub fn is_panicked(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Whether the deadline of the call passed.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut)
    }

    /// Whether the call would have waited for itself.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Self::Deadlock(_))
    }

    /// Whether the call was shed because too many already waited.
    pub fn is_overloaded(&self) -> bool {
        matches!(self, Self::Overloaded)
    }

    /// Whether the flight ended without having run.
    pub fn is_abandoned(&self) -> bool {
        matches!(self, Self::Abandoned)
    }

    /// Whether the work returned nothing for this key.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// The error of the closure, where there is one.
    pub fn work(&self) -> Option<&E> {
        match self {
            Self::Work(error) => Some(error),
            _ => None,
        }
    }

    /// The error of the closure, by value, where there is one; otherwise the whole error back.
    ///
    /// ```
    /// use flight_group::Error;
    ///
    /// assert_eq!(Error::Work("no such row").into_work(), Ok("no such row"));
    /// assert_eq!(Error::<&str>::TimedOut.into_work(), Err(Error::TimedOut));
    /// ```
    pub fn into_work(self) -> Result<E, Self> {
        match self {
            Self::Work(error) => Ok(error),
            other => Err(other),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Work(error) => write!(f, "the work failed: {error}"),
            Self::Panicked(panic) => panic.fmt(f),
            Self::TimedOut => f.write_str("timed out waiting for the flight"),
            Self::Deadlock(deadlock) => deadlock.fmt(f),
            Self::Overloaded => f.write_str("overloaded: too many callers already wait for this key"),
            Self::Abandoned => f.write_str("the flight was abandoned before its work ran"),
            Self::Missing => f.write_str("the work returned nothing for this key"),
            #[cfg(feature = "redis")]
            Self::Fleet(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Work(error) => Some(error),
            Self::Panicked(panic) => Some(panic),
            Self::Deadlock(deadlock) => Some(deadlock),
            #[cfg(feature = "redis")]
            Self::Fleet(error) => Some(error),
            _ => None,
        }
    }
}
