//! The one state machine behind both groups.
//!
//! A key is *idle* (no slot), *solo* (a slot without a flight: its leader is alone), *followed* (the slot has a
//! `current` flight), or any of the last two with a `next` queued behind it. All changes happen under the lock of
//! the key's shard:
//!
//! | event | idle | solo or followed | with `next` |
//! | --- | --- | --- | --- |
//! | a read boards | solo, it leads | followed, it follows `current` | the same |
//! | a write boards | solo, it leads | makes `next`, it is its captain | queues in `next`, newest is captain |
//! | the flight lands | | idle | `next` becomes `current`, its captain leads |
//! | the flight is detached | | idle; the flight lands later, beside the table | the same as landing |
//! | a queued caller leaves | | | the newest left is captain; nobody left: no `next` |
//!
//! `board.rs` is the way in, `follow.rs` the wait, `land.rs` the way out, `detach.rs` the side exits, `spawned.rs`
//! the same for calls that do not block, `many.rs` for several keys at once. `flight.rs` knows nothing of keys, `table.rs` nothing of waiting,
//! `deadlock.rs` nothing of types.
//!
//! Locks are taken in one order: a shard's, then that of detached flights or of one flight's crowd, then a seat's.
//! User code runs under none of them, except `K::eq` and a new leader's `to_owned` under the shard's.

mod board;
mod config;
pub(crate) mod deadlock;
mod detach;
pub(crate) mod flight;
mod follow;
mod gates;
mod land;
mod many;
pub(crate) mod panics;
pub(crate) mod seat;
mod spawned;
mod table;

pub(crate) use board::Existing;
use board::Flying;
pub(crate) use config::{Config, Patience, Rule};
pub use spawned::Job;

use crate::error::Error;
use crate::landing::Landing;
use crate::observer::{Event, EventKind};
use crate::report::{FlightReport, Origin};
use crate::stats::{FlightInfo, Rare, Stats};
use crate::sync::{Arc, Duration, Instant, Mutex, OnceCell};
use flight::Flight;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use table::{Shard, Shards, fold};

pub(crate) struct Engine<K, V, E, S> {
    hasher: S,
    config: Config<K>,
    shards: Shards,
    /// Allocated at first use: a group in a `static` that nobody calls costs nothing.
    table: OnceCell<Box<[Shard<K, V, E>]>>,
    /// Flights in the air that no longer belong to their key, and that somebody waits for: their leaders find
    /// them here by number.
    detached: Mutex<Vec<Arc<Flight<V, E>>>>,
    rare: Rare,
    /// What `Slot::started` counts from; only in groups that read the clock.
    epoch: Option<Instant>,
}

/// What became of a call that has not run its closure yet.
pub(crate) enum Turn<V, E> {
    Lead(Flying),
    Done(Result<Landing<V>, Error<E>>),
}

