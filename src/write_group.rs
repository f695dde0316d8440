//! Writes: a call boards the next flight.

use crate::builder::WriteGroupBuilder;
use crate::engine::{Engine, Existing, Patience, Rule};
use crate::error::Error;
use crate::landing::Landing;
use crate::stats::{FlightInfo, Stats};
use crossbeam_channel::Receiver;
use std::borrow::Borrow;
use std::convert::{Infallible, identity};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Serializes writes per key and collapses the queued ones: everybody's call is covered by a run that started
/// after it arrived, and nobody pays for more runs than that takes.
///
/// At most one closure per key runs. Callers that arrive while it runs wait for the *next* run, which starts when
/// this one has ended; however many queue up, there is one next run, and all of them get its outcome. Of their
/// closures the newest runs, on its own caller's thread, and the others are dropped unrun: a write closure should
/// therefore write *the newest state*, not its caller's part of it. (To have every caller's payload merged and pushed,
/// see [`docs::patterns`](crate::docs::patterns).) A closure that does bring its caller's own value is right only where
/// a newer value replaces an older one whole *and* the work cannot fail because of the value: if the newest fails, all
/// it covers get its error, and what they brought is written by nobody.
///
/// Cloning makes another handle to the same group; type parameters are as for [`Group`](crate::Group).
///
/// ```
/// use std::sync::Mutex;
/// use flight_group::WriteGroup;
///
/// let config = Mutex::new(String::new());          // what the service runs with
/// let reloads: WriteGroup<&str> = WriteGroup::new();
///
/// // A burst of change notices, from whichever threads they come in on: each caller returns when a reload that
/// // began after its notice is done, and the burst costs far fewer reloads than notices.
/// std::thread::scope(|s| {
///     for _ in 0..100 {
///         s.spawn(|| reloads.write(&"app.toml", || *config.lock().unwrap() = "as on disk now".to_owned()));
///     }
/// });
/// assert_eq!(*config.lock().unwrap(), "as on disk now");
/// ```
///
/// # Panics
///
/// As for [`Group`](crate::Group): the leader's panic goes on unwinding in the leader, the callers its run covers
/// get [`Error::Panicked`], and the callers queued behind it are not touched.
///
/// # Where it comes from
///
/// The rule is the one a work queue such as client-go's keeps for its keys (one running, one pending), with a
/// result for every submitter; and go-zero's `LockedCalls` with duplicates collapsed.
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
    /// Returns once a run for the key that started after this call arrived has ended: of this call's `work`, or of
    /// a newer caller's.
    ///
    /// Blocks while another run of the key lasts, and then while the one lasts that covers this call.
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
    /// * If `work` runs and panics: with its own payload; in the callers it covers with the words of
    ///   [`Error::Panicked`].
    /// * If waiting would never end, with the words of [`Error::Deadlock`]: a run wrote to its own key.
    #[inline]
    #[track_caller]
    pub fn write<Q>(&self, key: &Q, work: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.engine.run(key, Rule::Queue, Patience::INFALLIBLE, || Ok(work()), Landing::into_value) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher> WriteGroup<K, V, E, S> {
    /// Returns the outcome of a run for the key that started after this call arrived: of this call's `work`, or of
    /// a newer caller's.
    ///
    /// Blocks while another run of the key lasts, and then while the one lasts that covers this call;
    /// [`call`](Self::call) has the deadlines. Returns early only with [`Error::Deadlock`] or
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
    /// * [`Error::Panicked`]: it panicked, and it was another caller's closure.
    /// * [`Error::Deadlock`]: the run in the air waits, perhaps through others, for this thread.
    /// * [`Error::Overloaded`]: [`max_followers`](WriteGroupBuilder::max_followers) already wait.
    ///
    /// # Panics
    ///
    /// If this call's `work` runs and panics, with its own payload. If `V::clone` or `E::clone` panics, in the one
    /// caller it was made for.
    #[inline]
    pub fn try_write<Q>(&self, key: &Q, work: impl FnOnce() -> Result<V, E>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.engine.run(key, Rule::Queue, Patience::default(), work, Landing::into_value)
    }

    /// A call with options: how long to wait, whether to block at all.
    ///
    /// Does nothing until [`run`](WriteCall::run), [`wait`](WriteCall::wait) or [`spawn`](WriteCall::spawn).
    #[inline]
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> WriteCall<'a, K, V, E, S, Q> {
        WriteCall { group: self, key }
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> WriteGroup<K, V, E, S> {
    /// How many wait for the key now, receivers included: counted from the moment they are registered, so that a
    /// test can wait for them. The running leader is not one of them; who is queued to lead next is.
    pub fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.followers(key)
    }
}

impl<K, V, E, S> WriteGroup<K, V, E, S> {
    /// How many keys have a run in the air.
    pub fn in_flight(&self) -> usize {
        self.engine.in_flight()
    }

    /// The runs in the air: see [`Group::flights`](crate::Group::flights).
    pub fn flights(&self) -> Vec<FlightInfo<K>>
    where
        K: Clone,
    {
        self.engine.flights()
    }

    /// What the group has done since it was made.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    pub(crate) fn from_engine(engine: Engine<K, V, E, S>) -> Self {
        Self { engine: Arc::new(engine) }
    }
}

impl<K, V, E, S> Clone for WriteGroup<K, V, E, S> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone() }
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher + Default> Default for WriteGroup<K, V, E, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, V, E, S> fmt::Debug for WriteGroup<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteGroup")
            .field("name", &self.engine.name())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

// As for `Group`: a panic in a call leaves the group in order.
impl<K, V, E, S> UnwindSafe for WriteGroup<K, V, E, S> {}
impl<K, V, E, S> RefUnwindSafe for WriteGroup<K, V, E, S> {}

