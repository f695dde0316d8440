//! Pools, signals, and patience: what hangs fails.

#[path = "../common/patience.rs"]
mod patience;

pub(crate) use patience::{until, within};

use flight_group::Group;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::spawn;
use std::time::Duration;

/// How long anything may take that is expected to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a wait lasts that is expected to end by its timeout only.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) const ROW: &str = "row";

pub(crate) type Rows = Group<&'static str, u64>;

pub(crate) fn rows() -> Arc<Rows> {
    Arc::new(Rows::builder().name("rows").build())
}

/// A pool whose threads are named after it.
pub(crate) fn pool(name: &'static str, threads: usize) -> Arc<ThreadPool> {
    let named = ThreadPoolBuilder::new().num_threads(threads).thread_name(move |n| format!("{name} {n}"));
    Arc::new(named.build().unwrap())
}

pub(crate) fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// Runs the task in the pool, and does not wait for it.
pub(crate) fn ask<T: Send + 'static>(pool: &ThreadPool, task: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, answer) = channel();
    pool.spawn(move || drop(sender.send(task())));
    answer
}

/// The same on a thread of its own.
pub(crate) fn ask_thread<T: Send + 'static>(task: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, answer) = channel();
    spawn(move || drop(sender.send(task())));
    answer
}

pub(crate) fn answer<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("an answer in time")
}

/// Set once. A worker that waits for it sleeps, and runs no other task meanwhile.
#[derive(Clone, Default)]
pub(crate) struct Signal {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Signal {
    pub(crate) fn set(&self) {
        let (set, changed) = &*self.state;
        *set.lock().unwrap() = true;
        changed.notify_all();
    }

    pub(crate) fn wait(&self) {
        let (set, changed) = &*self.state;
        let waited = changed.wait_timeout_while(set.lock().unwrap(), PATIENCE, |set| !*set);
        let timed_out = waited.unwrap().1.timed_out();
        assert!(!timed_out, "the signal never came");
    }
}
