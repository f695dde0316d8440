//! A run: merge, push, land. On the leader's thread, with no lock held but to land.

use crate::engine::flight::{Flight, Landed, Outcome};
use crate::engine::panics::{Payload, caught, describe, drop_quietly, resume_unwind};
use crate::error::Error;
use crate::event_group::slots::{Entry, Kept, Load, Wakes};
use crate::event_group::{Key, Own, Shared, Told};
use crate::landing::{Landing, Role};
use crate::report::Trace;
use crate::sync::{Arc, test_delay};
use std::collections::VecDeque;

/// A run that has landed, as its leader sees it.
pub(super) struct Flown<K, V, E> {
    key: Arc<K>,
    outcome: Where<V, E>,
    payload: Option<Payload>,
    shared: bool,
}

/// Where the outcome is.
enum Where<V, E> {
    /// Nobody waited: it was never published.
    Here(Outcome<V, E>),
    Published(Arc<Flight<V, E>>),
}

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    /// Runs a batch on a thread that none of its callers has, and keeps whatever is left of it to itself.
    pub(super) fn fly_for_others(self: &Arc<Self>, load: Load<K, T>) {
        let Flown { key, outcome, payload, .. } = self.fly(load);
        drop_quietly(payload);
        drop_quietly(outcome);
        drop_quietly(key);
    }

    /// Runs a batch on the thread of one of its callers, and returns that caller's share.
    pub(super) fn fly_for_one(self: &Arc<Self>, load: Load<K, T>) -> Result<Landing<V>, Error<E>> {
        let Flown { key, outcome, payload, shared } = self.fly(load);
        if let Some(payload) = payload {
            drop_quietly((key, outcome));
            resume_unwind(payload)
        }
        drop(key);
        match outcome {
            Where::Here(outcome) => outcome.into_result().map(|value| Landing::new(value, Role::Leader, shared, false)),
            Where::Published(flight) => flight.landed().expect("published").share(Role::Leader, shared),
        }
    }

    fn fly(self: &Arc<Self>, load: Load<K, T>) -> Flown<K, V, E> {
        let Load { hash, id, key, entries } = load;
        let (carried, submitted) = (entries.len(), entries.iter().any(|entry| entry.submitted));
        let (outcome, payload) = match self.merge_and_push(&key, entries) {
            Ok(Ok(value)) => (Outcome::Value(value), None),
            Ok(Err(error)) => (Outcome::Failed(error), None),
            Err(payload) => (Outcome::Panicked(describe(&payload)), Some(payload)),
        };
        let failed = !matches!(outcome, Outcome::Value(_));
        let outcome = self.land(hash, id, outcome);
        let followed = matches!(&outcome, Where::Published(flight) if flight.followers() > 0);
        if failed && submitted {
            self.report(&key, &outcome);
        }
        Flown { key, outcome, payload, shared: carried > 1 || followed }
    }

    /// The user's closures. A panic ends this run, and what it was carrying is dropped here: outside the unwinding,
    /// so that an event whose `Drop` panics as well does not abort the process.
    fn merge_and_push(&self, key: &K, entries: VecDeque<Entry<T>>) -> Result<Result<V, E>, Payload> {
        let mut events = entries.into_iter().map(|entry| entry.event);
        let mut merged = events.next().expect("a batch is never empty");
        let panicked = caught(|| events.by_ref().for_each(|event| (self.merge)(&mut merged, event))).err();
        if let Some(payload) = panicked {
            drop_quietly(merged);
            events.for_each(drop_quietly);
            return Err(payload);
        }
        caught(|| (self.push)(key, merged))
    }

    /// Takes the run out of the air, finds what waits behind it a keeper, publishes and wakes.
    fn land(self: &Arc<Self>, hash: u64, id: u64, outcome: Outcome<V, E>) -> Where<V, E> {
        test_delay();
        let mut wakes = Wakes::default();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let now = self.clock.now();
        match outcome {
            Outcome::Failed(_) => state.stats.failed += 1,
            Outcome::Panicked(_) => state.stats.panicked += 1,
            _ => {}
        }
        let slot = state.flying(hash, id).expect("a run lands once");
        let key = slot.key.clone();
        let flight = slot.land();
        let kept = state.keep(hash, &key, &self.config.rules.timing, now, &mut wakes);
        let stranded = matches!(kept, Kept::ByCrew) && !self.staff(state, &mut wakes);
        drop(guard);
        test_delay();
        let outcome = match flight {
            None => Where::Here(outcome),
            Some(flight) => {
                flight.publish(Landed { outcome, detached: false, trace: Trace::default() });
                Where::Published(flight)
            }
        };
        wakes.ring();
        if let Where::Published(flight) = &outcome {
            flight.begin_waking();
        }
        drop_quietly((kept, key)); // `K::drop` must not keep the outcome from those it belongs to
        if stranded {
            self.work_off();
        }
        outcome
    }

    /// Tells of the failure of events that were submitted, and so have no caller to tell.
    fn report(&self, key: &K, outcome: &Where<V, E>) {
        let Some(on_failure) = &self.on_failure else { return };
        let reported = caught(|| {
            let error = match outcome {
                Where::Here(outcome) => outcome.share().err(),
                Where::Published(flight) => flight.landed().and_then(|landed| landed.outcome.share().err()),
            };
            if let Some(error) = &error {
                on_failure(key, error);
            }
        });
        if let Err(payload) = reported {
            drop_quietly(payload); // of the closure, or of `E::clone`: the hook has spoken, and no call is at fault
        }
    }
}
