//! What is under the batcher's lock: the keys that wait, in the batches they will go in.
//!
//! A batch is in one of four states.
//!
//! - *gathering*: in the queue, its window still open (`due` is set). One of its callers, the keeper, sleeps no
//!   longer than that;
//! - *ready*: in the queue, nothing to wait for but the batch before it;
//! - *offered*: at the head of the queue, nothing before it; the first of its callers to wake takes the lead;
//! - *started*: out of the queue, its keys with its leader, closed. Its callers wait for the outcome.
//!
//! While nobody runs (`busy` is not set), no batch is ready or offered: whoever makes a batch ready starts it, and
//! whoever lands a batch offers the next. Only the last batch in the queue can be gathering or have room, since
//! a batch is opened only when the one before it is full.
//!
//! The one piece of user code that runs in here is `K::eq`. Keys come in by move and go out by move.

use super::outcome::{End, Outcome};
use super::stats::BatchStats;
use crate::sync::{Arc, Condvar, Instant, OnceCell, ThreadId};
use hashbrown::HashTable;
use std::collections::VecDeque;

/// What a batch's callers share while they wait.
pub(super) struct Berth<K, V, E> {
    pub(super) outcome: OnceCell<Outcome<K, V, E>>,
    pub(super) wake: Condvar,
}

/// A batch that has not started.
struct Batch<K, V, E> {
    number: u64,
    /// What the function will get.
    keys: Vec<K>,
    /// Who wants them: `places[i]` belongs to `keys[i]`.
    places: Vec<Place>,
    /// Callers that wait, those who share a place included.
    callers: usize,
    /// When the window closes; `None` when there is nothing to gather for (any more).
    due: Option<Instant>,
    /// Whether one of the callers looks after `due`.
    kept: bool,
    offered: bool,
    berth: Arc<Berth<K, V, E>>,
}

#[derive(Clone, Copy)]
struct Place {
    id: u64,
    hash: u64,
    callers: usize,
}

/// Where to find a queued key. Holds its hash, so that no move within the table calls the user's `Hash`.
#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    place: u64,
    batch: u64,
    at: usize,
}

/// A caller's claim to a place in a batch.
pub(super) struct Ticket<K, V, E> {
    pub(super) berth: Arc<Berth<K, V, E>>,
    batch: u64,
    place: u64,
    hash: u64,
    /// Whether this caller looks after the window.
    keeper: bool,
}

/// A started batch, with its leader.
pub(super) struct Started<K, V, E> {
    pub(super) keys: Vec<K>,
    pub(super) berth: Arc<Berth<K, V, E>>,
    /// Callers other than the leader.
    pub(super) others: usize,
}

/// What a queued caller is to do next.
pub(super) enum Turn<K, V, E> {
    /// Take the lead of this batch.
    Lead(Started<K, V, E>),
    /// Sleep until woken, or until the window closes.
    Gather(Instant),
    /// Sleep until woken.
    Wait,
}

/// What became of a caller whose own deadline passed.
pub(super) enum Left<K, V, E> {
    /// It was the only one left to take an offered lead: it leads.
    Lead(Started<K, V, E>),
    /// It is out. The key, if nobody else wants it, is to be dropped outside the lock; `wake` says that somebody
    /// has to be woken to look after the window.
    Out { key: Option<K>, wake: bool },
}

/// What became of a caller that came in.
pub(super) enum Boarded<K, V, E> {
    /// Nobody is here: lead a batch of one at once.
    Alone,
    /// The batch is full with this key, and nothing runs: lead it.
    Lead(Started<K, V, E>),
    /// Wait. The key is handed back where it was not needed.
    Queued(Ticket<K, V, E>, Option<K>),
    /// The key is not in the queue yet: come again with an owned one.
    KeyNeeded,
}

/// The batch that runs.
pub(super) struct Running {
    pub(super) number: u64,
    /// `None` while its lead is offered and not yet taken.
    pub(super) thread: Option<ThreadId>,
}

pub(super) struct Queue<K, V, E> {
    busy: Option<Running>,
    batches: VecDeque<Batch<K, V, E>>,
    index: HashTable<Entry>,
    next_batch: u64,
    next_place: u64,
    /// Callers inside `load` that sleep or are about to.
    pub(super) waiting: usize,
    pub(super) stats: BatchStats,
}

