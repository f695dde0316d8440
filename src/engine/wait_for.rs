//! Who waits for whom (P7): finds the circle of flights that a wait would close, before it is closed.
//!
//! Every thread that is about to wait enters one edge, *thread -> flight*, in a process-wide map; every flight
//! that anybody waits for names the thread that will end it, *flight -> thread*. A thread that is about to wait
//! enters its own edge first and walks the chain afterwards. Of two threads that close a circle at the same time
//! at least one therefore sees all of it: the map's locks order "my edge is in" before "I looked at yours", and
//! both cannot have looked before the other's edge was in.
//!
//! A walk reads one edge at a time while the world goes on, so that a circle found by one walk may never have
//! stood all at once. It counts only if a second walk finds the same edges, each with the same wait number, and
//! none of its flights landed: then every edge was there between the two walks.
//!
//! The chain ends, and with it all suspicion, at a thread that is not waiting, at a job no thread has started
//! yet, and at another thread whose wait has a deadline or a take-over, because that wait ends by itself.

use crate::error::{Deadlock, Hop};
use crate::site::{Kind, Site};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Release, Ordering::SeqCst};
use crate::sync::{Arc, Mutex, OnceCell, Thread, current_thread, per_thread, process_wide};
use std::cell::Cell;

/// No thread: the job that will run this flight has not been started.
pub(crate) const NOBODY: u64 = 0;

/// The calling thread's number: never [`NOBODY`], never given twice.
///
/// `std::thread::ThreadId` would do, but reading it clones a handle, and a lone leader pays for every
/// instruction. A plain cell without a destructor can be read in any thread at any time.
#[inline]
pub(crate) fn thread_number() -> u64 {
    per_thread! {
        static NUMBER: Cell<u64> = Cell::new(NOBODY);
    }
    NUMBER.with(|number| {
        if number.get() == NOBODY {
            number.set(next_thread_number());
        }
        number.get()
    })
}

#[cold]
fn next_thread_number() -> u64 {
    // Not the checkers' atomics: a number has to be unique, and nothing else.
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(NOBODY);
    LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
}

/// What everybody may know of a flight without knowing its types.
pub(crate) struct FlightHead {
    pub(crate) id: u64,
    group: Option<Arc<str>>,
    /// Only in groups with `debug_keys`; set before the first edge to this flight is entered.
    key: OnceCell<Arc<str>>,
    /// The thread all aboard wait for: the leader; for a queued flight the leader of the one before it.
    waits_for: AtomicU64,
    landed: AtomicBool,
}

impl FlightHead {
    pub(crate) fn new(id: u64, group: Option<Arc<str>>, leader: u64) -> Arc<Self> {
        Arc::new(Self {
            id,
            group,
            key: OnceCell::new(),
            waits_for: AtomicU64::new(leader),
            landed: AtomicBool::new(false),
        })
    }

    /// A head made before it was known what for.
    pub(crate) fn number(&mut self, id: u64, leader: u64) {
        self.id = id;
        self.set_leader(leader);
    }

    /// Whoever is aboard now waits for this thread.
    pub(crate) fn set_leader(&self, thread: u64) {
        self.waits_for.store(thread, SeqCst);
    }

    /// Nobody waits for this flight any more, whatever the map still says.
    ///
    /// Release is enough. What may not happen is that a walk takes a landed flight for one in the air *and* sees
    /// its leader waiting anew. The leader's new edge is entered after the landing, under a stripe's lock; the
    /// second walk looks at the flight after the first one held that lock and saw that edge.
    pub(crate) fn set_landed(&self) {
        self.landed.store(true, Release);
    }

    fn has_landed(&self) -> bool {
        self.landed.load(Acquire)
    }

    /// Not `get_or_init`: a slow or panicking `Debug` of one caller's must not hold up the others.
    pub(crate) fn set_key(&self, label: impl FnOnce() -> String) {
        if self.key.get().is_none() {
            let _ = self.key.set(label().into()); // whichever comes first: they are the same key
        }
    }
}

