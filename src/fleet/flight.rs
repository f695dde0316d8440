//! One flight in the fleet: boarding it, and landing it. The protocol, without anybody's types.
//!
//! ```text
//! JOIN ─┬─ lead ───▶ run ─▶ FINISH (outcome) or RELEASE (panic, nothing to share)
//!       ├─ follow ─▶ sleep ─┬─ outcome in the message            ─▶ done
//!       │                   ├─ notice: fetch it with a JOIN       ─▶ done
//!       │                   ├─ oversize                           ─▶ run alone
//!       │                   ├─ again (the leader gave up)         ─▶ JOIN
//!       │                   └─ the record's time is over, or messages may have been lost ─▶ JOIN, asking for it
//!       └─ wait (fresh: the flight in the air is too old) ─▶ sleep until it ends ─▶ JOIN, for flights after it
//! ```

use super::FleetError;
use super::clock::Moment;
use super::commander::{Limits, Ticket};
use super::core::{Core, jitter};
use super::held::Held;
use super::keeper::millis;
use super::keys::Names;
use super::mailbox::Mail;
use super::process::Token;
use super::reply::{Finished, Joined, parse_finished, parse_flag, parse_joined};
use super::scripts::{FINISH, JOIN, RELEASE, Request};
use super::until::Until;
use crate::sync::{Arc, Duration, Instant, after};

/// Outcomes up to this size come with the message.
const INLINE: u64 = 8 << 10;

/// How a group wants its flights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) renew: bool,
    pub(crate) reuse: Duration,
    pub(crate) linger: Duration,
    pub(crate) max_result: usize,
    pub(crate) patience: Duration,
    /// It never flies alone.
    pub(crate) refuse: bool,
}

impl Settings {
    /// How long the server has for an answer: the patience, but at most half of what is left to the caller's deadline,
    /// so that it can still fly alone. A call that will not do that has nothing better to do than to wait.
    fn limits<'c>(&self, until: Until<'c>) -> Limits<'c> {
        let deadline = until.deadline;
        if self.refuse && deadline.is_some() {
            return Limits { until, server: None, rides: true };
        }
        let half = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) / 2);
        let patience = half.map_or(self.patience, |half| half.min(self.patience));
        Limits { until, server: after(patience), rides: self.refuse }
    }
}

/// How a call got aboard.
pub(crate) enum Boarded {
    Lead(Flight),
    /// Somebody else's outcome, as it was sealed.
    Landed(Vec<u8>),
    /// There is an outcome, too large to share.
    Alone,
}

/// Boards the fleet's flight.
pub(crate) fn board(
    core: &Arc<Core>,
    names: &Names,
    settings: &Settings,
    fresh: bool,
    until: Until<'_>,
) -> Result<Boarded, FleetError> {
    let token = core.mint.token();
    let letterbox = core.room.open(&token);
    let counters = &core.counters;
    // The first flight whose stored outcome will do; which flights may be followed; whether the followed leader
    // vanished without a word, and whether an outcome that is found had been announced.
    let (mut first, mut which, mut vanished, mut announced) = (0, Which::from(fresh), false, false);
    loop {
        let (joined, sent) = ask(core, names, settings, &token, first, which, until)?;
        let (flight, left, young) = match joined {
            Joined::Lead { flight } => {
                counters.led.add(1);
                counters.takeovers.add(u64::from(vanished));
                return Ok(Boarded::Lead(Flight::new(core, names, settings, token, flight, sent)));
            }
            Joined::Outcome { outcome, .. } => {
                if announced { &counters.followed_fetched } else { &counters.followed_polled }.add(1);
                return Ok(Boarded::Landed(outcome));
            }
            Joined::Done { outcome } => {
                counters.hits.add(1);
                return Ok(Boarded::Landed(outcome));
            }
            Joined::Follow { flight, left } => (flight, left, true),
            Joined::Wait { flight, left } => (flight, left, false),
        };
        // This call was there while `flight` was in the air, so all flights after it started during this call.
        if young {
            first = flight;
        } else {
            (first, which) = (flight + 1, Which::After(flight));
        }
        let alarm = after(left + jitter(settings.ttl));
        (vanished, announced) = (false, false);
        match letterbox.wait(until.or_at(alarm), until.cancel) {
            Some(Mail::Outcome { outcome, .. }) => {
                counters.followed_inline.add(1);
                return Ok(Boarded::Landed(outcome));
            }
            Some(Mail::Notice { flight }) => {
                first = flight;
                announced = true;
            }
            Some(Mail::Oversize { .. }) => return Ok(Boarded::Alone),
            Some(Mail::Again) => {}
            Some(Mail::Lost) => vanished = true,
            None if until.is_over() => return Err(until.error()),
            None => vanished = true,
        }
    }
}

/// Which flights of others a call may follow.
#[derive(Debug, Clone, Copy)]
enum Which {
    Any,
    None,
    After(u64),
}

impl From<bool> for Which {
    fn from(fresh: bool) -> Self {
        if fresh { Self::None } else { Self::Any }
    }
}