/// An idle table keeps no more room than this.
const KEPT_CAPACITY: usize = 64;

impl<K, V, E> Queue<K, V, E> {
    pub(super) fn new() -> Self {
        Self {
            busy: None,
            batches: VecDeque::new(),
            index: HashTable::new(),
            next_batch: 1,
            next_place: 0,
            waiting: 0,
            stats: BatchStats::new(),
        }
    }

    pub(super) fn busy(&self) -> Option<&Running> {
        self.busy.as_ref()
    }

    /// Distinct keys that wait for their batch to start.
    pub(super) fn queued(&self) -> usize {
        self.index.len()
    }

    /// Takes a caller in. `due` is asked for the end of a new batch's window; `None` where there is no window.
    pub(super) fn board(
        &mut self,
        hash: u64,
        same: impl Fn(&K) -> bool,
        owned: &mut Option<K>,
        max_batch: usize,
        due: Option<Instant>,
        me: ThreadId,
    ) -> Boarded<K, V, E> {
        // An empty queue has nothing to share and nobody to wait with; with a window, company may yet come.
        if self.busy.is_none() && self.batches.is_empty() && (due.is_none() || max_batch == 1) {
            let number = self.take_number();
            self.stats.started(1);
            self.busy = Some(Running { number, thread: Some(me) });
            return Boarded::Alone;
        }

        let batches = &self.batches;
        let known = self.index.find(hash, |entry| {
            entry.hash == hash && same(&batches[position(batches, entry.batch).expect(INDEXED)].keys[entry.at])
        });
        if let Some(&entry) = known {
            let batch = self.batch_mut(entry.batch).expect(INDEXED);
            batch.places[entry.at].callers += 1;
            batch.callers += 1;
            let ticket = batch.ticket(entry.place, hash);
            self.stats.shared += 1;
            return Boarded::Queued(ticket, owned.take());
        }
        let Some(key) = owned.take() else { return Boarded::KeyNeeded };

        if self.batches.back().is_none_or(|last| last.keys.len() >= max_batch) {
            let number = self.take_number();
            self.batches.push_back(Batch::new(number, due));
        }
        let place = self.next_place;
        self.next_place += 1;
        let batch = self.batches.back_mut().expect("one was just made where there was none");
        let at = batch.keys.len();
        batch.keys.push(key);
        batch.places.push(Place { id: place, hash, callers: 1 });
        batch.callers += 1;
        let ticket = batch.ticket(place, hash);
        self.index.insert_unique(hash, Entry { hash, place, batch: batch.number, at }, |entry| entry.hash);

        if at + 1 == max_batch {
            batch.due = None;
            // Ready, and nothing before it: its newest caller is awake and so the quickest to lead.
            if self.busy.is_none() {
                return Boarded::Lead(self.start(me));
            }
        }
        Boarded::Queued(ticket, None)
    }

    /// What the caller with this ticket is to do, its outcome not being there yet.
    pub(super) fn turn(&mut self, ticket: &mut Ticket<K, V, E>, me: ThreadId) -> Turn<K, V, E> {
        // A started batch is not in the queue: only its outcome is left to wait for.
        let Some(batch) = self.batch_mut(ticket.batch) else { return Turn::Wait };
        if batch.offered {
            self.stats.handed_over += 1;
            return Turn::Lead(self.start(me));
        }
        match batch.due {
            Some(due) if ticket.keeper || !batch.kept => {
                batch.kept = true;
                ticket.keeper = true;
                Turn::Gather(due)
            }
            _ => Turn::Wait,
        }
    }

    /// The keeper reports that its batch's window has closed.
    pub(super) fn window_closed(&mut self, ticket: &Ticket<K, V, E>, me: ThreadId) -> Option<Started<K, V, E>> {
        let idle = self.busy.is_none();
        let batch = self.batch_mut(ticket.batch)?;
        // It may have closed already, by being full: then the batch is ready and the one that runs will offer it.
        batch.due.take()?;
        idle.then(|| self.start(me))
    }