struct Edge {
    from: u64,
    to: Arc<FlightHead>,
    /// Tells this wait from the same thread's next wait for the same flight.
    wait: u64,
    ends_by_itself: bool,
    thread: Thread,
}

/// One stripe of the map; a thread's edge is always in the stripe of its number. A line to itself, so that
/// threads of consecutive numbers do not want the same one.
#[repr(align(64))]
struct Stripe(Mutex<Edges>);

/// A few edges at most, and mostly one or none: searched faster than a hash is computed.
struct Edges {
    waits: u64,
    edges: Vec<Edge>,
}

impl Edges {
    fn of(&self, thread: u64) -> Option<&Edge> {
        self.edges.iter().find(|edge| edge.from == thread)
    }

    fn remove(&mut self, thread: u64) -> Option<Edge> {
        let place = self.edges.iter().position(|edge| edge.from == thread)?;
        Some(self.edges.swap_remove(place))
    }
}

/// As many as keep threads out of each other's way. Consecutive numbers fall into consecutive stripes, so that
/// the capacity below serves some 1000 waiting threads before any stripe grows.
#[cfg(not(any(flight_group_shuttle, flight_group_loom)))]
const STRIPES: usize = 128;
#[cfg(any(flight_group_shuttle, flight_group_loom))]
const STRIPES: usize = 2;
const EDGES_PER_STRIPE: usize = 8;

process_wide! {
    static WAITS: Vec<Stripe> = (0..STRIPES)
        .map(|_| Stripe(Mutex::new(Edges { waits: 0, edges: Vec::with_capacity(EDGES_PER_STRIPE) })))
        .collect();
}

fn stripe(thread: u64) -> &'static Mutex<Edges> {
    &WAITS[thread as usize % STRIPES].0
}

/// The calling thread's edge; dropping it takes it out of the map.
pub(crate) struct Waiting {
    thread: u64,
}

impl Waiting {
    /// Enters "the calling thread waits for `flight`", and refuses if that would close a circle.
    ///
    /// `ends_by_itself`: the wait has a deadline or a take-over. That spares *others* the alarm; the caller
    /// itself is told all the same, since a wait that can only time out is never what was meant.
    #[cold]
    pub(crate) fn begin(flight: &Arc<FlightHead>, ends_by_itself: bool) -> Result<Self, Deadlock> {
        let me = thread_number();
        {
            let (to, thread) = (flight.clone(), current_thread());
            let mut stripe = stripe(me).lock();
            stripe.waits += 1;
            let wait = stripe.waits;
            stripe.edges.push(Edge { from: me, to, wait, ends_by_itself, thread });
        }
        let waiting = Self { thread: me };
        if runs_on(flight, me) {
            return Ok(waiting); // nearly always: one hop, no allocation
        }
        match walk(flight, me) {
            Some(first) if walk(flight, me).is_some_and(|second| same(&first, &second)) => Err(report(&first)),
            _ => Ok(waiting),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let edge = stripe(self.thread).lock().remove(self.thread);
        drop(edge); // after the lock: it may hold the last reference to a flight's head
    }
}

/// Whether the flight's end depends on no wait at all, as far as one look tells. It only spares the walk, which
/// would find the same.
fn runs_on(flight: &FlightHead, me: u64) -> bool {
    let leader = flight.waits_for.load(SeqCst);
    leader == NOBODY || (leader != me && stripe(leader).lock().of(leader).is_none())
}

/// A flight on the way round, the thread it waits for, and that thread's wait for the next flight.
struct Step {
    flight: Arc<FlightHead>,
    leader: u64,
    wait: u64,
    thread: Thread,
}

/// Follows the chain from `first`; `Some` if it comes back to `me`.
fn walk(first: &Arc<FlightHead>, me: u64) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut flight = first.clone();
    loop {
        let leader = flight.waits_for.load(SeqCst);
        if flight.has_landed() || leader == NOBODY || steps.iter().any(|step| step.leader == leader) {
            // Coming back to anybody else is their circle, not ours; a captain just promoted, whose own edge
            // still leads to the flight it is about to run, looks the same and is no circle at all.
            return None;
        }
        let (next, step) = {
            let stripe = stripe(leader).lock();
            let edge = stripe.of(leader)?;
            if leader != me && edge.ends_by_itself {
                return None;
            }
            (edge.to.clone(), Step { flight, leader, wait: edge.wait, thread: edge.thread.clone() })
        };
        steps.push(step);
        if leader == me {
            return Some(steps);
        }
        flight = next;
    }
}

