//! The wait: it begins when a call has joined another caller's flight. It ends with an outcome, with the lead, or with a
//! reason to leave.

use crate::engine::board::{Boarded, Caller, Place};
use crate::engine::core::Engine;
use crate::engine::deadlock::EdgeGuard;
use crate::engine::flight::{Flight, FlightId, Landed, ending, is_worth_another_try};
use crate::engine::key::Lookup;
use crate::engine::land::LeadGuard;
use crate::engine::load::{Due, Load};
use crate::engine::options::{WaitOptions, Which};
use crate::engine::waiter::Wake;
use crate::error::{Deadlock, Error};
use crate::landing::{Landing, Role};
use crate::observer::EventKind;
use crate::report::{Trace, WaitEnd, WaitReport};
use crate::sync::{Arc, Duration, Instant, after, test_delay};
use std::hash::BuildHasher;

/// A caller that waits for a flight. However its wait ends, by unwinding too, it leaves the flight in order.
pub(super) struct WaitGuard<'e, K, V, E, S, L: Load> {
    engine: &'e Engine<K, V, E, S, L>,
    hash: u64,
    pub(super) flight: Arc<Flight<V, E, L>>,
    place: Place,
    /// Takes back what it brought.
    ticket: u64,
    /// What it brought, taken back: the user's, to be dropped after the lock.
    back: Option<L::Back>,
}

/// How a wait ended.
pub(super) enum Ended {
    Landed,
    /// The caller leads the flight it waited for.
    Lead,
    TimedOut,
    Cancelled,
    Deadlock(Deadlock),
    /// The flight it waited for no longer belongs to the key.
    BoardAgain,
}

/// What a caller finds to do.
enum Look {
    Sleep,
    /// It leads the flight, which is not due before.
    SleepUntil(Instant),
    Lead,
}

impl<'e, K, V, E, S, L: Load> WaitGuard<'e, K, V, E, S, L> {
    pub(super) fn new(
        engine: &'e Engine<K, V, E, S, L>,
        hash: u64,
        flight: Arc<Flight<V, E, L>>,
        place: Place,
        ticket: u64,
    ) -> Self {
        Self { engine, hash, flight, place, ticket, back: None }
    }

    pub(super) fn id(&self) -> FlightId {
        FlightId { hash: self.hash, number: self.flight.node.id }
    }

    /// What the flight it waited for landed with.
    pub(super) fn outcome(&self) -> &Landed<V, E> {
        self.flight.landed().expect("seen to have landed")
    }

    /// The one wait loop of every kind of call. `took_over` is set to the flight that this call has detached.
    pub(super) fn wait(&mut self, options: &WaitOptions<'_>, took_over: &mut Option<u64>) -> Ended {
        let _registration = match (&self.place, options.cancel) {
            (Place::Queue { waiter, .. }, Some(token)) => Some(token.on_cancel(waiter.clone())),
            _ => None,
        };
        let mut due = false;
        loop {
            let deadline = options.deadline();
            let takeover = options.takeover.and_then(after);
            let takes_over = takeover.is_some() && (deadline.is_none() || takeover < deadline);
            let until = if takes_over { takeover } else { deadline };
            let woken = match self.look(std::mem::take(&mut due), options) {
                Look::Lead => return Ended::Lead,
                Look::SleepUntil(moment) => {
                    let woken = self.sleep_until(moment, until, options);
                    due = woken == Wake::Called; // perhaps by the clock
                    woken
                }
                Look::Sleep => match self.sleep(until, options) {
                    Ok(woken) => woken,
                    Err(circle) => return self.leave(Ended::Deadlock(circle)),
                },
            };
            match woken {
                Wake::Called => continue,
                Wake::Landed => return self.landed(),
                Wake::Cancelled => return self.leave(Ended::Cancelled),
                Wake::TimedOut => test_delay(),
            }
            if !takes_over {
                return self.leave(Ended::TimedOut);
            }
            let detached = self.engine.take_over(self.id());
            *took_over = took_over.or(detached);
            if detached.is_none_or(|detached| detached == self.flight.node.id) {
                return self.leave(Ended::BoardAgain);
            }
            // The flight in front is gone. Wait as long again for the own flight, or be called to lead it.
        }
    }

