//! Reads in the fleet: a call boards the flight that is already in the air, in whichever process it is.

use super::FleetError;
use super::codec::{Codec, Json, seal, unseal};
use super::core::Core;
use super::fleet::{Fleet, TTL, check};
use super::flight::{Boarded, Finishing, Settings, Shared, board};
use super::held::Held;
use super::keys::{Kind, Names};
use super::per_process::PerProcess;
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::sync::{Arc, Duration, Instant, after};
use crate::{FlightInfo, Group, GroupBuilder, Stats};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;

/// A single-flight group for the whole fleet: of all *processes* that want the same key at the same time, one does the
/// work and everyone gets the outcome.
///
/// The threads of a process are collapsed by a local [`Group`] first; only its leader asks the fleet. If a flight is in
/// the air there, it is followed and its outcome arrives as a message; otherwise this process leads: its closure runs
/// here, under a record in Redis that is renewed for as long as it runs.
///
/// * `K`: as for [`Group`], and `Serialize`: its JSON names it in Redis. Types whose JSON is not one to one with their
///   equality (a `HashMap`, a float that is not a number) make bad keys.
/// * `V`, `E`: as for [`Group`], and what the group's [`Codec`] asks: by default `Serialize + DeserializeOwned`.
///
/// What differs from a local group:
///
/// * Without a server each process flies alone ([`refuse_when_unavailable`](FleetGroupBuilder::refuse_when_unavailable)
///   says no instead).
/// * A leader that dies costs its followers the [`ttl`](super::FleetBuilder::ttl) at most; then one of them leads.
/// * A leader that panics costs nothing: the followers in its own process get [`Error::Panicked`], those in others board
///   anew, one of them leading.
/// * A leader that is paused or cut off for longer than the time to live can overlap its successor. Its
///   [`fence`](FleetFlight::fence) is the smaller one.
///
/// Four of a [`Group`]'s verbs are not here, because a fleet could not keep their word:
///
/// * `forget` promises that the *next* caller starts anew. Callers in other processes board what is in the air there
///   until a message has reached them, so the promise could be kept only by those who ask after it:
///   [`fresh`](FleetCall::fresh), which needs no message.
/// * `takeover_after` is a leader that is alive and stuck: switch [`renew`](FleetGroupBuilder::renew) off, and
///   its time to live is what it has.
/// * `wait` follows and never leads: whether there is a flight in the fleet takes as long to ask as to board it. A call
///   whose closure returns an error does the same.
/// * `spawn` and `work_many`: a thread of one's own that calls [`run`](FleetCall::run), and one call per key. Calls of
///   many threads share their way to the server.
///
/// ```no_run
/// use flight_group::fleet::{Fleet, FleetGroup};
/// use flight_group::{Error, Role};
/// use std::time::Duration;
///
/// let fleet = Fleet::connect("redis://127.0.0.1/")?;
/// let users: FleetGroup<u64, String, String> = fleet.group("users");
///
/// match users.call(&7).timeout(Duration::from_secs(2)).run(|| Ok("Ada".to_owned())) {
///     Ok(landing) if landing.role == Role::Leader => println!("we loaded her: {}", landing.value),
///     Ok(landing) => println!("somebody in the fleet did: {}", landing.value),
///     Err(Error::Work(why)) => println!("nobody could: {why}"),
///     Err(Error::TimedOut(_)) => println!("somebody is still at it"),
///     Err(other) => println!("{other}"),
/// }
/// # Ok::<(), flight_group::fleet::FleetError>(())
/// ```
pub struct FleetGroup<K, V, E = Infallible> {
    inner: Arc<Inner<K, V, E>>,
}

struct Inner<K, V, E> {
    fleet: Fleet,
    name: String,
    settings: Settings,
    share_failures: bool,
    refuse: bool,
    codec: Arc<dyn Codec<V, E>>,
    local_settings: LocalSettings<K, V, E>,
    // A fork would copy flights whose leaders are threads of the parent.
    local: PerProcess<Local<K, V, E>>,
}

