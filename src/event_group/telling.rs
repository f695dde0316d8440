//! The calls of `on_failure` that are due. `flush` and `close` wait for them: a program that ends afterwards has been told
//! of every failure (P13).
//!
//! A call is registered before its run lands, so whoever has waited for the run finds it here.

use crate::engine::deadlock::{Ender, thread_number};
use crate::engine::waiter::Waiter;
use crate::event_group::watchers::Watchers;
use crate::sync::{Arc, Mutex};

/// All of a group's.
#[derive(Default)]
pub(super) struct Telling {
    state: Mutex<State>,
}

/// A failure that is still to be told, until this is dropped.
pub(super) struct Untold {
    of: Arc<Telling>,
    number: u64,
}

#[derive(Default)]
struct State {
    numbers: u64,
    /// The numbers of the calls that are due, and the threads that make them.
    due: Vec<(u64, u64)>,
    watchers: Watchers,
}

impl Telling {
    /// The calling thread will call `on_failure`.
    pub(super) fn begin(self: &Arc<Self>) -> Untold {
        let mut state = self.state.lock();
        state.numbers += 1;
        let number = state.numbers;
        state.due.push((number, thread_number()));
        Untold { of: self.clone(), number }
    }

    /// The last call that is due by now.
    pub(super) fn last(&self) -> u64 {
        self.state.lock().numbers
    }

    /// The threads, other than `me`, that still make calls up to that one. `watcher` is called when one of them is made.
    pub(super) fn watch(&self, up_to: u64, me: u64, watcher: &Arc<Waiter>) -> Vec<Ender> {
        let mut state = self.state.lock();
        let others = state.due.iter().filter(|(number, thread)| *number <= up_to && *thread != me);
        let others: Vec<_> = others.map(|(_, thread)| Ender::Thread(*thread)).collect();
        if !others.is_empty() {
            state.watchers.add(watcher);
        }
        others
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        state.due.retain(|(number, _)| *number != self.number);
        let watchers = std::mem::take(&mut state.watchers);
        drop(state);
        drop(watchers);
    }
}
