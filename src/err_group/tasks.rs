//! The tasks of one group: which may run, which run where, and what became of them.
//!
//! A task is *admitted* when a place under the limit is free. It then counts as running, and a thread of the roster
//! takes it. Where there is none, because the system has no thread to give, it runs on the calling thread. A task
//! that one of the group's own tasks spawns into the full group runs in the place of that task, on its thread: at
//! once, or, if too many are on that stack already, when the innermost of them has returned.
//!
//! One lock guards all of it, but for the roster's. No lock is held while a task, an error or a payload of the
//! user's is run, printed or dropped.

use crate::cancel::CancelToken;
use crate::engine::deadlock::{EdgeGuard, Ender, NOBODY, Node, runner, thread_number};
use crate::engine::panics::{Payload, caught, describe, drop_quietly};
use crate::err_group::errors::NotSpawned;
use crate::error::Deadlock;
use crate::site::Kind;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, test_delay};
use crate::threads::Roster;
use std::collections::BTreeMap;
use std::fmt;

pub(super) type Task<'scope, E> = Box<dyn FnOnce(&CancelToken) -> Result<(), E> + Send + 'scope>;

/// How many tasks may stand on one stack, each run in the place of the one before it.
const DEPTH: usize = 16;

pub(super) struct Tasks<'scope, E> {
    state: Mutex<State<'scope, E>>,
    /// A place is free, or the group failed: for callers blocked in `admit` and `wait`.
    changed: Condvar,
    pub(super) roster: Roster<Task<'scope, E>>,
    token: CancelToken,
    limit: usize,
    keep_going: bool,
    keep_all: bool,
    /// Ends when all running tasks have.
    pub(super) all: Arc<Node>,
    /// Ends when any running task has.
    place: Arc<Node>,
}

struct State<'scope, E> {
    /// Tasks admitted and not yet ended, queued ones included.
    running: usize,
    /// The threads that run tasks, by number.
    stacks: BTreeMap<u64, Stack<'scope, E>>,
    /// Callers asleep on `changed`.
    blocked: usize,
    failed: bool,
    verdict: Verdict<E>,
}

/// The tasks on one thread's stack.
struct Stack<'scope, E> {
    depth: usize,
    /// To be run in the place of the innermost, when it has returned; the last first, so that a tree of tasks needs
    /// room for a path and not for a whole generation.
    deferred: Vec<Task<'scope, E>>,
}

/// What became of the tasks.
pub(super) struct Verdict<E> {
    /// The first error, or all of them.
    pub(super) errors: Vec<E>,
    pub(super) panic: Option<Payload>,
    pub(super) skipped: usize,
}

/// What is to be done with a task that was offered.
#[derive(Debug, PartialEq)]
pub(super) enum Admission {
    /// It has a place: a thread is to take it.
    Admitted,
    /// It has a place, and must be run on the calling thread.
    RunHere,
    /// It is to be run in the place of the task that spawned it.
    RunInPlace,
    Skipped,
}

/// How a task that had its turn ended.
enum Ended<E> {
    Done,
    /// With the message, for the tasks that are told to stop.
    Failed(E, String),
}

