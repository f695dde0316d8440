//! One thread that renews everything this process holds.
//!
//! Each record is renewed every third of its time to live, many in one call. A renewal that fails for want of a server
//! is tried again until the record's local deadline; then, or when the server says that the record is somebody else's,
//! the loss is raised. Callbacks run on a thread of their own: one that blocks must not cost other holders theirs.

use super::clock::Moment;
use super::commander::{Commander, Limits};
use super::held::{Held, OnLost};
use super::scripts::{RENEW, Request};
use super::stats::Counters;
use super::until::Until;
use crate::engine::panics::quietly;
use crate::sync::{Arc, Condvar, Duration, Mutex, after, spawn_named, wait_until};
use redis::Value;
use std::collections::{BTreeSet, HashMap};

/// Records renewed by one script call: it holds up the server for well under a millisecond.
const BATCH: usize = 256;
/// What is due so soon is renewed along with what is due now.
const SLACK: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Default)]
pub(crate) struct Keeper {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    records: HashMap<u64, (Moment, Arc<Held>)>,
    due: BTreeSet<(Moment, u64)>,
    /// Until when the thread sleeps; it need not be woken for what is due later.
    wakes: Option<Moment>,
    stopped: bool,
}

impl Keeper {
    /// Renews `held` until [`remove`](Self::remove) is called with the number returned.
    pub(crate) fn add(&self, held: &Arc<Held>) -> u64 {
        let at = if held.renewed { Moment::now().plus(held.ttl / 3) } else { held.deadline() };
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.records.insert(number, (at, Arc::clone(held)));
        state.due.insert((at, number));
        if state.wakes.is_none_or(|wakes| at < wakes) {
            state.wakes = Some(at);
            self.bell.notify_one();
        }
        number
    }

    pub(crate) fn remove(&self, number: u64) {
        let mut state = self.state.lock();
        let removed = state.records.remove(&number);
        if let Some((at, _)) = &removed {
            state.due.remove(&(*at, number));
        }
        drop(state);
        drop(removed);
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().records.len()
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.bell.notify_one();
    }

    /// The thread's body.
    pub(crate) fn run(&self, commander: &Arc<Commander>, counters: &Counters) {
        while let Some(due) = self.wait_due() {
            let mut lost = Vec::new();
            for batch in due.chunks(BATCH) {
                self.renew(batch, commander, &mut lost);
            }
            tell(lost, counters);
        }
    }

    /// Sleeps until something is due, and takes it; `None` when stopped.
    fn wait_due(&self) -> Option<Vec<(u64, Arc<Held>)>> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let now = Moment::now();
            match state.due.first().copied() {
                Some((at, _)) if at <= now => break,
                first => {
                    // With nothing to do the last alarm is kept if it lies ahead: a program that takes and gives back
                    // a lease at a time would otherwise wake this thread for each.
                    let alarm = match (first, state.wakes) {
                        (Some((at, _)), _) => Some(at),
                        (None, Some(wakes)) if wakes > now => Some(wakes),
                        (None, _) => None,
                    };
                    state.wakes = alarm;
                    wait_until(&self.bell, &mut state, alarm.and_then(|at| after(at.since(now))));
                }
            }
        }
        let limit = Moment::now().plus(SLACK);
        let mut taken = Vec::new();
        while let Some((at, number)) = state.due.first().copied() {
            if at > limit {
                break;
            }
            state.due.pop_first();
            if let Some((_, held)) = state.records.get(&number) {
                taken.push((number, Arc::clone(held)));
            }
        }
        Some(taken)
    }

    fn renew(&self, batch: &[(u64, Arc<Held>)], commander: &Arc<Commander>, lost: &mut Vec<Vec<OnLost>>) {
        let mut request = Request::new(&RENEW);
        let mut asked = Vec::with_capacity(batch.len());
        let mut first_end = Moment::NEVER;
        for (number, held) in batch {
            if !held.renewed || held.deadline().has_passed() {
                self.settle(*number, held, None, lost);
                continue;
            }
            first_end = first_end.min(held.deadline());
            request = request.key(held.record.clone()).token(&held.token).number(millis(held.ttl));
            asked.push((*number, held));
        }
        if asked.is_empty() {
            return;
        }
        let sent = Moment::now();
        let deadline = after(first_end.remaining());
        let limits = Limits { until: Until::at(deadline), server: commander.three_timeouts(), rides: false };
        let answer = commander.call(request, limits);
        let verdicts = match answer.map(|answer| answer.value) {
            Ok(Value::Array(verdicts)) if verdicts.len() == asked.len() => Some(verdicts),
            _ => None,
        };
        for (n, (number, held)) in asked.into_iter().enumerate() {
            match verdicts.as_ref().map(|verdicts| &verdicts[n]) {
                Some(Value::Int(1)) => {
                    lost.extend(held.prolong(sent));
                    self.reschedule(number, held, sent.plus(held.ttl / 3));
                }
                Some(_) => {
                    self.forget(number);
                    lost.extend(held.lose());
                }
                None => self.settle(number, held, Some(Moment::now().plus(held.ttl / 12)), lost),
            }
        }
    }

    /// Not renewed: tried again at `again`, or lost when its time has passed.
    fn settle(&self, number: u64, held: &Arc<Held>, again: Option<Moment>, lost: &mut Vec<Vec<OnLost>>) {
        if held.deadline().has_passed() {
            self.forget(number);
            lost.extend(held.lose());
        } else {
            self.reschedule(number, held, again.unwrap_or(Moment::NEVER).min(held.deadline()));
        }
    }

    fn reschedule(&self, number: u64, held: &Arc<Held>, at: Moment) {
        let mut state = self.state.lock();
        // Not there: its holder ended it meanwhile.
        if let Some(place) = state.records.get_mut(&number) {
            *place = (at, Arc::clone(held));
            state.due.insert((at, number));
        }
    }

    fn forget(&self, number: u64) {
        self.remove(number);
    }
}

/// Runs the callbacks of what was lost, away from the keeper's thread.
fn tell(lost: Vec<Vec<OnLost>>, counters: &Counters) {
    counters.leases_lost.add(lost.len() as u64);
    let callbacks: Vec<OnLost> = lost.into_iter().flatten().collect();
    if callbacks.is_empty() {
        return;
    }
    let run = move || {
        for callback in callbacks {
            quietly(callback);
        }
    };
    // Without a thread to be had, the callbacks are dropped: they are advice, and `is_lost` still answers. Their drop
    // is the user's, and must not take this thread with it, which renews everybody's.
    quietly(|| drop(spawn_named("flight-group-lost".to_owned(), run)));
}

/// For a script: whole milliseconds, at least one.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
