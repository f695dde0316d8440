//! Reads: a call boards the flight that is already in the air.

mod many;

pub use many::ManyCall;

use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::options::{Config, WaitOptions, Which};
use crate::error::Error;
use crate::face::face;
use crate::landing::Landing;
#[cfg(feature = "redis")]
use crate::observer::EventKind;
use crate::settings::settings;
use crate::site::Kind;
use crossbeam_channel::Receiver;
use std::borrow::Borrow;
use std::convert::{Infallible, identity};
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A single-flight group for reads: if many threads want the same key at the same time, one does the work and all get
/// the outcome.
///
/// The first caller for a key runs its closure on its own thread. Callers that arrive while it runs block and share what
/// it returns. When it has returned, the flight has landed: nothing is kept, and the next caller starts anew. A group is
/// not a cache. Use it around the code that fills your cache: see [`docs::patterns`](crate::docs::patterns).
///
/// Cloning a group makes another handle to the same group.
///
/// * `K`: the key, `Hash + Eq + Clone`. Calls take it borrowed, as a type whose `to_owned` makes a `K`: `"a"` for a
///   `Group<String, _>`, but `&"a"` for a `Group<&str, _>`, and only a `&Arc<str>` for a `Group<Arc<str>, _>`. (The
///   compiler says of the others "expected `&str`, found `String`".) A follower never allocates a key.
/// * `V`, `E`: what the work returns, `Clone`. Put a value that is costly to clone, or cannot be cloned, into an `Arc`.
///   For errors of any type there is [`SharedError`](crate::SharedError).
/// * A group that threads share needs `K: Send` and `V, E: Send + Sync`. Only [`spawn`](Group::spawn) and
///   [`invalidates`](crate::WriteGroupBuilder::invalidates) need `'static`.
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
///     let page = || PAGES.work("/index", || Arc::from("<h1>hello</h1>"));
///     let calls: Vec<_> = (0..8).map(|_| s.spawn(page)).collect();
///     calls.into_iter().map(|call| call.join().unwrap()).collect()
/// });
/// assert!(pages.iter().all(|page| &**page == "<h1>hello</h1>"));
/// assert_eq!(PAGES.in_flight(), 0);
/// ```
///
/// # Panics
///
/// If the leader's closure panics, the panic goes on unwinding on the leader's thread. Followers get
/// [`Error::Panicked`] with its message, and never a made-up value. The key works afterwards.
///
/// The key's `Eq`, and for a new leader its `ToOwned`, run under the lock of the key's shard. They must be quick and must
/// not call the group. A panic in them leaves the group as it was. Nothing else of yours runs under that lock, except the
/// key's `Clone` in [`flights`](Group::flights).
///
/// # Where it comes from
///
/// The rule is that of groupcache's and x/sync's `singleflight`. The blocking calls are those of go-zero's
/// `SingleFlight`. [`docs::comparison`](crate::docs::comparison) shows what each does when the work panics, fails or calls
/// its own key, and [`docs::limitations`](crate::docs::limitations) shows the limits of this one.
#[doc(alias = "singleflight")]
#[doc(alias = "dedup")]
#[doc(alias = "coalesce")]
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
    /// Returns what `work` returns, or what another caller's flight returns that is already in the air.
    ///
    /// Blocks while `work` runs, or until the flight in the air has landed. For work that cannot fail; otherwise see
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
    /// * If `work` panics: here with its own payload, in each follower with the words of [`Error::Panicked`].
    /// * If the wait would never end, with the words of [`Error::Deadlock`]: `work` called the group for its own
    ///   key, or two threads wait for each other's flights.
    #[doc(alias = "get_with")]
    #[doc(alias = "get_or_init")]
    #[inline]
    #[track_caller]
    pub fn work<Q>(&self, key: &Q, work: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match self.engine.run(key, Which::Current, WaitOptions::INFALLIBLE, || Ok(work()), Landing::into_value) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher> Group<K, V, E, S> {
    /// Returns what `work` returns, or what another caller's flight returns that is already in the air. go-zero's `Do`.
    ///
    /// Blocks while `work` runs, or until the flight in the air has landed. For a deadline or a cancel token use
    /// [`call`](Self::call). Returns early only with [`Error::Deadlock`] or [`Error::Overloaded`].
    ///
    /// ```
    /// use flight_group::{Error, Group};
    ///
    /// let group: Group<u32, String, &str> = Group::new();
    /// assert_eq!(group.try_work(&1, || Ok("one".to_owned())), Ok("one".to_owned()));
    /// assert_eq!(group.try_work(&2, || Err("no row")), Err(Error::Work("no row")));
    ///
    /// // A closure that calls for its own key gets an error, and does not hang.
    /// let nested = group.try_work(&3, || match group.try_work(&3, || Ok(String::new())) {
    ///     Err(Error::Deadlock(circle)) => Ok(circle.to_string()),
    ///     other => other.map_err(|_| "unexpected"),
    /// });
    /// assert!(nested.unwrap().starts_with("deadlock: this thread would wait for flight"));
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Error::Work`]: the closure that ran returned an error. Every follower gets a clone of it.
    /// * [`Error::Panicked`]: this call followed, and its leader's closure panicked.
    /// * [`Error::Deadlock`]: the flight waits, perhaps through others, for this thread.
    /// * [`Error::Overloaded`]: [`max_followers`](GroupBuilder::max_followers) callers already wait.
    ///
    /// # Panics
    ///
    /// If this call leads and `work` panics, with its own payload. If `V::clone` or `E::clone` panics, in the one
    /// caller whose copy it is.
    #[doc(alias = "Do")]
    #[doc(alias = "try_get_with")]
    #[inline]
    pub fn try_work<Q>(&self, key: &Q, work: impl FnOnce() -> Result<V, E>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.engine.run(key, Which::Current, WaitOptions::default(), work, Landing::into_value)
    }

    /// Reads through a cache: looks, boards if there is nothing, looks again inside the flight, and loads. Returns what
    /// `lookup` found, or what the key's flight returned.
    ///
    /// The first look makes a hit cost nothing but the look. The second, in the flight, is for a caller that missed just
    /// before another's flight landed: without it, that caller would load the value again. `load` stores what it has
    /// loaded, where `lookup` finds it, before it returns. Then each expiry costs one load, however many threads come and
    /// however they are scheduled (unless flights are [forgotten](Self::forget), too old, or taken over).
    ///
    /// Blocks as [`try_work`](Self::try_work) does, and not at all if the first look finds something.
    /// [`Call::read_through`] has the deadlines. The group knows of no cache: `lookup` and `load` are all it is told.
    ///
    /// ```
    /// use flight_group::{Error, Group};
    /// use std::{collections::HashMap, sync::Mutex};
    ///
    /// let cache = Mutex::new(HashMap::from([(1, "one")]));
    /// let group: Group<u32, &str, &str> = Group::new();
    /// let get = |id: u32| {
    ///     group.read_through(&id, || cache.lock().unwrap().get(&id).copied(), || match id {
    ///         404 => Err("no row"),
    ///         _ => {
    ///             cache.lock().unwrap().insert(id, "loaded"); // before the flight lands
    ///             Ok("loaded")
    ///         }
    ///     })
    /// };
    ///
    /// assert_eq!(get(1), Ok("one"));                      // a hit: nothing is in the air
    /// assert_eq!(group.stats().led, 0);
    /// assert_eq!(get(2), Ok("loaded"));
    /// assert_eq!(get(404), Err(Error::Work("no row")));   // shared by all who waited, and not kept
    /// assert_eq!(group.stats().led, 2);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`try_work`](Self::try_work). A hit of the first look is never refused.
    ///
    /// # Panics
    ///
    /// As [`try_work`](Self::try_work). If the first look panics, in this call alone; the second is part of the work.
    #[doc(alias = "try_get_with")]
    #[doc(alias = "get_or_init")]
    pub fn read_through<Q>(
        &self,
        key: &Q,
        lookup: impl Fn() -> Option<V>,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.call(key).read_through(lookup, load)
    }

    /// A call with options: how long to wait, what else ends the wait, and whether to join a flight in the air.
    ///
    /// Does nothing until [`run`](Call::run) or [`follow`](Call::follow).
    #[inline]
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> Call<'a, K, V, E, S, Q> {
        Call { group: self, key, which: Which::Current, options: WaitOptions::default() }
    }

    /// Detaches the key's flight in the air. Returns `false` if there is none. x/sync's `Forget`.
    ///
    /// Never blocks. The flight's callers still get its outcome, marked [`detached`](Landing::detached): do not put it
    /// into a cache. The next caller starts anew. The landing of the old flight never removes the new one. Callers
    /// queued behind it with [`fresh`](Call::fresh) go into the air at once.
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let old = group.call(&"rate").run(|| {
    ///     assert!(group.forget(&"rate"));               // the rate changed while we read it
    ///     assert_eq!(group.work(&"rate", || 2), 2);     // does not join the old flight
    ///     Ok(1)
    /// });
    /// assert!(old.unwrap().detached());
    /// assert!(!group.forget(&"rate"));
    /// ```
    #[doc(alias = "Forget")]
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.engine.forget_and_tell(key)
    }
}

impl<K: Clone, V, E, S> Group<K, V, E, S> {
    /// Detaches every flight in the air, each as [`forget`](Self::forget) does: after a failover, or when all that is
    /// being read has changed. Returns how many there were.
    ///
    /// Never blocks. A flight that takes off meanwhile may be left out.
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let old = group.call(&"rate").run(|| {
    ///     assert_eq!(group.forget_all(), 1);
    ///     assert_eq!(group.work(&"rate", || 2), 2);      // a new call does not board the old flight
    ///     Ok(1)
    /// });
    /// assert!(old.unwrap().detached());
    /// assert_eq!(group.forget_all(), 0);                     // nothing is in the air
    /// ```
    pub fn forget_all(&self) -> usize {
        self.engine.forget_if(|_| true)
    }

    /// Detaches the flights in the air whose keys `which` says yes to, each as [`forget`](Self::forget) does. Returns how
    /// many there were.
    ///
    /// Never blocks. The keys in the air are cloned first, under the lock of one shard after the other. `which` runs after
    /// that, with no lock held, once for each of them: it may take long, and it may call the group. What it says of a
    /// key concerns the flight that was in the air at that time, and no later one of the same key. A flight that
    /// takes off meanwhile may be left out.
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let pages: Group<String, u32> = Group::new();
    /// pages.work("/users/7", || {
    ///     pages.work("/posts/1", || {
    ///         assert_eq!(pages.forget_if(|path| path.starts_with("/users/")), 1);
    ///         assert_eq!(pages.in_flight(), 1);              // the other one
    ///         0
    ///     })
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// If `which` panics; nothing is forgotten then.
    pub fn forget_if(&self, which: impl FnMut(&K) -> bool) -> usize {
        self.engine.forget_if(which)
    }
}

impl<K, V, E, S> Group<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Joins the flight in the air, or starts one, without blocking. If this call leads, `work` runs on the group's
    /// [`executor`](GroupBuilder::executor), by default on a thread of the group. The outcome comes through the receiver.
    ///
    /// Use it where the first caller must be able to leave, too. A leader that blocks cannot be timed out. A receiver can
    /// be waited for with `recv_timeout` or `select!`. Dropping the receiver cancels nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::crossbeam_channel::{after, select};
    /// use flight_group::{Group, Role};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let answer = group.spawn(&"answer", || Ok(42));
    /// select! {
    ///     recv(answer) -> landing => {
    ///         let landing = landing.unwrap().unwrap();
    ///         assert_eq!((landing.value, landing.role), (42, Role::Leader));
    ///     }
    ///     recv(after(Duration::from_secs(10))) -> _ => panic!("too slow; the work goes on"),
    /// }
    /// ```
    ///
    /// Exactly one message arrives: what [`Call::run`] would have returned, with two differences. A panic of the
    /// closure, also of this call's own, arrives as [`Error::Panicked`]. [`Error::Abandoned`] arrives if the executor
    /// dropped this call's job, or if no thread could be started for it. The message arrives also if the group is
    /// dropped first, so `recv()` does not fail. (It does only if the call boards again and the key's `Hash`, `Eq` or
    /// `Clone` panics. It waits for ever if an executor keeps the job for ever.)
    ///
    /// A flight that is in the air when `main` returns ends with the process. Dropping the group waits for nothing.
    #[doc(alias = "DoChan")]
    #[doc(alias = "do_chan")]
    pub fn spawn<Q>(
        &self,
        key: &Q,
        work: impl FnOnce() -> Result<V, E> + Send + 'static,
    ) -> Receiver<Result<Landing<V>, Error<E>>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        self.engine.spawn(key.to_owned(), Which::Current, work)
    }

    /// [`spawn`](Self::spawn) with a flight that starts after this call: see [`Call::fresh`].
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let fresh = group.spawn_fresh(&"k", || Ok(1));
    /// assert_eq!(fresh.recv().unwrap().unwrap().value, 1);
    /// ```
    pub fn spawn_fresh<Q>(
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

/// For the groups of a fleet, which are such a group within their process.
#[cfg(feature = "redis")]
impl<K: Hash + Eq, V, E> Group<K, V, E> {
    pub(crate) fn configured(config: Config<K>) -> Self {
        Self { engine: Arc::new(Engine::new(RandomState::new(), None, config, (), None, Clock::system())) }
    }

    /// Tells what the engine cannot know of a flight.
    pub(crate) fn tell<Q>(&self, key: &Q, flight: u64, kind: EventKind)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.engine.tell_of(flight, || key.to_owned(), kind);
    }
}

face!(Group, "A leader is not counted.", "flights in the air");

/// One call to a [`Group`], with options; made by [`Group::call`].
///
/// It is `Copy` and can be used again: `run` and `follow` do not change it.
#[must_use = "a call does nothing until `run` or `follow`"]
pub struct Call<'a, K, V, E, S, Q: ?Sized> {
    group: &'a Group<K, V, E, S>,
    key: &'a Q,
    which: Which,
    options: WaitOptions<'a>,
}

impl<K, V, E, S, Q: ?Sized> Clone for Call<'_, K, V, E, S, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V, E, S, Q: ?Sized> Copy for Call<'_, K, V, E, S, Q> {}

impl<'a, K, V, E, S, Q: ?Sized> Call<'a, K, V, E, S, Q> {
    /// The call gets data that was read after it was made. It joins no flight in the air: it waits until that one has
    /// landed, and then takes part in the next. All fresh calls that wait meanwhile share that next flight. Use it to read
    /// after a write.
    ///
    /// Of the queued closures only the newest runs. The others are dropped unrun, and their callers get its outcome.
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let landing = group.call(&"k").fresh().run(|| Ok(1)).unwrap();
    /// assert_eq!(landing.value, 1);
    /// ```
    pub fn fresh(mut self) -> Self {
        self.which = Which::Next;
        self
    }

    /// How long to wait for another caller's flight. If this call leads, its work is not interrupted: give the work
    /// itself a limit, for instance a timeout of the query.
    ///
    /// Counted from the moment the call begins to wait. Zero means: do not wait, but lead if there is no flight.
    /// `Duration::MAX` means: for ever. If the outcome is ready when the time is up, the caller gets the outcome.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::{Error, Group};
    ///
    /// let group: Group<u32, u32> = Group::new();
    /// group.work(&1, || {
    ///     std::thread::scope(|s| {
    ///         let other = s.spawn(|| group.call(&1).timeout(Duration::ZERO).run(|| Ok(2)));
    ///         assert_eq!(other.join().unwrap(), Err(Error::timed_out())); // its closure did not run
    ///     });
    ///     1
    /// });
    /// assert_eq!(group.call(&1).timeout(Duration::ZERO).run(|| Ok(2)).unwrap().value, 2);
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.set_timeout(timeout);
        self
    }

    /// When to stop waiting for another caller's flight. Otherwise the same as [`timeout`](Self::timeout). A moment that
    /// has passed means: do not wait. Of several timeouts and deadlines the last one counts.
    ///
    /// For wait *and* work see [A limit for a whole request](crate::docs::patterns#a-limit-for-a-whole-request).
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.set_deadline(deadline);
        self
    }

    /// Ends the wait when `token` is cancelled. The call returns [`Error::Cancelled`] with the token's cause. A server
    /// that shuts down can so free the threads that wait for other callers' flights.
    ///
    /// If the token is cancelled before the call, the call returns at once and runs nothing. If the outcome is ready when
    /// the token is cancelled, the caller gets the outcome. The call's own work is not interrupted: give it the token,
    /// too, as in [A limit for a whole request](crate::docs::patterns#a-limit-for-a-whole-request).
    ///
    /// ```
    /// use flight_group::{CancelToken, Error, Group};
    ///
    /// let group: Group<u32, u32> = Group::new();
    /// let shutdown = CancelToken::new();
    /// group.work(&1, || {
    ///     std::thread::scope(|s| {
    ///         let other = s.spawn(|| group.call(&1).cancel(&shutdown).run(|| Ok(2)));
    ///         while group.followers(&1) < 1 {
    ///             std::thread::yield_now();
    ///         }
    ///         shutdown.cancel("the server shuts down");
    ///         let error = other.join().unwrap().unwrap_err();
    ///         assert!(error.is_cancelled());
    ///     });
    ///     1
    /// });
    /// assert!(group.call(&2).cancel(&shutdown).run(|| Ok(2)).unwrap_err().is_cancelled());
    /// ```
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.options.cancel = Some(token);
        self
    }

    /// After a wait of this length, detaches the flight that keeps this call waiting. Then the call starts anew: it
    /// leads, or follows another caller that was quicker. Of several calls only one detaches a flight.
    ///
    /// Callers without the option stay with the old flight, which goes on. Every flight returns its own outcome to its
    /// own callers. For work that may hang and is harmless to repeat.
    pub fn takeover_after(mut self, wait: Duration) -> Self {
        self.options.takeover = Some(wait);
        self
    }
}

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher, Q> Call<'_, K, V, E, S, Q>
where
    K: Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// Leads or follows a flight, and blocks until it has landed. Returns the value and how the call came by it.
    /// go-zero's `DoEx`.
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
    /// As [`Group::try_work`]. Also [`Error::TimedOut`] if the call has a [`timeout`](Call::timeout) or
    /// [`deadline`](Call::deadline), and [`Error::Cancelled`] if it has a [`cancel`](Call::cancel) token. The call's
    /// closure was not run then.
    ///
    /// # Panics
    ///
    /// As [`Group::try_work`].
    #[doc(alias = "DoEx")]
    #[inline]
    pub fn run(self, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        self.group.engine.run(self.key, self.which, self.options, work, identity)
    }

    /// The same, with `work` that is told the flight's number, and whether callers may follow it that asked for the next
    /// one.
    #[cfg(feature = "redis")]
    pub(crate) fn run_told(self, work: impl FnOnce(u64, bool) -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        self.group.engine.run_told(self.key, self.which, self.options, work)
    }

    /// [`Group::read_through`] with the options.
    ///
    /// A hit of the first look is returned at once: no deadline and no cancelled token refuses it. After
    /// [`fresh`](Self::fresh) this call looks neither before nor in its flight, because what is stored may be older than
    /// the call. But its flight may be led by a call without `fresh`, which does look: take the old value out of the cache
    /// before you ask for a fresh one.
    ///
    /// ```
    /// use flight_group::{Error, Group};
    /// use std::time::Duration;
    ///
    /// let group: Group<u32, u32> = Group::new();
    /// group.work(&1, || {
    ///     std::thread::scope(|s| {
    ///         let call = |stored| {
    ///             group.call(&1).timeout(Duration::ZERO).read_through(move || stored, || Ok(3))
    ///         };
    ///         assert_eq!(s.spawn(move || call(Some(2))).join().unwrap(), Ok(2));
    ///         assert_eq!(s.spawn(move || call(None)).join().unwrap(), Err(Error::timed_out()));
    ///     });
    ///     1
    /// });
    /// assert_eq!(group.call(&1).fresh().read_through(|| Some(2), || Ok(3)), Ok(3));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`Group::read_through`].
    pub fn read_through(
        self,
        lookup: impl Fn() -> Option<V>,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Error<E>> {
        let looks = self.which == Which::Current;
        if looks {
            if let Some(value) = lookup() {
                return Ok(value);
            }
        }
        // Another flight may have landed between that look and this flight.
        let work = || match if looks { lookup() } else { None } {
            Some(value) => Ok(value),
            None => load(),
        };
        self.group.engine.run(self.key, self.which, self.options, work, Landing::into_value)
    }

    /// Follows the key's flight and never leads. Returns `None` at once if there is no flight.
    ///
    /// Blocks until the flight has landed. After [`fresh`](Self::fresh) only a queued flight counts.
    ///
    /// ```
    /// use flight_group::Group;
    ///
    /// let group: Group<u32, u32> = Group::new();
    /// assert_eq!(group.call(&1).follow(), None);
    ///
    /// let receiver = group.spawn(&1, || Ok(11));
    /// if let Some(landing) = group.call(&1).follow() {     // `None` if it has landed already
    ///     assert_eq!(landing.unwrap().value, 11);
    /// }
    /// # receiver.recv().unwrap().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). Also [`Error::Abandoned`] if the flight ended without having run.
    pub fn follow(self) -> Option<Result<Landing<V>, Error<E>>> {
        self.group.engine.follow(self.key, self.which, self.options)
    }
}

