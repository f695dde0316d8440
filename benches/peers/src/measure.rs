//! Rounds of all contestants, interleaved, and what they come to.
//!
//! The machine is never quiet. Every contestant therefore runs once in every round, in an order that turns from
//! round to round, and contestants are compared within rounds: a ratio is the median of the rounds' ratios, so
//! that whatever slows a whole round down slows both sides of it.

use crate::quantile::Sorted;
use indicatif::ProgressBar;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// What one column of a workload's table holds.
pub struct Metric {
    pub name: &'static str,
    pub unit: &'static str,
}

/// Runs once, and returns a value for every metric.
pub type Run = Box<dyn FnMut() -> Vec<f64>>;

pub struct Contestant {
    pub name: String,
    pub run: Run,
}

/// One workload: who takes part, what is measured, what is asked of it.
pub struct Workload {
    pub title: String,
    /// How it was measured, for the report.
    pub method: String,
    pub metrics: Vec<Metric>,
    pub contestants: Vec<Contestant>,
    pub rounds: usize,
    pub marks: Vec<Mark>,
    /// The contestant the ratios are to.
    pub reference: String,
}

/// A value that a mark speaks of: one contestant's, or the best (smallest) of several.
pub struct Value {
    pub of: Vec<String>,
    pub metric: usize,
}

pub fn of(contestant: &str, metric: usize) -> Value {
    Value { of: vec![contestant.to_owned()], metric }
}

/// The smallest of the others' values.
pub fn least_of(contestants: &[&str], metric: usize) -> Value {
    Value { of: contestants.iter().map(|&name| name.to_owned()).collect(), metric }
}

pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What is asked of the crate: a value, or its ratio to another, within a bound.
pub struct Mark {
    pub what: &'static str,
    pub value: Value,
    pub over: Option<Value>,
    pub bound: Bound,
    on_page: bool,
    if_missed: &'static str,
}

impl Mark {
    fn new(what: &'static str, value: Value, over: Option<Value>, bound: Bound) -> Self {
        Self { what, value, over, bound, on_page: false, if_missed: "" }
    }

    pub fn at_most(what: &'static str, value: Value, over: Value, bound: f64) -> Self {
        Self::new(what, value, Some(over), Bound::AtMost(bound))
    }

    pub fn at_least(what: &'static str, value: Value, over: Value, bound: f64) -> Self {
        Self::new(what, value, Some(over), Bound::AtLeast(bound))
    }

    pub fn absolute(what: &'static str, value: Value, bound: f64) -> Self {
        Self::new(what, value, None, Bound::AtMost(bound))
    }

    /// Is a row of the table on the page `performance`.
    pub fn on_page(self) -> Self {
        Self { on_page: true, ..self }
    }

    /// Why it is missed, where it is known.
    pub fn if_missed(self, why: &'static str) -> Self {
        Self { if_missed: why, ..self }
    }

    /// What the value is divided by, in words.
    fn beside(&self, metrics: &[Metric]) -> String {
        match &self.over {
            None => String::new(),
            Some(over) if over.of == self.value.of => metrics[over.metric].name.to_owned(),
            Some(over) if over.of.len() == 1 => over.of[0].clone(),
            Some(over) => format!("the least of: {}", over.of.join("; ")),
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "≤\u{a0}{bound}"),
            Self::AtLeast(bound) => write!(f, "≥\u{a0}{bound}"),
        }
    }
}

/// A mark's verdict.
pub struct Verdict {
    pub what: &'static str,
    pub found: Spread,
    pub aim: String,
    /// What the value was divided by; empty where it was not.
    pub beside: String,
    pub met: bool,
    /// How far beyond the bound, as a share of it; negative where there is room.
    pub beyond: f64,
    pub on_page: bool,
    pub if_missed: &'static str,
}

/// A median and the quartles around it.
#[derive(Clone, Copy)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Self {
        let sorted = Sorted::new(values.iter().copied());
        let at = |share| sorted.quantile(share).unwrap_or(f64::NAN);
        Self { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

/// The measured workload: `values[contestant][metric][round]`.
pub struct Measured {
    pub title: String,
    pub method: String,
    pub metrics: Vec<Metric>,
    pub names: Vec<String>,
    pub values: Vec<Vec<Vec<f64>>>,
    pub rounds: usize,
    pub reference: usize,
    pub verdicts: Vec<Verdict>,
    /// Load averages of the machine before and after.
    pub load: (f64, f64),
}

impl Measured {
    pub fn spread(&self, contestant: usize, metric: usize) -> Spread {
        Spread::of(&self.values[contestant][metric])
    }

    /// The contestant's value as a multiple of the reference's, round by round.
    pub fn ratio(&self, contestant: usize, metric: usize) -> Spread {
        let pairs = self.values[contestant][metric].iter().zip(&self.values[self.reference][metric]);
        Spread::of(&pairs.map(|(value, reference)| value / reference).collect::<Vec<_>>())
    }

    fn rounds_of(&self, value: &Value) -> Vec<f64> {
        let contestants: Vec<usize> =
            value.of.iter().filter_map(|name| self.names.iter().position(|n| n == name)).collect();
        (0..self.rounds)
            .map(|round| contestants.iter().map(|&c| self.values[c][value.metric][round]).fold(f64::NAN, f64::min))
            .collect()
    }

    fn judge(&self, mark: &Mark) -> Verdict {
        let values = self.rounds_of(&mark.value);
        let found = match &mark.over {
            None => Spread::of(&values),
            Some(over) => {
                let over = self.rounds_of(over);
                Spread::of(&values.iter().zip(&over).map(|(value, over)| value / over).collect::<Vec<_>>())
            }
        };
        let (met, beyond) = match mark.bound {
            Bound::AtMost(bound) => (found.median <= bound, found.median / bound - 1.0),
            Bound::AtLeast(bound) => (found.median >= bound, 1.0 - found.median / bound),
        };
        Verdict {
            what: mark.what,
            found,
            aim: mark.bound.to_string(),
            beside: mark.beside(&self.metrics),
            met,
            beyond,
            on_page: mark.on_page,
            if_missed: mark.if_missed,
        }
    }
}

impl Workload {
    /// `millis` is what the bar counts for each sample.
    pub fn run(self, progress: &ProgressBar, millis: u64) -> Measured {
        let Self { title, method, metrics, mut contestants, rounds, marks, reference, .. } = self;
        let names: Vec<String> = contestants.iter().map(|contestant| contestant.name.clone()).collect();
        let mut values = vec![vec![Vec::with_capacity(rounds); metrics.len()]; names.len()];
        let before = load();
        for round in 0..rounds {
            for turn in 0..names.len() {
                let contestant = (round + turn) % names.len();
                progress.set_message(format!("{}; {title}", names[contestant]));
                let sample = (contestants[contestant].run)();
                progress.inc(millis);
                for (metric, value) in sample.into_iter().enumerate() {
                    values[contestant][metric].push(value);
                }
            }
        }
        let reference = names.iter().position(|name| *name == reference).expect("the reference takes part");
        let mut measured = Measured {
            title,
            method,
            metrics,
            names,
            values,
            rounds,
            reference,
            verdicts: Vec::new(),
            load: (before, load()),
        };
        measured.verdicts = marks.iter().map(|mark| measured.judge(mark)).collect();
        measured
    }
}

/// How many threads wanted a processor lately.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// Processor time this process has used, all threads together.
pub fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
