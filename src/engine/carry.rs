//! Calls that bring something to the key's next flight, and flights that no caller is blocked on.

use crate::engine::board::{Boarded, Caller, Place};
use crate::engine::core::Engine;
use crate::engine::deadlock::runner;
use crate::engine::flight::{Flight, FlightId, HandOff, Landed, Queued};
use crate::engine::follow::{Ended, WaitGuard};
use crate::engine::key::Lookup;
use crate::engine::load::{Bring, Due, Load};
use crate::engine::options::WaitOptions;
use crate::engine::panics::{drop_quietly, quietly};
use crate::engine::run::Turn;
use crate::engine::table::{Slot, Table};
use crate::engine::waiter::Waiter;
use crate::error::{Deadlock, Error};
use crate::landing::Landing;
use crate::observer::EventKind;
use crate::report::Trace;
use crate::sync::Arc;
use std::hash::BuildHasher;

/// The flights of a group, with the hashes of their keys.
type Flights<V, E, L> = Vec<(u64, Arc<Flight<V, E, L>>)>;

impl<K, V: Clone, E: Clone, S: BuildHasher, L: Load> Engine<K, V, E, S, L> {
    /// `run` for a call that brings something. The leader gets all that its flight carries. `None`: the call boarded alone,
    /// and still has what it brought. `holds`: it may have to wait for its time although nothing is in the air.
    #[inline]
    pub(crate) fn carry<Q: Lookup<K> + ?Sized, R>(
        &self,
        key: &Q,
        options: WaitOptions<'_>,
        holds: bool,
        brings: &mut dyn Bring<L>,
        work: impl FnOnce(Option<(FlightId, L)>) -> Result<V, E>,
        then: impl FnOnce(Landing<V>) -> R,
    ) -> Result<R, Error<E>> {
        self.check(&options)?;
        let hash = key.hash_in(&self.hasher);
        let shard = self.shard(hash);
        let alone = if holds { Err(shard.lock()) } else { self.begin_alone(shard, hash, key) };
        let (id, flight) = match alone {
            Ok(number) => {
                let id = FlightId { hash, number };
                if L::is_closed(&self.rules) {
                    self.abandon(id); // the fast path does not ask the load
                    return Err(Error::Overloaded(self.site()));
                }
                (id, None)
            }
            Err(state) => match self.meet(hash, key, Caller::carrying(options, holds, brings), state) {
                Turn::Lead(id, flight) => (id, flight),
                Turn::Done(result) => return result.map(then),
            },
        };
        // The load stays in the flight until its leader has begun: one that unwinds before loses nothing (P13).
        self.lead(key, shard, id, || work(flight.map(|flight| (id, flight.take_load()))), then)
    }
}

