//! The wait: from boarding somebody else's flight to the moment there is an outcome, a closure to run, or no time.

use crate::engine::board::{Boarded, Boarder, Existing, Flying};
use crate::engine::config::{Patience, Rule};
use crate::engine::detach::TakenOver;
use crate::engine::flight::{Flight, Landed, Outcome, Place};
use crate::engine::land::Unfinished;
use crate::engine::seat::Seated;
use crate::engine::table::Flights;
use crate::engine::wait_for::Waiting;
use crate::engine::{Engine, Turn};
use crate::error::{Deadlock, Error};
use crate::landing::{Landing, Role};
use crate::observer::EventKind;
use crate::report::{Trace, WaitEnd, WaitReport};
use crate::sync::{Arc, Instant, MutexGuard, after, test_delay};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

/// A caller that waits for a flight. Whatever ends its wait, unwinding included, it leaves the flight in order.
pub(super) struct Aboard<'e, K, V, E, S> {
    engine: &'e Engine<K, V, E, S>,
    hash: u64,
    flight: Arc<Flight<V, E>>,
    /// `None` once it has left.
    place: Option<Place>,
}

/// How a wait ended.
pub(super) enum Ended {
    Landed,
    /// The caller is to lead the flight it waited for.
    Called,
    TimedOut,
    Deadlock(Deadlock),
    /// The flight it waited for no longer belongs to the key.
    BoardAgain,
}

/// What a caller that wanted to leave found instead, if it was too late to leave.
enum Left {
    Gone,
    Landed,
    Called,
}

impl<'e, K, V, E, S> Aboard<'e, K, V, E, S> {
    pub(super) fn new(engine: &'e Engine<K, V, E, S>, hash: u64, flight: Arc<Flight<V, E>>, place: Place) -> Self {
        Self { engine, hash, flight, place: Some(place) }
    }

    /// What the flight it waited for landed with.
    pub(super) fn outcome(&self) -> &Landed<V, E> {
        self.flight.landed().expect("seen to have landed")
    }

    fn wait(&mut self, patience: &Patience, took_over: &mut Option<u64>) -> Ended {
        loop {
            let deadline = patience.deadline();
            let takeover = patience.takeover.and_then(after);
            let takes_over = takeover.is_some() && (deadline.is_none() || takeover < deadline);
            let until = if takes_over { takeover } else { deadline };
            match self.sleep(until) {
                Err(circle) => return self.leave_with(Ended::Deadlock(circle)),
                Ok(Seated::Landed) => return self.landed(),
                Ok(Seated::Called) => return self.called(),
                Ok(Seated::TimedOut) => test_delay(),
            }
            if !takes_over {
                return self.leave_with(Ended::TimedOut);
            }
            let (found, detached) = self.engine.take_over(self.hash, self.flight.head.id);
            *took_over = took_over.or(detached);
            if let TakenOver::BoardAgain = found {
                return self.leave_with(Ended::BoardAgain);
            }
            // The queued flight is in the air: wait for it as long again, or find that we are to lead it.
        }
    }

    /// Sleeps until there is something to do, unless that would be for ever.
    fn sleep(&self, until: Option<Instant>) -> Result<Seated, Deadlock> {
        if self.flight.landed().is_some() {
            return Ok(Seated::Landed); // no wait, and so no edge
        }
        let _waiting = Waiting::begin(&self.flight.head, until.is_some())?;
        test_delay();
        Ok(match self.place.as_ref().expect("it has not left") {
            Place::Seat(seat) => self.flight.wait_in(seat, until),
            Place::Gate(gate) if self.flight.wait(*gate, until) => Seated::Landed,
            Place::Gate(_) => Seated::TimedOut,
        })
    }

    /// Leaves for a reason of this caller's own, which anything that happened to the flight meanwhile overrules.
    fn leave_with(&mut self, reason: Ended) -> Ended {
        match self.leave() {
            Left::Gone => reason,
            Left::Landed => Ended::Landed,
            Left::Called => Ended::Called,
        }
    }

    /// There is an outcome. First of all others are woken: what this caller does next may take long.
    fn landed(&mut self) -> Ended {
        if let Some(Place::Seat(seat)) = self.place.take() {
            self.flight.unqueue(&seat);
            seat.put_back();
        }
        self.flight.pass_on();
        Ended::Landed
    }

    fn called(&mut self) -> Ended {
        self.put_seat_back();
        Ended::Called
    }

