//! One connection shared by all threads, by flat combining.
//!
//! A caller puts its request into the queue. The caller that finds the connection free takes the *whole* queue, sends it
//! as one pipeline and hands out the answers; the others sleep. Under load one round trip thus carries as many requests
//! as there are threads, and a lone thread talks to the server with no hand-over at all. A combiner that is done
//! goes home with its own answer: if more has queued up meanwhile, it wakes exactly one of *those* waiters.
//!
//! ```text
//! queue ──take all──▶ exchange (no lock) ──┬─ answered: into the replies, their owners woken
//!                                           ├─ connection broken: back to the front of the queue, promises first
//!                                           └─ refused for now: aside, to be sent again after a pause
//! ```
//!
//! Four rules keep it honest:
//!
//! - **One connection keeps order.** A landing is queued before its flight is unlinked in this process, so a later
//!   JOIN comes after it. When a connection breaks, unanswered requests go back to the front, and those that must
//!   arrive (*promises*: FINISH, RELEASE) before all others.
//! - **No caller waits past its deadline.** Reading an answer can take as long as the command timeout. A caller with
//!   less time does not become the combiner: the commander's own thread sends its request, and the caller sleeps until
//!   its deadline at most.
//! - **Only the commander's own thread connects.** While it cannot, requests fail at once ([`Breaker`]), except those
//!   that ride an outage out: they stay queued until their owner's time is up.
//! - **A refusal is the refused request's.** Only a server that cannot serve anybody breaks the connection. A promise or
//!   a rider that was refused for now (a full server, somebody else's long script) is sent again after a pause.

use super::FleetError;
use super::breaker::Breaker;
use super::clock::Moment;
use super::reply::{Concerns, refusal};
use super::scripts::Request;
use super::until::Until;
use super::wire::{Connect, NO_ANSWER, Wire};
use crate::cancel::{CancelToken, Wake};
use crate::engine::panics::caught;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Duration, Instant, Mutex, MutexGuard, OnceCell, after, wait_until};
use redis::Value;
use std::collections::VecDeque;

/// The most requests and bytes one pipeline carries, so that its answers fit into one command timeout.
const LONGEST_BATCH: usize = 256;
const HEAVIEST_BATCH: usize = 4 << 20;
const CLOSED: &str = "the last handle to the fleet is gone";
/// How often a request is sent before its owner learns that it did not go through.
const TRIES: u8 = 2;
/// After which pause a request that was refused for now is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) value: Value,
    /// It had been sent before, on a connection that broke: its effect may be that of the first time.
    pub(crate) resent: bool,
    /// The moment before it was sent for the last time.
    pub(crate) sent: Moment,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) error: FleetError,
    /// The request may have had its effect all the same.
    pub(crate) perhaps_done: bool,
}

type Outcome = Result<Answer, Failure>;

/// For how long an answer is waited for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits<'c> {
    /// The caller's own. When its deadline has passed: [`FleetError::TimedOut`]. When its token is cancelled:
    /// [`FleetError::Cancelled`].
    pub(crate) until: Until<'c>,
    /// Until when the server has time. When it has passed: [`FleetError::Unavailable`].
    pub(crate) server: Option<Instant>,
    /// The request waits through an outage, as long as the limits allow.
    pub(crate) rides: bool,
}

impl Limits<'_> {
    /// The earlier limit, and whether it is the caller's own.
    fn earlier(&self) -> (Option<Instant>, bool) {
        match (self.until.deadline, self.server) {
            (Some(deadline), Some(server)) if server < deadline => (Some(server), false),
            (Some(deadline), _) => (Some(deadline), true),
            (None, server) => (server, false),
        }
    }
}

/// The place of one request: where its answer is put, and where its owner sleeps.
#[derive(Debug)]
struct Reply {
    outcome: OnceCell<Outcome>,
    /// Why it has to wait, where the server refused it for now.
    refused: OnceCell<FleetError>,
    /// Its owner sleeps, and may be woken to combine. Read and written under the commander's lock.
    asleep: AtomicBool,
    turn: Condvar,
}