/// One call to a [`WriteGroup`], with options; made by [`WriteGroup::call`].
#[must_use = "a call does nothing until `run`, `wait` or `spawn`"]
pub struct WriteCall<'a, K, V, E, S, Q: ?Sized> {
    group: &'a WriteGroup<K, V, E, S>,
    key: &'a Q,
}

impl<'a, K, V, E, S, Q: ?Sized> WriteCall<'a, K, V, E, S, Q> {
    /// How long to wait for other callers' runs. The call's own work is never interrupted; once it has become the
    /// one to run next, it runs.
    ///
    /// Counted from the moment the call begins to wait. Zero: do not wait, but run if no run is in the air.
    /// `Duration::MAX`: for ever. A call that times out hands its place to the newest that still waits.
    pub fn timeout(self, timeout: Duration) -> TimedWriteCall<'a, K, V, E, S, Q> {
        TimedWriteCall { call: self, patience: Patience::default() }.timeout(timeout)
    }

    /// The moment at which to stop waiting; otherwise as [`timeout`](Self::timeout). A moment that has passed: do
    /// not wait.
    pub fn deadline(self, deadline: Instant) -> TimedWriteCall<'a, K, V, E, S, Q> {
        TimedWriteCall { call: self, patience: Patience::default() }.deadline(deadline)
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher, Q> WriteCall<'_, K, V, E, S, Q>
where
    K: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// Queues, and blocks until the run that covers this call has ended: [`try_write`](WriteGroup::try_write) with
    /// the circumstances.
    ///
    /// ```
    /// use flight_group::{Role, WriteGroup};
    ///
    /// let saves: WriteGroup<u32> = WriteGroup::new();
    /// let landing = saves.call(&1).run(|| Ok(())).unwrap();
    /// assert_eq!(landing.role, Role::Leader);      // `Follower`: a newer caller's closure covered this call
    /// ```
    ///
    /// # Errors
    ///
    /// As [`WriteGroup::try_write`], and [`Error::TimedOut`] where the call has a [`timeout`](WriteCall::timeout)
    /// or [`deadline`](WriteCall::deadline): its closure was not run by this call; a newer caller's run may have
    /// covered, or may yet cover, what it wanted written.
    ///
    /// # Panics
    ///
    /// As [`WriteGroup::try_write`].
    #[inline]
    pub fn run(self, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        self.group.engine.run(self.key, Rule::Queue, Patience::default(), work, identity)
    }

    /// Waits until all writes of the key that arrived before this call are done, without writing: follows the
    /// newest run, in the air or queued. `None`, at once, if there is none.
    ///
    /// ```
    /// use flight_group::WriteGroup;
    ///
    /// let saves: WriteGroup<u32> = WriteGroup::new();
    /// assert_eq!(saves.call(&1).wait(), None);     // nothing to wait for: everything is written
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`Error::Abandoned`] if the run it waited for never began and no other is in the
    /// air.
    pub fn wait(self) -> Option<Result<Landing<V>, Error<E>>> {
        self.group.engine.wait(self.key, Existing::Newest, Patience::default())
    }
}

impl<K, V, E, S, Q> WriteCall<'_, K, V, E, S, Q>
where
    K: Hash + Eq + Clone + Send + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    Q: ToOwned<Owned = K> + ?Sized,
{
    /// Queues without blocking; the outcome comes through the receiver. See [`Call::spawn`](crate::Call::spawn).
    ///
    /// A dropped receiver cancels nothing: the write is done, or covered by a newer one.
    ///
    /// ```
    /// use flight_group::WriteGroup;
    ///
    /// let saves: WriteGroup<u32, &str> = WriteGroup::new();
    /// let receiver = saves.call(&1).spawn(|| Ok("saved"));
    /// assert_eq!(receiver.recv().unwrap().unwrap().value, "saved");
    /// ```
    pub fn spawn(self, work: impl FnOnce() -> Result<V, E> + Send + 'static) -> Receiver<Result<Landing<V>, Error<E>>> {
        self.group.engine.spawn(self.key.to_owned(), Rule::Queue, work)
    }
}

/// A call to a [`WriteGroup`] that does not wait for ever; made by [`WriteCall::timeout`] and
/// [`WriteCall::deadline`].
#[must_use = "a call does nothing until `run` or `wait`"]
pub struct TimedWriteCall<'a, K, V, E, S, Q: ?Sized> {
    call: WriteCall<'a, K, V, E, S, Q>,
    patience: Patience,
}

impl<K, V, E, S, Q: ?Sized> TimedWriteCall<'_, K, V, E, S, Q> {
    /// See [`WriteCall::timeout`]; replaces an earlier timeout or deadline.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.set_timeout(timeout);
        self
    }

    /// See [`WriteCall::deadline`]; replaces an earlier timeout or deadline.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.patience.set_deadline(deadline);
        self
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher, Q> TimedWriteCall<'_, K, V, E, S, Q>
where
    K: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// Queues, and blocks until the covering run has ended or the time is up: see [`WriteCall::run`].
    #[inline]
    pub fn run(self, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        self.call.group.engine.run(self.call.key, Rule::Queue, self.patience, work, identity)
    }

    /// Waits for the newest run, until the time is up: see [`WriteCall::wait`].
    pub fn wait(self) -> Option<Result<Landing<V>, Error<E>>> {
        self.call.group.engine.wait(self.call.key, Existing::Newest, self.patience)
    }
}

impl<K, V, E, S, Q: fmt::Debug + ?Sized> fmt::Debug for WriteCall<'_, K, V, E, S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteCall").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<K, V, E, S, Q: fmt::Debug + ?Sized> fmt::Debug for TimedWriteCall<'_, K, V, E, S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedWriteCall")
            .field("call", &self.call)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
