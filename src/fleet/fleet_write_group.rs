//! Writes in the fleet: a call boards the next flight of its process, and one process at a time flies.

use super::FleetError;
use super::fleet::Fleet;
use super::keys::{Kind, Names};
use super::lease::{Lease, Wish};
use super::per_process::PerProcess;
use crate::error::Error;
use crate::landing::Landing;
use crate::sync::{Arc, Duration, Instant, after};
use crate::{Stats, WriteGroup};
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
/// Writes never run without the lease: without a server they fail.
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
        FleetWriteGroup {
            inner: Arc::new(Inner {
                fleet: self.clone(),
                name: name.to_owned(),
                ttl: self.config().ttl,
                local: PerProcess::new(local_group(name)),
            }),
        }
    }
}

fn local_group<K: Hash + Eq, V, E>(name: &str) -> Local<K, V, E> {
    WriteGroup::builder().name(name).build()
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

    fn local(&self) -> &Local<K, V, E> {
        match self.inner.local.get(|_| Ok::<_, Infallible>(local_group(&self.inner.name))) {
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
                Err(Error::Work(Grounded::TimedOut) | Error::TimedOut) => Err(Error::TimedOut),
                Err(Error::Panicked(panic)) => Err(Error::Panicked(panic)),
                Err(Error::Deadlock(circle)) => Err(Error::Deadlock(circle)),
                Err(Error::Overloaded) => Err(Error::Overloaded),
                Err(Error::Abandoned) => Err(Error::Abandoned),
                Err(Error::Missing) => Err(Error::Missing),
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
