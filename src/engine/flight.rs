//! One execution for one key: its outcome, and the callers that wait for it.
//!
//! A flight has memory only once somebody waits for it, or once its closure was given to an executor. A lone leader
//! has none (`table.rs`).
//!
//! # How waiting callers are woken
//!
//! A follower that will never lead sleeps on the flight's one condvar. The leader wakes all of them with one
//! broadcast. A caller that may have to lead, or that can be cancelled, sleeps in a waiter of its own and stands in the
//! flight's queue. The leader wakes [`SHARE`] of those, and each of them wakes as many before it does anything else.
//!
//! Invariant: once the outcome is published, if a caller still sleeps in the queue, some awake thread still owes a
//! wake-up. It holds because a thread falls asleep only before the publication (it looks at the outcome under a lock
//! that its waker takes afterwards), and because every queued caller that leaves after the publication passes its
//! share on: one that was woken, one that had not slept yet, and one whose time ran out.

use crate::cancel::CancelToken;
use crate::engine::deadlock::Node;
use crate::engine::job::Dispatch;
use crate::engine::load::{Bring, Due, Joined, Load};
use crate::engine::waiter::{Waiter, Wake};
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::Ending;
use crate::report::Trace;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use crate::sync::{Arc, Instant, Monitor, Mutex, MutexGuard, OnceCell, test_delay};
use std::collections::VecDeque;

/// How many queued callers each thread wakes that knows of the outcome: two make the number of awake threads double.
/// Under a checker one: then a lost share is a hang that it finds with three threads.
const SHARE: usize = if cfg!(any(flight_group_shuttle, flight_group_loom)) { 1 } else { 2 };

/// A flight as its leader knows it: by number, so that its landing touches no other flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightId {
    pub(crate) hash: u64,
    pub(crate) number: u64,
}

/// How a flight ended: with a value, or with the error that its followers get.
pub(crate) type Outcome<V, E> = Result<V, Error<E>>;

/// Whether a call that still has its closure boards again instead of taking this outcome.
pub(crate) fn is_worth_another_try<V, E>(outcome: &Outcome<V, E>, share_failures: bool) -> bool {
    match outcome {
        Err(Error::Work(_) | Error::Panicked(_)) => !share_failures,
        Err(Error::Abandoned(_)) => true,
        _ => false,
    }
}

pub(crate) fn ending<V, E>(outcome: &Outcome<V, E>) -> Ending {
    match outcome {
        Ok(_) => Ending::Value,
        Err(Error::Work(_)) => Ending::Failed,
        Err(Error::Panicked(_)) => Ending::Panicked,
        Err(Error::Missing(_)) => Ending::Missing,
        Err(_) => Ending::Abandoned, // a flight lands with no other error
    }
}

/// What a landing publishes: the outcome, whether the flight had been detached, and the trace that waits link to.
pub(crate) struct Landed<V, E> {
    pub(crate) outcome: Outcome<V, E>,
    pub(crate) detached: bool,
    pub(crate) trace: Trace,
}

impl<V: Clone, E: Clone> Landed<V, E> {
    /// The caller's own copy. Runs the user's `Clone`: outside every lock, and after the caller has passed its share
    /// of wake-ups on, so that a clone that is slow or panics concerns nobody else.
    pub(crate) fn share(&self, role: Role, shared: bool) -> Result<Landing<V>, Error<E>> {
        self.outcome.clone().map(|value| Landing::new(value, role, shared, self.detached))
    }
}

/// A call that does not block: it waits in a flight's queue, for the outcome or for its turn to lead.
pub(crate) trait SpawnedCall<V, E, L>: Send {
    /// It leads: its closure goes to the executor.
    fn lead(self: Box<Self>, id: FlightId, flight: Arc<Flight<V, E, L>>) -> Dispatch;
    /// The flight has landed.
    fn settle(self: Box<Self>, landed: &Landed<V, E>);
}

pub(crate) struct Flight<V, E, L = ()> {
    pub(crate) node: Arc<Node>,
    /// When the first follower came, or when it was put into the air: its age where nobody reads the clock at each
    /// start.
    pub(crate) since: OnceCell<Instant>,
    /// How many wait for it. Grows only under the shard's lock.
    followers: AtomicUsize,
    landed: OnceCell<Landed<V, E>>,
    /// Where followers sleep, and how many do.
    bell: Monitor<usize>,
    /// Whether anything ever queued. Most flights have no queue, and their landing need not look.
    queued: AtomicBool,
    next: Mutex<Next<V, E, L>>,
}

