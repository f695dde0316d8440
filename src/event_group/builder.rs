//! What can be settled about an `EventGroup` before its first event.

use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::flight::{FlightId, SendWorker};
use crate::engine::load::Due;
use crate::engine::options::Config;
use crate::error::Error;
use crate::event_group::agenda::Agenda;
use crate::event_group::events::{Rules, Timing};
use crate::event_group::group::EventGroup;
use crate::event_group::shared::{Handle, Merge, OnFailure, Push, Shared, Weigh};
use crate::event_group::stats::Counts;
use crate::observer::Event;
use crate::site::Kind;
use crate::sync::atomic::{AtomicBool, AtomicUsize};
use crate::sync::{Arc, Mutex};
use crate::threads::{Crew, HIRE, Hire};
use std::fmt;
use std::hash::{Hash, RandomState};
use std::sync::Weak;
use std::time::Duration;

/// How long a thread stays with nothing to do: much longer than it takes to start one, and short for a thread that is
/// not needed.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Few: they mostly wait for another machine.
const WORKERS: usize = 4;
/// Bounded, because `submit` never blocks.
const CAPACITY: usize = 65_536;

/// Configures an [`EventGroup`]; made by [`EventGroup::builder`].
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use flight_group::EventGroup;
///
/// type Failure = Arc<dyn std::error::Error + Send + Sync>;
///
/// let index: EventGroup<u64, Vec<String>, (), Failure> = EventGroup::builder(
///     |words: &mut Vec<String>, more| words.extend(more),
///     |document, words| { /* send to the index */ Ok(()) },
/// )
/// .name("index")
/// .quiet(Duration::from_millis(50))            // wait until the editor pauses,
/// .max_wait(Duration::from_secs(2))            // but no longer than this,
/// .min_interval(Duration::from_millis(500))    // and no more than two runs a second
/// .workers(2)
/// .capacity(10_000)
/// .on_failure(|document, error| eprintln!("document {document}: {error}"))
/// .build();
///
/// index.submit(&7, vec!["hello".to_owned()]).unwrap();
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct EventGroupBuilder<K, T, V, E> {
    merge: Merge<T>,
    push: Push<K, T, V, E>,
    on_failure: Option<OnFailure<K, E>>,
    config: Config<Arc<K>>,
    timing: Timing,
    workers: usize,
    capacity: usize,
    weigh: Option<Weigh<T>>,
    keep_alive: Duration,
    hire: Hire,
    clock: Clock,
}

