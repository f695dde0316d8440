//! Asking a second time when the first answer is late: the first good reply of several attempts.
//!
//! Start with [`Hedge`], or [`first`] where all replicas are to be asked at once.

mod attempt;
mod budget;
mod counters;
mod error;
mod job;
mod latency;
mod race;
mod threads;
mod watch;

pub use attempt::Attempt;
pub use counters::HedgeStats;
pub use error::{HedgeError, InvalidHedge};
pub use job::Job;
pub use threads::Threads;

use crate::cancel::CancelToken;
use crate::engine::options::Config;
use crate::engine::panics::{drop_quietly, resume_unwind};
use crate::observer::Event;
use crate::sync::{Arc, Duration, Mutex};
use budget::Budget;
use counters::Counters;
use latency::Latency;
use race::Plan;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use watch::{Watch, Watched};

/// A call that is made again when it is slow: the first good reply wins, and the caller returns with it at once.
///
/// [`run`](Self::run) makes attempt 0 on a thread of its own. When that has taken [`delay`](Self::delay) without a
/// reply, or as soon as it fails, attempt 1 is started beside it, and so on, [`max`](Self::max) in all. The first
/// `Ok` is the reply; the losers see their [`CancelToken`] cancelled, and what they return is dropped on their own
/// threads, out of the caller's way. Only when every attempt has failed the call does, with all their errors.
///
/// Hedge what is safe to do twice: reads, and writes that are idempotent. An answer that is final though it is an
/// error ("no such row") should be an `Ok` of the attempt's closure, say `Ok(None)`, since an `Err` asks the next
/// replica.
///
/// A `Hedge` is meant to be made once and used for many calls; clones share its budget, its observed times and its
/// counters. The idea is from Dean and Barroso, "The Tail at Scale" (2013): a second request sent after the 95th
/// percentile of latency costs 5 % more requests and takes the tail away.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use flight_group::{Error, Hedge};
///
/// let hedge = Hedge::new()
///     .delay(Duration::from_millis(50))  // attempt 1 starts after 50 ms
///     .max(2)                            // at most two attempts
///     .budget(0.1, 10);                  // extra ones for 10 % of the calls, at most 10 at once
///
/// // Attempt 0 hangs, until it is told that it has lost; attempt 1 replies.
/// let reply = hedge.run(|attempt| match attempt.index() {
///     0 => Err(attempt.token().wait().to_string()),
///     n => Ok(format!("reply of attempt {n}")),
/// });
/// assert_eq!(reply.unwrap(), "reply of attempt 1");
/// assert_eq!(hedge.stats().extra_attempts, 1);
///
/// // A failure starts the next attempt at once. If all attempts fail, the call returns all
/// // errors, in the order of the attempts. A panic is a failed attempt: it never goes on in the
/// // caller.
/// let error = hedge
///     .run(|attempt| -> Result<(), _> {
///         if attempt.index() == 1 {
///             panic!("replica {} is mad", attempt.index());
///         }
///         Err(format!("replica {} is down", attempt.index()))
///     })
///     .unwrap_err();
/// assert_eq!(error.errors()[0], Error::Work("replica 0 is down".to_owned()));
/// assert!(error.errors()[1].is_panicked());
/// assert_eq!(error.errors().len(), 2);
///
/// ```
///
/// # Threads
///
/// The closure outlives the call where an attempt loses, so it is `'static` and every attempt, the first one too,
/// runs on a thread that is not the caller's. These come from one set of at most 256 reused [`Threads`] for the whole
/// process, or from [`threads`](Self::threads) or [`executor`](Self::executor). Where no thread is free the call
/// makes do with the attempts that run; where none runs it makes the attempt on the caller's own thread, unhedged
/// and to its end: slower, but never stuck behind other calls, and not lost.
///
/// # Limits
///
/// Nothing interrupts a loser that does not look at its token: it keeps its thread until it ends.
/// `run` has no deadline of its own; give the attempts one, or use [`run_under`](Self::run_under).
///
/// # Deadlocks
///
/// An attempt that calls a group for a flight which the hedge's caller leads would wait for itself. If no other
/// attempt is left to bring a reply, the one that waits last is told: the attempt, as
/// [`Error::Deadlock`](crate::Error::Deadlock), or the call, as [`HedgeError::Deadlock`]. As long as another attempt
/// is to come, or one that has been handed over has not begun, the call waits: that one may bring the reply.
///
/// ```
/// use flight_group::{Group, Hedge};
///
/// let group: Group<u32, u32> = Group::new();
/// let again = group.clone();
/// let value = group.work(&1, || {
///     // Told is either the attempt, whose error fails the call, or the call.
///     let outcome = Hedge::new().max(1).run(move |_| again.try_work(&1, || Ok(0)));
///     assert!(outcome.is_err());
///     7
/// });
/// assert_eq!(value, 7);
/// ```
#[derive(Clone)]
#[must_use = "a hedge does nothing until `run` is called"]
pub struct Hedge {
    max: usize,
    delay: Duration,
    budget: Option<Arc<Budget>>,
    latency: Option<Arc<Latency>>,
    executor: Option<Arc<dyn Fn(Job) + Send + Sync>>,
    counters: Arc<Counters>,
    /// `None` unless a name or a report was asked for.
    watch: Option<Box<Watch>>,
}

