//! Where flights and waits are reported besides the observer: as spans (feature `tracing`), in meters (feature
//! `metrics`).
//!
//! The engine knows only this file. Without the features every type here is empty and every function does nothing,
//! so that the engine has no `cfg` in it; in a group that asked for neither, every field is `None`.
//!
//! What has a beginning and an end is a guard: a [`FlightReport`] from the moment a leader has its flight until the
//! flight has landed, a [`WaitReport`] for as long as a caller waits. Dropped early, because something unwinds,
//! they still close what they opened. A subscriber or a recorder is user code: it is called with no lock held, and
//! where a panic of its strands nobody.

#[cfg(feature = "metrics")]
mod meters;
#[cfg(feature = "tracing")]
mod spans;
mod wait_end;

pub(crate) use wait_end::{Trace, WaitEnd};

use crate::error::Deadlock;
use crate::observer::{Ending, EventKind};
use crate::site::Kind;
use crate::sync::{Arc, Duration};
use std::marker::PhantomData;

/// What the builder was asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted {
    #[cfg(feature = "tracing")]
    pub(crate) traced: bool,
    #[cfg(feature = "metrics")]
    pub(crate) metered: bool,
}

/// Whom a group reports to.
#[derive(Clone, Default)]
pub(crate) struct Reports {
    #[cfg(feature = "tracing")]
    spans: Option<Arc<spans::Spans>>,
    #[cfg(feature = "metrics")]
    meters: Option<Arc<meters::Meters>>,
}

impl Reports {
    #[cfg_attr(not(all(feature = "tracing", feature = "metrics")), allow(unused_variables))]
    pub(crate) fn new(wanted: Wanted, kind: Kind, group: Option<&Arc<str>>) -> Self {
        Self {
            #[cfg(feature = "tracing")]
            spans: wanted.traced.then(|| Arc::new(spans::Spans::new(group.cloned()))),
            #[cfg(feature = "metrics")]
            meters: wanted.metered.then(|| Arc::new(meters::Meters::new(kind, group))),
        }
    }

    pub(crate) fn any(&self) -> bool {
        #[cfg(feature = "metrics")]
        if self.meters.is_some() {
            return true;
        }
        self.are_traced()
    }

    /// Whether keys go anywhere.
    pub(crate) fn are_traced(&self) -> bool {
        #[cfg(feature = "tracing")]
        return self.spans.is_some();
        #[cfg(not(feature = "tracing"))]
        false
    }

    /// Something happened that has no duration. `key` is asked only if somebody listens.
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
    pub(crate) fn told(&self, flight: u64, key: impl FnOnce() -> Option<String>, kind: &EventKind) {
        self.count(kind);
        #[cfg(feature = "tracing")]
        if let Some(spans) = &self.spans {
            spans.told(flight, key, kind);
        }
    }

    /// The same where only a number is of interest.
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
    pub(crate) fn count(&self, kind: &EventKind) {
        #[cfg(feature = "metrics")]
        if let Some(meters) = &self.meters {
            meters.count(kind);
        }
    }

    /// A call that nobody sees wait would have waited for itself.
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
    pub(crate) fn deadlocked(&self, flight: u64, circle: &Deadlock) {
        #[cfg(feature = "tracing")]
        if let Some(spans) = &self.spans {
            spans.deadlocked(flight, circle);
        }
    }

    /// The calling thread's span, for a flight that will run elsewhere.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            #[cfg(feature = "tracing")]
            span: self.spans.is_some().then(tracing::Span::current),
        }
    }

    /// A leader has its flight. Without an origin it belongs to whatever the calling thread is doing.
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
    pub(crate) fn flight(
        &self,
        id: u64,
        key: impl FnOnce() -> Option<String>,
        origin: Option<&Origin>,
    ) -> FlightReport {
        FlightReport {
            #[cfg(feature = "tracing")]
            span: self
                .spans
                .as_ref()
                .map(|spans| spans::FlightSpan::open(spans, id, key, origin.and_then(|origin| origin.span.as_ref()))),
            #[cfg(feature = "metrics")]
            airborne: self.meters.as_ref().map(meters::Airborne::begin),
        }
    }

    /// The calling thread is about to wait for the flight.
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
    pub(crate) fn wait(&self, id: u64, key: impl FnOnce() -> Option<String>) -> WaitReport<'_> {
        WaitReport {
            #[cfg(feature = "tracing")]
            span: self.spans.as_deref().map(|spans| spans::WaitSpan::open(spans, id, key)),
            #[cfg(feature = "metrics")]
            _blocked: self.meters.as_deref().map(meters::Blocked::begin),
            _reports: PhantomData,
        }
    }
}