    /// The caller with this ticket gives up.
    pub(super) fn leave(&mut self, ticket: &Ticket<K, V, E>, me: ThreadId) -> Left<K, V, E> {
        let Some(position) = position(&self.batches, ticket.batch) else {
            self.stats.timed_out += 1;
            return Left::Out { key: None, wake: false };
        };
        let batch = &mut self.batches[position];
        if batch.offered && batch.callers == 1 {
            self.stats.handed_over += 1;
            return Left::Lead(self.start(me));
        }
        self.stats.timed_out += 1;
        batch.callers -= 1;
        let mut wake = false;
        if ticket.keeper && batch.due.is_some() {
            batch.kept = false;
            wake = batch.callers > 0;
        }
        let entry = *self.index.find(ticket.hash, |entry| entry.place == ticket.place).expect(INDEXED);
        let wanted = &mut batch.places[entry.at].callers;
        *wanted -= 1;
        if *wanted > 0 {
            return Left::Out { key: None, wake };
        }

        self.stats.withdrawn += 1;
        self.forget_entry(ticket.hash, ticket.place);
        let batch = &mut self.batches[position];
        let key = batch.keys.swap_remove(entry.at);
        batch.places.swap_remove(entry.at);
        // The last key has moved into the gap, so what the index says of it is out of date.
        if let Some(&Place { id, hash, .. }) = batch.places.get(entry.at) {
            self.index.find_mut(hash, |other| other.place == id).expect(INDEXED).at = entry.at;
        }
        if batch.callers == 0 {
            self.batches.remove(position);
            self.shrink();
        }
        Left::Out { key: Some(key), wake }
    }

    /// The running batch has landed: the next, if one is ready, is offered to its callers, one of whom is to be
    /// woken through the berth.
    pub(super) fn land(&mut self, end: End) -> Option<Arc<Berth<K, V, E>>> {
        match end {
            End::Answered => {}
            End::Failed => self.stats.failed += 1,
            End::Panicked => self.stats.panicked += 1,
        }
        self.busy = None;
        let next = self.batches.front_mut().filter(|next| next.due.is_none())?;
        next.offered = true;
        self.busy = Some(Running { number: next.number, thread: None });
        Some(Arc::clone(&next.berth))
    }

    /// Takes the first batch out of the queue, led by the calling thread.
    fn start(&mut self, me: ThreadId) -> Started<K, V, E> {
        let batch = self.batches.pop_front().expect("only a queued batch is started");
        self.busy = Some(Running { number: batch.number, thread: Some(me) });
        self.stats.started(batch.keys.len());
        if self.batches.is_empty() {
            self.index.clear();
        } else {
            for place in &batch.places {
                self.forget_entry(place.hash, place.id);
            }
        }
        self.shrink();
        Started { keys: batch.keys, berth: batch.berth, others: batch.callers - 1 }
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_batch;
        self.next_batch += 1;
        number
    }

    fn batch_mut(&mut self, number: u64) -> Option<&mut Batch<K, V, E>> {
        position(&self.batches, number).map(|position| &mut self.batches[position])
    }

    fn forget_entry(&mut self, hash: u64, place: u64) {
        match self.index.find_entry(hash, |entry| entry.place == place) {
            Ok(found) => drop(found.remove()),
            Err(_) => unreachable!("{INDEXED}"),
        }
    }

    /// A burst leaves no more behind than a quiet day does.
    fn shrink(&mut self) {
        if self.batches.is_empty() {
            if self.index.capacity() > KEPT_CAPACITY {
                self.index = HashTable::new();
            }
            if self.batches.capacity() > KEPT_CAPACITY {
                self.batches = VecDeque::new();
            }
        }
    }
}

const INDEXED: &str = "a queued key is in the index, and the index knows of queued keys only";

/// Batches are in the order of their numbers, but those that everybody left are gone.
fn position<K, V, E>(batches: &VecDeque<Batch<K, V, E>>, number: u64) -> Option<usize> {
    batches.binary_search_by_key(&number, |batch| batch.number).ok()
}

impl<K, V, E> Batch<K, V, E> {
    fn new(number: u64, due: Option<Instant>) -> Self {
        Self {
            number,
            keys: Vec::new(),
            places: Vec::new(),
            callers: 0,
            due,
            kept: false,
            offered: false,
            berth: Arc::new(Berth { outcome: OnceCell::new(), wake: Condvar::new() }),
        }
    }

    fn ticket(&self, place: u64, hash: u64) -> Ticket<K, V, E> {
        Ticket { berth: Arc::clone(&self.berth), batch: self.number, place, hash, keeper: false }
    }
}