/// As many calls that block on something slow as a busy server has at a time; more of them run unhedged.
const SHARED_THREADS: usize = 256;

crate::sync::process_wide! {
    /// For all who bring no threads of their own.
    static SHARED: Threads = Threads::new(SHARED_THREADS);
}

impl Hedge {
    /// Two attempts at most, the second after 100 milliseconds, without a budget.
    pub fn new() -> Self {
        Self {
            max: 2,
            delay: Duration::from_millis(100),
            budget: None,
            latency: None,
            executor: None,
            counters: Arc::default(),
            watch: None,
        }
    }

    /// How long an attempt may take before the next one is started beside it. Zero starts all at once; the delay
    /// counts anew from each start, and a failed attempt ends it.
    ///
    /// A good value is what 19 of 20 calls stay below; see also [`percentile`](Self::percentile).
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How many attempts a call may make in all, the first one included. With 1 it is never hedged.
    ///
    /// # Panics
    ///
    /// If `attempts` is 0.
    #[track_caller]
    pub fn max(mut self, attempts: usize) -> Self {
        assert!(attempts > 0, "a hedged call needs at least 1 attempt, got max(0)");
        self.max = attempts;
        self
    }

    /// Shortens the delay to the time that so many per cent of the first attempts stay below, as observed over the
    /// last few thousand calls: `min(delay, percentile)`. The fixed delay alone counts until 64 calls were observed.
    ///
    /// The observation is exact to 1/16. A first attempt that lost counts with the time it had taken by then.
    ///
    /// # Panics
    ///
    /// Unless `percentile` is above 0 and below 100.
    ///
    /// ```
    /// use flight_group::Hedge;
    ///
    /// let hedge = Hedge::new().percentile(95.0);
    /// assert!(hedge.run(|_| Ok::<_, String>(1)).is_ok());
    /// ```
    #[track_caller]
    pub fn percentile(mut self, percentile: f64) -> Self {
        let makes_sense = percentile > 0.0 && percentile < 100.0; // and so is a number
        assert!(makes_sense, "a percentile must be above 0 and below 100, got {percentile}");
        self.latency = Some(Arc::new(Latency::new(percentile)));
        self
    }

    /// Bounds the extra attempts, of all calls together, to a `share` of the calls, and `minimum` on top of it.
    ///
    /// Exactly: of any `n` calls in a row at most `share * n + max(minimum, 1)` extra attempts are made, those after
    /// a failure included, so that a replica that is down for all is not asked twice by all. Nothing blocks: a call
    /// whose extra attempt is denied goes on with what it has, and asks again after another delay; one whose attempts
    /// have all failed returns their errors. Without a budget every call may make [`max`](Self::max) attempts.
    ///
    /// # Panics
    ///
    /// Unless `share` is between 0 and 1.
    ///
    /// ```
    /// use flight_group::Hedge;
    ///
    /// let hedge = Hedge::new().budget(0.0, 1); // one extra attempt, ever
    /// let down = || hedge.run(|_| Err::<(), _>("down")).unwrap_err();
    ///
    /// assert_eq!(down().errors().len(), 2);
    /// assert_eq!(down().errors().len(), 1, "the budget is used up");
    /// assert_eq!(hedge.stats().denied, 1);
    /// ```
    #[track_caller]
    pub fn budget(mut self, share: f64, minimum: u32) -> Self {
        let makes_sense = (0.0..=1.0).contains(&share); // and so is a number
        assert!(makes_sense, "a budget's share of the calls must be between 0 and 1, got {share}");
        self.budget = Some(Arc::new(Budget::new(share, minimum)));
        self
    }

