//! Writes in the fleet: a call boards the next run of its process, and one process at a time runs.

use super::FleetError;
use super::fleet::Fleet;
use super::keys::{Kind, Names};
use super::lease::{Lease, Wish};
use super::local::{self, Asked, Grounded, Local};
use super::process::PerProcess;
use super::turn::{Progress, Running, Turn, Turns};
use super::until::Until;
use crate::cancel::CancelToken;
use crate::engine::options::WaitOptions;
use crate::engine::panics::{caught, describe};
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::FleetRole;
use crate::sync::{Arc, Duration, Instant, Mutex};
use crate::{FlightInfo, Stats};
use serde::Serialize;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use std::panic::resume_unwind;

/// Serializes writes per key over the whole fleet, and collapses the queued ones of each process: a
/// [`WriteGroup`] around a [`Lease`].
///
/// Threads of one process that write the same key share runs, as in a [`WriteGroup`]: a call that arrives before a run starts
/// is covered by it, also while the process still waits for the key's lease. Then only the newest call's closure runs.
/// The lease goes round the fleet in the order of asking. So each call's run starts after the call arrived (P3), and
/// while the lease holds no two processes run one key (P1). The closure is given the lease: write its
/// [`fence`](Lease::fence) along with the data.
///
/// Writes never run without the lease. Without a server they wait until their deadline, or for the fleet's
/// [`patience`](super::FleetBuilder::patience), and then fail. So there is no `write` that cannot fail. There is no
/// `flush`, `spawn` or `invalidates` either: this process knows nothing of other processes' writes and reads until it
/// asks. After a write, read with [`fresh`](super::FleetCall::fresh).
///
/// [`WriteGroup`]: crate::WriteGroup
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
///     Err(Error::Fleet(FleetError::Unavailable { .. })) => println!("no server: not written"),
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
    // Not `WriteGroup`: a caller that queued for the lease follows the run that has it, and no later one. All calls
    // here are `fresh`, which queue by the same rule as writes.
    local: Local<K, Run<V, E>, E>,
    turns: PerProcess<Turns<V, E>>,
}

impl<K, V, E> Inner<K, V, E> {
    fn turns(&self) -> &Turns<V, E> {
        match self.turns.get(|_| Ok::<_, Infallible>(Mutex::default())) {
            Ok(turns) => turns,
            Err(never) => match never {},
        }
    }
}

/// What a run of the local group came to.
pub(crate) enum Run<V, E> {
    Written(V),
    /// It queued for the lease, and the next run has it.
    Acquired(Arc<Turn<V, E>>),
    /// It came too late to be needed, and covers nobody.
    Void,
}

impl<V: Clone, E> Clone for Run<V, E> {
    fn clone(&self) -> Self {
        match self {
            Self::Written(value) => Self::Written(value.clone()),
            Self::Acquired(turn) => Self::Acquired(Arc::clone(turn)),
            Self::Void => Self::Void,
        }
    }
}

impl<K, V, E> FleetWriteGroup<K, V, E> {
    pub(crate) fn new(fleet: Fleet, name: String, ttl: Duration, local: Local<K, Run<V, E>, E>) -> Self {
        Self { inner: Arc::new(Inner { fleet, name, ttl, local, turns: PerProcess::new(Mutex::default()) }) }
    }
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
    /// Blocks while other runs of the key last, here and in the fleet, and for as long as the server is away, within
    /// the fleet's [`patience`](super::FleetBuilder::patience).
    ///
    /// # Errors
    ///
    /// As [`WriteGroup::try_write`](crate::WriteGroup::try_write), and [`Error::Fleet`]: the server is away, or
    /// refused.
    ///
    /// # Panics
    ///
    /// As [`WriteGroup::try_write`](crate::WriteGroup::try_write). The lease is released.
    pub fn try_write<Q>(&self, key: &Q, work: impl FnOnce(&Lease) -> Result<V, E>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Serialize + ?Sized,
    {
        self.call(key).run(work).map(Landing::into_value)
    }

    /// A call with options: how long to wait.
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> FleetWriteCall<'a, K, V, E, Q> {
        FleetWriteCall { group: self, key, options: WaitOptions::default() }
    }

    /// What the local group, which collapses this process's writes, has done. A run that other callers of the process
    /// waited for counts twice: once for the lease, once for the work.
    pub fn local_stats(&self) -> Stats {
        self.inner.local.group().stats()
    }

    /// How many threads of this process wait for the key.
    pub fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.local.group().followers(key)
    }

    /// How many keys have a run in the air in this process, or wait for their lease.
    pub fn in_flight(&self) -> usize {
        self.inner.local.group().in_flight()
    }

    /// The runs of this process, those included that wait for their lease. As
    /// [`WriteGroup::flights`](crate::WriteGroup::flights).
    pub fn flights(&self) -> Vec<FlightInfo<K>> {
        self.inner.local.group().flights()
    }
}

