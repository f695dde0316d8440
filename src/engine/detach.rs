//! The side exits: a flight that no longer belongs to its key (P10), and the one behind it, which goes into the
//! air at once.
//!
//! A detached flight keeps its callers and its outcome; it only cannot be found by key any more. Its leader, when
//! it lands, looks for its number in the table, does not find it, and knows.

use crate::engine::Engine;
use crate::engine::board::Flying;
use crate::engine::deadlock::NOBODY;
use crate::engine::flight::{Captain, Flight};
use crate::engine::seat::Seat;
use crate::engine::spawned::Passenger;
use crate::engine::table::{Flights, Many, Slot};
use crate::observer::EventKind;
use crate::sync::{Arc, test_delay};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

/// A flight that has just gone into the air, and whoever leads it: to be told once the lock is free.
///
/// Where the captain is blocked, there is no reference to the flight here: the captain may have run, landed and
/// returned before this is dropped, and the drop of its outcome, which is the user's code, would come to whoever
/// announces, who is in the middle of landing another flight.
pub(crate) enum Promotion<V, E> {
    Blocked(Arc<Seat>),
    Spawned(Flying, Arc<Flight<V, E>>, Box<dyn Passenger<V, E>>),
}

impl<V, E> Promotion<V, E> {
    /// Wakes the captain, and nobody else (P11).
    pub(crate) fn announce(self) {
        test_delay();
        match self {
            Self::Blocked(seat) => seat.ring(),
            Self::Spawned(flying, flight, passenger) => passenger.fly(flying, flight).dispatch(),
        }
    }
}

/// What a detaching leaves to be done and dropped after the lock.
pub(crate) struct Detached<K, V, E> {
    promotion: Option<Promotion<V, E>>,
    _slot: Option<Slot<K, V, E>>,
    _outgrown: Option<Many<K, V, E>>,
}

/// What a caller that has waited long enough found.
pub(crate) enum TakenOver {
    /// The flight it waited for no longer belongs to the key: board again.
    BoardAgain,
    /// It waits for the queued flight, and the one in front of it was detached: that flight is in the air now.
    /// The caller leads it if it has been called, and waits for it otherwise.
    Promoted,
}

impl<K, V, E, S> Engine<K, V, E, S> {
    /// Puts the slot's flight where its leader finds it by number, if anybody waits for it; a lone leader needs
    /// nothing kept.
    pub(super) fn set_aside(&self, slot: &mut Slot<K, V, E>) {
        if let Some(flight) = slot.current.take() {
            self.detached.lock().push(flight);
        }
    }

    /// The detached flight `id`, for its leader, once.
    pub(super) fn take_detached(&self, id: u64) -> Option<Arc<Flight<V, E>>> {
        let mut detached = self.detached.lock();
        let at = detached.iter().position(|flight| flight.head.id == id)?;
        let flight = detached.swap_remove(at);
        if detached.is_empty() {
            *detached = Vec::new(); // P8: an idle group keeps nothing
        }
        Some(flight)
    }

    /// Puts `next` into the air. The caller counts it, and announces it once the lock is free.
    pub(super) fn promote(&self, slot: &mut Slot<K, V, E>) -> Option<Promotion<V, E>> {
        let flight = slot.next.take()?;
        let (captain, superseded) =
            flight.call_captain().expect("a queued flight that nobody can lead has been dissolved");
        slot.id = flight.head.id;
        let leader = match &captain {
            Captain::Blocked(seat) => seat.owner,
            Captain::Spawned(_) => NOBODY,
        };
        slot.set_leader(leader);
        flight.head.set_leader(leader);
        flight.remove_follower(); // the captain
        self.rare.superseded.add(superseded as u64);
        self.stamp(slot, &flight);
        let flying = Flying { hash: slot.hash(), id: slot.id };
        let flight = slot.current.insert(flight);
        Some(match captain {
            Captain::Blocked(seat) => Promotion::Blocked(seat),
            Captain::Spawned(passenger) => Promotion::Spawned(flying, flight.clone(), passenger),
        })
    }

    /// Detaches the flight `id`, which is in the air.
    fn detach(&self, flights: &mut Flights<K, V, E>, hash: u64, id: u64) -> Option<Detached<K, V, E>> {
        let slot = flights.by_id(hash, id)?;
        self.set_aside(slot);
        let promotion = self.promote(slot);
        if promotion.is_some() {
            flights.unled -= 1;
            flights.joined -= 1;
            return Some(Detached { promotion, _slot: None, _outgrown: None });
        }
        let (slot, outgrown) = flights.table.remove(hash, id)?;
        Some(Detached { promotion: None, _slot: Some(slot), _outgrown: outgrown })
    }

    /// Detaches, for a caller that waits for flight `mine`, the flight that keeps it waiting.
    pub(super) fn take_over(&self, hash: u64, mine: u64) -> (TakenOver, Option<u64>) {
        let mut flights = self.shard(hash).lock();
        let Some(in_front) = flights.with(hash, mine).map(|slot| slot.id) else {
            return (TakenOver::BoardAgain, None); // somebody else was quicker, or it has just landed
        };
        let detached = self.detach(&mut flights, hash, in_front);
        drop(flights);
        self.rare.taken_over.add(1);
        if let Some(promotion) = detached.and_then(|detached| detached.promotion) {
            promotion.announce();
        }
        let found = if in_front == mine { TakenOver::BoardAgain } else { TakenOver::Promoted };
        (found, Some(in_front))
    }
}

impl<K: Eq, V, E, S: BuildHasher> Engine<K, V, E, S> {
    /// Detaches the key's flight; its number, if there was one.
    pub(crate) fn forget<Q>(&self, key: &Q) -> Option<u64>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let mut flights = self.shard(hash).lock();
        let id = flights.table.find(hash, |slot| slot.key.borrow() == key)?.id;
        let detached = self.detach(&mut flights, hash, id)?;
        drop(flights);
        self.rare.forgotten.add(1);
        if let Some(promotion) = detached.promotion {
            promotion.announce();
        }
        Some(id)
    }
}

impl<K: Eq, V, E, S: BuildHasher> Engine<K, V, E, S> {
    /// [`forget`](Self::forget), and the observer hears of it.
    pub(crate) fn forget_and_tell<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Some(id) = self.forget(key) else { return false };
        self.tell(id, || key.to_owned(), EventKind::Forgotten);
        true
    }
}
