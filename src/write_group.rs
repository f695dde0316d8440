//! Writes: a call boards the next flight.

use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::options::{Config, WaitOptions, Which};
use crate::error::Error;
use crate::face::face;
use crate::group::Group;
use crate::landing::Landing;
use crate::settings::settings;
use crate::site::Kind;
use crossbeam_channel::Receiver;
use std::borrow::Borrow;
use std::convert::{Infallible, identity};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Serializes writes per key and collapses the queued ones. Each call is covered by a run that started after the call
/// arrived.
///
/// At most one closure per key runs. Callers that arrive while it runs wait for the *next* run, which starts when
/// this one has ended. However many callers wait, there is one next run, and all of them get its outcome. Only the newest
/// queued closure runs, on its own caller's thread. The others are dropped unrun.
///
/// A write closure should therefore write *the newest state*, and not its caller's part of it. To merge every caller's
/// part use an [`EventGroup`](crate::EventGroup). A closure that writes its caller's own value is right only if two things
/// hold: a newer value replaces an older one whole, and the work cannot fail because of the value. If the newest fails, all
/// callers that it covers get its error, and their values are not written.
///
/// It collapses only what arrives *during a run*. If a run is quicker than the pause between two calls, every call gets
/// a run of its own. For notices that come in bursts and cost little each, as from a file watcher, use an
/// `EventGroup<K, ()>` with [`quiet`](crate::EventGroupBuilder::quiet) (a debounce): see [Debounce and
/// throttle](crate::docs::patterns#debounce-and-throttle-a-file-watcher).
///
/// Cloning makes another handle to the same group; type parameters are as for [`Group`].
///
/// ```
/// use std::sync::Mutex;
/// use flight_group::WriteGroup;
///
/// let config = Mutex::new(String::new());          // what the service runs with
/// let reloads: WriteGroup<&str> = WriteGroup::new();
///
/// // A burst of change notices, from any threads. Each caller returns when a reload that began
/// // after its notice is done. Notices that arrive during one reload cost one more.
/// let reload = || *config.lock().unwrap() = "as on disk now".to_owned();
/// std::thread::scope(|s| {
///     for _ in 0..100 {
///         s.spawn(|| reloads.write(&"app.toml", reload));
///     }
/// });
/// assert_eq!(*config.lock().unwrap(), "as on disk now");
/// ```
///
/// # Panics
///
/// As for [`Group`]: the leader's panic goes on unwinding in the leader, and the callers that its run covers
/// get [`Error::Panicked`]. The callers queued behind it are not touched.
///
/// # Where it comes from
///
/// A work queue such as client-go's has the same rule for its keys: one running, one pending. A `WriteGroup` adds a result
/// for every submitter. It is also go-zero's `LockedCalls` with duplicates collapsed.
#[doc(alias = "coalesce")]
#[doc(alias = "dedup")]
pub struct WriteGroup<K, V = (), E = Infallible, S = RandomState> {
    engine: Arc<Engine<K, V, E, S>>,
}

