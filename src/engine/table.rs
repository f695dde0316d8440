//! The table: one slot per key, in shards.
//!
//! Only keys in use have a slot, so an attacker who chooses colliding keys can fill a shard only with as many keys as
//! there are concurrent calls. A slot keeps the hash of its key: growing, landing and detaching never call the user's
//! `Hash` or `Eq`, which might panic.

use crate::engine::deadlock::Ender;
use crate::engine::flight::Flight;
use crate::engine::load::Load;
use crate::sync::{Arc, Mutex, MutexGuard, cores};
use hashbrown::HashTable;

/// How many slots a shard keeps in a plain list, and how many an idle shard may keep room for (P8).
const FEW: usize = 8;

/// Set in [`Slot::id`] while no flight is in the air.
const GROUNDED: u64 = 1 << 63;

/// One key that is in use.
pub(crate) struct Slot<K, V, E, L: Load = ()> {
    pub(crate) hash: u64,
    pub(crate) key: K,
    /// The number of the flight in the air: a landing looks for it, so that it never removes a successor (P10). While
    /// nothing is in the air it is a number that no flight has.
    pub(crate) id: u64,
    /// The thread that runs it, or `NOBODY` as long as its job waits in an executor.
    pub(crate) leader: u64,
    /// When the last flight started, in microseconds since the engine was made, plus one; 0 where nobody reads the
    /// clock.
    pub(crate) started: u64,
    /// The flight in the air, once somebody waits for it.
    pub(crate) current: Option<Arc<Flight<V, E, L>>>,
    /// The flight that starts after the one in the air: made for the first caller that must not share the current one.
    pub(crate) next: Option<Arc<Flight<V, E, L>>>,
}

impl<K, V, E, L: Load> Slot<K, V, E, L> {
    #[inline]
    pub(crate) fn new(hash: u64, key: K, id: u64, leader: u64, started: u64) -> Self {
        Self { hash, key, id, leader, started, current: None, next: None }
    }

    pub(crate) fn grounded(hash: u64, key: K, number: u64) -> Self {
        Self::new(hash, key, number | GROUNDED, 0, 0)
    }

    /// The number of a slot that is new, for its first flight.
    pub(crate) fn unused_number(&self) -> u64 {
        debug_assert!(self.is_empty());
        self.id & !GROUNDED
    }

    /// Nothing is in the air any more.
    pub(crate) fn ground(&mut self) {
        self.id |= GROUNDED;
        self.leader = 0;
    }

    pub(crate) fn is_grounded(&self) -> bool {
        self.id & GROUNDED != 0
    }

    /// Whether no flight is in the air and none is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_grounded() && self.next.is_none()
    }

    /// Whether `flight` is the next here.
    pub(crate) fn waits_first(&self, flight: &Arc<Flight<V, E, L>>) -> bool {
        self.next.as_ref().is_some_and(|next| Arc::ptr_eq(next, flight))
    }

    /// The flights that wait, the next one first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Arc<Flight<V, E, L>>> + use<K, V, E, L> {
        let behind = |flight: &Arc<Flight<V, E, L>>| if L::CARRIES { flight.behind() } else { None };
        std::iter::successors(self.next.clone(), behind)
    }

    /// Takes a waiting flight out, wherever it stands.
    pub(crate) fn take_out(&mut self, flight: &Arc<Flight<V, E, L>>) {
        let behind = flight.next().behind.take();
        if self.waits_first(flight) {
            self.next = behind;
            return;
        }
        for front in self.waiting() {
            let mut next = front.next();
            if next.behind.as_ref().is_some_and(|next| Arc::ptr_eq(next, flight)) {
                if let Some(behind) = &behind {
                    behind.node.set_ender(Ender::Behind(front.node.clone()));
                }
                next.behind = behind;
                return;
            }
        }
    }

    /// How many callers wait for this key.
    pub(crate) fn followers(&self) -> usize {
        let current = self.current.as_ref().map_or(0, |flight| flight.followers());
        current + self.waiting().map(|flight| flight.followers()).sum::<usize>()
    }
}

/// A shard: 64 bytes, a cache line, so that two threads with different keys rarely want the same one.
#[repr(align(64))]
pub(crate) struct Shard<K, V, E, L: Load = ()>(Mutex<ShardState<K, V, E, L>>);

/// The slots of one shard.
///
/// There are more shards than threads that run, so a shard nearly always has none or one. The first few stand in a
/// list, which takes fewer instructions to search, fill and empty than a hash table takes to find a place. Only what
/// does not fit goes into a table. Neither calls the user's `Hash`, and a slot does not move from one to the other.
pub(crate) struct Table<K, V, E, L: Load = ()> {
    few: Vec<Slot<K, V, E, L>>,
    /// Made when the list is full, dropped when the shard is empty. Boxed, so that a shard fits a cache line.
    many: Option<Box<HashTable<Slot<K, V, E, L>>>>,
}

