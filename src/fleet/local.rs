//! What the two groups of a fleet do alike inside their process: the local group, and why there is no outcome.

use super::FleetError;
use super::process::PerProcess;
use super::until::Until;
use crate::error::Error;
use crate::landing::Landing;
use crate::{Call, Group, GroupBuilder};
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

/// Boards the local group, until then at most. `work` is told whether it must not follow a flight in the air: for the
/// call's own sake, or for that of a fresh call that follows it here.
pub(crate) fn board<K, V, E, Q>(
    group: &Group<K, V, E>,
    key: &Q,
    fresh: bool,
    until: Until<'_>,
    work: impl FnOnce(bool) -> Result<V, E>,
) -> Result<Landing<V>, Error<E>>
where
    K: Hash + Eq + Borrow<Q>,
    V: Clone,
    E: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    let call = group.call(key);
    let call = if fresh { call.fresh() } else { call };
    limited(call, until).run_told(|queued| work(fresh || queued))
}

/// Follows the local flight in the air, until then at most; `None` at once where there is none.
pub(crate) fn follow<K, V, E, Q>(
    group: &Group<K, V, E>,
    key: &Q,
    until: Until<'_>,
) -> Option<Result<Landing<V>, Error<E>>>
where
    K: Hash + Eq + Borrow<Q>,
    V: Clone,
    E: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    limited(group.call(key), until).follow()
}

fn limited<'a, K, V, E, S, Q: ?Sized>(call: Call<'a, K, V, E, S, Q>, until: Until<'a>) -> Call<'a, K, V, E, S, Q> {
    let call = if let Some(deadline) = until.deadline { call.deadline(deadline) } else { call };
    if let Some(token) = until.cancel { call.cancel(token) } else { call }
}

/// Why this process's leader has no outcome.
#[derive(Clone)]
pub(crate) enum Grounded<E> {
    Work(E),
    /// Its own deadline passed, or its own token was cancelled, which is nobody else's.
    OutOfTime(FleetError),
    Fleet(FleetError),
}

impl<E> Grounded<E> {
    /// What the fleet said to a leader that waits until then.
    pub(crate) fn of(error: FleetError, until: Until<'_>) -> Self {
        if error.is_timed_out() || until.is_over() { Self::OutOfTime(error) } else { Self::Fleet(error) }
    }
}

/// What a call returns that got `error` from the local group. `None`: it boards again, because the leader it followed
/// had less time than it has. `asked`: it was that leader itself.
pub(crate) fn reason<E>(error: Error<Grounded<E>>, asked: bool, until: Until<'_>) -> Option<Error<E>> {
    Some(match error.split() {
        Ok(Grounded::OutOfTime(_)) if !asked && !until.is_over() => return None,
        Ok(Grounded::OutOfTime(error) | Grounded::Fleet(error)) => told(error),
        Ok(Grounded::Work(error)) => Error::Work(error),
        Err(other) => other,
    })
}

/// The fleet's error as a group's call returns it.
pub(crate) fn told<E>(error: FleetError) -> Error<E> {
    match error {
        FleetError::TimedOut => Error::timed_out(),
        FleetError::Cancelled(cancelled) => Error::Cancelled(cancelled),
        error => Error::Fleet(error),
    }
}
