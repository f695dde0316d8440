//! The threads of one group and what they have still to do.
//!
//! One lock guards all of it. A task is *admitted* when a place under the limit is free: it then counts as running,
//! waits in `queue` for a moment, and a thread, an idle one or a new one, takes it from there. The queue is thus
//! never longer than the limit, and a thread that could not be started loses nothing. No lock is held while a
//! task, an error or a payload of the user's is run, printed or dropped.

use super::NotSpawned;
use crate::cancel::CancelToken;
use crate::engine::panics::{Payload, caught, describe, drop_quietly};
use crate::sync::{Condvar, Mutex, MutexGuard, test_delay};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;

pub(super) type Task<'scope, E> = Box<dyn FnOnce(&CancelToken) -> Result<(), E> + Send + 'scope>;

pub(super) struct Crew<'scope, E> {
    state: Mutex<State<'scope, E>>,
    /// A task was queued, or the crew is closed: for idle threads.
    work: Condvar,
    /// A place is free, or the group failed: for callers blocked in `admit` and `wait`.
    changed: Condvar,
    token: CancelToken,
    limit: usize,
    keep_going: bool,
    keep_all: bool,
}

struct State<'scope, E> {
    queue: VecDeque<Task<'scope, E>>,
    /// Tasks admitted and not yet ended, queued ones included.
    running: usize,
    threads: usize,
    /// Threads running a task. The others look at the queue before they sleep, or again once they wake.
    busy: usize,
    /// Callers asleep on `changed`.
    blocked: usize,
    failed: bool,
    closed: bool,
    verdict: Verdict<E>,
}

/// What became of the tasks.
pub(super) struct Verdict<E> {
    /// The first error, or all of them.
    pub(super) errors: Vec<E>,
    pub(super) panic: Option<Payload>,
    pub(super) skipped: usize,
}

/// What is to be done with a task that was offered.
pub(super) enum Admission<F> {
    Queued,
    NeedsThread,
    RunHere(F),
    Skipped(F),
}

/// How a task that had its turn ended.
enum Ended<E> {
    Done,
    /// With the message, for whoever is told to stop.
    Failed(E, String),
    Panicked(Payload),
}

crate::sync::per_thread! {
    /// The crew whose task this thread is running, by address: a crew outlives its tasks. 0: none.
    static TASK_OF: Cell<usize> = Cell::new(0);
}

impl<'scope, E: fmt::Display + Send + 'scope> Crew<'scope, E> {
    /// Blocks until `task` has a place, or will never have one.
    pub(super) fn admit<F>(&self, task: F) -> Admission<F>
    where
        F: FnOnce(&CancelToken) -> Result<(), E> + Send + 'scope,
    {
        let mut state = self.state.lock();
        loop {
            if state.failed {
                state.verdict.skipped += 1;
                return Admission::Skipped(task);
            }
            if state.running < self.limit {
                return if self.enqueue(&mut state, Box::new(task)) {
                    Admission::NeedsThread
                } else {
                    Admission::Queued
                };
            }
            // The place it would wait for may be its own.
            if self.is_own_task() {
                return Admission::RunHere(task);
            }
            self.sleep(&mut state);
        }
    }

    /// As `admit`, but gives the task back instead of blocking. Whether a thread must be started for it.
    pub(super) fn try_admit<F>(&self, task: F) -> Result<bool, NotSpawned<F>>
    where
        F: FnOnce(&CancelToken) -> Result<(), E> + Send + 'scope,
    {
        let mut state = self.state.lock();
        if state.failed {
            Err(NotSpawned::Failed(task))
        } else if state.running >= self.limit {
            Err(NotSpawned::Full(task))
        } else {
            Ok(self.enqueue(&mut state, Box::new(task)))
        }
    }

    /// Whether a thread must be started, since none is free to take what was queued.
    fn enqueue(&self, state: &mut State<'scope, E>, task: Task<'scope, E>) -> bool {
        state.running += 1;
        state.queue.push_back(task);
        // Threads never outnumber the tasks that have places, and those the limit.
        let uncovered = state.queue.len() > state.threads - state.busy;
        if uncovered {
            state.threads += 1;
        } else {
            self.work.notify_one();
        }
        uncovered
    }

    /// The life of one thread: task after task, until the crew is closed.
    pub(super) fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(task) = state.queue.pop_front() {
                state.busy += 1;
                self.turn(state, task);
                state = self.state.lock();
                // With the next look at the queue, so that nobody starts a thread in place of this one.
                state.busy -= 1;
                self.free_place(&mut state);
            } else if state.closed {
                return;
            } else {
                self.work.wait(&mut state);
            }
        }
    }

    /// Runs `task`, which has no place of its own, in the place of the task that spawned it.
    pub(super) fn run_here(&self, task: impl FnOnce(&CancelToken) -> Result<(), E> + Send + 'scope) {
        let state = self.state.lock();
        self.turn(state, Box::new(task));
    }

    /// A thread that was asked for could not be started: runs one queued task on the caller's, if the others have
    /// left one.
    pub(super) fn thread_is_missing(&self) {
        let mut state = self.state.lock();
        state.threads -= 1;
        if let Some(task) = state.queue.pop_back() {
            self.turn(state, task);
            self.free_place(&mut self.state.lock());
        }
    }

    /// A task's turn: it is run, or dropped unrun in a group that has failed. Its place must be given up after it:
    /// once nothing runs the scope may end, and a failure must be known by then.
    fn turn(&self, mut state: MutexGuard<'_, State<'scope, E>>, task: Task<'scope, E>) {
        let skip = state.failed;
        state.verdict.skipped += usize::from(skip);
        drop(state);
        test_delay();

        let ended =
            if skip { caught(|| drop(task)).map_or_else(Ended::Panicked, |()| Ended::Done) } else { self.run(task) };
        match ended {
            Ended::Done => {}
            Ended::Failed(error, message) => self.failed(error, message),
            Ended::Panicked(payload) => self.panicked(payload),
        }
    }

    fn free_place(&self, state: &mut State<'scope, E>) {
        state.running -= 1;
        if state.blocked > 0 {
            self.changed.notify_all();
        }
    }

    fn run(&self, task: Task<'scope, E>) -> Ended<E> {
        let outer = TASK_OF.with(|of| of.replace(self.address()));
        let ended = caught(|| match task(&self.token) {
            Ok(()) => Ended::Done,
            Err(error) => {
                let message = error.to_string();
                Ended::Failed(error, message)
            }
        });
        TASK_OF.with(|of| of.set(outer));
        ended.unwrap_or_else(Ended::Panicked)
    }

    fn failed(&self, error: E, message: String) {
        let mut state = self.state.lock();
        let first = state.verdict.errors.is_empty();
        let unwanted = if first || self.keep_all {
            state.verdict.errors.push(error);
            None
        } else {
            Some(error)
        };
        let stops = !self.keep_going && self.fail(&mut state);
        drop(state);
        test_delay();
        drop_quietly(unwanted);
        if stops {
            self.token.cancel(message);
        }
    }

    /// Blocks until nothing runs: whether the group is well.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.running > 0 {
            self.sleep(&mut state);
        }
        !state.failed && state.verdict.errors.is_empty()
    }

    /// Blocks until nothing runs, and sends the threads home.
    pub(super) fn close(&self) -> Verdict<E> {
        self.wait();
        self.token.cancel("the scope of the error group has ended");
        let mut state = self.state.lock();
        state.closed = true;
        self.work.notify_all();
        std::mem::take(&mut state.verdict)
    }
}

