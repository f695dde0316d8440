//! What a run carries until it takes off: events, merged as they arrive.
//!
//! Events stand in *segments*, in the order of their arrival. A submitted event cannot be taken back, so submitted
//! neighbours are merged soon: as soon as [`ENOUGH`] of them stand together. The event of a blocked `push` is a segment
//! of its own until the run takes off, because its caller takes it back if it leaves.
//!
//! `merge` is user code. It runs outside every lock, on the thread of a `submit`. If enough neighbours stand together
//! and nobody merges, that thread takes them out and leaves a hole. Events that arrive meanwhile stand behind the hole.
//! The merger puts the result into the hole, and takes out what has gathered behind it, at most [`ROUNDS`] times. While
//! there is a hole the flight is not due ([`Due::Busy`]): the merger hands it on when it is done.
//!
//! So a key never has more than `ENOUGH` segments for each blocked caller, `ENOUGH` more, and those that arrive during one
//! merge.

use crate::engine::load::{Due, Joined, Load};
use crate::engine::waiter::Waiter;
use crate::event_group::watchers::Watchers;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use crate::sync::{Arc, Duration, Instant};
use std::collections::VecDeque;

/// How many submitted neighbours are merged at once. To merge each event by itself would cost a second turn at the lock
/// for every `submit`.
const ENOUGH: usize = if cfg!(any(flight_group_shuttle, flight_group_loom)) { 2 } else { 8 };

/// How often one `submit` merges what others brought meanwhile: it returns soon.
pub(super) const ROUNDS: usize = 4;

/// When runs may start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    pub(super) min_interval: Option<Duration>,
    pub(super) quiet: Option<Duration>,
    pub(super) max_wait: Option<Duration>,
}

pub(crate) struct Rules {
    pub(super) timing: Timing,
    pub(super) capacity: usize,
    /// What waits of the submitted events of all keys, counted as it is after merging.
    pub(super) waiting: AtomicUsize,
    /// The group takes no more events.
    pub(super) closed: AtomicBool,
}

pub(crate) struct Events<T> {
    segments: VecDeque<Segment<T>>,
    /// The thread that merges.
    merger: Option<u64>,
    newest: Option<Instant>,
    hurried: bool,
    /// Newer events go into the flight behind.
    closed: bool,
    tickets: u64,
    /// Threads that wait for the merger.
    watchers: Watchers,
}

struct Segment<T> {
    ticket: u64,
    /// `None`: the merger has it.
    event: Option<T>,
    /// Of a blocked caller, which may take it back.
    owned: bool,
    /// How many events were merged into it.
    events: usize,
    /// What it counts against the capacity.
    weight: usize,
    /// The earliest of its events' wishes.
    wanted: Instant,
}

/// How an event comes.
#[derive(Clone, Copy)]
pub(super) struct Coming {
    pub(super) owned: bool,
    pub(super) arrived: Instant,
    pub(super) wanted: Instant,
    /// What it counts against the capacity. `None`: 1, and nothing if it will be merged into its neighbour.
    pub(super) weighs: Option<usize>,
}

/// Neighbours that a thread has taken out to merge.
pub(super) struct Neighbours<T> {
    pub(super) events: Vec<T>,
    weight: usize,
}

/// What a leader takes along.
pub(super) struct Carried<T> {
    pub(super) count: usize,
    /// Whether events are among it that nobody waits for.
    pub(super) submitted: bool,
    pub(super) events: VecDeque<T>,
}

impl<T> Events<T> {
    /// Takes the event, unless this load takes no more.
    pub(super) fn join(&mut self, rules: &Rules, event: &mut Option<T>, coming: Coming) -> Joined {
        let Coming { owned, arrived, wanted, weighs } = coming;
        if rules.closed.load(SeqCst) {
            return Joined::Refused;
        }
        if self.closed {
            return Joined::Full;
        }
        // A submitted event that will be merged into its neighbour counts nothing of its own.
        let merges = self.segments.back().is_some_and(|last| !last.owned);
        let weight = weighs.unwrap_or(usize::from(!owned && !merges));
        if weight > 0 && rules.waiting.fetch_add(weight, Relaxed) + weight > rules.capacity {
            rules.waiting.fetch_sub(weight, Relaxed);
            return Joined::Refused;
        }
        self.tickets += 1;
        let event = event.take();
        self.segments.push_back(Segment { ticket: self.tickets, event, owned, events: 1, weight, wanted });
        self.newest = Some(arrived);
        Joined::In(self.tickets)
    }

