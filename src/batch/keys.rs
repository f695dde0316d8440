//! What a batch carries until it starts: the keys, and how many callers want each.

use crate::engine::load::{Due, Load};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::{Duration, Instant, after};
use hashbrown::HashTable;

/// What the builder settled, and what is counted where a key leaves.
pub(crate) struct Rules {
    pub(super) max_batch: usize,
    pub(super) window: Option<Duration>,
    pub(super) withdrawn: AtomicU64,
}

pub(crate) struct Keys<K> {
    /// What the function will get, in the order in which the keys were first asked for.
    pub(super) keys: Vec<K>,
    /// Who wants them: `places[i]` belongs to `keys[i]`.
    places: Vec<Place>,
    /// Positions in the two above, by the keys' hashes: no move in it calls the user's `Hash`.
    index: HashTable<usize>,
    tickets: u64,
    /// The tickets of callers that want several keys, each with those of its keys.
    bundles: Vec<(u64, Vec<u64>)>,
    /// When the window closes. `None`: there is nothing to gather for.
    closes: Option<Instant>,
    hurried: bool,
    /// Its leader was offered it when the batch before landed.
    pub(super) handed_on: bool,
}

struct Place {
    ticket: u64,
    hash: u64,
    callers: usize,
}

impl<K> Keys<K> {
    /// Where the key stands. Runs the user's `Eq`.
    pub(super) fn find(&self, hash: u64, same: impl Fn(&K) -> bool) -> Option<usize> {
        self.index.find(hash, |&at| self.places[at].hash == hash && same(&self.keys[at])).copied()
    }

    pub(super) fn has_room(&self, rules: &Rules) -> bool {
        self.keys.len() < rules.max_batch
    }

    /// One more caller for a key that is there: its ticket.
    pub(super) fn share(&mut self, at: usize) -> u64 {
        self.places[at].callers += 1;
        self.places[at].ticket
    }

    /// A key that is not there yet: its ticket.
    pub(super) fn add(&mut self, rules: &Rules, hash: u64, key: K) -> u64 {
        if self.keys.is_empty() {
            self.closes = rules.window.and_then(after);
        }
        self.tickets += 1;
        self.places.push(Place { ticket: self.tickets, hash, callers: 1 });
        let (at, places) = (self.keys.len(), &self.places);
        self.keys.push(key);
        self.index.insert_unique(hash, at, |&at| places[at].hash);
        self.tickets
    }

    /// One ticket for several.
    pub(super) fn bundle(&mut self, tickets: Vec<u64>) -> u64 {
        self.tickets += 1;
        self.bundles.push((self.tickets, tickets));
        self.tickets
    }

    /// One caller less for a key. Returns the key if it was the last.
    fn withdraw_one(&mut self, ticket: u64) -> Option<K> {
        let at = self.places.iter().position(|place| place.ticket == ticket)?;
        let place = &mut self.places[at];
        place.callers -= 1;
        if place.callers > 0 {
            return None;
        }
        let (hash, last) = (place.hash, self.keys.len() - 1);
        self.index.find_entry(hash, |&other| other == at).ok()?.remove();
        if last != at {
            // The last key moves into the gap.
            *self.index.find_mut(self.places[last].hash, |&other| other == last)? = at;
        }
        self.places.swap_remove(at);
        Some(self.keys.swap_remove(at))
    }
}

impl<K> Load for Keys<K> {
    const CARRIES: bool = true;
    type Rules = Rules;
    type Back = Vec<K>;

    fn due(&self, rules: &Rules) -> Due {
        match self.closes {
            Some(closes) if self.keys.len() < rules.max_batch && !self.hurried => Due::At(closes),
            _ => Due::Now,
        }
    }

    fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn withdraw(&mut self, rules: &Rules, ticket: u64) -> Option<Vec<K>> {
        let bundle = self.bundles.iter().position(|(bundle, _)| *bundle == ticket);
        let tickets = bundle.map_or_else(|| vec![ticket], |at| self.bundles.swap_remove(at).1);
        let gone: Vec<K> = tickets.into_iter().filter_map(|ticket| self.withdraw_one(ticket)).collect();
        rules.withdrawn.fetch_add(gone.len() as u64, Relaxed);
        if gone.is_empty() { None } else { Some(gone) }
    }

    fn hurry(&mut self) {
        self.hurried = true;
    }

    fn is_hurried(&self) -> bool {
        self.hurried
    }

    fn handed_on(&mut self) {
        self.handed_on = true;
    }
}

impl<K> Default for Keys<K> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            places: Vec::new(),
            index: HashTable::new(),
            tickets: 0,
            bundles: Vec::new(),
            closes: None,
            hurried: false,
            handed_on: false,
        }
    }
}
