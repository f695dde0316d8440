//! The one crew: a bounded set of threads that come when there is work and leave when there is none.
//!
//! A [`Roster`] has the jobs, and counts the threads. It does not know how a thread is started: the threads of an error
//! group borrow, and must be started in its scope. A [`Crew`] is a roster with threads of its own.
//!
//! Invariant: every queued job has a thread that will take it. A job is queued only if a thread is free, or is started for
//! it, or (in a crew that queues) will be free. A free thread looks at the queue, under the same lock, before it sleeps and
//! before it leaves.

use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sync::{self, Arc, Condvar, Duration, JoinHandle, Mutex, current_thread};
use std::collections::VecDeque;

/// The work of a [`Crew`].
pub(crate) trait Run: Send + 'static {
    /// Does not unwind: panics of user code are caught inside.
    fn run(self);
}

impl Run for Box<dyn FnOnce() + Send> {
    fn run(self) {
        self();
    }
}

/// Jobs, and the threads that take them.
pub(crate) struct Roster<J> {
    state: Mutex<State<J>>,
    /// `State::alive`, to be read without the lock.
    alive: AtomicUsize,
    max: usize,
    keep_alive: Option<Duration>,
    /// Whether a job may wait for a thread that is busy.
    queues: bool,
}

struct State<J> {
    /// Jobs that a thread is on its way to: never more than there are threads free.
    queue: VecDeque<J>,
    alive: usize,
    /// Threads running a job. The others look at the queue before they sleep, leave, or again once they wake.
    busy: usize,
    /// Those asleep, the last to fall asleep at the end: it is woken first, so that the others get to leave.
    idle: Vec<Arc<Condvar>>,
    closed: bool,
}

impl<J> Roster<J> {
    /// For `max` threads, each of which leaves when it has found nothing to do for so long; `None`: when all close.
    pub(crate) fn new(max: usize, keep_alive: Option<Duration>) -> Self {
        let state = State { queue: VecDeque::new(), alive: 0, busy: 0, idle: Vec::new(), closed: false };
        Self { state: Mutex::new(state), alive: AtomicUsize::new(0), max, keep_alive, queues: false }
    }

    /// The same, with jobs that may wait for a thread that is busy. Their number is for the caller to bound.
    fn queueing(max: usize, keep_alive: Duration) -> Self {
        Self { queues: true, ..Self::new(max, Some(keep_alive)) }
    }

    /// Gives `job` to a thread that is free, or to one that `hire` starts, which must call [`work`](Self::work).
    /// Never waits for a thread.
    ///
    /// `Err`: no thread has it. All are busy and there may be no more, or the roster is closed, or `hire` failed.
    /// Where two calls come at once and `hire` fails for one of them, that one may be given the other's job back.
    pub(crate) fn execute<T, E>(&self, job: J, hire: impl FnOnce() -> Result<T, E>) -> Result<(), J> {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return Err(job);
        }
        if state.queue.len() + state.busy < state.alive {
            state.queue.push_back(job);
            if let Some(idle) = state.idle.pop() {
                idle.notify_one();
            }
            return Ok(());
        }
        if state.alive == self.max && self.queues {
            state.queue.push_back(job);
            return Ok(());
        }
        if state.alive == self.max {
            drop(state);
            return Err(job);
        }
        state.alive += 1;
        self.alive.store(state.alive, Relaxed);
        state.queue.push_back(job);
        drop(state);
        sync::test_delay();
        match hire() {
            Ok(_) => Ok(()),
            Err(_) => self.thread_is_missing().map_or(Ok(()), Err),
        }
    }

    /// A thread that was counted on could not be started: the job that nobody is there for now, unless one of the
    /// others has become free for it.
    fn thread_is_missing(&self) -> Option<J> {
        let mut state = self.state.lock();
        state.alive -= 1;
        self.alive.store(state.alive, Relaxed);
        let surplus = state.queue.len() + state.busy > state.alive;
        let waits = self.queues && state.alive > 0;
        if surplus && !waits { state.queue.pop_back() } else { None }
    }

    /// The life of one thread: job after job, until it has been idle for too long or the roster is closed and there
    /// is nothing left to do.
    ///
    /// `take` is called as a job leaves the queue, under the roster's lock: in the order of the jobs. Its answer goes
    /// to `run` with the job. `freed` is called after each job, once this thread counts as free again.
    pub(crate) fn work<T>(&self, take: impl Fn() -> T, run: impl Fn(J, T), freed: impl Fn()) {
        let bell = Arc::new(Condvar::new());
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.busy += 1;
                let taken = take();
                drop(state);
                run(job, taken);
                sync::test_delay();
                self.state.lock().busy -= 1;
                freed();
                state = self.state.lock();
                continue;
            }
            let mut leaves = state.closed;
            if !leaves {
                state.idle.push(bell.clone());
                leaves = sync::wait_until(&bell, &mut state, self.keep_alive.and_then(sync::after));
                if let Some(place) = state.idle.iter().rposition(|idle| Arc::ptr_eq(idle, &bell)) {
                    state.idle.remove(place);
                }
            }
            if leaves && state.queue.is_empty() {
                state.alive -= 1;
                self.alive.store(state.alive, Relaxed);
                return;
            }
        }
    }

    /// Takes no further jobs. Idle threads leave at once, the others when the queue is empty.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        for idle in std::mem::take(&mut state.idle) {
            idle.notify_one();
        }
    }

    /// How many threads there are, busy or idle.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Relaxed)
    }
}

