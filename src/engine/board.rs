//! The way in: a call becomes leader or follower, in one critical section.

use crate::engine::core::Engine;
use crate::engine::deadlock::{Ender, NOBODY, runner};
use crate::engine::flight::{Flight, FlightId, HandOff, Queued, SpawnedCall};
use crate::engine::key::{Find, Lookup};
use crate::engine::load::{Bring, Due, Joined, Load};
use crate::engine::options::{WaitOptions, Which};
use crate::engine::table::{Counts, ShardState, Slot};
use crate::engine::waiter::Waiter;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::{Arc, Duration, Instant, MutexGuard, yield_now};
use std::hash::BuildHasher;

/// How often a read lets a leader land first that waits for the lock.
const LETS_PASS: u8 = if cfg!(any(flight_group_shuttle, flight_group_loom)) { 1 } else { 3 };

/// A call that wants to board.
pub(super) struct Caller<'c, V, E, L: Load> {
    pub(super) which: Which,
    pub(super) options: WaitOptions<'c>,
    /// Whether the calling thread leads, or waits.
    blocks: bool,
    /// What a call that does not block leaves in the queue instead of its thread.
    pub(super) spawned: Option<Box<dyn SpawnedCall<V, E, L>>>,
    /// Whether it may have to wait for its time although nothing is in the air.
    holds: bool,
    /// What it brings to the flight's load.
    brings: Option<&'c mut dyn Bring<L>>,
    /// How often it lets a leader land first. A few times are enough: the lock is held for some hundred nanoseconds.
    lets_pass: u8,
    /// Set by `board`: the number of the flight that it found too old and detached.
    pub(super) expired: Option<u64>,
    /// Set by `board` and told by it, once the lock is free.
    hand_off: Option<HandOff<V, E, L>>,
}

impl<'c, V, E, L: Load> Caller<'c, V, E, L> {
    /// A call whose thread leads or waits.
    pub(super) fn blocked(which: Which, options: WaitOptions<'c>, brings: Option<&'c mut dyn Bring<L>>) -> Self {
        Self {
            which,
            options,
            blocks: true,
            spawned: None,
            holds: false,
            brings,
            lets_pass: LETS_PASS,
            expired: None,
            hand_off: None,
        }
    }

    /// The same for a call that brings something.
    pub(super) fn carrying(options: WaitOptions<'c>, holds: bool, brings: &'c mut dyn Bring<L>) -> Self {
        Self { holds, ..Self::blocked(Which::Next, options, Some(brings)) }
    }

    /// A call that leaves its closure behind.
    pub(super) fn spawned(which: Which, call: Box<dyn SpawnedCall<V, E, L>>) -> Self {
        Self { blocks: false, spawned: Some(call), ..Self::blocked(which, WaitOptions::default(), None) }
    }

    /// A call that leaves nothing behind but what it brings.
    pub(super) fn leaving(brings: &'c mut dyn Bring<L>) -> Self {
        Self { blocks: false, holds: true, ..Self::blocked(Which::Next, WaitOptions::default(), Some(brings)) }
    }
}

/// What boarding made of a call.
pub(super) enum Boarded<V, E, L: Load> {
    /// It leads; the flight, if it has memory.
    Lead(FlightId, Option<Arc<Flight<V, E, L>>>),
    /// Its closure leads from an executor's thread.
    LeadElsewhere(FlightId, Arc<Flight<V, E, L>>, Box<dyn SpawnedCall<V, E, L>>),
    /// It waits; the ticket takes back what it brought.
    Wait(Arc<Flight<V, E, L>>, Place, u64),
    /// It left its closure, or what it brought.
    Queued(FlightId),
    /// It had no time to wait for this flight. What it brought is dropped after the lock.
    TimedOut(u64, Option<L::Back>),
    /// Too many wait for this flight already, or the load takes no more.
    Overloaded(u64),
}

/// Where a caller waits.
pub(super) enum Place {
    /// On the flight's condvar, until it lands.
    Bell,
    /// In a waiter of its own, which stands in the flight's queue.
    Queue { waiter: Arc<Waiter>, ticket: u64, may_lead: bool },
    /// It waits no more.
    Left,
}

