//! The engine itself: hasher, shards, clock, observers, counts.

use crate::cancel::CancelToken;
use crate::engine::clock::{Clock, later};
use crate::engine::deadlock::NOBODY;
use crate::engine::flight::{Flight, SendWorker};
use crate::engine::job::Job;
use crate::engine::key::Find;
use crate::engine::load::Load;
use crate::engine::options::{Config, WaitOptions};
use crate::engine::panics::{Payload, describe, quietly};
use crate::engine::table::{Shard, ShardState, Shards, Slot};
use crate::engine::waiter::Waiter;
use crate::error::Error;
use crate::observer::EventKind;
use crate::report::{FlightReport, Origin};
use crate::site::Site;
use crate::stats::{FlightInfo, Rare, Stats};
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sync::{Arc, Duration, Instant, Mutex, MutexGuard, OnceCell};
use crate::threads::{Crew, flights};
use std::hash::BuildHasher;

pub(crate) struct Engine<K, V, E, S, L: Load = ()> {
    pub(super) hasher: S,
    pub(super) config: Config<K>,
    pub(super) shards: Shards,
    /// Allocated at first use: a group in a `static` that nobody calls costs nothing.
    table: OnceCell<Box<[Shard<K, V, E, L>]>>,
    /// Flights in the air that were detached from their key, and that have followers. Their leaders find them here by
    /// number.
    pub(super) detached: Mutex<Vec<Arc<Flight<V, E, L>>>>,
    pub(super) rare: Rare,
    /// How many leaders wait for a shard's lock to land.
    pub(super) landing: AtomicUsize,
    pub(crate) rules: L::Rules,
    /// Sends a worker to a flight that no caller is blocked on.
    pub(super) crew: Option<SendWorker>,
    pub(super) clock: Clock,
    /// How long after the start of a flight the key's next one may start.
    pub(super) interval: Option<Duration>,
    /// Where spawned flights run in a group without an executor; made at the first.
    flights_crew: OnceCell<Crew<Job>>,
    /// What `Slot::started` counts from; only in groups that read the clock.
    epoch: Option<Instant>,
}

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    pub(crate) fn new(
        hasher: S,
        shards: Option<usize>,
        config: Config<K>,
        rules: L::Rules,
        crew: Option<SendWorker>,
        clock: Clock,
    ) -> Self {
        let (config, interval) = (config.settle(), L::interval(&rules));
        let clocked = config.timed || config.max_age.is_some() || config.is_told() || interval.is_some();
        Self {
            hasher,
            shards: shards.map_or_else(Shards::for_this_machine, Shards::at_least),
            table: OnceCell::new(),
            detached: Mutex::new(Vec::new()),
            rare: Rare::default(),
            landing: AtomicUsize::new(0),
            rules,
            crew,
            epoch: clocked.then(|| clock.now()),
            clock,
            flights_crew: OnceCell::new(),
            interval,
            config,
        }
    }

    /// Which group this is, for its errors.
    pub(crate) fn site(&self) -> Site {
        self.config.site.clone()
    }

    /// A call whose token is cancelled is refused at once.
    #[inline]
    pub(super) fn check(&self, options: &WaitOptions<'_>) -> Result<(), Error<E>> {
        match options.cancel.map(CancelToken::check) {
            Some(Err(cancelled)) => Err(Error::Cancelled(cancelled.at(self.site()))),
            _ => Ok(()),
        }
    }

    /// The error that followers of a flight get whose closure panicked.
    pub(crate) fn panicked(&self, payload: &Payload) -> Error<E> {
        Error::Panicked(describe(payload).at(self.site()))
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.config.name.as_deref()
    }

    #[inline]
    pub(super) fn shard(&self, hash: u64) -> &Shard<K, V, E, L> {
        &self.table.get_or_init(|| self.shards.allocate())[self.shards.of(hash)]
    }

    /// Locks for a landing. Whoever is about to follow a flight lets leaders pass that wait here: their closures have
    /// ended, and the flight would give the caller an old value.
    #[inline]
    pub(super) fn lock_to_land<'s>(&self, shard: &'s Shard<K, V, E, L>) -> MutexGuard<'s, ShardState<K, V, E, L>> {
        if shard.is_locked() { self.wait_to_land(shard) } else { shard.lock() }
    }

    #[cold]
    fn wait_to_land<'s>(&self, shard: &'s Shard<K, V, E, L>) -> MutexGuard<'s, ShardState<K, V, E, L>> {
        self.landing.fetch_add(1, Relaxed);
        let state = shard.lock();
        self.landing.fetch_sub(1, Relaxed);
        state
    }

    /// Now, as `Slot::started` has it; 0 where nobody reads the clock.
    #[inline]
    pub(super) fn time(&self) -> u64 {
        self.epoch.map_or(0, |epoch| self.clock.now().saturating_duration_since(epoch).as_micros() as u64 + 1)
    }

    pub(super) fn flights_crew(&self) -> &Crew<Job> {
        self.flights_crew.get_or_init(|| flights(self.name()))
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Sleeps until `until`, or until the waiter is called.
    pub(crate) fn sleep_until(&self, waiter: &Arc<Waiter>, until: Instant) {
        self.clock.wait(waiter, until, None, &|until| waiter.wait(until, None, || false));
    }

    /// Until when the key's next flight may not start.
    pub(super) fn rests_until(&self, slot: &Slot<K, V, E, L>) -> Option<Instant> {
        let (interval, epoch) = (self.interval?, self.epoch?);
        (slot.started > 0).then(|| later(epoch + Duration::from_micros(slot.started - 1), interval))
    }

    /// The slot's number if nothing keeps it: nothing is in the air, nothing waits, and the key does not rest.
    pub(super) fn idle(&self, slot: &Slot<K, V, E, L>) -> Option<u64> {
        (slot.is_empty() && self.rests_until(slot).is_none()).then_some(slot.id)
    }

    /// Tells the observer and the reports. The key is made only if one of them shows it.
    pub(super) fn tell(&self, flight: u64, key: impl FnOnce() -> K, kind: EventKind) {
        let Config { observer, reports, debug_key, .. } = &self.config;
        if observer.is_some() || (debug_key.is_some() && reports.are_traced()) {
            self.tell_ref(flight, &key(), kind);
        } else {
            reports.told(flight, || None, &kind);
        }
    }

    /// Tells of a flight what its leader knows, and counts what is counted.
    #[cfg(feature = "redis")]
    pub(crate) fn tell_of(&self, flight: u64, key: impl FnOnce() -> K, kind: EventKind) {
        match kind {
            EventKind::TimedOut { .. } => self.rare.timed_out.add(1),
            EventKind::Cancelled { .. } => self.rare.cancelled.add(1),
            _ => {}
        }
        self.tell(flight, key, kind);
    }

    pub(super) fn tell_ref(&self, flight: u64, key: &K, kind: EventKind) {
        self.config.tell(flight, key, kind);
    }

    pub(super) fn report_flight(&self, flight: u64, key: &K, origin: Option<&Origin>) -> FlightReport {
        self.config.reports.flight(flight, || self.config.shown(key), origin)
    }

    /// The same for a flight that others count on: if a subscriber panics, it is reported to nobody.
    pub(super) fn report_flight_quietly(&self, flight: u64, key: &K, origin: Option<&Origin>) -> FlightReport {
        let mut report = FlightReport::none();
        quietly(|| report = self.report_flight(flight, key, origin));
        report
    }

    /// How many keys have a flight in the air.
    pub(crate) fn in_flight(&self) -> usize {
        // A read or a write that waits behind no flight is about to lead: its key is never idle in between.
        self.sum(|slot| usize::from(!L::CARRIES || !slot.is_grounded()))
    }

    /// How many keys are in use: in the air, queued, held back, or resting.
    pub(crate) fn keys(&self) -> usize {
        self.allocated().iter().map(|shard| shard.lock().table.len()).sum()
    }

    /// Adds up what `look` sees in each key that is in use.
    pub(crate) fn sum(&self, look: impl Fn(&Slot<K, V, E, L>) -> usize) -> usize {
        self.allocated().iter().map(|shard| shard.lock().table.iter().map(&look).sum::<usize>()).sum()
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.rare.read();
        for shard in self.allocated() {
            let state = shard.lock();
            stats.led += state.counts.led;
            stats.joined += state.counts.joined;
        }
        stats
    }

    pub(super) fn allocated(&self) -> &[Shard<K, V, E, L>] {
        self.table.get().map_or(&[], |shards| shards)
    }
}

