//! What a builder settles once for a group's life, and what a call brings along.

use crate::engine::spawned::Job;
use crate::observer::Event;
use crate::report::{Reports, Wanted};
use crate::sync::{Arc, Duration, Instant, after};

pub(crate) type Observer<K> = Arc<dyn Fn(&Event<'_, K>) + Send + Sync>;
pub(crate) type Executor = Arc<dyn Fn(Job) + Send + Sync>;
/// Makes another group forget the key.
pub(crate) type Invalidate<K> = Arc<dyn Fn(&K) + Send + Sync>;

pub(crate) struct Config<K> {
    pub(crate) name: Option<Arc<str>>,
    /// How to print a key in a report; a plain function, so that only the builder's method asks for `K: Debug`.
    pub(crate) debug_key: Option<fn(&K) -> String>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_followers: usize,
    pub(crate) share_failures: bool,
    /// Whether every flight's start is read off the clock.
    pub(crate) timed: bool,
    pub(crate) executor: Option<Executor>,
    pub(crate) observer: Option<Observer<K>>,
    pub(crate) invalidates: Vec<Invalidate<K>>,
    /// The reports that the builder was asked for, and those that come of it: they carry the group's name, which is
    /// known last.
    pub(crate) wanted: Wanted,
    pub(crate) reports: Reports,
    /// Settled once, so that a lone leader has one thing to look at.
    watched: bool,
}

impl<K> Default for Config<K> {
    fn default() -> Self {
        Self {
            name: None,
            debug_key: None,
            max_age: None,
            max_followers: usize::MAX,
            share_failures: true,
            timed: false,
            executor: None,
            observer: None,
            invalidates: Vec::new(),
            wanted: Wanted::default(),
            reports: Reports::default(),
            watched: false,
        }
    }
}

impl<K> Config<K> {
    /// The builder has had its last word.
    pub(crate) fn settle(mut self) -> Self {
        self.reports = Reports::new(self.wanted, self.name.as_ref());
        self.watched = self.is_told() || !self.invalidates.is_empty();
        self
    }

    /// Whether anybody is told what happens.
    pub(crate) fn is_told(&self) -> bool {
        self.observer.is_some() || self.reports.any()
    }

    /// Whether a leader needs an owned key at hand: to tell somebody, or to invalidate with.
    #[inline]
    pub(crate) fn leader_needs_key(&self) -> bool {
        self.watched
    }

    /// The key as reports may show it.
    pub(crate) fn shown(&self, key: &K) -> Option<String> {
        self.debug_key.map(|debug_key| debug_key(key))
    }
}

/// The two boarding rules, and the two ways to look without leading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// A read boards the flight that is already in the air.
    Join,
    /// A write boards the next one.
    Queue,
}

/// How long a call is ready to wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    limit: Limit,
    pub(crate) takeover: Option<Duration>,
    /// `Overloaded` is for calls that can say so.
    pub(crate) never_refused: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Limit {
    #[default]
    Forever,
    /// Counted from the first wait: a call that leads never reads the clock.
    For(Duration),
    Until(Instant),
}

impl Patience {
    /// For the verbs that return a bare value.
    pub(crate) const INFALLIBLE: Self = Self { limit: Limit::Forever, takeover: None, never_refused: true };

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.limit = Limit::For(timeout);
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.limit = Limit::Until(deadline);
    }

    /// Turns a duration into the moment it ends, at the first wait. Returns whether there is no time at all.
    pub(crate) fn start(&mut self) -> bool {
        if let Limit::For(duration) = self.limit {
            if duration.is_zero() {
                return true;
            }
            self.limit = after(duration).map_or(Limit::Forever, Limit::Until);
            return false;
        }
        matches!(self.limit, Limit::Until(deadline) if deadline <= Instant::now())
    }

    /// When the waiting ends; `None`: never. Asked after [`start`](Self::start).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.limit {
            Limit::Until(deadline) => Some(deadline),
            Limit::Forever | Limit::For(_) => None,
        }
    }
}
