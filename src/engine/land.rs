//! The way out: run the closure, take the flight out of the table, publish, wake, and only then see to oneself.

use crate::engine::Engine;
use crate::engine::board::Flying;
use crate::engine::detach::Promotion;
use crate::engine::flight::{Flight, Landed, Outcome};
use crate::engine::panics::{Payload, caught, describe, resume_unwind};
use crate::engine::table::{Flights, Many, Shard, Slot};
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::{Ending, EventKind};
use crate::report::{FlightReport, Trace};
use crate::sync::{Arc, Duration, Instant, MutexGuard, test_delay};
use std::borrow::Borrow;

/// What was at the flight's place when it came down.
struct Unlinked<K, V, E> {
    /// Whoever waits for it; `None`: nobody ever did.
    flight: Option<Arc<Flight<V, E>>>,
    /// Whether it had been detached from its key.
    detached: bool,
    promotion: Option<Promotion<V, E>>,
    /// The key and the outgrown table are dropped last: a key's `Drop` is user code.
    _slot: Option<Slot<K, V, E>>,
    _outgrown: Option<Many<K, V, E>>,
}

/// A flight whose leader has boarded and not yet landed. Dropped while unwinding, it lands the flight, unrun: its
/// followers board again.
pub(super) struct Unfinished<'e, K, V, E, S> {
    engine: &'e Engine<K, V, E, S>,
    pub(super) flying: Flying,
}

impl<'e, K, V, E, S> Unfinished<'e, K, V, E, S> {
    pub(super) fn new(engine: &'e Engine<K, V, E, S>, flying: Flying) -> Self {
        Self { engine, flying }
    }

    pub(super) fn disarm(self) {
        std::mem::forget(self); // two references and two numbers: nothing is leaked
    }
}

impl<K, V, E, S> Drop for Unfinished<'_, K, V, E, S> {
    fn drop(&mut self) {
        self.engine.abandon(self.flying);
    }
}

/// Takes flight `id` out of its shard, if its leader was alone from beginning to end. Gives its key back, to be
/// dropped after the lock; otherwise nothing has been done, and gives the lock back.
#[inline]
fn land_alone<K, V, E>(shard: &Shard<K, V, E>, id: u64) -> Result<Option<K>, MutexGuard<'_, Flights<K, V, E>>> {
    test_delay();
    let mut guard = shard.lock();
    guard.table.remove_alone(id).ok_or(guard)
}

impl<K, V, E, S> Engine<K, V, E, S> {
    /// Takes flight `flying` out of the table, by number, and puts the one behind it into the air.
    fn unlink(&self, flying: Flying) -> Unlinked<K, V, E> {
        test_delay();
        self.unlink_locked(flying, self.shard(flying.hash).lock())
    }

    fn unlink_locked(&self, flying: Flying, mut guard: MutexGuard<'_, Flights<K, V, E>>) -> Unlinked<K, V, E> {
        let flights = &mut *guard;
        let Some(slot) = flights.by_id(flying.hash, flying.id) else {
            drop(guard);
            let flight = self.take_detached(flying.id);
            return Unlinked { flight, detached: true, promotion: None, _slot: None, _outgrown: None };
        };
        let flight = slot.current.take();
        if slot.next.is_some() {
            let promotion = self.promote(slot);
            flights.unled -= 1;
            flights.joined -= 1;
            return Unlinked { flight, detached: false, promotion, _slot: None, _outgrown: None };
        }
        let (slot, outgrown) = flights.table.remove(flying.hash, flying.id).unzip();
        Unlinked { flight, detached: false, promotion: None, _slot: slot, _outgrown: outgrown.flatten() }
    }

    /// Lands a flight that will never run.
    pub(super) fn abandon(&self, flying: Flying) {
        let mut unlinked = self.unlink(flying);
        self.rare.abandoned.add(1);
        // Nobody waited: nobody to tell.
        let _ = self.deliver(&mut unlinked, Outcome::Abandoned, Trace::default());
    }

    /// Publishes, wakes and serves, in this order; what is left is the leader's own affair. Gives the outcome
    /// back if nobody ever waited for it.
    fn deliver(
        &self,
        unlinked: &mut Unlinked<K, V, E>,
        outcome: Outcome<V, E>,
        trace: Trace,
    ) -> Result<(), Outcome<V, E>> {
        match &outcome {
            Outcome::Value(_) | Outcome::Abandoned | Outcome::Missing => {}
            Outcome::Failed(_) => self.rare.failed.add(1),
            Outcome::Panicked(_) => self.rare.panicked.add(1),
        }
        let undelivered = match &unlinked.flight {
            None => Err(outcome),
            Some(flight) => {
                test_delay();
                flight.publish(Landed { outcome, detached: unlinked.detached, trace });
                Ok(())
            }
        };
        if let Some(promotion) = unlinked.promotion.take() {
            promotion.announce();
        }
        if let Some(flight) = &unlinked.flight {
            test_delay();
            flight.begin_waking();
            flight.serve_passengers();
        }
        undelivered
    }
}

impl<K, V: Clone, E: Clone, S> Engine<K, V, E, S> {
    /// Runs the leader's closure and lands its flight.
    #[inline]
    pub(super) fn lead<Q, F, R>(
        &self,
        key: &Q,
        shard: &Shard<K, V, E>,
        flying: Flying,
        work: F,
        then: impl FnOnce(Landing<V>) -> R,
    ) -> Result<R, Error<E>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Result<V, E>,
    {
        if self.config.leader_needs_key() {
            return self.lead_watched(key, flying, work).map(then);
        }
        let result = match caught(work) {
            Ok(result) => result,
            Err(payload) => self.land_panicked(flying, payload),
        };
        match (land_alone(shard, flying.id), result) {
            // Nobody else wanted it: it goes to the leader as it is.
            (Ok(_key), Ok(value)) => Ok(then(Landing::new(value, Role::Leader, false, false))),
            (Ok(_key), Err(error)) => {
                self.rare.failed.add(1);
                Err(Error::Work(error))
            }
            (Err(guard), Ok(value)) => self.land_followed(flying, guard, Outcome::Value(value)).map(then),
            (Err(guard), Err(error)) => self.land_followed(flying, guard, Outcome::Failed(error)).map(then),
        }
    }