fn same(first: &[Step], second: &[Step]) -> bool {
    first.len() == second.len()
        && first
            .iter()
            .zip(second)
            .all(|(a, b)| Arc::ptr_eq(&a.flight, &b.flight) && a.leader == b.leader && a.wait == b.wait)
}

fn report(steps: &[Step]) -> Deadlock {
    let hop = |step: &Step| {
        let site = match &step.flight.group {
            Some(name) => Site::new(Kind::Group).named(&**name),
            None => Site::new(Kind::Group),
        };
        let thread = match step.thread.name() {
            Some(name) => format!("thread \"{name}\" ({:?})", step.thread.id()),
            None => format!("thread {:?}", step.thread.id()),
        };
        let hop = Hop::new(site, step.flight.id, thread);
        match step.flight.key.get() {
            Some(key) => hop.keyed(key.clone()),
            None => hop,
        }
    };
    Deadlock::new(steps.iter().map(hop))
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    //! What the second walk is for. The circles that need it stand for a moment: tests/model/deadlocks.rs has one.

    use super::*;

    #[test]
    fn p7_a_circle_counts_only_if_it_is_found_twice() {
        let (flight, another) = (FlightHead::new(1, None, 7), FlightHead::new(1, None, 7));
        let step = |flight: &Arc<FlightHead>, leader, wait| {
            let (flight, thread) = (flight.clone(), current_thread());
            Step { flight, leader, wait, thread }
        };
        let walk = |flight, leader, wait| [step(&another, 5, 1), step(flight, leader, wait)];
        let first = walk(&flight, 7, 3);
        assert!(same(&first, &walk(&flight, 7, 3)));
        assert!(!same(&first, &walk(&another, 7, 3)), "another flight");
        assert!(!same(&first, &walk(&flight, 8, 3)), "another leader");
        assert!(!same(&first, &walk(&flight, 7, 4)), "another wait for the same flight");
        assert!(!same(&first, &first[..1]) && !same(&first[..1], &first), "another way round");
    }

    #[test]
    fn p7_every_wait_has_a_number_of_its_own_and_leaves_no_edge() {
        let (flight, me) = (FlightHead::new(1, None, NOBODY), thread_number());
        let number = || stripe(me).lock().of(me).map(|edge| edge.wait);
        let wait = || {
            let waiting = Waiting::begin(&flight, false).unwrap();
            let number = number();
            drop(waiting);
            number.expect("entered before the wait")
        };
        assert_ne!(wait(), wait());
        assert!(number().is_none());
    }

    /// Otherwise the walk comes to the same end, and is only slow.
    #[test]
    fn p7_nothing_is_walked_where_the_leader_waits_for_nobody() {
        let (me, leader) = (thread_number(), next_thread_number());
        let led_by = |thread| FlightHead::new(1, None, thread);
        assert!(runs_on(&led_by(NOBODY), me) && runs_on(&led_by(leader), me));
        assert!(!runs_on(&led_by(me), me));
        let edge = Edge { from: leader, to: led_by(NOBODY), wait: 1, ends_by_itself: false, thread: current_thread() };
        stripe(leader).lock().edges.push(edge);
        assert!(!runs_on(&led_by(leader), me));
        assert!(stripe(leader).lock().remove(leader).is_some());
    }
}
