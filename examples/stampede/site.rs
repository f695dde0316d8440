//! The service itself: a page comes out of the cache, or out of the database. This is the code to copy.

use crate::cache::Cache;
use crate::database::Reader;
use crate::stall::Stall;
use flight_group::{Error, FlightInfo, Group};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Followers get a clone of their leader's error, and `rusqlite::Error` has none: an `Arc` has.
pub(crate) type Fault = Arc<rusqlite::Error>;

pub(crate) struct Site {
    cache: Cache,
    /// `None` in the run that shows what happens without.
    group: Option<Group<String, Arc<str>, Fault>>,
    stall: Option<Stall>,
    started: Instant,
    misses: AtomicUsize,
    queries: Mutex<Vec<Duration>>,
}

/// What the site counted.
pub(crate) struct Counts {
    /// Requests that did not find their page in the cache.
    pub(crate) misses: usize,
    /// When each query of the database began, counted from the start.
    pub(crate) queries: Vec<Duration>,
}

impl Site {
    pub(crate) fn new(ttl: Duration, with_group: bool, stall: Option<Stall>) -> Self {
        Self {
            cache: Cache::new(ttl),
            group: with_group.then(|| {
                let builder = Group::builder().name("pages").timed();
                #[cfg(feature = "metrics")]
                let builder = builder.metered();
                builder.build()
            }),
            stall,
            started: Instant::now(),
            misses: AtomicUsize::new(0),
            queries: Mutex::default(),
        }
    }

    /// The page of `key`. `patience` is how long this request would wait for somebody else's query.
    pub(crate) fn page(&self, key: &str, reader: &Reader, patience: Duration) -> Result<Arc<str>, Error<Fault>> {
        // With a group a miss is looked up once more, inside the flight: somebody's may have landed in between.
        let looked = Cell::new(false);
        let lookup = || {
            let page = self.cache.get(key);
            if page.is_none() && !looked.replace(true) {
                self.misses.fetch_add(1, Relaxed);
            }
            page
        };
        match &self.group {
            Some(group) => group.call(key).timeout(patience).read_through(lookup, || self.load(key, reader)),
            None => lookup().map_or_else(|| self.load(key, reader).map_err(Error::Work), Ok),
        }
    }

    fn load(&self, key: &str, reader: &Reader) -> Result<Arc<str>, Fault> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner).push(self.started.elapsed());
        if let Some(stall) = &self.stall {
            stall.hold(key);
        }
        let page = reader.page(key)?;
        self.cache.put(key, page.clone());
        Ok(page)
    }

    pub(crate) fn expire_all(&self) {
        self.cache.expire_all();
    }

    /// What is in the air now.
    pub(crate) fn flights(&self) -> Vec<FlightInfo<String>> {
        self.group.as_ref().map(Group::flights).unwrap_or_default()
    }

    /// How many requests have waited for somebody else's query.
    pub(crate) fn joined(&self) -> u64 {
        self.group.as_ref().map_or(0, |group| group.stats().joined)
    }

    /// Whether there was a flight of `key` to forget.
    pub(crate) fn forget(&self, key: &str) -> bool {
        self.group.as_ref().is_some_and(|group| group.forget(key))
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            misses: self.misses.load(Relaxed),
            queries: self.queries.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
