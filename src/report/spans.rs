//! Flights and waits as `tracing` spans. The names, fields and levels are documented in `docs::observing`.

use crate::engine::panics::quietly;
use crate::error::Deadlock;
use crate::observer::{Ending, EventKind, FleetRole};
use crate::report::wait_end::WaitEnd;
use crate::sync::{Arc, Duration, Mutex};
use std::collections::HashMap;
use tracing::field::Empty;
use tracing::span::{Entered, EnteredSpan};
use tracing::{Level, Span, event, span};

/// One group's spans.
pub(super) struct Spans {
    group: Option<Arc<str>>,
    /// The spans of flights in the air, for followers to link to. A lone leader's flight exists nowhere else that a
    /// follower could find it. Only pointers are cloned, inserted and removed under the lock: handling a span calls
    /// the subscriber.
    in_the_air: Mutex<HashMap<u64, Arc<Span>>>,
}

impl Spans {
    pub(super) fn new(group: Option<Arc<str>>) -> Self {
        Self { group, in_the_air: Mutex::new(HashMap::new()) }
    }

    fn find(&self, id: u64) -> Option<Arc<Span>> {
        self.in_the_air.lock().get(&id).cloned()
    }

    fn remove(&self, id: u64) -> Option<Arc<Span>> {
        let mut flights = self.in_the_air.lock();
        let span = flights.remove(&id);
        if flights.is_empty() && flights.capacity() > 8 {
            *flights = HashMap::new(); // P8: an idle group keeps nothing
        }
        span
    }

    pub(super) fn deadlocked(&self, flight: u64, circle: &Deadlock) {
        let group = self.group.as_deref();
        event!(target: "flight_group", Level::ERROR, group, flight, circle = %circle, "deadlock");
    }

    /// What has no duration. The rest is told by the spans themselves.
    pub(super) fn told(&self, flight: u64, key: impl FnOnce() -> Option<String>, kind: &EventKind) {
        macro_rules! tell {
            ($level:ident, $message:literal $(, $field:ident = $value:expr)*) => {
                event!(
                    target: "flight_group",
                    Level::$level,
                    group = self.group.as_deref(),
                    key = key(),
                    flight,
                    $($field = $value,)*
                    $message
                )
            };
        }
        match *kind {
            EventKind::TimedOut { waited } => tell!(WARN, "timed out", waited_us = micros(waited)),
            EventKind::Cancelled { waited } => tell!(DEBUG, "cancelled", waited_us = micros(waited)),
            EventKind::Overloaded => tell!(WARN, "overloaded"),
            EventKind::Expired => tell!(WARN, "expired"),
            EventKind::TakenOver => tell!(WARN, "taken over"),
            EventKind::Forgotten => tell!(DEBUG, "forgotten"),
            EventKind::Superseded => tell!(DEBUG, "superseded"),
            EventKind::InFleet { role } => {
                if let Some(span) = self.find(flight) {
                    span.record("role", role.as_str());
                }
                if role == FleetRole::Alone {
                    tell!(WARN, "alone");
                }
            }
            // Told by `deadlocked`, with the circle.
            EventKind::Deadlock => {}
            EventKind::Led | EventKind::Joined | EventKind::Landed { .. } | EventKind::Followed { .. } => {}
        }
    }
}

/// The span of a flight in the air.
pub(super) struct FlightSpan {
    spans: Arc<Spans>,
    id: u64,
    span: Arc<Span>,
    landed: bool,
}

impl FlightSpan {
    pub(super) fn open(
        spans: &Arc<Spans>,
        id: u64,
        key: impl FnOnce() -> Option<String>,
        origin: Option<&Span>,
    ) -> Self {
        macro_rules! flight {
            ($($parent:tt)*) => {
                span!(
                    target: "flight_group",
                    $($parent)*
                    Level::INFO,
                    "flight",
                    group = spans.group.as_deref(),
                    key = key(),
                    flight = id,
                    role = Empty,
                    outcome = Empty,
                    ran_us = Empty,
                    followers = Empty,
                    detached = Empty
                )
            };
        }
        let span = Arc::new(match origin {
            Some(origin) => flight!(parent: origin,),
            None => flight!(),
        });
        if !span.is_disabled() {
            spans.in_the_air.lock().insert(id, span.clone());
        }
        Self { spans: spans.clone(), id, span, landed: false }
    }

