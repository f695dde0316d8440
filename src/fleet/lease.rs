//! A lease: one holder in the whole fleet.

use super::FleetError;
use super::clock::Moment;
use super::commander::Limits;
use super::core::{Core, jitter};
use super::fleet::{Fleet, TTL, check};
use super::held::Held;
use super::keeper::millis;
use super::keys::{Kind, Names};
use super::process::Token;
use super::reply::{Acquired, parse_acquired, parse_flag};
use super::scripts::{ACQUIRE, RELEASE, Request};
use super::until::Until;
use crate::cancel::CancelToken;
use crate::sync::{Arc, Duration, Instant, after};
use std::fmt;

/// Options of a lease, made by [`Fleet::lease`].
#[derive(Debug, Clone)]
#[must_use = "options do nothing until the lease is acquired"]
pub struct LeaseBuilder {
    fleet: Fleet,
    name: String,
    ttl: Duration,
    renew: bool,
    cancel: Option<CancelToken>,
}

impl Fleet {
    /// Options of a lease on `name`, before it is acquired. `name` is shared by everybody with the same
    /// [`prefix`](crate::fleet::FleetBuilder::prefix); it never meets a group's keys.
    pub fn lease(&self, name: &str) -> LeaseBuilder {
        LeaseBuilder::new(self.clone(), name)
    }
}

impl LeaseBuilder {
    pub(crate) fn new(fleet: Fleet, name: &str) -> Self {
        let ttl = fleet.config().ttl;
        Self { fleet, name: name.to_owned(), ttl, renew: true, cancel: None }
    }

    /// How long the lease lives without renewal. 50 ms to 12 hours; default: the fleet's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Whether the lease is renewed for as long as it is held. Default `true`. A short task that would rather lose the
    /// lease than hold it for longer than one [`ttl`](Self::ttl) switches it off.
    pub fn renew(mut self, renew: bool) -> Self {
        self.renew = renew;
        self
    }

    /// Ends the wait when `token` is cancelled: [`acquire`](Self::acquire) and its kin return
    /// [`FleetError::Cancelled`] with the token's cause, and give up the place in the queue. A token that is cancelled
    /// before the call ends it at once. It does nothing to a lease that is held.
    ///
    /// ```no_run
    /// use flight_group::{CancelToken, fleet::{Fleet, FleetError}};
    ///
    /// let fleet = Fleet::connect("redis://127.0.0.1/")?;
    /// let shutdown = CancelToken::new();
    /// match fleet.lease("report:2026-11").cancel(&shutdown).acquire() {
    ///     Ok(lease) => lease.release()?,
    ///     Err(FleetError::Cancelled(cancelled)) => println!("{}", cancelled.cause()),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), FleetError>(())
    /// ```
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = Some(token.clone());
        self
    }

    /// Acquires the lease; first come, first served over the whole fleet.
    ///
    /// Blocks until the lease is free and everybody who asked before has had it, or has died waiting. Waits through an
    /// outage of the server, for the fleet's [`patience`](super::FleetBuilder::patience) at most.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](FleetError::Unavailable) when the server could not be asked for so long,
    /// [`WrongType`](FleetError::WrongType) where the key in Redis is not a lease,
    /// [`BadOption`](FleetError::BadOption) for a time to live out of range.
    pub fn acquire(self) -> Result<Lease, FleetError> {
        self.enqueue(None)
    }

    /// Like [`acquire`](Self::acquire), for `timeout` at most: also while the server is away.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`TimedOut`](FleetError::TimedOut): the place in the queue is then given up.
    /// If the server was away when the time was up, the error is [`Unavailable`](FleetError::Unavailable), with the
    /// reason.
    pub fn acquire_timeout(self, timeout: Duration) -> Result<Lease, FleetError> {
        self.enqueue(after(timeout))
    }

    /// Like [`acquire`](Self::acquire), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    pub fn acquire_deadline(self, deadline: Instant) -> Result<Lease, FleetError> {
        self.enqueue(Some(deadline))
    }

    /// Acquires the lease if it is free and nobody waits for it; `None` otherwise. Blocks for one round trip. Does not
    /// wait for a server that is known to be away.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(self) -> Result<Option<Lease>, FleetError> {
        self.wish()?.try_once()
    }

    fn enqueue(self, deadline: Option<Instant>) -> Result<Lease, FleetError> {
        self.wish()?.enqueue(Until { deadline, cancel: self.cancel.as_ref() })
    }

    fn wish(&self) -> Result<Wish<'_>, FleetError> {
        check("ttl", self.ttl, TTL)?;
        self.cancel.as_ref().map_or(Ok(()), CancelToken::check).map_err(FleetError::Cancelled)?;
        let names = Names::new(&self.fleet.config().prefix, Kind::Lease, "", &self.name);
        Ok(Wish { core: self.fleet.core()?, names, ttl: self.ttl, renew: self.renew })
    }
}

