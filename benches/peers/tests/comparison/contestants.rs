//! The contestants behind one face. A call may fail, and gets its work as a `Fn`, since `singleflight` wants one.

use cached::Cached;
use cached::macros::cached;
use flight_group::{Error, Group};

pub(crate) type Answer = Result<u64, String>;
pub(crate) type Work<'a> = &'a dyn Fn() -> Answer;

pub(crate) trait Contestant: Default + Send + Sync + 'static {
    /// One load at a time for a key, however many call.
    fn get(&self, key: u64, work: Work<'_>) -> Answer;

    /// The source has changed: what its user would call then.
    fn changed(&self, key: u64);
}

/// An error of this crate's, or of the work's.
pub(crate) fn plain(error: Error<String>) -> String {
    match error {
        Error::Work(error) => error,
        Error::Panicked(panic) => format!("Error::Panicked({})", panic.message()),
        Error::Deadlock(_) => "Error::Deadlock".to_owned(),
        Error::TimedOut(_) => "Error::TimedOut".to_owned(),
        other => other.to_string(),
    }
}

#[derive(Default)]
pub(crate) struct FlightGroup(pub(crate) Group<u64, u64, String>);

impl Contestant for FlightGroup {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        self.0.try_work(&key, work).map_err(plain)
    }

    fn changed(&self, key: u64) {
        self.0.forget(&key);
    }
}

pub(crate) struct Singleflight(singleflight::Group<Answer>);

impl Default for Singleflight {
    fn default() -> Self {
        Self(singleflight::Group::new())
    }
}

impl Contestant for Singleflight {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        self.0.work(&key.to_string(), work)
    }

    fn changed(&self, _: u64) {} // it has nothing to call
}

pub(crate) struct Moka(pub(crate) moka::sync::Cache<u64, u64>);

impl Default for Moka {
    fn default() -> Self {
        Self(moka::sync::Cache::new(10_000))
    }
}

impl Contestant for Moka {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        self.0.try_get_with(key, work).map_err(|error| (*error).clone())
    }

    fn changed(&self, key: u64) {
        self.0.invalidate(&key);
    }
}

pub(crate) struct QuickCache(pub(crate) quick_cache::sync::Cache<u64, u64>);

impl Default for QuickCache {
    fn default() -> Self {
        Self(quick_cache::sync::Cache::new(10_000))
    }
}

impl Contestant for QuickCache {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        self.0.get_or_insert_with(&key, work)
    }

    fn changed(&self, key: u64) {
        self.0.remove(&key);
    }
}

#[derive(Default)]
pub(crate) struct OnceMap(pub(crate) once_map::OnceMap<u64, u64>);

impl Contestant for OnceMap {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        self.0.try_insert_cloned(key, |_| work())
    }

    fn changed(&self, _: u64) {} // removing needs `&mut`, which nobody has who shares it
}

/// `#[cached]` as it is when nothing more is said.
#[derive(Default)]
pub(crate) struct CachedPlain;

#[cached(key = "u64", convert = "{ key }")]
fn cached_plain(key: u64, work: Work<'_>) -> Result<u64, String> {
    let _ = key; // the macro's
    work()
}

impl Contestant for CachedPlain {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        cached_plain(key, work)
    }

    fn changed(&self, key: u64) {
        let _ = CACHED_PLAIN.write().cache_remove(&key);
    }
}

/// `#[cached(sync_writes = "by_key")]`.
#[derive(Default)]
pub(crate) struct CachedByKey;

#[cached(key = "u64", convert = "{ key }", sync_writes = "by_key")]
fn cached_by_key(key: u64, work: Work<'_>) -> Result<u64, String> {
    let _ = key; // the macro's
    work()
}

impl Contestant for CachedByKey {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        cached_by_key(key, work)
    }

    fn changed(&self, key: u64) {
        let _ = CACHED_BY_KEY.write().cache_remove(&key);
    }
}

/// `#[cached(sync_writes = true)]`.
#[derive(Default)]
pub(crate) struct CachedWhole;

#[cached(key = "u64", convert = "{ key }", sync_writes = true)]
fn cached_whole(key: u64, work: Work<'_>) -> Result<u64, String> {
    let _ = key; // the macro's
    work()
}

impl Contestant for CachedWhole {
    fn get(&self, key: u64, work: Work<'_>) -> Answer {
        cached_whole(key, work)
    }

    fn changed(&self, key: u64) {
        let _ = CACHED_WHOLE.write().cache_remove(&key);
    }
}
