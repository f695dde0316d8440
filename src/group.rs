//! Reads: a call boards the flight that is already in the air.

use crate::builder::GroupBuilder;
use crate::engine::{Engine, Existing, Patience, Rule};
use crate::error::Error;
use crate::landing::Landing;
use crate::stats::{FlightInfo, Stats};
use crossbeam_channel::Receiver;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::convert::{Infallible, identity};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A single-flight group for reads: of all who want the same key at the same time, one does the work and everyone
/// gets the outcome.
///
/// The first caller for a key runs its closure on its own thread; callers that arrive while it runs block and
/// share what it returns. Once it has returned, the flight has landed: nothing is kept, and the next caller starts
/// anew. A group is no cache, and wants one behind it: see [`docs::patterns`](crate::docs::patterns).
///
/// Cloning a group makes another handle to the same one.
///
/// * `K`: the key, `Hash + Eq + Clone`. Calls take it borrowed, as a type whose `to_owned` makes a `K`: `"a"` for a
///   `Group<String, _>`, but `&"a"` for a `Group<&str, _>`, and only a `&Arc<str>` for a `Group<Arc<str>, _>`. (The
///   compiler says of the others "expected `&str`, found `String`".) A follower never allocates a key.
/// * `V`, `E`: what the work returns, `Clone`; put what is costly to clone, or cannot be, into an `Arc`.
/// * A group that threads share needs `K: Send` and `V, E: Send + Sync`; only [`spawn`](Call::spawn) and
///   [`invalidates`](crate::WriteGroupBuilder::invalidates) ask for `'static`.
///
/// A group belongs where its keys do: in the struct that owns the cache or the client, or in a `static`:
///
/// ```
/// use flight_group::Group;
/// use std::sync::{Arc, LazyLock};
///
/// static PAGES: LazyLock<Group<String, Arc<str>>> = LazyLock::new(Group::new);
///
/// // Eight threads want the same page; `render` runs once for all that come while it runs.
/// let pages: Vec<Arc<str>> = std::thread::scope(|s| {
///     let calls: Vec<_> = (0..8).map(|_| s.spawn(|| PAGES.work("/index", || Arc::from("<h1>hello</h1>")))).collect();
///     calls.into_iter().map(|call| call.join().unwrap()).collect()
/// });
/// assert!(pages.iter().all(|page| &**page == "<h1>hello</h1>"));
/// assert_eq!(PAGES.in_flight(), 0);
/// ```
///
/// # Panics
///
/// If the leader's closure panics, the panic goes on unwinding on the leader's thread; followers get
/// [`Error::Panicked`] with its message, never a made-up value; and the key works afterwards.
///
/// The key's `Eq`, and for a new leader its `ToOwned`, run under the lock of a shard: they must not call the
/// group. A panic in them leaves the group as it was.
///
/// # Where it comes from
///
/// The rule is groupcache's and x/sync's `singleflight`, the blocking face go-zero's `SingleFlight`. What they do
/// when the work panics, re-enters or fails is not: see [`docs::limitations`](crate::docs::limitations) for its own.
pub struct Group<K, V, E = Infallible, S = RandomState> {
    engine: Arc<Engine<K, V, E, S>>,
}