/// What a flight is while it is its key's next one. Changed under the shard's lock; only the queue is also emptied by
/// the landing.
pub(crate) struct Next<V, E, L> {
    /// What its callers brought.
    pub(super) load: L,
    queue: Queue<V, E, L>,
    /// The queued caller that the lead is offered to, by its ticket: it was called, or it sleeps until the flight is
    /// due.
    pub(super) offered: Option<u64>,
    /// When that caller, or a worker, comes to the flight.
    pub(super) expected: Option<Due>,
    /// The flight for callers that found this one full.
    pub(super) behind: Option<Arc<Flight<V, E, L>>>,
}

/// The callers in the order of their arrival, each with its ticket.
struct Queue<V, E, L> {
    callers: VecDeque<(u64, Queued<V, E, L>)>,
    tickets: u64,
}

pub(crate) enum Queued<V, E, L> {
    /// A blocked caller that leads if it is offered the lead.
    MayLead(Arc<Waiter>),
    /// A blocked caller that only waits for the outcome.
    Follows(Arc<Waiter>),
    Spawned(Box<dyn SpawnedCall<V, E, L>>),
}

/// The thread that comes to a flight next. It is notified once the lock is free.
///
/// For a blocked caller it holds no flight. That caller may lead, land and return first, and the flight, with the
/// user's outcome in it, would be dropped on this thread, which may be landing another flight.
pub(crate) enum HandOff<V, E, L = ()> {
    Blocked(Arc<Waiter>),
    Spawned(FlightId, Arc<Flight<V, E, L>>, Box<dyn SpawnedCall<V, E, L>>),
    /// No caller is blocked on it: a worker comes to it when it is due.
    Crew(SendWorker, FlightId, Due),
}

/// Sends a worker to a flight when it is due; `None`: no worker need come any more.
pub(crate) type SendWorker = Arc<dyn Fn(FlightId, Option<Due>) + Send + Sync>;

impl<V, E, L> HandOff<V, E, L> {
    /// Wakes that caller, and nobody else (P11).
    pub(crate) fn notify(self) {
        test_delay();
        match self {
            Self::Blocked(waiter) => waiter.notify(),
            Self::Spawned(id, flight, call) => call.lead(id, flight).dispatch(),
            Self::Crew(crew, id, due) => crew(id, Some(due)),
        }
    }
}

impl<V, E, L: Load> Flight<V, E, L> {
    pub(crate) fn new(node: Arc<Node>, load: L) -> Arc<Self> {
        Arc::new(Self {
            node,
            since: OnceCell::new(),
            followers: AtomicUsize::new(0),
            landed: OnceCell::new(),
            bell: Monitor::new(0),
            queued: AtomicBool::new(false),
            next: Mutex::new(Next {
                load,
                queue: Queue { callers: VecDeque::new(), tickets: 0 },
                offered: None,
                expected: None,
                behind: None,
            }),
        })
    }

    pub(crate) fn followers(&self) -> usize {
        self.followers.load(Relaxed)
    }

    pub(crate) fn add_follower(&self) {
        self.followers.fetch_add(1, Relaxed);
    }

    pub(crate) fn remove_follower(&self) {
        self.followers.fetch_sub(1, Relaxed);
    }

    pub(crate) fn landed(&self) -> Option<&Landed<V, E>> {
        self.landed.get()
    }