    /// What there is to do for a caller that was called, or whose flight may be due: it takes the lead if that is still
    /// offered to it.
    fn look(&mut self, due: bool, options: &WaitOptions<'_>) -> Look {
        let Place::Queue { waiter, ticket, .. } = &self.place else { return Look::Sleep };
        if !(waiter.answer() || due) || options.cancel.is_some_and(|token| token.is_cancelled()) {
            return Look::Sleep;
        }
        let mut state = self.engine.shard(self.hash).lock();
        let (table, counts) = state.parts();
        let flight = &self.flight;
        let Some(slot) = table.find_mut(self.hash, |slot| slot.is_grounded() && slot.waits_first(flight)) else {
            return Look::Sleep; // another caller was quicker
        };
        if flight.next().offered != Some(*ticket) {
            return Look::Sleep;
        }
        match self.engine.due(slot, flight) {
            Due::Now => {
                self.engine.lift_queued(slot, counts, flight, *ticket);
                drop(state);
                self.give_waiter_back();
                Look::Lead
            }
            due @ Due::At(at) => {
                flight.next().expected = Some(due);
                Look::SleepUntil(at)
            }
            Due::Busy(_) => Look::Sleep,
        }
    }

    /// Waits for a moment, and so for no thread: there is no edge.
    fn sleep_until(&self, due: Instant, until: Option<Instant>, options: &WaitOptions<'_>) -> Wake {
        let Place::Queue { waiter, .. } = &self.place else { unreachable!("the lead is offered to queued callers") };
        let sleep = |until| self.flight.wait_in(waiter, until, options.cancel);
        self.engine.clock.wait(waiter, due, until, &sleep)
    }

    /// Sleeps until there is something to do, unless that would be for ever.
    fn sleep(&self, until: Option<Instant>, options: &WaitOptions<'_>) -> Result<Wake, Deadlock> {
        if self.flight.landed().is_some() {
            return Ok(Wake::Landed); // no wait, and so no edge
        }
        let _edge = EdgeGuard::begin(&self.flight.node, until.is_some())?;
        test_delay();
        Ok(match &self.place {
            Place::Queue { waiter, .. } => self.flight.wait_in(waiter, until, options.cancel),
            _ if self.flight.wait(until) => Wake::Landed,
            _ => Wake::TimedOut,
        })
    }

    /// There is an outcome. The caller passes its share of wake-ups on first: what it does next may take long.
    fn landed(&mut self) -> Ended {
        if let Place::Queue { ticket, .. } = self.place {
            self.flight.unqueue(ticket);
            self.flight.pass_on();
        }
        self.give_waiter_back();
        Ended::Landed
    }

    /// Stops waiting, for a reason that an outcome or the lead overrules. What the call brought is taken back if no run
    /// carries it yet. If nobody is left to lead the flight, it is dissolved, and its other callers get `Abandoned`.
    fn leave(&mut self, reason: Ended) -> Ended {
        let Place::Queue { ticket, .. } = &self.place else {
            if self.flight.landed().is_some() {
                return self.landed(); // an outcome that is there wins (P6)
            }
            self.flight.remove_follower();
            self.place = Place::Left;
            return reason;
        };
        let mut state = self.engine.shard(self.hash).lock();
        let (table, counts) = state.parts();
        let flight = &self.flight;
        let Some(slot) = table.find_mut(self.hash, |slot| slot.waiting().any(|waiting| Arc::ptr_eq(&waiting, flight)))
        else {
            flight.unqueue(*ticket); // it is in the air, or detached
            if flight.landed().is_some() {
                drop(state);
                return self.landed(); // a share of wake-ups may have been meant for this caller: it is passed on
            }
            flight.remove_follower();
            drop(state);
            self.give_waiter_back();
            return reason;
        };
        let offered = flight.next().offered == Some(*ticket);
        let first = slot.is_grounded() && slot.waits_first(flight);
        // Too late to leave: the flight is due, and the others wait for this caller to lead it.
        let leads = matches!(reason, Ended::TimedOut | Ended::Deadlock(_) | Ended::BoardAgain);
        if offered && first && leads && self.engine.due(slot, flight) == Due::Now {
            self.engine.lift_queued(slot, counts, flight, *ticket);
            drop(state);
            self.give_waiter_back();
            return Ended::Lead;
        }
        flight.unqueue(*ticket);
        flight.remove_follower();
        let dissolved = {
            let mut next = flight.next();
            self.back = next.load.withdraw(&self.engine.rules, self.ticket);
            next.load.is_empty() && (L::CARRIES || next.candidates() == 0)
        };
        if dissolved {
            slot.take_out(flight);
            self.engine.renew_node(slot);
        }
        let on = slot.is_grounded() && (offered || dissolved);
        let hand_off = if on { self.engine.hand_on(slot, counts) } else { None };
        let idle = self.engine.idle(slot).and_then(|number| table.remove(self.hash, number));
        drop(state);
        if let Some(hand_off) = hand_off {
            hand_off.notify();
        }
        if dissolved {
            self.engine.dissolved(&self.flight);
        }
        self.give_waiter_back();
        drop(idle);
        reason
    }

