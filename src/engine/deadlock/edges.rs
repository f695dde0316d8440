//! The process-wide map of who waits for what.

use crate::engine::deadlock::node::{Node, scopes_of, thread_of};
use crate::sync::{Arc, Mutex, Thread, process_wide};

/// One thread's wait for one node.
#[derive(Clone)]
pub(super) struct Edge {
    /// The thread's number.
    pub(super) from: u64,
    pub(super) to: Arc<Node>,
    /// Tells this wait from the same thread's next wait for the same node. Never given twice in one stripe.
    pub(super) wait: u64,
    /// It stands between the thread and the end of whatever the thread began with fewer open scopes than this.
    pub(super) scope: u64,
    pub(super) ends_by_itself: bool,
    pub(super) thread: Thread,
}

/// An edge of a thread that sleeps: whatever the thread runs waits for it.
pub(super) const ASLEEP: u64 = u64::MAX;

impl Edge {
    /// Whether `runner` cannot end what it runs before this wait is over.
    pub(super) fn holds(&self, runner: u64) -> bool {
        self.from == thread_of(runner) && self.scope > scopes_of(runner) && !self.ends_by_itself
    }
}

/// One stripe of the map; a thread's edges are always in the stripe of its number. A line to itself, so that
/// threads of consecutive numbers do not want the same one.
#[repr(align(64))]
struct Stripe(Mutex<Edges>);

/// A few edges at most, and mostly one or none: searched faster than a hash is computed.
pub(super) struct Edges {
    waits: u64,
    edges: Vec<Edge>,
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

/// The stripe with the edges of this thread.
pub(super) fn stripe(thread: u64) -> &'static Mutex<Edges> {
    &WAITS[thread as usize % STRIPES].0
}

impl Edges {
    /// Enters an edge and gives it a number.
    pub(super) fn add(&mut self, edge: Edge) -> u64 {
        self.waits += 1;
        self.edges.push(Edge { wait: self.waits, ..edge });
        self.waits
    }

    /// What keeps this runner from ending what it runs.
    pub(super) fn of(&self, runner: u64) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.holds(runner))
    }

    pub(super) fn remove(&mut self, wait: u64) -> Option<Edge> {
        let place = self.edges.iter().position(|edge| edge.wait == wait)?;
        Some(self.edges.swap_remove(place))
    }
}