/// A lease that is wanted, before it is held.
pub(crate) struct Wish<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) names: Names,
    pub(crate) ttl: Duration,
    pub(crate) renew: bool,
}

impl Wish<'_> {
    /// For how long a place in the queue outlives its waiter's last sign of life.
    fn heartbeat(&self) -> Duration {
        self.ttl.clamp(Duration::from_millis(300), Duration::from_secs(3))
    }

    /// How long the server has from now on, where the call says nothing.
    fn patience(&self) -> Option<Instant> {
        after(self.core.patience)
    }

    fn ask(&self, token: &Token, queue: bool, limits: Limits<'_>) -> Result<(Acquired, Moment), FleetError> {
        let request = Request::new(&ACQUIRE)
            .key(self.names.record())
            .key(self.names.last_fence())
            .key(self.names.queue())
            .key(self.names.heartbeats())
            .token(token)
            .number(millis(self.ttl))
            .arg(self.core.inbox.as_str())
            .number(millis(self.heartbeat()))
            .arg(if queue { "queue" } else { "try" });
        match self.core.commander.call(request, limits) {
            Ok(answer) => Ok((parse_acquired(&answer.value)?, answer.sent)),
            Err(failure) => {
                if failure.perhaps_done {
                    self.leave(token);
                }
                if failure.error.is_unavailable() {
                    self.core.counters.unavailable.add(1);
                }
                Err(failure.error)
            }
        }
    }

    /// Gives up a place in the queue, or a lease whose answer never came.
    fn leave(&self, token: &Token) {
        self.core.commander.post(release(&self.names, token), Core::surely_over(self.ttl.max(self.heartbeat())));
    }

    fn held(&self, token: Token, fence: u64, sent: Moment) -> Lease {
        self.core.counters.leases.add(1);
        Lease::new(self, token, fence, sent)
    }

    fn try_once(self) -> Result<Option<Lease>, FleetError> {
        let token = self.core.mint.token();
        let limits = Limits { server: self.patience(), ..Limits::default() };
        match self.ask(&token, false, limits)? {
            (Acquired::Held { fence }, sent) => Ok(Some(self.held(token, fence, sent))),
            _ => Ok(None),
        }
    }

    pub(crate) fn enqueue(self, until: Until<'_>) -> Result<Lease, FleetError> {
        let token = self.core.mint.token();
        let letterbox = self.core.room.open(&token);
        let mut queued = false;
        loop {
            // With a deadline, an outage that ends before it costs nothing but time.
            let server = if until.deadline.is_some() { None } else { self.patience() };
            let answer = self.ask(&token, true, Limits { until, server, rides: true }).inspect_err(|_| {
                // Its place would hold up those behind it until its heartbeat runs out.
                if queued {
                    self.leave(&token);
                }
            });
            let (left, ahead) = match answer? {
                (Acquired::Held { fence }, sent) => return Ok(self.held(token, fence, sent)),
                (Acquired::Queued { left, ahead }, _) => (left, ahead),
                (Acquired::Busy, _) => (Duration::ZERO, 1),
            };
            queued = true;
            // A sign of life in good time; the first in the queue also looks when the holder's time is over.
            let mut pause = self.heartbeat() / 3;
            if ahead == 0 {
                pause = pause.min(left + jitter(self.ttl));
            }
            let alarm = after(pause);
            if letterbox.wait(until.or_at(alarm), until.cancel).is_none() && until.is_over() {
                self.leave(&token);
                return Err(until.error());
            }
        }
    }
}

fn release(names: &Names, token: &Token) -> Request {
    Request::new(&RELEASE).key(names.record()).key(names.queue()).key(names.heartbeats()).token(token)
}