    fn give_waiter_back(&mut self) {
        if let Place::Queue { waiter, .. } = std::mem::replace(&mut self.place, Place::Left) {
            waiter.give_back();
        }
    }
}

impl<K, V, E, S, L: Load> Drop for WaitGuard<'_, K, V, E, S, L> {
    /// Only a caller that unwinds still has its place, because an observer panicked. Its offer goes to another caller.
    fn drop(&mut self) {
        if !matches!(self.place, Place::Left) {
            self.leave(Ended::Cancelled);
        }
    }
}

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// Lands a flight that will never run, with `Abandoned`.
    pub(super) fn dissolved(&self, flight: &Flight<V, E, L>) {
        self.rare.abandoned.add(1);
        flight.publish(Landed {
            outcome: Err(Error::Abandoned(self.site())),
            detached: false,
            trace: Trace::default(),
        });
        flight.wake();
    }

    /// Waits, counts and tells.
    pub(super) fn await_end<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        options: &WaitOptions<'_>,
        guard: &mut WaitGuard<'_, K, V, E, S, L>,
    ) -> Ended {
        let number = guard.flight.node.id;
        if let Some(debug_key) = self.config.debug_key {
            guard.flight.node.set_key(|| debug_key(&key.own()));
        }
        let told = self.config.is_told().then(|| {
            let key = || self.config.debug_key.map(|debug_key| debug_key(&key.own()));
            (self.config.reports.wait(number, key), Instant::now())
        });
        self.tell(number, || key.own(), EventKind::Joined);
        let queued = !L::CARRIES && matches!(guard.place, Place::Queue { may_lead: true, .. });
        let mut took_over = None;
        let ended = guard.wait(options, &mut took_over);
        match &ended {
            Ended::TimedOut => self.rare.timed_out.add(1),
            Ended::Cancelled => self.rare.cancelled.add(1),
            Ended::Deadlock(_) => self.rare.deadlocked.add(1),
            _ => {}
        }
        if let Some((report, since)) = told {
            let lead = matches!(ended, Ended::Lead).then(|| LeadGuard::new(self, guard.id()));
            self.tell_end(key, &guard.flight, &ended, took_over, queued, report, since.elapsed());
            if let Some(lead) = lead {
                lead.disarm();
            }
        }
        ended
    }

    #[cold]
    #[allow(clippy::too_many_arguments, reason = "all that is known of a wait")]
    fn tell_end<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        flight: &Flight<V, E, L>,
        ended: &Ended,
        took_over: Option<u64>,
        queued: bool,
        mut report: WaitReport<'_>,
        waited: Duration,
    ) {
        let number = flight.node.id;
        report.ended(&match ended {
            Ended::Landed => {
                let landed = flight.landed().expect("seen to have landed");
                WaitEnd::Landed(ending(&landed.outcome), &landed.trace)
            }
            Ended::Lead => WaitEnd::Led,
            Ended::TimedOut => WaitEnd::TimedOut,
            Ended::Cancelled => WaitEnd::Cancelled,
            Ended::Deadlock(circle) => WaitEnd::Deadlock(circle),
            Ended::BoardAgain => WaitEnd::BoardsAgain,
        });
        let tell = |flight, kind| self.tell(flight, || key.own(), kind);
        if let Some(detached) = took_over {
            tell(detached, EventKind::TakenOver);
        }
        match ended {
            Ended::TimedOut => tell(number, EventKind::TimedOut { waited }),
            Ended::Cancelled => tell(number, EventKind::Cancelled { waited }),
            Ended::Deadlock(_) => tell(number, EventKind::Deadlock),
            Ended::Landed => {
                let outcome = &flight.landed().expect("seen to have landed").outcome;
                tell(number, EventKind::Followed { ending: ending(outcome), waited });
                // A call that boards again still has its closure.
                if queued && !is_worth_another_try(outcome, self.config.share_failures) {
                    tell(number, EventKind::Superseded);
                }
            }
            Ended::Lead | Ended::BoardAgain => {}
        }
    }
}

