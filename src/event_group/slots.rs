//! The state of every key, as one lock guards it.
//!
//! A key is in the table as long as it has a run in the air, events that wait, or an interval to keep:
//!
//! | state | `air` | `pending` | who acts next |
//! | --- | --- | --- | --- |
//! | flying | a run | | its leader lands it |
//! | flying, with a batch | a run | a batch | its leader lands it, and finds the batch a keeper |
//! | kept by a captain | | a batch with a captain | that blocked caller waits until the batch is due, and leads it |
//! | kept by the crew | | a batch without | a worker, by the agenda; or the next `push`, which takes it over |
//! | resting | | | a worker, by the agenda, forgets the key when `min_interval` is over |
//!
//! Whoever has boarded a batch is in `Batch::entries`, `Batch::captain` or in the queue of the batch's flight, and
//! enters and leaves under this lock: what carries an event is settled with the event's arrival, and never changes.
//!
//! One lock for all keys, where the groups have shards: what is done for an event is a push to somewhere else, not
//! a look at a counter, and with one lock the agenda, the crew and the table can be right together. No user code
//! runs under it but `K::eq`, before anything is changed.

use crate::engine::deadlock::{Ender, NOBODY, Node, runner};
use crate::engine::flight::{Captain, Flight};
use crate::engine::seat::Seat;
use crate::event_group::clock::later;
use crate::event_group::crew::Crew;
use crate::event_group::stats::EventStats;
use crate::site::Kind;
use crate::sync::{Arc, Duration, Instant};
use hashbrown::HashTable;
use std::borrow::Borrow;
use std::collections::{BTreeSet, VecDeque};

/// A table that has grown beyond this is given back when it empties.
const CAPACITY_KEPT: usize = 7;

pub(super) struct State<K, T, V, E> {
    pub(super) slots: HashTable<Slot<K, T, V, E>>,
    /// What waits for a worker, in the order it gets one: first what has been due longest, which puts a key that
    /// was queued again behind all that waited meanwhile.
    pub(super) agenda: BTreeSet<Place>,
    pub(super) numbers: u64,
    /// Submitted events no run has begun to carry.
    pub(super) waiting: usize,
    /// The last handle is gone: nothing waits for its time any more.
    pub(super) closing: bool,
    pub(super) crew: Crew,
    pub(super) stats: EventStats,
}

/// A place in the agenda.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) due: Instant,
    number: u64,
    pub(super) hash: u64,
}

pub(super) struct Slot<K, T, V, E> {
    pub(super) hash: u64,
    /// Shared with the run in the air, which needs it while nobody holds the lock.
    pub(super) key: Arc<K>,
    pub(super) air: Option<Air<V, E>>,
    pub(super) pending: Option<Batch<T, V, E>>,
    /// The earliest moment for the next run.
    rests_until: Option<Instant>,
    /// In the agenda: only with nothing in the air, and no captain.
    pub(super) place: Option<Place>,
}

/// The run of a key.
pub(super) struct Air<V, E> {
    id: u64,
    leader: u64,
    /// `None` as long as nobody waits for it: a `push` to an idle key.
    flight: Option<Arc<Flight<V, E>>>,
}

/// Events that wait for the next run, and the flight their callers wait for.
pub(super) struct Batch<T, V, E> {
    pub(super) flight: Arc<Flight<V, E>>,
    /// In the order of arrival. Never empty.
    entries: VecDeque<Entry<T>>,
    /// The earliest of its events' wishes, so that one that comes at once takes the delayed along: one slot, one
    /// moment, one run.
    wanted: Instant,
    /// The blocked caller that leads when the batch is due. It stands in no queue.
    pub(super) captain: Option<Arc<Seat>>,
    /// Somebody wants it done now.
    pub(super) flushed: bool,
}

pub(super) struct Entry<T> {
    ticket: u64,
    pub(super) event: T,
    pub(super) submitted: bool,
    arrived: Instant,
    /// `arrived`, and the delay of the call.
    wanted: Instant,
}

/// What a leader takes along.
pub(super) struct Load<K, T> {
    pub(super) hash: u64,
    pub(super) id: u64,
    pub(super) key: Arc<K>,
    pub(super) entries: VecDeque<Entry<T>>,
}

/// When runs may start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    pub(super) min_interval: Option<Duration>,
    pub(super) quiet: Option<Duration>,
    pub(super) max_wait: Option<Duration>,
}