    pub(super) fn next(&self) -> MutexGuard<'_, Next<V, E, L>> {
        self.next.lock()
    }

    pub(super) fn behind(&self) -> Option<Arc<Self>> {
        self.next.lock().behind.clone()
    }

    /// Puts what a call brings into the load; a call of a kind that brings nothing joins as it is.
    pub(super) fn join(&self, brings: Option<&mut (dyn Bring<L> + '_)>) -> Joined {
        brings.map_or(Joined::In(0), |brings| brings.join(&mut self.next.lock().load))
    }

    pub(crate) fn with_load<R>(&self, look: impl FnOnce(&mut L) -> R) -> R {
        look(&mut self.next.lock().load)
    }

    pub(crate) fn take_load(&self) -> L {
        self.with_load(std::mem::take)
    }

    /// Queues a caller: its ticket. Under the shard's lock.
    pub(crate) fn queue(&self, caller: Queued<V, E, L>) -> u64 {
        self.queued.store(true, Relaxed);
        self.next.lock().queue.push(caller)
    }

    /// Takes a caller out of the queue, and its offer back. No effect if it was taken out before.
    pub(crate) fn unqueue(&self, ticket: u64) {
        let mut next = self.next.lock();
        next.offered.take_if(|offered| *offered == ticket);
        next.queue.remove(ticket);
    }

    /// Publishes the outcome, by move. Every caller that looks from now on finds it.
    pub(crate) fn publish(&self, landed: Landed<V, E>) {
        self.node.set_ended();
        let first = self.landed.set(landed).is_ok();
        debug_assert!(first, "a flight lands once");
    }

    /// Wakes those who wait, after the outcome was published: all followers at once, and a share of the queue.
    #[cold]
    pub(crate) fn wake(&self) {
        // A follower that found no outcome is counted by now, or looks again after this lock.
        let asleep = *self.bell.lock();
        if asleep > 0 {
            self.bell.notify_all();
        }
        self.pass_on();
    }

    /// Wakes a share of the queue: the first thing that each queued caller does when it finds the outcome.
    pub(crate) fn pass_on(&self) {
        // Relaxed: callers queue under the shard's lock, which the landing has held since.
        if !self.queued.load(Relaxed) {
            return;
        }
        for _ in 0..SHARE {
            let Some(waiter) = self.next.lock().queue.pop_blocked() else { return };
            waiter.notify();
        }
    }

    /// The oldest spawned call to settle. None is added after the flight has left the table.
    pub(crate) fn pop_spawned(&self) -> Option<Box<dyn SpawnedCall<V, E, L>>> {
        self.queued.load(Relaxed).then(|| self.next.lock().queue.pop_spawned()).flatten()
    }

    /// Sleeps until the flight lands (`true`) or `until` has passed (`false`). An outcome that is there by then wins.
    #[cold]
    pub(crate) fn wait(&self, until: Option<Instant>) -> bool {
        let mut asleep = self.bell.lock();
        loop {
            if self.landed.get().is_some() {
                return true;
            }
            *asleep += 1;
            let timed_out;
            (asleep, timed_out) = self.bell.wait(asleep, until);
            *asleep -= 1;
            if timed_out {
                return self.landed.get().is_some();
            }
        }
    }

    /// Sleeps in `waiter` until the flight lands, the caller is called, the token is cancelled, or `until` has passed.
    pub(crate) fn wait_in(&self, waiter: &Waiter, until: Option<Instant>, cancel: Option<&CancelToken>) -> Wake {
        waiter.wait(until, cancel, || self.landed.get().is_some())
    }
}

impl<V, E, L> Next<V, E, L> {
    /// Offers the lead to the newest caller that may lead (P4), and calls it. A spawned one is taken out: it leads at
    /// once. `None`: no caller in the queue may lead.
    pub(super) fn offer(&mut self) -> Option<Queued<V, E, L>> {
        let place = self.queue.callers.iter().rposition(|(_, caller)| !matches!(caller, Queued::Follows(_)))?;
        if let (ticket, Queued::MayLead(waiter)) = &self.queue.callers[place] {
            self.offered = Some(*ticket);
            waiter.call();
            return Some(Queued::MayLead(waiter.clone()));
        }
        self.queue.callers.remove(place).map(|(_, spawned)| spawned)
    }

    /// Calls the caller that the lead is offered to, to look again.
    pub(super) fn call_offered(&self) -> Option<Arc<Waiter>> {
        let place = self.queue.place(self.offered?)?;
        let Queued::MayLead(waiter) = &self.queue.callers[place].1 else { return None };
        waiter.call();
        Some(waiter.clone())
    }

    /// How many in the queue have a closure, or an event, of their own.
    pub(super) fn candidates(&self) -> usize {
        self.queue.callers.iter().filter(|(_, caller)| !matches!(caller, Queued::Follows(_))).count()
    }
}

impl<V, E, L> Queue<V, E, L> {
    fn push(&mut self, caller: Queued<V, E, L>) -> u64 {
        self.tickets += 1;
        self.callers.push_back((self.tickets, caller));
        self.tickets
    }

    fn place(&self, ticket: u64) -> Option<usize> {
        self.callers.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()
    }

    fn remove(&mut self, ticket: u64) {
        if let Some(place) = self.place(ticket) {
            self.callers.remove(place);
        }
    }

    fn pop_blocked(&mut self) -> Option<Arc<Waiter>> {
        let newest = self.callers.iter().rposition(|(_, caller)| !matches!(caller, Queued::Spawned(_)))?;
        match self.callers.remove(newest)?.1 {
            Queued::MayLead(waiter) | Queued::Follows(waiter) => Some(waiter),
            Queued::Spawned(_) => None,
        }
    }

    fn pop_spawned(&mut self) -> Option<Box<dyn SpawnedCall<V, E, L>>> {
        let oldest = self.callers.iter().position(|(_, caller)| matches!(caller, Queued::Spawned(_)))?;
        match self.callers.remove(oldest)?.1 {
            Queued::Spawned(call) => Some(call),
            Queued::MayLead(_) | Queued::Follows(_) => None,
        }
    }
}