/// A roster's own threads. Dropping it closes it; it does not wait for them.
pub(crate) struct Crew<J: Run> {
    members: Arc<Members<J>>,
}

struct Members<J> {
    roster: Roster<J>,
    handles: Mutex<Handles>,
    /// A thread's name, by its number: the lowest that is free, from 1.
    name: Box<dyn Fn(usize) -> String + Send + Sync>,
    hire: Hire,
}

#[derive(Default)]
struct Handles {
    /// By number.
    of: Vec<Option<JoinHandle<()>>>,
    /// The last that left on its own account. Each joins the one before it: at most one waits to be joined.
    left: Option<JoinHandle<()>>,
}

/// Starts a thread of this name.
pub(crate) type Hire = fn(String, Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>;

pub(crate) const HIRE: Hire = |name, body| sync::spawn_named(name, body);

impl<J: Run> Crew<J> {
    /// At most `max` threads, each of which leaves when it has had nothing to do for `keep_alive`.
    pub(crate) fn new(
        max: usize,
        keep_alive: Duration,
        name: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::hired_by(HIRE, max, keep_alive, name)
    }

    /// The same, with another way to start a thread: tests know a system that has none to give.
    pub(crate) fn hired_by(
        hire: Hire,
        max: usize,
        keep_alive: Duration,
        name: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::of(Roster::new(max, Some(keep_alive)), hire, name)
    }

    /// The same, with jobs that wait for a thread where all are busy. Their number is for the caller to bound.
    pub(crate) fn queueing(
        hire: Hire,
        max: usize,
        keep_alive: Duration,
        name: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::of(Roster::queueing(max, keep_alive), hire, name)
    }

    fn of(roster: Roster<J>, hire: Hire, name: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        let members = Members { roster, handles: Mutex::new(Handles::default()), name: Box::new(name), hire };
        Self { members: Arc::new(members) }
    }

    /// Runs `job` on one of the threads. Never waits for one.
    ///
    /// `Err`: all are busy and there may be no more, or the system has no thread to give, or the crew is closed.
    pub(crate) fn execute(&self, job: J) -> Result<(), J> {
        self.members.roster.execute(job, || self.members.hire())
    }

    /// How many threads there are, busy or idle.
    pub(crate) fn alive(&self) -> usize {
        self.members.roster.alive()
    }

    /// Takes no further jobs. Idle threads leave at once, busy ones when all that was accepted is done.
    pub(crate) fn close(&self) {
        self.members.roster.close();
    }

    /// After [`close`](Self::close): waits until all threads have ended, without the calling one.
    pub(crate) fn join(&self) {
        let Handles { of, left } = std::mem::take(&mut *self.members.handles.lock());
        for handle in of.into_iter().flatten().chain(left) {
            if handle.thread().id() != current_thread().id() {
                let _ = handle.join();
            }
        }
    }
}

impl<J: Run> Members<J> {
    fn hire(self: &Arc<Self>) -> std::io::Result<()> {
        // Held while the thread is started: it can only leave when its handle is here.
        let mut handles = self.handles.lock();
        let place = handles.of.iter().position(Option::is_none).unwrap_or(handles.of.len());
        let members = self.clone();
        let body = move || {
            members.roster.work(|| (), |job, ()| job.run(), || ());
            members.leave(place);
        };
        let handle = (self.hire)((self.name)(place + 1), Box::new(body))?;
        match handles.of.get_mut(place) {
            Some(free) => *free = Some(handle),
            None => handles.of.push(Some(handle)),
        }
        Ok(())
    }

    fn leave(&self, place: usize) {
        let mut handles = self.handles.lock();
        let Some(mine) = handles.of.get_mut(place).and_then(Option::take) else { return };
        if handles.of.iter().all(Option::is_none) {
            handles.of = Vec::new();
        }
        let before = handles.left.replace(mine);
        drop(handles);
        if let Some(before) = before {
            let _ = before.join(); // it has left: it is at most a few instructions from its end
        }
    }
}

impl<J: Run> Drop for Crew<J> {
    fn drop(&mut self) {
        self.close();
    }
}

/// The default executor of a group: a thread for each job that finds no idle one, so that no job waits for another.
/// The threads are named `flight <name>`, leave after five idle seconds, and at once when the group is gone.
///
/// A job for which the system has no thread is dropped, which abandons its flight.
pub(crate) fn flights<J: Run>(name: Option<&str>) -> Crew<J> {
    const KEEP_ALIVE: Duration = Duration::from_secs(5);
    // std panics at a thread's name with a NUL in it; a group's may have one.
    let name = format!("flight {}", name.unwrap_or("(unnamed group)")).replace('\0', " ");
    Crew::new(usize::MAX, KEEP_ALIVE, move |_| name.clone())
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
#[path = "threads/tests.rs"]
mod tests;