/// What the builder settled that concerns slots.
#[derive(Clone, Default)]
pub(super) struct Rules {
    pub(super) name: Option<Arc<str>>,
    pub(super) timing: Timing,
}

/// Whom to ring once the lock is released.
#[derive(Default)]
pub(super) struct Wakes(Vec<Arc<Seat>>);

impl Wakes {
    /// Calls the owner of `seat`; under the lock, see [`Seat::call`].
    pub(super) fn call(&mut self, seat: &Arc<Seat>) {
        seat.call();
        self.0.push(seat.clone());
    }

    pub(super) fn ring(self) {
        self.0.iter().for_each(|seat| seat.ring());
    }
}

impl<K, T, V, E> State<K, T, V, E> {
    pub(super) fn new() -> Self {
        Self {
            slots: HashTable::new(),
            agenda: BTreeSet::new(),
            numbers: 0,
            waiting: 0,
            closing: false,
            crew: Crew::default(),
            stats: EventStats::default(),
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// The key as its slot has it, in a new slot if there is none and the caller has brought an owned key.
    ///
    /// From here on the slot is found by that very `Arc`: `K::eq` has been asked, and will not be again.
    pub(super) fn slot_key<Q>(&mut self, hash: u64, key: &Q, owned: &mut Option<Arc<K>>) -> Option<Arc<K>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if let Some(slot) = self.slots.find(hash, |slot| (*slot.key).borrow() == key) {
            return Some(slot.key.clone());
        }
        let key = owned.take()?;
        let slot = Slot { hash, key: key.clone(), air: None, pending: None, rests_until: None, place: None };
        self.slots.insert_unique(hash, slot, |slot| slot.hash);
        Some(key)
    }

    pub(super) fn of_key(&mut self, hash: u64, key: &Arc<K>) -> &mut Slot<K, T, V, E> {
        self.slots.find_mut(hash, |slot| Arc::ptr_eq(&slot.key, key)).expect("in the table under the same lock")
    }

    /// The slot in which `flight` waits for its turn.
    pub(super) fn pending(&mut self, hash: u64, flight: &Arc<Flight<V, E>>) -> Option<&mut Slot<K, T, V, E>> {
        let is = |batch: &Batch<T, V, E>| Arc::ptr_eq(&batch.flight, flight);
        self.slots.find_mut(hash, |slot| slot.pending.as_ref().is_some_and(is))
    }

    /// The slot whose run in the air is `id`.
    pub(super) fn flying(&mut self, hash: u64, id: u64) -> Option<&mut Slot<K, T, V, E>> {
        self.slots.find_mut(hash, |slot| slot.air.as_ref().is_some_and(|air| air.id == id))
    }

    /// Takes the slot with nothing left in it out of the table. The key comes back to be dropped after the lock.
    pub(super) fn forget(&mut self, hash: u64, key: &Arc<K>) -> Option<Forgotten<K, T, V, E>> {
        let entry = self.slots.find_entry(hash, |slot| Arc::ptr_eq(&slot.key, key)).ok()?;
        let (slot, _) = entry.remove();
        let outgrown =
            (self.slots.is_empty() && self.slots.capacity() > CAPACITY_KEPT).then(|| std::mem::take(&mut self.slots));
        Some(Forgotten { _slot: slot, _outgrown: outgrown })
    }

    /// Adds an event to the batch of its slot.
    pub(super) fn add(&mut self, hash: u64, key: &Arc<K>, coming: Coming<T>, rules: &Rules) -> Added<V, E> {
        let Coming { event, submitted, arrived, delay } = coming;
        let wanted = later(arrived, delay);
        let ticket = self.number();
        self.waiting += usize::from(submitted);
        match submitted {
            true => self.stats.submitted += 1,
            false => self.stats.pushed += 1,
        }
        let slot = self.of_key(hash, key);
        let leader = slot.air.as_ref().map_or(NOBODY, |air| air.leader);
        let before = slot.due(&rules.timing);
        let batch = slot.pending.get_or_insert_with(|| Batch {
            flight: Flight::new(Node::new(ticket, Kind::EventGroup, rules.name.clone(), Ender::Thread(leader))),
            entries: VecDeque::new(),
            wanted,
            captain: None,
            flushed: false,
        });
        batch.entries.push_back(Entry { ticket, event, submitted, arrived, wanted });
        batch.wanted = batch.wanted.min(wanted);
        let flight = batch.flight.clone();
        Added { ticket, flight, sooner: slot.due(&rules.timing) < before }
    }

    /// Puts the batch that waits with `flight` into the air, led by the calling thread.
    pub(super) fn take(
        &mut self,
        hash: u64,
        flight: &Arc<Flight<V, E>>,
        me: Option<&Arc<Seat>>,
        rules: &Rules,
        now: Instant,
    ) -> Load<K, T> {
        let is = |batch: &Batch<T, V, E>| Arc::ptr_eq(&batch.flight, flight);
        let slot = self.slots.find_mut(hash, |slot| slot.pending.as_ref().is_some_and(is)).expect("it is pending");
        let load = slot.take(&mut self.agenda, me, &rules.timing, now);
        self.waiting -= load.entries.iter().filter(|entry| entry.submitted).count();
        self.stats.runs += 1;
        self.stats.carried += load.entries.len() as u64;
        load
    }

    /// Gives a batch kept by the crew its place in the agenda, anew if its moment is another than before. Returns
    /// whether a worker must be called.
    pub(super) fn place(&mut self, hash: u64, key: &Arc<K>, timing: &Timing, now: Instant) -> bool {
        let number = self.number();
        let slot = self.of_key(hash, key);
        let due = slot.due(timing).map_or(now, |due| due.max(now));
        let was = slot.place;
        if was.is_some_and(|was| was.due == due || was.due.max(due) <= now) {
            return false; // it stands where it stood
        }
        let place = Place { due, number, hash };
        slot.place = Some(place);
        // Who sleeps until an earlier moment looks again then.
        let called_for = self.agenda.first().is_some_and(|first| first.due <= due && due > now);
        if let Some(was) = was {
            self.agenda.remove(&was);
        }
        self.agenda.insert(place);
        !called_for
    }
}

/// An event, as it comes.
pub(super) struct Coming<T> {
    pub(super) event: T,
    pub(super) submitted: bool,
    pub(super) arrived: Instant,
    pub(super) delay: Duration,
}

/// An event, as it has boarded.
pub(super) struct Added<V, E> {
    pub(super) ticket: u64,
    pub(super) flight: Arc<Flight<V, E>>,
    /// The batch was there, and is due earlier for it.
    pub(super) sooner: bool,
}

/// Dropped after the lock is released: `K::drop` is user code.
pub(super) struct Forgotten<K, T, V, E> {
    _slot: Slot<K, T, V, E>,
    _outgrown: Option<HashTable<Slot<K, T, V, E>>>,
}

impl<K, T, V, E> Slot<K, T, V, E> {
    /// Its batch waits for a worker, or for a time only a worker watches.
    pub(super) fn is_unattended(&self) -> bool {
        self.air.is_none() && self.pending.as_ref().is_some_and(|batch| batch.captain.is_none())
    }