impl<K, T, V, E> EventGroup<K, T, V, E>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// A group with default settings. It starts no thread before the first [`submit`](Self::submit).
    ///
    /// `push` delivers what was merged. It runs on the thread of the run's leader, which is a blocked caller or a worker.
    /// At most one `push` runs per key.
    ///
    /// `merge(older, newer)` puts a newer event into an older one. Events are merged as they arrive: `merge` runs on the
    /// thread of a [`submit`](Self::submit), or of the run's leader, and may run while `push` runs for the same key. It
    /// is called outside every lock, so it may be slow.
    ///
    /// If `push` only returns `Ok`, write the group's type without `E`, `let views: EventGroup<String, u32> = ..`, or end
    /// `push` with `Ok::<_, Infallible>(..)`: see [work that cannot fail](crate::docs::types#work-that-cannot-fail).
    ///
    /// # `merge` must be associative
    ///
    /// The order of the events is kept, but neighbours may be merged before the events in front of them. So
    /// *(a, b), then c* must give the same as *a, then (b, c)*. Sums, maxima, appending to a list and "the newest wins"
    /// are associative. An average is not:
    ///
    /// ```
    /// // Wrong: the result depends on which neighbours are merged first.
    /// let average = |older: &mut f64, newer: f64| *older = (*older + newer) / 2.0;
    ///
    /// let (mut left, mut right, mut last) = (0.0, 4.0, 0.0);
    /// average(&mut left, 4.0);
    /// average(&mut left, 8.0);
    /// average(&mut right, 8.0);
    /// average(&mut last, right);
    /// assert_eq!((left, last), (5.0, 3.0));
    ///
    /// // Right: keep the sum and the count, and divide in `push`.
    /// let add = |older: &mut (f64, u32), (sum, count): (f64, u32)| {
    ///     older.0 += sum;
    ///     older.1 += count;
    /// };
    /// let mut all = (0.0, 1);
    /// add(&mut all, (4.0, 1));
    /// add(&mut all, (8.0, 1));
    /// assert_eq!(all.0 / f64::from(all.1), 4.0);
    /// ```
    ///
    /// # Which code of yours runs under a lock
    ///
    /// `K::eq`, and the key's `to_owned` for the first event of an idle key, run under the lock of the key's shard. They
    /// must be quick and must not call the group. A panic in them leaves the group as it was. `merge`, `push`,
    /// `on_failure` and everything else of yours runs outside every lock.
    pub fn new(
        merge: impl Fn(&mut T, T) + Send + Sync + 'static,
        push: impl Fn(&K, T) -> Result<V, E> + Send + Sync + 'static,
    ) -> Self {
        Self::builder(merge, push).build()
    }

    /// A group with settings: see [`EventGroupBuilder`]. `merge` must be associative: see [`new`](Self::new).
    pub fn builder(
        merge: impl Fn(&mut T, T) + Send + Sync + 'static,
        push: impl Fn(&K, T) -> Result<V, E> + Send + Sync + 'static,
    ) -> EventGroupBuilder<K, T, V, E> {
        EventGroupBuilder::new(Box::new(merge), Box::new(push))
    }
}

impl<K, T, V, E> EventGroupBuilder<K, T, V, E> {
    pub(super) fn new(merge: Merge<T>, push: Push<K, T, V, E>) -> Self {
        Self {
            merge,
            push,
            on_failure: None,
            config: Config::new(Kind::EventGroup),
            timing: Timing::default(),
            workers: WORKERS,
            capacity: CAPACITY,
            weigh: None,
            keep_alive: KEEP_ALIVE,
            hire: HIRE,
            clock: Clock::system(),
        }
    }

