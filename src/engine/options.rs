//! The settings of a group, and the options of a call.

use crate::cancel::CancelToken;
use crate::engine::job::Job;
use crate::observer::{Event, EventKind};
use crate::report::{Reports, Wanted};
use crate::site::{Kind, Site};
use crate::sync::{Arc, Duration, Instant, after};

pub(crate) type Observer<K> = Arc<dyn Fn(&Event<'_, K>) + Send + Sync>;
pub(crate) type Executor = Arc<dyn Fn(Job) + Send + Sync>;
/// Makes another group forget the key.
pub(crate) type Invalidate<K> = Arc<dyn Fn(&K) + Send + Sync>;

pub(crate) struct Config<K> {
    pub(crate) kind: Kind,
    /// Kind and name, for the group's errors.
    pub(crate) site: Site,
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
    /// The reports that the builder was asked for, and the reports made of that: they need the group's name, which may
    /// be set after them.
    pub(crate) wanted: Wanted,
    pub(crate) reports: Reports,
    /// Decided once, so that a lone leader looks at one flag.
    watched: bool,
}

impl<K> Config<K> {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            site: Site::new(kind),
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

impl<K> Clone for Config<K> {
    /// Derived, it would ask for `K: Clone`.
    fn clone(&self) -> Self {
        Self {
            kind: self.kind,
            site: self.site.clone(),
            name: self.name.clone(),
            debug_key: self.debug_key,
            max_age: self.max_age,
            max_followers: self.max_followers,
            share_failures: self.share_failures,
            timed: self.timed,
            executor: self.executor.clone(),
            observer: self.observer.clone(),
            invalidates: self.invalidates.clone(),
            wanted: self.wanted,
            reports: self.reports.clone(),
            watched: self.watched,
        }
    }
}

impl<K> Config<K> {
    /// Derives what depends on several settings. The builder calls it last.
    pub(crate) fn settle(mut self) -> Self {
        if let Some(name) = &self.name {
            self.site = Site::new(self.kind).named(&**name);
        }
        self.reports = Reports::new(self.wanted, self.kind, self.name.as_ref());
        self.watched = self.is_told() || !self.invalidates.is_empty();
        self
    }

    /// Whether anybody is told what happens.
    pub(crate) fn is_told(&self) -> bool {
        self.observer.is_some() || self.reports.any()
    }

    /// Tells the observer and the reports.
    pub(crate) fn tell(&self, flight: u64, key: &K, kind: EventKind) {
        self.reports.told(flight, || self.shown(key), &kind);
        if let Some(observer) = &self.observer {
            observer(&Event { group: self.name.as_deref(), key, flight, kind });
        }
    }

    /// Whether a leader needs an owned key: for the observer and the reports, or to invalidate other groups.
    #[inline]
    pub(crate) fn leader_needs_key(&self) -> bool {
        self.watched
    }

    /// The key as reports may show it.
    pub(crate) fn shown(&self, key: &K) -> Option<String> {
        self.debug_key.map(|debug_key| debug_key(key))
    }
}

/// Which flight of its key a call boards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    /// A read boards the one in the air.
    Current,
    /// A write, and a fresh read, board the next one.
    Next,
    /// The newest there is. Only for calls that follow and never lead.
    Newest,
}

/// How long a call waits, and what else ends its wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WaitOptions<'c> {
    limit: Limit,
    pub(crate) takeover: Option<Duration>,
    pub(crate) cancel: Option<&'c CancelToken>,
    /// The verb cannot return `Overloaded`.
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

impl<'c> WaitOptions<'c> {
    /// For the verbs that return a bare value.
    pub(crate) const INFALLIBLE: Self =
        Self { limit: Limit::Forever, takeover: None, cancel: None, never_refused: true };

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

    /// When the wait ends; `None`: never. Ask after [`start`](Self::start).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.limit {
            Limit::Until(deadline) => Some(deadline),
            Limit::Forever | Limit::For(_) => None,
        }
    }
}