    /// Stops waiting, unless there is an outcome or a call to lead by now. A queued flight that nobody is left to
    /// lead is dissolved: whoever still waits for it, without a closure, is told.
    fn leave(&mut self) -> Left {
        let Some(Place::Seat(seat)) = &self.place else {
            // An outcome that is there wins over a timeout (P6).
            if self.flight.landed().is_some() {
                self.landed();
                return Left::Landed;
            }
            self.flight.remove_follower();
            self.place = None;
            return Left::Gone;
        };
        let mut flights = self.engine.shard(self.hash).lock();
        if seat.called() {
            drop(flights);
            self.called();
            return Left::Called;
        }
        self.flight.unqueue(seat);
        if self.flight.landed().is_some() {
            drop(flights);
            self.landed(); // a share of wake-ups may have been meant for this seat: it is passed on
            return Left::Landed;
        }
        self.flight.remove_follower();
        let dissolved = flights
            .with(self.hash, self.flight.head.id)
            .and_then(|slot| slot.next.take_if(|next| Arc::ptr_eq(next, &self.flight) && !next.has_captain()));
        drop(flights);
        if let Some(flight) = dissolved {
            self.engine.rare.abandoned.add(1);
            flight.publish(Landed { outcome: Outcome::Abandoned, detached: false, trace: Trace::default() });
            flight.begin_waking();
        }
        self.put_seat_back();
        Left::Gone
    }

    fn put_seat_back(&mut self) {
        if let Some(Place::Seat(seat)) = self.place.take() {
            seat.put_back();
        }
    }
}

impl<K, V, E, S> Drop for Aboard<'_, K, V, E, S> {
    fn drop(&mut self) {
        if self.place.is_none() {
            return;
        }
        // Whoever was told panicked before the wait began. Should the promotion have fallen on this caller meanwhile,
        // the flight has nobody to run it: whoever waits for it boards again.
        if let Left::Called = self.leave() {
            self.engine.abandon(Flying { hash: self.hash, id: self.flight.head.id });
        }
    }
}

