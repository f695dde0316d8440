//! The circle of waits that a call would have closed.

use crate::site::{Kind, Site};
use crate::sync::Arc;
use std::fmt;

/// A circle of threads that wait for each other's flights, found by the call that would have closed it.
///
/// The first hop is the flight the failing call wanted to wait for. Each next hop is the flight that the thread of
/// the hop before it waits for. The last hop's thread is the calling thread. A call from inside its own flight has
/// one hop.
///
/// ```
/// use flight_group::{Error, Group, Kind};
///
/// let group: Group<u32, u32> = Group::builder().name("users").debug_keys().build();
/// let outcome = group.try_work(&1, || {
///     match group.try_work(&1, || Ok(0)) {
///         Err(Error::Deadlock(circle)) => {
///             assert_eq!(circle.hops().len(), 1);
///             assert_eq!(circle.hops()[0].kind(), Kind::Group);
///             assert_eq!(circle.hops()[0].group(), Some("users"));
///             assert_eq!(circle.hops()[0].key(), Some("1"));
///             Ok(42)
///         }
///         other => panic!("expected a deadlock, got {other:?}"),
///     }
/// });
/// assert_eq!(outcome, Ok(42));
/// ```
///
/// A test of the code that handles one builds it:
///
/// ```
/// use flight_group::{Deadlock, Error, Hop, Kind, Site};
///
/// let users = Hop::new(Site::new(Kind::Group).named("users"), 3, "thread \"a\"").keyed("17");
/// let rows = Hop::new(Site::new(Kind::Batcher), 8, "thread \"b\"");
/// let error: Error<String> = Error::Deadlock(Deadlock::new([users, rows]));
///
/// assert_eq!(
///     error.to_string(),
///     "deadlock: this thread would wait for flight 3 of key 17 in group \"users\" \
///      on thread \"a\", which waits for batch 8 in a batcher on thread \"b\", \
///      which is this thread; \
///      make one of these calls outside the work of the other"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlock {
    hops: Arc<[Hop]>,
}

impl Deadlock {
    /// A circle of these hops, the flight that the call wanted to wait for first.
    pub fn new(hops: impl IntoIterator<Item = Hop>) -> Self {
        Self { hops: hops.into_iter().collect() }
    }

    /// The flights of the circle, the one that the call wanted to wait for first.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadlock: this thread would wait for ")?;
        for (i, hop) in self.hops.iter().enumerate() {
            if i > 0 {
                f.write_str(", which waits for ")?;
            }
            hop.fmt(f)?;
        }
        f.write_str(", which is this thread; ")?;
        f.write_str(match self.hops.len() {
            0 | 1 => "make this call outside that work",
            _ => "make one of these calls outside the work of the other",
        })
    }
}

impl std::error::Error for Deadlock {}

/// One flight in a [`Deadlock`], and the thread that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    site: Site,
    flight: u64,
    key: Option<Arc<str>>,
    thread: Arc<str>,
}

impl Hop {
    /// The flight with this number, in this group, run by this thread, without a key.
    pub fn new(site: Site, flight: u64, thread: impl Into<Arc<str>>) -> Self {
        Self { site, flight, key: None, thread: thread.into() }
    }

    /// The same hop with the key that the flight is for, as its `Debug` shows it.
    #[must_use = "it returns the hop with the key"]
    pub fn keyed(self, key: impl Into<Arc<str>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The group that the flight belongs to.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The kind of that group.
    pub fn kind(&self) -> Kind {
        self.site.kind()
    }

    /// The group's [`name`](crate::GroupBuilder::name), if it was given one.
    pub fn group(&self) -> Option<&str> {
        self.site.name()
    }

    /// The flight's number, unique in its group.
    pub fn flight(&self) -> u64 {
        self.flight
    }

    /// The key, where the group was built with [`debug_keys`](crate::GroupBuilder::debug_keys).
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The thread that the flight's callers wait for: its name, if it has one, and its id.
    pub fn thread(&self) -> &str {
        &self.thread
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().awaited(), self.flight)?;
        if let Some(key) = &self.key {
            write!(f, " of key {key}")?;
        }
        write!(f, " in {} on {}", self.site, self.thread)
    }
}
