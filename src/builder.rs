//! What can be settled about a group before its first call.

use crate::engine::{Config, Engine, Job};
use crate::group::Group;
use crate::observer::Event;
use crate::write_group::WriteGroup;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// The settings both kinds of group have.
macro_rules! common_settings {
    ($builder:ident, $group:literal) => {
        impl<K, V, E, S> $builder<K, V, E, S> {
            /// A name for reports: a [`Deadlock`](crate::Deadlock) names the group of each hop by it, an
            /// [`Event`](crate::Event) carries it, and threads of spawned flights are called after it. None by
            /// default.
            pub fn name(mut self, name: impl Into<String>) -> Self {
                self.config.name = Some(Arc::from(name.into()));
                self
            }

            /// Lets reports of a [`Deadlock`](crate::Deadlock) print keys. Off by default, because it asks for
            /// `K: Debug`, because a key may be a secret, and because it makes every follower format its key.
            pub fn debug_keys(mut self) -> Self
            where
                K: fmt::Debug,
            {
                self.config.debug_key = Some(|key| format!("{key:?}"));
                self
            }

            /// How many shards the table has, rounded up to a power of two, at most 65,536; each is 64 bytes.
            /// By default 32 for each core of the machine, between 256 and 1,024.
            ///
            /// Fewer save memory where there are very many groups, and slow down threads that use different keys
            /// at the same time.
            ///
            /// # Panics
            ///
            /// If `shards` is zero, or larger than 65,536.
            #[track_caller]
            pub fn shards(mut self, shards: usize) -> Self {
                assert!((1..=65_536).contains(&shards), "shards is {shards}, expected 1 to 65536");
                self.shards = Some(shards);
                self
            }

            /// How keys are hashed; std's `RandomState` by default.
            ///
            /// A faster one (foldhash, ahash) takes some two fifths off a lone call on a short key. One without a random
            /// seed lets whoever chooses the keys make them collide; as only flights in the air are in the table,
            /// that costs at most as many comparisons as there are calls at once.
            pub fn hasher<S2>(self, hasher: S2) -> $builder<K, V, E, S2> {
                $builder { hasher, shards: self.shards, config: self.config, types: self.types }
            }

            /// How many may wait for one key; a call beyond that returns
            /// [`Error::Overloaded`](crate::Error::Overloaded) at once instead of piling up. Unlimited by default.
            ///
            /// Zero means that only leaders are served. Calls that return a bare value are never refused.
            pub fn max_followers(mut self, max_followers: usize) -> Self {
                self.config.max_followers = max_followers;
                self
            }

            /// Reads the clock at the start of every flight, so that `flights()` tells the age of flights that
            /// nobody waits for, too. Costs some 25 ns a flight; off by default.
            pub fn timed(mut self) -> Self {
                self.config.timed = true;
                self
            }

            /// Where spawned flights run. By default each has a thread of its own, named `flight` and the group's
            /// name.
            ///
            /// `executor` is called with each [`Job`] on whichever thread puts its flight into the air: the one
            /// that calls `spawn`, or one whose own flight has just landed. It should hand the job to a pool and
            /// return. It may run the job itself; a chain of such jobs does not deepen the stack. A job it drops,
            /// or drops by panicking, is abandoned: see [`Job`].
            pub fn executor(mut self, executor: impl Fn(Job) + Send + Sync + 'static) -> Self {
                self.config.executor = Some(Arc::new(executor));
                self
            }

            /// Whom to tell what happens to every flight, for logs, traces and metrics; nobody by default, which
            /// costs nothing.
            ///
            /// Called on the thread the event happened on, outside every lock, after whoever had to be woken has
            /// been. It adds two readings of the clock and a clone of the key to each call. If it panics, that
            /// unwinds in the one call; the flight lands all the same.
            ///
            /// ```
            /// use std::sync::atomic::{AtomicU64, Ordering};
            /// use std::sync::Arc;
            #[doc = concat!("use flight_group::{EventKind, ", $group, "};")]
            ///
            /// let landed = Arc::new(AtomicU64::new(0));
            /// let counter = landed.clone();
            #[doc = concat!("let group: ", $group, "<&str, u32> = ", $group, "::builder()")]
            ///     .name("prices")
            ///     .observer(move |event| {
            ///         if let EventKind::Landed { .. } = event.kind {
            ///             counter.fetch_add(1, Ordering::Relaxed);
            ///         }
            ///     })
            ///     .build();
            ///
            /// group.call(&"gold").run(|| Ok(4_100)).unwrap();
            /// assert_eq!(landed.load(Ordering::Relaxed), 1);
            /// ```
            pub fn observer(mut self, observer: impl Fn(&Event<'_, K>) + Send + Sync + 'static) -> Self {
                self.config.observer = Some(Arc::new(observer));
                self
            }
        }

        #[cfg(feature = "tracing")]
        impl<K, V, E, S> $builder<K, V, E, S> {
            /// Reports every flight and every wait as a [`tracing`] span: feature `tracing`. Off by default, which
            /// costs nothing.
            ///
            /// A flight's span is entered while its closure runs, so that what the closure logs is inside it. A
            /// follower's wait has a span of its own, entered while it is blocked, which *follows from* the
            /// flight's. Keys are shown in groups built with [`debug_keys`](Self::debug_keys) only. Spans, fields,
            /// events and levels: [`docs::observing`](crate::docs::observing#spans).
            ///
            /// The subscriber is called as an [`observer`](Self::observer) is: outside every lock, and if it
            /// panics, that unwinds in the one call.
            pub fn traced(mut self) -> Self {
                self.config.wanted.traced = true;
                self
            }
        }

        #[cfg(feature = "metrics")]
        impl<K, V, E, S> $builder<K, V, E, S> {
            /// Counts and times every flight and every wait with the [`metrics`] facade: feature `metrics`. Off by
            /// default, which costs nothing.
            ///
            /// Install the recorder first: the group takes its meters from the one there is *when the group is
            /// built*, and what it counts without one is lost. Each meter carries the group's
            /// [`name`](Self::name) as label `group` (`unnamed` without), so that groups of one name are added up.
            /// Names and units: [`docs::observing`](crate::docs::observing#meters).
            pub fn metered(mut self) -> Self {
                self.config.wanted.metered = true;
                self
            }
        }

        impl<K, V, E, S> fmt::Debug for $builder<K, V, E, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($builder)).field("name", &self.config.name).finish_non_exhaustive()
            }
        }
    };
}

