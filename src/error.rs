//! Why a call got no value.

mod cancelled;
mod deadlock;
mod panicked;

pub use cancelled::Cancelled;
pub use deadlock::{Deadlock, Hop};
pub use panicked::Panic;

use crate::site::{Kind, Site};
use std::fmt;

/// Why a call got no value.
///
/// `E` is the error of the caller's own closure. It must be `Clone`, because all callers of a flight get it. Most
/// errors are not `Clone`: use [`SharedError`](crate::SharedError), into which `?` turns every error:
///
/// ```
/// use flight_group::{Error, Group, SharedError};
///
/// let group: Group<&str, u32, SharedError> = Group::new();
/// let limit = |text: &str| group.try_work(&"limit", || Ok(text.parse::<u32>()?));
///
/// assert_eq!(limit("12"), Ok(12));
/// match limit("12x") {
///     Err(Error::Work(e)) => assert!(e.downcast_ref::<std::num::ParseIntError>().is_some()),
///     other => panic!("expected the parser's error, got {other:?}"),
/// }
/// ```
///
/// An error type of the program's own that is `Clone` is fine, and so is an `Arc` around one that is not. `Error<E>`
/// is a [`std::error::Error`] if `E` is one, or is [`SharedError`](crate::SharedError): then `?` turns it into a
/// `Box<dyn Error>` or an `anyhow::Error`. A `String`, a `&str` and an `Arc<str>` are none.
///
/// # What it says
///
/// [`Work(e)`](Self::Work) shows exactly what `e` shows, and its `source()` is `e.source()`: an error goes through a
/// flight without a word added to its chain. Each of the others says what happened, in which group if it has a name,
/// and what to do. The message is complete and is not said again in the chain: none of them has a `source()`, but for
/// [`Cancelled`](Self::Cancelled), whose chain goes on behind the cause.
///
/// ```
/// use flight_group::{Error, Kind, Site};
///
/// let error: Error<String> = Error::TimedOut(Site::new(Kind::Group).named("users"));
/// assert_eq!(
///     error.to_string(),
///     "timed out waiting for a flight in group \"users\"; wait longer, or make its work faster"
/// );
/// ```
///
/// # Comparing
///
/// Two errors are equal if the same thing happened. The group that it happened in does not count, nor does a panic's.
/// A test therefore does not have to name it:
///
/// ```
/// use flight_group::{Error, Group};
/// use std::time::Duration;
///
/// let group: Group<u32, u32> = Group::builder().name("users").build();
/// group.work(&1, || {
///     std::thread::scope(|s| {
///         let other = s.spawn(|| group.call(&1).timeout(Duration::ZERO).run(|| Ok(2)));
///         assert_eq!(other.join().unwrap(), Err(Error::timed_out()));
///     });
///     1
/// });
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error<E> {
    /// The closure of the flight's leader returned this error.
    Work(E),
    /// The closure of the flight's leader panicked. The leader itself sees the panic go on unwinding.
    Panicked(Panic),
    /// The deadline of this call passed while it waited. Its closure was not run by this call. The flight it waited
    /// for goes on undisturbed, and a queued write may have been covered by another caller's run.
    TimedOut(Site),
    /// The token of this call was cancelled before the call began to wait, or while it waited. Its closure was not
    /// run by this call, and the flight it waited for goes on undisturbed.
    Cancelled(Cancelled),
    /// Waiting would never have ended: the flight waits, perhaps through others, for the calling thread.
    Deadlock(Deadlock),
    /// The group takes no more: [`max_followers`](crate::GroupBuilder::max_followers) callers already wait for this key, or
    /// the [`capacity`](crate::EventGroupBuilder::capacity) of an event group is used up.
    Overloaded(Site),
    /// The flight ended without having run: the executor dropped its job, no thread could be started for it, or
    /// all who could have led it gave up. A caller that still has its closure boards again instead.
    Abandoned(Site),
    /// The work was done for several keys at once and returned nothing for this one.
    Missing(Site),
    /// The event group was closed ([`EventGroup::close`](crate::EventGroup::close)): it takes no more events, and this
    /// one was not pushed.
    Closed(Site),
    /// The fleet could not be asked, or said no, and the work was not run. Only from the groups of
    /// [`fleet`](crate::fleet).
    #[cfg(feature = "redis")]
    Fleet(crate::fleet::FleetError),
}

/// Errors of a group that is not named. To name one, use the variant, `Error::TimedOut(site)`, or [`at`](Error::at).
impl<E> Error<E> {
    /// [`Error::TimedOut`] without a group's name.
    pub fn timed_out() -> Self {
        Self::TimedOut(Site::default())
    }

    /// [`Error::Overloaded`] without a group's name.
    pub fn overloaded() -> Self {
        Self::Overloaded(Site::default())
    }

    /// [`Error::Abandoned`] without a group's name.
    pub fn abandoned() -> Self {
        Self::Abandoned(Site::default())
    }