    /// Takes the newest submitted neighbours out, for the thread `me` to merge, if they are enough and nobody merges.
    pub(super) fn take_neighbours(&mut self, me: u64) -> Option<Neighbours<T>> {
        let submitted = self.segments.iter().rev().take_while(|segment| !segment.owned).count();
        if submitted < ENOUGH || self.merger.is_some() {
            return None;
        }
        let first = self.segments.len() - submitted;
        let mut taken = Neighbours { events: Vec::with_capacity(submitted), weight: 0 };
        let wanted = self.segments[first].wanted;
        let mut hole = Segment { ticket: 0, event: None, owned: false, events: 0, weight: 0, wanted };
        for segment in self.segments.drain(first..) {
            hole.ticket = segment.ticket;
            hole.events += segment.events;
            hole.wanted = hole.wanted.min(segment.wanted);
            taken.weight += segment.weight;
            taken.events.extend(segment.event);
        }
        self.segments.push_back(hole);
        self.merger = Some(me);
        Some(taken)
    }

    /// The merger is done: what it made, how much that weighs, and what its parts weighed. Returns who waits for it.
    pub(super) fn put_back(&mut self, rules: &Rules, event: Option<T>, before: usize, weighs: usize) -> Watchers {
        self.merger = None;
        let hole = self.segments.iter_mut().find(|segment| segment.event.is_none());
        let hole = hole.expect("the flight is not due as long as somebody merges");
        hole.event = event;
        hole.weight = weighs;
        rules.waiting.fetch_add(weighs, Relaxed);
        rules.waiting.fetch_sub(before, Relaxed);
        std::mem::take(&mut self.watchers)
    }

    /// Who merges, if that is another thread. `watcher` is woken when it is done.
    pub(super) fn watch_merger(&mut self, me: u64, watcher: &Arc<Waiter>) -> Option<u64> {
        let merger = self.merger.filter(|merger| *merger != me)?;
        self.watchers.add(watcher);
        Some(merger)
    }

    /// Takes the submitted events out that nobody merges just now, in the order of their arrival.
    pub(super) fn take_submitted(&mut self, rules: &Rules) -> Vec<T> {
        let mut taken = Vec::new();
        self.segments.retain_mut(|segment| {
            let takes = !segment.owned && segment.event.is_some();
            if takes {
                rules.waiting.fetch_sub(segment.weight, Relaxed);
                taken.extend(segment.event.take());
            }
            !takes
        });
        taken
    }

    /// For the leader, or for the thread that fails the flight.
    pub(super) fn take_off(self, rules: &Rules) -> Carried<T> {
        rules.waiting.fetch_sub(self.segments.iter().map(|segment| segment.weight).sum(), Relaxed);
        Carried {
            count: self.count(),
            submitted: self.segments.iter().any(|segment| !segment.owned),
            events: self.segments.into_iter().filter_map(|segment| segment.event).collect(),
        }
    }

    /// How many events these are.
    pub(super) fn count(&self) -> usize {
        self.segments.iter().map(|segment| segment.events).sum()
    }
}

impl<T> Neighbours<T> {
    /// What they count against the capacity.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }
}

impl<T> Load for Events<T> {
    const CARRIES: bool = true;
    type Rules = Rules;
    type Back = T;

    fn busy(&self) -> Option<u64> {
        self.merger
    }

    fn due(&self, rules: &Rules) -> Due {
        if let Some(merger) = self.merger {
            return Due::Busy(merger);
        }
        let wanted = self.segments.iter().map(|segment| segment.wanted).min();
        let (Some(wanted), Some(newest), false) = (wanted, self.newest, self.hurried) else { return Due::Now };
        let timing = &rules.timing;
        let settled = timing.quiet.map(|quiet| {
            let settled = newest + quiet;
            timing.max_wait.map_or(settled, |max_wait| settled.min(wanted + max_wait))
        });
        Due::At(settled.map_or(wanted, |settled| settled.max(wanted)))
    }

    fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn withdraw(&mut self, _: &Rules, ticket: u64) -> Option<T> {
        let at = self.segments.binary_search_by_key(&ticket, |segment| segment.ticket).ok()?;
        self.segments.remove(at)?.event
    }

    fn hurry(&mut self) {
        self.hurried = true;
    }

    fn is_hurried(&self) -> bool {
        self.hurried
    }

    fn close(&mut self) {
        self.closed = true;
    }

    fn is_closed(rules: &Rules) -> bool {
        rules.closed.load(SeqCst)
    }

    fn interval(rules: &Rules) -> Option<Duration> {
        rules.timing.min_interval
    }
}

impl<T> Default for Events<T> {
    fn default() -> Self {
        let segments = VecDeque::new();
        let watchers = Watchers::default();
        Self { segments, merger: None, newest: None, hurried: false, closed: false, tickets: 0, watchers }
    }
}
