use flight_group::{Error, Group};
use quick_cache::sync::Cache;
use std::hash::Hash;

/// Values by key: the latest from memory, the others from `load`, one load for all who miss.
pub struct ReadThrough<K, V, E, L> {
    cache: Cache<K, V>,
    pub flights: Group<K, V, E>, // for its `stats` and `flights`
    load: L,
}

impl<K, V, E, L> ReadThrough<K, V, E, L>
where
    K: Hash + Eq + Clone,
    V: Clone,
    E: Clone,
    L: Fn(&K) -> Result<V, E>,
{
    pub fn new(capacity: usize, load: L) -> Self {
        Self { cache: Cache::new(capacity), flights: Group::new(), load }
    }

    pub fn get(&self, key: &K) -> Result<V, Error<E>> {
        if let Some(hit) = self.cache.get(key) {
            return Ok(hit);
        }
        self.flights.try_work(key, || {
            // Between our miss and our boarding another flight may have landed and filled the cache.
            if let Some(hit) = self.cache.get(key) {
                return Ok(hit);
            }
            let value = (self.load)(key)?;
            self.cache.insert(key.clone(), value.clone()); // before the flight lands, or somebody misses in between
            Ok(value)
        })
    }
}