type Local<K, V, E> = Group<K, Arrived<V>, Grounded<E>>;
type LocalBuilder<K, V, E> = GroupBuilder<K, Arrived<V>, Grounded<E>>;

/// How the local group is built: in this process, and again in a forked child.
struct LocalSettings<K, V, E> {
    max_followers: usize,
    timed: bool,
    /// Set by a method that knows that keys can be printed.
    debug_keys: Option<Setting<LocalBuilder<K, V, E>>>,
}

type Setting<B> = fn(B) -> B;

/// A value, and where it was made.
#[derive(Clone)]
struct Arrived<V> {
    value: V,
    led: bool,
}

/// Why this process's leader has none.
#[derive(Clone)]
enum Grounded<E> {
    Work(E),
    /// Its own deadline: nobody else's.
    TimedOut,
    Fleet(FleetError),
}

impl Fleet {
    /// The group `name` of this fleet, with outcomes as JSON. Groups of one name share flights, in one process and in
    /// all; they should have the same types.
    pub fn group<K, V, E>(&self, name: &str) -> FleetGroup<K, V, E>
    where
        K: Hash + Eq,
        V: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned,
    {
        self.group_with(name, Json::new()).finish()
    }

    /// Options of a group, with a [`Codec`] of choice.
    ///
    /// ```no_run
    /// use flight_group::fleet::{Fleet, FleetGroup, Raw};
    /// use std::time::Duration;
    ///
    /// # let fleet = Fleet::connect("redis://127.0.0.1/")?;
    /// let tiles: FleetGroup<(u8, u32, u32), Vec<u8>> =
    ///     fleet.group_with("tiles", Raw).reuse(Duration::from_millis(200)).max_result(4 << 20).build()?;
    /// let png = tiles.work(&(3, 4, 5), || b"...".to_vec());
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn group_with<K, V, E>(&self, name: &str, codec: impl Codec<V, E> + 'static) -> FleetGroupBuilder<K, V, E> {
        let ttl = self.config().ttl;
        FleetGroupBuilder {
            fleet: self.clone(),
            name: name.to_owned(),
            settings: Settings { ttl, renew: true, reuse: Duration::ZERO, linger: ttl, max_result: 1 << 20 },
            share_failures: true,
            refuse: false,
            codec: Arc::new(codec),
            local: LocalSettings { max_followers: usize::MAX, timed: false, debug_keys: None },
        }
    }
}

/// What a server takes in one piece by default is 512 MiB; one that gets more closes the connection.
const LARGEST: usize = 256 << 20;

/// Options of a [`FleetGroup`]; made by [`Fleet::group_with`].
#[must_use = "options do nothing until `build` is called"]
pub struct FleetGroupBuilder<K, V, E> {
    fleet: Fleet,
    name: String,
    settings: Settings,
    share_failures: bool,
    refuse: bool,
    codec: Arc<dyn Codec<V, E>>,
    local: LocalSettings<K, V, E>,
}

impl<K, V, E> FleetGroupBuilder<K, V, E> {
    /// How long a flight's record lives without renewal: what a dead leader costs its followers at most. 50 ms to 12
    /// hours; default: the fleet's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// Whether a flight's record is renewed for as long as its closure runs. Default `true`. A closure that always
    /// ends well within the [`ttl`](Self::ttl) can do without.
    pub fn renew(mut self, renew: bool) -> Self {
        self.settings.renew = renew;
        self
    }

    /// For how long a successful outcome is served to callers that come *after* its flight has ended. Default zero: a
    /// group is no cache; at most 12 hours. A short window evens out processes that ask at almost the same time.
    /// [`fresh`](FleetCall::fresh) calls are not served from it.
    pub fn reuse(mut self, window: Duration) -> Self {
        self.settings.reuse = window;
        self
    }

