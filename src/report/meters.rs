//! Flights and waits as `metrics`. The names and units are documented in `docs::observing`.

use crate::engine::panics::quietly;
use crate::observer::{Ending, EventKind, FleetRole};
use crate::site::Kind;
use crate::sync::{Arc, Duration, Instant};
use metrics::{
    Counter, Gauge, Histogram, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

/// One group's meters, taken from the recorder when the group is built: an event then costs an atomic operation
/// and not a look-up, and every series is there, at zero, before anything has happened.
pub(super) struct Meters {
    led: Counter,
    joined: Counter,
    landed: [Counter; ENDINGS.len()],
    timed_out: Counter,
    cancelled: Counter,
    deadlocked: Counter,
    overloaded: Counter,
    forgotten: Counter,
    expired: Counter,
    taken_over: Counter,
    superseded: Counter,
    /// Only in the groups of a fleet.
    fleet: Vec<(FleetRole, Counter)>,
    in_flight: Gauge,
    waiting: Gauge,
    run: Histogram,
    wait: Histogram,
}

const ENDINGS: [Ending; 5] = [Ending::Value, Ending::Failed, Ending::Panicked, Ending::Abandoned, Ending::Missing];

/// What a process can be in the flights of such a group.
fn roles(kind: Kind) -> &'static [FleetRole] {
    match kind {
        Kind::FleetGroup => &[FleetRole::Leader, FleetRole::Follower, FleetRole::Alone],
        Kind::FleetWriteGroup => &[FleetRole::Leader],
        _ => &[],
    }
}

impl Meters {
    pub(super) fn new(kind: Kind, group: Option<&Arc<str>>) -> Self {
        let (kind, roles) = (kind.as_str(), roles(kind));
        let group: SharedString = match group {
            Some(group) => SharedString::from(String::from(&**group)),
            None => SharedString::const_str("unnamed"),
        };
        macro_rules! count {
            ($name:literal, $description:literal) => {{
                describe_counter!($name, Unit::Count, $description);
                counter!($name, "group" => group.clone(), "kind" => kind)
            }};
        }
        describe_counter!("flight_group_landed_total", Unit::Count, "flights that ended, by outcome");
        describe_gauge!("flight_group_in_flight", Unit::Count, "flights that have a leader and have not landed");
        describe_gauge!("flight_group_waiting", Unit::Count, "calls blocked on another caller's flight");
        describe_histogram!("flight_group_run_seconds", Unit::Seconds, "how long a flight's closure ran");
        describe_histogram!("flight_group_wait_seconds", Unit::Seconds, "how long a call was blocked");
        if !roles.is_empty() {
            describe_counter!(
                "flight_group_fleet_total",
                Unit::Count,
                "flights, by what this process was in the fleet"
            );
        }
        let fleet = |role: FleetRole| counter!("flight_group_fleet_total", "group" => group.clone(), "kind" => kind, "role" => role.as_str());
        let meters = Self {
            led: count!("flight_group_led_total", "flights that began"),
            joined: count!("flight_group_joined_total", "calls that took another caller's flight, receivers included"),
            landed: ENDINGS.map(
                |ending| counter!("flight_group_landed_total", "group" => group.clone(), "kind" => kind, "outcome" => ending.as_str()),
            ),
            timed_out: count!("flight_group_timed_out_total", "calls that ran out of time"),
            cancelled: count!("flight_group_cancelled_total", "waits that ended because their token was cancelled"),
            deadlocked: count!("flight_group_deadlocked_total", "calls refused: they would have waited for themselves"),
            overloaded: count!("flight_group_overloaded_total", "calls refused: too many waited already"),
            forgotten: count!("flight_group_forgotten_total", "flights detached by forget or by a write"),
            expired: count!("flight_group_expired_total", "flights detached because they were older than max_age"),
            taken_over: count!("flight_group_taken_over_total", "flights detached by a caller that waited too long"),
            superseded: count!("flight_group_superseded_total", "closures dropped unrun because a newer one ran"),
            fleet: roles.iter().map(|role| (*role, fleet(*role))).collect(),
            in_flight: gauge!("flight_group_in_flight", "group" => group.clone(), "kind" => kind),
            waiting: gauge!("flight_group_waiting", "group" => group.clone(), "kind" => kind),
            run: histogram!("flight_group_run_seconds", "group" => group.clone(), "kind" => kind),
            wait: histogram!("flight_group_wait_seconds", "group" => group.clone(), "kind" => kind),
        };
        // A gauge nobody has touched is not reported by every recorder.
        meters.in_flight.increment(0.0);
        meters.waiting.increment(0.0);
        meters
    }

    pub(super) fn count(&self, kind: &EventKind) {
        match kind {
            EventKind::Joined => self.joined.increment(1),
            EventKind::TimedOut { .. } => self.timed_out.increment(1),
            EventKind::Cancelled { .. } => self.cancelled.increment(1),
            EventKind::Deadlock => self.deadlocked.increment(1),
            EventKind::Overloaded => self.overloaded.increment(1),
            EventKind::Forgotten => self.forgotten.increment(1),
            EventKind::Expired => self.expired.increment(1),
            EventKind::TakenOver => self.taken_over.increment(1),
            EventKind::Superseded => self.superseded.increment(1),
            EventKind::InFleet { role } => {
                let counters = self.fleet.iter().filter(|(of, _)| of == role);
                counters.for_each(|(_, counter)| counter.increment(1));
            }
            // Counted by the guards, in every way they can end.
            EventKind::Led | EventKind::Landed { .. } | EventKind::Followed { .. } => {}
        }
    }

    fn end(&self, ending: Ending) {
        self.in_flight.decrement(1.0);
        let counters = ENDINGS.iter().zip(&self.landed);
        counters.filter(|(of, _)| **of == ending).for_each(|(_, counter)| counter.increment(1));
    }
}

/// A flight in the air.
pub(super) struct Airborne {
    meters: Arc<Meters>,
    landed: bool,
}

impl Airborne {
    pub(super) fn begin(meters: &Arc<Meters>) -> Self {
        meters.led.increment(1);
        meters.in_flight.increment(1.0);
        Self { meters: meters.clone(), landed: false }
    }

    pub(super) fn landed(mut self, ending: Ending, ran: Duration) {
        self.landed = true;
        self.meters.end(ending);
        self.meters.run.record(ran);
    }
}

impl Drop for Airborne {
    fn drop(&mut self) {
        if !self.landed {
            quietly(|| self.meters.end(Ending::Abandoned));
        }
    }
}

/// A blocked caller.
pub(super) struct Blocked<'a> {
    meters: &'a Meters,
    since: Instant,
}

impl<'a> Blocked<'a> {
    pub(super) fn begin(meters: &'a Meters) -> Self {
        meters.waiting.increment(1.0);
        Self { meters, since: Instant::now() }
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        quietly(|| {
            self.meters.waiting.decrement(1.0);
            self.meters.wait.record(self.since.elapsed());
        });
    }
}
