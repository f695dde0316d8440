//! The table of flights in the air: one slot per key, in shards.
//!
//! Only flights in the air are here, so that keys chosen by an attacker to collide are bounded by the callers he
//! can keep busy at once. A slot carries the hash of its key: growing, landing and detaching never call the
//! user's `Hash` or `Eq`, which might panic.

use crate::engine::flight::Flight;
use crate::engine::wait_for::FlightHead;
use crate::sync::{Arc, Instant, Mutex, MutexGuard, cores};
use hashbrown::HashTable;

/// A table without a heap block of its own until it is used, and given back once it has grown beyond this. Buckets,
/// not `capacity()`: that one counts what can still be inserted, and a table that was full once and is empty now
/// may be large and say little, because of the tombstones in it.
const BUCKETS_KEPT: usize = 8;

/// One key with a flight in the air.
pub(crate) struct Slot<K, V, E> {
    pub(crate) hash: u64,
    pub(crate) key: K,
    /// The number of the flight in the air: what a landing looks for, so that it never removes a successor (P10).
    pub(crate) id: u64,
    /// The thread that runs it, or `NOBODY` as long as its job waits in an executor.
    pub(crate) leader: u64,
    /// When it started, in nanoseconds since the engine was made, plus one; 0 where nobody reads the clock.
    pub(crate) started: u64,
    /// `None` is *solo*: nobody waits, and nothing was allocated.
    pub(crate) current: Option<Arc<Flight<V, E>>>,
    /// The flight that starts when this one has landed: there as soon as a caller arrived who must not share
    /// the running one.
    pub(crate) next: Option<Arc<Flight<V, E>>>,
}

impl<K, V, E> Slot<K, V, E> {
    /// Whether `id` is in the air here or queued behind what is.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.id == id || self.next.as_ref().is_some_and(|next| next.head.id == id)
    }

    /// The flight in the air, made now if its leader was alone until now.
    pub(crate) fn current(&mut self, group: &Option<Arc<str>>) -> &Arc<Flight<V, E>> {
        let (id, leader) = (self.id, self.leader);
        self.current.get_or_insert_with(|| {
            let flight = Flight::new(FlightHead::new(id, group.clone(), leader));
            let _ = flight.since.set(Instant::now());
            flight
        })
    }

    /// How many wait for this key.
    pub(crate) fn followers(&self) -> usize {
        let of = |flight: &Option<Arc<Flight<V, E>>>| flight.as_ref().map_or(0, |flight| flight.followers());
        of(&self.current) + of(&self.next)
    }
}

/// A shard: 64 bytes, a cache line, so that two threads with different keys rarely want the same one.
#[repr(align(64))]
pub(crate) struct Shard<K, V, E>(Mutex<Flights<K, V, E>>);

/// What a shard's lock guards.
pub(crate) struct Flights<K, V, E> {
    pub(crate) table: HashTable<Slot<K, V, E>>,
    /// How many flight numbers this shard has given.
    pub(crate) numbers: u64,
    /// How many closures were run, and how many calls boarded somebody else's flight: counted here because the
    /// lock is held anyway. Everything rarer is counted beside the table (`stats.rs`).
    pub(crate) led: u64,
    pub(crate) joined: u64,
}

impl<K, V, E> Flights<K, V, E> {
    /// The slot whose flight in the air is `id`.
    pub(crate) fn by_id(&mut self, hash: u64, id: u64) -> Option<&mut Slot<K, V, E>> {
        self.table.find_mut(hash, |slot| slot.id == id)
    }

    /// The slot that `id` is in the air or queued in.
    pub(crate) fn with(&mut self, hash: u64, id: u64) -> Option<&mut Slot<K, V, E>> {
        self.table.find_mut(hash, |slot| slot.has(id))
    }

    /// A number no other flight of the group has: the shard's own count, followed by the shard's.
    #[inline]
    pub(crate) fn next_id(numbers: &mut u64, shards: Shards, hash: u64) -> u64 {
        *numbers += 1;
        (*numbers << shards.bits) | shards.of(hash) as u64
    }
}

/// The table itself, for dropping after the lock, if it had grown large and is empty now (P8).
#[inline]
pub(crate) fn outgrown<T>(table: &mut HashTable<T>) -> Option<HashTable<T>> {
    (table.is_empty() && table.num_buckets() > BUCKETS_KEPT).then(|| std::mem::take(table))
}

impl<K, V, E> Shard<K, V, E> {
    fn new() -> Self {
        Self(Mutex::new(Flights { table: HashTable::new(), numbers: 0, led: 0, joined: 0 }))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Flights<K, V, E>> {
        self.0.lock()
    }
}

/// How many shards there are, and which one a hash belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Shards {
    bits: u32,
}

impl Shards {
    /// At least `wanted`, rounded up to a power of two.
    pub(crate) fn at_least(wanted: usize) -> Self {
        Self { bits: wanted.next_power_of_two().trailing_zeros() }
    }