/// One call to a [`FleetWriteGroup`], with options; made by [`FleetWriteGroup::call`].
#[must_use = "a call does nothing until `run`"]
pub struct FleetWriteCall<'a, K, V, E, Q: ?Sized> {
    group: &'a FleetWriteGroup<K, V, E>,
    key: &'a Q,
    options: WaitOptions<'a>,
}

impl<'a, K, V, E, Q: ?Sized> FleetWriteCall<'a, K, V, E, Q> {
    /// How long to wait for other runs, for the lease, and for a server that is away. The call's own work is never
    /// interrupted; the lease is released in the background if the time is up by then.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.set_timeout(timeout);
        self
    }

    /// The moment at which to stop waiting.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.set_deadline(deadline);
        self
    }

    /// Ends the wait when `token` is cancelled: for the run of another caller, for the key's lease, or for the server.
    /// The call returns [`Error::Cancelled`] with the token's cause, and gives up its place in the lease's queue.
    ///
    /// If the token is cancelled before the call, the call returns at once and runs nothing. If the outcome is ready when
    /// the token is cancelled, the caller gets the outcome. The call's own work, and the release after it, are not
    /// interrupted. A call that reads answers for other threads ends them first: two
    /// [command timeouts](super::FleetBuilder::command_timeout) at most.
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.options.cancel = Some(token);
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
    /// As [`FleetWriteGroup::try_write`], and [`Error::TimedOut`]. A server that was still away at the deadline is
    /// [`Error::Fleet`].
    ///
    /// # Panics
    ///
    /// As [`FleetWriteGroup::try_write`].
    pub fn run(self, work: impl FnOnce(&Lease) -> Result<V, E>) -> Result<Landing<V>, Error<E>> {
        let local = self.group.inner.local.group();
        let mut call = Ongoing {
            work: Some(work),
            until: Until::begin(self.options),
            asked: None,
            detached: false,
            lent: false,
            queued: None,
        };
        loop {
            (call.asked, call.detached, call.lent) = (None, false, false);
            let landed = local::board(local, self.key, true, call.until, |flight, _| self.lead(&mut call, flight));
            if let Some(asked) = &mut call.asked {
                asked.resume();
            }
            // It queued for the lease, and a newer call ran with it meanwhile.
            if let Some(outcome) = call.queued.as_ref().and_then(|queued| queued.turn.passed_on()) {
                return outcome.map(covered);
            }
            match landed {
                Ok(landing) => {
                    let shared = landing.role == Role::Follower || landing.shared() || call.lent;
                    match landing.value {
                        Run::Written(value) => return Ok(Landing::new(value, landing.role, shared, call.detached)),
                        // `None`: it boards again, and runs with the lease if nobody else has come before.
                        Run::Acquired(turn) => {
                            if let Some(outcome) = self.see_through(&turn, &call) {
                                return outcome.map(covered);
                            }
                        }
                        Run::Void => {}
                    }
                }
                Err(error) => {
                    if let Some(error) = local::reason(error, call.asked.is_some(), call.until) {
                        if let Some(asked) = &call.asked {
                            asked.tell_left(local, self.key, &error);
                        }
                        return Err(error);
                    }
                }
            }
        }
    }

    /// A run of the local group: it takes the turn that is there, or queues for the next one.
    fn lead<'g, F>(&'g self, call: &mut Ongoing<'g, V, E, F>, flight: u64) -> Result<Run<V, E>, Grounded<E>>
    where
        F: FnOnce(&Lease) -> Result<V, E>,
    {
        call.asked = Some(Asked::new(flight));
        let inner = &*self.group.inner;
        if call.queued.as_ref().is_some_and(|queued| queued.turn.passed_on().is_some()) {
            return Ok(Run::Void);
        }
        let names =
            Names::of(&inner.fleet.config().prefix, Kind::Write, &inner.name, self.key).map_err(Grounded::Fleet)?;
        let turns = inner.turns();
        let taken = turns.lock().remove(names.tag());
        if let Some((lease, running)) = taken.and_then(|turn| turn.start()) {
            call.lent = true;
            return self.write(call, lease, Some(running));
        }
        let tag = Arc::clone(names.tag());
        let lease = inner
            .fleet
            .core()
            .and_then(|core| Wish { core, names, ttl: inner.ttl, renew: true }.enqueue(call.until))
            .map_err(|error| Grounded::of(error, call.until))?;
        // Nobody is there who could be newer: a caller that comes from now on waits for the next run.
        if inner.local.group().followers(self.key) == 0 {
            return self.write(call, lease, None);
        }
        let turn = Turn::new(lease);
        turns.lock().insert(Arc::clone(&tag), Arc::clone(&turn));
        call.queued = Some(Queued { turns, tag, turn: Arc::clone(&turn) });
        Ok(Run::Acquired(turn))
    }

    fn write<F>(
        &self,
        call: &mut Ongoing<'_, V, E, F>,
        lease: Lease,
        running: Option<Running<V, E>>,
    ) -> Result<Run<V, E>, Grounded<E>>
    where
        F: FnOnce(&Lease) -> Result<V, E>,
    {
        if let Some(asked) = &mut call.asked {
            asked.tell(self.group.inner.local.group(), self.key, FleetRole::Leader);
        }
        call.write(lease, running)
    }

    /// Waits for the outcome of the run that takes `turn`. `None`: nobody has taken it, and this call, which queued for
    /// it, has to, or an older call could run after a newer one; or its run had no outcome to pass on.
    fn see_through<F>(&self, turn: &Turn<V, E>, call: &Ongoing<'_, V, E, F>) -> Option<Result<V, Error<E>>> {
        let local = self.group.inner.local.group();
        let (mine, until) = (call.asked.is_some(), call.until);
        let late = || turn.passed_on().or(Some(Err(local::told(until.error()))));
        loop {
            let started = match turn.progress() {
                Progress::Over => return turn.passed_on(),
                Progress::Started => true,
                Progress::Acquired => false,
            };
            // Follows the run in the air, so that a circle of waits is seen.
            match local::follow(local, self.key, until) {
                Some(Err(Error::TimedOut(_) | Error::Cancelled(_))) if mine && !started => return None,
                Some(Err(Error::TimedOut(_) | Error::Cancelled(_))) => return late(),
                Some(Err(Error::Deadlock(circle))) => return Some(Err(Error::Deadlock(circle))),
                // It is aboard already, so a limit of callers is not for it.
                Some(Err(Error::Overloaded(_))) => turn.wait(),
                Some(_) => {}
                None if started => {}
                None if mine => return None,
                // The caller that queued for it boards again first; nothing of the user's comes before that.
                None => turn.wait(),
            }
            if !mine && until.is_over() {
                return late();
            }
        }
    }
}

