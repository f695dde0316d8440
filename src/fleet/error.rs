//! Why the fleet could not do as asked.

use crate::error::Cancelled;
use std::fmt;

/// Why a [`Fleet`](super::Fleet) could not connect, or a [`Lease`](super::Lease) could not be had.
///
/// Groups show it as [`Error::Fleet`](crate::Error::Fleet).
///
/// ```
/// use flight_group::fleet::{Fleet, FleetError};
///
/// let error = Fleet::connect("http://localhost/").unwrap_err();
/// assert!(matches!(error, FleetError::BadUrl { .. }));
/// assert_eq!(
///     error.to_string(),
///     "bad address \"http://localhost/\": expected redis://[user:password@]host[:port][/db], \
///      rediss://.. with a TLS feature, or unix:///path"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetError {
    /// The address is not one of a Redis server. A password in it is not repeated here.
    BadUrl {
        /// The address, its password replaced by `***`.
        url: String,
        /// What was expected instead.
        expected: String,
    },
    /// An option has a value that cannot work.
    BadOption {
        /// The option's name.
        option: &'static str,
        /// The value it was given.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The server wants another user name or password.
    AuthenticationFailed {
        /// Host and port of the server.
        server: String,
    },
    /// The user may not run a command, or not use a key or a channel, that the fleet needs. [`connect`] tries all of
    /// them; the complete rules are in [`docs::fleet`](crate::docs::fleet).
    ///
    /// [`connect`]: super::FleetBuilder::connect
    NoPermission {
        /// The missing rules where they are known, and the server's words.
        detail: String,
    },
    /// The server is older than what the scripts were written for (6.2).
    ServerTooOld {
        /// Host and port of the server.
        server: String,
        /// The version it says it has.
        found: String,
    },
    /// The server is of a kind that cannot serve a fleet: a node of a cluster, or a sentinel.
    WrongServer {
        /// Host and port of the server.
        server: String,
        /// What it is, and what to do.
        found: String,
    },
    /// A key that belongs to the fleet holds something that the fleet did not put there.
    WrongType {
        /// The key in Redis.
        key: String,
    },
    /// The server cannot be reached, does not answer in time, or is not able to serve now: it loads its data, is a
    /// replica, does not take writes, or is busy with somebody else's script.
    Unavailable {
        /// Host and port of the server.
        server: String,
        /// What happened.
        reason: String,
    },
    /// A group's key cannot be written as JSON, which is what names it in Redis.
    BadKey {
        /// Why not.
        reason: String,
    },
    /// The time given to the call passed.
    TimedOut,
    /// The call's [`CancelToken`](crate::CancelToken) was cancelled. A group's call returns
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    Cancelled(Cancelled),
    /// The lease was lost before it was released: it ended by itself, and somebody else may have held it since.
    Lost,
    /// The server answered with an error that none of the other cases covers.
    Server {
        /// The server's words.
        detail: String,
    },
    /// The system could not start a thread or give random bytes.
    System {
        /// What failed.
        reason: String,
    },
}

impl FleetError {
    /// Whether the server could not be reached or could not serve.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether the time given to the call passed.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut)
    }

    /// Whether the call's token was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether the lease was lost.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost)
    }
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl { url, expected } => write!(f, "bad address \"{url}\": expected {expected}"),
            Self::BadOption { option, found, expected } => {
                write!(f, "bad {option} \"{found}\": expected {expected}")
            }
            Self::AuthenticationFailed { server } => {
                write!(f, "the redis server at {server} refused the user name or password")
            }
            Self::NoPermission { detail } => write!(f, "the redis user lacks a permission: {detail}"),
            Self::ServerTooOld { server, found } => {
                write!(f, "the redis server at {server} is too old: version {found}, expected 6.2 or later")
            }
            Self::WrongServer { server, found } => {
                write!(f, "the redis server at {server} cannot serve a fleet: it is {found}")
            }
            Self::WrongType { key } => {
                write!(f, "the redis key \"{key}\" holds something the fleet did not put there")
            }
            Self::Unavailable { server, reason } => write!(f, "the redis server at {server} is unavailable: {reason}"),
            Self::BadKey { reason } => write!(f, "bad key: expected one that can be written as json: {reason}"),
            Self::TimedOut => f.write_str("timed out waiting for the fleet"),
            Self::Cancelled(cancelled) => write!(f, "{cancelled}"),
            Self::Lost => f.write_str("the lease was lost before it was released"),
            Self::Server { detail } => write!(f, "the redis server answered with an error: {detail}"),
            Self::System { reason } => write!(f, "the system refused: {reason}"),
        }
    }
}

impl std::error::Error for FleetError {}