struct Entry {
    request: Arc<Request>,
    reply: Arc<Reply>,
    /// For a promise: until when it is worth delivering, also if nobody waits for it.
    promise: Option<Moment>,
    /// It waits through an outage.
    rides: bool,
    with_text: bool,
    sent: u8,
}

struct State {
    queue: VecDeque<Entry>,
    /// Promises and riders that were refused for now. The promises go with every batch, so that they stay before what
    /// is asked later; all of them are sent again after a pause.
    aside: Vec<Entry>,
    retry: Option<Instant>,
    /// Present while nobody uses it.
    wire: Option<Box<dyn Wire>>,
    combining: bool,
    breaker: Breaker,
    stopped: bool,
}

/// See the module.
pub(crate) struct Commander {
    state: Mutex<State>,
    /// Where the commander's own thread sleeps.
    bell: Condvar,
    connector: Arc<dyn Connect>,
    timeout: Duration,
    connections: AtomicU64,
}

/// A request that was queued; [`Commander::wait`] sees it through.
#[derive(Debug)]
#[must_use = "a request nobody waits for is sent only when somebody else sends his"]
pub(crate) struct Ticket {
    reply: Arc<Reply>,
    promise: bool,
}

impl Commander {
    pub(crate) fn new(connector: Arc<dyn Connect>, timeout: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                aside: Vec::new(),
                retry: None,
                wire: None,
                combining: false,
                breaker: Breaker::Closed,
                stopped: false,
            }),
            bell: Condvar::new(),
            connector,
            timeout,
            connections: AtomicU64::new(0),
        }
    }

    /// How often a connection has replaced a lost one.
    pub(crate) fn reconnects(&self) -> u64 {
        // Relaxed: a number to look at.
        self.connections.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// The reason for which requests are refused now, if they are.
    pub(crate) fn refusal(&self) -> Option<FleetError> {
        self.state.lock().breaker.refusal().cloned()
    }

    /// Sends a request and waits for its answer, within `limits`.
    pub(crate) fn call(self: &Arc<Self>, request: Request, limits: Limits<'_>) -> Outcome {
        let ticket = self.enqueue(request, None, limits.rides);
        self.wait(ticket, limits)
    }

    /// Queues a promise: a request that is delivered even if nobody waits for it, until that moment.
    pub(crate) fn promise(&self, request: Request, until: Moment) -> Ticket {
        self.enqueue(request, Some(until), false)
    }

    fn enqueue(&self, request: Request, promise: Option<Moment>, rides: bool) -> Ticket {
        let reply = Arc::new(Reply {
            outcome: OnceCell::new(),
            refused: OnceCell::new(),
            asleep: AtomicBool::new(false),
            turn: Condvar::new(),
        });
        let entry =
            Entry { request: Arc::new(request), reply: Arc::clone(&reply), promise, rides, with_text: false, sent: 0 };
        let mut state = self.state.lock();
        match state.breaker.refusal() {
            Some(reason) if !entry.outlasts(reason) => {
                let _ = reply.outcome.set(Err(Failure { error: reason.clone(), perhaps_done: false }));
            }
            Some(_) => {
                state.queue.push_back(entry);
                // A rider has the server tried sooner.
                self.bell.notify_one();
            }
            None => state.queue.push_back(entry),
        }
        drop(state);
        Ticket { reply, promise: promise.is_some() }
    }

    /// Queues a promise that nobody waits for; the commander's own thread delivers it.
    pub(crate) fn post(&self, request: Request, until: Moment) {
        drop(self.promise(request, until));
        self.ring();
    }

    /// Lets the commander's own thread see to the queue.
    pub(crate) fn ring(&self) {
        let _state = self.state.lock();
        self.bell.notify_one();
    }

    /// How long a server that works could take at most: two tries, and the connecting between them.
    pub(crate) fn three_timeouts(&self) -> Option<Instant> {
        after(self.timeout.saturating_mul(3))
    }

    /// Waits for the answer to a queued request, combining if the connection is free.
    pub(crate) fn wait(self: &Arc<Self>, ticket: Ticket, limits: Limits<'_>) -> Outcome {
        let Ticket { reply, promise } = ticket;
        // Whose time is up: the caller's, or the server's.
        let (limit, own) = limits.earlier();
        let cancel = limits.until.cancel;
        // Before the lock: a token that is cancelled already wakes at once.
        let _registration = cancel
            .map(|token| token.on_cancel(Arc::new(Waiting { commander: Arc::clone(self), reply: Arc::clone(&reply) })));
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = reply.outcome.get() {
                return outcome.clone();
            }
            // A promise is kept when the server is back; nobody waits here for that.
            if promise && let Some(reason) = state.breaker.refusal() {
                return Err(Failure { error: reason.clone(), perhaps_done: true });
            }
            if cancel.is_some_and(CancelToken::is_cancelled) {
                let perhaps_done = self.give_up(&mut state, &reply);
                return Err(Failure { error: limits.until.error(), perhaps_done });
            }
            if state.ready() {
                // Writing may take one timeout, and reading another and a little.
                let needed = after(self.timeout.saturating_mul(2).saturating_add(self.timeout / 8));
                if limit.is_none_or(|limit| needed.is_some_and(|needed| needed <= limit)) {
                    state = self.combine(state);
                    continue;
                }
                // Too little time left to read answers for others: the commander's thread does.
                self.bell.notify_one();
            }
            reply.asleep.store(true, Ordering::Relaxed);
            let late = wait_until(&reply.turn, &mut state, limit);
            reply.asleep.store(false, Ordering::Relaxed);
            if late && reply.outcome.get().is_none() {
                let perhaps_done = self.give_up(&mut state, &reply);
                // What kept it waiting says more than that its time is up.
                let reason = reply.refused.get().or(state.breaker.refusal()).cloned();
                let error = reason.unwrap_or_else(|| if own { FleetError::TimedOut } else { self.lost(NO_ANSWER) });
                return Err(Failure { error, perhaps_done });
            }
        }
    }

    /// Takes the request back. Returns whether it may have had its effect.
    #[cold]
    fn give_up(&self, state: &mut State, reply: &Arc<Reply>) -> bool {
        let entry = state.withdraw(reply);
        // It may have been woken to combine at the moment it gave up: somebody else has to.
        self.hand_over(state);
        // A promise stays; a request that is in neither place is on its way.
        entry.is_none_or(|entry| entry.sent > 0)
    }

    /// Wakes one owner of a queued request to combine, or the commander's own thread where there is none.
    fn hand_over(&self, state: &mut State) {
        if !state.ready() {
            return;
        }
        match state.queue.iter().find(|entry| entry.reply.asleep.load(Ordering::Relaxed)) {
            Some(entry) => {
                entry.reply.turn.notify_one();
            }
            None => {
                self.bell.notify_one();
            }
        }
    }

    /// Sends what is queued and hands out the answers. The lock is free while it talks.
    fn combine<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(mut wire) = state.wire.take() else { return state };
        state.recall(|entry| entry.promise.is_some());
        let mut weight = 0;
        let fitting = state
            .queue
            .iter()
            .take(LONGEST_BATCH)
            .take_while(|entry| {
                let first = weight == 0;
                weight += entry.request.weight();
                first || weight <= HEAVIEST_BATCH
            })
            .count();
        let batch: Vec<Entry> = state.queue.drain(..fitting).collect();
        state.combining = true;
        drop(state);

        let requests: Vec<_> = batch.iter().map(|entry| (Arc::clone(&entry.request), entry.with_text)).collect();
        let sent = Moment::now();
        // A driver that panics has lost its connection, and must not take everybody's with it.
        let (answers, mut broken) = caught(|| wire.exchange(&requests, self.timeout))
            .unwrap_or_else(|_| (Vec::new(), Some("the redis driver panicked".to_owned())));

        let mut state = self.state.lock();
        state.combining = false;
        let mut answers = answers.into_iter();
        let mut again = Vec::new();
        for mut entry in batch {
            match answers.next() {
                Some(Value::ServerError(reply)) if reply.code() == "NOSCRIPT" && !entry.with_text => {
                    entry.with_text = true;
                    again.push(entry);
                }
                Some(Value::ServerError(reply)) => {
                    let detail = reply.details().unwrap_or_default();
                    let refusal = refusal(self.connector.server(), &entry.request.record(), reply.code(), detail);
                    let error = refusal.error;
                    // A demoted master, or one that is loading, is asked again after a pause and on a new connection,
                    // which may lead to another server.
                    if refusal.concerns == Concerns::Server && broken.is_none() {
                        broken = Some(error.to_string());
                        state.breaker.failed(error.clone(), Instant::now());
                    }
                    if !entry.outlasts(&error) {
                        entry.settle(&state, Err(Failure { error, perhaps_done: false }));
                    } else if refusal.concerns == Concerns::Server {
                        entry.sent += 1;
                        again.push(entry);
                    } else {
                        // Nobody waits for a promise that is kept later.
                        if entry.promise.is_some() {
                            entry.settle(&state, Err(Failure { error: error.clone(), perhaps_done: true }));
                        }
                        let _ = entry.reply.refused.set(error);
                        state.aside.push(entry);
                    }
                }
                Some(value) => {
                    let resent = entry.sent > 0;
                    entry.settle(&state, Ok(Answer { value, resent, sent }));
                }
                None => {
                    entry.sent += 1;
                    if entry.sent < TRIES || entry.promise.is_some() || entry.rides {
                        again.push(entry);
                    } else {
                        let error = self.lost(broken.as_deref().unwrap_or("no answer"));
                        entry.settle(&state, Err(Failure { error, perhaps_done: true }));
                    }
                }
            }
        }
        // In their order, but those that must arrive first: a resent landing must not come after a new JOIN.
        let (promises, others): (Vec<_>, Vec<_>) = again.into_iter().partition(|entry| entry.promise.is_some());
        for entry in others.into_iter().rev() {
            state.queue.push_front(entry);
        }
        for entry in promises.into_iter().rev() {
            state.queue.push_front(entry);
        }
        if !state.aside.is_empty() && state.retry.is_none() {
            state.retry = after(PAUSE);
            self.bell.notify_one();
        }
        if broken.is_none() {
            state.wire = Some(wire);
            self.hand_over(&mut state);
            if state.stopped {
                // The commander's own thread was told to end while this one talked, and sleeps until that is over.
                self.bell.notify_one();
            }
        } else {
            self.bell.notify_one();
            // Closing a socket is a system call: not under the lock.
            drop(state);
            drop(wire);
            state = self.state.lock();
        }
        state
    }

    fn lost(&self, reason: &str) -> FleetError {
        FleetError::Unavailable { server: self.connector.server().to_owned(), reason: reason.to_owned() }
    }

    /// The commander's own thread: connects, and combines where nobody else can.
    pub(crate) fn run(&self) {
        let mut state = self.state.lock();
        loop {
            if state.combining {
                self.bell.wait(&mut state);
            } else if state.wire.is_none() && !state.stopped {
                let hurried = state.queue.iter().chain(&state.aside).any(|entry| entry.rides);
                if let Some(at) = state.breaker.next_try(hurried)
                    && !wait_until(&self.bell, &mut state, Some(at))
                    && Instant::now() < at
                {
                    continue;
                }
                if state.stopped {
                    continue;
                }
                // Nobody else takes the wire's place: only this thread connects.
                drop(state);
                let connected = caught(|| self.connector.connect())
                    .unwrap_or_else(|_| Err(self.lost("the redis driver panicked while connecting")));
                state = self.state.lock();
                match connected {
                    Ok(wire) => {
                        self.connections.fetch_add(1, Ordering::Relaxed);
                        state.wire = Some(wire);
                        state.breaker.succeeded();
                        state.drop_stale_promises();
                    }
                    Err(reason) => {
                        state.breaker.failed(reason.clone(), Instant::now());
                        state.refuse_all(&reason, false);
                    }
                }
            } else if state.ready() {
                state = self.combine(state);
            } else if state.stopped {
                // Nobody connects any more. A caller that still asks (a renewal on its way) is told so, and does not wait.
                let reason = self.lost(CLOSED);
                state.breaker.failed(reason.clone(), Instant::now());
                state.refuse_all(&reason, true);
                return;
            } else if state.retry.is_some() {
                let retry = state.retry;
                if wait_until(&self.bell, &mut state, retry) {
                    state.retry = None;
                    state.drop_stale_promises();
                    state.recall(|_| true);
                }
            } else {
                self.bell.wait(&mut state);
            }
        }
    }

    /// Ends the commander's thread, after what is queued has been sent once.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.bell.notify_one();
    }
}