impl<K, V, E, S> Engine<K, V, E, S> {
    pub(crate) fn new(hasher: S, shards: Option<usize>, config: Config<K>) -> Self {
        let config = config.settle();
        let clocked = config.timed || config.max_age.is_some() || config.is_told();
        Self {
            hasher,
            shards: shards.map_or_else(Shards::for_this_machine, Shards::at_least),
            table: OnceCell::new(),
            detached: Mutex::new(Vec::new()),
            rare: Rare::default(),
            epoch: clocked.then(Instant::now),
            config,
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.config.name.as_deref()
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard<K, V, E> {
        &self.table.get_or_init(|| self.shards.allocate())[self.shards.of(hash)]
    }

    /// Now, as `Slot::started` has it; 0 where nobody reads the clock.
    #[inline]
    fn clock(&self) -> u64 {
        self.epoch.map_or(0, |epoch| epoch.elapsed().as_micros() as u64 + 1)
    }

    /// Tells whoever wants to know. The key is made only for those who see it.
    fn tell(&self, flight: u64, key: impl FnOnce() -> K, kind: EventKind) {
        let Config { observer, reports, debug_key, .. } = &self.config;
        if observer.is_some() || (debug_key.is_some() && reports.are_traced()) {
            self.tell_ref(flight, &key(), kind);
        } else {
            reports.told(flight, || None, &kind);
        }
    }

    fn tell_ref(&self, flight: u64, key: &K, kind: EventKind) {
        let Config { observer, reports, .. } = &self.config;
        reports.told(flight, || self.config.shown(key), &kind);
        if let Some(observer) = observer {
            observer(&Event { group: self.name(), key, flight, kind });
        }
    }

    fn report_flight(&self, flight: u64, key: &K, origin: Option<&Origin>) -> FlightReport {
        self.config.reports.flight(flight, || self.config.shown(key), origin)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.allocated().iter().map(|shard| shard.lock().table.len()).sum()
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.rare.read();
        for shard in self.allocated() {
            let flights = shard.lock();
            stats.led += flights.numbers - flights.unled;
            stats.joined += flights.joined;
        }
        stats
    }

    fn allocated(&self) -> &[Shard<K, V, E>] {
        self.table.get().map_or(&[], |shards| shards)
    }
}

impl<K: Clone, V, E, S> Engine<K, V, E, S> {
    pub(crate) fn flights(&self) -> Vec<FlightInfo<K>> {
        // One reading for all: or else a flight that is looked at later seems older than one that began before it.
        let (now, clock) = (Instant::now(), self.clock());
        let mut flights = Vec::new();
        for shard in self.allocated() {
            let shard = shard.lock();
            for slot in shard.table.iter() {
                let since = slot.current.as_ref().and_then(|flight| flight.since.get());
                let age = match (slot.started(), since) {
                    (0, since) => since.map(|since| now.saturating_duration_since(*since)),
                    (started, _) => Some(Duration::from_micros(clock.saturating_sub(started))),
                };
                flights.push(FlightInfo { key: slot.key.clone(), age, followers: slot.followers(), flight: slot.id });
            }
        }
        flights
    }
}

impl<K: Eq, V, E, S: BuildHasher> Engine<K, V, E, S> {
    /// The key's hash: outside the lock, since it may be slow and may panic.
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        fold(self.hasher.hash_one(key))
    }

    pub(crate) fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let flights = self.shard(hash).lock();
        flights.table.find(hash, |slot| slot.key.borrow() == key).map_or(0, |slot| slot.followers())
    }
}

impl<K: Eq, V: Clone, E: Clone, S: BuildHasher> Engine<K, V, E, S> {
    /// One call from beginning to end: board, then lead or follow. Every verb of both groups comes here.
    ///
    /// `then` takes what the verb returns out of the landing, here and not at the caller's, so that circumstances
    /// nobody asks for are never put together.
    #[inline]
    pub(crate) fn run<Q, F, R>(
        &self,
        key: &Q,
        rule: Rule,
        patience: Patience,
        work: F,
        then: impl FnOnce(Landing<V>) -> R,
    ) -> Result<R, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce() -> Result<V, E>,
    {
        let hash = self.hash(key);
        let shard = self.shard(hash); // found once: by the way in and by the way out
        let flying = match self.lead_alone(shard, hash, key) {
            Ok(id) => Flying { hash, id },
            Err(guard) => match self.meet(hash, key, rule, patience, guard) {
                Turn::Lead(flying) => flying,
                Turn::Done(result) => return result.map(then),
            },
        };
        self.lead(key, shard, flying, work, then)
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::*;

    /// 0 says that nobody reads the clock: a flight that starts in the group's first microsecond has a start, too.
    #[test]
    fn the_clock_is_never_at_nought() {
        let mut engine: Engine<u8, u8, u8, ()> = Engine::new((), None, Config::default());
        assert_eq!(engine.clock(), 0);
        let later = Instant::now() + Duration::from_secs(3600);
        engine.epoch = Some(later); // nothing has elapsed, however slow this machine is
        assert_eq!(engine.clock(), 1);
    }
}