    #[cold]
    fn land_followed(
        &self,
        flying: Flying,
        guard: MutexGuard<'_, Flights<K, V, E>>,
        outcome: Outcome<V, E>,
    ) -> Result<Landing<V>, Error<E>> {
        let mut unlinked = self.unlink_locked(flying, guard);
        let detached = unlinked.detached;
        match self.deliver(&mut unlinked, outcome, Trace::default()) {
            Err(outcome) => outcome.into_result().map(|value| Landing::new(value, Role::Leader, false, detached)),
            Ok(()) => unlinked.leaders_share(),
        }
    }

    #[cold]
    fn land_panicked(&self, flying: Flying, payload: Payload) -> ! {
        let mut unlinked = self.unlink(flying);
        let _ = self.deliver(&mut unlinked, Outcome::Panicked(describe(&payload)), Trace::default());
        drop(unlinked);
        resume_unwind(payload)
    }

    /// [`lead`](Self::lead), in a group that tells somebody or invalidates another group.
    #[cold]
    fn lead_watched<Q, F>(&self, key: &Q, flying: Flying, work: F) -> Result<Landing<V>, Error<E>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Result<V, E>,
    {
        let unfinished = Unfinished::new(self, flying);
        let key = key.to_owned();
        let report = self.report_flight(flying.id, &key, None);
        self.tell_ref(flying.id, &key, EventKind::Led);
        let began = Instant::now();
        let result = caught(|| {
            let _inside = report.enter();
            work()
        });
        let ran = began.elapsed();
        unfinished.disarm();

        let (outcome, payload) = match result {
            Ok(Ok(value)) => (Outcome::Value(value), None),
            Ok(Err(error)) => (Outcome::Failed(error), None),
            Err(payload) => (Outcome::Panicked(describe(&payload)), Some(payload)),
        };
        let watched = self.land_watched(flying, &key, outcome, ran, report);
        if let Some(payload) = payload {
            drop(watched);
            resume_unwind(payload);
        }
        watched.take_share()
    }

    /// Lands one of several flights that this call leads; the caller keeps its guard until this returns.
    pub(super) fn land_one_of_many(
        &self,
        flying: Flying,
        key: &K,
        outcome: Outcome<V, E>,
        ran: Duration,
        report: FlightReport,
    ) -> Result<Landing<V>, Error<E>> {
        if self.config.leader_needs_key() {
            return self.land_watched(flying, key, outcome, ran, report).take_share();
        }
        self.land_followed(flying, self.shard(flying.hash).lock(), outcome)
    }
}

/// What [`Engine::land_watched`] leaves to the leader.
pub(super) struct Watched<K, V, E> {
    unlinked: Unlinked<K, V, E>,
    undelivered: Option<Outcome<V, E>>,
    /// A panic of the user's `Hash` or `Eq` in an invalidated group, or of whoever was told.
    payload: Option<Payload>,
}

impl<K, V: Clone, E: Clone> Watched<K, V, E> {
    /// The leader's own result, or the panic that was kept for it.
    fn take_share(self) -> Result<Landing<V>, Error<E>> {
        let Self { unlinked, undelivered, payload } = self;
        if let Some(payload) = payload {
            drop(unlinked);
            resume_unwind(payload);
        }
        match undelivered {
            Some(outcome) => {
                outcome.into_result().map(|value| Landing::new(value, Role::Leader, false, unlinked.detached))
            }
            None => unlinked.leaders_share(),
        }
    }
}

impl<K, V, E, S> Engine<K, V, E, S> {
    /// Lands with everything a watched group asks for: the key's reads are invalidated first, whoever listens is
    /// told last, and neither can keep the flight from landing.
    pub(super) fn land_watched(
        &self,
        flying: Flying,
        key: &K,
        outcome: Outcome<V, E>,
        ran: Duration,
        report: FlightReport,
    ) -> Watched<K, V, E> {
        let mut payload = None;
        for invalidate in &self.config.invalidates {
            payload = payload.or(caught(|| invalidate(key)).err());
        }
        let ending = outcome.ending();
        let mut unlinked = self.unlink(flying);
        let followers = unlinked.flight.as_ref().map_or(0, |flight| flight.followers());
        let undelivered = self.deliver(&mut unlinked, outcome, report.trace()).err();
        let detached = unlinked.detached;
        let reported = caught(|| report.landed(ending, ran, followers, detached));
        let told = caught(|| self.tell_ref(flying.id, key, EventKind::Landed { ending, ran, followers, detached }));
        Watched { unlinked, undelivered, payload: payload.or(reported.err()).or(told.err()) }
    }
}

impl<K, V: Clone, E: Clone> Unlinked<K, V, E> {
    /// The leader's own copy of what it has published.
    fn leaders_share(&self) -> Result<Landing<V>, Error<E>> {
        let flight = self.flight.as_ref().expect("published into a flight");
        let shared = flight.followers() > 0;
        flight.landed().expect("published").share(Role::Leader, shared)
    }
}

impl<V, E> Outcome<V, E> {
    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Value(_) => Ending::Value,
            Self::Failed(_) => Ending::Failed,
            Self::Panicked(_) => Ending::Panicked,
            Self::Abandoned => Ending::Abandoned,
            Self::Missing => Ending::Missing,
        }
    }
}
