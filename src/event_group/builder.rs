//! What can be settled about an `EventGroup` before its first event.

use crate::error::Error;
use crate::event_group::clock::{Clock, system};
use crate::event_group::crew::{HIRE, Hire};
use crate::event_group::slots::{Rules, State};
use crate::event_group::{EventGroup, Handle, Merge, OnFailure, Push, Shared};
use crate::sync::{Arc, Mutex};
use std::fmt;
use std::hash::{Hash, RandomState};
use std::time::Duration;

pub(super) struct Config<K> {
    pub(super) rules: Rules,
    pub(super) debug_key: Option<fn(&K) -> String>,
    pub(super) workers: usize,
    pub(super) capacity: usize,
    pub(super) hire: Hire,
}

/// Few: what they wait for is mostly somebody else's machine.
const WORKERS: usize = 4;
/// Bounded, because nobody is held up by what he submits.
const CAPACITY: usize = 65_536;

/// Settles when an [`EventGroup`] runs, and how much it takes on; made by [`EventGroup::builder`].
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
/// .quiet(Duration::from_millis(50))            // wait for the editor to pause
/// .max_wait(Duration::from_secs(2))            // but not for ever
/// .min_interval(Duration::from_millis(500))    // and go easy on the index
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
    config: Config<K>,
    pub(super) clock: Box<dyn Clock>,
}

impl<K, T, V, E> EventGroupBuilder<K, T, V, E> {
    pub(super) fn new(merge: Merge<T>, push: Push<K, T, V, E>) -> Self {
        let config =
            Config { rules: Rules::default(), debug_key: None, workers: WORKERS, capacity: CAPACITY, hire: HIRE };
        Self { merge, push, on_failure: None, config, clock: system() }
    }

    /// A name for reports: a [`Deadlock`](crate::Deadlock) names the group of each hop by it, and the workers are
    /// called `<name> events <number>`. None by default.
    ///
    /// # Panics
    ///
    /// If the name holds a NUL, which no thread's name may.
    #[track_caller]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(!name.contains('\0'), "name is {name:?}, expected one without a NUL");
        self.config.rules.name = Some(Arc::from(name));
        self
    }

    /// Lets reports of a [`Deadlock`](crate::Deadlock) print keys. Off by default, because it asks for `K: Debug`,
    /// because a key may be a secret, and because it makes every [`push`](EventGroup::push) format its key.
    pub fn debug_keys(mut self) -> Self
    where
        K: fmt::Debug,
    {
        self.config.debug_key = Some(|key| format!("{key:?}"));
        self
    }

    /// How long after the start of a run the key's next run may start, at the earliest. Zero by default.
    ///
    /// The first event of an idle key is pushed at once; those that come before the interval is over are merged,
    /// and *always* pushed when it is. (What others call a throttle with leading and trailing edge.) A key is
    /// remembered until its interval is over: the group keeps a worker for that, though nothing is submitted.
    pub fn min_interval(mut self, min_interval: Duration) -> Self {
        self.config.rules.timing.min_interval = Some(min_interval).filter(|interval| !interval.is_zero());
        self
    }

    /// How long no event must have come for a key before its events are pushed. Zero by default.
    ///
    /// Every event puts the run off (what others call a debounce), so that a steady stream puts it off for ever,
    /// unless there is a [`max_wait`](Self::max_wait).
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.config.rules.timing.quiet = Some(quiet).filter(|quiet| !quiet.is_zero());
        self
    }

    /// How long [`quiet`](Self::quiet) may put a run off, counted from the moment the first of its events wanted
    /// to be pushed. No limit by default.
    ///
    /// [`min_interval`](Self::min_interval) is kept all the same; it is not put off by events.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.config.rules.timing.max_wait = Some(max_wait);
        self
    }

    /// How many submitted events, of all keys, may wait to be carried; 65,536 by default. Beyond that
    /// [`submit`](EventGroup::submit) returns [`Error::Overloaded`], and [`push`](EventGroup::push) blocks as it
    /// always does, holding the one event of its blocked caller.
    ///
    /// # Panics
    ///
    /// If `capacity` is zero.
    #[track_caller]
    pub fn capacity(mut self, capacity: usize) -> Self {
        assert!(capacity > 0, "capacity is 0, expected at least 1");
        self.config.capacity = capacity;
        self
    }

    /// How many threads may run batches nobody is blocked on; 4 by default.
    ///
    /// They are started one by one as they are needed, serve the key that has been due longest, and leave when
    /// there has been nothing to do for some seconds. A key that is queued again stands behind all others.
    ///
    /// # Panics
    ///
    /// If `workers` is zero.
    #[track_caller]
    pub fn workers(mut self, workers: usize) -> Self {
        assert!(workers > 0, "workers is 0, expected at least 1");
        self.config.workers = workers;
        self
    }

    /// Whom to tell that a run with submitted events failed; nobody by default, and then only
    /// [`stats`](EventGroup::stats) tells.
    ///
    /// Called once for each such run, on the thread that ran it, outside every lock, after the run's blocked callers
    /// have been woken. It may submit again. If it panics, the panic ends there.
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

    /// The group.
    pub fn build(self) -> EventGroup<K, T, V, E>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + 'static,
        V: Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let Self { merge, push, on_failure, config, clock } = self;
        let state = Mutex::new(State::new());
        let hasher = RandomState::new();
        let shared = Arc::new(Shared { state, hasher, merge, push, on_failure, config, clock });
        EventGroup { handle: Arc::new(Handle { shared, close: Shared::close }) }
    }

    #[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
    pub(super) fn for_test(mut self, clock: Box<dyn Clock>, hire: Hire) -> Self {
        self.clock = clock;
        self.config.hire = hire;
        self
    }
}

impl<K, T, V, E> fmt::Debug for EventGroupBuilder<K, T, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventGroupBuilder")
            .field("name", &self.config.rules.name)
            .field("timing", &self.config.rules.timing)
            .field("workers", &self.config.workers)
            .field("capacity", &self.config.capacity)
            .finish_non_exhaustive()
    }
}
