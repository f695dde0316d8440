use flight_group::{Error, Group};
use moka::sync::Cache;
use std::hash::Hash;
use std::time::Duration;

/// Values by key: from memory until they expire, then from `load`. All callers that miss
/// share one load.
pub struct ReadThrough<K, V, E, L> {
    cache: Cache<K, V>,
    pub flights: Group<K, V, E>, // for its `stats` and `flights`
    load: L,
}

impl<K, V, E, L> ReadThrough<K, V, E, L>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone,
    L: Fn(&K) -> Result<V, E>,
{
    pub fn new(capacity: u64, time_to_live: Duration, load: L) -> Self {
        let cache = Cache::builder().max_capacity(capacity).time_to_live(time_to_live).build();
        Self { cache, flights: Group::new(), load }
    }

    pub fn get(&self, key: &K) -> Result<V, Error<E>> {
        let load = || {
            let value = (self.load)(key)?;
            // Before the flight lands. Otherwise another call could miss in between.
            self.cache.insert(key.clone(), value.clone());
            Ok(value)
        };
        self.flights.read_through(key, || self.cache.get(key), load)
    }
}
