//! Crates that compute a missing key once: used as a single flight, the caching defeated.

use super::{Flights, Key, Look};
use std::borrow::Borrow;
use std::cell::Cell;
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// More than any workload has in the air at once: nothing is evicted.
const CAPACITY: usize = 16_384;

/// The leader invalidates what it has just computed.
pub struct Moka<K, S>(moka::sync::Cache<K, u64, S>);

impl<K: Key, S: BuildHasher + Default + Clone + Send + Sync + 'static> Default for Moka<K, S> {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(CAPACITY as u64).build_with_hasher(S::default()))
    }
}

impl<K: Key + Borrow<Q>, Q: Look<K> + ?Sized, S: BuildHasher + Clone + Send + Sync + 'static> Flights<Q>
    for Moka<K, S>
{
    #[inline]
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64 {
        let led = Cell::new(false);
        let value = self.0.get_with_by_ref(key, || {
            led.set(true);
            work()
        });
        if led.get() {
            self.0.invalidate(key);
        }
        value
    }
}

/// The leader removes what it has just computed.
pub struct Quick<K, S>(quick_cache::sync::Cache<K, u64, quick_cache::UnitWeighter, S>);

impl<K: Key, S: BuildHasher + Default + Clone> Default for Quick<K, S> {
    fn default() -> Self {
        let weight = CAPACITY as u64;
        Self(quick_cache::sync::Cache::with(CAPACITY, weight, Default::default(), S::default(), Default::default()))
    }
}

impl<K: Key + Borrow<Q>, Q: Look<K> + ?Sized, S: BuildHasher + Clone + Send + Sync> Flights<Q> for Quick<K, S> {
    #[inline]
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64 {
        let led = Cell::new(false);
        let Ok(value) = self.0.get_or_insert_with::<_, Infallible>(key, || {
            led.set(true);
            Ok(work())
        });
        if led.get() {
            self.0.remove(key);
        }
        value
    }
}

/// A counter on a cache line of its own, so that two keys' generations do not meet.
#[derive(Default)]
#[repr(align(64))]
struct Generation(AtomicU64);

/// Every flight has a key of its own, `(key, generation)`, and the one that led turns the generation. The map
/// grows until the round is over.
pub struct Once<K, S> {
    map: once_map::OnceMap<(K, u64), Box<u64>, S>,
    generations: Vec<Generation>,
}

impl<K: Key, S: BuildHasher + Default> Default for Once<K, S> {
    fn default() -> Self {
        let generations = (0..1024).map(|_| Generation::default()).collect();
        Self { map: once_map::OnceMap::with_hasher(S::default()), generations }
    }
}

impl<K: Key + Borrow<Q>, Q: Look<K> + ?Sized, S: BuildHasher + Send + Sync> Flights<Q> for Once<K, S> {
    #[inline]
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64 {
        let generation = &self.generations[key.place() % 1024].0;
        let own = (key.to_owned(), generation.load(Relaxed));
        *self.map.insert(own, |_| {
            let value = work();
            generation.fetch_add(1, Relaxed);
            Box::new(value)
        })
    }
}

/// Runs the work under its map's lock, and takes `Fn`, so that an `FnOnce` goes through a cell.
#[derive(Default)]
pub struct Single(singleflight::Group<u64>);

impl Single {
    fn run(&self, key: &str, work: impl FnOnce() -> u64) -> u64 {
        let work = Cell::new(Some(work));
        self.0.work(key, || work.take().map_or(0, |work| work()))
    }
}

macro_rules! single {
    ($($key:ty => $owned:ty),*) => {
        $(impl Flights<$key> for Single {
            #[inline]
            fn work(&self, key: &$key, work: impl FnOnce() -> u64) -> u64 {
                self.run(Look::<$owned>::text(key), work)
            }
        })*
    };
}
single!(u64 => u64, str => String, [u8; 32] => [u8; 32]);
