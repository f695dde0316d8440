//! Who waits for whom (P7): finds the circle of waits that a wait would close, before it is closed.
//!
//! Every thread that is about to wait enters an edge, *thread -> node*, in a process-wide map. A node stands for a
//! flight, a batch, a hedged call or a scope, and names the threads that will end it, *node -> threads*: one of
//! them, all of them, or any of them ([`Ender`]). A thread that is about to wait enters its own edge first and walks
//! the graph afterwards. Of two threads that close a circle at the same time at least one therefore sees all of it:
//! the map's locks order "my edge is in" before "I looked at yours", and both cannot have looked before the other's
//! edge was in.
//!
//! A thread that opens a scope must wait for the scope's tasks, because they borrow from it. It enters that edge at once
//! ([`Scope`]). So if the thread and its task would wait for each other, the task gets the error, whichever waits first. The
//! thread could not return from the scope. The edge counts for what the thread began before it opened the scope. It does
//! not count for what it begins inside: a task may wait for that.
//!
//! A walk reads one edge at a time while other threads go on. So the edges that one walk finds may never have been there
//! at the same time. They count only if a second walk finds the same edges, each with the same wait number, and none of
//! their nodes has ended: then every edge was there between the two walks. A node's enders that sleep in the same wait at
//! both looks are its enders in between, too. The members of an `Any` have a version, because a member that is added and
//! removed between the looks would have been a way out.
//!
//! If a set of members shrinks, threads may be stuck without a new edge. A thread that takes a member out of an `Any` must
//! therefore wake the threads that wait for its node, so that they wait, and look, again.
//!
//! A walk ends at a thread that is not waiting, at a job that no thread has started yet, and at another thread's wait that
//! has a deadline or a take-over, because that wait ends by itself.

#![cfg_attr(flight_group_loom, allow(dead_code, reason = "loom has no scoped threads, and so no error groups"))]

mod edges;
mod node;
mod walk;

pub(crate) use node::{Ender, NOBODY, Node, runner, thread_number};

use crate::error::{Deadlock, Hop};
use crate::site::Site;
use crate::sync::{Arc, Thread, current_thread};
use edges::{ASLEEP, Edge, stripe};
use node::{enter_scope, leave_scope, scopes_of, thread_of};
use walk::Found;

/// The calling thread's edge; dropping it takes it out of the map.
pub(crate) struct EdgeGuard {
    thread: u64,
    wait: u64,
}

impl EdgeGuard {
    fn enter(thread: u64, to: &Arc<Node>, scope: u64, ends_by_itself: bool) -> Self {
        let edge = Edge { from: thread, to: to.clone(), wait: 0, scope, ends_by_itself, thread: current_thread() };
        let wait = stripe(thread).lock().add(edge);
        Self { thread, wait }
    }

    /// Enters "the calling thread waits for `node`", and refuses if that would be for ever.
    ///
    /// `ends_by_itself`: the wait has a deadline or a take-over. Other threads do not count this wait as part of a
    /// deadlock, because it will end. The caller still gets the error: a wait that can only end by timing out is a
    /// bug.
    #[cold]
    pub(crate) fn begin(node: &Arc<Node>, ends_by_itself: bool) -> Result<Self, Deadlock> {
        let me = thread_of(runner());
        let edge = Self::enter(me, node, ASLEEP, ends_by_itself);
        if walk::runs_on(node, me) {
            return Ok(edge); // nearly always: one hop, no allocation
        }
        match confirmed(|| walk::walk(node, me)) {
            Some(found) => Err(report(&found)),
            None => Ok(edge),
        }
    }
}

/// What two walks in a row find. As long as they differ, the graph has changed meanwhile.
fn confirmed(mut walk: impl FnMut() -> Option<Found>) -> Option<Found> {
    let mut found = walk()?;
    loop {
        let again = walk()?;
        if again.rests_on_the_same(&found) {
            return Some(again);
        }
        found = again;
    }
}

impl Drop for EdgeGuard {
    fn drop(&mut self) {
        let edge = stripe(self.thread).lock().remove(self.wait);
        drop(edge); // after the lock: it may hold the last reference to a node
    }
}

/// A scope that the calling thread has open: it will not leave it before all tasks of the scope's node have ended.
pub(crate) struct Scope {
    before: u64,
    _edge: EdgeGuard,
}

impl Scope {
    /// Scopes are closed, by dropping them, in the reverse order, and on the thread that opened them.
    pub(crate) fn open(node: &Arc<Node>) -> Self {
        let before = enter_scope();
        let _edge = EdgeGuard::enter(thread_of(before), node, scopes_of(runner()), false);
        Self { before, _edge }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        leave_scope(self.before);
    }
}

fn report(found: &Found) -> Deadlock {
    let hop = |(node, thread): &(Arc<Node>, Option<Thread>)| {
        let site = Site::new(node.kind);
        let site = match &node.group {
            Some(name) => site.named(&**name),
            None => site,
        };
        let thread = thread.clone().unwrap_or_else(current_thread);
        let thread = match thread.name() {
            Some(name) => format!("thread \"{name}\" ({:?})", thread.id()),
            None => format!("thread {:?}", thread.id()),
        };
        let hop = Hop::new(site, node.id, thread);
        match node.key.get() {
            Some(key) => hop.keyed(key.clone()),
            None => hop,
        }
    };
    Deadlock::new(found.hops.iter().map(hop))
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
#[path = "deadlock/tests.rs"]
mod tests;