    pub(super) fn enter(&self) -> Entered<'_> {
        self.span.enter()
    }

    pub(super) fn share(&self) -> Arc<Span> {
        self.span.clone()
    }

    pub(super) fn landed(mut self, ending: Ending, ran: Duration, followers: usize, detached: bool) {
        self.landed = true;
        let (outcome, ran_us, followers) = (ending.as_str(), micros(ran), followers as u64);
        self.span.record("outcome", outcome);
        self.span.record("ran_us", ran_us);
        self.span.record("followers", followers);
        self.span.record("detached", detached);
        macro_rules! tell {
            ($level:ident) => {
                event!(
                    target: "flight_group", parent: &*self.span, Level::$level,
                    outcome, ran_us, followers, detached, "landed"
                )
            };
        }
        match ending {
            Ending::Panicked | Ending::Abandoned => tell!(WARN),
            Ending::Value | Ending::Failed | Ending::Missing => tell!(DEBUG),
        }
    }
}

impl Drop for FlightSpan {
    fn drop(&mut self) {
        quietly(|| drop(self.spans.remove(self.id)));
        if !self.landed {
            quietly(|| {
                let outcome = Ending::Abandoned.as_str();
                self.span.record("outcome", outcome);
                event!(target: "flight_group", parent: &*self.span, Level::WARN, outcome, "landed");
            });
        }
    }
}

/// The span of a caller's wait; entered from beginning to end.
pub(super) struct WaitSpan<'a> {
    spans: &'a Spans,
    flight: u64,
    span: EnteredSpan,
    linked: bool,
    ended: bool,
}

impl<'a> WaitSpan<'a> {
    pub(super) fn open(spans: &'a Spans, flight: u64, key: impl FnOnce() -> Option<String>) -> Self {
        let span = span!(
            target: "flight_group",
            Level::INFO,
            "wait",
            group = spans.group.as_deref(),
            key = key(),
            flight,
            outcome = Empty
        );
        let mut wait = Self { spans, flight, span: span.entered(), linked: false, ended: false };
        if !wait.span.is_disabled() {
            wait.link_to(spans.find(flight).as_deref());
        }
        wait
    }

    fn link_to(&mut self, flight: Option<&Span>) {
        if let (false, Some(flight)) = (self.linked, flight) {
            self.span.follows_from(flight);
            self.linked = true;
        }
    }

    pub(super) fn ended(&mut self, how: &WaitEnd<'_>) {
        self.ended = true;
        if self.span.is_disabled() {
            self.tell_deadlock(how);
            return;
        }
        if !self.linked {
            // We came before the leader had a span, or waited in the queue: there is one by now, or there was none.
            match how {
                WaitEnd::Landed(_, trace) => self.link_to(trace.span.as_deref()),
                _ => self.link_to(self.spans.find(self.flight).as_deref()),
            }
        }
        self.span.record(
            "outcome",
            match how {
                WaitEnd::Landed(ending, _) => ending.as_str(),
                WaitEnd::Led => "led",
                WaitEnd::TimedOut => "timed_out",
                WaitEnd::Cancelled => "cancelled",
                WaitEnd::Deadlock(_) => "deadlock",
                WaitEnd::BoardsAgain => "boards_again",
            },
        );
        self.tell_deadlock(how);
    }

    fn tell_deadlock(&self, how: &WaitEnd<'_>) {
        if let WaitEnd::Deadlock(circle) = how {
            self.spans.deadlocked(self.flight, circle);
        }
    }
}

impl Drop for WaitSpan<'_> {
    fn drop(&mut self) {
        if !self.ended {
            quietly(|| {
                self.span.record("outcome", "unwound");
            });
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