impl<K: Hash + Eq, V, E> Group<K, V, E> {
    /// A group with default settings. It allocates its table, 64 bytes a shard, at the first call.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A group with settings: see [`GroupBuilder`].
    pub fn builder() -> GroupBuilder<K, V, E> {
        GroupBuilder::new()
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Group<K, V, E, S> {
    /// A group with default settings that hashes its keys with `hasher`.
    ///
    /// ```
    /// use flight_group::Group;
    /// use std::hash::RandomState;
    ///
    /// let group: Group<u64, String> = Group::with_hasher(RandomState::new());
    /// assert_eq!(group.work(&1, || "one".to_owned()), "one");
    /// ```
    pub fn with_hasher(hasher: S) -> Self {
        GroupBuilder::<K, V, E>::new().hasher(hasher).build()
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Group<K, V, Infallible, S>
where
    V: Clone,
{
    /// Returns what the key's flight returns: of this call's `work`, or of somebody else's that is already in the
    /// air.
    ///
    /// Blocks while `work` runs here, or until the flight in the air has landed. For work that cannot fail; see
    /// [`try_work`](Self::try_work).
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let squares: Group<u64, u64> = Group::new();
    /// assert_eq!(squares.work(&12, || 144), 144);
    /// ```
    ///
    /// # Panics
    ///
    /// * If `work` panics: with its own payload, here; in each follower with the words of [`Error::Panicked`].
    /// * If waiting would never end, with the words of [`Error::Deadlock`]: `work` called the group for its own
    ///   key, or two threads wait for each other's flights.
    #[inline]
    #[track_caller]
    pub fn work<Q>(&self, key: &Q, work: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.engine.run(key, Rule::Join, Patience::INFALLIBLE, || Ok(work()), Landing::into_value) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher> Group<K, V, E, S> {
    /// Returns what the key's flight returns: of this call's `work`, or of somebody else's that is already in the
    /// air. go-zero's `Do`.
    ///
    /// Blocks while `work` runs here, or until the flight in the air has landed; [`call`](Self::call) has the
    /// deadlines. Returns early only with [`Error::Deadlock`] or [`Error::Overloaded`].
    ///
    /// ```
    /// use flight_group::{Error, Group};
    ///
    /// let group: Group<u32, String, &str> = Group::new();
    /// assert_eq!(group.try_work(&1, || Ok("one".to_owned())), Ok("one".to_owned()));
    /// assert_eq!(group.try_work(&2, || Err("no row")), Err(Error::Work("no row")));
    ///
    /// // Waiting for oneself is refused, not a hang.
    /// let nested = group.try_work(&3, || match group.try_work(&3, || Ok(String::new())) {
    ///     Err(Error::Deadlock(circle)) => Ok(circle.to_string()),
    ///     other => other.map_err(|_| "unexpected"),
    /// });
    /// assert!(nested.unwrap().starts_with("deadlock: this thread would wait for flight"));
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Error::Work`]: the closure that ran returned an error; every follower gets a clone of it.
    /// * [`Error::Panicked`]: this call followed, and its leader's closure panicked.
    /// * [`Error::Deadlock`]: the flight waits, perhaps through others, for this thread.
    /// * [`Error::Overloaded`]: [`max_followers`](GroupBuilder::max_followers) already wait.
    ///
    /// # Panics
    ///
    /// If this call leads and `work` panics, with its own payload. If `V::clone` or `E::clone` panics, in the one
    /// caller it was made for.
    #[inline]
    pub fn try_work<Q>(&self, key: &Q, work: impl FnOnce() -> Result<V, E>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.engine.run(key, Rule::Join, Patience::default(), work, Landing::into_value)
    }

    /// A call with options: how long to wait, whether an older flight will do, whether to block at all.
    ///
    /// Does nothing until [`run`](Call::run), [`wait`](Call::wait) or [`spawn`](Call::spawn).
    #[inline]
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> Call<'a, K, V, E, S, Q> {
        Call { group: self, key, rule: Rule::Join }
    }

    /// Reads several keys with one piece of work: `work` is given those that nobody else is reading, and the rest
    /// are awaited from whoever is. samber's `go-singleflightx` has it for Go.
    ///
    /// Blocks while `work` runs, and then until the flights of the other keys have landed. It shares the one table
    /// with single calls: whoever asks for one of these keys meanwhile, alone or among many, boards its flight.
    /// Duplicate keys are asked for once; `work` is not called if nothing is left for it; keys it returns without
    /// having been asked are dropped. Its own flights land *before* it waits for others', so that two calls for
    /// a, b and b, a never wait for each other.
    ///
    /// The result has one entry for each key, also for those there is nothing for:
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use flight_group::{Error, Group};
    ///
    /// let group: Group<u32, String, &str> = Group::new();
    /// let found = group.work_many(&[1, 2, 2, 3], |missing| {
    ///     assert_eq!(missing, [1, 2, 3]);
    ///     Ok(HashMap::from([(1, "one".to_owned()), (2, "two".to_owned())]))
    /// });
    ///
    /// assert_eq!(found[&1].as_ref().unwrap().value, "one");
    /// assert_eq!(found[&3], Err(Error::missing()));       // whoever boarded key 3 got the same
    ///
    /// let down = group.work_many(&[1, 2], |_| Err("no connection"));
    /// assert!(down.values().all(|share| *share == Err(Error::Work("no connection"))));
    /// ```
    ///
    /// # Errors
    ///
    /// For each key: [`Error::Missing`] if the work that was done for it did not return it; otherwise as
    /// [`try_work`](Self::try_work), and [`Error::Abandoned`] if the flight it waited for never ran, since this
    /// call has no closure left to board again with.
    ///
    /// # Panics
    ///
    /// If `work` panics, with its own payload; those who boarded its flights get [`Error::Panicked`].
    pub fn work_many(
        &self,
        keys: &[K],
        work: impl FnOnce(&[K]) -> Result<HashMap<K, V>, E>,
    ) -> HashMap<K, Result<Landing<V>, Error<E>>>
    where
        K: Clone,
    {
        self.engine.run_many(keys, work)
    }

    /// Detaches the key's flight in the air; `false` if there is none. x/sync's `Forget`.
    ///
    /// Never blocks. The flight's callers still get its outcome, marked
    /// [`detached`](Landing::detached) and not fit for a cache; the next caller starts anew; and the old flight's
    /// landing never removes its successor. Callers queued behind it with [`fresh`](Call::fresh) go into the air
    /// at once.
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let old = group.call(&"rate").run(|| {
    ///     assert!(group.forget(&"rate"));                    // the rate changed while we were reading it
    ///     assert_eq!(group.work(&"rate", || 2), 2);          // who asks now does not board the old flight
    ///     Ok(1)
    /// });
    /// assert!(old.unwrap().detached());
    /// assert!(!group.forget(&"rate"));
    /// ```
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.engine.forget_and_tell(key)
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Group<K, V, E, S> {
    /// How many wait for the key now, receivers included: counted from the moment they are registered, so that a
    /// test can wait for them. The leader is not one of them.
    pub fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.followers(key)
    }
}

impl<K, V, E, S> Group<K, V, E, S> {
    /// How many keys have a flight in the air that a caller would meet; detached flights no longer count.
    pub fn in_flight(&self) -> usize {
        self.engine.in_flight()
    }

    /// The flights in the air: what is stuck, since when, and how many wait for it.
    ///
    /// For diagnosis: it locks one shard after the other and clones keys under the lock (the one place that does;
    /// a clone that panics changes nothing).
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<&str, u32> = Group::builder().timed().build();
    /// group.work(&"slow", || {
    ///     let stuck = group.flights();
    ///     assert_eq!((stuck[0].key, stuck[0].followers), ("slow", 0));
    ///     assert!(stuck[0].age.is_some());
    ///     1
    /// });
    /// assert!(group.flights().is_empty());
    /// ```
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

impl<K, V, E, S> Clone for Group<K, V, E, S> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone() }
    }
}

impl<K: Hash + Eq, V, E, S: BuildHasher + Default> Default for Group<K, V, E, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, V, E, S> fmt::Debug for Group<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.engine.name())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

// A panic anywhere in a call leaves the group in order (P5), so that it may be looked at afterwards. The compiler
// cannot know: parking_lot's mutexes, which have no poison, promise nothing.
impl<K, V, E, S> UnwindSafe for Group<K, V, E, S> {}
impl<K, V, E, S> RefUnwindSafe for Group<K, V, E, S> {}

/// One call to a [`Group`], with options; made by [`Group::call`].
#[must_use = "a call does nothing until `run`, `wait` or `spawn`"]
pub struct Call<'a, K, V, E, S, Q: ?Sized> {
    group: &'a Group<K, V, E, S>,
    key: &'a Q,
    rule: Rule,
}

impl<'a, K, V, E, S, Q: ?Sized> Call<'a, K, V, E, S, Q> {
    /// Only a flight that starts after this call will do: if one is in the air, waits for it to land and takes
    /// part in the next, which all who ask for a fresh one meanwhile share. The way to read after a write.
    ///
    /// Of the closures that queue up the newest runs; the others are dropped unrun, and their callers get its
    /// outcome.
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let landing = group.call(&"k").fresh().run(|| Ok(1)).unwrap();
    /// assert_eq!(landing.value, 1);
    /// ```
    pub fn fresh(mut self) -> Self {
        self.rule = Rule::Queue;
        self
    }

    /// How long to wait for somebody else's flight. The call's own work is never interrupted.
    ///
    /// Counted from the moment the call begins to wait. Zero: do not wait, but lead if there is no flight.
    /// `Duration::MAX`: for ever.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::{Error, Group};
    ///
    /// let group: Group<u32, u32> = Group::new();
    /// group.work(&1, || {
    ///     std::thread::scope(|s| {
    ///         let other = s.spawn(|| group.call(&1).timeout(Duration::ZERO).run(|| Ok(2)));
    ///         assert_eq!(other.join().unwrap(), Err(Error::timed_out()));   // and its closure was not run
    ///     });
    ///     1
    /// });
    /// assert_eq!(group.call(&1).timeout(Duration::ZERO).run(|| Ok(2)).unwrap().value, 2);
    /// ```
    pub fn timeout(self, timeout: Duration) -> TimedCall<'a, K, V, E, S, Q> {
        TimedCall { call: self, patience: Patience::default() }.timeout(timeout)
    }

    /// The moment at which to stop waiting for somebody else's flight; otherwise as [`timeout`](Self::timeout). A
    /// moment that has passed: do not wait.
    pub fn deadline(self, deadline: Instant) -> TimedCall<'a, K, V, E, S, Q> {
        TimedCall { call: self, patience: Patience::default() }.deadline(deadline)
    }

    /// After having waited so long, detaches the flight that keeps this call waiting (once, by identity), and
    /// boards anew: leads, or follows whoever was quicker.
    ///
    /// Callers without the option stay with the old flight, which goes on; every closure that runs returns its own
    /// outcome to its own callers. For work that may hang and is harmless to repeat.
    pub fn takeover_after(self, wait: Duration) -> TimedCall<'a, K, V, E, S, Q> {
        TimedCall { call: self, patience: Patience::default() }.takeover_after(wait)
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher, Q> Call<'_, K, V, E, S, Q>
where
    K: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// Boards, and blocks until the flight has landed. go-zero's `DoEx`.
    ///
    /// ```
    /// use flight_group::{Group, Role};
    ///
    /// let group: Group<u32, &str> = Group::new();
    /// let landing = group.call(&1).run(|| Ok("one")).unwrap();
    /// assert_eq!((landing.value, landing.role), ("one", Role::Leader));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Group::try_work`], and [`Error::TimedOut`] where the call has a
    /// [`timeout`](Call::timeout) or [`deadline`](Call::deadline). An outcome that is there wins over a timeout.
    ///
    /// # Panics
    ///
    /// As [`Group::try_work`].
    #[inline]
    pub fn run(self, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        self.group.engine.run(self.key, self.rule, Patience::default(), work, identity)
    }

    /// Follows the key's flight if there is one, and never leads: `None`, at once, if there is none.
    ///
    /// Blocks until the flight has landed. After [`fresh`](Self::fresh) only a queued flight counts.
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<u32, u32> = Group::new();
    /// assert_eq!(group.call(&1).wait(), None);
    ///
    /// let receiver = group.call(&1).spawn(|| Ok(11));
    /// if let Some(landing) = group.call(&1).wait() {     // `None` if it has landed already
    ///     assert_eq!(landing.unwrap().value, 11);
    /// }
    /// # receiver.recv().unwrap().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`Error::Abandoned`] if the flight ended without having run.
    pub fn wait(self) -> Option<Result<Landing<V>, Error<E>>> {
        self.group.engine.wait(self.key, existing(self.rule), Patience::default())
    }
}

impl<K, V, E, S, Q> Call<'_, K, V, E, S, Q>
where
    K: Hash + Eq + Clone + Send + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    Q: ToOwned<Owned = K> + ?Sized,
{
    /// Boards without blocking: if this call leads, `work` runs on the group's
    /// [`executor`](GroupBuilder::executor) (by default a thread of its own), and in any case the outcome comes
    /// through the receiver.
    ///
    /// For callers that want to be able to leave, leader included: a leader that blocks cannot be timed out, a
    /// receiver can be waited for with `recv_timeout` or `select!`. Dropping the receiver cancels nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use crossbeam_channel::{after, select};
    /// use flight_group::{Group, Role};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let answer = group.call(&"answer").spawn(|| Ok(42));
    /// select! {
    ///     recv(answer) -> landing => {
    ///         let landing = landing.unwrap().unwrap();
    ///         assert_eq!((landing.value, landing.role), (42, Role::Leader));
    ///     }
    ///     recv(after(Duration::from_secs(10))) -> _ => panic!("gave up; the work goes on without us"),
    /// }
    /// ```
    ///
    /// What arrives is what [`run`](Self::run) would have returned, with two differences: a panic of the closure,
    /// this call's own included, arrives as [`Error::Panicked`]; and [`Error::Abandoned`] arrives if the executor
    /// dropped this call's job or no thread could be started for it.
    #[doc(alias = "DoChan")]
    #[doc(alias = "do_chan")]
    pub fn spawn(self, work: impl FnOnce() -> Result<V, E> + Send + 'static) -> Receiver<Result<Landing<V>, Error<E>>> {
        self.group.engine.spawn(self.key.to_owned(), self.rule, work)
    }
}

/// A call to a [`Group`] that does not wait for ever; made by [`Call::timeout`] and its relatives.
///
/// A spawned call has no timer, and so `spawn` is not here: its receiver has `recv_timeout`.
#[must_use = "a call does nothing until `run` or `wait`"]
pub struct TimedCall<'a, K, V, E, S, Q: ?Sized> {
    call: Call<'a, K, V, E, S, Q>,
    patience: Patience,
}

impl<K, V, E, S, Q: ?Sized> TimedCall<'_, K, V, E, S, Q> {
    /// See [`Call::fresh`].
    pub fn fresh(mut self) -> Self {
        self.call = self.call.fresh();
        self
    }