impl<'scope, E> Crew<'scope, E> {
    pub(super) fn new(token: CancelToken, limit: usize, keep_going: bool, keep_all: bool) -> Self {
        let state = State {
            queue: VecDeque::new(),
            running: 0,
            threads: 0,
            busy: 0,
            blocked: 0,
            failed: false,
            closed: false,
            verdict: Verdict::default(),
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            changed: Condvar::new(),
            token,
            limit,
            keep_going,
            keep_all,
        }
    }

    pub(super) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(super) fn skipped(&self) -> usize {
        self.state.lock().verdict.skipped
    }

    /// Whether the calling thread is running one of this crew's tasks.
    pub(super) fn is_own_task(&self) -> bool {
        TASK_OF.with(Cell::get) == self.address()
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Notes a panic of a task, or of the scope's closure.
    pub(super) fn panicked(&self, payload: Payload) {
        let message = describe(&payload).to_string();
        let mut state = self.state.lock();
        let unwanted = if state.verdict.panic.is_none() {
            state.verdict.panic = Some(payload);
            None
        } else {
            Some(payload)
        };
        let stops = self.fail(&mut state);
        drop(state);
        drop_quietly(unwanted);
        if stops {
            self.token.cancel(message);
        }
    }

    /// Whether this is the failure that stops the group, so that the token's cause is the first error's.
    fn fail(&self, state: &mut State<'scope, E>) -> bool {
        let first = !std::mem::replace(&mut state.failed, true);
        if first && state.blocked > 0 {
            self.changed.notify_all();
        }
        first
    }

    fn sleep(&self, state: &mut MutexGuard<'_, State<'scope, E>>) {
        state.blocked += 1;
        self.changed.wait(state);
        state.blocked -= 1;
    }
}

impl<E> Default for Verdict<E> {
    fn default() -> Self {
        Self { errors: Vec::new(), panic: None, skipped: 0 }
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// As `spawn` goes on when the system has no thread to give.
    #[test]
    fn a_task_whose_thread_could_not_be_started_runs_on_the_callers() {
        let ran = AtomicUsize::new(0);
        let crew: Crew<'_, String> = Crew::new(CancelToken::new(), 1, false, false);
        for i in 1..=3 {
            let admission = crew.admit(|_| {
                ran.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            assert!(admission.needs_thread());
            crew.thread_is_missing();
            assert_eq!(ran.load(Ordering::SeqCst), i);
            assert!(crew.wait(), "its place is free again");
        }
        assert!(crew.admit(|_| Err("no".to_owned())).needs_thread());
        crew.thread_is_missing();
        assert!(!crew.wait());
        assert_eq!(crew.close().errors, ["no"]);
    }

    impl<F> Admission<F> {
        fn needs_thread(&self) -> bool {
            matches!(self, Self::NeedsThread)
        }
    }
}