/// Settles what a [`Group`] does beyond the plain rule; made by [`Group::builder`].
///
/// ```
/// use std::time::Duration;
/// use flight_group::Group;
///
/// let group: Group<String, Vec<u8>, std::io::ErrorKind> = Group::builder()
///     .name("thumbnails")
///     .max_age(Duration::from_secs(5))    // a load older than that is not joined any more
///     .max_followers(256)                 // shed load instead of piling up
///     .share_failures(false)              // after a failure, the next in line tries its own closure
///     .build();
/// assert_eq!(group.call("a.png").run(|| Ok(vec![1])).unwrap().value, [1]);
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct GroupBuilder<K, V, E, S = RandomState> {
    hasher: S,
    shards: Option<usize>,
    config: Config<K>,
    types: std::marker::PhantomData<fn() -> (V, E)>,
}

common_settings!(GroupBuilder, "Group");

impl<K, V, E> GroupBuilder<K, V, E> {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: None, config: Config::default(), types: std::marker::PhantomData }
    }
}

impl<K, V, E, S> GroupBuilder<K, V, E, S> {
    /// A flight older than this is not joined: the call that finds it detaches it and starts another. Its callers
    /// still get its outcome. No limit by default.
    ///
    /// The age counts from the flight's start. Zero means that nobody ever joins a flight.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.config.max_age = Some(max_age);
        self
    }

    /// Whether followers take their leader's failure (an error or a panic) for their own; `true` by default.
    ///
    /// With `false` a follower of a failed flight boards again with its own unused closure: it leads, or follows
    /// whoever was quicker. Each closure still runs at most once; a call whose own closure failed, and a call
    /// without one ([`wait`](crate::Call::wait)), gets the error. Use it where the failure may be the leader's
    /// alone (its permissions, its deadline), not where the source is down: there it makes the followers try one
    /// after the other.
    pub fn share_failures(mut self, share: bool) -> Self {
        self.config.share_failures = share;
        self
    }

    /// The group.
    pub fn build(self) -> Group<K, V, E, S>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        Group::from_engine(Engine::new(self.hasher, self.shards, self.config))
    }
}

/// Settles what a [`WriteGroup`] does beyond the plain rule; made by [`WriteGroup::builder`].
///
/// What would break the promise to every submitter is not here: a write is never forgotten, taken over or joined.
#[must_use = "a builder does nothing until it is built"]
pub struct WriteGroupBuilder<K, V, E, S = RandomState> {
    hasher: S,
    shards: Option<usize>,
    config: Config<K>,
    types: std::marker::PhantomData<fn() -> (V, E)>,
}

common_settings!(WriteGroupBuilder, "WriteGroup");

impl<K, V, E> WriteGroupBuilder<K, V, E> {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: None, config: Config::default(), types: std::marker::PhantomData }
    }
}

impl<K, V, E, S> WriteGroupBuilder<K, V, E, S> {
    /// Makes every write forget the key's read flight in `group` as it lands, so that a read which starts after a
    /// write has returned never sees the value from before it. May be called for several groups.
    ///
    /// In order: the write's closure ends, with a value, an error or a panic alike (a failed write may have
    /// written); the key's read flight is detached; the next write goes into the air; the outcome is published;
    /// callers are woken.
    ///
    /// A read that was in the air keeps its callers, who may get the old value: they called before the write
    /// returned. Its leader must not put that value into a cache: [`Landing::detached`](crate::Landing::detached)
    /// tells it, and [`docs::patterns`](crate::docs::patterns) shows the version check that closes the gap between
    /// asking and storing.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    /// use flight_group::{Group, WriteGroup};
    ///
    /// let stored = AtomicU32::new(1);
    /// let reads: Group<&str, u32> = Group::new();
    /// let writes: WriteGroup<&str> = WriteGroup::builder().invalidates(&reads).build();
    ///
    /// let seen = reads.call(&"limit").run(|| {
    ///     let seen = stored.load(SeqCst);
    ///     writes.write(&"limit", || stored.store(2, SeqCst)); // somebody writes while we read
    ///     Ok(seen)
    /// });
    ///
    /// let seen = seen.unwrap();
    /// assert_eq!((seen.value, seen.detached()), (1, true));            // right for us, wrong for a cache
    /// assert_eq!(reads.work(&"limit", || stored.load(SeqCst)), 2);
    /// ```
    pub fn invalidates<V2, E2, S2>(mut self, group: &Group<K, V2, E2, S2>) -> Self
    where
        K: Hash + Eq + Clone + Send + 'static,
        V2: Clone + Send + Sync + 'static,
        E2: Clone + Send + Sync + 'static,
        S2: BuildHasher + Send + Sync + 'static,
    {
        let group = group.clone();
        self.config.invalidates.push(Arc::new(move |key| {
            group.forget(key);
        }));
        self
    }

    /// The group.
    pub fn build(self) -> WriteGroup<K, V, E, S>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        WriteGroup::from_engine(Engine::new(self.hasher, self.shards, self.config))
    }
}