impl<K, V, E, S, Q: fmt::Debug + ?Sized> fmt::Debug for Call<'_, K, V, E, S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("key", &self.key)
            .field("fresh", &(self.which == Which::Next))
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Configures a [`Group`]; made by [`Group::builder`].
///
/// ```
/// use std::time::Duration;
/// use flight_group::Group;
///
/// let group: Group<String, Vec<u8>, std::io::ErrorKind> = Group::builder()
///     .name("thumbnails")
///     .max_age(Duration::from_secs(5))    // a load older than that is not joined any more
///     .max_followers(256)                 // shed load instead of piling up
///     .share_failures(false)              // after a failure a follower tries its own closure
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

settings!(GroupBuilder, "Group");

impl<K, V, E> GroupBuilder<K, V, E> {
    pub(crate) fn new() -> Self {
        let config = Config::new(Kind::Group);
        Self { hasher: RandomState::new(), shards: None, config, types: std::marker::PhantomData }
    }
}

impl<K, V, E, S> GroupBuilder<K, V, E, S> {
    /// Nobody joins a flight that is older than this. The call that finds it detaches it and starts another. Its callers
    /// still get its outcome. No limit by default.
    ///
    /// The age counts from the flight's start. Zero means that nobody ever joins a flight.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.config.max_age = Some(max_age);
        self
    }

    /// Whether followers get their leader's failure, an error or a panic. `true` by default.
    ///
    /// With `false` a follower of a failed flight tries again with its own closure: it leads, or follows another caller
    /// that was quicker. Each closure still runs at most once. A call whose own closure failed gets the error, and so
    /// does a call without a closure ([`follow`](Call::follow)). Use it where only the leader may fail, for instance
    /// because of its permissions or its deadline. Do not use it where the source is down: there the followers would try
    /// one after the other.
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
        let engine = Engine::new(self.hasher, self.shards, self.config, (), None, Clock::system());
        Group { engine: Arc::new(engine) }
    }
}