impl<K: Hash + Eq, V, E> WriteGroup<K, V, E> {
    /// A group with default settings. It allocates its table, 64 bytes a shard, at the first call.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A group with settings: see [`WriteGroupBuilder`].
    pub fn builder() -> WriteGroupBuilder<K, V, E> {
        WriteGroupBuilder::new()
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> WriteGroup<K, V, E, S> {
    /// A group with default settings that hashes its keys with `hasher`.
    pub fn with_hasher(hasher: S) -> Self {
        WriteGroupBuilder::<K, V, E>::new().hasher(hasher).build()
    }
}

impl<K: Hash + Eq, V: Clone, S: BuildHasher> WriteGroup<K, V, Infallible, S> {
    /// Runs `work`, or waits for a newer caller's run. Returns when a run that started after this call arrived has ended.
    ///
    /// Blocks until the key's running closure has ended, and then until the run that covers this call has ended. For work
    /// that cannot fail; otherwise see [`try_write`](Self::try_write).
    ///
    /// ```
    /// use flight_group::WriteGroup;
    ///
    /// let saves: WriteGroup<u32, &str> = WriteGroup::new();
    /// assert_eq!(saves.write(&1, || "saved"), "saved");
    /// ```
    ///
    /// # Panics
    ///
    /// * If `work` runs and panics: here with its own payload, in the callers that it covers with the words of
    ///   [`Error::Panicked`].
    /// * If the wait would never end, with the words of [`Error::Deadlock`]: for instance if a run writes to its own key.
    #[inline]
    #[track_caller]
    pub fn write<Q>(&self, key: &Q, work: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.engine.run(key, Which::Next, WaitOptions::INFALLIBLE, || Ok(work()), Landing::into_value) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher> WriteGroup<K, V, E, S> {
    /// Runs `work`, or waits for a newer caller's run. Returns the outcome of a run that started after this call arrived.
    ///
    /// Blocks until the key's running closure has ended, and then until the run that covers this call has ended. For a
    /// deadline or a cancel token use [`call`](Self::call). Returns early only with [`Error::Deadlock`] or
    /// [`Error::Overloaded`].
    ///
    /// ```
    /// use flight_group::{Error, WriteGroup};
    ///
    /// let saves: WriteGroup<u32, u64, &str> = WriteGroup::new();
    /// assert_eq!(saves.try_write(&1, || Ok(7)), Ok(7));
    /// assert_eq!(saves.try_write(&1, || Err("disk full")), Err(Error::Work("disk full")));
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Error::Work`]: the run that covers this call returned an error.
    /// * [`Error::Panicked`]: that run panicked, and it was another caller's closure.
    /// * [`Error::Deadlock`]: the run in the air waits, perhaps through others, for this thread.
    /// * [`Error::Overloaded`]: [`max_followers`](WriteGroupBuilder::max_followers) callers already wait.
    ///
    /// # Panics
    ///
    /// If this call's `work` runs and panics, with its own payload. If `V::clone` or `E::clone` panics, in the one
    /// caller whose copy it is.
    #[inline]
    pub fn try_write<Q>(&self, key: &Q, work: impl FnOnce() -> Result<V, E>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.engine.run(key, Which::Next, WaitOptions::default(), work, Landing::into_value)
    }

    /// A call with options: how long to wait, and what else ends the wait.
    ///
    /// Does nothing until [`run`](WriteCall::run) or [`flush`](WriteCall::flush).
    #[inline]
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> WriteCall<'a, K, V, E, S, Q> {
        WriteCall { group: self, key, options: WaitOptions::default() }
    }
}

impl<K, V, E, S> WriteGroup<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Queues the write without blocking. The outcome comes through the receiver. If this call leads, `work` runs on the
    /// group's [`executor`](WriteGroupBuilder::executor), by default on a thread of the group: see [`Group::spawn`].
    ///
    /// Dropping the receiver cancels nothing: the write is done, or is covered by a newer one, if the process lives
    /// long enough. Dropping the group waits for nothing, unlike an [`EventGroup`](crate::EventGroup): a write that is
    /// in the air when `main` returns ends with the process. Before that, wait for the receivers, or
    /// [`flush`](WriteCall::flush) each key.
    ///
    /// If nobody reads the receiver, report a failure in `work`. A panic reaches the panic hook.
    ///
    /// ```
    /// use flight_group::WriteGroup;
    ///
    /// let saves: WriteGroup<u32, &str> = WriteGroup::new();
    /// let receiver = saves.spawn(&1, || Ok("saved"));
    /// assert_eq!(receiver.recv().unwrap().unwrap().value, "saved");
    /// ```
    #[doc(alias = "DoChan")]
    pub fn spawn<Q>(
        &self,
        key: &Q,
        work: impl FnOnce() -> Result<V, E> + Send + 'static,
    ) -> Receiver<Result<Landing<V>, Error<E>>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.engine.spawn(key.to_owned(), Which::Next, work)
    }
}

face!(WriteGroup, "The running leader is not counted; a caller that is queued to lead next is.", "runs in the air");

/// One call to a [`WriteGroup`], with options; made by [`WriteGroup::call`].
///
/// It is `Copy` and can be used again: `run` and `flush` do not change it.
#[must_use = "a call does nothing until `run` or `flush`"]
pub struct WriteCall<'a, K, V, E, S, Q: ?Sized> {
    group: &'a WriteGroup<K, V, E, S>,
    key: &'a Q,
    options: WaitOptions<'a>,
}

impl<K, V, E, S, Q: ?Sized> Clone for WriteCall<'_, K, V, E, S, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V, E, S, Q: ?Sized> Copy for WriteCall<'_, K, V, E, S, Q> {}

impl<'a, K, V, E, S, Q: ?Sized> WriteCall<'a, K, V, E, S, Q> {
    /// How long to wait for other callers' runs. The call's own work is never interrupted. If the call is the one to run
    /// next when its time is up, it runs.
    ///
    /// Counted from the moment the call begins to wait. Zero means: do not wait, but run if no run is in the air.
    /// `Duration::MAX` means: for ever. If a call times out, the newest caller that still waits runs in its place.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.set_timeout(timeout);
        self
    }

    /// When to stop waiting. Otherwise the same as [`timeout`](Self::timeout). A moment that has passed means: do not
    /// wait. Of several timeouts and deadlines the last one counts.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.set_deadline(deadline);
        self
    }

