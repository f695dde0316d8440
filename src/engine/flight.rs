//! One execution for one key: its outcome, and everybody who waits for it.
//!
//! A flight exists in memory only once somebody waits for it, or once it runs on an executor; a lone leader has
//! none (see `table.rs`).
//!
//! # How followers are woken
//!
//! Who has no closure to lead the flight with sleeps at a gate (`gates.rs`). Who may be called to lead it sleeps
//! in a seat of its own (`seat.rs`), and is woken alone: the leader wakes [`LEADERS_SHARE`] of them and goes on
//! its way; each, before it does anything else, wakes [`FOLLOWERS_SHARE`] more. The chain ends when nobody sleeps
//! any more. Invariant, for seats as for gates: *after the outcome is published, as long as anybody sleeps,
//! somebody who is awake has not yet passed its share on.* It holds because a thread falls asleep only before the
//! publication (it looks at the outcome under a lock that is taken, after publishing, by whoever wakes it), and
//! because every thread that leaves after the publication passes its share on, whether it was woken, had never
//! slept, or was about to time out.

use crate::engine::config::Rule;
use crate::engine::gates::{Gate, Gates};
use crate::engine::seat::{Queue, Seat, Seated};
use crate::engine::spawned::Passenger;
use crate::engine::wait_for::{FlightHead, NOBODY};
use crate::error::{Error, Panic};
use crate::landing::{Landing, Role};
use crate::report::Trace;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use crate::sync::{Arc, Instant, Mutex, OnceCell};

/// How many a landing wakes before the leader goes on: enough to fan out fast, few enough not to hold it up.
const LEADERS_SHARE: usize = if UNDER_A_CHECKER { 1 } else { 8 };
/// How many each woken follower wakes.
const FOLLOWERS_SHARE: usize = if UNDER_A_CHECKER { 1 } else { 2 };

/// With shares of one, a single lost share is a hang: a checker then finds it with four threads instead of forty.
const UNDER_A_CHECKER: bool = cfg!(any(flight_group_shuttle, flight_group_loom));

/// How a flight ended.
pub(crate) enum Outcome<V, E> {
    Value(V),
    Failed(E),
    Panicked(Panic),
    Abandoned,
    /// The work was done for several keys at once and returned nothing for this one.
    Missing,
}

impl<V, E> Outcome<V, E> {
    /// Whether a call that still has its closure boards again instead of taking this outcome.
    pub(crate) fn is_worth_another_try(&self, share_failures: bool) -> bool {
        match self {
            Self::Value(_) | Self::Missing => false,
            Self::Failed(_) | Self::Panicked(_) => !share_failures,
            Self::Abandoned => true,
        }
    }

    pub(crate) fn into_result(self) -> Result<V, Error<E>> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Failed(error) => Err(Error::Work(error)),
            Self::Panicked(panic) => Err(Error::Panicked(panic)),
            Self::Abandoned => Err(Error::abandoned()),
            Self::Missing => Err(Error::missing()),
        }
    }
}

impl<V: Clone, E: Clone> Outcome<V, E> {
    pub(crate) fn share(&self) -> Result<V, Error<E>> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Failed(error) => Err(Error::Work(error.clone())),
            Self::Panicked(panic) => Err(Error::Panicked(panic.clone())),
            Self::Abandoned => Err(Error::abandoned()),
            Self::Missing => Err(Error::missing()),
        }
    }
}

/// What is published: the outcome, whether it belongs to the key any more, and what a wait for it links to.
pub(crate) struct Landed<V, E> {
    pub(crate) outcome: Outcome<V, E>,
    pub(crate) detached: bool,
    pub(crate) trace: Trace,
}

impl<V: Clone, E: Clone> Landed<V, E> {
    /// This caller's own copy. Runs the user's `Clone`: outside every lock, and after the caller has passed its
    /// share of wake-ups on, so that a clone that is slow or panics concerns nobody else.
    pub(crate) fn share(&self, role: Role, shared: bool) -> Result<Landing<V>, Error<E>> {
        self.outcome.share().map(|value| Landing::new(value, role, shared, self.detached))
    }
}

pub(crate) struct Flight<V, E> {
    pub(crate) head: Arc<FlightHead>,
    /// When the first follower came, or when the flight was promoted: its age where nobody reads the clock at
    /// each start.
    pub(crate) since: OnceCell<Instant>,
    /// How many wait for it. Grows under the shard's lock only.
    followers: AtomicUsize,
    landed: OnceCell<Landed<V, E>>,
    gates: Gates,
    /// Whether anybody ever stood in the crowd: most flights have none, and their landing need not look.
    crowded: AtomicBool,
    crowd: Mutex<Crowd<V, E>>,
}

/// Where a follower waits.
pub(crate) enum Place {
    /// Until the flight lands.
    Gate(Gate),
    /// Until the flight lands, or until it is called to lead it.
    Seat(Arc<Seat>),
}

/// Those who may lead the flight when it is promoted, and those who wait elsewhere than in a call of ours.
struct Crowd<V, E> {
    queue: Queue,
    /// Spawned calls: who leads may be one of them, and their receivers are served by the leader.
    passengers: Vec<(u64, Box<dyn Passenger<V, E>>)>,
    tickets: u64,
}

/// Who leads a flight that has just been promoted.
pub(crate) enum Captain<V, E> {
    Blocked(Arc<Seat>),
    Spawned(Box<dyn Passenger<V, E>>),
}