    /// How long an outcome somebody waited for can still be fetched by a follower that missed its message (it was
    /// stopped, or its connection was). 1 ms to 12 hours; default: the fleet's ttl.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// The largest outcome, in bytes as encoded, that is shared; followers of a larger one run their own closure.
    /// Default 1 MiB, at most 256 MiB; it has to cross the network within one
    /// [`command_timeout`](super::FleetBuilder::command_timeout).
    pub fn max_result(mut self, bytes: usize) -> Self {
        self.settings.max_result = bytes;
        self
    }

    /// Whether other processes get a leader's error (default), or board anew when it fails.
    pub fn share_failures(mut self, share: bool) -> Self {
        self.share_failures = share;
        self
    }

    /// Whether a call fails with [`Error::Fleet`] when the server is unavailable, instead of running its closure
    /// locally. Default `false`. For work that must not be done by every process at once, whatever happens.
    pub fn refuse_when_unavailable(mut self, refuse: bool) -> Self {
        self.refuse = refuse;
        self
    }

    /// How many threads of this process may wait for one key; a call beyond that returns
    /// [`Error::Overloaded`] at once. Unlimited by default. As [`GroupBuilder::max_followers`].
    pub fn max_followers(mut self, max_followers: usize) -> Self {
        self.local.max_followers = max_followers;
        self
    }

    /// Reads the clock at the start of every flight, so that [`flights`](FleetGroup::flights) tells every age. As
    /// [`GroupBuilder::timed`].
    pub fn timed(mut self) -> Self {
        self.local.timed = true;
        self
    }

    /// Lets reports of a [`Deadlock`](crate::Deadlock) print keys. As [`GroupBuilder::debug_keys`].
    pub fn debug_keys(mut self) -> Self
    where
        K: fmt::Debug,
    {
        self.local.debug_keys = Some(GroupBuilder::debug_keys);
        self
    }

    /// Makes the group. Does not ask the server.
    ///
    /// # Errors
    ///
    /// [`FleetError::BadOption`] for a time or a size out of range.
    pub fn build(self) -> Result<FleetGroup<K, V, E>, FleetError>
    where
        K: Hash + Eq,
    {
        check("ttl", self.settings.ttl, TTL)?;
        // What the server cannot set as an expiry it refuses in the middle of a landing.
        check("reuse", self.settings.reuse, (Duration::ZERO, TTL.1, "a duration of at most 12 hours"))?;
        check("linger", self.settings.linger, (Duration::from_millis(1), TTL.1, "a duration from 1 ms to 12 hours"))?;
        if self.settings.max_result > LARGEST {
            let found = self.settings.max_result.to_string();
            return Err(FleetError::BadOption { option: "max_result", found, expected: "at most 268435456 bytes" });
        }
        Ok(self.finish())
    }

    fn finish(self) -> FleetGroup<K, V, E>
    where
        K: Hash + Eq,
    {
        let local = PerProcess::new(self.local.build(&self.name));
        FleetGroup {
            inner: Arc::new(Inner {
                fleet: self.fleet,
                name: self.name,
                settings: self.settings,
                share_failures: self.share_failures,
                refuse: self.refuse,
                codec: self.codec,
                local_settings: self.local,
                local,
            }),
        }
    }
}

impl<K: Hash + Eq, V, E> LocalSettings<K, V, E> {
    fn build(&self, name: &str) -> Local<K, V, E> {
        let builder = Group::builder().name(name).max_followers(self.max_followers);
        let builder = if self.timed { builder.timed() } else { builder };
        match self.debug_keys {
            Some(debug_keys) => debug_keys(builder).build(),
            None => builder.build(),
        }
    }
}