    /// Thirty-two for every core: with 8 shards two threads with different keys are slower together than one
    /// alone, because they meet in a cache line too often; with 64 they are not, and more than 1024 only cost memory.
    pub(crate) fn for_this_machine() -> Self {
        Self::at_least((32 * cores()).clamp(64, 1024))
    }

    pub(crate) fn count(self) -> usize {
        1 << self.bits
    }

    /// Fibonacci hashing: one multiplication spreads even a hasher that returns small integers unchanged, and
    /// leaves the bits the table itself looks at (the top seven, and the low ones) independent of the shard.
    #[inline]
    pub(crate) fn of(self, hash: u64) -> usize {
        let spread = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Two shifts, since a shift by all 64 bits, for the one shard of zero bits, is none.
        ((spread >> 1) >> (63 - self.bits)) as usize
    }

    pub(crate) fn allocate<K, V, E>(self) -> Box<[Shard<K, V, E>]> {
        (0..self.count()).map(|_| Shard::new()).collect()
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    //! What a flight costs in memory while it is in the air: private, and therefore tested here.

    use super::*;
    use std::mem::{align_of, size_of};

    #[test]
    fn a_slot_is_small_and_a_shard_is_a_cache_line() {
        assert!(size_of::<Slot<u64, u64, u64>>() <= 56);
        assert!(size_of::<Slot<u64, [u64; 100], String>>() <= 56, "values and errors are not in the slot");
        assert_eq!((size_of::<Shard<u64, u64, u64>>(), align_of::<Shard<u64, u64, u64>>()), (64, 64));
        assert_eq!(size_of::<Shard<[u64; 100], u64, u64>>(), 64);
    }

    /// P8: whatever it was filled with, an empty table larger than eight slots is given back, and a small one kept.
    #[test]
    fn p8_an_empty_table_that_has_grown_is_given_back() {
        let small = {
            let mut table = HashTable::new();
            table.insert_unique(0, 0u64, |hash| *hash);
            (table.num_buckets(), HashTable::<u64>::with_capacity(7).allocation_size())
        };
        assert!(small.0 <= BUCKETS_KEPT);
        for n in (1..40).chain([63, 64, 112, 113, 500]) {
            for sort in [|n: u64| n, |n: u64| n << 57, |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15), |_| 7] {
                let mut table = HashTable::new();
                for i in 0..n {
                    table.insert_unique(sort(i), sort(i), |hash| *hash);
                }
                for i in 0..n {
                    assert!(outgrown(&mut table).is_none(), "given back while it is in use");
                    table.find_entry(sort(i), |hash| *hash == sort(i)).unwrap().remove();
                }
                let given_back = outgrown(&mut table);
                assert!(table.allocation_size() <= small.1, "{n} entries: kept {} bytes", table.allocation_size());
                assert_eq!(given_back.is_some(), n > 7, "{n} entries");
            }
        }
    }

    #[test]
    fn shards_are_rounded_up_and_bounded() {
        assert_eq!([1, 2, 3, 64, 65, 65_536].map(|n| Shards::at_least(n).count()), [1, 2, 4, 64, 128, 65_536]);
        let count = Shards::for_this_machine().count();
        assert!(count.is_power_of_two() && (64..=1024).contains(&count) && count >= (32 * cores()).min(1024));
    }

    /// Even a hasher that returns small integers, or only high bits, reaches every shard, evenly.
    #[test]
    fn every_shard_is_reached_by_every_sort_of_hash() {
        fn mixed(n: u64) -> u64 {
            let n = (n ^ (n >> 30)).wrapping_add(1).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            n ^ (n >> 31)
        }
        for count in [1, 2, 64, 1024] {
            let shards = Shards::at_least(count);
            for sort in [|n: u64| n, |n: u64| n << 54, mixed] {
                let mut hits = vec![0; count];
                (0..count as u64).for_each(|n| hits[shards.of(sort(n))] += 1);
                assert!(hits.iter().all(|hits| *hits < 12), "{count} shards: {}", hits.iter().max().unwrap());
                assert!(hits.iter().filter(|hits| **hits > 0).count() * 2 >= count);
            }
        }
    }

    #[test]
    fn flight_numbers_are_unique_and_tell_their_shard() {
        let shards = Shards::at_least(8);
        let (mut one, mut other) = (0, 0);
        let hash = |shard| (0..).find(|hash| shards.of(*hash) == shard).unwrap();
        let mut ids: Vec<u64> = (0..100)
            .flat_map(|_| {
                let first = Flights::<u8, u8, u8>::next_id(&mut one, shards, hash(0));
                [first, Flights::<u8, u8, u8>::next_id(&mut other, shards, hash(5))]
            })
            .collect();
        assert!(ids.iter().all(|id| [0, 5].contains(&(id % 8))));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 200);
    }
}
