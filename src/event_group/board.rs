//! The way in: an event boards the key's next run, in one critical section; a `push` then waits for that run, or
//! leads it.

use crate::engine::Patience;
use crate::engine::flight::{Flight, Landed, Outcome};
use crate::engine::seat::{Seat, Seated};
use crate::engine::wait_for::Waiting;
use crate::error::{Deadlock, Error};
use crate::event_group::clock::Captain;
use crate::event_group::slots::{Added, Coming, Kept, Load, State, Wakes};
use crate::event_group::{Key, Own, Shared, Told};
use crate::landing::{Landing, Role};
use crate::report::Trace;
use crate::sync::{Arc, Duration, Instant, MutexGuard, test_delay};
use std::borrow::Borrow;
use std::hash::Hash;

type Locked<'s, K, T, V, E> = MutexGuard<'s, State<K, T, V, E>>;

/// A caller that waits for a flight: with an event aboard (`push`), or without (`flush`).
pub(super) struct Aboard<'s, K, T, V, E> {
    pub(super) shared: &'s Arc<Shared<K, T, V, E>>,
    pub(super) hash: u64,
    pub(super) flight: Arc<Flight<V, E>>,
    pub(super) seat: Arc<Seat>,
    pub(super) ticket: Option<u64>,
}

/// How a wait ended.
pub(super) enum Ended<K, T, V, E> {
    Landed(Arc<Flight<V, E>>),
    /// The caller is to lead the flight it waited for.
    Lead(Load<K, T>),
    TimedOut,
    Deadlock(Deadlock),
}

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    pub(super) fn push_event<Q>(
        self: &Arc<Self>,
        key: &Q,
        event: T,
        delay: Duration,
        mut patience: Patience,
    ) -> Result<Landing<V>, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hash(key);
        let label = self.config.debug_key.map(|debug_key| debug_key(&key.to_owned()));
        let seat = Seat::take();
        let mut owned = None;
        let now = self.clock.now();
        let mut wakes = Wakes::default();

        let (mut guard, slot_key) = self.with_slot(hash, key, &mut owned);
        let state = &mut *guard;
        let coming = Coming { event, submitted: false, arrived: now, delay };
        let Added { ticket, flight, sooner } = state.add(hash, &slot_key, coming, &self.config.rules);
        let slot = state.of_key(hash, &slot_key);
        let load = if slot.air.is_none() && slot.is_due(&self.config.rules.timing, now) {
            Some(state.take(hash, &flight, None, &self.config.rules, now))
        } else {
            flight.add_follower();
            let in_the_air = slot.air.is_some();
            let batch = slot.pending.as_mut().expect("just boarded");
            match &batch.captain {
                None if !in_the_air => {
                    // Nobody of this batch is awake: this caller waits for its moment, whatever the crew is at.
                    batch.captain = Some(seat.clone());
                    if let Some(place) = slot.place.take() {
                        state.agenda.remove(&place);
                    }
                }
                captain => {
                    flight.queue(&seat);
                    if let Some(captain) = captain.as_ref().filter(|_| sooner) {
                        wakes.call(captain);
                    }
                }
            }
            None
        };
        drop(guard);
        wakes.ring();
        // `slot_key`, and `owned` if somebody else was quicker to bring the key, go when this call has been served: a
        // `K::drop` that panics here and now would unwind a caller that others count on to lead.

        if let Some(load) = load {
            seat.put_back();
            drop(flight);
            return self.fly_for_one(load);
        }
        if let Some(label) = label {
            flight.head.set_key(|| label);
        }
        let aboard = Aboard { shared: self, hash, flight, seat, ticket: Some(ticket) };
        let no_time = patience.start();
        match aboard.wait(patience.deadline(), no_time) {
            Ended::Lead(load) => self.fly_for_one(load),
            Ended::Landed(flight) => flight.landed().expect("seen to have landed").share(Role::Follower, true),
            Ended::TimedOut => {
                self.state.lock().stats.timed_out += 1;
                Err(Error::timed_out())
            }
            Ended::Deadlock(circle) => {
                self.state.lock().stats.deadlocked += 1;
                Err(Error::Deadlock(circle))
            }
        }
    }

    pub(super) fn submit_event<Q>(self: &Arc<Self>, key: &Q, event: T, delay: Duration) -> Result<(), Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.hash(key);
        let mut owned = None;
        let now = self.clock.now();
        let mut wakes = Wakes::default();

        let (mut guard, slot_key) = self.with_slot(hash, key, &mut owned);
        let state = &mut *guard;
        let refused = if state.waiting >= self.config.capacity {
            state.stats.overloaded += 1;
            Some(Error::overloaded())
        } else if state.crew.alive == 0 && !self.staff(state, &mut wakes) {
            Some(Error::abandoned())
        } else {
            None
        };
        if let Some(error) = refused {
            let slot = state.of_key(hash, &slot_key);
            let forgotten = if slot.is_new() { state.forget(hash, &slot_key) } else { None };
            drop(guard);
            drop((forgotten, slot_key));
            return Err(error);
        }
        let coming = Coming { event, submitted: true, arrived: now, delay };
        let Added { sooner, .. } = state.add(hash, &slot_key, coming, &self.config.rules);
        let slot = state.of_key(hash, &slot_key);
        if slot.air.is_none() {
            match slot.pending.as_ref().and_then(|batch| batch.captain.as_ref()) {
                Some(captain) if sooner => wakes.call(captain),
                Some(_) => {}
                None => {
                    if state.place(hash, &slot_key, &self.config.rules.timing, now) {
                        self.staff(state, &mut wakes);
                    }
                }
            }
        }
        drop(guard);
        wakes.ring();
        Ok(())
    }

    /// Locks, and finds or makes the key's slot. The key is copied outside the lock, and only if it is idle.
    fn with_slot<'s, Q>(&'s self, hash: u64, key: &Q, owned: &mut Option<Arc<K>>) -> (Locked<'s, K, T, V, E>, Arc<K>)
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        loop {
            let mut state = self.state.lock();
            if let Some(key) = state.slot_key(hash, key, owned) {
                return (state, key);
            }
            drop(state);
            *owned = Some(Arc::new(key.to_owned()));
        }
    }
}

