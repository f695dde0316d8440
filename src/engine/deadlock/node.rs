//! What can be waited for, and the threads that will end it.

use crate::site::Kind;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Release, Ordering::SeqCst};
use crate::sync::{Arc, Mutex, OnceCell, per_thread};
use std::cell::Cell;

/// No thread: what will be waited for has not been started.
pub(crate) const NOBODY: u64 = 0;

/// A runner is a thread's number, and in the low bits the number of scopes the thread had open when it began to run
/// something (see [`Scope`](super::Scope)). One word, so that a lone leader stores it with one instruction.
const SCOPE_BITS: u32 = 16;
const SCOPES: u64 = (1 << SCOPE_BITS) - 1;

per_thread! {
    /// The calling thread as a runner. A cell without a destructor can be read in any thread at any time.
    static RUNNER: Cell<u64> = Cell::new(NOBODY);
}

/// The calling thread, as the leader of something that it begins now: never [`NOBODY`].
///
/// `std::thread::ThreadId` would do for the thread, but reading it clones a handle, and a lone leader pays for every
/// instruction.
#[inline]
pub(crate) fn runner() -> u64 {
    RUNNER.with(|runner| {
        if runner.get() == NOBODY {
            runner.set(next_thread());
        }
        runner.get()
    })
}

/// The calling thread as the leader of something whose begin is not known: its open scopes do not count.
#[inline]
pub(crate) fn thread_number() -> u64 {
    runner() | SCOPES
}

/// The runner of a thread that has not run anything yet. Never given twice.
#[cold]
pub(super) fn next_thread() -> u64 {
    // Not the checkers' atomics: a number has to be unique, and nothing else.
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    (LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1) << SCOPE_BITS
}

pub(super) fn thread_of(runner: u64) -> u64 {
    runner >> SCOPE_BITS
}

pub(super) fn scopes_of(runner: u64) -> u64 {
    runner & SCOPES
}

/// Counts a scope the calling thread opens. Returns the runner as it was before.
///
/// Beyond 65,534 scopes on one stack the count stands still: what those owe is not seen.
pub(super) fn enter_scope() -> u64 {
    let before = runner();
    if scopes_of(before) + 1 < SCOPES {
        RUNNER.with(|runner| runner.set(before + 1));
    }
    before
}

pub(super) fn leave_scope(before: u64) {
    RUNNER.with(|runner| runner.set(before));
}

/// Who ends what a [`Node`] stands for.
#[derive(Clone)]
pub(crate) enum Ender {
    /// This runner; [`NOBODY`] as long as no thread has begun.
    Thread(u64),
    /// The threads that end the node in front.
    Behind(Arc<Node>),
    /// All of these: one that never comes back is enough to wait for ever.
    All(Vec<Ender>),
    /// Any of these: one that comes back is enough.
    Any(Vec<Ender>),
}

/// What the deadlock check knows of a flight, a batch, a hedged call or a scope, without its types.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(super) kind: Kind,
    pub(super) group: Option<Arc<str>>,
    /// Only in groups with `debug_keys`; set before the first edge to this node is entered.
    pub(super) key: OnceCell<Arc<str>>,
    /// The runner that ends it, which is the usual case and is read without a lock; or `SEE_ENDER`.
    leader: AtomicU64,
    ender: Mutex<Stated>,
    ended: AtomicBool,
}

/// Never a runner.
const SEE_ENDER: u64 = u64::MAX;

#[derive(Clone)]
pub(super) struct Stated {
    pub(super) ender: Ender,
    /// Tells this statement from an earlier one that looks the same.
    pub(super) version: u64,
}

impl Node {
    pub(crate) fn new(id: u64, kind: Kind, group: Option<Arc<str>>, ender: Ender) -> Arc<Self> {
        let node = Self {
            id,
            kind,
            group,
            key: OnceCell::new(),
            leader: AtomicU64::new(NOBODY),
            ender: Mutex::new(Stated { ender: Ender::Thread(NOBODY), version: 0 }),
            ended: AtomicBool::new(false),
        };
        node.set_ender(ender);
        Arc::new(node)
    }

    /// From now on a wait for this node is a wait for this runner.
    pub(crate) fn set_leader(&self, runner: u64) {
        if self.leader.swap(runner, SeqCst) == SEE_ENDER {
            self.state(Ender::Thread(NOBODY)); // a node in front must not be kept for as long as this one
        }
    }

    /// From now on a wait for this node is a wait for these.
    pub(crate) fn set_ender(&self, ender: Ender) {
        match ender {
            Ender::Thread(runner) => self.set_leader(runner),
            ender => {
                self.state(ender);
                self.leader.store(SEE_ENDER, SeqCst);
            }
        }
    }

    fn state(&self, ender: Ender) {
        let mut stated = self.ender.lock();
        let before = std::mem::replace(&mut stated.ender, ender);
        stated.version += 1;
        drop(stated);
        drop(before);
    }

    /// Changes the members of a node that was given [`Ender::All`] or [`Ender::Any`].
    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<Ender>)) {
        let mut stated = self.ender.lock();
        stated.version += 1;
        match &mut stated.ender {
            Ender::All(members) | Ender::Any(members) => change(members),
            _ => unreachable!("a node with members"),
        }
    }

    pub(super) fn ender(&self) -> Stated {
        let read = |leader| Stated { ender: Ender::Thread(leader), version: 0 };
        let leader = self.leader.load(SeqCst);
        if leader != SEE_ENDER {
            return read(leader);
        }
        let stated = self.ender.lock();
        match self.leader.load(SeqCst) {
            SEE_ENDER => stated.clone(),
            leader => read(leader),
        }
    }

    /// Nobody waits for this node any more, whatever the map still says.
    ///
    /// Release is enough. What may not happen is that a walk takes a node that has ended for one that has not *and*
    /// sees its leader waiting anew. The leader's new edge is entered after this, under a stripe's lock; the second
    /// walk looks at the node after the first one held that lock and saw that edge.
    pub(crate) fn set_ended(&self) {
        self.ended.store(true, Release);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Acquire)
    }

    /// Not `get_or_init`: a slow or panicking `Debug` of one caller's must not hold up the others.
    pub(crate) fn set_key(&self, label: impl FnOnce() -> String) {
        if self.key.get().is_none() {
            let _ = self.key.set(label().into()); // whichever comes first: they are the same key
        }
    }
}

impl Drop for Node {
    /// Lets go of the nodes in front one by one: dropped as fields they would recurse once for each.
    fn drop(&mut self) {
        let take = |node: &mut Self| match std::mem::replace(&mut node.ender.lock().ender, Ender::Thread(NOBODY)) {
            Ender::Behind(front) => Some(front),
            _ => None,
        };
        let mut next = take(self);
        while let Some(mut front) = next.and_then(Arc::into_inner) {
            next = take(&mut front);
        }
    }
}
