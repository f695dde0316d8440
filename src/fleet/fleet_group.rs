//! Reads in the fleet: a call boards the flight that is already in the air, in whichever process it is.

use super::FleetError;
use super::codec::{Codec, seal, unseal};
use super::core::Core;
use super::fleet::Fleet;
use super::flight::{Boarded, Finishing, Settings, Shared, board};
use super::held::Held;
use super::keys::{Kind, Names};
use super::local::{self, Asked, Grounded, Local};
use super::until::Until;
use crate::cancel::CancelToken;
use crate::engine::options::WaitOptions;
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::FleetRole;
use crate::sync::{Arc, Duration, Instant};
use crate::{FlightInfo, Stats};
use serde::Serialize;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;

/// A single-flight group for the whole fleet: of all *processes* that want the same key at the same time, one does the
/// work and everyone gets the outcome.
///
/// The threads of a process are collapsed by a local [`Group`](crate::Group) first; only its leader asks the fleet. If
/// a flight is in the air there, it is followed and its outcome arrives as a message; otherwise this process leads: its
/// closure runs here, under a record in Redis that is renewed for as long as it runs.
///
/// * `K`: as for [`Group`](crate::Group), and `Serialize`: its JSON names it in Redis. Types whose JSON is not one to one
///   with their equality (a `HashMap`, a float that is not a number) make bad keys.
/// * `V`, `E`: as for [`Group`](crate::Group), and what the group's [`Codec`] asks: by default
///   `Serialize + DeserializeOwned`.
///
/// What differs from a local group:
///
/// * Without a server each process flies alone. With
///   [`refuse_when_unavailable`](super::FleetGroupBuilder::refuse_when_unavailable) calls wait for the server and then
///   fail.
/// * If a leader's process dies, its followers wait up to one [`ttl`](super::FleetBuilder::ttl), then one of them leads, and
///   all of them get its outcome.
/// * If a leader panics, the followers in its own process get [`Error::Panicked`]. Those in others are told at once: one of
///   them leads, and all of them get its outcome.
/// * A leader that is paused or cut off for longer than the time to live can overlap its successor. Its
///   [`fence`](FleetFlight::fence) is the smaller one.
///
/// Four of a [`Group`](crate::Group)'s verbs are not here, because a fleet could not keep their word:
///
/// * `forget` promises that the *next* caller starts anew. Callers in other processes board what is in the air there
///   until a message has reached them, so the promise could be kept only by those who ask after it:
///   [`fresh`](FleetCall::fresh), which needs no message.
/// * `takeover_after` is for a leader that is alive and stuck. Switch [`renew`](super::FleetGroupBuilder::renew) off: then
///   the leader has one time to live.
/// * `follow` never leads. To ask whether there is a flight in the fleet takes as long as to board it, so call with a
///   closure that returns an error.
/// * `spawn` and `work_many`: start a thread that calls [`run`](FleetCall::run), and make one call per key. Calls of many
///   threads share their way to the server.
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
///     Ok(landing) if landing.role == Role::Leader => println!("loaded here: {}", landing.value),
///     Ok(landing) => println!("loaded by another caller: {}", landing.value),
///     Err(Error::Work(why)) => println!("the load failed: {why}"),
///     Err(Error::TimedOut(_)) => println!("another caller is still loading it"),
///     Err(other) => println!("{other}"),
/// }
/// # Ok::<(), flight_group::fleet::FleetError>(())
/// ```
pub struct FleetGroup<K, V, E = Infallible> {
    inner: Arc<Inner<K, V, E>>,
}

pub(crate) struct Inner<K, V, E> {
    pub(crate) fleet: Fleet,
    pub(crate) name: String,
    pub(crate) settings: Settings,
    pub(crate) share_failures: bool,
    pub(crate) codec: Arc<dyn Codec<V, E>>,
    pub(crate) local: Local<K, Arrived<V>, E>,
}

/// A value, and where it was made.
#[derive(Clone)]
pub(crate) struct Arrived<V> {
    value: V,
    led: bool,
}

impl<K, V, E> FleetGroup<K, V, E> {
    pub(crate) fn new(inner: Inner<K, V, E>) -> Self {
        Self { inner: Arc::new(inner) }
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
    /// As [`Group::try_work`](crate::Group::try_work), and [`Error::Fleet`]: the key in Redis holds something else
    /// ([`WrongType`](FleetError::WrongType)), the user lacks a permission
    /// ([`NoPermission`](FleetError::NoPermission)), the key is no JSON ([`BadKey`](FleetError::BadKey)), or the server
    /// is away and the group [refuses](super::FleetGroupBuilder::refuse_when_unavailable) to fly alone.
    ///
    /// # Panics
    ///
    /// As [`Group::try_work`](crate::Group::try_work).
    pub fn try_work<Q>(&self, key: &Q, work: impl FnOnce() -> Result<V, E>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Serialize + ?Sized,
    {
        self.call(key).run(work).map(Landing::into_value)
    }

    /// A call with options: a deadline, a fresh flight, the fence.
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> FleetCall<'a, K, V, E, Q> {
        FleetCall { group: self, key, fresh: false, options: WaitOptions::default() }
    }

    /// What the local group, which collapses this process's threads, has done; what the fleet did is in
    /// [`Fleet::stats`].
    pub fn local_stats(&self) -> Stats {
        self.inner.local.group().stats()
    }

    /// How many threads of this process wait for the key: in a test, the moment to let the leader go on.
    pub fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.local.group().followers(key)
    }

    /// How many keys have a flight in the air in this process: led here, or followed for all of its threads.
    pub fn in_flight(&self) -> usize {
        self.inner.local.group().in_flight()
    }

