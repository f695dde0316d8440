use flight_group::{Error, Group};
use moka::sync::Cache;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Clone)]
struct Entry<V> {
    value: V,
    /// Shared with the copy in the cache, so that a failed refresh can be delayed without
    /// storing the old value again, which would lengthen its life.
    refresh_at: Arc<Mutex<Instant>>,
}

impl<V> Entry<V> {
    fn new(value: V, lasts: Duration) -> Self {
        Self { value, refresh_at: Arc::new(Mutex::new(Instant::now() + lasts)) }
    }

    fn is_stale(&self) -> bool {
        *self.refresh_at.lock().unwrap() <= Instant::now()
    }

    fn put_off(&self, pause: Duration) {
        *self.refresh_at.lock().unwrap() = Instant::now() + pause;
    }
}

/// How long a value lasts.
pub struct Ages {
    /// After this time the value is stale: each read of it asks for a refresh.
    pub fresh_for: Duration,
    /// After a failed refresh, no other is tried for this time.
    pub retry_after: Duration,
    /// After this time the value is gone, however often a refresh failed.
    pub kept_for: Duration,
}

/// Values by key. A read that finds no value waits for it. A read that finds a stale value
/// takes it, and one refresh runs meanwhile.
pub struct StaleWhileRefresh<K, V, E, L> {
    cache: Cache<K, Entry<V>>,
    pub flights: Group<K, V, E>, // for its `stats` and `flights`
    load: L,
    ages: Ages,
}

impl<K, V, E, L> StaleWhileRefresh<K, V, E, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    L: Fn(&K) -> Result<V, E> + Send + Sync + 'static,
{
    pub fn new(capacity: u64, ages: Ages, load: L) -> Arc<Self> {
        let cache = Cache::builder();
        let cache = cache.max_capacity(capacity).time_to_live(ages.kept_for).build();
        Arc::new(Self { cache, flights: Group::builder().name("refresh").build(), load, ages })
    }

    pub fn get(self: &Arc<Self>, key: &K) -> Result<V, Error<E>> {
        let Some(entry) = self.cache.get(key) else {
            return self.flights.try_work(key, || self.renew(key));
        };
        if entry.is_stale() {
            let (this, own) = (self.clone(), key.clone());
            // Starts a refresh, or joins the one in the air. The receiver is not needed.
            drop(self.flights.spawn(key, move || this.renew(&own)));
        }
        Ok(entry.value)
    }

    /// Runs in a flight, so never twice at the same time for a key.
    fn renew(&self, key: &K) -> Result<V, E> {
        let old = self.cache.get(key);
        if let Some(entry) = old.as_ref().filter(|entry| !entry.is_stale()) {
            return Ok(entry.value.clone()); // refreshed after our first look
        }
        let outcome = (self.load)(key);
        match (&outcome, old) {
            (Ok(value), _) => {
                let entry = Entry::new(value.clone(), self.ages.fresh_for);
                self.cache.insert(key.clone(), entry);
            }
            (Err(_), Some(old)) => old.put_off(self.ages.retry_after),
            (Err(_), None) => {}
        }
        outcome
    }
}