impl<'scope, E: fmt::Display + Send + 'scope> Tasks<'scope, E> {
    /// Blocks until there is a place for a task, or there will never be one.
    pub(super) fn admit(&self) -> Admission {
        let mut state = self.state.lock();
        loop {
            if state.failed {
                state.verdict.skipped += 1;
                return Admission::Skipped;
            }
            if state.running < self.limit {
                state.running += 1;
                return Admission::Admitted;
            }
            // The place it would wait for may be its own.
            if state.stacks.contains_key(&thread_number()) {
                return Admission::RunInPlace;
            }
            // Or that of a task that waits for this thread: one place more, on this thread, lets all of them go on.
            if self.sleep(&mut state, &self.place).is_err() {
                state.running += 1;
                return Admission::RunHere;
            }
        }
    }

    /// As `admit`, but gives the task back instead of blocking.
    pub(super) fn try_admit<F>(&self, task: F) -> Result<F, NotSpawned<F>> {
        let mut state = self.state.lock();
        if state.failed {
            Err(NotSpawned::Failed(task))
        } else if state.running >= self.limit {
            Err(NotSpawned::Full(task))
        } else {
            state.running += 1;
            Ok(task)
        }
    }

    /// The life of one thread: task after task, until the scope ends.
    pub(super) fn work(&self) {
        self.roster.work(|| self.is_too_late(), |task, too_late| self.run_placed(task, too_late), || self.free_place());
    }

    /// Runs a task that has a place on the calling thread.
    pub(super) fn run_here(&self, task: Task<'scope, E>) {
        let mut state = self.state.lock();
        if state.stacks.get(&thread_number()).is_some_and(|stack| stack.depth >= DEPTH) {
            // It gives its place up, and waits for its turn in the place of the task that spawned it.
            self.leave_place(&mut state);
            drop(state);
            return self.run_in_place(task);
        }
        drop(state);
        self.run_placed(task, self.is_too_late());
        self.free_place();
    }

    /// Runs a task in the place of the one that spawned it, which stands on this thread's stack.
    pub(super) fn run_in_place(&self, task: Task<'scope, E>) {
        let mut state = self.state.lock();
        let stack = state.stacks.get_mut(&thread_number()).expect("one of the group's tasks runs on this thread");
        if stack.depth >= DEPTH {
            return stack.deferred.push(task);
        }
        drop(state);
        self.take_turns(task, self.is_too_late());
    }

    /// Whether a task whose turn it is now is skipped, because the group has failed. In a queue of tasks those in
    /// front are asked first: none is skipped for the failure of one behind it.
    fn is_too_late(&self) -> bool {
        let mut state = self.state.lock();
        state.verdict.skipped += usize::from(state.failed);
        state.failed
    }

    /// Its place must be given up after it: once nothing runs the scope may end, and a failure must be known by then.
    fn run_placed(&self, task: Task<'scope, E>, too_late: bool) {
        let me = Ender::Thread(runner());
        self.all.change(|members| members.push(me.clone()));
        self.place.change(|members| {
            members.push(me);
            self.count_free(members);
        });
        self.take_turns(task, too_late);
        let me = runner();
        self.all.change(|members| remove(members, me));
        self.place.change(|members| {
            remove(members, me);
            self.count_free(members);
        });
    }

    /// A place that is free, or whose task has not begun, is a way on for a thread that waits for a place.
    fn count_free(&self, members: &mut Vec<Ender>) {
        remove(members, NOBODY);
        if members.len() < self.limit {
            members.push(Ender::Thread(NOBODY));
        }
    }

    /// The task's turn, and then that of those that were put off until it has returned.
    fn take_turns(&self, task: Task<'scope, E>, too_late: bool) {
        let me = thread_number();
        self.state.lock().stacks.entry(me).or_default().depth += 1;
        self.take_turn(task, too_late);
        loop {
            let mut state = self.state.lock();
            let stack = state.stacks.get_mut(&me).expect("entered above");
            let Some(task) = stack.deferred.pop() else {
                stack.depth -= 1;
                if stack.depth == 0 {
                    state.stacks.remove(&me);
                }
                return;
            };
            drop(state);
            self.take_turn(task, self.is_too_late());
        }
    }

    fn take_turn(&self, task: Task<'scope, E>, too_late: bool) {
        test_delay();
        // A group that has failed drops it unrun.
        let ended = if too_late { caught(|| drop(task)).map(|()| Ended::Done) } else { self.run(task) };
        match ended {
            Ok(Ended::Done) => {}
            Ok(Ended::Failed(error, message)) => self.failed(error, message),
            Err(payload) => self.panicked(payload),
        }
    }

    fn free_place(&self) {
        self.leave_place(&mut self.state.lock());
    }

    fn leave_place(&self, state: &mut State<'scope, E>) {
        state.running -= 1;
        if state.blocked > 0 {
            self.changed.notify_all();
        }
    }

    fn run(&self, task: Task<'scope, E>) -> Result<Ended<E>, Payload> {
        caught(|| match task(&self.token) {
            Ok(()) => Ended::Done,
            Err(error) => {
                let message = error.to_string();
                Ended::Failed(error, message)
            }
        })
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

    /// Blocks until nothing runs: whether the group is well. Refuses if that would be for ever.
    pub(super) fn wait(&self) -> Result<bool, Deadlock> {
        let mut state = self.state.lock();
        while state.running > 0 {
            self.sleep(&mut state, &self.all)?;
        }
        Ok(!state.failed && state.verdict.errors.is_empty())
    }

    /// Blocks until nothing runs, and sends the threads home.
    ///
    /// It enters no edge: that this thread must wait here is known since the scope was opened.
    pub(super) fn close(&self) -> Verdict<E> {
        let mut state = self.state.lock();
        while state.running > 0 {
            state.blocked += 1;
            self.changed.wait(&mut state);
            state.blocked -= 1;
        }
        drop(state);
        self.token.cancel("the scope of the error group has ended");
        self.roster.close();
        std::mem::take(&mut self.state.lock().verdict)
    }
}