/// The right to do something alone in the fleet, for as long as it is held: a guard, released on drop.
///
/// Dropping it blocks for one round trip, as [`release`](Self::release) does; where the server does not answer, for
/// three [command timeouts](super::FleetBuilder::command_timeout) at most, and not at all in an outage that is known.
///
/// **While the lease holds**, nobody else has it. A holder that is paused or cut off from Redis for longer than the
/// time to live loses it without noticing in time, and no lock service can prevent that. So give
/// [`fence`](Self::fence) to whatever the lease protects, and let that refuse a smaller one:
///
/// ```sql
/// UPDATE reports SET body = :body, fence = :fence WHERE id = :id AND fence <= :fence
/// ```
///
/// ```no_run
/// use flight_group::fleet::{Fleet, FleetError};
/// use std::time::Duration;
///
/// let fleet = Fleet::connect("redis://127.0.0.1/")?;
/// match fleet.lease("report:2026-11").acquire_timeout(Duration::from_secs(5)) {
///     Ok(lease) => {
///         lease.on_lost(|| eprintln!("the report is somebody else's now"));
///         while !lease.is_lost() {
///             // one more page, written with lease.fence()
///             # break;
///         }
///         lease.release()?;
///     }
///     Err(FleetError::TimedOut) => println!("others had it all the time"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), FleetError>(())
/// ```
#[must_use = "a lease is released when it is dropped"]
pub struct Lease {
    core: Arc<Core>,
    pid: u32,
    names: Names,
    held: Arc<Held>,
    kept: u64,
    /// How long releasing may take, beside what the server is given.
    release_by: Option<Instant>,
    released: bool,
}

impl Lease {
    fn new(wish: &Wish<'_>, token: Token, fence: u64, sent: Moment) -> Self {
        let held = Arc::new(Held::new(wish.names.record(), token, fence, wish.ttl, wish.renew, sent));
        Self {
            core: Arc::clone(wish.core),
            pid: std::process::id(),
            names: wish.names.clone(),
            kept: wish.core.keeper.add(&held),
            held,
            release_by: None,
            released: false,
        }
    }

    /// Releasing takes until this deadline at most, also when the lease is dropped by a panic.
    pub(crate) fn release_by(mut self, deadline: Option<Instant>) -> Self {
        self.release_by = deadline;
        self
    }

    /// A number greater than that of every earlier holder of this name.
    pub fn fence(&self) -> u64 {
        self.held.fence
    }

    /// For how long the lease would hold if it were not renewed any more; zero when it is lost.
    pub fn remaining(&self) -> Duration {
        if self.foreign() { Duration::ZERO } else { self.held.remaining() }
    }

    /// Whether the lease is lost: the server said so, or could not be asked in time. Advice: the answer may change
    /// before it is read; what is definite is [`release`](Self::release), and the storage that checks the fence.
    ///
    /// Counts the time the machine was suspended (on Linux). In a forked child every lease of the parent is lost.
    pub fn is_lost(&self) -> bool {
        self.foreign() || self.held.is_lost()
    }

    /// Calls `callback` when the lease is lost before it is released; at once, on this thread, if it is already.
    ///
    /// Otherwise it runs on a thread of the crate's own, at the latest three command timeouts after
    /// [`is_lost`](Self::is_lost) has become true; a panic in it ends there. Never called after a release.
    pub fn on_lost(&self, callback: impl FnOnce() + Send + 'static) {
        if let Some(callback) = self.held.on_lost(Box::new(callback)) {
            callback();
        }
    }

    /// Releases the lease, and says whether it held until now. Blocks for one round trip; where the server does not
    /// answer, for three command timeouts at most.
    ///
    /// # Errors
    ///
    /// [`Lost`](FleetError::Lost): it had ended before, so somebody else may have held it meanwhile.
    /// [`Unavailable`](FleetError::Unavailable): the server did not answer; the release is sent again in the
    /// background for as long as it matters.
    pub fn release(mut self) -> Result<(), FleetError> {
        self.give_back()
    }

    fn foreign(&self) -> bool {
        self.pid != std::process::id()
    }

    fn give_back(&mut self) -> Result<(), FleetError> {
        self.released = true;
        if self.foreign() {
            return Err(FleetError::Lost);
        }
        self.core.keeper.remove(self.kept);
        // Dropped when all is done: a callback whose drop panics must not keep the lease.
        let _callbacks = self.held.end();
        let request = release(&self.names, &self.held.token);
        let ticket = self.core.commander.promise(request, self.held.deadline());
        let server = self.core.commander.three_timeouts();
        let limits = Limits { until: Until::at(self.release_by), server, rides: false };
        match self.core.commander.wait(ticket, limits) {
            Ok(answer) => match parse_flag(&answer.value)? {
                true => Ok(()),
                // Sent twice, and the first may have done it: nobody can say that it was lost.
                false if answer.resent && !self.held.deadline().has_passed() => Ok(()),
                false => Err(FleetError::Lost),
            },
            // Nobody could say it more definitely: the record has ended by itself.
            Err(_) if self.held.deadline().has_passed() => Err(FleetError::Lost),
            Err(failure) => Err(failure.error),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.released {
            let _ = self.give_back();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("fence", &self.fence())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