    /// Makes the attempts on `threads`, instead of those of the whole process.
    pub fn threads(self, threads: &Threads) -> Self {
        let threads = threads.clone();
        self.executor(move |job| threads.execute(job))
    }

    /// Makes the attempts wherever `executor` runs its [`Job`]s: a thread pool the program already has.
    ///
    /// The executor is called on the caller's thread and should return without waiting for the job. It may drop a
    /// job to refuse it. A pool that queues jobs behind others' may keep a call waiting; one whose threads all make
    /// hedged calls with attempts on the same pool waits for ever.
    ///
    /// ```
    /// use flight_group::Hedge;
    /// use std::sync::mpsc;
    ///
    /// let (jobs, queue) = mpsc::channel::<flight_group::hedge::Job>();
    /// std::thread::spawn(move || queue.into_iter().for_each(|job| job.run()));
    ///
    /// let hedge = Hedge::new().executor(move |job| drop(jobs.send(job)));
    /// assert_eq!(hedge.run(|_| Ok::<_, String>(5)).unwrap(), 5);
    /// ```
    pub fn executor(mut self, executor: impl Fn(Job) + Send + Sync + 'static) -> Self {
        self.executor = Some(Arc::new(executor));
        self
    }

    /// A name for reports: a [`Deadlock`](crate::Deadlock), an [`Event`], spans, meters and `Debug` show it. None by
    /// default.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.watching().name = Some(name.into());
        self
    }

    /// Calls `observer` when a call begins and when it ends: see
    /// [`GroupBuilder::observer`](crate::GroupBuilder::observer). None by default, which costs nothing.
    ///
    /// A flight is one call of `run` or `run_under`, however many attempts it makes; the key is `()`. The observer is
    /// told by the caller's thread: [`Led`] before the first attempt, then [`Landed`] with a reply or when all attempts
    /// have failed, or instead [`Cancelled`] or [`Deadlock`]. The ending is [`Panicked`] if the call failed and any of
    /// its attempts panicked. `ran` is how long the call took. Attempts are counted in [`stats`](Self::stats). Of
    /// [`first`](Self::first) nobody is told. If the observer panics, the panic unwinds in that one call.
    ///
    /// [`Led`]: crate::EventKind::Led
    /// [`Landed`]: crate::EventKind::Landed
    /// [`Cancelled`]: crate::EventKind::Cancelled
    /// [`Deadlock`]: crate::EventKind::Deadlock
    /// [`Panicked`]: crate::Ending::Panicked
    ///
    /// ```
    /// use flight_group::{EventKind, Hedge, crossbeam_channel};
    ///
    /// let (told, tells) = crossbeam_channel::unbounded();
    /// let hedge = Hedge::new().name("replicas").observer(move |event| {
    ///     if let EventKind::Landed { ending, .. } = event.kind {
    ///         let _ = told.send((event.flight, ending.as_str()));
    ///     }
    /// });
    /// hedge.run(|_| Ok::<_, String>(1)).unwrap();
    /// hedge.run(|_| Err::<(), _>("down")).unwrap_err();
    /// assert_eq!(tells.try_iter().collect::<Vec<_>>(), [(1, "value"), (2, "failed")]);
    /// ```
    pub fn observer(mut self, observer: impl Fn(&Event<'_, ()>) + Send + Sync + 'static) -> Self {
        self.watching().observer = Some(Arc::new(observer));
        self
    }

    /// Reports every call as a `flight` span of the `tracing` crate: see
    /// [`GroupBuilder::traced`](crate::GroupBuilder::traced). Feature `tracing`.
    ///
    /// The span is entered while an attempt runs, on the attempt's thread. It lands when the call ends, and closes when
    /// its last attempt has ended. There are no `wait` spans. See [`docs::observing`](crate::docs::observing#hedges).
    #[cfg(feature = "tracing")]
    pub fn traced(mut self) -> Self {
        self.watching().wanted.traced = true;
        self
    }

    /// Counts and times every call: see [`GroupBuilder::metered`](crate::GroupBuilder::metered). Feature `metrics`.
    ///
    /// A hedge is its own builder, so its meters are taken from the recorder at its first call, not before: install the
    /// recorder before that.
    #[cfg(feature = "metrics")]
    pub fn metered(mut self) -> Self {
        self.watching().wanted.metered = true;
        self
    }

    fn watching(&mut self) -> &mut Config<()> {
        self.watch.get_or_insert_with(|| Box::new(Watch::new())).ask()
    }

    /// Calls `work`, up to [`max`](Self::max) times side by side, and returns the first good reply.
    ///
    /// Blocks until an attempt returns `Ok`, or the last one has failed. Never waits for a loser.
    ///
    /// # Errors
    ///
    /// [`HedgeError::Failed`] with every attempt's error when all have failed; [`HedgeError::Deadlock`] when the call
    /// would wait for itself.
    ///
    /// # Panics
    ///
    /// Never with a panic of `work`, which is a failed attempt. Only a panic of the
    /// [executor](Self::executor) unwinds here; attempts that run are told through their tokens.
    pub fn run<T, E, F>(&self, work: F) -> Result<T, HedgeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(Attempt) -> Result<T, E> + Send + Sync + 'static,
    {
        self.hedged(None, work)
    }

    /// [`run`](Self::run), until `token` is cancelled: the call then returns at once.
    ///
    /// The attempts' tokens are [children](CancelToken::child) of `token`, so that all of them, the winner's too, see
    /// its cancel. A reply that is there wins over the cancel; under a token that is cancelled already no attempt is
    /// made. For the tasks of an [`ErrGroup`](crate::ErrGroup), and for a caller with a deadline.
    ///
    /// # Errors
    ///
    /// As `run`, and [`HedgeError::Cancelled`] with the token's cause.
    ///
    /// ```
    /// use flight_group::{ErrGroup, Hedge};
    ///
    /// let hedge = Hedge::new();
    /// let failed = ErrGroup::scope(|g| {
    ///     g.spawn(|token| {
    ///         // Would wait for ever, if the other shard did not fail.
    ///         hedge
    ///             .run_under(token, |attempt| Err::<(), _>(attempt.token().wait()))
    ///             .map_err(|error| error.to_string())
    ///     });
    ///     g.spawn(|_| Err("shard 2 is lost".to_owned()));
    /// });
    /// assert_eq!(failed.unwrap_err(), "shard 2 is lost");
    /// ```
    pub fn run_under<T, E, F>(&self, token: &CancelToken, work: F) -> Result<T, HedgeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(Attempt) -> Result<T, E> + Send + Sync + 'static,
    {
        self.hedged(Some(token), work)
    }

    fn hedged<T, E, F>(&self, parent: Option<&CancelToken>, work: F) -> Result<T, HedgeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(Attempt) -> Result<T, E> + Send + Sync + 'static,
    {
        let call = self.counters.called();
        if let Some(budget) = &self.budget {
            budget.earn();
        }
        let observed = self.latency.as_ref().and_then(|latency| latency.percentile());
        let delay = observed.map_or(self.delay, |observed| observed.min(self.delay));
        let race = |watched| Race { call, max: self.max, at_once: 1, delay: Some(delay), parent, watched };
        let Some(watched) = self.watch.as_ref().and_then(|watch| watch.begin(call)) else {
            return self.race(race(None), work);
        };
        let outcome = self.race(race(Some(&watched)), work);
        if let Some(payload) = watched.ended(&outcome) {
            drop_quietly(outcome); // nobody gets it, and its own panic would be a second one
            resume_unwind(payload);
        }
        outcome
    }

    /// Asks all `replicas` at once, and returns the first good reply: [`first`], on this hedge's threads.
    ///
    /// Neither its delay, its `max`, its budget nor its counters play a part, and nobody is told of it.
    ///
    /// # Errors
    ///
    /// As [`first`].
    pub fn first<T, E, R>(&self, replicas: impl IntoIterator<Item = R>) -> Result<T, HedgeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        R: FnOnce(Attempt) -> Result<T, E> + Send + 'static,
    {
        let replicas: Vec<_> = replicas.into_iter().map(|replica| Mutex::new(Some(replica))).collect();
        let max = replicas.len();
        if max == 0 {
            return Err(HedgeError::Invalid(InvalidHedge::no_replicas()));
        }
        let bare = Self { budget: None, latency: None, counters: Arc::default(), ..self.clone() };
        bare.race(
            Race { call: bare.counters.called(), max, at_once: max, delay: None, parent: None, watched: None },
            move |attempt| {
                let replica = replicas[attempt.index()].lock().take();
                replica.expect("an attempt is made once")(attempt)
            },
        )
    }

    fn race<T, E, F>(&self, race: Race<'_>, work: F) -> Result<T, HedgeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Fn(Attempt) -> Result<T, E> + Send + Sync + 'static,
    {
        let plan = Plan {
            call: race.call,
            max: race.max,
            at_once: race.at_once,
            delay: race.delay,
            budget: self.budget.as_deref(),
            latency: self.latency.as_ref(),
            counters: &self.counters,
            executor: self.executor.as_deref().unwrap_or(&|job| SHARED.execute(job)),
            parent: race.parent,
            name: self.watch.as_ref().and_then(|watch| watch.name().cloned()),
            watched: race.watched,
        };
        race::run(&plan, work)
    }

    /// What this hedge and its clones did so far. Read without a lock: a call in the air may be counted in part.
    pub fn stats(&self) -> HedgeStats {
        self.counters.read()
    }
}

/// What one call asks for.
struct Race<'a> {
    call: u64,
    max: usize,
    at_once: usize,
    delay: Option<Duration>,
    parent: Option<&'a CancelToken>,
    watched: Option<&'a Watched<'a>>,
}

