//! Writes in the fleet: a call boards the next flight of its process, and one process at a time flies.

use super::FleetError;
use super::fleet::{Fleet, TTL, check};
use super::keys::{Kind, Names};
use super::lease::{Lease, Wish};
use super::per_process::PerProcess;
use crate::error::Error;
use crate::landing::Landing;
use crate::sync::{Arc, Duration, Instant, after};
use crate::{FlightInfo, Stats, WriteGroup};
use serde::Serialize;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;

/// Serializes writes per key over the whole fleet, and collapses the queued ones of each process: a local
/// [`WriteGroup`] around a [`Lease`].
///
/// Threads of one process that write the same key while a run of it is in the air share the *next* run, as in a
/// [`WriteGroup`]. That run begins when the process has the key's lease, which goes round the fleet in the order of
/// asking; so each caller's run starts after its call arrived (P3), and while the lease holds no two processes run one
/// key (P1). The closure is given the lease: its [`fence`](Lease::fence) belongs into what is written.
///
/// Writes never run without the lease: without a server they fail. So there is no `write` that cannot; and no `wait`,
/// `spawn` or `invalidates`: of other processes' writes and reads this one knows nothing until it asks. After a write read
/// with [`fresh`](super::FleetCall::fresh).
///
/// ```no_run
/// use flight_group::Error;
/// use flight_group::fleet::{Fleet, FleetError, FleetWriteGroup};
///
/// let fleet = Fleet::connect("redis://127.0.0.1/")?;
/// let orders: FleetWriteGroup<u64, u64, String> = fleet.write_group("orders");
///
/// match orders.try_write(&7, |lease| Ok(lease.fence())) {
///     Ok(fence) => println!("written with fence {fence}"),
///     Err(Error::Work(why)) => println!("the write failed: {why}"),
///     Err(Error::Fleet(FleetError::Unavailable { .. })) => println!("no server, nothing written"),
///     Err(other) => println!("{other}"),
/// }
/// # Ok::<(), FleetError>(())
/// ```
pub struct FleetWriteGroup<K, V = (), E = Infallible> {
    inner: Arc<Inner<K, V, E>>,
}

struct Inner<K, V, E> {
    fleet: Fleet,
    name: String,
    ttl: Duration,
    max_followers: usize,
    local: PerProcess<Local<K, V, E>>,
}

type Local<K, V, E> = WriteGroup<K, V, Grounded<E>>;

#[derive(Clone)]
enum Grounded<E> {
    Work(E),
    /// The leader's own deadline: nobody else's.
    TimedOut,
    Fleet(FleetError),
}

impl Fleet {
    /// The write group `name` of this fleet. Groups of one name share their keys' leases.
    pub fn write_group<K: Hash + Eq, V, E>(&self, name: &str) -> FleetWriteGroup<K, V, E> {
        self.write_group_with(name).finish()
    }

    /// Options of a write group.
    ///
    /// ```no_run
    /// use flight_group::fleet::{Fleet, FleetWriteGroup};
    /// use std::time::Duration;
    ///
    /// # let fleet = Fleet::connect("redis://127.0.0.1/")?;
    /// let orders: FleetWriteGroup<u64, (), String> =
    ///     fleet.write_group_with("orders").ttl(Duration::from_secs(30)).max_followers(100).build()?;
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn write_group_with(&self, name: &str) -> FleetWriteGroupBuilder {
        let ttl = self.config().ttl;
        FleetWriteGroupBuilder { fleet: self.clone(), name: name.to_owned(), ttl, max_followers: usize::MAX }
    }
}

/// Options of a [`FleetWriteGroup`]; made by [`Fleet::write_group_with`].
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `build` is called"]
pub struct FleetWriteGroupBuilder {
    fleet: Fleet,
    name: String,
    ttl: Duration,
    max_followers: usize,
}

impl FleetWriteGroupBuilder {
    /// How long a key's lease lives without renewal: what a dead writer costs the next one at most. It is renewed for as
    /// long as the closure runs. 50 ms to 12 hours; default: the fleet's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How many threads of this process may wait for one key; a call beyond that returns [`Error::Overloaded`] at once.
    /// Unlimited by default. As [`WriteGroupBuilder::max_followers`](crate::WriteGroupBuilder::max_followers).
    pub fn max_followers(mut self, max_followers: usize) -> Self {
        self.max_followers = max_followers;
        self
    }

    /// Makes the group. Does not ask the server.
    ///
    /// # Errors
    ///
    /// [`FleetError::BadOption`] for a time to live out of range.
    pub fn build<K: Hash + Eq, V, E>(self) -> Result<FleetWriteGroup<K, V, E>, FleetError> {
        check("ttl", self.ttl, TTL)?;
        Ok(self.finish())
    }

    fn finish<K: Hash + Eq, V, E>(self) -> FleetWriteGroup<K, V, E> {
        let Self { fleet, name, ttl, max_followers } = self;
        let local = PerProcess::new(local_group(&name, max_followers));
        FleetWriteGroup { inner: Arc::new(Inner { fleet, name, ttl, max_followers, local }) }
    }
}

fn local_group<K: Hash + Eq, V, E>(name: &str, max_followers: usize) -> Local<K, V, E> {
    WriteGroup::builder().name(name).max_followers(max_followers).build()
}

