//! What the two groups of a fleet do alike inside their process: the local group, how long a call waits, and why there
//! is no outcome.

use super::FleetError;
use super::process::PerProcess;
use crate::error::Error;
use crate::landing::Landing;
use crate::sync::{Duration, Instant, after};
use crate::{Group, GroupBuilder};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::hash::Hash;

/// The group that collapses this process's calls.
pub(crate) struct Local<K, V, E> {
    name: String,
    settings: LocalSettings<K, V, E>,
    // A fork would copy flights whose leaders are threads of the parent.
    group: PerProcess<Collapsed<K, V, E>>,
}

type Collapsed<K, V, E> = Group<K, V, Grounded<E>>;
type CollapsedBuilder<K, V, E> = GroupBuilder<K, V, Grounded<E>>;

type Setting<B> = fn(B) -> B;

/// How it is built: in this process, and again in a forked child.
pub(crate) struct LocalSettings<K, V, E> {
    pub(crate) max_followers: usize,
    pub(crate) timed: bool,
    /// Set by a method that knows that keys can be printed.
    pub(crate) debug_keys: Option<Setting<CollapsedBuilder<K, V, E>>>,
}

impl<K, V, E> Default for LocalSettings<K, V, E> {
    fn default() -> Self {
        Self { max_followers: usize::MAX, timed: false, debug_keys: None }
    }
}

impl<K: Hash + Eq, V, E> LocalSettings<K, V, E> {
    fn build(&self, name: &str) -> Collapsed<K, V, E> {
        let builder = Group::builder().name(name).max_followers(self.max_followers);
        let builder = if self.timed { builder.timed() } else { builder };
        match self.debug_keys {
            Some(debug_keys) => debug_keys(builder).build(),
            None => builder.build(),
        }
    }
}

impl<K: Hash + Eq, V, E> Local<K, V, E> {
    pub(crate) fn new(name: &str, settings: LocalSettings<K, V, E>) -> Self {
        Self { name: name.to_owned(), group: PerProcess::new(settings.build(name)), settings }
    }

    pub(crate) fn group(&self) -> &Collapsed<K, V, E> {
        match self.group.get(|_| Ok::<_, Infallible>(self.settings.build(&self.name))) {
            Ok(group) => group,
            Err(never) => match never {},
        }
    }
}

/// Boards the local group, for `deadline` at most.
pub(crate) fn board<K, V, E, Q>(
    group: &Group<K, V, E>,
    key: &Q,
    fresh: bool,
    deadline: Option<Instant>,
    work: impl FnOnce() -> Result<V, E>,
) -> Result<Landing<V>, Error<E>>
where
    K: Hash + Eq + Borrow<Q>,
    V: Clone,
    E: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    let call = group.call(key);
    let call = if fresh { call.fresh() } else { call };
    let call = if let Some(deadline) = deadline { call.deadline(deadline) } else { call };
    call.run(work)
}

/// Follows the local flight in the air, for `deadline` at most; `None` at once where there is none.
pub(crate) fn follow<K, V, E, Q>(
    group: &Group<K, V, E>,
    key: &Q,
    deadline: Option<Instant>,
) -> Option<Result<Landing<V>, Error<E>>>
where
    K: Hash + Eq + Borrow<Q>,
    V: Clone,
    E: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    let call = group.call(key);
    let call = if let Some(deadline) = deadline { call.deadline(deadline) } else { call };
    call.follow()
}

/// How long a call waits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Wait {
    #[default]
    ForEver,
    /// Counted from the moment the call begins to wait.
    For(Duration),
    Until(Instant),
}

impl Wait {
    /// As a moment, if it begins now.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Self::ForEver => None,
            Self::For(timeout) => after(timeout),
            Self::Until(deadline) => Some(deadline),
        }
    }
}

/// Why this process's leader has no outcome.
#[derive(Clone)]
pub(crate) enum Grounded<E> {
    Work(E),
    /// Its own deadline passed, which is nobody else's.
    OutOfTime(FleetError),
    Fleet(FleetError),
}

impl<E> Grounded<E> {
    /// What the fleet said to a leader with this deadline.
    pub(crate) fn of(error: FleetError, deadline: Option<Instant>) -> Self {
        if error.is_timed_out() || is_over(deadline) { Self::OutOfTime(error) } else { Self::Fleet(error) }
    }
}

/// What a call returns that got `error` from the local group. `None`: it boards again, because the leader it followed
/// had less time than it has. `asked`: it was that leader itself.
pub(crate) fn reason<E>(error: Error<Grounded<E>>, asked: bool, deadline: Option<Instant>) -> Option<Error<E>> {
    Some(match error.split() {
        Ok(Grounded::OutOfTime(_)) if !asked && !is_over(deadline) => return None,
        Ok(Grounded::OutOfTime(FleetError::TimedOut)) => Error::timed_out(),
        Ok(Grounded::OutOfTime(error) | Grounded::Fleet(error)) => Error::Fleet(error),
        Ok(Grounded::Work(error)) => Error::Work(error),
        Err(other) => other,
    })
}

pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
