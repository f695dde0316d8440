//! The table of flights in the air: one slot per key, in shards.
//!
//! Only flights in the air are here, so that keys chosen by an attacker to collide are bounded by the callers he
//! can keep busy at once. A slot carries the hash of its key: growing, landing and detaching never call the
//! user's `Hash` or `Eq`, which might panic.

use crate::engine::config::Rule;
use crate::engine::flight::Flight;
use crate::sync::{Arc, Mutex, MutexGuard, cores};
use hashbrown::HashTable;

/// How many slots a shard keeps in a plain list, and how many it may keep room for when it is idle (P8).
const FEW: usize = 8;

const UNDER_A_CHECKER: bool = cfg!(any(flight_group_shuttle, flight_group_loom));

/// One key with a flight in the air.
pub(crate) struct Slot<K, V, E> {
    /// The key's hash, see [`fold`].
    hash: u32,
    pub(crate) key: K,
    /// The number of the flight in the air: what a landing looks for, so that it never removes a successor (P10).
    pub(crate) id: u64,
    /// The thread that runs it, or `NOBODY` as long as its job waits in an executor.
    leader: Short,
    /// When it started, in microseconds since the engine was made, plus one; 0 where nobody reads the clock.
    started: Short,
    /// `None` is *solo*: nobody waits, and nothing was allocated.
    pub(crate) current: Option<Arc<Flight<V, E>>>,
    /// The flight that starts when this one has landed: there as soon as a caller arrived who must not share
    /// the running one.
    pub(crate) next: Option<Arc<Flight<V, E>>>,
}

/// A number below 2^48 in six bytes. Threads counted at a million a second, or microseconds, last for nine years.
/// Two of these and half a hash, instead of three words, make every flight in the air 8 bytes lighter.
#[derive(Clone, Copy)]
#[repr(Rust, packed(2))]
struct Short {
    low: u32,
    high: u16,
}

impl Short {
    #[inline]
    fn new(number: u64) -> Self {
        Self { low: number as u32, high: (number >> 32) as u16 }
    }