impl<K, V, E, L: Load> Table<K, V, E, L> {
    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, |many| many.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot<K, V, E, L>> {
        self.few.iter().chain(self.many.iter().flat_map(|many| many.iter()))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot<K, V, E, L>> {
        self.few.iter_mut().chain(self.many.iter_mut().flat_map(|many| many.iter_mut()))
    }

    pub(crate) fn find(&self, hash: u64, mut is: impl FnMut(&Slot<K, V, E, L>) -> bool) -> Option<&Slot<K, V, E, L>> {
        let few = self.few.iter().find(|slot| slot.hash == hash && is(slot));
        few.or_else(|| self.many.as_ref()?.find(hash, is))
    }

    pub(crate) fn find_mut(
        &mut self,
        hash: u64,
        mut is: impl FnMut(&Slot<K, V, E, L>) -> bool,
    ) -> Option<&mut Slot<K, V, E, L>> {
        let few = self.few.iter_mut().find(|slot| slot.hash == hash && is(slot));
        few.or_else(|| self.many.as_mut()?.find_mut(hash, is))
    }

    pub(crate) fn insert(&mut self, slot: Slot<K, V, E, L>) -> &mut Slot<K, V, E, L> {
        if self.few.len() < FEW {
            if self.few.len() == self.few.capacity() {
                self.few.reserve_exact(FEW / 2);
            }
            self.few.push(slot);
            return self.few.last_mut().expect("just pushed");
        }
        let many = self.many.get_or_insert_default();
        many.insert_unique(slot.hash, slot, |slot| slot.hash).into_mut()
    }

    /// Takes the slot with this id out, to be dropped after the lock.
    pub(crate) fn remove(&mut self, hash: u64, id: u64) -> Option<Slot<K, V, E, L>> {
        let slot = match self.few.iter().position(|slot| slot.id == id) {
            Some(place) => self.few.swap_remove(place),
            None => self.many.as_mut()?.find_entry(hash, |slot| slot.id == id).ok()?.remove().0,
        };
        self.many.take_if(|many| self.few.is_empty() && many.is_empty()); // P8; nothing of the user's is in it
        Some(slot)
    }

    /// Whether the key is not there, and a slot for it can be [`push`](Self::push)ed without allocating.
    #[inline]
    pub(crate) fn is_vacant(&self, hash: u64, mut is: impl FnMut(&Slot<K, V, E, L>) -> bool) -> bool {
        self.few.len() < self.few.capacity() // at most FEW
            && self.many.is_none()
            && !self.few.iter().any(|slot| slot.hash == hash && is(slot))
    }

    /// [`insert`](Self::insert), where [`is_vacant`](Self::is_vacant) has said yes.
    #[inline(always)]
    pub(crate) fn push(&mut self, slot: Slot<K, V, E, L>) {
        if self.few.len() >= self.few.capacity() {
            std::mem::forget(slot); // forgotten, not dropped: a drop on this path would force the slot onto the stack
            unreachable!("`is_vacant` has looked");
        }
        // The compiler sees that the list cannot grow, and writes the slot in place. Otherwise it builds it on the
        // stack, and the copy has to wait for the stores.
        self.few.push(slot);
    }

    /// [`remove`](Self::remove) for a flight that nobody boarded, if its slot is the last of the list and there is no
    /// table. Returns its key if there is anything to drop in one.
    #[inline(always)]
    pub(crate) fn remove_alone(&mut self, id: u64) -> Option<Option<K>> {
        let last = self.few.last()?;
        if last.id != id || last.current.is_some() || last.next.is_some() || self.many.is_some() {
            return None; // the last is nearly always the only one
        }
        let slot = self.few.pop()?;
        // Both are `None`, as seen above. Forgotten, not dropped: otherwise the whole slot is copied out, and the copy
        // has to wait for the slot's own stores.
        std::mem::forget((slot.current, slot.next));
        Some(std::mem::needs_drop::<K>().then_some(slot.key))
    }
}

/// What a shard's lock guards.
pub(crate) struct ShardState<K, V, E, L: Load = ()> {
    pub(crate) table: Table<K, V, E, L>,
    pub(crate) counts: Counts,
}

/// Counted here because the lock is held anyway. What is rarer is counted beside the table (`stats.rs`).
pub(crate) struct Counts {
    /// The last flight number given; at first the shard's own.
    number: u64,
    pub(crate) led: u64,
    /// Calls that boarded another caller's flight.
    pub(crate) joined: u64,
}

impl Counts {
    fn of_shard(number: usize) -> Self {
        Self { number: number as u64, led: 0, joined: 0 }
    }

