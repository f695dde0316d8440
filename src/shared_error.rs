//! Any error, made cloneable: what a group's `E` is where the work fails in more than one way.

use crate::error::Error;
use crate::sync::Arc;
use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Any error, behind an `Arc`: all callers of a flight can have it.
///
/// `?` makes one from every [`std::error::Error`] that is `Send + Sync + 'static`. [`SharedError::new`] makes one from
/// what is not such an error but can be boxed as one: a `&str`, a `String`, a `Box<dyn Error + Send + Sync>`, an
/// `anyhow::Error`.
///
/// ```
/// use flight_group::{Error, Group, SharedError};
///
/// type Limits = Group<&'static str, u32, SharedError>;
///
/// fn limit(group: &Limits, text: &str) -> Result<u32, Box<dyn std::error::Error>> {
///     let limit = group.try_work(&"limit", || {
///         let limit: u32 = text.parse()?;                             // a `ParseIntError`
///         if limit > 100 {
///             return Err(SharedError::new(format!("limit is {limit}, expected 0 to 100")));
///         }
///         Ok(limit)
///     })?;                                                            // an `Error<SharedError>`
///     Ok(limit)
/// }
///
/// let group = Group::new();
/// assert_eq!(limit(&group, "12").unwrap(), 12);
/// assert_eq!(limit(&group, "120").unwrap_err().to_string(), "limit is 120, expected 0 to 100");
///
/// let error = limit(&group, "12x").unwrap_err();
/// assert_eq!(error.to_string(), "invalid digit found in string");
///
/// // The parser's own error is still there:
/// match error.downcast_ref::<Error<SharedError>>() {
///     Some(Error::Work(e)) => assert!(e.downcast_ref::<std::num::ParseIntError>().is_some()),
///     other => panic!("expected the parser's error, got {other:?}"),
/// }
/// ```
///
/// # As an error
///
/// It derefs to the error inside: [`source`](StdError::source) and `to_string` are that error's. It is itself no
/// [`std::error::Error`], because `?` could not make it from every error then. [`Error<SharedError>`](Error) is one,
/// and that is what a call returns. To pass a bare `SharedError` on with `?`, the function may return a
/// `Box<dyn Error>` or a `Box<dyn Error + Send + Sync>`.
///
/// `{}` shows the error, `{:#}` the error and its chain of sources in one line, `{:?}` the error's own `Debug`.
///
/// # Nested flights
///
/// `?` on the `Error<SharedError>` of a flight inside a flight gives the inner error itself, not a wrapper around it:
/// [`downcast_ref`](Self::downcast_ref) finds it, however deep it was.
///
/// # Comparing
///
/// Two are equal if they are clones of one error, as all callers of one flight get them. Two errors that only read
/// the same are not equal: compare their `to_string()`, or what `downcast_ref` finds.
///
/// ```
/// use flight_group::SharedError;
///
/// let error = SharedError::new("no such row");
/// assert_eq!(error, error.clone());
/// assert_ne!(error, SharedError::new("no such row"));
/// ```
#[derive(Clone)]
pub struct SharedError {
    error: Arc<dyn StdError + Send + Sync>,
}

impl SharedError {
    /// From whatever can be boxed as an error: a `&str`, a `String`, an error, a box of one, an `anyhow::Error`.
    ///
    /// In a closure: `.map_err(SharedError::new)?`.
    ///
    /// ```
    /// use flight_group::SharedError;
    ///
    /// fn open() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    ///     Err(std::io::Error::from(std::io::ErrorKind::NotFound))?
    /// }
    /// let error = open().map_err(SharedError::new).unwrap_err();
    /// assert!(error.downcast_ref::<std::io::Error>().is_some());
    ///
    /// assert_eq!(SharedError::new("no such row").to_string(), "no such row");
    /// ```
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let error = match error.into().downcast::<Reason>() {
            Ok(reason) => return reason.0,
            Err(error) => error,
        };
        match error.downcast::<Error<Self>>() {
            Ok(error) => Self::from(*error),
            Err(error) => Self { error: error.into() },
        }
    }

    /// The error inside, if it is a `T`. An `anyhow::Error` is a `T` of anyhow's own: its chain is at `source()`.
    ///
    /// ```
    /// use flight_group::SharedError;
    /// use std::num::ParseIntError;
    ///
    /// let error = SharedError::from("12x".parse::<u32>().unwrap_err());
    /// assert!(error.downcast_ref::<ParseIntError>().is_some());
    /// assert!(error.downcast_ref::<std::io::Error>().is_none());
    /// ```
    pub fn downcast_ref<T: StdError + 'static>(&self) -> Option<&T> {
        self.error.downcast_ref()
    }
}

impl<T: StdError + Send + Sync + 'static> From<T> for SharedError {
    fn from(error: T) -> Self {
        // The error of a nested flight is what that flight failed with: one error, not one inside another.
        let mut error = Some(error);
        if let Some(nested) = (&mut error as &mut dyn Any).downcast_mut::<Option<Error<Self>>>() {
            return match nested.take().expect("filled above").into_work() {
                Ok(inner) => inner,
                Err(other) => Self { error: Arc::new(other) },
            };
        }
        Self { error: Arc::new(error.expect("filled above")) }
    }
}

/// `SharedError` is no error itself, but `Error<SharedError>` is one like any `Error<E>`.
impl StdError for Error<SharedError> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source_of(|error| error.source())
    }
}

impl Deref for SharedError {
    type Target = dyn StdError + Send + Sync + 'static;

    fn deref(&self) -> &Self::Target {
        &*self.error
    }
}

impl AsRef<dyn StdError + Send + Sync + 'static> for SharedError {
    fn as_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.error
    }
}

impl AsRef<dyn StdError + 'static> for SharedError {
    fn as_ref(&self) -> &(dyn StdError + 'static) {
        &*self.error
    }
}

impl From<SharedError> for Box<dyn StdError + Send + Sync + 'static> {
    fn from(error: SharedError) -> Self {
        Box::new(Reason(error))
    }
}

impl From<SharedError> for Box<dyn StdError + 'static> {
    fn from(error: SharedError) -> Self {
        Box::new(Reason(error))
    }
}

impl PartialEq for SharedError {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.error, &other.error)
    }
}

impl Eq for SharedError {}

// An error behind an `Arc` is only looked at; a panic elsewhere leaves it as it was.
impl UnwindSafe for SharedError {}
impl RefUnwindSafe for SharedError {}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        if f.alternate() {
            let mut next = self.error.source();
            while let Some(source) = next {
                write!(f, ": {source}")?;
                next = source.source();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

/// A `SharedError` where an error is asked for. Adds nothing to its message or its chain.
struct Reason(SharedError);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Reason {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
