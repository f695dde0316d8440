//! The exits from the table: a flight that lands, and one that no longer belongs to its key (P10). The one behind it is
//! handed on at once.
//!
//! A detached flight keeps its callers and its outcome. It cannot be found by key any more. When its leader lands, it does
//! not find the flight's number in the table, and looks in the list of detached flights.

use crate::engine::core::Engine;
use crate::engine::flight::{Flight, FlightId, HandOff};
use crate::engine::key::Lookup;
use crate::engine::load::{Due, Load};
use crate::engine::table::{ShardState, Slot};
use crate::observer::EventKind;
use crate::sync::{Arc, MutexGuard};
use std::hash::BuildHasher;

/// A flight that has left its key, and what that leaves to be done and dropped after the lock.
pub(super) struct Unlinked<K, V, E, L: Load> {
    /// `None`: nobody ever waited for it, or it is kept for its leader.
    pub(super) flight: Option<Arc<Flight<V, E, L>>>,
    /// Whether it had been detached from its key before.
    pub(super) detached: bool,
    pub(super) hand_off: Option<HandOff<V, E, L>>,
    /// Dropped last: a key's `Drop` is user code.
    _slot: Option<Slot<K, V, E, L>>,
}

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// Takes the flight, which is in the air, from its key.
    pub(super) fn unlink(&self, state: &mut ShardState<K, V, E, L>, id: FlightId) -> Option<Unlinked<K, V, E, L>> {
        let (table, counts) = state.parts();
        let slot = table.find_mut(id.hash, |slot| slot.id == id.number)?;
        let flight = slot.current.take();
        slot.ground();
        let mut hand_off = self.hand_on(slot, counts);
        let mut idle = None;
        if slot.is_empty() {
            match self.rests_until(slot) {
                Some(until) if until > self.clock.now() && !L::is_closed(&self.rules) => {
                    let id = FlightId { hash: id.hash, number: slot.id };
                    hand_off = self.crew.clone().map(|crew| HandOff::Crew(crew, id, Due::At(until)));
                }
                _ => idle = Some(slot.id),
            }
        }
        let idle = idle.and_then(|number| table.remove(id.hash, number));
        Some(Unlinked { flight, detached: false, hand_off, _slot: idle })
    }

    /// A flight that had been detached before it landed.
    pub(super) fn unlinked_before(&self, number: u64) -> Unlinked<K, V, E, L> {
        Unlinked { flight: self.take_detached(number), detached: true, hand_off: None, _slot: None }
    }

    /// Keeps a flight where its leader finds it by number. A lone leader needs nothing kept.
    pub(super) fn set_aside(&self, flight: Option<Arc<Flight<V, E, L>>>) {
        self.detached.lock().extend(flight);
    }

    /// The detached flight, for its leader, once.
    fn take_detached(&self, number: u64) -> Option<Arc<Flight<V, E, L>>> {
        let mut detached = self.detached.lock();
        let at = detached.iter().position(|flight| flight.node.id == number)?;
        let flight = detached.swap_remove(at);
        if detached.is_empty() {
            *detached = Vec::new(); // P8: an idle group keeps nothing
        }
        Some(flight)
    }

    /// Detaches the flight, which is in the air. `false`: it is not.
    fn detach(&self, mut state: MutexGuard<'_, ShardState<K, V, E, L>>, id: FlightId) -> bool {
        let Some(mut unlinked) = self.unlink(&mut state, id) else { return false };
        self.set_aside(unlinked.flight.take());
        drop(state);
        if let Some(hand_off) = unlinked.hand_off.take() {
            hand_off.notify();
        }
        true
    }

    /// Detaches the flight that keeps flight `mine` waiting: `mine` itself, if that is in the air, or the one in front
    /// of it. Returns its number. `None`: the flight has landed or is detached; another caller was quicker.
    pub(super) fn take_over(&self, mine: FlightId) -> Option<u64> {
        let mut state = self.shard(mine.hash).lock();
        let is_mine = |flight: &Arc<Flight<V, E, L>>| flight.node.id == mine.number;
        let slot = state
            .table
            .find_mut(mine.hash, |slot| slot.id == mine.number || slot.next.as_ref().is_some_and(is_mine))?;
        let number = slot.id;
        if self.detach(state, FlightId { hash: mine.hash, number }) {
            self.rare.taken_over.add(1);
        }
        Some(number)
    }
}

impl<K, V, E, S: BuildHasher, L: Load> Engine<K, V, E, S, L> {
    /// Detaches the key's flight in the air; its number, if there was one.
    pub(crate) fn forget<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Option<u64> {
        let hash = key.hash_in(&self.hasher);
        let state = self.shard(hash).lock();
        let number = state.table.find(hash, |slot| key.is(&slot.key))?.id;
        self.detach(state, FlightId { hash, number }).then(|| {
            self.rare.forgotten.add(1);
            number
        })
    }

    /// [`forget`](Self::forget), and the observer hears of it.
    pub(crate) fn forget_and_tell<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> bool {
        let Some(number) = self.forget(key) else { return false };
        self.tell(number, || key.own(), EventKind::Forgotten);
        true
    }
}

impl<K: Clone, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// Detaches the flights in the air whose keys `which` says yes to; how many. It is the user's, and runs under no lock.
    pub(crate) fn forget_if(&self, mut which: impl FnMut(&K) -> bool) -> usize {
        let mut found = Vec::new();
        for shard in self.allocated() {
            let state = shard.lock();
            let in_the_air = state.table.iter().filter(|slot| !slot.is_grounded());
            found.extend(in_the_air.map(|slot| (FlightId { hash: slot.hash, number: slot.id }, slot.key.clone())));
        }
        found.retain(|(_, key)| which(key));
        // By number: a flight that has landed since is no longer there, and its successor is left alone.
        found.retain(|(id, _)| self.detach(self.shard(id.hash).lock(), *id));
        self.rare.forgotten.add(found.len() as u64);
        for (id, key) in &found {
            self.tell_ref(id.number, key, EventKind::Forgotten);
        }
        found.len()
    }
}