/// What the thread that spawned a call was doing.
pub(crate) struct Origin {
    #[cfg(feature = "tracing")]
    span: Option<tracing::Span>,
}

/// A flight that somebody leads. Dropped before it [`landed`](Self::landed), it never ran to its end.
pub(crate) struct FlightReport {
    #[cfg(feature = "tracing")]
    span: Option<spans::FlightSpan>,
    #[cfg(feature = "metrics")]
    airborne: Option<meters::Airborne>,
}

impl FlightReport {
    /// Of a flight nobody is told about.
    pub(crate) fn none() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: None,
            #[cfg(feature = "metrics")]
            airborne: None,
        }
    }

    /// To be held while the closure runs.
    pub(crate) fn enter(&self) -> Inside<'_> {
        Inside {
            #[cfg(feature = "tracing")]
            _entered: self.span.as_ref().map(spans::FlightSpan::enter),
            _report: PhantomData,
        }
    }

    /// To be held while one closure runs for several flights.
    pub(crate) fn enter_all<'a>(reports: impl Iterator<Item = &'a Self>) -> InsideAll<'a> {
        InsideAll(reports.map(Self::enter).collect())
    }

    /// What followers link their waits to; published with the outcome, for those who came before the leader had a
    /// span to show.
    pub(crate) fn trace(&self) -> Trace {
        Trace {
            #[cfg(feature = "tracing")]
            span: self.span.as_ref().map(spans::FlightSpan::share),
        }
    }

    #[cfg_attr(not(all(feature = "tracing", feature = "metrics")), allow(unused_variables))]
    pub(crate) fn landed(self, ending: Ending, ran: Duration, followers: usize, detached: bool) {
        #[cfg(feature = "metrics")]
        if let Some(airborne) = self.airborne {
            airborne.landed(ending, ran);
        }
        #[cfg(feature = "tracing")]
        if let Some(span) = self.span {
            span.landed(ending, ran, followers, detached);
        }
    }
}

impl Trace {
    /// To be held while a part of the flight runs on this thread.
    pub(crate) fn enter(&self) -> Inside<'_> {
        Inside {
            #[cfg(feature = "tracing")]
            _entered: self.span.as_ref().map(|span| span.enter()),
            _report: PhantomData,
        }
    }
}

/// The calling thread is inside the flight.
pub(crate) struct Inside<'a> {
    #[cfg(feature = "tracing")]
    _entered: Option<tracing::span::Entered<'a>>,
    _report: PhantomData<&'a FlightReport>,
}

/// The calling thread is inside several flights.
pub(crate) struct InsideAll<'a>(Vec<Inside<'a>>);

impl Drop for InsideAll<'_> {
    fn drop(&mut self) {
        while self.0.pop().is_some() {} // out in the opposite order: some subscribers keep a stack
    }
}

/// A caller that waits. Dropped without having been told how the wait [`ended`](Self::ended), it unwinds.
pub(crate) struct WaitReport<'a> {
    #[cfg(feature = "tracing")]
    span: Option<spans::WaitSpan<'a>>,
    #[cfg(feature = "metrics")]
    _blocked: Option<meters::Blocked<'a>>,
    _reports: PhantomData<&'a Reports>,
}

impl WaitReport<'_> {
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables, clippy::unused_self))]
    pub(crate) fn ended(&mut self, how: &WaitEnd<'_>) {
        #[cfg(feature = "tracing")]
        if let Some(span) = &mut self.span {
            span.ended(how);
        }
    }
}