fn remove(members: &mut Vec<Ender>, runner: u64) {
    let place = members.iter().position(|member| matches!(member, Ender::Thread(other) if *other == runner));
    if let Some(place) = place {
        members.swap_remove(place);
    }
}

impl<'scope, E> Tasks<'scope, E> {
    /// `id` is the scope's number.
    pub(super) fn new(id: u64, token: CancelToken, limit: usize, keep_going: bool, keep_all: bool) -> Self {
        let state =
            State { running: 0, stacks: BTreeMap::new(), blocked: 0, failed: false, verdict: Verdict::default() };
        let node = |ender| Node::new(id, Kind::ErrGroup, None, ender);
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            roster: Roster::new(limit, None),
            token,
            limit,
            keep_going,
            keep_all,
            all: node(Ender::All(Vec::new())),
            place: node(Ender::Any(vec![Ender::Thread(NOBODY)])),
        }
    }

    pub(super) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(super) fn skipped(&self) -> usize {
        self.state.lock().verdict.skipped
    }

    /// Whether one of these tasks is on the calling thread's stack.
    pub(super) fn is_own_task(&self) -> bool {
        self.state.lock().stacks.contains_key(&thread_number())
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

    /// Sleeps until something has changed, unless `node` would never end.
    fn sleep(&self, state: &mut MutexGuard<'_, State<'scope, E>>, node: &Arc<Node>) -> Result<(), Deadlock> {
        let _edge = EdgeGuard::begin(node, false)?;
        state.blocked += 1;
        self.changed.wait(state);
        state.blocked -= 1;
        Ok(())
    }
}

