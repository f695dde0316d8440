//! The fast path: what a call costs that meets no other call.
//!
//! Both halves pass numbers and locks around. Everything that has a destructor is left to the cold files.

use crate::engine::core::Engine;
use crate::engine::deadlock::runner;
use crate::engine::key::Lookup;
use crate::engine::load::Load;
use crate::engine::table::{Shard, ShardState, Slot};
use crate::sync::{MutexGuard, test_delay};

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// Makes a blocking caller that meets nobody the leader: the number of its flight. Otherwise nothing has been
    /// changed, and the lock is given back for `board_locked`.
    #[inline]
    pub(super) fn begin_alone<'s, Q: Lookup<K> + ?Sized>(
        &self,
        shard: &'s Shard<K, V, E, L>,
        hash: u64,
        key: &Q,
    ) -> Result<u64, MutexGuard<'s, ShardState<K, V, E, L>>> {
        let started = self.time();
        let mut state = shard.lock();
        if !state.table.is_vacant(hash, |slot| key.is(&slot.key)) {
            return Err(state);
        }
        let key = key.own(); // may panic: nothing has been changed yet
        let number = state.counts.next_number(self.shards);
        state.counts.led += 1;
        state.table.push(Slot::new(hash, key, number, runner(), started));
        Ok(number)
    }

    /// Takes a flight out of its shard whose leader was alone from beginning to end. Returns its key, to be dropped
    /// after the lock. Otherwise nothing has been changed, and the lock is given back.
    #[inline]
    pub(super) fn end_alone<'s>(
        &self,
        shard: &'s Shard<K, V, E, L>,
        number: u64,
    ) -> Result<Option<K>, MutexGuard<'s, ShardState<K, V, E, L>>> {
        test_delay();
        let mut state = self.lock_to_land(shard);
        state.table.remove_alone(number).ok_or(state)
    }
}
