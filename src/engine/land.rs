//! The way out: run the closure, take the flight out of the table, publish, wake, and only then see to the leader.

use crate::engine::core::Engine;
use crate::engine::detach::Unlinked;
use crate::engine::flight::{FlightId, Landed, Outcome, ending};
use crate::engine::key::Lookup;
use crate::engine::load::Load;
use crate::engine::panics::{Payload, caught, drop_quietly, resume_unwind};
use crate::engine::table::{Shard, ShardState};
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::EventKind;
use crate::report::{FlightReport, Trace};
use crate::sync::{Duration, Instant, MutexGuard, test_delay};

/// A flight whose leader has boarded and has not begun. Dropped by unwinding, it abandons the flight.
pub(super) struct LeadGuard<'e, K, V, E, S, L: Load> {
    engine: &'e Engine<K, V, E, S, L>,
    pub(super) id: FlightId,
}

impl<'e, K, V, E, S, L: Load> LeadGuard<'e, K, V, E, S, L> {
    pub(super) fn new(engine: &'e Engine<K, V, E, S, L>, id: FlightId) -> Self {
        Self { engine, id }
    }

    pub(super) fn disarm(self) {
        std::mem::forget(self); // a reference and two numbers: nothing is leaked
    }
}

impl<K, V, E, S, L: Load> Drop for LeadGuard<'_, K, V, E, S, L> {
    fn drop(&mut self) {
        self.engine.abandon(self.id);
    }
}

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    fn take_out(&self, id: FlightId) -> Unlinked<K, V, E, L> {
        test_delay();
        self.take_out_locked(id, self.lock_to_land(self.shard(id.hash)))
    }

    /// Takes the flight out of the table, or out of the list of those that were detached.
    fn take_out_locked(&self, id: FlightId, mut state: MutexGuard<'_, ShardState<K, V, E, L>>) -> Unlinked<K, V, E, L> {
        let unlinked = self.unlink(&mut state, id);
        drop(state);
        unlinked.unwrap_or_else(|| self.unlinked_before(id.number))
    }

    /// Gives a flight up that its leader has not begun. If it carries something, another leader takes it; otherwise it
    /// lands, and every caller that has a closure boards again.
    pub(super) fn abandon(&self, id: FlightId) {
        if L::CARRIES && self.give_lead_back(id) {
            return;
        }
        let mut unlinked = self.take_out(id);
        self.rare.abandoned.add(1);
        // If nobody waited, there is nobody to tell.
        drop_quietly(self.deliver(&mut unlinked, Err(Error::Abandoned(self.site())), Trace::default()));
    }

    fn give_lead_back(&self, id: FlightId) -> bool {
        let mut state = self.shard(id.hash).lock();
        let (table, counts) = state.parts();
        let Some(slot) = table.find_mut(id.hash, |slot| slot.id == id.number) else { return false };
        let Some(flight) = &slot.current else { return false };
        let lost = self.crew.is_none() && flight.next().candidates() == 0; // nobody is left who could lead it
        if lost || flight.with_load(|load| load.is_empty()) {
            return false;
        }
        self.put_back(slot);
        let hand_off = self.hand_on(slot, counts);
        drop(state);
        if let Some(hand_off) = hand_off {
            hand_off.notify();
        }
        true
    }

    /// Publishes, wakes and settles, in this order. What is left concerns only the leader. Gives the outcome back if
    /// nobody ever waited for it.
    fn deliver(
        &self,
        unlinked: &mut Unlinked<K, V, E, L>,
        outcome: Outcome<V, E>,
        trace: Trace,
    ) -> Result<(), Outcome<V, E>> {
        match &outcome {
            Err(Error::Work(_)) => self.rare.failed.add(1),
            Err(Error::Panicked(_)) => self.rare.panicked.add(1),
            _ => {}
        }
        let undelivered = match &unlinked.flight {
            None => Err(outcome),
            Some(flight) => {
                test_delay();
                flight.publish(Landed { outcome, detached: unlinked.detached, trace });
                Ok(())
            }
        };
        if let Some(hand_off) = unlinked.hand_off.take() {
            hand_off.notify();
        }
        if let Some(flight) = &unlinked.flight {
            test_delay();
            flight.wake();
            flight.settle_spawned();
        }
        undelivered
    }
}

impl<K, V: Clone, E: Clone, S, L: Load> Engine<K, V, E, S, L> {
    /// Runs the leader's closure and lands its flight.
    #[inline]
    pub(super) fn lead<Q: Lookup<K> + ?Sized, R>(
        &self,
        key: &Q,
        shard: &Shard<K, V, E, L>,
        id: FlightId,
        work: impl FnOnce() -> Result<V, E>,
        then: impl FnOnce(Landing<V>) -> R,
    ) -> Result<R, Error<E>> {
        if self.config.leader_needs_key() {
            return self.lead_watched(key, id, work).map(then);
        }
        let result = match caught(work) {
            Ok(result) => result,
            Err(payload) => self.land_panicked(id, payload),
        };
        let ended =
            if L::CARRIES && self.interval.is_some() { Err(shard.lock()) } else { self.end_alone(shard, id.number) };
        match (ended, result) {
            // No follower: the leader gets the result as it is.
            (Ok(_key), Ok(value)) => Ok(then(Landing::new(value, Role::Leader, false, false))),
            (Ok(_key), Err(error)) => {
                self.rare.failed.add(1);
                Err(Error::Work(error))
            }
            (Err(state), Ok(value)) => self.land_followed(id, state, Ok(value)).map(then),
            (Err(state), Err(error)) => self.land_followed(id, state, Err(Error::Work(error))).map(then),
        }
    }