impl<K, V, E, S: BuildHasher, L: Load> Engine<K, V, E, S, L> {
    /// Leaves something for the key's next flight, without waiting for it, unless the group takes no more.
    pub(crate) fn leave<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        brings: &mut dyn Bring<L>,
    ) -> Result<FlightId, Error<E>> {
        let hash = key.hash_in(&self.hasher);
        match self.board(hash, key, &mut Caller::leaving(brings)) {
            Boarded::Queued(id) => Ok(id),
            refused => Err(self.refused(refused, key)),
        }
    }
}

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// The key of a flight that this thread leads.
    pub(crate) fn key_in_the_air(&self, id: FlightId) -> Option<K>
    where
        K: Clone,
    {
        self.shard(id.hash).lock().table.find(id.hash, |slot| slot.id == id.number).map(|slot| slot.key.clone())
    }

    /// Changes the load of a flight that waits, for a thread that works on it outside the lock, and hands the flight on
    /// if nothing is in the air. `None`: the group was closed meanwhile, and the flight is gone.
    pub(crate) fn settle<R>(&self, id: FlightId, change: impl FnOnce(&mut L) -> R) -> Option<R> {
        let mut state = self.shard(id.hash).lock();
        let (table, counts) = state.parts();
        let (slot, flight) = find_waiting(table, id)?;
        let result = flight.with_load(change);
        let hand_off = if slot.is_grounded() { self.hand_on(slot, counts) } else { None };
        self.renew_node(slot); // this thread is done with it, and its own next wait is no circle
        drop(state);
        if let Some(hand_off) = hand_off {
            hand_off.notify();
        }
        Some(result)
    }

    /// Whether the flight still waits, or its key rests.
    pub(crate) fn waits(&self, id: FlightId) -> bool {
        let mut state = self.shard(id.hash).lock();
        let table = &mut state.table;
        find_waiting(table, id).is_some() || table.find(id.hash, |slot| slot.id == id.number).is_some()
    }

    /// Fails a flight that waits, and so will never run: takes it from its key and publishes the error. Returns its key
    /// and its load.
    pub(crate) fn fail_next(&self, id: FlightId, error: Error<E>) -> Option<(K, L)>
    where
        K: Clone,
    {
        let mut state = self.shard(id.hash).lock();
        let (table, counts) = state.parts();
        let (slot, flight) = find_waiting(table, id)?;
        let key = slot.key.clone();
        let load = flight.take_load();
        slot.take_out(&flight);
        self.renew_node(slot);
        let hand_off = if slot.is_grounded() { self.hand_on(slot, counts) } else { None };
        let idle = self.idle(slot).and_then(|number| table.remove(id.hash, number));
        drop(state);
        if let Some(hand_off) = hand_off {
            hand_off.notify();
        }
        flight.publish(Landed { outcome: Err(error), detached: false, trace: Trace::default() });
        flight.wake();
        drop_quietly(idle);
        Some((key, load))
    }

    /// For a worker: takes the lead of a flight, if it is due and no caller is blocked on it; or forgets a key whose
    /// interval is over.
    pub(crate) fn take_next(&self, id: FlightId) -> Option<(K, Arc<Flight<V, E, L>>)>
    where
        K: Clone,
    {
        let mut state = self.shard(id.hash).lock();
        let (table, counts) = state.parts();
        if let Some(slot) = table.find_mut(id.hash, |slot| slot.id == id.number && slot.is_empty()) {
            let rests = self.rests_until(slot).is_some_and(|until| until > self.clock.now());
            let slot = if rests && !L::is_closed(&self.rules) { None } else { table.remove(id.hash, id.number) };
            drop(state);
            drop_quietly(slot);
            return None;
        }
        let (slot, flight) = find_waiting(table, id)?;
        if !slot.is_grounded() || !slot.waits_first(&flight) || flight.next().offered.is_some() {
            return None; // it will be handed on, or a caller comes to it
        }
        if self.due(slot, &flight) != Due::Now {
            let hand_off = self.hand_on(slot, counts);
            drop(state);
            if let Some(hand_off) = hand_off {
                hand_off.notify();
            }
            return None;
        }
        let key = slot.key.clone(); // may panic: nothing has been changed yet
        counts.led += 1;
        self.lift(slot, runner());
        Some((key, flight))
    }

    /// Runs a flight on a thread that is none of its callers'. What is left of it is dropped here.
    pub(crate) fn lead_for_others(
        &self,
        key: &K,
        flight: Arc<Flight<V, E, L>>,
        hash: u64,
        work: impl FnOnce(L) -> Result<V, E>,
    ) {
        let id = FlightId { hash, number: flight.node.id };
        // A panic of a subscriber or an observer: what the flight carries is delivered all the same.
        let report = self.report_flight_quietly(id.number, key, None);
        quietly(|| self.tell_ref(id.number, key, EventKind::Led));
        drop_quietly(self.run_watched(key, id, report, || work(flight.take_load())));
    }

    /// Makes all that waits due, and boards every flight as a follower.
    pub(crate) fn hurry(&self) -> Flights<V, E, L> {
        let mut found = Flights::new();
        let mut hand_offs = Vec::new();
        for shard in self.allocated() {
            let mut state = shard.lock();
            let (table, counts) = state.parts();
            for slot in table.iter_mut() {
                if !slot.is_grounded() {
                    found.push((slot.hash, self.current(slot).clone()));
                }
                for flight in slot.waiting() {
                    flight.with_load(L::hurry);
                    found.push((slot.hash, flight));
                }
                if let Some(flight) = slot.next.clone().filter(|_| slot.is_grounded()) {
                    hand_offs.extend(self.attend(slot, counts, &flight));
                }
            }
        }
        hand_offs.into_iter().for_each(HandOff::notify);
        found
    }

    /// Looks at the load of a flight, if it waits.
    pub(crate) fn with_waiting<R>(&self, id: FlightId, look: impl FnOnce(&mut L) -> R) -> Option<R> {
        let (_, flight) = find_waiting(&mut self.shard(id.hash).lock().table, id)?;
        Some(flight.with_load(look))
    }

    /// Makes one flight due.
    pub(crate) fn hurry_one(&self, id: FlightId) {
        self.with_waiting(id, L::hurry);
    }

    /// Waits in the queue of a flight that [`hurry`](Self::hurry) has found, and leads it if the lead is offered. So it
    /// never needs a free worker.
    pub(crate) fn see_to(
        &self,
        hash: u64,
        flight: Arc<Flight<V, E, L>>,
        lead: impl FnOnce(K, Arc<Flight<V, E, L>>),
    ) -> Result<(), Deadlock>
    where
        K: Clone,
    {
        let mut state = self.shard(hash).lock();
        let (table, counts) = state.parts();
        let slot = table.find_mut(hash, |slot| slot.waiting().any(|waiting| Arc::ptr_eq(&waiting, &flight)));
        let (mut place, mut hand_off) = (Place::Bell, None);
        flight.add_follower();
        counts.joined += 1;
        if let Some(slot) = slot {
            let waiter = Waiter::take();
            let ticket = flight.queue(Queued::MayLead(waiter.clone()));
            place = Place::Queue { waiter, ticket, may_lead: true };
            if slot.is_grounded() && slot.waits_first(&flight) {
                hand_off = self.attend(slot, counts, &flight);
            }
        }
        drop(state);
        if let Some(hand_off) = hand_off {
            hand_off.notify();
        }
        let mut guard = WaitGuard::new(self, hash, flight, place, 0);
        match guard.wait(&WaitOptions::default(), &mut None) {
            Ended::Lead => {
                let (id, flight) = (guard.id(), guard.flight.clone());
                drop(guard);
                let key = self.key_in_the_air(id);
                lead(key.expect("it is in the air, led by this thread"), flight);
            }
            Ended::Deadlock(circle) => return Err(circle),
            _ => drop_quietly(guard), // perhaps the last one to hold the outcome
        }
        Ok(())
    }
}

/// The slot in which the flight waits.
pub(super) fn find_waiting<K, V, E, L: Load>(
    table: &mut Table<K, V, E, L>,
    id: FlightId,
) -> Option<(&mut Slot<K, V, E, L>, Arc<Flight<V, E, L>>)> {
    let mut found = None;
    let slot = table.find_mut(id.hash, |slot| {
        found = slot.waiting().find(|flight| flight.node.id == id.number);
        found.is_some()
    })?;
    Some((slot, found?))
}