impl<K: Eq, V: Clone, E: Clone, S: BuildHasher> Engine<K, V, E, S> {
    /// Follows, and boards again as often as there is reason to, until the call is served or has to lead.
    #[cold]
    pub(super) fn meet<'s, Q>(
        &'s self,
        hash: u64,
        key: &Q,
        rule: Rule,
        patience: Patience,
        guard: MutexGuard<'s, Flights<K, V, E>>,
    ) -> Turn<V, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut boarder = Boarder::blocked(patience);
        let mut boarded = self.board_locked(hash, key, rule, &mut boarder, guard);
        loop {
            if let Some(expired) = boarder.expired.take() {
                self.tell_expired(expired, key, &mut boarded);
            }
            match boarded {
                Boarded::Lead(flying) => return Turn::Lead(flying),
                Boarded::Expired(_) => {}
                Boarded::Follow(flight, place) => {
                    if let Some(turn) = self.follow(hash, key, &boarder.patience, flight, place) {
                        return turn;
                    }
                }
                other => return Turn::Done(Err(self.refused(other, key))),
            }
            boarded = self.board(hash, key, rule, &mut boarder);
        }
    }

    /// Wakes whoever is to lead instead of the flight that was too old, and only then tells of that: the observer
    /// may take long, and may panic while a flight has nobody yet to land it.
    pub(super) fn tell_expired<Q>(&self, expired: u64, key: &Q, boarded: &mut Boarded<V, E>)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let unfinished = match boarded {
            Boarded::Lead(flying) | Boarded::Fly(flying, ..) => Some(Unfinished::new(self, *flying)),
            Boarded::Expired(promotion) => {
                if let Some(promotion) = promotion.take() {
                    promotion.announce();
                }
                None
            }
            _ => None,
        };
        self.tell(expired, || key.to_owned(), EventKind::Expired);
        if let Some(unfinished) = unfinished {
            unfinished.disarm();
        }
    }

    pub(super) fn refused<Q>(&self, boarded: Boarded<V, E>, key: &Q) -> Error<E>
    where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        match boarded {
            Boarded::Full(id) => {
                self.rare.overloaded.add(1);
                self.tell(id, || key.to_owned(), EventKind::Overloaded);
                Error::overloaded()
            }
            Boarded::NoTime(id) => {
                self.rare.timed_out.add(1);
                self.tell(id, || key.to_owned(), EventKind::TimedOut { waited: std::time::Duration::ZERO });
                Error::timed_out()
            }
            _ => unreachable!("a blocked caller is no passenger"),
        }
    }

    /// Waits for `flight`. `None`: the call boards again.
    fn follow<Q>(
        &self,
        hash: u64,
        key: &Q,
        patience: &Patience,
        flight: Arc<Flight<V, E>>,
        place: Place,
    ) -> Option<Turn<V, E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut aboard = Aboard::new(self, hash, flight, place);
        match self.await_end(key, patience, &mut aboard) {
            Ended::Called => Some(Turn::Lead(Flying { hash, id: aboard.flight.head.id })),
            Ended::BoardAgain => None,
            Ended::Landed => {
                let landed = aboard.outcome();
                if landed.outcome.is_worth_another_try(self.config.share_failures) {
                    return None;
                }
                Some(Turn::Done(landed.share(Role::Follower, true)))
            }
            Ended::TimedOut => Some(Turn::Done(Err(Error::timed_out()))),
            Ended::Deadlock(circle) => Some(Turn::Done(Err(Error::Deadlock(circle)))),
        }
    }

    /// Waits, counts and tells.
    pub(super) fn await_end<Q>(&self, key: &Q, patience: &Patience, aboard: &mut Aboard<'_, K, V, E, S>) -> Ended
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let flying = Flying { hash: aboard.hash, id: aboard.flight.head.id };
        let queued = matches!(aboard.place, Some(Place::Seat(_)));
        if let Some(debug_key) = self.config.debug_key {
            aboard.flight.head.set_key(|| debug_key(&key.to_owned()));
        }
        let watch = self.config.is_told().then(|| {
            let key = || self.config.debug_key.map(|debug_key| debug_key(&key.to_owned()));
            (self.config.reports.wait(flying.id, key), Instant::now())
        });
        self.tell(flying.id, || key.to_owned(), EventKind::Joined);
        let mut took_over = None;
        let ended = aboard.wait(patience, &mut took_over);
        match &ended {
            Ended::TimedOut => self.rare.timed_out.add(1),
            Ended::Deadlock(_) => self.rare.deadlocked.add(1),
            _ => {}
        }
        if let Some((report, since)) = watch {
            let called = matches!(ended, Ended::Called);
            let unfinished = called.then(|| Unfinished::new(self, flying));
            self.tell_end(key, &aboard.flight, &ended, took_over, queued, report, since);
            if let Some(unfinished) = unfinished {
                unfinished.disarm();
            }
        }
        ended
    }

    #[cold]
    #[allow(clippy::too_many_arguments, reason = "all that is known of a wait")]
    fn tell_end<Q>(
        &self,
        key: &Q,
        flight: &Flight<V, E>,
        ended: &Ended,
        took_over: Option<u64>,
        queued: bool,
        mut report: WaitReport<'_>,
        since: Instant,
    ) where
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let waited = since.elapsed();
        let id = flight.head.id;
        report.ended(&match ended {
            Ended::Landed => {
                let landed = flight.landed().expect("seen to have landed");
                WaitEnd::Landed(landed.outcome.ending(), &landed.trace)
            }
            Ended::Called => WaitEnd::Led,
            Ended::TimedOut => WaitEnd::TimedOut,
            Ended::Deadlock(circle) => WaitEnd::Deadlock(circle),
            Ended::BoardAgain => WaitEnd::BoardsAgain,
        });
        let tell = |flight, kind| self.tell(flight, || key.to_owned(), kind);
        if let Some(detached) = took_over {
            tell(detached, EventKind::TakenOver);
        }
        match ended {
            Ended::TimedOut => tell(id, EventKind::TimedOut { waited }),
            Ended::Deadlock(_) => tell(id, EventKind::Deadlock),
            Ended::Landed => {
                let outcome = &flight.landed().expect("seen to have landed").outcome;
                tell(id, EventKind::Followed { ending: outcome.ending(), waited });
                // Who boards again still has its closure.
                if queued && !outcome.is_worth_another_try(self.config.share_failures) {
                    tell(id, EventKind::Superseded);
                }
            }
            Ended::Called | Ended::BoardAgain => {}
        }
    }

    /// Waits for a flight that is there already; never leads, and so has nothing to take a flight over with.
    /// `None`, at once, if there is none.
    pub(crate) fn wait<Q>(
        &self,
        key: &Q,
        which: Existing,
        mut patience: Patience,
    ) -> Option<Result<Landing<V>, Error<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        patience.takeover = None;
        let hash = self.hash(key);
        let mut boarded = self.board_existing(hash, key, which, &mut patience)?;
        loop {
            let (flight, place) = match boarded {
                Boarded::Follow(flight, place) => (flight, place),
                other => return Some(Err(self.refused(other, key))),
            };
            let mut aboard = Aboard::new(self, hash, flight, place);
            let result = match self.await_end(key, &patience, &mut aboard) {
                Ended::TimedOut => Err(Error::timed_out()),
                Ended::Deadlock(circle) => Err(Error::Deadlock(circle)),
                Ended::Landed => aboard.outcome().share(Role::Follower, true),
                Ended::Called | Ended::BoardAgain => {
                    unreachable!("who has no closure has no seat and takes nothing over")
                }
            };
            // It never ran, so that there is nothing to share; but there may be another flight by now.
            if !matches!(result, Err(Error::Abandoned(_))) {
                return Some(result);
            }
            match self.board_existing(hash, key, which, &mut patience) {
                Some(next) => boarded = next,
                None => return Some(result),
            }
        }
    }
}
