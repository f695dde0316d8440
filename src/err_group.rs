//! Tasks on scoped threads that fail together.

mod errors;
mod tasks;

pub use errors::{Errors, NotSpawned};

use crate::cancel::CancelToken;
use crate::engine::deadlock::Scope;
use crate::engine::panics::{caught, drop_quietly, resume_unwind};
use crate::sync::{self, Arc};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use tasks::{Admission, Task, Tasks, Verdict};

/// Tasks on scoped threads that fail together: the first error is returned, the others are told to stop.
///
/// [`ErrGroup::scope`] gives a group to its closure, waits until all tasks that were [spawned](Self::spawn) on it have
/// ended, and returns the closure's value, or the first error. Tasks may borrow everything that outlives the scope, as
/// with [`std::thread::scope`]. When a task has failed
///
/// - the [`CancelToken`] of all tasks is cancelled, with the error's text as its cause;
/// - tasks that have not started are skipped, and counted ([`skipped`](Self::skipped));
/// - a `spawn` that blocks for a free place returns at once.
///
/// A task that panics counts as failed. When all tasks have ended, the panic goes on with **its own payload**.
/// (`std::thread::scope` replaces it with `"a scoped thread panicked"`.)
///
/// Threads are started as tasks need them, no more than [`limit`](ErrGroupBuilder::limit), and take one task after
/// the other: a thousand tasks with a limit of 8 are 8 threads. All have been joined when `scope` returns.
///
/// The shape is that of Go's `golang.org/x/sync/errgroup` (first error, limit, `TryGo`) with what
/// `sourcegraph/conc` added (panics come back, all errors on request).
///
/// # Examples
///
/// ```
/// use flight_group::{CancelToken, ErrGroup};
///
/// fn count(shard: &[u64], token: &CancelToken) -> Result<u64, String> {
///     let mut sum = 0;
///     for row in shard {
///         token.check().map_err(|cancelled| cancelled.to_string())?;
///         sum += row.checked_mul(2).ok_or(format!("row {row} is too large"))?;
///     }
///     Ok(sum)
/// }
///
/// // Every task writes to its own slot, borrowed from this frame.
/// let shards = vec![vec![1, 2], vec![3], vec![4, 5, 6]];
/// let mut sums = vec![0; shards.len()];
/// let done: Result<(), String> = ErrGroup::scope(|g| {
///     for (sum, shard) in sums.iter_mut().zip(&shards) {
///         g.spawn(move |token| {
///             *sum = count(shard, token)?;
///             Ok(())
///         });
///     }
/// });
/// assert_eq!(done, Ok(()));
/// assert_eq!(sums, [6, 6, 30]);
///
/// // The first error is returned, and the closure's own value is dropped.
/// let failed: Result<u32, String> = ErrGroup::scope(|g| {
///     g.spawn(|token| count(&[u64::MAX], token).map(drop));
///     g.spawn(|token| {
///         let why = token.wait(); // the other task's failure cancels the token
///         assert_eq!(why.cause().to_string(), format!("row {} is too large", u64::MAX));
///         Ok(())
///     });
///     7
/// });
/// assert_eq!(failed.unwrap_err(), format!("row {} is too large", u64::MAX));
/// ```
///
/// A panic, with its payload:
///
/// ```
/// use flight_group::ErrGroup;
/// use std::panic::catch_unwind;
///
/// let payload = catch_unwind(|| {
///     ErrGroup::scope(|g| {
///         g.spawn(|_| -> Result<(), String> { std::panic::panic_any(42_u8) });
///     })
/// });
/// assert_eq!(*payload.unwrap_err().downcast::<u8>().unwrap(), 42);
/// ```
///
/// # Deadlocks
///
/// The thread that opened the scope cannot leave it without its tasks. A task that calls a group for a flight which
/// that thread leads, and led before it opened the scope, is therefore told
/// [`Error::Deadlock`](crate::Error::Deadlock) at once. A flight that it leads inside the scope can be waited for.
///
/// ```
/// use flight_group::{ErrGroup, Group};
///
/// let group: Group<u32, u32> = Group::new();
/// group.work(&1, || {
///     let outcome = ErrGroup::scope(|g| {
///         g.spawn(|_| group.try_work(&1, || Ok(0)).map(drop));
///     });
///     assert!(outcome.unwrap_err().is_deadlock());
///     7
/// });
/// ```
///
/// # Limits
///
/// Nothing interrupts a task that does not look at its token: the scope waits for it. A task that waits by other
/// means (a channel, a mutex) for something that only the scope's closure, or a task not yet started, could do waits
/// for ever; no check sees that.
pub struct ErrGroup<'scope, 'env, E> {
    threads: &'scope sync::Scope<'scope, 'env>,
    tasks: Arc<Tasks<'scope, E>>,
}