    /// [`Error::Missing`] without a group's name.
    pub fn missing() -> Self {
        Self::Missing(Site::default())
    }

    /// [`Error::Closed`] without a group's name.
    pub fn closed() -> Self {
        Self::Closed(Site::default())
    }
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
        matches!(self, Self::TimedOut(_))
    }

    /// Whether the token of the call was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether the call would have waited for itself.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Self::Deadlock(_))
    }

    /// Whether the call was refused because too much already waits.
    pub fn is_overloaded(&self) -> bool {
        matches!(self, Self::Overloaded(_))
    }

    /// Whether the flight ended without having run.
    pub fn is_abandoned(&self) -> bool {
        matches!(self, Self::Abandoned(_))
    }

    /// Whether the work returned nothing for this key.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// Whether the event group takes no more events, because it was closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    /// The group that the error comes from: for [`Deadlock`](Self::Deadlock) the first hop's. `None` for
    /// [`Work`](Self::Work), which is the closure's own error.
    ///
    /// ```
    /// use flight_group::{Error, Kind, Site};
    ///
    /// let error: Error<&str> = Error::Missing(Site::new(Kind::Batcher).named("rows"));
    /// assert_eq!(error.site().and_then(Site::name), Some("rows"));
    /// assert_eq!(Error::Work("no such row").site(), None);
    /// ```
    pub fn site(&self) -> Option<&Site> {
        match self {
            Self::Work(_) => None,
            Self::Panicked(panic) => Some(panic.site()),
            Self::TimedOut(site)
            | Self::Overloaded(site)
            | Self::Abandoned(site)
            | Self::Missing(site)
            | Self::Closed(site) => Some(site),
            Self::Cancelled(cancelled) => Some(cancelled.site()),
            Self::Deadlock(circle) => circle.hops().first().map(Hop::site),
            #[cfg(feature = "redis")]
            Self::Fleet(_) => None,
        }
    }

    /// The same error, from this group. [`Work`](Self::Work) and [`Deadlock`](Self::Deadlock) stay as they are: the
    /// first is the closure's own error, the second names the group of each hop.
    ///
    /// ```
    /// use flight_group::{Error, Kind, Site};
    ///
    /// let error = Error::<String>::timed_out().at(Site::new(Kind::WriteGroup).named("saves"));
    /// assert_eq!(
    ///     error.to_string(),
    ///     "timed out waiting for a flight in write group \"saves\"; \
    ///      wait longer, or make its work faster"
    /// );
    /// ```
    #[must_use = "it returns the error with its site"]
    pub fn at(self, site: Site) -> Self {
        match self {
            Self::Panicked(panic) => Self::Panicked(panic.at(site)),
            Self::TimedOut(_) => Self::TimedOut(site),
            Self::Cancelled(cancelled) => Self::Cancelled(cancelled.at(site)),
            Self::Overloaded(_) => Self::Overloaded(site),
            Self::Abandoned(_) => Self::Abandoned(site),
            Self::Missing(_) => Self::Missing(site),
            Self::Closed(_) => Self::Closed(site),
            other => other,
        }
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
    /// assert_eq!(Error::<&str>::timed_out().into_work(), Err(Error::timed_out()));
    /// ```
    pub fn into_work(self) -> Result<E, Self> {
        self.split()
    }

    /// The same error with the closure's error changed. Everything but [`Work`](Self::Work) stays what it is.
    ///
    /// ```
    /// use flight_group::Error;
    ///
    /// let error = Error::Work(404).map_work(|status| format!("status {status}"));
    /// assert_eq!(error, Error::Work("status 404".to_owned()));
    ///
    /// let error = Error::<u16>::missing().map_work(|status| format!("status {status}"));
    /// assert_eq!(error, Error::missing());
    /// ```
    pub fn map_work<F>(self, change: impl FnOnce(E) -> F) -> Error<F> {
        match self.split() {
            Ok(error) => Error::Work(change(error)),
            Err(other) => other,
        }
    }

    /// The closure's error, or what else happened, which can be the error of any other closure's flight too.
    pub(crate) fn split<F>(self) -> Result<E, Error<F>> {
        Err(match self {
            Self::Work(error) => return Ok(error),
            Self::Panicked(panic) => Error::Panicked(panic),
            Self::TimedOut(site) => Error::TimedOut(site),
            Self::Cancelled(cancelled) => Error::Cancelled(cancelled),
            Self::Deadlock(circle) => Error::Deadlock(circle),
            Self::Overloaded(site) => Error::Overloaded(site),
            Self::Abandoned(site) => Error::Abandoned(site),
            Self::Missing(site) => Error::Missing(site),
            Self::Closed(site) => Error::Closed(site),
            #[cfg(feature = "redis")]
            Self::Fleet(error) => Error::Fleet(error),
        })
    }
}

