//! What the two groups of a fleet do alike inside their process: the local group, and why there is no outcome.

use super::FleetError;
use super::process::PerProcess;
use super::until::Until;
use crate::engine::options::Config;
use crate::engine::panics::{Payload, caught, resume_unwind};
use crate::error::Error;
use crate::landing::Landing;
use crate::observer::{EventKind, FleetRole};
use crate::sync::Instant;
use crate::{Call, Group};
use std::borrow::Borrow;
use std::convert::Infallible;
use std::hash::Hash;

/// The group that collapses this process's calls.
pub(crate) struct Local<K, V, E> {
    /// How it is built: in this process, and again in a forked child.
    config: Config<K>,
    // A fork would copy flights whose leaders are threads of the parent.
    group: PerProcess<Collapsed<K, V, E>>,
}

type Collapsed<K, V, E> = Group<K, V, Grounded<E>>;

impl<K: Hash + Eq, V, E> Local<K, V, E> {
    pub(crate) fn new(config: Config<K>) -> Self {
        Self { group: PerProcess::new(Group::configured(config.clone())), config }
    }

    pub(crate) fn group(&self) -> &Collapsed<K, V, E> {
        match self.group.get(|_| Ok::<_, Infallible>(Group::configured(self.config.clone()))) {
            Ok(group) => group,
            Err(never) => match never {},
        }
    }
}

/// A flight of the local group that this call leads: this process's one question to the fleet.
pub(crate) struct Asked {
    flight: u64,
    since: Instant,
    /// Of an observer, a subscriber or a recorder: it must not keep the flight from landing.
    payload: Option<Payload>,
}

impl Asked {
    pub(crate) fn new(flight: u64) -> Self {
        Self { flight, since: Instant::now(), payload: None }
    }

    /// Tells what this process is in the fleet.
    pub(crate) fn tell<K, V, E, Q>(&mut self, group: &Group<K, V, E>, key: &Q, role: FleetRole)
    where
        K: Hash + Eq + Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let told = caught(|| group.tell(key, self.flight, EventKind::InFleet { role }));
        self.payload = self.payload.take().or(told.err());
    }

    /// The flight has landed: a panic of whoever was told goes on now.
    pub(crate) fn resume(&mut self) {
        if let Some(payload) = self.payload.take() {
            resume_unwind(payload);
        }
    }

    /// Tells that the call returns `error`, if that is because it waited no longer for the fleet.
    pub(crate) fn tell_left<K, V, E, F, Q>(&self, group: &Group<K, V, E>, key: &Q, error: &Error<F>)
    where
        K: Hash + Eq + Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let waited = self.since.elapsed();
        match error {
            Error::TimedOut(_) => group.tell(key, self.flight, EventKind::TimedOut { waited }),
            Error::Cancelled(_) => group.tell(key, self.flight, EventKind::Cancelled { waited }),
            _ => {}
        }
    }
}

/// Boards the local group, until then at most. `work` is told its flight's number, and whether it must not follow a
/// flight in the air: for the call's own sake, or for that of a fresh call that follows it here.
pub(crate) fn board<K, V, E, Q>(
    group: &Group<K, V, E>,
    key: &Q,
    fresh: bool,
    until: Until<'_>,
    work: impl FnOnce(u64, bool) -> Result<V, E>,
) -> Result<Landing<V>, Error<E>>
where
    K: Hash + Eq + Borrow<Q>,
    V: Clone,
    E: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    let call = group.call(key);
    let call = if fresh { call.fresh() } else { call };
    limited(call, until).run_told(|flight, queued| work(flight, fresh || queued))
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
