//! Threads that wait until another thread is done with something of the group: a merge, or a call of `on_failure`.

use crate::engine::waiter::Waiter;
use crate::sync::Arc;

/// Dropping it, outside the lock, wakes them. One that has stopped waiting meanwhile wakes once for nothing in its next
/// wait.
#[derive(Default)]
pub(super) struct Watchers(Vec<Arc<Waiter>>);

impl Watchers {
    pub(super) fn add(&mut self, watcher: &Arc<Waiter>) {
        self.0.push(watcher.clone());
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for watcher in self.0.drain(..) {
            watcher.call();
            watcher.notify();
        }
    }
}