impl<E> ErrGroup<'static, 'static, E> {
    /// Runs `body` with a group without a limit, blocks until all its tasks have ended, and returns what `body`
    /// returned.
    ///
    /// `E` needs `Display` for the cause that the other tasks see.
    ///
    /// If the tasks only return `Ok`, name the error where the result is: `let done: Result<_, Infallible> = ..`. See
    /// [work that cannot fail](crate::docs::types#work-that-cannot-fail).
    ///
    /// # Errors
    ///
    /// The error of the task that failed first.
    ///
    /// # Panics
    ///
    /// With the payload of the first task that panicked, or of `body` if that was earlier, after all tasks have
    /// ended; an error that was there before is dropped then.
    pub fn scope<'env, R>(body: impl for<'scope> FnOnce(&ErrGroup<'scope, 'env, E>) -> R) -> Result<R, E>
    where
        E: fmt::Display + Send + 'env,
    {
        ErrGroupBuilder::default().scope(body)
    }
}

impl ErrGroup<'static, 'static, ()> {
    /// Configures a group: a limit, a parent token, what a failure does, which errors are returned.
    ///
    /// ```
    /// use flight_group::{CancelToken, ErrGroup};
    ///
    /// let request = CancelToken::new();
    /// let outcome = ErrGroup::builder()
    ///     .limit(4)         // no more than four tasks at a time
    ///     .parent(&request) // cancelled with the request it works for
    ///     .scope(|g| {
    ///         for i in 0..100 {
    ///             // Blocks while four tasks run. Returns `false` when one has failed.
    ///             let task = move |_: &CancelToken| match i {
    ///                 20 => Err(format!("task {i} failed")),
    ///                 _ => Ok(()),
    ///             };
    ///             if !g.spawn(task) {
    ///                 break;
    ///             }
    ///         }
    ///     });
    /// assert_eq!(outcome, Err("task 20 failed".to_owned()));
    /// ```
    pub fn builder() -> ErrGroupBuilder {
        ErrGroupBuilder::default()
    }
}