impl<K, V, E> FleetGroup<K, V, E>
where
    K: Hash + Eq + Clone,
    V: Clone,
    E: Clone,
{
    /// Returns what the key's flight in the fleet returns: of this call's `work`, or of somebody else's.
    ///
    /// Blocks while `work` runs here, or until the flight in the air has landed, in whichever process it is, and for
    /// one round trip to the server (two, where it leads).
    ///
    /// # Errors
    ///
    /// As [`Group::try_work`], and [`Error::Fleet`]: the key in Redis holds something else
    /// ([`WrongType`](FleetError::WrongType)), the user lacks a permission ([`NoPermission`](FleetError::NoPermission)),
    /// the key is no JSON ([`BadKey`](FleetError::BadKey)), or the server is away and the group
    /// [refuses](FleetGroupBuilder::refuse_when_unavailable) to fly alone.
    ///
    /// # Panics
    ///
    /// As [`Group::try_work`].
    pub fn try_work<Q>(&self, key: &Q, work: impl FnOnce() -> Result<V, E>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Serialize + ?Sized,
    {
        self.call(key).run(work).map(Landing::into_value)
    }

    /// A call with options: a deadline, a fresh flight, the fence.
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> FleetCall<'a, K, V, E, Q> {
        FleetCall { group: self, key, fresh: false, timeout: None, deadline: None }
    }

    /// What the local group, which collapses this process's threads, has done; what the fleet did is in
    /// [`Fleet::stats`].
    pub fn local_stats(&self) -> Stats {
        self.local().stats()
    }

    /// How many threads of this process wait for the key: in a test, the moment to let the leader go on.
    pub fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.local().followers(key)
    }

    /// How many keys have a flight in the air in this process: led here, or followed for all of its threads.
    pub fn in_flight(&self) -> usize {
        self.local().in_flight()
    }

    /// The flights of this process: what is stuck, since when, and how many of its threads wait for it. Those of others
    /// are not seen. As [`Group::flights`].
    ///
    /// ```no_run
    /// # let fleet = flight_group::fleet::Fleet::connect("redis://127.0.0.1/")?;
    /// # let users: flight_group::fleet::FleetGroup<u64, String, String> = fleet.group("users");
    /// for flight in users.flights() {
    ///     println!("user {}: {} threads wait, since {:?}", flight.key, flight.followers, flight.age);
    /// }
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn flights(&self) -> Vec<FlightInfo<K>> {
        self.local().flights()
    }

    fn local(&self) -> &Local<K, V, E> {
        let make = |_: &_| Ok::<_, Infallible>(self.inner.local_settings.build(&self.inner.name));
        match self.inner.local.get(make) {
            Ok(local) => local,
            Err(never) => match never {},
        }
    }
}

impl<K, V> FleetGroup<K, V, Infallible>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    /// [`try_work`](Self::try_work) for work that cannot fail.
    ///
    /// # Panics
    ///
    /// As [`Group::work`], and with the words of [`Error::Fleet`].
    #[track_caller]
    pub fn work<Q>(&self, key: &Q, work: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Serialize + ?Sized,
    {
        match self.try_work(key, || Ok(work())) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}

/// One call to a [`FleetGroup`], with options; made by [`FleetGroup::call`].
#[must_use = "a call does nothing until `run`"]
pub struct FleetCall<'a, K, V, E, Q: ?Sized> {
    group: &'a FleetGroup<K, V, E>,
    key: &'a Q,
    fresh: bool,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
}

impl<K, V, E, Q: ?Sized> FleetCall<'_, K, V, E, Q> {
    /// Only a flight that starts after this call will do, in the whole fleet: one that is in the air is waited for, and
    /// the next one boarded. The way to read after a write.
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// How long to wait for somebody else's flight, and for the server. The call's own work is never interrupted. Less
    /// than a round trip is too short to find out whether there is a flight.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        (self.timeout, self.deadline) = (Some(timeout), None);
        self
    }

    /// The moment at which to stop waiting; otherwise as [`timeout`](Self::timeout).
    pub fn deadline(mut self, deadline: Instant) -> Self {
        (self.timeout, self.deadline) = (None, Some(deadline));
        self
    }
}