fn ask(
    core: &Arc<Core>,
    names: &Names,
    settings: &Settings,
    token: &Token,
    first: u64,
    which: Which,
    until: Until<'_>,
) -> Result<(Joined, Moment), FleetError> {
    let request = Request::new(&JOIN)
        .key(names.record())
        .key(names.last_fence())
        .key(names.outcome())
        .token(token)
        .number(millis(settings.ttl))
        .arg(core.inbox.as_str())
        .number(first);
    let request = match which {
        Which::Any => request.arg("any"),
        Which::None => request.arg("fresh"),
        Which::After(flight) => request.number(flight),
    };
    match core.commander.call(request, settings.limits(until)) {
        Ok(answer) => Ok((parse_joined(answer.value)?, answer.sent)),
        Err(failure) => {
            // It may have made this token the leader: nobody would ever land that flight.
            if failure.perhaps_done {
                core.commander.post(release(names, token), Core::surely_over(settings.ttl));
            }
            Err(failure.error)
        }
    }
}

fn release(names: &Names, token: &Token) -> Request {
    Request::new(&RELEASE).key(names.record()).token(token)
}

/// A flight this process leads. Dropped without a landing, as by a panic, it tells its followers to ask again.
pub(crate) struct Flight {
    core: Arc<Core>,
    names: Names,
    settings: Settings,
    held: Arc<Held>,
    kept: u64,
    landed: bool,
}

/// What a leader has for its followers.
pub(crate) enum Shared {
    Outcome {
        sealed: Vec<u8>,
        reusable: bool,
    },
    /// Nothing: they are to run their own, one of them leading.
    Nothing,
}

impl Flight {
    fn new(core: &Arc<Core>, names: &Names, settings: &Settings, token: Token, fence: u64, sent: Moment) -> Self {
        let held = Arc::new(Held::new(names.record(), token, fence, settings.ttl, settings.renew, sent));
        Self {
            core: Arc::clone(core),
            names: names.clone(),
            settings: *settings,
            kept: core.keeper.add(&held),
            held,
            landed: false,
        }
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Queues the landing, so that it goes before anything this process asks later; [`Finishing::settle`] sends it.
    pub(crate) fn land(mut self, shared: Shared) -> Finishing {
        self.landed = true;
        self.core.keeper.remove(self.kept);
        drop(self.held.end());
        let (request, kind) = match shared {
            Shared::Nothing => (release(&self.names, &self.held.token), Finish::Released),
            Shared::Outcome { sealed, reusable } => {
                let oversize = sealed.len() > self.settings.max_result;
                let reuse = if reusable && !self.settings.reuse.is_zero() { millis(self.settings.reuse) } else { 0 };
                let request = Request::new(&FINISH)
                    .key(self.names.record())
                    .key(self.names.last_fence())
                    .key(self.names.outcome())
                    .token(&self.held.token)
                    .arg(if oversize { Vec::new() } else { sealed })
                    .number(millis(self.settings.linger))
                    .number(INLINE)
                    .number(reuse)
                    .arg(if oversize { "x" } else { "" })
                    .number(self.held.fence);
                (request, Finish::Finished)
            }
        };
        let ticket = self.core.commander.promise(request, self.held.deadline());
        Finishing { core: Arc::clone(&self.core), held: Arc::clone(&self.held), ticket: Some(ticket), kind }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.core.keeper.remove(self.kept);
            drop(self.held.end());
            self.core.commander.post(release(&self.names, &self.held.token), self.held.deadline());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    Finished,
    Released,
}

/// A landing on its way to the server.
pub(crate) struct Finishing {
    core: Arc<Core>,
    held: Arc<Held>,
    ticket: Option<Ticket>,
    kind: Finish,
}

/// How a landing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The record had gone to somebody else, or may have.
    pub(crate) stale: bool,
    /// Other processes got the outcome.
    pub(crate) shared: bool,
}

impl Finishing {
    /// Sees the landing through, until `deadline` at most.
    pub(crate) fn settle(mut self, deadline: Option<Instant>) -> Settled {
        let Some(ticket) = self.ticket.take() else { return Settled { stale: false, shared: false } };
        let over = || self.held.deadline().has_passed();
        let limits = Limits { until: Until::at(deadline), server: self.core.commander.three_timeouts(), rides: false };
        let (stale, shared) = match self.core.commander.wait(ticket, limits) {
            Ok(answer) => match self.kind {
                Finish::Finished => match parse_finished(&answer.value) {
                    Ok(Finished::Landed { waiters }) => (false, waiters > 0),
                    // Sent twice: the first may have done it, if nobody has come since.
                    Ok(Finished::Stale { last_fence }) if answer.resent => {
                        (over() || last_fence != self.held.fence, true)
                    }
                    _ => (true, false),
                },
                Finish::Released => match parse_flag(&answer.value) {
                    Ok(false) if answer.resent => (over(), false),
                    Ok(released) => (!released, false),
                    Err(_) => (true, false),
                },
            },
            // The server could not say: what this process knows itself must do.
            Err(_) => (over(), false),
        };
        if stale {
            self.core.counters.stale_finishes.add(1);
        }
        Settled { stale, shared }
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        // A panic between landing and settling: the commander's own thread sends it.
        if self.ticket.is_some() {
            self.core.commander.ring();
        }
    }
}
