//! What a cancelled call, or cancelled work, is told.

use crate::site::Site;
use crate::sync::Arc;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// The error of a call, or of work, that stopped because its [`CancelToken`](crate::CancelToken) was cancelled.
///
/// Made by [`CancelToken::check`](crate::CancelToken::check), by the token's waits, and by calls that were given
/// the token, as [`Error::Cancelled`](crate::Error::Cancelled). Its message ends with the cause's message. For that
/// reason its [`source`](StdError::source) is the *cause's* source: the cause itself is at [`cause`](Self::cause).
///
/// Two of them are equal if they come from the same cancel.
///
/// ```
/// use flight_group::{CancelToken, Cancelled, Kind, Site};
/// use std::io;
///
/// let token = CancelToken::new();
/// token.cancel(io::Error::new(io::ErrorKind::BrokenPipe, "the client hung up"));
///
/// let cancelled = token.check().unwrap_err();
/// assert_eq!(cancelled.to_string(), "cancelled: the client hung up");
/// let cause = cancelled.cause().downcast_ref::<io::Error>().unwrap();
/// assert_eq!(cause.kind(), io::ErrorKind::BrokenPipe);
/// assert_eq!(cancelled, token.check().unwrap_err());
///
/// // What a call that waits in a named group is told:
/// let cancelled = cancelled.at(Site::new(Kind::Group).named("users"));
/// assert_eq!(
///     cancelled.to_string(),
///     "cancelled while waiting in group \"users\": the client hung up"
/// );
///
/// // For a test of the code that handles it:
/// assert_eq!(Cancelled::new("shutting down").to_string(), "cancelled: shutting down");
/// ```
#[derive(Clone)]
pub struct Cancelled {
    told: Arc<Told>,
}

#[derive(Clone)]
struct Told {
    /// Shared by all that were told of one cancel, wherever they waited.
    cause: Arc<dyn StdError + Send + Sync>,
    site: Site,
}

impl Cancelled {
    /// A cancel with this cause: a `&str`, a `String`, a box or any error.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { told: Arc::new(Told { cause: Arc::from(cause.into()), site: Site::default() }) }
    }

    /// The same cancel, as a call that waited in this group is told.
    #[must_use = "it returns the error with its site"]
    pub fn at(mut self, site: Site) -> Self {
        Arc::make_mut(&mut self.told).site = site;
        self
    }

    /// What was given to [`CancelToken::cancel`](crate::CancelToken::cancel).
    pub fn cause(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.told.cause
    }

    /// The group that the cancelled call waited in.
    pub fn site(&self) -> &Site {
        &self.told.site
    }
}

// Nobody can change a cause through a shared reference in a way that this crate depends on.
impl UnwindSafe for Cancelled {}
impl RefUnwindSafe for Cancelled {}

impl PartialEq for Cancelled {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.told.cause, &other.told.cause)
    }
}

impl Eq for Cancelled {}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").field("cause", &self.cause()).field("site", self.site()).finish()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.site().name() {
            Some(_) => write!(f, "cancelled while waiting{}: {}", self.site().whereabouts(), self.cause()),
            None => write!(f, "cancelled: {}", self.cause()),
        }
    }
}

impl StdError for Cancelled {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause().source()
    }
}