impl<K, V: Clone, E: Clone, S: BuildHasher, L: Load> Engine<K, V, E, S, L> {
    /// Follows a flight that is there already, and never leads. `None`, at once, if there is none.
    pub(crate) fn follow<Q: Lookup<K> + ?Sized>(
        &self,
        key: &Q,
        which: Which,
        mut options: WaitOptions<'_>,
    ) -> Option<Result<Landing<V>, Error<E>>> {
        if let Err(cancelled) = self.check(&options) {
            return Some(Err(cancelled));
        }
        options.takeover = None; // it has no closure to take over with
        let hash = key.hash_in(&self.hasher);
        let mut caller = Caller::blocked(which, options, None);
        let mut last = None;
        // A flight that never ran has nothing to share; but there may be another one by now.
        while let Some(boarded) = self.board_existing(hash, key, &mut caller) {
            let (flight, place) = match boarded {
                Boarded::Wait(flight, place, _) => (flight, place),
                refused => return Some(Err(self.refused(refused, key))),
            };
            let mut guard = WaitGuard::new(self, hash, flight, place, 0);
            let result = match self.await_end(key, &caller.options, &mut guard) {
                Ended::Landed => guard.outcome().share(Role::Follower, true),
                ended => Err(self.wait_error(ended, &caller.options)),
            };
            if !matches!(result, Err(Error::Abandoned(_))) {
                return Some(result);
            }
            last = Some(result);
        }
        last
    }
}

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// What a call returns whose wait ended without an outcome and without the lead.
    pub(super) fn wait_error(&self, ended: Ended, options: &WaitOptions<'_>) -> Error<E> {
        match ended {
            Ended::TimedOut => Error::TimedOut(self.site()),
            Ended::Deadlock(circle) => Error::Deadlock(circle),
            Ended::Cancelled => self.check(options).expect_err("a token stays cancelled"),
            Ended::Landed | Ended::Lead | Ended::BoardAgain => unreachable!("the caller goes on"),
        }
    }

    /// What a call returns that could not board.
    pub(super) fn refused<Q: Lookup<K> + ?Sized>(&self, boarded: Boarded<V, E, L>, key: &Q) -> Error<E> {
        let (kind, number, error) = self.refusal(boarded);
        self.tell(number, || key.own(), kind);
        error
    }

    /// Counts it: what the observer is told, the flight's number, and the error.
    pub(super) fn refusal(&self, boarded: Boarded<V, E, L>) -> (EventKind, u64, Error<E>) {
        match boarded {
            Boarded::Overloaded(number) => {
                self.rare.overloaded.add(1);
                (EventKind::Overloaded, number, Error::Overloaded(self.site()))
            }
            Boarded::TimedOut(number, back) => {
                drop(back);
                self.rare.timed_out.add(1);
                (EventKind::TimedOut { waited: Duration::ZERO }, number, Error::TimedOut(self.site()))
            }
            _ => unreachable!("it has boarded"),
        }
    }
}