impl<K: Clone, V, E, S, L: Load> Engine<K, V, E, S, L> {
    pub(crate) fn flights(&self) -> Vec<FlightInfo<K>> {
        // One reading for all. Otherwise a flight that is looked at later seems older than one that began before it.
        let (now, time) = (Instant::now(), self.time());
        let mut flights = Vec::new();
        for shard in self.allocated() {
            let state = shard.lock();
            for slot in state.table.iter().filter(|slot| !slot.is_grounded()) {
                let since = slot.current.as_ref().and_then(|flight| flight.since.get());
                let age = match (slot.started, since) {
                    (0, since) => since.map(|since| now.saturating_duration_since(*since)),
                    (started, _) => Some(Duration::from_micros(time.saturating_sub(started))),
                };
                let (running, followers) = (slot.leader != NOBODY, slot.followers());
                flights.push(FlightInfo { key: slot.key.clone(), age, followers, flight: slot.id, running });
            }
        }
        flights
    }
}

impl<K, V, E, S: BuildHasher, L: Load> Engine<K, V, E, S, L> {
    /// Looks at a key that is in use.
    pub(crate) fn look_at<R>(
        &self,
        key: &(impl Find<K> + ?Sized),
        look: impl FnOnce(&Slot<K, V, E, L>) -> R,
    ) -> Option<R> {
        let hash = key.hash_in(&self.hasher);
        let state = self.shard(hash).lock();
        state.table.find(hash, |slot| key.is(&slot.key)).map(look)
    }

    pub(crate) fn followers(&self, key: &(impl Find<K> + ?Sized)) -> usize {
        self.look_at(key, Slot::followers).unwrap_or(0)
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::*;
    use crate::engine::clock::Clock;
    use crate::site::Kind;

    /// 0 says that nobody reads the clock: a flight that starts in the group's first microsecond has a start, too.
    #[test]
    fn the_time_is_never_nought() {
        let mut engine: Engine<u8, u8, u8, ()> =
            Engine::new((), None, Config::new(Kind::Group), (), None, Clock::system());
        assert_eq!(engine.time(), 0);
        let later = Instant::now() + Duration::from_secs(3600);
        engine.epoch = Some(later); // nothing has elapsed, however slow this machine is
        assert_eq!(engine.time(), 1);
    }
}
