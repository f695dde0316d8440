//! The threads that attempts are made on.

use crate::hedge::job::Job;
use crate::sync::{Arc, Duration};
use crate::threads::{Crew, Run};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Threads for hedged calls. They are started when they are needed, never more than a bound, used again, and leave
/// when they have been idle for a while.
///
/// Cloning gives another handle to the same threads. When the last handle is dropped, idle threads leave at once and
/// busy ones after their attempt. The drop does not wait for them, because it may happen on one of them.
///
/// A full set queues nothing: it refuses, and the hedge copes (see [`Job`]). So hedged calls inside hedged calls
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
    crew: Arc<Crew<Job>>,
    max: usize,
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
        Self { crew: Arc::new(Crew::new(max, keep_alive, |_| "hedge".to_owned())), max }
    }

    /// Runs `job` on one of the threads, or drops it at once if all are busy and no other may, or can, be started.
    /// Never blocks.
    pub fn execute(&self, job: Job) {
        drop(self.crew.execute(job)); // a job that comes back is refused by being dropped
    }

    /// How many threads there are, busy or idle.
    pub fn alive(&self) -> usize {
        self.crew.alive()
    }
}

impl Run for Job {
    fn run(self) {
        Job::run(self);
    }
}

// What runs on them is caught there.
impl UnwindSafe for Threads {}
impl RefUnwindSafe for Threads {}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("max", &self.max).field("alive", &self.alive()).finish_non_exhaustive()
    }
}