    /// A name for reports. Errors show it, a [`Deadlock`](crate::Deadlock) shows the name of each hop's group, and the
    /// workers' threads are named `<name> events <number>`. None by default.
    ///
    /// # Panics
    ///
    /// If the name holds a NUL, which no thread's name may.
    #[track_caller]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(!name.contains('\0'), "name is {name:?}, expected one without a NUL");
        self.config.name = Some(Arc::from(name));
        self
    }

    /// Shows keys in a [`Deadlock`](crate::Deadlock). Off by default, for three reasons: it needs `K: Debug`; a key may be
    /// a secret; every [`push`](EventGroup::push) that waits formats its key.
    pub fn debug_keys(mut self) -> Self
    where
        K: fmt::Debug,
    {
        self.config.debug_key = Some(|key| format!("{key:?}"));
        self
    }

    /// The shortest time between the starts of two runs of a key. Zero by default.
    ///
    /// The first event of an idle key is pushed at once. Events that arrive before the interval is over are merged, and
    /// are *always* pushed when it is over. (Others call this a throttle with leading and trailing edge.) The group keeps
    /// the key until its interval is over, and a worker that then removes it.
    #[doc(alias = "throttle")]
    pub fn min_interval(mut self, min_interval: Duration) -> Self {
        self.timing.min_interval = Some(min_interval).filter(|interval| !interval.is_zero());
        self
    }

    /// A key's events are pushed when no event has arrived for it for this long. Zero by default.
    ///
    /// Every event delays the run again. (Others call this a debounce.) A steady stream of events delays it for ever, unless
    /// there is a [`max_wait`](Self::max_wait).
    #[doc(alias = "debounce")]
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.timing.quiet = Some(quiet).filter(|quiet| !quiet.is_zero());
        self
    }

    /// How long [`quiet`](Self::quiet) may delay a run. Counted from the moment at which the first of its events was to be
    /// pushed: its arrival, or the end of its [`delay`](crate::EventCall::delay). No limit by default.
    ///
    /// [`min_interval`](Self::min_interval) is kept all the same.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.timing.max_wait = Some(max_wait);
        self
    }

    /// How much may wait of what was submitted, for all keys together, counted after merging; 65,536 by default.
    ///
    /// What was merged counts 1, or what [`weigh`](Self::weigh) says. So without `weigh` it bounds the number of keys
    /// that wait, however many events came for each. Beyond it [`submit`](EventGroup::submit) returns
    /// [`Error::Overloaded`], and [`push`](EventGroup::push) blocks as it always does, holding the one event of its
    /// blocked caller.
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    #[track_caller]
    pub fn capacity(mut self, capacity: usize) -> Self {
        assert!(capacity > 0, "capacity is 0, expected at least 1");
        self.capacity = capacity;
        self
    }

    /// What an event counts against [`capacity`](Self::capacity). By default a merged event counts 1, which suits a
    /// `merge` that adds up or replaces. One that collects makes an event that grows: weigh that by its length.
    ///
    /// Called with each submitted event before it is accepted, and again with what `merge` has made of several. No lock
    /// is held. If it panics before an event is accepted, that unwinds from `submit`; later it counts as a panic of
    /// `merge`. Events of blocked callers are not weighed.
    ///
    /// An event that weighs more than the whole capacity is always refused with [`Error::Overloaded`]. To submit it
    /// later does not help: split it, or raise the capacity.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::{Error, EventGroup};
    ///
    /// let lines: EventGroup<&str, Vec<&str>> = EventGroup::builder(
    ///     |all: &mut Vec<&str>, more| all.extend(more),
    ///     |log, lines| Ok(()),
    /// )
    /// .capacity(3)
    /// .weigh(|lines| lines.len())
    /// .build();
    ///
    /// let later = lines.call(&"app").delay(Duration::from_secs(60));
    /// later.submit(vec!["one", "two"]).unwrap();
    /// later.submit(vec!["three"]).unwrap();
    /// assert_eq!(later.submit(vec!["four"]), Err(Error::overloaded()));
    /// ```
    pub fn weigh(mut self, weigh: impl Fn(&T) -> usize + Send + Sync + 'static) -> Self {
        self.weigh = Some(Box::new(weigh));
        self
    }

    /// How many threads may run batches nobody is blocked on; 4 by default.
    ///
    /// They are started one by one when they are needed. They serve the key first that has been due longest. They leave
    /// when they have had nothing to do for some seconds.
    ///
    /// # Panics
    ///
    /// If `workers` is zero.
    #[track_caller]
    pub fn workers(mut self, workers: usize) -> Self {
        assert!(workers > 0, "workers is 0, expected at least 1");
        self.workers = workers;
        self
    }

    /// Calls `on_failure` when a run with submitted events failed: `push` returned an error or panicked, or `merge`
    /// panicked. None by default: then only [`stats`](EventGroup::stats) shows it.
    ///
    /// Called once for each such run, on the thread that ran it, outside every lock, after the run's blocked callers
    /// have been woken. [`flush`](EventGroup::flush), [`close`](EventGroup::close) and the drop of the last handle return
    /// after it was called for the runs that they wait for. Called also, on the thread of a `submit`, if `merge` panics
    /// while events wait: then all that waited for the key is lost, and this is told once. And called with [`Error::Closed`] for
    /// events in a `merge` that waits for the thread in [`close`](EventGroup::close). It may submit again. If it panics, the panic
    /// ends there.
    ///
    /// ```
    /// use flight_group::{Error, EventGroup};
    ///
    /// let (failed, failures) = crossbeam_channel::unbounded();
    /// let mails: EventGroup<&str, u32, (), &str> =
    ///     EventGroup::builder(|_, _| {}, |_, _| Err("mailbox full"))
    ///         .on_failure(move |key, error| drop(failed.send((*key, error.clone()))))
    ///         .build();
    ///
    /// mails.submit(&"bob", 1).unwrap();
    /// assert_eq!(failures.recv(), Ok(("bob", Error::Work("mailbox full"))));
    /// ```
    pub fn on_failure(mut self, on_failure: impl Fn(&K, &Error<E>) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Box::new(on_failure));
        self
    }

    /// Whom to tell what happens to every flight: see [`GroupBuilder::observer`](crate::GroupBuilder::observer). Nobody
    /// by default, which costs nothing.
    ///
    /// A flight here is one run. A `push` is told of as any call. A `submit` is told of only if it is refused. If the
    /// observer panics, that unwinds in the one `push`, and ends on a worker; what was submitted is pushed all the same.
    ///
    /// ```
    /// use flight_group::{EventGroup, EventKind};
    ///
    /// let (told, tells) = crossbeam_channel::unbounded();
    /// let sums: EventGroup<&str, u32> = EventGroup::builder(|sum, n| *sum += n, |_, _| Ok(()))
    ///     .observer(move |event| {
    ///         if let EventKind::Landed { ending, .. } = event.kind {
    ///             let _ = told.send((*event.key, ending.as_str()));
    ///         }
    ///     })
    ///     .build();
    /// sums.push(&"a", 1).unwrap();
    /// assert_eq!(tells.try_recv(), Ok(("a", "value")));
    /// ```
    pub fn observer(mut self, observer: impl Fn(&Event<'_, K>) + Send + Sync + 'static) -> Self {
        self.config.observer = Some(Arc::new(move |event: &Event<'_, Arc<K>>| {
            let Event { group, key, flight, kind } = *event;
            observer(&Event { group, key, flight, kind });
        }));
        self
    }

    /// Reports every run and every wait as a `tracing` span: see
    /// [`GroupBuilder::traced`](crate::GroupBuilder::traced). Feature `tracing`.
    #[cfg(feature = "tracing")]
    pub fn traced(mut self) -> Self {
        self.config.wanted.traced = true;
        self
    }

    /// Counts and times every run and every wait: see [`GroupBuilder::metered`](crate::GroupBuilder::metered). Feature
    /// `metrics`.
    #[cfg(feature = "metrics")]
    pub fn metered(mut self) -> Self {
        self.config.wanted.metered = true;
        self
    }

    /// The group.
    pub fn build(self) -> EventGroup<K, T, V, E>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + 'static,
        V: Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let Self { merge, push, on_failure, config, timing, workers, capacity, weigh, keep_alive, hire, clock } = self;
        let rules = Rules { timing, capacity, waiting: AtomicUsize::new(0), closed: AtomicBool::new(false) };
        let name = config.name.clone();
        let crew = Crew::queueing(hire, workers, keep_alive, move |number| {
            format!("{} events {number}", name.as_deref().unwrap_or("(unnamed)"))
        });
        let shared = Arc::new_cyclic(|shared: &Weak<Shared<K, T, V, E>>| {
            let shared = shared.clone();
            let send: SendWorker = Arc::new(move |id: FlightId, due: Option<Due>| {
                let Some(shared) = shared.upgrade() else { return };
                match due {
                    Some(due) => shared.place(id, due),
                    None => shared.displace(id),
                }
            });
            let engine = Engine::new(RandomState::new(), None, config, rules, Some(send), clock);
            let (agenda, counts) = (Mutex::new(Agenda::default()), Counts::default());
            Shared { engine, agenda, crew, counts, merge, push, on_failure, telling: Arc::default(), weigh, workers }
        });
        EventGroup { handle: Arc::new(Handle { shared, close: Shared::close }) }
    }

    #[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
    pub(super) fn for_test(mut self, clock: Clock, hire: Hire, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self.clock = clock;
        self.hire = hire;
        self
    }
}

impl<K, T, V, E> fmt::Debug for EventGroupBuilder<K, T, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventGroupBuilder")
            .field("name", &self.config.name)
            .field("timing", &self.timing)
            .field("workers", &self.workers)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
