//! What waits is given back: to a caller that withdraws it, or to one that closes the group.

use crate::engine::board::Place;
use crate::engine::core::Engine;
use crate::engine::flight::{Flight, FlightId};
use crate::engine::follow::WaitGuard;
use crate::engine::key::Find;
use crate::engine::load::Load;
use crate::engine::options::WaitOptions;
use crate::engine::panics::drop_quietly;
use crate::error::Error;
use crate::sync::Arc;
use std::hash::BuildHasher;

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// Waits for a flight that [`hurry`](Self::hurry) has found, as long as the options say, and never leads it: its
    /// closure may last for ever.
    pub(crate) fn stand_by(&self, hash: u64, flight: Arc<Flight<V, E, L>>, options: &WaitOptions<'_>) {
        let mut state = self.shard(hash).lock();
        flight.add_follower();
        state.counts.joined += 1;
        drop(state);
        let mut guard = WaitGuard::new(self, hash, flight, Place::Bell, 0);
        guard.wait(options, &mut None);
        drop_quietly(guard); // perhaps the last one to hold the outcome
    }

    /// Takes all flights from their keys that wait, each after `before`, and tells their callers the error: their keys and
    /// loads.
    pub(crate) fn give_up_waiting(&self, before: impl Fn(FlightId), error: impl Fn() -> Error<E>) -> Vec<(K, L)>
    where
        K: Clone,
    {
        let mut waiting = Vec::new();
        for shard in self.allocated() {
            for slot in shard.lock().table.iter() {
                waiting.extend(slot.waiting().map(|flight| FlightId { hash: slot.hash, number: flight.node.id }));
            }
        }
        let give_up = |id| {
            before(id);
            self.fail_next(id, error())
        };
        waiting.into_iter().filter_map(give_up).collect()
    }
}

impl<K, V, E, S: BuildHasher, L: Load> Engine<K, V, E, S, L> {
    /// Takes something out of what waits for the key. A flight that is left with nothing is dissolved. The answers, the
    /// next flight's first.
    pub(crate) fn take_back<R>(&self, key: &(impl Find<K> + ?Sized), mut take: impl FnMut(&mut L) -> R) -> Vec<R> {
        let hash = key.hash_in(&self.hasher);
        let mut state = self.shard(hash).lock();
        let (table, counts) = state.parts();
        let Some(slot) = table.find_mut(hash, |slot| key.is(&slot.key)) else { return Vec::new() };
        let (mut taken, mut dissolved) = (Vec::new(), Vec::new());
        for flight in slot.waiting().collect::<Vec<_>>() {
            taken.push(flight.with_load(&mut take));
            if flight.with_load(|load| load.is_empty()) {
                slot.take_out(&flight);
                dissolved.push(flight);
            }
        }
        let on = slot.is_grounded() && !dissolved.is_empty();
        let hand_off = if on { self.hand_on(slot, counts) } else { None };
        self.renew_node(slot);
        let idle = self.idle(slot).and_then(|number| table.remove(hash, number));
        drop(state);
        if let Some(hand_off) = hand_off {
            hand_off.notify();
        }
        for flight in dissolved {
            if let Some(crew) = &self.crew {
                crew(FlightId { hash, number: flight.node.id }, None); // no worker need come
            }
            self.dissolved(&flight); // a `flush` may wait for it
        }
        drop_quietly(idle);
        taken
    }
}