impl<K, V, E, Q> FleetCall<'_, K, V, E, Q>
where
    K: Hash + Eq + Clone + Borrow<Q>,
    V: Clone,
    E: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + Serialize + ?Sized,
{
    /// Boards, and blocks until the flight has landed.
    ///
    /// [`Landing::detached`] is true where this call led and had lost the record when it landed: somebody else may have
    /// led meanwhile, and nothing was published.
    ///
    /// # Errors
    ///
    /// As [`FleetGroup::try_work`], and [`Error::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`FleetGroup::try_work`].
    pub fn run(self, work: impl FnOnce() -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        self.run_with(|_| work())
    }

    /// Like [`run`](Self::run); the closure is given the flight it leads, with its fence.
    ///
    /// ```no_run
    /// # use flight_group::fleet::{Fleet, FleetGroup};
    /// # let fleet = Fleet::connect("redis://127.0.0.1/")?;
    /// # let reports: FleetGroup<String, String, String> = fleet.group("reports");
    /// let landing = reports.call("2026-11").run_with(|flight| match flight.fence() {
    ///     Some(fence) => Ok(format!("UPDATE .. SET fence = {fence} WHERE .. AND fence <= {fence}")),
    ///     None => Err("no server: not writing without a fence".to_owned()),
    /// });
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn run_with(self, work: impl FnOnce(&FleetFlight) -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        let deadline = match self.timeout {
            Some(timeout) => after(timeout),
            None => self.deadline,
        };
        let local = self.group.local();
        let mut work = Some(work);
        loop {
            let mut finishing = None;
            let mut asked = false;
            let fly = || {
                asked = true;
                self.fly(&mut work, &mut finishing, deadline)
            };
            let call = local.call(self.key);
            let call = if self.fresh { call.fresh() } else { call };
            let landed = match deadline {
                Some(deadline) => call.deadline(deadline).run(fly),
                None => call.run(fly),
            };
            // This process's followers have their outcome by now; only the leader waits for the server's answer.
            let settled = finishing.map(|finishing: Finishing| finishing.settle(deadline));
            return match landed {
                Ok(landing) => {
                    let led = landing.role == Role::Leader && landing.value.led;
                    let role = if led { Role::Leader } else { Role::Follower };
                    let shared = !led || landing.shared() || settled.is_some_and(|settled| settled.shared);
                    let detached = landing.detached() || settled.is_some_and(|settled| settled.stale);
                    Ok(Landing::new(landing.value.value, role, shared, detached))
                }
                Err(Error::Work(Grounded::Work(error))) => Err(Error::Work(error)),
                Err(Error::Work(Grounded::Fleet(error))) => Err(Error::Fleet(error)),
                // The leader had less time than this call has, which still has its closure.
                Err(Error::Work(Grounded::TimedOut)) if !asked && !over(deadline) => continue,
                Err(Error::Work(Grounded::TimedOut)) => Err(Error::timed_out()),
                Err(Error::TimedOut(site)) => Err(Error::TimedOut(site)),
                Err(Error::Cancelled(cancelled)) => Err(Error::Cancelled(cancelled)),
                Err(Error::Panicked(panic)) => Err(Error::Panicked(panic)),
                Err(Error::Deadlock(circle)) => Err(Error::Deadlock(circle)),
                Err(Error::Overloaded(site)) => Err(Error::Overloaded(site)),
                Err(Error::Abandoned(site)) => Err(Error::Abandoned(site)),
                Err(Error::Missing(site)) => Err(Error::Missing(site)),
                Err(Error::Fleet(error)) => Err(Error::Fleet(error)),
            };
        }
    }

    /// This process's one question to the fleet.
    fn fly<F>(
        &self,
        work: &mut Option<F>,
        finishing: &mut Option<Finishing>,
        deadline: Option<Instant>,
    ) -> Result<Arrived<V>, Grounded<E>>
    where
        F: FnOnce(&FleetFlight) -> Result<V, E>,
    {
        let inner = &*self.group.inner;
        let key = serde_json::to_string(self.key)
            .map_err(|error| Grounded::Fleet(FleetError::BadKey { reason: error.to_string() }))?;
        let names = Names::new(&inner.fleet.config().prefix, Kind::Flight, &inner.name, &key);
        let boarded = inner.fleet.core().and_then(|core| {
            board(core, &names, &inner.settings, self.fresh, deadline).inspect_err(|error| unavailable(core, error))
        });
        // Every closure runs at most once: this is the only place, and it is reached at most once in a call.
        let mut run = |flight: &FleetFlight| match work.take() {
            Some(work) => work(flight).map_err(Grounded::Work),
            None => Err(Grounded::TimedOut),
        };
        match boarded {
            Ok(Boarded::Lead(flight)) => {
                let outcome = run(&FleetFlight { held: Some(Arc::clone(flight.held())) });
                *finishing = Some(flight.land(inner.share(&outcome)));
                outcome.map(|value| Arrived { value, led: true })
            }
            Ok(Boarded::Landed(sealed)) => match unseal(&*inner.codec, &sealed) {
                Some(outcome) => outcome.map(|value| Arrived { value, led: false }).map_err(Grounded::Work),
                None => inner.alone(run),
            },
            Ok(Boarded::Alone) => inner.alone(run),
            Err(FleetError::TimedOut) => Err(Grounded::TimedOut),
            Err(error) if passes(&error) && !inner.refuse => {
                run(&FleetFlight { held: None }).map(|value| Arrived { value, led: true })
            }
            Err(error) => Err(Grounded::Fleet(error)),
        }
    }
}