/// The call lacks something that it makes outside the lock, or lets a leader land first. It comes again.
struct Lacks;

impl<K, V, E, S: BuildHasher, L: Load> Engine<K, V, E, S, L> {
    /// Boards any call: one that boards again, or that does not block.
    pub(super) fn board<Q: Lookup<K> + ?Sized>(
        &self,
        hash: u64,
        key: &Q,
        caller: &mut Caller<'_, V, E, L>,
    ) -> Boarded<V, E, L> {
        self.board_locked(hash, key, caller, self.shard(hash).lock())
    }

    #[cold]
    pub(super) fn board_locked<'s, Q: Lookup<K> + ?Sized>(
        &'s self,
        hash: u64,
        key: &Q,
        caller: &mut Caller<'_, V, E, L>,
        mut state: MutexGuard<'s, ShardState<K, V, E, L>>,
    ) -> Boarded<V, E, L> {
        loop {
            let boarded = self.try_board(hash, key, caller, state);
            if let Some(hand_off) = caller.hand_off.take() {
                hand_off.notify();
            }
            match (boarded, &mut caller.brings) {
                (Ok(boarded), _) => return boarded,
                (Err(Lacks), Some(brings)) => brings.make(),
                (Err(Lacks), None) => yield_now(), // a leader is about to land
            }
            state = self.shard(hash).lock();
        }
    }

    fn try_board<Q: Lookup<K> + ?Sized>(
        &self,
        hash: u64,
        key: &Q,
        caller: &mut Caller<'_, V, E, L>,
        mut state: MutexGuard<'_, ShardState<K, V, E, L>>,
    ) -> Result<Boarded<V, E, L>, Lacks> {
        let (table, counts) = state.parts();
        let slot = match table.find_mut(hash, |slot| key.is(&slot.key)) {
            Some(slot) => slot,
            None => {
                let key = key.own(); // may panic: nothing has been changed yet
                table.insert(Slot::grounded(hash, key, counts.next_number(self.shards)))
            }
        };
        let boarded = match caller.which {
            Which::Current if !slot.is_grounded() => {
                if self.landing.load(Relaxed) > 0 && caller.lets_pass > 0 {
                    caller.lets_pass -= 1;
                    return Err(Lacks);
                }
                Ok(self.board_current(slot, counts, caller))
            }
            _ if slot.is_empty() && !caller.holds => {
                let number = slot.unused_number();
                Ok(self.begin(slot, number, counts, caller))
            }
            _ => self.board_next(slot, counts, caller),
        };
        // The call was refused, or comes again. A slot that was made for it is removed.
        let Some(number) = self.idle(slot) else { return boarded };
        let unused = table.remove(hash, number);
        drop(state);
        drop(unused);
        boarded
    }

    /// Nothing is in the air and nothing waits: the call leads.
    fn begin(
        &self,
        slot: &mut Slot<K, V, E, L>,
        number: u64,
        counts: &mut Counts,
        caller: &mut Caller<'_, V, E, L>,
    ) -> Boarded<V, E, L> {
        counts.led += 1;
        slot.id = number;
        slot.started = self.time();
        let id = FlightId { hash: slot.hash, number };
        match caller.spawned.take() {
            None => {
                slot.leader = runner();
                Boarded::Lead(id, None)
            }
            Some(call) => {
                slot.leader = NOBODY;
                let flight = self.current(slot).clone();
                Boarded::LeadElsewhere(id, flight, call)
            }
        }
    }

    /// A read, and a flight is in the air.
    fn board_current(
        &self,
        slot: &mut Slot<K, V, E, L>,
        counts: &mut Counts,
        caller: &mut Caller<'_, V, E, L>,
    ) -> Boarded<V, E, L> {
        if self.is_too_old(slot) {
            caller.expired = Some(slot.id);
            self.rare.expired.add(1);
            self.set_aside(slot.current.take());
            slot.ground();
            return match slot.next {
                None => {
                    let number = counts.next_number(self.shards);
                    self.begin(slot, number, counts, caller)
                }
                Some(_) => self.take_lead(slot, counts, caller).expect("it is due, and the call can lead it"),
            };
        }
        if caller.blocks && caller.options.start() {
            return Boarded::TimedOut(slot.id, None);
        }
        if self.is_full(slot, caller) {
            return Boarded::Overloaded(slot.id);
        }
        let id = FlightId { hash: slot.hash, number: slot.id };
        let flight = self.current(slot);
        if flight.followers() == 0 {
            let _ = flight.since.set(Instant::now());
        }
        counts.joined += 1;
        flight.add_follower();
        if let Some(call) = caller.spawned.take() {
            flight.queue(Queued::Spawned(call));
            return Boarded::Queued(id);
        }
        Boarded::Wait(flight.clone(), self.place(flight, caller, false), 0)
    }

    /// A write, a fresh read, or a call that brings something. Also a read that comes when nothing is in the air and
    /// the next flight waits for its leader.
    fn board_next(
        &self,
        slot: &mut Slot<K, V, E, L>,
        counts: &mut Counts,
        caller: &mut Caller<'_, V, E, L>,
    ) -> Result<Boarded<V, E, L>, Lacks> {
        let waits = L::CARRIES || !slot.is_grounded();
        let no_time = caller.blocks && caller.options.start();
        if no_time && !slot.is_grounded() {
            return Ok(Boarded::TimedOut(slot.id, None));
        }
        if waits && self.is_full(slot, caller) {
            return Ok(Boarded::Overloaded(slot.id));
        }
        let (flight, ticket) = match self.join(slot, counts, caller)? {
            Some(joined) => joined,
            None => return Ok(Boarded::Overloaded(slot.id)),
        };
        // Only the first flight may go into the air.
        let first = slot.is_grounded() && slot.waits_first(&flight);
        if first {
            if let Some(leads) = self.take_lead(slot, counts, caller) {
                return Ok(leads);
            }
        }
        let id = FlightId { hash: slot.hash, number: flight.node.id };
        if no_time {
            // It would have to wait for its time: what it brought is taken back.
            let back = flight.with_load(|load| load.withdraw(&self.rules, ticket));
            if flight.with_load(|load| load.is_empty()) {
                slot.take_out(&flight);
                self.renew_node(slot);
            }
            return Ok(Boarded::TimedOut(id.number, back));
        }
        let boarded = if caller.blocks {
            counts.joined += 1;
            flight.add_follower();
            Boarded::Wait(flight.clone(), self.place(&flight, caller, true), ticket)
        } else {
            if let Some(call) = caller.spawned.take() {
                counts.joined += 1;
                flight.add_follower();
                flight.queue(Queued::Spawned(call));
            }
            Boarded::Queued(id)
        };
        if first {
            caller.hand_off = self.attend(slot, counts, &flight);
        }
        if L::CARRIES && flight.with_load(|load| load.busy()).is_some() {
            self.renew_node(slot); // perhaps this call has just begun to work on the load
        }
        Ok(boarded)
    }

    /// The call leads the slot's next flight if that is due: it is awake, and newer than the caller that the lead may have
    /// been offered to.
    fn take_lead(
        &self,
        slot: &mut Slot<K, V, E, L>,
        counts: &mut Counts,
        caller: &mut Caller<'_, V, E, L>,
    ) -> Option<Boarded<V, E, L>> {
        let flight = slot.next.clone()?;
        let spawned = if caller.blocks { None } else { Some(caller.spawned.take()?) };
        if self.due(slot, &flight) != Due::Now {
            caller.spawned = spawned;
            return None;
        }
        counts.led += 1;
        self.lift(slot, if spawned.is_some() { NOBODY } else { runner() });
        let id = FlightId { hash: slot.hash, number: slot.id };
        Some(match spawned {
            None => Boarded::Lead(id, Some(flight)),
            Some(call) => Boarded::LeadElsewhere(id, flight, call),
        })
    }

    /// Joins the first waiting flight that has room, or a new one behind them. `None`: the group takes no more.
    fn join(
        &self,
        slot: &mut Slot<K, V, E, L>,
        counts: &mut Counts,
        caller: &mut Caller<'_, V, E, L>,
    ) -> Result<Option<(Arc<Flight<V, E, L>>, u64)>, Lacks> {
        let mut last: Option<Arc<Flight<V, E, L>>> = None;
        let mut next = slot.next.clone();
        while let Some(flight) = next {
            match flight.join(caller.brings.as_deref_mut()) {
                Joined::In(ticket) => return Ok(Some((flight, ticket))),
                Joined::Refused => return Ok(None),
                Joined::Lacks => return Err(Lacks),
                Joined::Full => {
                    next = flight.behind();
                    last = Some(flight);
                }
            }
        }
        let mut load = L::default();
        match caller.brings.as_deref_mut().map_or(Joined::In(0), |brings| brings.join(&mut load)) {
            Joined::In(ticket) => {
                let number = counts.next_number(self.shards);
                let ender = match &last {
                    Some(last) => Ender::Behind(last.node.clone()),
                    None => Ender::Thread(slot.leader),
                };
                let flight = Flight::new(self.node(number, ender), load);
                match last {
                    Some(last) => last.next().behind = Some(flight.clone()),
                    None => slot.next = Some(flight.clone()),
                }
                Ok(Some((flight, ticket)))
            }
            Joined::Lacks => Err(Lacks),
            Joined::Refused | Joined::Full => Ok(None),
        }
    }

    /// A place to wait: in the queue for a call that may have to lead, or that can be cancelled.
    fn place(&self, flight: &Flight<V, E, L>, caller: &Caller<'_, V, E, L>, may_lead: bool) -> Place {
        if !may_lead && caller.options.cancel.is_none() {
            return Place::Bell;
        }
        let waiter = Waiter::take();
        let queued = if may_lead { Queued::MayLead(waiter.clone()) } else { Queued::Follows(waiter.clone()) };
        let ticket = flight.queue(queued);
        Place::Queue { waiter, ticket, may_lead }
    }

    /// Boards a flight that is there, without a closure to lead with. `None`: there is no such flight.
    pub(super) fn board_existing<Q: Find<K> + ?Sized>(
        &self,
        hash: u64,
        key: &Q,
        caller: &mut Caller<'_, V, E, L>,
    ) -> Option<Boarded<V, E, L>> {
        let mut state = self.shard(hash).lock();
        let (table, counts) = state.parts();
        let slot = table.find_mut(hash, |slot| key.is(&slot.key))?;
        // The flight in the air, unless it is too old or not asked for. Or the next one, if nothing is in the air.
        let current = match caller.which {
            Which::Current => !slot.is_grounded() && !self.is_too_old(slot),
            Which::Next => false,
            Which::Newest => slot.next.is_none(),
        };
        if !current && (slot.next.is_none() || (caller.which == Which::Current && !slot.is_grounded())) {
            return None;
        }
        if caller.options.start() {
            return Some(Boarded::TimedOut(slot.id, None));
        }
        if self.is_full(slot, caller) {
            return Some(Boarded::Overloaded(slot.id));
        }
        let flight = match current {
            true => self.current(slot).clone(),
            false => slot.next.clone()?,
        };
        flight.add_follower();
        counts.joined += 1;
        let place = self.place(&flight, caller, false);
        Some(Boarded::Wait(flight, place, 0))
    }

    fn is_too_old(&self, slot: &Slot<K, V, E, L>) -> bool {
        let age = |age| Duration::from_micros(self.time().saturating_sub(slot.started)) >= age;
        self.config.max_age.is_some_and(age)
    }

    fn is_full(&self, slot: &Slot<K, V, E, L>, caller: &Caller<'_, V, E, L>) -> bool {
        let most = self.config.max_followers;
        most < usize::MAX && slot.followers() >= most && !caller.options.never_refused
    }
}