// A panic while a hedge is in use, an executor's, leaves it as it was.
impl UnwindSafe for Hedge {}
impl RefUnwindSafe for Hedge {}

impl Default for Hedge {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Hedge");
        if let Some(name) = self.watch.as_ref().and_then(|watch| watch.name()) {
            f.field("name", name);
        }
        f.field("max", &self.max).field("delay", &self.delay).field("stats", &self.stats());
        f.finish_non_exhaustive()
    }
}

/// Asks all `replicas` at once, and returns the first good reply.
///
/// Blocks until one returns `Ok`, or all have failed; the losers are told through their tokens, and their late
/// results dropped, as with [`Hedge`], on whose process-wide threads they run. Replica `i` is attempt `i`. Closures of
/// different types are boxed: `Box<dyn FnOnce(Attempt) -> Result<T, E> + Send>`.
///
/// # Errors
///
/// [`HedgeError::Failed`] with every replica's error, in the order given; [`HedgeError::Invalid`] when there are no
/// replicas at all.
///
/// ```
/// use flight_group::hedge;
///
/// let ask = |name: &'static str| {
///     move |attempt: hedge::Attempt| match name {
///         "hangs" => Err(format!("{name}: {}", attempt.token().wait())),
///         "down" => Err(format!("{name}: connection refused")),
///         _ => Ok(format!("reply of {name}")),
///     }
/// };
///
/// let reply = hedge::first(["down", "hangs", "quick"].map(ask));
/// assert_eq!(reply.unwrap(), "reply of quick");
///
/// let error = hedge::first(["down"].map(ask)).unwrap_err();
/// assert_eq!(error.to_string(), "the only attempt failed: down: connection refused");
///
/// let nobody: [fn(hedge::Attempt) -> Result<(), String>; 0] = [];
/// let error = hedge::first(nobody).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the first of no replicas was asked for: at least 1 is needed, got 0"
/// );
/// ```
pub fn first<T, E, R>(replicas: impl IntoIterator<Item = R>) -> Result<T, HedgeError<E>>
where
    T: Send + 'static,
    E: Send + 'static,
    R: FnOnce(Attempt) -> Result<T, E> + Send + 'static,
{
    Hedge::new().first(replicas)
}