/// A call on its way: what of it survives boarding again.
struct Ongoing<'g, V, E, F> {
    work: Option<F>,
    until: Until<'g>,
    /// Set if it led the last run of the local group.
    asked: Option<Asked>,
    /// The lease it ran with was lost.
    detached: bool,
    /// It ran with a lease that another call had queued for.
    lent: bool,
    queued: Option<Queued<'g, V, E>>,
}

/// A turn this call queued for. Dropped while nobody has taken the turn, it releases the lease.
struct Queued<'g, V, E> {
    turns: &'g Turns<V, E>,
    tag: Arc<str>,
    turn: Arc<Turn<V, E>>,
}

impl<V, E> Drop for Queued<'_, V, E> {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        let untaken = match turns.get(&self.tag) {
            Some(turn) if Arc::ptr_eq(turn, &self.turn) => turns.remove(&self.tag),
            _ => None,
        };
        drop(turns);
        // Releasing asks the server: not under the lock.
        drop(untaken.and_then(|turn| turn.start()));
    }
}

impl<V: Clone, E: Clone, F> Ongoing<'_, V, E, F>
where
    F: FnOnce(&Lease) -> Result<V, E>,
{
    /// Runs the closure with the lease, and releases it.
    fn write(&mut self, lease: Lease, running: Option<Running<V, E>>) -> Result<Run<V, E>, Grounded<E>> {
        let lease = lease.release_by(self.until.deadline);
        // Every closure runs at most once: this is the only place, and it is reached at most once in a call.
        let Some(work) = self.work.take() else { return Err(Grounded::OutOfTime(FleetError::TimedOut)) };
        let outcome = caught(|| work(&lease));
        // Before the local flight lands: the next run of this process asks behind the others that wait.
        self.detached = matches!(lease.release(), Err(FleetError::Lost));
        match outcome {
            Ok(outcome) => {
                if let Some(running) = running {
                    running.over(outcome.clone().map_err(Error::Work));
                }
                outcome.map(Run::Written).map_err(Grounded::Work)
            }
            Err(payload) => {
                if let Some(running) = running {
                    running.over(Err(Error::Panicked(describe(&payload))));
                }
                resume_unwind(payload)
            }
        }
    }
}

fn covered<V>(value: V) -> Landing<V> {
    Landing::new(value, Role::Follower, true, false)
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
