//! A process's turn to write a key: its lease, on the way from the caller that queued for it to the caller that runs.
//!
//! ```text
//! acquired ──▶ started ──▶ over
//! ```
//!
//! The caller that queues for the lease is a run of the local group of its own, so that callers that come meanwhile
//! queue behind it, as they do behind any run. When it has the lease it lands, and the next run, which is the newest
//! caller's, takes the turn. The others wait here for that run's outcome.

use super::lease::Lease;
use crate::error::Error;
use crate::sync::{Arc, Condvar, Duration, Mutex, after, wait_until};
use std::collections::HashMap;

/// See the module.
pub(crate) struct Turn<V, E> {
    state: Mutex<State<V, E>>,
    bell: Condvar,
}

enum State<V, E> {
    Acquired(Lease),
    Started,
    /// `None`: the run ended without an outcome that can be passed on.
    Over(Option<Arc<Result<V, Error<E>>>>),
}

/// How far a turn is.
pub(crate) enum Progress {
    Acquired,
    Started,
    Over,
}

/// The turns that no run has taken yet, by the tag of their key's names.
pub(crate) type Turns<V, E> = Mutex<HashMap<Arc<str>, Arc<Turn<V, E>>>>;

impl<V, E> Turn<V, E> {
    pub(crate) fn new(lease: Lease) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Acquired(lease)), bell: Condvar::new() })
    }

    /// Takes the lease, to run with it. Only one caller can: the one that took the turn out of [`Turns`].
    pub(crate) fn start(self: &Arc<Self>) -> Option<(Lease, Running<V, E>)> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Started) {
            State::Acquired(lease) => {
                drop(state);
                self.bell.notify_all();
                Some((lease, Running { turn: Arc::clone(self) }))
            }
            other => {
                *state = other;
                None
            }
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        match *self.state.lock() {
            State::Acquired(_) => Progress::Acquired,
            State::Started => Progress::Started,
            State::Over(_) => Progress::Over,
        }
    }

    /// The outcome of its run, once that is over.
    pub(crate) fn passed_on(&self) -> Option<Result<V, Error<E>>>
    where
        V: Clone,
        E: Clone,
    {
        let outcome = match &*self.state.lock() {
            State::Over(outcome) => outcome.clone(),
            _ => None,
        };
        // A clone of the user's: not under the lock.
        outcome.map(|outcome| (*outcome).clone())
    }

    /// Sleeps until something has happened, and a moment at most: for waits that end by themselves.
    pub(crate) fn wait(&self) {
        let mut state = self.state.lock();
        if !matches!(*state, State::Over(_)) {
            wait_until(&self.bell, &mut state, after(MOMENT));
        }
    }
}

const MOMENT: Duration = Duration::from_millis(10);

/// A turn whose run has started. Dropped, as by a panic, it is over without an outcome.
pub(crate) struct Running<V, E> {
    turn: Arc<Turn<V, E>>,
}

impl<V, E> Running<V, E> {
    pub(crate) fn over(self, outcome: Result<V, Error<E>>) {
        self.end(Some(Arc::new(outcome)));
    }

    fn end(&self, outcome: Option<Arc<Result<V, Error<E>>>>) {
        let mut state = self.turn.state.lock();
        if matches!(*state, State::Started) {
            *state = State::Over(outcome);
            drop(state);
            self.turn.bell.notify_all();
        }
    }
}

impl<V, E> Drop for Running<V, E> {
    fn drop(&mut self) {
        self.end(None);
    }
}