    /// See [`Call::timeout`]; replaces an earlier timeout or deadline.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.set_timeout(timeout);
        self
    }

    /// See [`Call::deadline`]; replaces an earlier timeout or deadline.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.patience.set_deadline(deadline);
        self
    }

    /// See [`Call::takeover_after`]. Without effect on [`wait`](Self::wait), which has nothing to take over with.
    pub fn takeover_after(mut self, wait: Duration) -> Self {
        self.patience.takeover = Some(wait);
        self
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher, Q> TimedCall<'_, K, V, E, S, Q>
where
    K: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// Boards, and blocks until the flight has landed or the time is up: see [`Call::run`].
    #[inline]
    pub fn run(self, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        self.call.group.engine.run(self.call.key, self.call.rule, self.patience, work, identity)
    }

    /// Follows the key's flight if there is one: see [`Call::wait`].
    pub fn wait(self) -> Option<Result<Landing<V>, Error<E>>> {
        self.call.group.engine.wait(self.call.key, existing(self.call.rule), self.patience)
    }
}

fn existing(rule: Rule) -> Existing {
    match rule {
        Rule::Join => Existing::Current,
        Rule::Queue => Existing::Queued,
    }
}

impl<K, V, E, S, Q: fmt::Debug + ?Sized> fmt::Debug for Call<'_, K, V, E, S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("key", &self.key)
            .field("fresh", &(self.rule == Rule::Queue))
            .finish_non_exhaustive()
    }
}

impl<K, V, E, S, Q: fmt::Debug + ?Sized> fmt::Debug for TimedCall<'_, K, V, E, S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedCall").field("call", &self.call).field("patience", &self.patience).finish_non_exhaustive()
    }
}