impl<E> Default for Stack<'_, E> {
    fn default() -> Self {
        Self { depth: 0, deferred: Vec::new() }
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
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    /// Leaked, because their tasks borrow them.
    fn tasks(limit: usize) -> &'static Tasks<'static, String> {
        Box::leak(Box::new(Tasks::new(1, CancelToken::new(), limit, false, false)))
    }

    /// As `spawn` goes on when the system has no thread to give.
    fn spawn_without_threads(
        tasks: &Tasks<'static, String>,
        task: impl FnOnce(&CancelToken) -> Result<(), String> + Send + 'static,
    ) -> bool {
        match tasks.admit() {
            Admission::Admitted => match tasks.roster.execute(Box::new(task), || Err::<(), ()>(())) {
                Ok(()) => unreachable!("no thread can take it"),
                Err(task) => tasks.run_here(task),
            },
            Admission::RunHere => tasks.run_here(Box::new(task)),
            Admission::RunInPlace => tasks.run_in_place(Box::new(task)),
            Admission::Skipped => return false,
        }
        true
    }

    #[test]
    fn a_task_whose_thread_could_not_be_started_runs_on_the_callers() {
        static RAN: AtomicUsize = AtomicUsize::new(0);
        let tasks = tasks(1);
        for i in 1..=3 {
            assert!(spawn_without_threads(tasks, |_| {
                RAN.fetch_add(1, SeqCst);
                Ok(())
            }));
            assert_eq!(RAN.load(SeqCst), i);
            assert_eq!(tasks.wait(), Ok(true), "its place is free again");
        }
        assert!(spawn_without_threads(tasks, |_| Err("no".to_owned())));
        assert_eq!(tasks.wait(), Ok(false));
        assert!(!spawn_without_threads(tasks, |_| Ok(())));
        let verdict = tasks.close();
        assert_eq!((verdict.errors, verdict.skipped), (vec!["no".to_owned()], 1));
    }

    /// Each spawns the next: however many, with and without a limit, the stack stays as deep as sixteen.
    #[test]
    fn p14_a_chain_without_threads_is_run_at_a_bounded_depth() {
        const LENGTH: usize = if cfg!(miri) { 500 } else { 100_000 };
        struct Chain {
            tasks: &'static Tasks<'static, String>,
            ran: AtomicUsize,
            on_the_stack: AtomicUsize,
            deepest: AtomicUsize,
        }
        fn link(chain: &'static Chain, left: usize) {
            let depth = chain.on_the_stack.fetch_add(1, SeqCst) + 1;
            chain.deepest.fetch_max(depth, SeqCst);
            chain.ran.fetch_add(1, SeqCst);
            if left > 1 {
                assert!(spawn_without_threads(chain.tasks, move |_| {
                    link(chain, left - 1);
                    Ok(())
                }));
            }
            chain.on_the_stack.fetch_sub(1, SeqCst);
        }
        for limit in [1, 7, usize::MAX] {
            let zero = || AtomicUsize::new(0);
            let chain = Chain { tasks: tasks(limit), ran: zero(), on_the_stack: zero(), deepest: zero() };
            let chain: &'static Chain = Box::leak(Box::new(chain));
            assert!(spawn_without_threads(chain.tasks, move |_| {
                link(chain, LENGTH);
                Ok(())
            }));
            assert_eq!(chain.ran.load(SeqCst), LENGTH);
            assert_eq!(chain.deepest.load(SeqCst), DEPTH);
            let state = chain.tasks.state.lock();
            assert!(state.running == 0 && state.stacks.is_empty());
        }
    }

    /// The place it would wait for is held by a task further down on its own stack.
    #[test]
    fn p7_a_task_of_another_group_on_the_stack_is_still_an_own_task() {
        static RAN: AtomicUsize = AtomicUsize::new(0);
        let (outer, inner) = (tasks(1), tasks(1));
        assert!(spawn_without_threads(outer, |_| {
            assert!(spawn_without_threads(inner, |_| {
                assert!(outer.is_own_task() && inner.is_own_task());
                assert!(spawn_without_threads(outer, |_| {
                    RAN.fetch_add(1, SeqCst);
                    Ok(())
                }));
                Ok(())
            }));
            assert!(!inner.is_own_task());
            Ok(())
        }));
        assert_eq!(RAN.load(SeqCst), 1);
        assert_eq!((outer.wait(), inner.wait()), (Ok(true), Ok(true)));
    }

    /// Waiting tasks count as running until they have had their turn, and are skipped like any other.
    #[test]
    fn what_was_put_off_when_the_group_fails_is_skipped_and_counted() {
        fn nest(tasks: &'static Tasks<'static, String>, depth: usize) -> Result<(), String> {
            if depth < DEPTH {
                assert!(spawn_without_threads(tasks, move |_| nest(tasks, depth + 1)));
                return Ok(());
            }
            for _ in 0..5 {
                assert!(spawn_without_threads(tasks, |_| unreachable!("it is skipped")));
            }
            Err("the innermost".to_owned())
        }
        let tasks = tasks(1);
        assert!(spawn_without_threads(tasks, |_| nest(tasks, 1)));
        let verdict = tasks.close();
        assert_eq!((verdict.errors, verdict.skipped), (vec!["the innermost".to_owned()], 5));
    }
}
