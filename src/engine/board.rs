//! The way in: a call becomes leader or follower, in one critical section.

use crate::engine::Engine;
use crate::engine::config::{Patience, Rule};
use crate::engine::deadlock::{NOBODY, runner};
use crate::engine::detach::Promotion;
use crate::engine::flight::{Flight, Place};
use crate::engine::seat::Seat;
use crate::engine::spawned::Passenger;
use crate::engine::table::{Flights, Shard, Slot};
use crate::sync::{Arc, Duration, Instant, MutexGuard};
use std::borrow::Borrow;
use std::hash::BuildHasher;

/// A flight as its leader knows it: by number, so that its landing touches no other.
#[derive(Clone, Copy)]
pub(crate) struct Flying {
    pub(crate) hash: u64,
    pub(crate) id: u64,
}

/// Who wants to board.
pub(crate) struct Boarder<V, E> {
    pub(crate) patience: Patience,
    /// A call that does not block: it leaves this behind instead of its thread.
    pub(crate) passenger: Option<Box<dyn Passenger<V, E>>>,
    /// Set by `board`: the number of the flight it found too old and detached.
    pub(crate) expired: Option<u64>,
    /// Memory for a flight that has none yet, brought along so that nothing is allocated under the lock.
    spare: Option<Arc<Flight<V, E>>>,
}

impl<V, E> Boarder<V, E> {
    #[inline]
    pub(crate) fn blocked(patience: Patience) -> Self {
        Self { patience, passenger: None, expired: None, spare: None }
    }

    pub(crate) fn spawned(passenger: Box<dyn Passenger<V, E>>) -> Self {
        Self { patience: Patience::default(), passenger: Some(passenger), expired: None, spare: None }
    }
}

/// Where a caller ended up.
pub(crate) enum Boarded<V, E> {
    /// It leads.
    Lead(Flying),
    /// It leads from an executor's thread.
    Fly(Flying, Arc<Flight<V, E>>, Box<dyn Passenger<V, E>>),
    /// It waits for the flight, in a seat if it may have to lead it.
    Follow(Arc<Flight<V, E>>, Place),
    /// It left a passenger who waits for the flight.
    Aboard,
    /// It had no time to wait for this flight.
    NoTime(u64),
    /// Too many wait already.
    Full(u64),
    /// The flight in the air was too old and has been detached; the one behind it took its place. Board again,
    /// once its captain has been called (`tell_expired`).
    Expired(Option<Promotion<V, E>>),
}

/// The flight to follow has no memory yet, and the boarder brought none.
struct BringSpare;

