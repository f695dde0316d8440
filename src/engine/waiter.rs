//! A thread's own place to wait: a condvar that wakes this thread and no other (P11).
//!
//! A thread keeps its waiter for its next wait: after the first one it allocates none.

use crate::cancel::{CancelToken, Wake as OnCancel};
use crate::sync::{Arc, Instant, Monitor, per_thread};
use std::cell::Cell;

pub(crate) struct Waiter {
    state: Monitor<State>,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The waiter was called: there may be something to do.
    Called,
    Landed,
    Cancelled,
    TimedOut,
}

#[derive(Default)]
struct State {
    called: bool,
    /// Whether a notification would wake anybody: it costs a system call in any case.
    asleep: bool,
}

per_thread! {
    static SPARE: Cell<Option<Arc<Waiter>>> = Cell::new(None);
}

impl Waiter {
    /// The calling thread's waiter. A new one on the thread's first wait, and in a destructor that runs while the
    /// thread ends.
    pub(crate) fn take() -> Arc<Self> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        spare.unwrap_or_else(|| Arc::new(Self { state: Monitor::new(State::default()) }))
    }

    /// Keeps the waiter for the thread's next wait. It must be out of every queue. Another thread may still be about
    /// to notify it: the next wait then wakes once for nothing, as any condvar may.
    pub(crate) fn give_back(self: Arc<Self>) {
        self.state.lock().called = false;
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// Makes the owner look at its flight again. [`notify`](Self::notify) follows, outside locks.
    ///
    /// Call it only under a lock that the owner takes before it gives the waiter back: a later call would count for
    /// the owner's next wait.
    pub(crate) fn call(&self) {
        self.state.lock().called = true;
    }

    /// The owner is about to look. Returns whether it was called.
    pub(crate) fn answer(&self) -> bool {
        std::mem::take(&mut self.state.lock().called)
    }

    /// Sleeps until called, until `landed`, until the token is cancelled, or until `until` has passed. If several are
    /// true at the end, the first in this order counts (P6).
    #[cold]
    pub(crate) fn wait(&self, until: Option<Instant>, cancel: Option<&CancelToken>, landed: impl Fn() -> bool) -> Wake {
        let mut state = self.state.lock();
        let mut timed_out = false;
        loop {
            if state.called {
                return Wake::Called;
            }
            if landed() {
                return Wake::Landed;
            }
            if cancel.is_some_and(CancelToken::is_cancelled) {
                return Wake::Cancelled;
            }
            if timed_out {
                return Wake::TimedOut;
            }
            state.asleep = true;
            (state, timed_out) = self.state.wait(state, until);
            state.asleep = false;
        }
    }

    /// Wakes the owner, if it sleeps. The reason was made visible before.
    pub(crate) fn notify(&self) {
        // The owner looks for a reason and falls asleep under this lock, so that no notification falls in between.
        let asleep = self.state.lock().asleep;
        if asleep {
            self.state.notify_one();
        }
    }
}

impl OnCancel for Waiter {
    fn wake(&self) {
        self.notify();
    }
}
