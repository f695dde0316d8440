//! An event's way: into the key's next flight, merged there, and pushed by the flight's leader.

use crate::engine::clock::later;
use crate::engine::deadlock::thread_number;
use crate::engine::flight::{Flight, FlightId};
use crate::engine::key::InArc;
use crate::engine::load::{Bring, Joined};
use crate::engine::options::WaitOptions;
use crate::engine::panics::{Payload, caught, drop_quietly, quietly, resume_unwind};
use crate::error::Error;
use crate::event_group::events::{Carried, Coming, Events, Neighbours, ROUNDS, Rules};
use crate::event_group::shared::{Key, Own, Shared, Told};
use crate::event_group::telling::Untold;
use crate::landing::Landing;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::{Arc, Duration};
use std::borrow::Borrow;
use std::cell::Cell;
use std::hash::Hash;

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    pub(super) fn push_event<Q>(
        &self,
        key: &Q,
        event: T,
        delay: Duration,
        options: WaitOptions<'_>,
    ) -> Result<Landing<V>, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if self.is_closed() {
            return Err(Error::Closed(self.engine.site()));
        }
        self.counts.pushed.fetch_add(1, Relaxed);
        let timing = &self.engine.rules.timing;
        let holds = !delay.is_zero() || timing.quiet.is_some() || timing.min_interval.is_some();
        let event = Cell::new(Some(event));
        let mut brings = Push { event: &event, rules: &self.engine.rules, coming: self.coming(true, delay) };
        let mut report = Report { key: None, carried: 0, failure: None };
        let result = caught(|| {
            let work = |load: Option<(FlightId, Events<T>)>| {
                let (key, carried) = match load {
                    // The table's key: to make one may panic, and then nobody would be told of what was submitted.
                    Some((id, load)) => {
                        (self.engine.key_in_the_air(id).expect("led by this thread"), load.take_off(&self.engine.rules))
                    }
                    None => {
                        let events = event.take().into_iter().collect();
                        (Arc::new(key.to_owned()), Carried { count: 1, submitted: false, events })
                    }
                };
                let key = report.key.insert(key).clone();
                self.run(&key, carried, &mut report)
            };
            self.engine.carry(&InArc(key), options, holds, &mut brings, work, |landing| landing)
        });
        self.tell(&report);
        drop_quietly(report.key);
        match result {
            Err(payload) => resume_unwind(payload),
            Ok(result) => {
                let result = result.map_err(|error| self.or_closed(error));
                self.counts.ended(&result);
                let alone = report.carried < 2;
                result.map(|landing| if alone { landing } else { landing.with_shared(true) })
            }
        }
    }

    pub(super) fn submit_event<Q>(self: &Arc<Self>, key: &Q, event: T, delay: Duration) -> Result<(), Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if self.is_closed() {
            return Err(Error::Closed(self.engine.site()));
        }
        if !self.is_staffed() {
            return Err(Error::Abandoned(self.engine.site()));
        }
        let coming = Coming { weighs: self.weigh.as_ref().map(|weigh| weigh(&event)), ..self.coming(false, delay) };
        let mut brings = Submit { event: Some(event), rules: &self.engine.rules, coming, neighbours: None };
        let id = match self.engine.leave(&InArc(key), &mut brings) {
            Ok(id) => id,
            Err(error) => {
                let error = self.or_closed(error);
                self.counts.overloaded.fetch_add(u64::from(error.is_overloaded()), Relaxed);
                return Err(error);
            }
        };
        self.counts.submitted.fetch_add(1, Relaxed);
        if let Some(neighbours) = brings.neighbours {
            self.merge_arrived(id, neighbours, || Arc::new(key.to_owned()));
        }
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.engine.rules.closed.load(SeqCst)
    }

    /// What a call is told that the group did not take.
    fn or_closed(&self, error: Error<E>) -> Error<E> {
        match error {
            Error::Overloaded(site) if self.is_closed() => Error::Closed(site),
            error => error,
        }
    }

    fn coming(&self, owned: bool, delay: Duration) -> Coming {
        let arrived = self.engine.now();
        Coming { owned, arrived, wanted: later(arrived, delay), weighs: None }
    }

    /// Merges what this thread has taken out of the flight. A panic fails the flight, as it would in the run.
    #[cold]
    fn merge_arrived(&self, id: FlightId, mut neighbours: Neighbours<T>, own_key: impl Fn() -> Arc<K>) {
        let rules = &self.engine.rules;
        for round in 1.. {
            let weight = neighbours.weight();
            let merged = self.merge_all(neighbours.events).and_then(|event| {
                let weighs = caught(|| self.weigh.as_ref().map_or(1, |weigh| weigh(&event)));
                match weighs {
                    Ok(weighs) => Ok((event, weighs)),
                    Err(payload) => {
                        drop_quietly(event);
                        Err(payload)
                    }
                }
            });
            let (taken, failure) = match merged {
                Ok((event, weighs)) => {
                    let mut event = Some(event);
                    let settled = self.engine.settle(id, |events| {
                        let watchers = events.put_back(rules, event.take(), weight, weighs);
                        let more = if round < ROUNDS { events.take_neighbours(thread_number()) } else { None };
                        (more, watchers)
                    });
                    match settled {
                        Some((Some(more), _)) => {
                            neighbours = more;
                            continue;
                        }
                        Some((None, _)) => return,
                        // `close` has given the rest back; this is what it did not get.
                        None => {
                            drop_quietly(event);
                            (None, self.failure(Error::Closed(self.engine.site())))
                        }
                    }
                }
                Err(payload) => {
                    self.counts.panicked.fetch_add(1, Relaxed);
                    let error = self.engine.panicked(&payload);
                    drop_quietly(payload);
                    let failure = self.failure(error.clone());
                    (self.engine.fail_next(id, error), failure)
                }
            };
            rules.waiting.fetch_sub(weight, Relaxed);
            let key = match taken {
                Some((key, events)) => {
                    events.take_off(rules).events.into_iter().for_each(drop_quietly);
                    Some(key)
                }
                None => caught(&own_key).map_err(drop_quietly).ok(),
            };
            self.tell(&Report { key, carried: 0, failure: Some(failure) });
            return;
        }
    }

    /// Submitted events are lost for which no run can be told.
    pub(super) fn tell_failure(&self, key: Option<Arc<K>>, error: Error<E>) {
        self.tell(&Report { key, carried: 0, failure: Some(self.failure(error)) });
    }

    /// In the order of arrival. After a panic the rest is dropped outside the unwinding, so that an event whose `Drop`
    /// panics as well does not abort the process.
    pub(super) fn merge_all(&self, events: impl IntoIterator<Item = T>) -> Result<T, Payload> {
        let mut events = events.into_iter();
        let mut merged = events.next().expect("a run carries an event");
        match caught(|| events.by_ref().for_each(|event| (self.merge)(&mut merged, event))) {
            Ok(()) => Ok(merged),
            Err(payload) => {
                drop_quietly(merged);
                events.for_each(drop_quietly);
                Err(payload)
            }
        }
    }

    /// One run, on its leader's thread. Unwinds if a closure of the user's does.
    fn run(&self, key: &K, carried: Carried<T>, report: &mut Report<K, E>) -> Result<V, E> {
        let Carried { count, submitted, events } = carried;
        report.carried = count;
        self.counts.runs.fetch_add(1, Relaxed);
        self.counts.carried.fetch_add(count as u64, Relaxed);
        let outcome = self.merge_all(events).and_then(|merged| caught(|| (self.push)(key, merged)));
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.counts.failed.fetch_add(1, Relaxed);
                if submitted && self.on_failure.is_some() {
                    let error = caught(|| Error::Work(error.clone())).map_err(drop_quietly);
                    report.failure = error.ok().map(|error| self.failure(error));
                }
                Err(error)
            }
            Err(payload) => {
                self.counts.panicked.fetch_add(1, Relaxed);
                report.failure = submitted.then(|| self.failure(self.engine.panicked(&payload)));
                resume_unwind(payload)
            }
        }
    }

    /// A run on a thread that is none of its callers'.
    pub(super) fn run_for_others(&self, key: Arc<K>, hash: u64, flight: Arc<Flight<V, E, Events<T>>>) {
        let mut report = Report { key: Some(key.clone()), carried: 0, failure: None };
        self.engine
            .lead_for_others(&key, flight, hash, |load| self.run(&key, load.take_off(&self.engine.rules), &mut report));
        self.tell(&report);
        drop_quietly((key, report));
    }

    /// What `on_failure` will be told. Made before the run lands, so that those who wait for the run also wait for that.
    fn failure(&self, error: Error<E>) -> (Error<E>, Untold) {
        (error, self.telling.begin())
    }

    /// Calls `on_failure` for events that were submitted, because no caller gets their error. The run's blocked callers
    /// have been woken.
    fn tell(&self, report: &Report<K, E>) {
        if let (Some(on_failure), Some(key), Some((error, _))) = (&self.on_failure, &report.key, &report.failure) {
            quietly(|| on_failure(key, error));
        }
    }
}

/// What is known of a run when it has landed.
struct Report<K, E> {
    key: Option<Arc<K>>,
    carried: usize,
    failure: Option<(Error<E>, Untold)>,
}

/// The event of a blocked caller.
struct Push<'a, T> {
    event: &'a Cell<Option<T>>,
    rules: &'a Rules,
    coming: Coming,
}

impl<T> Bring<Events<T>> for Push<'_, T> {
    fn join(&mut self, events: &mut Events<T>) -> Joined {
        let mut event = self.event.take();
        let joined = events.join(self.rules, &mut event, self.coming);
        self.event.set(event);
        joined
    }

    fn make(&mut self) {}
}

/// An event that nobody waits for.
struct Submit<'a, T> {
    event: Option<T>,
    rules: &'a Rules,
    coming: Coming,
    /// What this thread has to merge.
    neighbours: Option<Neighbours<T>>,
}

impl<T> Bring<Events<T>> for Submit<'_, T> {
    fn join(&mut self, events: &mut Events<T>) -> Joined {
        let joined = events.join(self.rules, &mut self.event, self.coming);
        if let Joined::In(_) = joined {
            self.neighbours = events.take_neighbours(thread_number());
        }
        joined
    }

    fn make(&mut self) {}
}
