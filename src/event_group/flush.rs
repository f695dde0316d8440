//! `flush`, and the drop of the last handle: everything that waits for a time or a worker is done now.

use crate::engine::panics::drop_quietly;
use crate::engine::seat::Seat;
use crate::error::Error;
use crate::event_group::board::{Aboard, Ended};
use crate::event_group::crew::on_a_worker;
use crate::event_group::slots::{State, Wakes};
use crate::event_group::{Key, Own, Shared, Told};
use crate::sync::Arc;

/// The flights to see to, and the keys' hashes.
type Flights<V, E> = Vec<(u64, Arc<crate::engine::flight::Flight<V, E>>)>;

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    /// Sees to every event that has arrived by now, key by key: leads what nobody else is about to lead, and waits
    /// for the rest. It stands in the queue of each flight it waits for, and so never depends on a worker being
    /// free: it may be running on the only one.
    pub(super) fn flush_all(self: &Arc<Self>) -> Result<(), Error<E>> {
        let mut wakes = Wakes::default();
        let mut guard = self.state.lock();
        let flights = self.hurry(&mut guard, &mut wakes);
        drop(guard);
        wakes.ring();

        let mut result = Ok(());
        for (hash, flight) in flights {
            let seat = Seat::take();
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let now = self.clock.now();
            let unattended = state.pending(hash, &flight).is_some_and(|slot| slot.is_unattended());
            if unattended {
                flight.remove_follower();
                let load = state.take(hash, &flight, None, &self.config.rules, now);
                drop(guard);
                seat.put_back();
                drop(flight); // so that the outcome's last owner, who drops it, is not here
                self.fly_for_others(load);
                continue;
            }
            flight.queue(&seat);
            drop(guard);
            match (Aboard { shared: self, hash, flight, seat, ticket: None }).wait(None, false) {
                Ended::Lead(load) => self.fly_for_others(load),
                Ended::Deadlock(circle) => {
                    self.state.lock().stats.deadlocked += 1;
                    result = Err(Error::Deadlock(circle));
                }
                Ended::Landed(flight) => drop_quietly(flight), // with the outcome, if all its callers are gone
                Ended::TimedOut => {}
            }
        }
        result
    }

    /// Makes every batch due, and boards every flight as a follower.
    fn hurry(self: &Arc<Self>, state: &mut State<K, T, V, E>, wakes: &mut Wakes) -> Flights<V, E> {
        let now = self.clock.now();
        let mut flights = Flights::new();
        let mut unattended = Vec::new();
        for slot in &mut state.slots {
            // Both: a batch whose callers all leave is dissolved at once, whatever the run before it is at.
            if let Some(flight) = slot.in_the_air(&self.config.rules.name) {
                flight.add_follower();
                flights.push((slot.hash, flight));
            }
            if let Some(batch) = &mut slot.pending {
                batch.flushed = true;
                if let Some(captain) = &batch.captain {
                    wakes.call(captain);
                }
                batch.flight.add_follower();
                flights.push((slot.hash, batch.flight.clone()));
                if slot.is_unattended() {
                    unattended.push((slot.hash, slot.key.clone()));
                }
            }
        }
        for (hash, key) in &unattended {
            if state.place(*hash, key, &self.config.rules.timing, now) {
                self.staff(state, wakes);
            }
        }
        flights // `unattended` holds second references: the table has the first, and the lock is held
    }

    /// Does what is left in the agenda, in a process that has no thread to give for it.
    #[cold]
    pub(super) fn work_off(self: &Arc<Self>) {
        loop {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            let now = self.clock.now();
            let next = state
                .slots
                .iter()
                .find(|slot| slot.is_unattended())
                .map(|slot| (slot.hash, slot.pending.as_ref().expect("a batch nobody attends to").flight.clone()));
            let Some((hash, flight)) = next else { return };
            let load = state.take(hash, &flight, None, &self.config.rules, now);
            drop(guard);
            self.fly_for_others(load);
        }
    }

    /// The last handle is gone: drains, and ends the workers.
    pub(super) fn close(self: &Arc<Self>) {
        let on_a_worker = on_a_worker();
        let mut wakes = Wakes::default();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.closing = true;
        state.crew.call_all(&mut wakes);
        if on_a_worker {
            // The workers drain what is left, and end one by one; this thread may be one of them.
            for (_, flight) in self.hurry(state, &mut wakes) {
                flight.remove_follower();
            }
            let stranded = !state.agenda.is_empty() && !self.staff(state, &mut wakes);
            let handles = state.crew.dismiss();
            drop(guard);
            wakes.ring();
            drop(handles);
            if stranded {
                self.work_off();
            }
            return;
        }
        drop(guard);
        wakes.ring();
        // No circle: whoever waits here holds no handle, and so leads no run of this group.
        let _ = self.flush_all();
        loop {
            // Again, because a worker may have called another one before it ended.
            let workers = self.state.lock().crew.dismiss();
            if workers.is_empty() {
                return;
            }
            for worker in workers {
                if let Err(payload) = worker.join() {
                    drop_quietly(payload); // of the closures' own `Drop`
                }
            }
        }
    }
}