impl<K: Eq, V, E, S: BuildHasher> Engine<K, V, E, S> {
    /// Makes a caller that blocks, and that meets nobody, the leader: the number of its flight. Otherwise nothing
    /// has been done, and the lock is given back for [`board_locked`](Self::board_locked).
    ///
    /// This and `land_alone` (land.rs) are all that a call pays that meets nobody. They pass numbers and
    /// locks around, and leave everything that has a destructor to the cold halves.
    #[inline]
    pub(crate) fn lead_alone<'s, Q>(
        &self,
        shard: &'s Shard<K, V, E>,
        hash: u64,
        key: &Q,
    ) -> Result<u64, MutexGuard<'s, Flights<K, V, E>>>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        let started = self.clock();
        let mut guard = shard.lock();
        if !guard.table.is_vacant(hash, |slot| slot.key.borrow() == key) {
            return Err(guard);
        }
        let key = key.to_owned(); // may panic: nothing has been changed yet
        let id = Flights::<K, V, E>::next_id(&mut guard.numbers, self.shards, hash);
        guard.table.push(Slot::new(hash, key, id, runner(), started));
        Ok(id)
    }

    /// Boards any call: one that boards again, or that does not block.
    pub(crate) fn board<Q>(&self, hash: u64, key: &Q, rule: Rule, boarder: &mut Boarder<V, E>) -> Boarded<V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.board_locked(hash, key, rule, boarder, self.shard(hash).lock())
    }

    #[cold]
    pub(crate) fn board_locked<'s, Q>(
        &'s self,
        hash: u64,
        key: &Q,
        rule: Rule,
        boarder: &mut Boarder<V, E>,
        mut guard: MutexGuard<'s, Flights<K, V, E>>,
    ) -> Boarded<V, E>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        loop {
            if let Ok(boarded) = self.try_board(hash, key, rule, boarder, guard) {
                return boarded;
            }
            // A leader whose work is short wants that lock next. Allocating under it made the leader sleep, and
            // its followers with it; by the time this is done, a short flight has often landed.
            boarder.spare = Some(Flight::unnumbered(self.config.name.clone(), rule));
            guard = self.shard(hash).lock();
        }
    }

    fn try_board<Q>(
        &self,
        hash: u64,
        key: &Q,
        rule: Rule,
        boarder: &mut Boarder<V, E>,
        mut guard: MutexGuard<'_, Flights<K, V, E>>,
    ) -> Result<Boarded<V, E>, BringSpare>
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        let now = self.clock();
        let Flights { table, numbers, unled, joined } = &mut *guard;
        if let Some(slot) = table.find_mut(hash, |slot| slot.key.borrow() == key) {
            return self.board_occupied(slot, numbers, unled, joined, now, rule, boarder);
        }
        let key = key.to_owned(); // may panic: nothing has been changed yet
        let id = Flights::<K, V, E>::next_id(numbers, self.shards, hash);
        let slot = Slot::new(hash, key, id, NOBODY, now);
        Ok(self.take_off(table.insert(slot), boarder))
    }

    /// The boarder leads the slot's flight, which has just been numbered.
    fn take_off(&self, slot: &mut Slot<K, V, E>, boarder: &mut Boarder<V, E>) -> Boarded<V, E> {
        let flying = Flying { hash: slot.hash(), id: slot.id };
        match boarder.passenger.take() {
            None => {
                slot.set_leader(runner());
                Boarded::Lead(flying)
            }
            Some(passenger) => {
                slot.set_leader(NOBODY);
                let flight = slot.current(&self.config.name).clone();
                Boarded::Fly(flying, flight, passenger)
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one shard, borrowed apart from its table")]
    fn board_occupied(
        &self,
        slot: &mut Slot<K, V, E>,
        numbers: &mut u64,
        unled: &mut u64,
        joined: &mut u64,
        now: u64,
        rule: Rule,
        boarder: &mut Boarder<V, E>,
    ) -> Result<Boarded<V, E>, BringSpare> {
        if rule == Rule::Join && self.is_too_old(slot, now) {
            boarder.expired = Some(slot.id);
            self.rare.expired.add(1);
            self.set_aside(slot);
            if slot.next.is_some() {
                *unled -= 1;
                *joined -= 1;
                return Ok(Boarded::Expired(self.promote(slot)));
            }
            slot.id = Flights::<K, V, E>::next_id(numbers, self.shards, slot.hash());
            slot.set_started(now);
            return Ok(self.take_off(slot, boarder));
        }
        if boarder.passenger.is_none() && boarder.patience.start() {
            return Ok(Boarded::NoTime(slot.id));
        }
        if slot.followers() >= self.config.max_followers && !boarder.patience.never_refused {
            return Ok(Boarded::Full(slot.id));
        }
        let (hash, leader) = (slot.hash(), slot.leader());
        let place = match rule {
            Rule::Join => &mut slot.current,
            Rule::Queue => &mut slot.next,
        };
        let flight = match place {
            Some(flight) => flight,
            None => {
                let spare = boarder.spare.take().ok_or(BringSpare)?;
                let id = match rule {
                    Rule::Join => slot.id,
                    Rule::Queue => {
                        *unled += 1;
                        Flights::<K, V, E>::next_id(numbers, self.shards, hash)
                    }
                };
                // Everybody aboard `next` waits for whoever runs `current` now.
                place.insert(Flight::numbered(spare, id, leader))
            }
        };
        *joined += 1;
        flight.add_follower();
        if let Some(passenger) = boarder.passenger.take() {
            flight.add_passenger(passenger);
            return Ok(Boarded::Aboard);
        }
        let place = match rule {
            Rule::Join => Place::Gate(flight.assign_gate()),
            Rule::Queue => {
                let seat = Seat::take();
                flight.queue(&seat);
                Place::Seat(seat)
            }
        };
        Ok(Boarded::Follow(flight.clone(), place))
    }

    /// Boards a flight that is there, without a closure to lead with: the newest, or, for `fresh`, the queued one
    /// only. `Err`: nothing to wait for.
    pub(crate) fn board_existing<Q>(
        &self,
        hash: u64,
        key: &Q,
        which: Existing,
        patience: &mut Patience,
    ) -> Option<Boarded<V, E>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let now = self.clock();
        let mut guard = self.shard(hash).lock();
        let flights = &mut *guard;
        let slot = flights.table.find_mut(hash, |slot| slot.key.borrow() == key)?;
        let current = which != Existing::Queued
            && (slot.next.is_none() || which == Existing::Current)
            && !(which == Existing::Current && self.is_too_old(slot, now));
        if !current && (slot.next.is_none() || which == Existing::Current) {
            return None;
        }
        if patience.start() {
            return Some(Boarded::NoTime(slot.id));
        }
        if slot.followers() >= self.config.max_followers {
            return Some(Boarded::Full(slot.id));
        }
        let flight = if current { slot.current(&self.config.name) } else { slot.next.as_ref()? };
        flight.add_follower();
        flights.joined += 1;
        let gate = flight.assign_gate();
        Some(Boarded::Follow(flight.clone(), Place::Gate(gate)))
    }

    fn is_too_old(&self, slot: &Slot<K, V, E>, now: u64) -> bool {
        self.config.max_age.is_some_and(|age| Duration::from_micros(now.saturating_sub(slot.started())) >= age)
    }
}

/// Which flight a call without a closure waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Existing {
    /// A read: the one in the air.
    Current,
    /// A fresh read: the one queued behind it.
    Queued,
    /// A write: the newest, in the air or queued.
    Newest,
}

impl<K, V, E, S> Engine<K, V, E, S> {
    /// When a promoted flight started, as [`Slot::started`](Slot) has it, and as its reports have it.
    pub(super) fn stamp(&self, slot: &mut Slot<K, V, E>, flight: &Flight<V, E>) {
        slot.set_started(self.clock());
        let _ = flight.since.set(Instant::now());
    }
}