impl<K, V, E> Inner<K, V, E> {
    fn share(&self, outcome: &Result<V, Grounded<E>>) -> Shared {
        let sealed = match outcome {
            Ok(value) => seal(&*self.codec, Ok(value)),
            Err(Grounded::Work(error)) if self.share_failures => seal(&*self.codec, Err(error)),
            Err(_) => None,
        };
        match sealed {
            Some(sealed) => Shared::Outcome { sealed, reusable: outcome.is_ok() },
            None => Shared::Nothing,
        }
    }

    /// There is an outcome that this process cannot have.
    fn alone(&self, run: impl FnOnce(&FleetFlight) -> Result<V, Grounded<E>>) -> Result<Arrived<V>, Grounded<E>> {
        if let Ok(core) = self.fleet.core() {
            core.counters.unshared.add(1);
        }
        run(&FleetFlight { held: None }).map(|value| Arrived { value, led: true })
    }
}

fn over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

fn unavailable(core: &Core, error: &FleetError) {
    if passes(error) {
        core.counters.unavailable.add(1);
    }
}

/// Whether this is about the server's absence, and not about what it was asked.
fn passes(error: &FleetError) -> bool {
    matches!(
        error,
        FleetError::Unavailable { .. }
            | FleetError::AuthenticationFailed { .. }
            | FleetError::ServerTooOld { .. }
            | FleetError::System { .. }
    )
}

/// The flight a closure leads, as the closure sees it.
#[derive(Clone)]
pub struct FleetFlight {
    held: Option<Arc<Held>>,
}

impl FleetFlight {
    /// A number greater than that of every earlier flight of this key; `None` where the closure runs outside the
    /// fleet, because the server is away or the outcome it would have followed could not be shared.
    ///
    /// Give it to the storage the closure writes to, and let that refuse a smaller one.
    pub fn fence(&self) -> Option<u64> {
        self.held.as_ref().map(|held| held.fence)
    }

    /// Whether the flight's record is lost, so that another process may run the same work. Advice.
    pub fn is_lost(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_lost())
    }

    /// For how long the record would hold without renewal; zero outside the fleet.
    pub fn remaining(&self) -> Duration {
        self.held.as_ref().map_or(Duration::ZERO, |held| held.remaining())
    }
}

impl fmt::Debug for FleetFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetFlight").field("fence", &self.fence()).finish_non_exhaustive()
    }
}

impl<K, V, E> Clone for FleetGroup<K, V, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, E> fmt::Debug for FleetGroup<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetGroup").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl<K, V, E> fmt::Debug for FleetGroupBuilder<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetGroupBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K, V, E, Q: fmt::Debug + ?Sized> fmt::Debug for FleetCall<'_, K, V, E, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetCall").field("key", &self.key).field("fresh", &self.fresh).finish_non_exhaustive()
    }
}
