//! What the workers of an event group have to do, and when.

use crate::engine::flight::FlightId;
use crate::engine::waiter::Waiter;
use crate::sync::{Arc, Instant};
use std::collections::{BTreeMap, HashMap};

/// What is to be done, by the moment it is due, and among equals by arrival. A flight has one place.
#[derive(Default)]
pub(super) struct Agenda {
    places: BTreeMap<(Instant, u64), FlightId>,
    place_of: HashMap<FlightId, (Instant, u64)>,
    numbers: u64,
    /// How many workers are here or on their way.
    pub(super) serving: usize,
    /// The worker that sleeps until the first moment.
    pub(super) sleeper: Option<Arc<Waiter>>,
    /// The threads that are here, for the deadlock check.
    pub(super) threads: Vec<u64>,
    /// Everything is due.
    pub(super) closing: bool,
}

impl Agenda {
    pub(super) fn insert(&mut self, id: FlightId, due: Instant) {
        self.numbers += 1;
        let place = (due, self.numbers);
        self.remove(id);
        self.places.insert(place, id);
        self.place_of.insert(id, place);
    }

    pub(super) fn remove(&mut self, id: FlightId) {
        if let Some(place) = self.place_of.remove(&id) {
            self.places.remove(&place);
        }
    }

    pub(super) fn pop(&mut self) -> Option<FlightId> {
        let (_, id) = self.places.pop_first()?;
        self.place_of.remove(&id);
        Some(id)
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.places.first_key_value().map(|(place, _)| place.0)
    }

    /// Makes the sleeping worker look again. It is notified once the lock is free.
    pub(super) fn call_sleeper(&self) -> Option<Arc<Waiter>> {
        let sleeper = self.sleeper.clone()?;
        sleeper.call();
        Some(sleeper)
    }

    /// Whether one more worker should come. It is counted as serving.
    pub(super) fn wants_another(&mut self, workers: usize) -> bool {
        let wanted = self.sleeper.is_none() && self.serving < workers && !self.places.is_empty();
        self.serving += usize::from(wanted);
        wanted
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        assert_eq!(self.places.len(), self.place_of.len());
        self.places.len()
    }

    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        self.serving == 0 && self.places.is_empty()
    }
}
