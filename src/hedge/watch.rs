//! Who is told of a hedge's calls: the observer, spans and meters, in the same way as a group's.
//!
//! A call is one flight. Its attempts run inside the flight's span.

use crate::engine::options::Config;
use crate::engine::panics::{Payload, caught};
use crate::error::Error;
use crate::hedge::error::HedgeError;
use crate::observer::{Ending, EventKind};
use crate::report::{FlightReport, Trace};
use crate::site::Kind;
use crate::sync::{Arc, Instant, OnceCell};

/// What a hedge was asked to tell, and to whom. A hedge that was not asked has none.
#[derive(Clone)]
pub(super) struct Watch {
    asked: Config<()>,
    /// Made at the first call: a name may be set after the meters were asked for. Clones share it.
    settled: Arc<OnceCell<Config<()>>>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { asked: Config::new(Kind::Hedge), settled: Arc::new(OnceCell::new()) }
    }

    /// To change a setting: of this hedge, and not of the one it was cloned from.
    pub(super) fn ask(&mut self) -> &mut Config<()> {
        self.settled = Arc::new(OnceCell::new());
        &mut self.asked
    }

    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.asked.name.as_ref()
    }

    /// A call begins. `None`: nobody is told.
    pub(super) fn begin(&self, call: u64) -> Option<Watched<'_>> {
        let config = self.settled.get_or_init(|| self.asked.clone().settle());
        if !config.is_told() {
            return None;
        }
        let report = config.reports.flight(call, || None, None);
        let watched = Watched { config, call, began: Instant::now(), report };
        config.tell(call, &(), EventKind::Led);
        Some(watched)
    }
}

/// A call that somebody is told of. Dropped early, because the executor panics, it is abandoned.
pub(super) struct Watched<'a> {
    config: &'a Config<()>,
    call: u64,
    began: Instant,
    report: FlightReport,
}

impl Watched<'_> {
    /// For an attempt, which runs on another thread and may outlive the call.
    pub(super) fn trace(&self) -> Trace {
        self.report.trace()
    }

    /// Tells how the call ended. The panic of an observer, a subscriber or a recorder is given back.
    pub(super) fn ended<T, E>(self, outcome: &Result<T, HedgeError<E>>) -> Option<Payload> {
        let Self { config, call, began, report } = self;
        let ran = began.elapsed();
        let ending = match outcome {
            Ok(_) => Ending::Value,
            // A panic is a bug, and is not hidden by another attempt's error.
            Err(HedgeError::Failed(errors)) if errors.iter().any(Error::is_panicked) => Ending::Panicked,
            Err(HedgeError::Failed(_)) => Ending::Failed,
            // The call left, and no attempt's outcome is its own: the report is dropped, which abandons it.
            Err(HedgeError::Cancelled(_)) => {
                return caught(|| {
                    let _inside = report.enter();
                    config.tell(call, &(), EventKind::Cancelled { waited: ran });
                })
                .err();
            }
            Err(HedgeError::Deadlock(circle)) => {
                return caught(|| {
                    let _inside = report.enter();
                    config.reports.deadlocked(call, circle);
                    config.tell(call, &(), EventKind::Deadlock);
                })
                .err();
            }
            Err(HedgeError::Invalid(_)) => return None,
        };
        let (followers, detached) = (0, false);
        let reported = caught(|| report.landed(ending, ran, followers, detached));
        let told = caught(|| config.tell(call, &(), EventKind::Landed { ending, ran, followers, detached }));
        reported.err().or(told.err())
    }
}