impl<'scope, 'env, E: fmt::Display + Send + 'scope> ErrGroup<'scope, 'env, E> {
    /// Runs `task` on one of the group's threads, and returns whether it was admitted.
    ///
    /// Blocks while as many tasks as the [limit](ErrGroupBuilder::limit) allows are running, until one ends or the
    /// group fails. Without a limit it does not block.
    ///
    /// `true`: the task runs, has run, or will run, unless the group fails before its turn. `false`: the group has
    /// failed. Either way a task that does not run is dropped, and counted as [skipped](Self::skipped).
    ///
    /// Sometimes the task runs on the calling thread, before `spawn` returns:
    ///
    /// * One of the group's own tasks calls while the group is full. Waiting for a place could be for ever, because
    ///   the place may be its own. The new task runs in the place of the calling one. If 16 tasks stand on this
    ///   thread's stack already, each in the place of the one before it, it is put off until the last of them has
    ///   returned. So a chain of tasks, each of which spawns the next, may be of any length.
    /// * The system has no thread to give. The same bound counts.
    /// * All places are held by tasks that wait, through this crate's calls, for the calling thread. The task then
    ///   runs in one place more than the limit allows.
    ///
    /// So a task must not wait by other means, say a channel, for one that it has spawned into a full group.
    ///
    /// A cancel by the [parent](ErrGroupBuilder::parent), or through [`token`](Self::token), skips no task. Tasks start, see
    /// the cancel, and return an error if they did not do their work. So if a scope returns `Ok`, every task has run.
    ///
    /// ```
    /// use flight_group::ErrGroup;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// // A tree, walked by tasks that spawn tasks: the group can be cloned into them.
    /// fn walk<'scope>(g: &ErrGroup<'scope, '_, String>, depth: u32, leaves: &'scope AtomicU32) {
    ///     if depth == 0 {
    ///         leaves.fetch_add(1, Ordering::Relaxed);
    ///         return;
    ///     }
    ///     for _ in 0..2 {
    ///         let g2 = g.clone();
    ///         g.spawn(move |_| Ok(walk(&g2, depth - 1, leaves)));
    ///     }
    /// }
    ///
    /// let leaves = AtomicU32::new(0);
    /// ErrGroup::builder().limit(3).scope(|g| walk(g, 6, &leaves)).unwrap();
    /// assert_eq!(leaves.into_inner(), 64);
    /// ```
    #[doc(alias = "Go")]
    pub fn spawn(&self, task: impl FnOnce(&CancelToken) -> Result<(), E> + Send + 'scope) -> bool {
        match self.tasks.admit() {
            Admission::Admitted => self.start(Box::new(task)),
            Admission::RunHere => self.tasks.run_here(Box::new(task)),
            Admission::RunInPlace => self.tasks.run_in_place(Box::new(task)),
            Admission::Skipped => return false,
        }
        true
    }

    /// [`spawn`](Self::spawn) without blocking: gives `task` back if it could not be admitted at once.
    ///
    /// # Errors
    ///
    /// [`NotSpawned::Full`] while as many tasks as the [limit](ErrGroupBuilder::limit) allows are running;
    /// [`NotSpawned::Failed`] once the group has failed. A task given back is the caller's, and not counted as
    /// skipped.
    ///
    /// ```
    /// use flight_group::{ErrGroup, err_group::NotSpawned};
    /// use std::sync::mpsc;
    ///
    /// let (release, held) = mpsc::channel::<()>();
    /// let outcome: Result<(), String> = ErrGroup::builder().limit(1).scope(|g| {
    ///     g.try_spawn(move |_| held.recv().map_err(|e| e.to_string())).map_err(drop).unwrap();
    ///     let refused = g.try_spawn(|_| Ok(())).unwrap_err();
    ///     assert!(matches!(refused, NotSpawned::Full(_)));
    ///     release.send(()).unwrap();
    ///
    ///     g.wait();
    ///     let mut task = refused.into_task(); // the very closure that was refused
    ///     while let Err(refused) = g.try_spawn(task) {
    ///         task = refused.into_task();
    ///     }
    /// });
    /// assert!(outcome.is_ok());
    /// ```
    #[doc(alias = "TryGo")]
    pub fn try_spawn<F>(&self, task: F) -> Result<(), NotSpawned<F>>
    where
        F: FnOnce(&CancelToken) -> Result<(), E> + Send + 'scope,
    {
        self.start(Box::new(self.tasks.try_admit(task)?));
        Ok(())
    }

    /// A thread takes the task: one that is free, or a new one; this one if the system has none to give.
    fn start(&self, task: Task<'scope, E>) {
        let hire = || {
            let tasks = Arc::clone(&self.tasks);
            sync::spawn_scoped(self.threads, "err-group".to_owned(), move || tasks.work())
        };
        if let Err(task) = self.tasks.roster.execute(task, hire) {
            self.tasks.run_here(task);
        }
    }

    /// Blocks until every task admitted so far, and whatever they spawned, has ended: `true` if none has failed.
    ///
    /// The group can be used on, unless it has failed. The scope waits by itself at its end; this is for rounds.
    ///
    /// # Panics
    ///
    /// When called by one of the group's own tasks, which would wait for itself; and with the words of a
    /// [`Deadlock`](crate::Deadlock) when a task waits for a flight that the calling thread leads.
    #[track_caller]
    pub fn wait(&self) -> bool {
        assert!(!self.tasks.is_own_task(), "wait was called by one of the group's own tasks: it would wait for itself");
        match self.tasks.wait() {
            Ok(well) => well,
            Err(deadlock) => panic!("{deadlock}"),
        }
    }
}

impl<E> ErrGroup<'_, '_, E> {
    /// The token the tasks are given: cancelled by the first failure, with the parent, and when the scope ends.
    ///
    /// Its cause is the first error's message, the panic's message (`the work panicked: ..`), the parent's cause,
    /// or `the scope of the error group has ended`.
    pub fn token(&self) -> &CancelToken {
        self.tasks.token()
    }

    /// How many tasks were dropped unrun because another one had failed.
    pub fn skipped(&self) -> usize {
        self.tasks.skipped()
    }
}

// A panic of a task, or of the scope's closure, leaves the group failed, and in order.
impl<E> UnwindSafe for ErrGroup<'_, '_, E> {}
impl<E> RefUnwindSafe for ErrGroup<'_, '_, E> {}

/// Another handle to the same group, to be moved into its tasks.
impl<E> Clone for ErrGroup<'_, '_, E> {
    fn clone(&self) -> Self {
        Self { threads: self.threads, tasks: Arc::clone(&self.tasks) }
    }
}

impl<E> fmt::Debug for ErrGroup<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrGroup").field("token", self.token()).field("skipped", &self.skipped()).finish()
    }
}

/// The settings of an [`ErrGroup`], made by [`ErrGroup::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "settings do nothing until `scope` is called"]
pub struct ErrGroupBuilder {
    limit: Option<usize>,
    parent: Option<CancelToken>,
    keep_going: bool,
}

impl ErrGroupBuilder {
    /// At most `tasks` run at a time, on as many threads; further calls of [`ErrGroup::spawn`] block. Without
    /// this every task gets a thread at once.
    ///
    /// # Panics
    ///
    /// If `tasks` is 0: nothing could ever run.
    #[doc(alias = "SetLimit")]
    #[track_caller]
    pub fn limit(mut self, tasks: usize) -> Self {
        assert!(tasks > 0, "the limit of an error group must be at least 1 task, got 0");
        self.limit = Some(tasks);
        self
    }

