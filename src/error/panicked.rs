//! The message of a panic that ended a flight.

use crate::site::Site;
use crate::sync::Arc;
use std::fmt;

/// The message of a panic that ended a flight, as its followers see it.
///
/// The payload itself stays with the leader, whose thread goes on unwinding with it. Two of them are equal if their
/// messages are.
///
/// ```
/// use flight_group::{Error, Kind, Panic, Site};
///
/// let panic = Panic::new("index out of bounds");
/// assert_eq!(panic.to_string(), "the work panicked: index out of bounds");
///
/// let panic = panic.at(Site::new(Kind::Group).named("users"));
/// assert_eq!(panic.message(), "index out of bounds");
/// let error: Error<String> = Error::Panicked(panic);
/// assert_eq!(error.to_string(), "the work in group \"users\" panicked: index out of bounds");
/// ```
#[derive(Clone)]
pub struct Panic {
    told: Arc<Told>,
}

#[derive(Clone)]
struct Told {
    message: Box<str>,
    site: Site,
}

impl Panic {
    /// A panic with this message, in a group that is not known.
    pub fn new(message: &str) -> Self {
        Self { told: Arc::new(Told { message: message.into(), site: Site::default() }) }
    }

    /// The same panic, in this group.
    #[must_use = "it returns the panic with its site"]
    pub fn at(mut self, site: Site) -> Self {
        Arc::make_mut(&mut self.told).site = site;
        self
    }

    /// What the panic said; `"a payload that is not a string"` where it was raised with something else.
    pub fn message(&self) -> &str {
        &self.told.message
    }

    /// The group that it happened in.
    pub fn site(&self) -> &Site {
        &self.told.site
    }
}

impl PartialEq for Panic {
    fn eq(&self, other: &Self) -> bool {
        self.message() == other.message()
    }
}

impl Eq for Panic {}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panic").field("message", &self.message()).field("site", self.site()).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the work{} panicked: {}", self.site().whereabouts(), self.message())
    }
}

impl std::error::Error for Panic {}
