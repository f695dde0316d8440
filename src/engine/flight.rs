//! One execution for one key: its outcome, and everybody who waits for it.
//!
//! A flight exists in memory only once somebody waits for it, or once it runs on an executor; a lone leader has
//! none (see `table.rs`).
//!
//! # How followers are woken
//!
//! The leader wakes [`LEADERS_SHARE`] of them and goes on its way; each follower, before it does anything else,
//! wakes [`FOLLOWERS_SHARE`] more. The chain ends when nobody sleeps any more. Invariant: *after the outcome is
//! published, as long as anybody sleeps, somebody who is awake has not yet passed its share on.* It holds because
//! a thread falls asleep only before the publication (it looks at the outcome under the lock that the leader
//! takes after publishing), and because every thread that leaves after the publication passes its share on,
//! whether it was woken, had never slept, or was about to time out.

use crate::engine::seat::{Queue, Seat};
use crate::engine::spawned::Passenger;
use crate::engine::wait_for::FlightHead;
use crate::error::{Error, Panic};
use crate::landing::{Landing, Role};
use crate::report::Trace;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sync::{Arc, Condvar, Instant, Mutex, OnceCell, wait_until};

/// How many a landing wakes before the leader goes on: enough to fan out fast, few enough not to hold it up.
pub(crate) const LEADERS_SHARE: usize = if UNDER_A_CHECKER { 1 } else { 8 };
/// How many each woken follower wakes.
pub(crate) const FOLLOWERS_SHARE: usize = if UNDER_A_CHECKER { 1 } else { 2 };

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
            Self::Abandoned => Err(Error::Abandoned),
            Self::Missing => Err(Error::Missing),
        }
    }
}

impl<V: Clone, E: Clone> Outcome<V, E> {
    pub(crate) fn share(&self) -> Result<V, Error<E>> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Failed(error) => Err(Error::Work(error.clone())),
            Self::Panicked(panic) => Err(Error::Panicked(panic.clone())),
            Self::Abandoned => Err(Error::Abandoned),
            Self::Missing => Err(Error::Missing),
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
    crowd: Mutex<Crowd<V, E>>,
    bell: Condvar,
}

/// Those who may lead the flight when it is promoted. (Those who cannot, wait at the bell and leave no trace.)
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

/// How the wait of a caller in a seat ended.
pub(crate) enum Seated {
    Landed,
    Called,
    TimedOut,
}

impl<V, E> Flight<V, E> {
    pub(crate) fn new(head: Arc<FlightHead>) -> Arc<Self> {
        Arc::new(Self {
            head,
            since: OnceCell::new(),
            followers: AtomicUsize::new(0),
            landed: OnceCell::new(),
            crowd: Mutex::new(Crowd { queue: Queue::default(), passengers: Vec::new(), tickets: 0 }),
            bell: Condvar::new(),
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

    /// Gives a caller that may have to lead its place in the order of arrival.
    pub(crate) fn queue(&self, seat: &Arc<Seat>) {
        let mut crowd = self.crowd.lock();
        crowd.tickets += 1;
        let ticket = crowd.tickets;
        crowd.queue.push(seat, ticket);
    }

    pub(crate) fn add_passenger(&self, passenger: Box<dyn Passenger<V, E>>) {
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

    /// Wakes up to `share` sleepers. A bell that nobody sleeps at costs one load.
    #[cold]
    pub(crate) fn wake(&self, share: usize) {
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
        for _ in seated..share {
            self.bell.notify_one();
        }
    }

    /// The receivers to serve. Everybody who could add one did so before the flight was unlinked.
    pub(crate) fn take_passengers(&self) -> Vec<(u64, Box<dyn Passenger<V, E>>)> {
        std::mem::take(&mut self.crowd.lock().passengers)
    }

    /// Sleeps until the flight lands (`true`) or `until` has passed (`false`).
    #[cold]
    pub(crate) fn wait(&self, until: Option<Instant>) -> bool {
        let mut crowd = self.crowd.lock();
        loop {
            if self.landed.get().is_some() {
                return true;
            }
            if wait_until(&self.bell, &mut crowd, until) {
                return self.landed.get().is_some(); // an outcome that is there wins over a timeout (P6)
            }
        }
    }

    /// Sleeps in `seat` until the flight lands, the caller is to lead it, or `until` has passed.
    #[cold]
    pub(crate) fn wait_in(&self, seat: &Seat, until: Option<Instant>) -> Seated {
        let mut called = seat.called();
        let mut timed_out = false;
        loop {
            if *called {
                return Seated::Called;
            }
            if self.landed.get().is_some() {
                return Seated::Landed;
            }
            if timed_out {
                return Seated::TimedOut;
            }
            timed_out = wait_until(&seat.bell, &mut called, until);
        }
    }
}