    #[cold]
    fn land_followed(
        &self,
        id: FlightId,
        state: MutexGuard<'_, ShardState<K, V, E, L>>,
        outcome: Outcome<V, E>,
    ) -> Result<Landing<V>, Error<E>> {
        let mut unlinked = self.take_out_locked(id, state);
        let detached = unlinked.detached;
        match self.deliver(&mut unlinked, outcome, Trace::default()) {
            Err(outcome) => outcome.map(|value| Landing::new(value, Role::Leader, false, detached)),
            Ok(()) => unlinked.leaders_share(),
        }
    }

    #[cold]
    fn land_panicked(&self, id: FlightId, payload: Payload) -> ! {
        let mut unlinked = self.take_out(id);
        let _ = self.deliver(&mut unlinked, Err(self.panicked(&payload)), Trace::default());
        drop(unlinked);
        resume_unwind(payload)
    }

    /// [`lead`](Self::lead), in a group that has an observer or invalidates another group.
    #[cold]
    fn lead_watched<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        id: FlightId,
        work: impl FnOnce() -> Result<V, E>,
    ) -> Result<Landing<V>, Error<E>> {
        let guard = LeadGuard::new(self, id);
        let key = key.own();
        let report = self.report_flight(id.number, &key, None);
        self.tell_ref(id.number, &key, EventKind::Led);
        guard.disarm();
        let (watched, payload) = self.run_watched(&key, id, report, work);
        if let Some(payload) = payload {
            drop(watched);
            resume_unwind(payload);
        }
        watched.take_share()
    }

    /// Lands one of several flights that this call leads; the caller keeps its guard until this returns.
    pub(super) fn land_one_of_many(
        &self,
        id: FlightId,
        key: &K,
        outcome: Outcome<V, E>,
        ran: Duration,
        report: FlightReport,
    ) -> Result<Landing<V>, Error<E>> {
        if self.config.leader_needs_key() {
            return self.land_watched(id, key, outcome, ran, report).take_share();
        }
        self.land_followed(id, self.shard(id.hash).lock(), outcome)
    }
}

/// What [`Engine::land_watched`] leaves to the leader.
pub(super) struct Watched<K, V, E, L: Load> {
    unlinked: Unlinked<K, V, E, L>,
    undelivered: Option<Outcome<V, E>>,
    /// A panic of the user's `Hash` or `Eq` in an invalidated group, or of an observer.
    payload: Option<Payload>,
}

impl<K, V: Clone, E: Clone, L: Load> Watched<K, V, E, L> {
    /// The leader's own result, or the panic that was kept for it.
    fn take_share(self) -> Result<Landing<V>, Error<E>> {
        let Self { unlinked, undelivered, payload } = self;
        if let Some(payload) = payload {
            drop(unlinked);
            resume_unwind(payload);
        }
        match undelivered {
            Some(outcome) => outcome.map(|value| Landing::new(value, Role::Leader, false, unlinked.detached)),
            None => unlinked.leaders_share(),
        }
    }
}

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// Runs a closure inside its flight's report, and lands the flight. The closure's panic is given back.
    pub(super) fn run_watched(
        &self,
        key: &K,
        id: FlightId,
        report: FlightReport,
        work: impl FnOnce() -> Result<V, E>,
    ) -> (Watched<K, V, E, L>, Option<Payload>) {
        let began = Instant::now();
        let result = caught(|| {
            // Where others count on what the flight carries, a subscriber's panic does not keep it from being delivered.
            let _inside = match caught(|| report.enter()) {
                Ok(inside) => Some(inside),
                Err(payload) if L::CARRIES => {
                    drop_quietly(payload);
                    None
                }
                Err(payload) => resume_unwind(payload),
            };
            work()
        });
        let (outcome, payload) = match result {
            Ok(result) => (result.map_err(Error::Work), None),
            Err(payload) => (Err(self.panicked(&payload)), Some(payload)),
        };
        (self.land_watched(id, key, outcome, began.elapsed(), report), payload)
    }

    /// Lands with everything that a watched group asks for. The key's reads are invalidated first, the observer is told
    /// last, and neither can keep the flight from landing.
    fn land_watched(
        &self,
        id: FlightId,
        key: &K,
        outcome: Outcome<V, E>,
        ran: Duration,
        report: FlightReport,
    ) -> Watched<K, V, E, L> {
        let mut payload = None;
        for invalidate in &self.config.invalidates {
            payload = payload.or(caught(|| invalidate(key)).err());
        }
        let ending = ending(&outcome);
        let mut unlinked = self.take_out(id);
        let followers = unlinked.flight.as_ref().map_or(0, |flight| flight.followers());
        let undelivered = self.deliver(&mut unlinked, outcome, report.trace()).err();
        let detached = unlinked.detached;
        let reported = caught(|| report.landed(ending, ran, followers, detached));
        let told = caught(|| self.tell_ref(id.number, key, EventKind::Landed { ending, ran, followers, detached }));
        Watched { unlinked, undelivered, payload: payload.or(reported.err()).or(told.err()) }
    }
}

impl<K, V: Clone, E: Clone, L: Load> Unlinked<K, V, E, L> {
    /// The leader's own copy of what it has published.
    fn leaders_share(&self) -> Result<Landing<V>, Error<E>> {
        let flight = self.flight.as_ref().expect("published into a flight");
        let shared = flight.followers() > 0;
        flight.landed().expect("published").share(Role::Leader, shared)
    }
}