    #[inline]
    fn get(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

/// What the engine calls a key's hash: the hasher's, folded to 32 bits. That is as many as any number of threads
/// can have flights in the air for, and half as much for a slot to keep.
#[inline]
pub(crate) fn fold(hash: u64) -> u64 {
    (hash ^ (hash >> 32)) & 0xFFFF_FFFF
}

/// The hash as hashbrown wants it: it looks at the low bits and at the top seven.
fn spread(hash: u64) -> u64 {
    hash << 32 | hash
}

impl<K, V, E> Slot<K, V, E> {
    #[inline]
    pub(crate) fn new(hash: u64, key: K, id: u64, leader: u64, started: u64) -> Self {
        let (leader, started) = (Short::new(leader), Short::new(started));
        Self { hash: hash as u32, key, id, leader, started, current: None, next: None }
    }

    pub(crate) fn hash(&self) -> u64 {
        u64::from(self.hash)
    }

    pub(crate) fn leader(&self) -> u64 {
        self.leader.get()
    }

    pub(crate) fn set_leader(&mut self, thread: u64) {
        self.leader = Short::new(thread);
    }

    pub(crate) fn started(&self) -> u64 {
        self.started.get()
    }

    pub(crate) fn set_started(&mut self, now: u64) {
        self.started = Short::new(now);
    }

    /// Whether `id` is in the air here or queued behind what is.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.id == id || self.next.as_ref().is_some_and(|next| next.head.id == id)
    }

    /// The flight in the air, made now if its leader was alone until now.
    pub(crate) fn current(&mut self, group: &Option<Arc<str>>) -> &Arc<Flight<V, E>> {
        let (id, leader) = (self.id, self.leader());
        self.current.get_or_insert_with(|| Flight::numbered(Flight::unnumbered(group.clone(), Rule::Join), id, leader))
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

/// The slots of one shard.
///
/// Nearly always there are none or one: there are more shards than threads that run. So the first few stand in a
/// list, which is searched, filled and emptied in fewer instructions than a hash table takes to find a place; only
/// what does not fit goes into a table. Neither calls the user's `Hash`, and a slot does not move from one to the
/// other.
pub(crate) struct Table<K, V, E> {
    few: Vec<Slot<K, V, E>>,
    /// Made when the list is full, given away when the shard is empty. Boxed, so that a shard fits a cache line.
    many: Option<Many<K, V, E>>,
}

/// A slot, and what else is to be dropped after the lock.
pub(crate) type Removed<K, V, E> = (Slot<K, V, E>, Option<Many<K, V, E>>);

/// What did not fit the list.
pub(crate) type Many<K, V, E> = Box<HashTable<Slot<K, V, E>>>;

impl<K, V, E> Table<K, V, E> {
    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, |many| many.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot<K, V, E>> {
        self.few.iter().chain(self.many.iter().flat_map(|many| many.iter()))
    }

    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(&Slot<K, V, E>) -> bool) -> Option<&Slot<K, V, E>> {
        let few = self.few.iter().find(|slot| slot.hash == hash as u32 && is(slot));
        few.or_else(|| self.many.as_ref()?.find(spread(hash), is))
    }

    pub(crate) fn find_mut(
        &mut self,
        hash: u64,
        mut is: impl FnMut(&Slot<K, V, E>) -> bool,
    ) -> Option<&mut Slot<K, V, E>> {
        let few = self.few.iter_mut().find(|slot| slot.hash == hash as u32 && is(slot));
        few.or_else(|| self.many.as_mut()?.find_mut(spread(hash), is))
    }

    pub(crate) fn insert(&mut self, slot: Slot<K, V, E>) -> &mut Slot<K, V, E> {
        if self.few.len() < FEW {
            if self.few.len() == self.few.capacity() {
                self.few.reserve_exact(FEW / 2);
            }
            self.few.push(slot);
            return self.few.last_mut().expect("just pushed");
        }
        let many = self.many.get_or_insert_default();
        many.insert_unique(spread(slot.hash()), slot, |slot| spread(slot.hash())).into_mut()
    }

    /// Takes the slot of flight `id` out, with what else is to be dropped after the lock.
    pub(crate) fn remove(&mut self, hash: u64, id: u64) -> Option<Removed<K, V, E>> {
        let slot = match self.few.iter().position(|slot| slot.id == id) {
            Some(place) => self.few.swap_remove(place),
            None => self.many.as_mut()?.find_entry(spread(hash), |slot| slot.id == id).ok()?.remove().0,
        };
        let outgrown = self.many.take_if(|many| self.few.is_empty() && many.is_empty());
        Some((slot, outgrown))
    }

    /// Whether the key is not there, and a slot for it can be [`push`](Self::push)ed without allocating.
    #[inline]
    pub(crate) fn is_vacant(&self, hash: u64, mut is: impl FnMut(&Slot<K, V, E>) -> bool) -> bool {
        self.few.len() < self.few.capacity() // at most FEW
            && self.many.is_none()
            && !self.few.iter().any(|slot| slot.hash == hash as u32 && is(slot))
    }

    /// [`insert`](Self::insert), where [`is_vacant`](Self::is_vacant) has said yes.
    #[inline(always)]
    pub(crate) fn push(&mut self, slot: Slot<K, V, E>) {
        if self.few.len() >= self.few.capacity() {
            std::mem::forget(slot); // nothing that would have to be dropped may keep it out of the registers
            unreachable!("`is_vacant` has looked");
        }
        // Seeing that it cannot grow, the compiler writes the slot in place. Otherwise it builds it beside, and
        // the copy has to wait for the stores.
        self.few.push(slot);
    }

    /// [`remove`](Self::remove) for a flight that nobody boarded, the last to take off in a shard that has nothing
    /// to give away: whether it was that, and its key, if there is anything to drop in one.
    #[inline(always)]
    pub(crate) fn remove_alone(&mut self, id: u64) -> Option<Option<K>> {
        let last = self.few.last()?;
        if last.id != id || last.current.is_some() || last.next.is_some() || self.many.is_some() {
            return None; // the last is nearly always the only one
        }
        let slot = self.few.pop()?;
        // Both are `None`, as seen above. Said in this way, the slot is not copied out to be dropped: at most the
        // key is, and even that copy would have to wait for the slot's own stores.
        std::mem::forget((slot.current, slot.next));
        Some(std::mem::needs_drop::<K>().then_some(slot.key))
    }
}

/// What a shard's lock guards.
pub(crate) struct Flights<K, V, E> {
    pub(crate) table: Table<K, V, E>,
    /// How many flight numbers this shard has given.
    pub(crate) numbers: u64,
    /// How many of them belong to flights that nobody leads: queued still, or dissolved. The others are the
    /// flights that were led, so that a lone leader counts once and not twice.
    pub(crate) unled: u64,
    /// How many calls boarded somebody else's flight: counted here because the lock is held anyway. Everything
    /// rarer is counted beside the table (`stats.rs`).
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

impl<K, V, E> Shard<K, V, E> {
    fn new() -> Self {
        let table = Table { few: Vec::new(), many: None };
        Self(Mutex::new(Flights { table, numbers: 0, unled: 0, joined: 0 }))
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

    /// Thirty-two for every core, and no fewer than 256, which are 16 KiB: the fewer there are, the more often two
    /// threads with different keys find a shard's cache line with the other's core, and fetching it takes longer
    /// than the call itself. More than 1024 only cost memory.
    pub(crate) fn for_this_machine() -> Self {
        Self::for_cores(cores())
    }

    fn for_cores(cores: usize) -> Self {
        let fewest = if UNDER_A_CHECKER { 4 } else { 256 }; // a checker makes the table anew in every schedule
        Self::at_least((32 * cores).clamp(fewest, 1024))
    }

    pub(crate) fn count(self) -> usize {
        1 << self.bits
    }

    /// Fibonacci hashing: one multiplication spreads even a hasher that returns small integers unchanged, and
    /// leaves the bits the table itself looks at (the top seven, and the low ones) independent of the shard.
    /// `hash` is one that [`fold`] made.
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
        assert!(size_of::<Slot<u64, u64, u64>>() <= 48);
        assert!(size_of::<Slot<u64, [u64; 100], String>>() <= 48, "values and errors are not in the slot");
        assert_eq!((size_of::<Shard<u64, u64, u64>>(), align_of::<Shard<u64, u64, u64>>()), (64, 64));
        assert_eq!(size_of::<Shard<[u64; 100], u64, u64>>(), 64);
    }

    /// P8: whatever it was filled with, an empty shard keeps room for eight slots at most, and all are found and
    /// taken out by number, wherever they stand.
    #[test]
    fn p8_an_empty_shard_keeps_room_for_eight() {
        for n in (1..40).chain([63, 64, 112, 113, 500]) {
            for sort in [|n: u64| n, |n: u64| n << 57, |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15), |_| 7] {
                let hash = |id| fold(sort(id));
                let mut table: Table<u64, u8, u8> = Table { few: Vec::new(), many: None };
                for id in 0..n {
                    table.insert(Slot::new(hash(id), id, id, 1, 0));
                }
                assert_eq!((table.len() as u64, table.iter().count() as u64), (n, n));
                let mut given_back = false;
                for id in (0..n).rev().step_by(2).chain((0..n).rev().skip(1).step_by(2)) {
                    assert!(!given_back, "given back while it is in use");
                    assert_eq!(table.find(hash(id), |slot| slot.key == id).unwrap().id, id);
                    assert!(table.find(hash(id), |slot| slot.key == n).is_none());
                    let (slot, outgrown) = table.remove(hash(id), id).unwrap();
                    assert_eq!(slot.key, id);
                    given_back = outgrown.is_some();
                }
                assert_eq!((table.len(), given_back), (0, n > 8), "{n} slots");
                assert!(table.many.is_none() && table.few.capacity() <= FEW);
            }
        }
    }

    /// Otherwise a call that meets nobody takes the way of those that do, which is only slow.
    #[test]
    fn a_call_that_meets_nobody_finds_room_and_its_slot() {
        let mut table: Table<String, u8, u8> = Table { few: Vec::new(), many: None };
        let slot = |id: u64, hash| Slot::new(hash, id.to_string(), id, 1, 0);
        let is_vacant = |table: &Table<String, u8, u8>, hash, key| table.is_vacant(hash, |slot| slot.key == key);
        assert!(!is_vacant(&table, 1, "1"), "nothing has been allocated");
        table.insert(slot(1, 7));
        assert!(is_vacant(&table, 7, "2"), "another key of the same hash");
        assert!(!is_vacant(&table, 7, "1"));
        assert!(table.is_vacant(8, |_| unreachable!("a key of another hash is not looked at")));
        table.push(slot(2, 8));
        assert!(table.remove_alone(1).is_none(), "not the last");
        assert_eq!(table.remove_alone(2), Some(Some("2".to_owned())));
        assert_eq!(table.len(), 1);
        for id in 2..=FEW as u64 + 1 {
            table.insert(slot(id, id));
        }
        assert!(!is_vacant(&table, 99, "99") && table.remove_alone(FEW as u64).is_none(), "the list was too short");
    }

    /// By itself a `Vec` begins with less where its elements are large.
    #[test]
    fn the_first_slot_makes_room_for_four_however_large() {
        let mut table: Table<[u8; 2000], u8, u8> = Table { few: Vec::new(), many: None };
        table.insert(Slot::new(1, [0; 2000], 1, 1, 0));
        assert!((4..=FEW).contains(&table.few.capacity()));
    }

    /// What hashbrown looks at (the low bits, and the top seven) is as good as the hasher was: a constant here would
    /// break no promise, and make every flight look at every other.
    #[test]
    fn a_hash_is_folded_and_spread_without_loss() {
        let hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
        let folded: Vec<u64> = (0..1000_u64).map(|n| fold(std::hash::BuildHasher::hash_one(&hasher, n))).collect();
        for bit in 0..32 {
            let set = folded.iter().filter(|hash| *hash >> bit & 1 == 1).count();
            assert!((350..650).contains(&set), "bit {bit} is set in {set} of 1000");
        }
        // Whichever half of the bits a poor hasher fills.
        for n in 0..1000 {
            assert_eq!((fold(n), fold(n << 32)), (n, n));
        }
        for hash in folded {
            assert_eq!((spread(hash) & 0xFFFF_FFFF, spread(hash) >> 32), (hash, hash));
        }
    }

    #[test]
    fn what_is_kept_short_keeps_its_value() {
        for number in [0, 1, u64::from(u32::MAX), 1 << 32, (1 << 48) - 1] {
            assert_eq!(Short::new(number).get(), number);
        }
    }

    #[test]
    fn shards_are_rounded_up_and_bounded() {
        assert_eq!([1, 2, 3, 64, 65, 65_536].map(|n| Shards::at_least(n).count()), [1, 2, 4, 64, 128, 65_536]);
        assert_eq!([1, 8, 9, 16, 17, 500].map(|n| Shards::for_cores(n).count()), [256, 256, 512, 512, 1024, 1024]);
        assert_eq!(Shards::for_this_machine().count(), Shards::for_cores(cores()).count());
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