    /// Nothing has ever been in it.
    pub(super) fn is_new(&self) -> bool {
        self.air.is_none() && self.pending.is_none() && self.place.is_none()
    }

    /// When the pending batch may go into the air; `None`: at once.
    pub(super) fn due(&self, timing: &Timing) -> Option<Instant> {
        let batch = self.pending.as_ref()?;
        if batch.flushed {
            return None;
        }
        let wanted = batch.wanted;
        let settled = timing.quiet.zip(batch.entries.back()).map(|(quiet, newest)| {
            let settled = later(newest.arrived, quiet);
            timing.max_wait.map_or(settled, |max_wait| settled.min(later(wanted, max_wait)))
        });
        Some(wanted).max(settled).max(self.rests_until)
    }

    pub(super) fn is_due(&self, timing: &Timing, now: Instant) -> bool {
        self.due(timing).is_none_or(|due| due <= now)
    }

    /// Until when the key must be remembered though nothing waits.
    fn rests(&self, now: Instant) -> Option<Instant> {
        self.rests_until.filter(|until| *until > now)
    }

    /// Puts the pending batch into the air, led by the calling thread.
    fn take(
        &mut self,
        agenda: &mut BTreeSet<Place>,
        me: Option<&Arc<Seat>>,
        timing: &Timing,
        now: Instant,
    ) -> Load<K, T> {
        let Batch { flight, entries, captain, .. } = self.pending.take().expect("only a slot with a batch is taken");
        if let Some(place) = self.place.take() {
            agenda.remove(&place);
        }
        if let Some(captain) = captain.filter(|captain| me.is_none_or(|me| !Arc::ptr_eq(captain, me))) {
            flight.queue(&captain); // somebody was quicker: it follows
        }
        let id = flight.head.id;
        flight.head.set_leader(runner());
        self.rests_until = timing.min_interval.map(|interval| later(now, interval));
        let flight = (flight.followers() > 0).then_some(flight);
        self.air = Some(Air { id, leader: runner(), flight });
        Load { hash: self.hash, id, key: self.key.clone(), entries }
    }