impl<K, V, E> FleetWriteGroup<K, V, E>
where
    K: Hash + Eq + Clone,
    V: Clone,
    E: Clone,
{
    /// Returns the outcome of a run for the key that started after this call arrived: of this call's `work`, or of a
    /// newer caller's in this process.
    ///
    /// Blocks while other runs of the key last, here and in the fleet.
    ///
    /// # Errors
    ///
    /// As [`WriteGroup::try_write`], and [`Error::Fleet`]: the server is away, or refused.
    ///
    /// # Panics
    ///
    /// As [`WriteGroup::try_write`]. The lease is released.
    pub fn try_write<Q>(&self, key: &Q, work: impl FnOnce(&Lease) -> Result<V, E>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Serialize + ?Sized,
    {
        self.call(key).run(work).map(Landing::into_value)
    }

    /// A call with options: how long to wait.
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> FleetWriteCall<'a, K, V, E, Q> {
        FleetWriteCall { group: self, key, timeout: None, deadline: None }
    }

    /// What the local group, which collapses this process's writes, has done.
    pub fn local_stats(&self) -> Stats {
        self.local().stats()
    }

    /// How many threads of this process wait for the key.
    pub fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.local().followers(key)
    }

    /// How many keys have a run in the air in this process, or wait for their lease.
    pub fn in_flight(&self) -> usize {
        self.local().in_flight()
    }

    /// The runs of this process, those included that wait for their lease. As [`WriteGroup::flights`].
    pub fn flights(&self) -> Vec<FlightInfo<K>> {
        self.local().flights()
    }

    fn local(&self) -> &Local<K, V, E> {
        let make = |_: &_| Ok::<_, Infallible>(local_group(&self.inner.name, self.inner.max_followers));
        match self.inner.local.get(make) {
            Ok(local) => local,
            Err(never) => match never {},
        }
    }
}

/// One call to a [`FleetWriteGroup`], with options; made by [`FleetWriteGroup::call`].
#[must_use = "a call does nothing until `run`"]
pub struct FleetWriteCall<'a, K, V, E, Q: ?Sized> {
    group: &'a FleetWriteGroup<K, V, E>,
    key: &'a Q,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
}

impl<K, V, E, Q: ?Sized> FleetWriteCall<'_, K, V, E, Q> {
    /// How long to wait for other runs and for the lease. The call's own work is never interrupted.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        (self.timeout, self.deadline) = (Some(timeout), None);
        self
    }

    /// The moment at which to stop waiting.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        (self.timeout, self.deadline) = (None, Some(deadline));
        self
    }
}

impl<K, V, E, Q> FleetWriteCall<'_, K, V, E, Q>
where
    K: Hash + Eq + Clone + Borrow<Q>,
    V: Clone,
    E: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + Serialize + ?Sized,
{
    /// Queues, and blocks until the run that covers this call has ended. [`Landing::detached`] is true where the lease
    /// of this call's own run was lost before it ended: somebody else may have written since.
    ///
    /// # Errors
    ///
    /// As [`FleetWriteGroup::try_write`], and [`Error::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`FleetWriteGroup::try_write`].
    pub fn run(self, work: impl FnOnce(&Lease) -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        let deadline = match self.timeout {
            Some(timeout) => after(timeout),
            None => self.deadline,
        };
        let local = self.group.local();
        let mut work = Some(work);
        loop {
            let (mut asked, mut lost) = (false, false);
            let fly = || {
                asked = true;
                let lease = self.acquire(deadline).map_err(|error| match error {
                    FleetError::TimedOut => Grounded::TimedOut,
                    error => Grounded::Fleet(error),
                })?;
                let outcome = match work.take() {
                    Some(work) => work(&lease).map_err(Grounded::Work),
                    None => Err(Grounded::TimedOut),
                };
                // Before the local flight lands: the next run of this process asks behind the others that wait.
                lost = matches!(lease.release(), Err(FleetError::Lost));
                outcome
            };
            let call = local.call(self.key);
            let landed = match deadline {
                Some(deadline) => call.deadline(deadline).run(fly),
                None => call.run(fly),
            };
            return match landed {
                Ok(landing) => {
                    let (role, shared, detached) = (landing.role, landing.shared(), landing.detached() || lost);
                    Ok(Landing::new(landing.value, role, shared, detached))
                }
                Err(Error::Work(Grounded::Work(error))) => Err(Error::Work(error)),
                Err(Error::Work(Grounded::Fleet(error))) => Err(Error::Fleet(error)),
                // The leader had less time than this call has, which still has its closure.
                Err(Error::Work(Grounded::TimedOut))
                    if !asked && deadline.is_none_or(|deadline| Instant::now() < deadline) =>
                {
                    continue;
                }
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

    fn acquire(&self, deadline: Option<Instant>) -> Result<Lease, FleetError> {
        let inner = &*self.group.inner;
        let key = serde_json::to_string(self.key).map_err(|error| FleetError::BadKey { reason: error.to_string() })?;
        let names = Names::new(&inner.fleet.config().prefix, Kind::Write, &inner.name, &key);
        Wish { core: inner.fleet.core()?, names, ttl: inner.ttl, renew: true }.enqueue(deadline)
    }
}

impl<K, V, E> Clone for FleetWriteGroup<K, V, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, E> fmt::Debug for FleetWriteGroup<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetWriteGroup").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl<K, V, E, Q: fmt::Debug + ?Sized> fmt::Debug for FleetWriteCall<'_, K, V, E, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetWriteCall").field("key", &self.key).finish_non_exhaustive()
    }
}
