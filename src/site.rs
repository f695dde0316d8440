//! Which group something happened in: for the errors that name it.

use crate::sync::Arc;
use std::fmt;

/// The kind of group that a [`Site`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Kind {
    /// A [`Group`](crate::Group).
    #[default]
    Group,
    /// A [`WriteGroup`](crate::WriteGroup).
    WriteGroup,
    /// An [`EventGroup`](crate::EventGroup).
    EventGroup,
    /// A [`Batcher`](crate::Batcher).
    Batcher,
    /// A [`Hedge`](crate::Hedge).
    Hedge,
    /// An `ErrGroup`.
    ErrGroup,
    /// A `FleetGroup`: feature `redis`.
    FleetGroup,
    /// A `FleetWriteGroup`: feature `redis`.
    FleetWriteGroup,
}

impl Kind {
    /// The word for it in messages, spans and meters: `group`, `write group`, `event group`, `batcher`, `hedge`,
    /// `error group`, `fleet group` or `fleet write group`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::WriteGroup => "write group",
            Self::EventGroup => "event group",
            Self::Batcher => "batcher",
            Self::Hedge => "hedge",
            Self::ErrGroup => "error group",
            Self::FleetGroup => "fleet group",
            Self::FleetWriteGroup => "fleet write group",
        }
    }

    /// What a caller of it waits for.
    pub(crate) fn awaited(self) -> &'static str {
        match self {
            Self::Group | Self::WriteGroup | Self::EventGroup | Self::FleetGroup | Self::FleetWriteGroup => "flight",
            Self::Batcher => "batch",
            Self::Hedge => "hedged call",
            Self::ErrGroup => "scope",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The group that an error comes from: its [`Kind`], and its name if it was given one.
///
/// Errors carry it so that a log line says where to look. It costs a group one allocation when it is named, and an
/// error one reference count; a call that succeeds does not touch it.
///
/// ```
/// use flight_group::{Kind, Site};
///
/// let site = Site::new(Kind::WriteGroup).named("saves");
/// assert_eq!((site.kind(), site.name()), (Kind::WriteGroup, Some("saves")));
/// assert_eq!(site.to_string(), "write group \"saves\"");
///
/// let unnamed = Site::new(Kind::EventGroup);
/// assert_eq!(unnamed.name(), None);
/// assert_eq!(unnamed.to_string(), "an event group");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Site {
    /// One word, not an `Arc<str>`'s two: `Error` is as small as it is because of it.
    name: Option<Arc<String>>,
    kind: Kind,
}

impl Site {
    /// A group of this kind, without a name.
    pub fn new(kind: Kind) -> Self {
        Self { name: None, kind }
    }

    /// The same group with a name.
    #[must_use = "it returns the named site"]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(Arc::new(name.into())), ..self }
    }

    /// The kind of the group.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The group's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref().map(String::as_str)
    }

    /// ` in group "users"`, or nothing for a group without a name.
    pub(crate) fn whereabouts(&self) -> impl fmt::Display + '_ {
        Whereabouts(self)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.kind) {
            (Some(name), kind) => write!(f, "{kind} {name:?}"), // quoted and escaped: it ends up in logs
            (None, kind @ (Kind::EventGroup | Kind::ErrGroup)) => write!(f, "an {kind}"),
            (None, kind) => write!(f, "a {kind}"),
        }
    }
}

struct Whereabouts<'a>(&'a Site);

impl fmt::Display for Whereabouts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name {
            Some(_) => write!(f, " in {}", self.0),
            None => Ok(()),
        }
    }
}
