//! One call from beginning to end. Every verb that blocks comes here.

use crate::engine::board::{Boarded, Caller};
use crate::engine::core::Engine;
use crate::engine::flight::{Flight, FlightId, is_worth_another_try};
use crate::engine::follow::{Ended, WaitGuard};
use crate::engine::key::Lookup;
use crate::engine::land::LeadGuard;
use crate::engine::load::Load;
use crate::engine::options::{WaitOptions, Which};
use crate::engine::table::ShardState;
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::EventKind;
use crate::sync::{Arc, MutexGuard};
use std::hash::BuildHasher;

/// What became of a call that has not run its closure yet.
pub(super) enum Turn<V, E, L: Load> {
    /// It leads; the flight, if it has memory.
    Lead(FlightId, Option<Arc<Flight<V, E, L>>>),
    Done(Result<Landing<V>, Error<E>>),
}

impl<K, V: Clone, E: Clone, S: BuildHasher, L: Load> Engine<K, V, E, S, L> {
    /// Boards, then leads or follows.
    ///
    /// `then` maps the landing to what the verb returns. It runs here, so that `try_work` never builds the fields of a
    /// `Landing` that it would throw away.
    #[inline]
    pub(crate) fn run<Q: Lookup<K> + ?Sized, R>(
        &self,
        key: &Q,
        which: Which,
        options: WaitOptions<'_>,
        work: impl FnOnce() -> Result<V, E>,
        then: impl FnOnce(Landing<V>) -> R,
    ) -> Result<R, Error<E>> {
        self.check(&options)?;
        let hash = key.hash_in(&self.hasher);
        let shard = self.shard(hash); // found once, for the way in and the way out
        let id = match self.begin_alone(shard, hash, key) {
            Ok(number) => FlightId { hash, number },
            Err(state) => match self.meet(hash, key, Caller::blocked(which, options, None), state) {
                Turn::Lead(id, _) => id,
                Turn::Done(result) => return result.map(then),
            },
        };
        self.lead(key, shard, id, work, then)
    }

    /// The same, with `work` that is told the flight's number, and whether the flight was queued, so that callers may
    /// follow it that asked for the next one. Any read leads such a flight that comes before they are awake, also one that
    /// would have joined a flight in the air.
    #[cfg(feature = "redis")]
    pub(crate) fn run_told<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        which: Which,
        options: WaitOptions<'_>,
        work: impl FnOnce(u64, bool) -> Result<V, E>,
    ) -> Result<Landing<V>, Error<E>> {
        self.check(&options)?;
        let hash = key.hash_in(&self.hasher);
        let shard = self.shard(hash);
        match self.meet(hash, key, Caller::blocked(which, options, None), shard.lock()) {
            Turn::Lead(id, flight) => {
                self.lead(key, shard, id, || work(id.number, flight.is_some()), std::convert::identity)
            }
            Turn::Done(result) => result,
        }
    }

    /// Boards a call that meets another one, and waits. Boards again as often as there is reason to, until the call has an
    /// outcome or leads.
    #[cold]
    pub(super) fn meet<'s, Q: Lookup<K> + ?Sized>(
        &'s self,
        hash: u64,
        key: &Q,
        mut caller: Caller<'_, V, E, L>,
        state: MutexGuard<'s, ShardState<K, V, E, L>>,
    ) -> Turn<V, E, L> {
        let mut boarded = self.board_locked(hash, key, &mut caller, state);
        loop {
            self.tell_expired(key, &mut caller, &boarded);
            let (flight, place, ticket) = match boarded {
                Boarded::Lead(id, flight) => return Turn::Lead(id, flight),
                Boarded::Wait(flight, place, ticket) => (flight, place, ticket),
                refused => return Turn::Done(Err(self.refused(refused, key))),
            };
            let mut guard = WaitGuard::new(self, hash, flight, place, ticket);
            match self.await_end(key, &caller.options, &mut guard) {
                Ended::Lead => return Turn::Lead(guard.id(), Some(guard.flight.clone())),
                Ended::BoardAgain => {}
                Ended::Landed => {
                    let landed = guard.outcome();
                    if !is_worth_another_try(&landed.outcome, self.config.share_failures) {
                        return Turn::Done(landed.share(Role::Follower, true));
                    }
                }
                ended => return Turn::Done(Err(self.wait_error(ended, &caller.options))),
            }
            drop(guard);
            // Its token may have been cancelled together with the flight: then it does not begin anew.
            if let Err(cancelled) = self.check(&caller.options) {
                self.rare.cancelled.add(1);
                return Turn::Done(Err(cancelled));
            }
            boarded = self.board(hash, key, &mut caller);
        }
    }
}

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// Tells of the flight that was too old. The observer may panic: a flight that the call leads is not stranded.
    pub(super) fn tell_expired<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        caller: &mut Caller<'_, V, E, L>,
        boarded: &Boarded<V, E, L>,
    ) {
        let Some(expired) = caller.expired.take() else { return };
        let guard = match boarded {
            Boarded::Lead(id, _) | Boarded::LeadElsewhere(id, ..) => Some(LeadGuard::new(self, *id)),
            _ => None,
        };
        self.tell(expired, || key.own(), EventKind::Expired);
        if let Some(guard) = guard {
            guard.disarm();
        }
    }
}