impl<V, E> Flight<V, E> {
    pub(crate) fn new(head: Arc<FlightHead>) -> Arc<Self> {
        Arc::new(Self {
            head,
            since: OnceCell::new(),
            followers: AtomicUsize::new(0),
            landed: OnceCell::new(),
            gates: Gates::new(),
            crowded: AtomicBool::new(false),
            crowd: Mutex::new(Crowd { queue: Queue::default(), passengers: Vec::new(), tickets: 0 }),
        })
    }

    /// Memory for a flight, to be [`numbered`](Self::numbered) when it is clear that it is needed.
    pub(super) fn unnumbered(group: Option<Arc<str>>, rule: Rule) -> Arc<Self> {
        let flight = Self::new(FlightHead::new(0, group, NOBODY));
        if rule == Rule::Join {
            let _ = flight.since.set(Instant::now()); // a queued one starts when it is promoted
        }
        flight
    }

    /// Makes `unnumbered` the flight `id`, whose followers wait for the thread `leader`.
    pub(super) fn numbered(mut unnumbered: Arc<Self>, id: u64, leader: u64) -> Arc<Self> {
        let head = Arc::get_mut(&mut unnumbered).and_then(|flight| Arc::get_mut(&mut flight.head));
        head.expect("nobody else has seen it").number(id, leader);
        unnumbered
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

    /// Gives a caller that never leads this flight a gate to wait at. Under the shard's lock.
    pub(crate) fn assign_gate(&self) -> Gate {
        self.gates.assign()
    }

    /// Gives a caller that may have to lead its place in the order of arrival. Under the shard's lock.
    pub(crate) fn queue(&self, seat: &Arc<Seat>) {
        self.crowded.store(true, Relaxed);
        let mut crowd = self.crowd.lock();
        crowd.tickets += 1;
        let ticket = crowd.tickets;
        crowd.queue.push(seat, ticket);
    }

    /// Under the shard's lock.
    pub(crate) fn add_passenger(&self, passenger: Box<dyn Passenger<V, E>>) {
        self.crowded.store(true, Relaxed);
        let mut crowd = self.crowd.lock();
        crowd.tickets += 1;
        let ticket = crowd.tickets;
        crowd.passengers.push((ticket, passenger));
    }

    /// Takes a caller out of the queue; `false` if it had been woken or called meanwhile.
    pub(crate) fn unqueue(&self, seat: &Seat) -> bool {
        self.crowd.lock().queue.remove(seat)
    }

    /// Whether anybody is left who could lead it.
    pub(crate) fn has_captain(&self) -> bool {
        let crowd = self.crowd.lock();
        crowd.queue.len() > 0 || !crowd.passengers.is_empty()
    }

    /// Makes the newest of those still waiting the leader (P4), and counts those whose closures it supersedes.
    pub(crate) fn call_captain(&self) -> Option<(Captain<V, E>, usize)> {
        let mut crowd = self.crowd.lock();
        let spawned = crowd.passengers.last().map(|(ticket, _)| *ticket);
        let captain = if spawned > crowd.queue.newest_ticket() {
            crowd.passengers.pop().map(|(_, passenger)| Captain::Spawned(passenger))
        } else {
            crowd.queue.call_newest().map(Captain::Blocked)
        };
        Some((captain?, crowd.queue.len() + crowd.passengers.len()))
    }

    /// Publishes the outcome, by move: from here on whoever looks finds it.
    pub(crate) fn publish(&self, landed: Landed<V, E>) {
        self.head.set_landed();
        let first = self.landed.set(landed).is_ok();
        debug_assert!(first, "a flight lands once");
    }

    /// Wakes the leader's share of those who wait, after the outcome was published.
    #[cold]
    pub(crate) fn begin_waking(&self) {
        self.wake(LEADERS_SHARE);
    }

    /// Wakes a follower's share of those who wait still: the first thing it does when it finds the outcome.
    #[cold]
    pub(crate) fn pass_on(&self) {
        self.wake(FOLLOWERS_SHARE);
    }

    /// Passes on at the gates, and wakes so many in seats.
    fn wake(&self, share: usize) {
        self.gates.pass_on();
        // Relaxed: whoever came, came under the shard's lock, and the landing has held that since.
        if !self.crowded.load(Relaxed) {
            return;
        }
        debug_assert!(share <= LEADERS_SHARE);
        let mut called: [Option<Arc<Seat>>; LEADERS_SHARE] = [const { None }; LEADERS_SHARE];
        let mut seated = 0;
        {
            let mut crowd = self.crowd.lock();
            while seated < share {
                let Some(seat) = crowd.queue.pop_newest() else { break };
                called[seated] = Some(seat);
                seated += 1;
            }
        }
        for seat in called.iter().take(seated).flatten() {
            seat.ring();
        }
    }

    /// The receivers to serve. Everybody who could add one did so before the flight was unlinked.
    pub(crate) fn take_passengers(&self) -> Vec<(u64, Box<dyn Passenger<V, E>>)> {
        if !self.crowded.load(Relaxed) {
            return Vec::new();
        }
        std::mem::take(&mut self.crowd.lock().passengers)
    }

    /// Sleeps until the flight lands (`true`) or `until` has passed (`false`).
    #[cold]
    pub(crate) fn wait(&self, gate: Gate, until: Option<Instant>) -> bool {
        self.gates.sleep(gate, until, || self.landed.get().is_some())
    }

    /// Sleeps in `seat` until the flight lands, the caller is to lead it, or `until` has passed.
    pub(crate) fn wait_in(&self, seat: &Seat, until: Option<Instant>) -> Seated {
        seat.sleep(until, || self.landed.get().is_some())
    }
}