impl<K: Key, T: Own, V: Told, E: Told> Aboard<'_, K, T, V, E> {
    /// Waits until there is an outcome, a batch to lead, or no time.
    pub(super) fn wait(self, deadline: Option<Instant>, no_time: bool) -> Ended<K, T, V, E> {
        let ended = if no_time { self.leave(Ended::TimedOut) } else { self.sleep(deadline) };
        self.seat.put_back();
        ended
    }

    fn sleep(&self, deadline: Option<Instant>) -> Ended<K, T, V, E> {
        loop {
            self.seat.answer();
            let seated = match self.look() {
                Look::Lead(load) => return Ended::Lead(load),
                Look::Until(due) => {
                    let captain = Captain { seat: &self.seat, flight: &self.flight };
                    self.shared.clock.wait(&captain, due, deadline)
                }
                Look::Follow => match Waiting::begin(&self.flight.head, deadline.is_some()) {
                    Err(circle) => return self.leave(Ended::Deadlock(circle)),
                    Ok(_waiting) => {
                        test_delay();
                        self.flight.wait_in(&self.seat, deadline)
                    }
                },
            };
            match seated {
                Seated::Landed => return self.landed(),
                Seated::Called => {}
                Seated::TimedOut => return self.leave(Ended::TimedOut),
            }
        }
    }

    fn look(&self) -> Look<K, T> {
        let shared = self.shared;
        let mut state = shared.state.lock();
        let now = shared.clock.now();
        let Some(slot) = state.pending(self.hash, &self.flight) else { return Look::Follow };
        if !slot.pending.as_ref().is_some_and(|batch| batch.is_captain(&self.seat)) {
            return Look::Follow;
        }
        match slot.due(&shared.config.rules.timing) {
            Some(due) if due > now => Look::Until(due),
            _ => {
                self.flight.remove_follower();
                Look::Lead(state.take(self.hash, &self.flight, Some(&self.seat), &shared.config.rules, now))
            }
        }
    }

    /// There is an outcome. First of all others are woken: what this caller does next may take long.
    fn landed(&self) -> Ended<K, T, V, E> {
        self.flight.unqueue(&self.seat);
        self.flight.pass_on();
        Ended::Landed(self.flight.clone())
    }

    /// Stops waiting and takes the event back, unless there is an outcome or a batch to lead by now, or a run that
    /// carries the event already.
    fn leave(&self, reason: Ended<K, T, V, E>) -> Ended<K, T, V, E> {
        let shared = self.shared;
        let mut wakes = Wakes::default();
        let mut guard = shared.state.lock();
        let state = &mut *guard;
        let now = shared.clock.now();
        let Some(slot) = state.pending(self.hash, &self.flight) else {
            self.flight.unqueue(&self.seat);
            if self.flight.landed().is_some() {
                drop(guard);
                return self.landed();
            }
            self.flight.remove_follower();
            return reason;
        };
        let due = slot.is_due(&shared.config.rules.timing, now);
        let (key, in_the_air) = (slot.key.clone(), slot.air.is_some());
        let batch = slot.pending.as_mut().expect("found by it");
        let captain = batch.is_captain(&self.seat);
        if captain && due {
            // Too late to leave: others count on it, and what it came for is about to be done.
            self.flight.remove_follower();
            return Ended::Lead(state.take(self.hash, &self.flight, Some(&self.seat), &shared.config.rules, now));
        }
        if captain {
            batch.captain = None;
        } else {
            self.flight.unqueue(&self.seat);
        }
        let event = self.ticket.and_then(|ticket| batch.withdraw(ticket));
        let dissolved = if batch.is_empty() {
            batch.demote(); // a flush that was to lead it
            slot.pending.take()
        } else {
            None
        };
        self.flight.remove_follower();
        let mut kept = Kept::ByCaptain;
        let mut stranded = false;
        if !in_the_air && (captain || dissolved.is_some()) {
            kept = state.keep(self.hash, &key, &shared.config.rules.timing, now, &mut wakes);
            stranded = matches!(kept, Kept::ByCrew) && !shared.staff(state, &mut wakes);
        }
        drop(guard);
        wakes.ring();
        if dissolved.is_some() {
            // Whoever flushes it is told that there is nothing left to wait for.
            self.flight.publish(Landed { outcome: Outcome::Abandoned, detached: false, trace: Trace::default() });
            self.flight.begin_waking();
        }
        if stranded {
            shared.work_off();
        }
        drop((dissolved, kept, key));
        drop(event);
        reason
    }
}

/// What a caller that is awake finds.
enum Look<K, T> {
    /// Others see to it: the leader in the air, or a captain.
    Follow,
    /// It is the captain, and it is not time yet.
    Until(Instant),
    Lead(Load<K, T>),
}