/// A caller that waits for an answer, as its token sees it.
struct Waiting {
    commander: Arc<Commander>,
    reply: Arc<Reply>,
}

impl Wake for Waiting {
    fn wake(&self) {
        // Under the lock: the caller looks at the token and falls asleep under it.
        let _state = self.commander.state.lock();
        self.reply.turn.notify_one();
    }
}

impl Entry {
    /// Puts the outcome into the reply and wakes its owner. The lock is held (`_state`), so that no owner can have
    /// looked and not yet slept.
    fn settle(&self, _state: &State, outcome: Outcome) {
        let _ = self.reply.outcome.set(outcome);
        self.reply.turn.notify_one();
    }

    /// Whether it is kept for later when the server is away or refuses for this reason.
    fn outlasts(&self, reason: &FleetError) -> bool {
        self.promise.is_some() || self.rides && reason.is_unavailable()
    }
}

impl State {
    /// Whether there is something to send and nobody sends.
    fn ready(&self) -> bool {
        !self.combining && self.wire.is_some() && !self.queue.is_empty()
    }

    /// Moves those that were put aside back to the front of the queue.
    fn recall(&mut self, which: impl Fn(&Entry) -> bool) {
        if self.aside.is_empty() {
            return;
        }
        let (back, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.aside).into_iter().partition(which);
        self.aside = rest;
        for entry in back.into_iter().rev() {
            self.queue.push_front(entry);
        }
    }