    /// A number that no other flight of the group has: divided by the number of shards it leaves the shard's own.
    #[inline]
    pub(crate) fn next_number(&mut self, shards: Shards) -> u64 {
        self.number += shards.count as u64;
        self.number
    }

    /// A queued call has become a leader.
    pub(crate) fn promoted(&mut self) {
        self.joined -= 1;
        self.led += 1;
    }
}

impl<K, V, E, L: Load> ShardState<K, V, E, L> {
    /// The table and the counts, borrowed apart.
    pub(crate) fn parts(&mut self) -> (&mut Table<K, V, E, L>, &mut Counts) {
        (&mut self.table, &mut self.counts)
    }
}

impl<K, V, E, L: Load> Shard<K, V, E, L> {
    fn new(number: usize) -> Self {
        let table = Table { few: Vec::new(), many: None };
        Self(Mutex::new(ShardState { table, counts: Counts::of_shard(number) }))
    }

    #[inline]
    pub(crate) fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, ShardState<K, V, E, L>> {
        self.0.lock()
    }
}

/// How many shards there are, and which one a hash belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Shards {
    /// A power of two.
    count: usize,
    /// How far to shift a hash, beyond the first bit, for the number of its shard.
    shift: u32,
}

impl Shards {
    /// At least `wanted`, rounded up to a power of two.
    pub(crate) fn at_least(wanted: usize) -> Self {
        let count = wanted.next_power_of_two();
        Self { count, shift: 63 - count.trailing_zeros() }
    }

    /// Thirty-two for every core, and at least 256, which are 16 KiB. With fewer, two threads with different keys more
    /// often want the same cache line, and fetching it from the other core takes longer than the call itself. More
    /// than 1024 only cost memory.
    pub(crate) fn for_this_machine() -> Self {
        Self::for_cores(cores())
    }

    fn for_cores(cores: usize) -> Self {
        let fewest = if cfg!(any(flight_group_shuttle, flight_group_loom)) { 4 } else { 256 }; // a checker makes the table anew in every schedule
        Self::at_least((32 * cores).clamp(fewest, 1024))
    }

    /// Fibonacci hashing: one multiplication spreads even a hasher that returns small integers unchanged, and
    /// leaves the bits the table itself looks at (the top seven, and the low ones) independent of the shard.
    #[inline]
    pub(crate) fn of(self, hash: u64) -> usize {
        let spread = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Two shifts, since a shift by all 64 bits, for the one shard of zero bits, is none.
        ((spread >> 1) >> self.shift) as usize
    }

    pub(crate) fn allocate<K, V, E, L: Load>(self) -> Box<[Shard<K, V, E, L>]> {
        (0..self.count).map(Shard::new).collect()
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

    /// P8: whatever it was filled with, an empty shard keeps room for eight slots at most, and all are found and
    /// taken out by number, wherever they stand.
    #[test]
    fn p8_an_empty_shard_keeps_room_for_eight() {
        for n in (1..40).chain([63, 64, 112, 113, 500]) {
            for sort in [|n: u64| n, |n: u64| n << 57, |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15), |_| 7] {
                let hash = sort;
                let mut table: Table<u64, u8, u8> = Table { few: Vec::new(), many: None };
                for id in 0..n {
                    table.insert(Slot::new(hash(id), id, id, 1, 0));
                }
                assert_eq!((table.len() as u64, table.iter().count() as u64), (n, n));
                for id in (0..n).rev().step_by(2).chain((0..n).rev().skip(1).step_by(2)) {
                    assert_eq!(table.find(hash(id), |slot| slot.key == id).unwrap().id, id);
                    assert!(table.find(hash(id), |slot| slot.key == n).is_none());
                    assert_eq!(table.remove(hash(id), id).unwrap().key, id);
                }
                assert_eq!(table.len(), 0, "{n} slots");
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

    #[test]
    fn shards_are_rounded_up_and_bounded() {
        assert_eq!([1, 2, 3, 64, 65, 65_536].map(|n| Shards::at_least(n).count), [1, 2, 4, 64, 128, 65_536]);
        assert_eq!([1, 8, 9, 16, 17, 500].map(|n| Shards::for_cores(n).count), [256, 256, 512, 512, 1024, 1024]);
        assert_eq!(Shards::for_this_machine().count, Shards::for_cores(cores()).count);
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
        let (mut one, mut other) = (Counts::of_shard(0), Counts::of_shard(5));
        let mut ids: Vec<u64> = (0..100).flat_map(|_| [one.next_number(shards), other.next_number(shards)]).collect();
        assert!(ids.iter().all(|id| *id > 7 && [0, 5].contains(&(id % 8))));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 200);
    }
}
