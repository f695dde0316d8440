//! A bounded set of threads that come when needed and leave when idle.

use super::Job;
use crate::sync::{self, Arc, Condvar, Duration, Mutex};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Threads for hedged calls: started as they are needed, never more than a bound, reused, gone after a while of
/// idleness.
///
/// Cloning gives another handle to the same threads. When the last handle is dropped, idle threads leave at once
/// and busy ones after their attempt; the drop does not wait for them, since it may happen on one of them.
///
/// A full set queues nothing: it refuses, and the hedge copes (see [`Job`]). Hedged calls inside hedged calls thus
/// cannot starve each other of threads.
///
/// ```
/// use std::time::Duration;
/// use flight_group::{Hedge, hedge::Threads};
///
/// let threads = Threads::new(8);
/// let hedge = Hedge::new().threads(&threads).delay(Duration::from_millis(20)).max(2);
///
/// assert_eq!(hedge.run(|_| Ok::<_, String>("reply")).unwrap(), "reply");
/// assert!(threads.alive() <= 8);
/// ```
#[derive(Clone)]
pub struct Threads {
    /// Counted by handles only: its drop sends the threads home.
    open: Arc<Open>,
}

struct Open(Arc<Pool>);

struct Pool {
    state: Mutex<State>,
    work: Condvar,
    max: usize,
    keep_alive: Duration,
}

#[derive(Default)]
struct State {
    /// Jobs that a thread is on its way to: never more than there are threads free.
    queue: VecDeque<Job>,
    alive: usize,
    /// Threads running a job. The others look at the queue before they sleep, leave, or again once they wake.
    busy: usize,
    closed: bool,
}

impl Threads {
    /// At most `max` threads, each leaving after 10 seconds without work.
    ///
    /// # Panics
    ///
    /// If `max` is 0.
    #[track_caller]
    pub fn new(max: usize) -> Self {
        Self::with_keep_alive(max, Duration::from_secs(10))
    }

    /// At most `max` threads, each leaving after `keep_alive` without work.
    ///
    /// # Panics
    ///
    /// If `max` is 0.
    #[track_caller]
    pub fn with_keep_alive(max: usize, keep_alive: Duration) -> Self {
        assert!(max > 0, "threads for hedged calls must be at least 1, got 0");
        let pool = Pool { state: Mutex::new(State::default()), work: Condvar::new(), max, keep_alive };
        Self { open: Arc::new(Open(Arc::new(pool))) }
    }

    /// Runs `job` on one of the threads, or drops it at once if all are busy and no other may, or can, be started.
    /// Never blocks.
    pub fn execute(&self, job: Job) {
        let pool = &self.open.0;
        let mut state = pool.state.lock();
        if state.queue.len() + state.busy < state.alive {
            state.queue.push_back(job);
            pool.work.notify_one();
        } else if state.alive < pool.max {
            state.alive += 1;
            state.queue.push_back(job);
            drop(state);
            sync::test_delay();
            let worker = Arc::clone(pool);
            if sync::spawn_named("hedge".to_owned(), move || worker.work()).is_err() {
                pool.thread_is_missing();
            }
        } else {
            drop(state);
            drop(job);
        }
    }

    /// How many threads there are, busy or idle.
    pub fn alive(&self) -> usize {
        self.open.0.state.lock().alive
    }
}

impl Pool {
    /// The life of one thread.
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.busy += 1;
                drop(state);
                job.run();
                sync::test_delay();
                state = self.state.lock();
                state.busy -= 1;
                continue;
            }
            let idle_too_long = state.closed || sync::wait_until(&self.work, &mut state, sync::after(self.keep_alive));
            if idle_too_long && state.queue.is_empty() {
                state.alive -= 1;
                return;
            }
        }
    }

    /// A thread that was counted on could not be started: gives one job back, unless another thread took it.
    fn thread_is_missing(&self) {
        let mut state = self.state.lock();
        state.alive -= 1;
        // Only if there are now more jobs than threads free to take them.
        let surplus = state.queue.len() + state.busy > state.alive;
        let job = if surplus { state.queue.pop_back() } else { None };
        drop(state);
        drop(job);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.work.notify_all();
    }
}

// What runs on them is caught there.
impl UnwindSafe for Threads {}
impl RefUnwindSafe for Threads {}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = &self.open.0;
        f.debug_struct("Threads").field("max", &pool.max).field("alive", &self.alive()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::super::job::Work;
    use super::*;
    use std::sync::mpsc;

    struct Told(mpsc::Sender<&'static str>);

    impl Work for Told {
        fn run(self: Box<Self>) {
            self.0.send("run").unwrap();
        }
        fn refuse(self: Box<Self>) {
            self.0.send("refused").unwrap();
        }
    }

    /// As `execute` leaves it when the system has no thread to give.
    #[test]
    fn a_thread_that_could_not_be_started_gives_its_job_back() {
        let (tx, rx) = mpsc::channel();
        let threads = Threads::new(2);
        let pool = &threads.open.0;
        {
            let mut state = pool.state.lock();
            state.alive = 1;
            state.queue.push_back(Job::new(Told(tx.clone())));
        }
        pool.thread_is_missing();
        assert_eq!(rx.try_recv(), Ok("refused"));
        assert_eq!(threads.alive(), 0);

        // With another thread on its way to the queue the job is that one's.
        {
            let mut state = pool.state.lock();
            state.alive = 2;
            state.queue.push_back(Job::new(Told(tx)));
        }
        pool.thread_is_missing();
        assert!(rx.try_recv().is_err());
        assert_eq!(threads.alive(), 1);
    }
}