    /// Takes back a request that is not on its way; a promise stays.
    fn withdraw(&mut self, reply: &Arc<Reply>) -> Option<Entry> {
        let owned = |entry: &Entry| Arc::ptr_eq(&entry.reply, reply) && entry.promise.is_none();
        if let Some(place) = self.queue.iter().position(owned) {
            return self.queue.remove(place);
        }
        self.aside.iter().position(owned).map(|place| self.aside.remove(place))
    }

    /// Fails all requests but the promises that are still worth something and, unless this is the `end`, those that
    /// wait through an outage. A caller that waits for such a promise is woken: it need not wait.
    fn refuse_all(&mut self, reason: &FleetError, end: bool) {
        self.drop_stale_promises();
        self.recall(|_| true);
        let mut kept = VecDeque::new();
        for entry in std::mem::take(&mut self.queue) {
            if entry.promise.is_some() {
                entry.reply.turn.notify_one();
                kept.push_back(entry);
            } else if entry.outlasts(reason) && !end {
                kept.push_back(entry);
            } else {
                let perhaps_done = entry.sent > 0;
                entry.settle(self, Err(Failure { error: reason.clone(), perhaps_done }));
            }
        }
        self.queue = kept;
    }

    /// A record that has ended by itself needs no ending.
    fn drop_stale_promises(&mut self) {
        let mut stale = Vec::new();
        let mut keep = |entry: &Entry| {
            let keep = entry.promise.is_none_or(|until| !until.has_passed());
            if !keep {
                stale.push(Arc::clone(&entry.reply));
            }
            keep
        };
        self.queue.retain(&mut keep);
        self.aside.retain(&mut keep);
        for reply in stale {
            let _ = reply.outcome.set(Err(Failure { error: FleetError::Lost, perhaps_done: true }));
            reply.turn.notify_one();
        }
    }
}