    /// The flights of this process: what is stuck, since when, and how many of its threads wait for it. Those of others
    /// are not seen. As [`Group::flights`](crate::Group::flights).
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
        self.inner.local.group().flights()
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
    /// As [`Group::work`](crate::Group::work), and with the words of [`Error::Fleet`].
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
    options: WaitOptions<'a>,
}

impl<'a, K, V, E, Q: ?Sized> FleetCall<'a, K, V, E, Q> {
    /// Only a flight that starts after this call will do, in the whole fleet: one that is in the air is waited for, and
    /// the next one boarded. The way to read after a write.
    pub fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// How long to wait for somebody else's flight, and for the server. The call's own work is never interrupted.
    ///
    /// A server that is silent gets half of this, then the call flies alone. Much less than two round trips is too
    /// short to find out whether there is a flight.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.set_timeout(timeout);
        self
    }

    /// The moment at which to stop waiting; otherwise as [`timeout`](Self::timeout).
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.set_deadline(deadline);
        self
    }

    /// Ends the wait when `token` is cancelled. The call returns [`Error::Cancelled`] with the token's cause, also while
    /// it waits for another process's flight or for the server.
    ///
    /// If the token is cancelled before the call, the call returns at once and runs nothing. If the outcome is ready when
    /// the token is cancelled, the caller gets the outcome. The call's own work, and sending its outcome, are not
    /// interrupted. A call that reads answers for other threads ends them first: two
    /// [command timeouts](super::FleetBuilder::command_timeout) at most.
    ///
    /// ```no_run
    /// use flight_group::CancelToken;
    /// use flight_group::fleet::{Fleet, FleetGroup};
    ///
    /// let fleet = Fleet::connect("redis://127.0.0.1/")?;
    /// let rates: FleetGroup<u32, u32, String> = fleet.group("rates");
    /// let shutdown = CancelToken::new();
    /// let rate = rates.call(&7).cancel(&shutdown).run(|| Ok(42));
    /// if rate.is_err_and(|error| error.is_cancelled()) {
    ///     println!("the server shuts down");
    /// }
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.options.cancel = Some(token);
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
        let until = Until::begin(self.options);
        let mut work = Some(work);
        let group = self.group.inner.local.group();
        loop {
            let (mut finishing, mut asked) = (None, None);
            let fly = |flight, fresh| {
                let asked = asked.insert(Asked::new(flight));
                self.fly(&mut work, &mut finishing, asked, fresh, until)
            };
            let landed = local::board(group, self.key, self.fresh, until, fly);
            // This process's followers have their outcome by now; only the leader waits for the server's answer.
            let settled = finishing.map(|finishing: Finishing| finishing.settle(until.deadline));
            if let Some(asked) = &mut asked {
                asked.resume();
            }
            match landed {
                Ok(landing) => {
                    let led = landing.role == Role::Leader && landing.value.led;
                    let role = if led { Role::Leader } else { Role::Follower };
                    let shared = !led || landing.shared() || settled.is_some_and(|settled| settled.shared);
                    let detached = landing.detached() || settled.is_some_and(|settled| settled.stale);
                    return Ok(Landing::new(landing.value.value, role, shared, detached));
                }
                Err(error) => {
                    if let Some(error) = local::reason(error, asked.is_some(), until) {
                        if let Some(asked) = &asked {
                            asked.tell_left(group, self.key, &error);
                        }
                        return Err(error);
                    }
                }
            }
        }
    }

    /// This process's one question to the fleet.
    fn fly<F>(
        &self,
        work: &mut Option<F>,
        finishing: &mut Option<Finishing>,
        asked: &mut Asked,
        fresh: bool,
        until: Until<'_>,
    ) -> Result<Arrived<V>, Grounded<E>>
    where
        F: FnOnce(&FleetFlight) -> Result<V, E>,
    {
        let inner = &*self.group.inner;
        let names =
            Names::of(&inner.fleet.config().prefix, Kind::Flight, &inner.name, self.key).map_err(Grounded::Fleet)?;
        let boarded = inner.fleet.core().and_then(|core| {
            board(core, &names, &inner.settings, fresh, until).inspect_err(|error| unavailable(core, error))
        });
        let mut tell = |role| asked.tell(inner.local.group(), self.key, role);
        // Every closure runs at most once: this is the only place, and it is reached at most once in a call.
        let mut run = |flight: &FleetFlight| match work.take() {
            Some(work) => work(flight).map_err(Grounded::Work),
            None => Err(Grounded::OutOfTime(FleetError::TimedOut)),
        };
        match boarded {
            Ok(Boarded::Lead(flight)) => {
                tell(FleetRole::Leader);
                let outcome = run(&FleetFlight { held: Some(Arc::clone(flight.held())) });
                *finishing = Some(flight.land(inner.share(&outcome)));
                outcome.map(|value| Arrived { value, led: true })
            }
            Ok(Boarded::Landed(sealed)) => match unseal(&*inner.codec, &sealed) {
                Some(outcome) => {
                    tell(FleetRole::Follower);
                    outcome.map(|value| Arrived { value, led: false }).map_err(Grounded::Work)
                }
                None => {
                    tell(FleetRole::Alone);
                    inner.alone(run)
                }
            },
            Ok(Boarded::Alone) => {
                tell(FleetRole::Alone);
                inner.alone(run)
            }
            Err(error) if passes(&error) && !inner.settings.refuse => {
                tell(FleetRole::Alone);
                run(&FleetFlight { held: None }).map(|value| Arrived { value, led: true })
            }
            Err(error) => Err(Grounded::of(error, until)),
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
            | FleetError::WrongServer { .. }
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

impl<K, V, E, Q: fmt::Debug + ?Sized> fmt::Debug for FleetCall<'_, K, V, E, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetCall").field("key", &self.key).field("fresh", &self.fresh).finish_non_exhaustive()
    }
}