    /// Ends the wait when `token` is cancelled. The call returns [`Error::Cancelled`]: see
    /// [`Call::cancel`](crate::Call::cancel). The newest caller that still waits runs in its place.
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.options.cancel = Some(token);
        self
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher, Q> WriteCall<'_, K, V, E, S, Q>
where
    K: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// Blocks until the run that covers this call has ended. Like [`try_write`](WriteGroup::try_write), but it also
    /// returns how the call came by the value.
    ///
    /// ```
    /// use flight_group::{Role, WriteGroup};
    ///
    /// let saves: WriteGroup<u32> = WriteGroup::new();
    /// let landing = saves.call(&1).run(|| Ok(())).unwrap();
    /// assert_eq!(landing.role, Role::Leader);      // `Follower`: a newer closure covered this call
    /// ```
    ///
    /// # Errors
    ///
    /// As [`WriteGroup::try_write`]. Also [`Error::TimedOut`] if the call has a [`timeout`](WriteCall::timeout) or
    /// [`deadline`](WriteCall::deadline), and [`Error::Cancelled`] if it has a [`cancel`](WriteCall::cancel) token. The
    /// call's closure was not run then. A newer caller's run may still write the newest state.
    ///
    /// # Panics
    ///
    /// As [`WriteGroup::try_write`].
    #[inline]
    pub fn run(self, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        self.group.engine.run(self.key, Which::Next, self.options, work, identity)
    }

    /// Waits until all writes of the key that arrived before this call are done, and writes nothing. It follows the newest
    /// run, in the air or queued. Returns `None` at once if there is none.
    ///
    /// ```
    /// use flight_group::WriteGroup;
    ///
    /// let saves: WriteGroup<u32> = WriteGroup::new();
    /// assert_eq!(saves.call(&1).flush(), None);     // nothing to wait for: everything is written
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). Also [`Error::Abandoned`] if the run it waited for never began and no other is in the air.
    pub fn flush(self) -> Option<Result<Landing<V>, Error<E>>> {
        self.group.engine.follow(self.key, Which::Newest, self.options)
    }
}

impl<K, V, E, S, Q: fmt::Debug + ?Sized> fmt::Debug for WriteCall<'_, K, V, E, S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteCall").field("key", &self.key).field("options", &self.options).finish_non_exhaustive()
    }
}

/// Configures a [`WriteGroup`]; made by [`WriteGroup::builder`].
///
/// It has no `max_age` and no `share_failures`: a write is never forgotten, taken over or joined while it runs.
#[must_use = "a builder does nothing until it is built"]
pub struct WriteGroupBuilder<K, V, E, S = RandomState> {
    hasher: S,
    shards: Option<usize>,
    config: Config<K>,
    types: std::marker::PhantomData<fn() -> (V, E)>,
}

settings!(WriteGroupBuilder, "WriteGroup");

impl<K, V, E> WriteGroupBuilder<K, V, E> {
    pub(crate) fn new() -> Self {
        let config = Config::new(Kind::WriteGroup);
        Self { hasher: RandomState::new(), shards: None, config, types: std::marker::PhantomData }
    }
}

impl<K, V, E, S> WriteGroupBuilder<K, V, E, S> {
    /// Every write forgets the key's read flight in `group` before it lands. So a read that starts after a write has
    /// returned never joins a read that started before it. Call it several times for several groups.
    ///
    /// In this order: the write's closure ends; the key's read flight is detached; the outcome is published; callers are
    /// woken. It is the same for a value, an error and a panic, because a failed write may have written something.
    ///
    /// A read that was in the air keeps its callers. They may get the old value, because they called before the write
    /// returned. Its leader must not put that value into a cache: [`Landing::detached`](crate::Landing::detached) says
    /// so. [`docs::patterns`](crate::docs::patterns) shows the version check that closes the gap between asking and
    /// storing.
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
    ///     writes.write(&"limit", || stored.store(2, SeqCst)); // a write during the read
    ///     Ok(seen)
    /// });
    ///
    /// let seen = seen.unwrap();
    /// assert_eq!((seen.value, seen.detached()), (1, true));      // right for us, wrong for a cache
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
        let engine = Engine::new(self.hasher, self.shards, self.config, (), None, Clock::system());
        WriteGroup { engine: Arc::new(engine) }
    }
}