impl<E> Error<Error<E>> {
    /// The error of a flight inside a flight, as one: the inner flight's where that failed, otherwise the outer's.
    ///
    /// `?` does the same in a function that returns `Error<E>`:
    ///
    /// ```
    /// use flight_group::{Batcher, Error, Group};
    /// use std::collections::HashMap;
    ///
    /// struct Users {
    ///     reads: Group<u64, String, Error<&'static str>>,
    ///     rows: Batcher<u64, String, &'static str>,
    /// }
    ///
    /// impl Users {
    ///     fn read(&self, id: u64) -> Result<String, Error<&'static str>> {
    ///         let row = self.reads.try_work(&id, || self.rows.load(&id))?; // an `Error<Error<&str>>`
    ///         Ok(row)
    ///     }
    /// }
    ///
    /// let rows = Batcher::new(|ids: &[u64]| match ids {
    ///     [0] => Err("no database"),
    ///     _ => Ok(HashMap::new()),                  // no such row
    /// });
    /// let users = Users { reads: Group::new(), rows };
    /// assert_eq!(users.read(0), Err(Error::Work("no database")));
    /// assert_eq!(users.read(7), Err(Error::missing()));
    ///
    /// let error = users.reads.try_work(&7, || users.rows.load(&7)).unwrap_err();
    /// assert_eq!(error, Error::Work(Error::missing()));
    /// assert_eq!(error.flatten(), Error::missing());
    /// ```
    pub fn flatten(self) -> Error<E> {
        match self.split() {
            Ok(inner) | Err(inner) => inner,
        }
    }
}

/// What [`flatten`](Error::flatten) does.
impl<E> From<Error<Error<E>>> for Error<E> {
    fn from(error: Error<Error<E>>) -> Self {
        error.flatten()
    }
}

/// So that `token.check()?` ends a function that returns an `Error<E>`.
impl<E> From<Cancelled> for Error<E> {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

impl<E: PartialEq> PartialEq for Error<E> {
    fn eq(&self, other: &Self) -> bool {
        match self {
            Self::Work(mine) => matches!(other, Self::Work(theirs) if mine == theirs),
            Self::Panicked(mine) => matches!(other, Self::Panicked(theirs) if mine == theirs),
            Self::TimedOut(_) => other.is_timed_out(),
            Self::Cancelled(mine) => matches!(other, Self::Cancelled(theirs) if mine == theirs),
            Self::Deadlock(mine) => matches!(other, Self::Deadlock(theirs) if mine == theirs),
            Self::Overloaded(_) => other.is_overloaded(),
            Self::Abandoned(_) => other.is_abandoned(),
            Self::Missing(_) => other.is_missing(),
            Self::Closed(_) => other.is_closed(),
            #[cfg(feature = "redis")]
            Self::Fleet(mine) => matches!(other, Self::Fleet(theirs) if mine == theirs),
        }
    }
}

impl<E: Eq> Eq for Error<E> {}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Work(error) => error.fmt(f),
            Self::Panicked(panic) => panic.fmt(f),
            Self::TimedOut(site) => {
                let awaited = site.kind().awaited();
                write!(f, "timed out waiting for a {awaited}{}; ", site.whereabouts())?;
                f.write_str("wait longer, or make its work faster")
            }
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Deadlock(circle) => circle.fmt(f),
            Self::Overloaded(site) if site.kind() == Kind::EventGroup => {
                write!(f, "overloaded: too many events already wait{}; ", site.whereabouts())?;
                f.write_str("submit again later, use push, or raise capacity")
            }
            Self::Overloaded(site) => {
                write!(f, "overloaded: too many callers already wait for this key{}; ", site.whereabouts())?;
                f.write_str("call again later, or raise max_followers")
            }
            Self::Abandoned(site) => {
                let awaited = site.kind().awaited();
                write!(f, "abandoned: the work of this {awaited}{} was never run; ", site.whereabouts())?;
                f.write_str("call again, or see whether the executor drops jobs or the system has no thread to give")
            }
            Self::Missing(site) => {
                write!(f, "missing: the work{} returned nothing for this key; ", site.whereabouts())?;
                f.write_str("treat the key as not found, or return an entry for each key")
            }
            Self::Closed(site) => {
                write!(f, "closed: {site} takes no more events; ")?;
                f.write_str("this one was not pushed, keep it for the next start or give it up")
            }
            #[cfg(feature = "redis")]
            Self::Fleet(error) => error.fmt(f),
        }
    }
}

impl<E> Error<E> {
    /// What `source` says, given how to ask an `E` for its source. Nothing that the message has said comes again.
    pub(crate) fn source_of(
        &self,
        work: impl FnOnce(&E) -> Option<&(dyn std::error::Error + 'static)>,
    ) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Work(error) => work(error),
            Self::Cancelled(cancelled) => std::error::Error::source(cancelled),
            #[cfg(feature = "redis")]
            Self::Fleet(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source_of(E::source)
    }
}