    /// The group's token becomes a [child](CancelToken::child) of `token`: cancelled with it, and with its cause.
    pub fn parent(mut self, token: &CancelToken) -> Self {
        self.parent = Some(token.clone());
        self
    }

    /// An error stops nobody: no cancel, nothing skipped, every task runs. (A panic still stops the group.)
    ///
    /// Together with [`all_errors`](Self::all_errors) this is what `sourcegraph/conc`'s pools do by default.
    pub fn keep_going(mut self) -> Self {
        self.keep_going = true;
        self
    }

    /// Asks for every error instead of the first: [`scope`](AllErrors::scope) then fails with [`Errors`].
    pub fn all_errors(self) -> AllErrors {
        AllErrors { settings: self }
    }

    /// Runs `body` with the group; see [`ErrGroup::scope`].
    ///
    /// # Errors
    ///
    /// The error of the task that failed first.
    ///
    /// # Panics
    ///
    /// As [`ErrGroup::scope`].
    pub fn scope<'env, R, E>(self, body: impl for<'scope> FnOnce(&ErrGroup<'scope, 'env, E>) -> R) -> Result<R, E>
    where
        E: fmt::Display + Send + 'env,
    {
        let (returned, mut verdict) = self.run(false, body);
        match verdict.errors.pop() {
            Some(error) => Err(error),
            None => Ok(returned),
        }
    }

    fn run<'env, R, E>(
        self,
        keep_all: bool,
        body: impl for<'scope> FnOnce(&ErrGroup<'scope, 'env, E>) -> R,
    ) -> (R, Verdict<E>)
    where
        E: fmt::Display + Send + 'env,
    {
        let token = self.parent.map_or_else(CancelToken::new, |parent| parent.child());
        let limit = self.limit.unwrap_or(usize::MAX);
        let (returned, mut verdict) = sync::scope(|threads| {
            let tasks = Arc::new(Tasks::new(next_scope(), token, limit, self.keep_going, keep_all));
            let group = ErrGroup { threads, tasks };
            // From here on this thread waits for the tasks, whatever it does first.
            let _scope = Scope::open(&group.tasks.all);
            let returned = caught(|| body(&group)).map_err(|payload| group.tasks.panicked(payload)).ok();
            (returned, group.tasks.close())
        });
        // Only here, after the scope has joined its threads.
        if let Some(payload) = verdict.panic.take() {
            drop_quietly((returned, verdict));
            resume_unwind(payload);
        }
        (returned.expect("a body that returns nothing has panicked"), verdict)
    }
}

/// For reports: never given twice. Not the checkers' atomics, because it has to be unique and nothing else.
fn next_scope() -> u64 {
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
}

/// The settings of an [`ErrGroup`] whose every error is wanted, made by [`ErrGroupBuilder::all_errors`].
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until `scope` is called"]
pub struct AllErrors {
    settings: ErrGroupBuilder,
}

impl AllErrors {
    /// Runs `body` with the group; see [`ErrGroup::scope`].
    ///
    /// # Errors
    ///
    /// All errors that tasks returned, in the order in which they failed, and the number of tasks skipped.
    ///
    /// # Panics
    ///
    /// As [`ErrGroup::scope`].
    ///
    /// ```
    /// use flight_group::ErrGroup;
    ///
    /// let outcome = ErrGroup::builder().keep_going().all_errors().scope(|g| {
    ///     for i in 0..4 {
    ///         g.spawn(move |_| if i % 2 == 0 { Ok(()) } else { Err(format!("shard {i} is down")) });
    ///     }
    /// });
    /// let errors = outcome.unwrap_err();
    /// assert_eq!(errors.iter().count(), 2);
    /// assert_eq!(errors.skipped(), 0, "nobody is skipped when the group keeps going");
    ///
    /// let outcome = ErrGroup::builder().limit(1).all_errors().scope(|g| {
    ///     g.spawn(|_| Err("disk full"));
    ///     g.wait();
    ///     g.spawn(|_| Ok(()));
    /// });
    /// let errors = outcome.unwrap_err();
    /// assert_eq!(errors.to_string(), "1 task failed, 1 skipped: disk full");
    /// assert_eq!(errors.into_vec(), ["disk full"]);
    /// ```
    pub fn scope<'env, R, E>(
        self,
        body: impl for<'scope> FnOnce(&ErrGroup<'scope, 'env, E>) -> R,
    ) -> Result<R, Errors<E>>
    where
        E: fmt::Display + Send + 'env,
    {
        let (returned, verdict) = self.settings.run(true, body);
        match Errors::new(verdict.errors, verdict.skipped) {
            Some(errors) => Err(errors),
            None => Ok(returned),
        }
    }
}