    /// The flight in the air, made now if nobody has waited for it until now.
    pub(super) fn in_the_air(&mut self, group: &Option<Arc<str>>) -> Option<Arc<Flight<V, E>>> {
        let air = self.air.as_mut()?;
        let (id, leader) = (air.id, air.leader);
        let make = || Flight::new(Node::new(id, Kind::EventGroup, group.clone(), Ender::Thread(leader)));
        Some(air.flight.get_or_insert_with(make).clone())
    }

    /// How many callers wait for the key.
    pub(super) fn followers(&self) -> usize {
        let flying = self.air.as_ref().and_then(|air| air.flight.as_ref());
        let pending = self.pending.as_ref().map(|batch| &batch.flight);
        flying.into_iter().chain(pending).map(|flight| flight.followers()).sum()
    }

    pub(super) fn waiting(&self) -> usize {
        self.pending.as_ref().map_or(0, |batch| batch.entries.len())
    }

    /// Ends the run in the air. Returns the flight to publish its outcome in, if anybody waits for it.
    pub(super) fn land(&mut self) -> Option<Arc<Flight<V, E>>> {
        self.air.take().and_then(|air| air.flight)
    }
}

impl<T, V, E> Batch<T, V, E> {
    /// Everybody who waits for it is in the queue of its flight: for one that will not go into the air.
    pub(super) fn demote(&mut self) {
        if let Some(captain) = self.captain.take() {
            self.flight.queue(&captain);
        }
    }

    /// Takes an event out again; `None`: it is not here.
    pub(super) fn withdraw(&mut self, ticket: u64) -> Option<T> {
        let at = self.entries.binary_search_by_key(&ticket, |entry| entry.ticket).ok()?;
        let entry = self.entries.remove(at)?;
        if let Some(wanted) = self.entries.iter().map(|entry| entry.wanted).min() {
            self.wanted = wanted;
        }
        Some(entry.event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_captain(&self, seat: &Arc<Seat>) -> bool {
        self.captain.as_ref().is_some_and(|captain| Arc::ptr_eq(captain, seat))
    }
}

/// What became of a slot whose run has landed, or whose captain has left.
pub(super) enum Kept<K, T, V, E> {
    /// One of the batch's callers is its captain.
    ByCaptain,
    /// It is in the agenda: a worker must be called.
    ByCrew,
    /// Nothing was left to keep.
    Not { _forgotten: Option<Forgotten<K, T, V, E>> },
}

impl<K, T, V, E> State<K, T, V, E> {
    /// Finds whatever is in a slot without a run in the air somebody to act next: one of the batch's own callers,
    /// the newest, and otherwise the crew.
    pub(super) fn keep(
        &mut self,
        hash: u64,
        key: &Arc<K>,
        timing: &Timing,
        now: Instant,
        wakes: &mut Wakes,
    ) -> Kept<K, T, V, E> {
        let number = self.number();
        let slot = self.slots.find_mut(hash, |slot| Arc::ptr_eq(&slot.key, key)).expect("still in the table");
        debug_assert!(slot.air.is_none(), "the run in the air is the keeper");
        if let Some(place) = slot.place.take() {
            self.agenda.remove(&place);
        }
        let due = slot.due(timing).map_or(now, |due| due.max(now)); // `now`: at the tail of all that is due
        let due = match &mut slot.pending {
            Some(batch) => {
                // Whoever waits for it waits for no thread now: a captain is awake, or sleeps until a moment.
                batch.flight.head.set_leader(NOBODY);
                if let Some((Captain::Blocked(seat), _)) = batch.flight.call_captain() {
                    wakes.call(&seat);
                    batch.captain = Some(seat);
                    return Kept::ByCaptain;
                }
                due
            }
            None => match slot.rests(now).filter(|_| !self.closing) {
                Some(until) => until,
                None => return Kept::Not { _forgotten: self.forget(hash, key) },
            },
        };
        let place = Place { due, number, hash };
        slot.place = Some(place);
        self.agenda.insert(place);
        Kept::ByCrew
    }
}
