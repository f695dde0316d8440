//! `flush`, `close` and the drop of the last handle: what waits for a time or a worker is done now, or given back.

use crate::engine::deadlock::{EdgeGuard, Ender, thread_number};
use crate::engine::flight::FlightId;
use crate::engine::key::InArc;
use crate::engine::options::WaitOptions;
use crate::engine::panics::{Payload, drop_quietly};
use crate::engine::waiter::{Waiter, Wake};
use crate::error::{Deadlock, Error};
use crate::event_group::shared::{Key, Own, Shared, Told};
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::{Arc, Instant};
use std::borrow::Borrow;
use std::hash::Hash;

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    /// Waits until every event that has arrived by now was pushed, key by key. It waits in the queue of each flight, and
    /// leads the flight if the lead is offered. So it never needs a free worker: it may be running on the only one.
    pub(super) fn flush_all(self: &Arc<Self>) -> Result<(), Error<E>> {
        let mut result = Ok(());
        let mut refuse = |circle| {
            self.counts.deadlocked.fetch_add(1, Relaxed);
            result = Err(Error::Deadlock(circle));
        };
        for (hash, flight) in self.engine.hurry() {
            let seen = self.engine.see_to(hash, flight, |key, flight| self.run_for_others(key, hash, flight));
            seen.unwrap_or_else(&mut refuse);
        }
        self.await_telling(None).unwrap_or_else(&mut refuse);
        result
    }

    /// Waits until `on_failure` has been told of every run that has failed by now.
    fn await_telling(&self, until: Option<Instant>) -> Result<(), Deadlock> {
        let (me, last, waiter) = (thread_number(), self.telling.last(), Waiter::take());
        let result = loop {
            waiter.answer();
            let others = self.telling.watch(last, me, &waiter);
            if others.is_empty() {
                break Ok(());
            }
            match self.watch(&waiter, Ender::All(others), until) {
                Ok(Wake::TimedOut) => break Ok(()),
                Ok(_) => {}
                Err(circle) => break Err(circle),
            }
        };
        waiter.give_back();
        result
    }

    /// Waits until no other thread merges events of a flight that waits. Nobody begins to once the group is closed.
    fn await_merger(&self, id: FlightId) {
        let (me, waiter) = (thread_number(), Waiter::take());
        loop {
            waiter.answer();
            let merger = self.engine.with_waiting(id, |events| events.watch_merger(me, &waiter)).flatten();
            let Some(merger) = merger else { break };
            if self.watch(&waiter, Ender::Thread(merger), None).is_err() {
                break; // it waits for this thread: what it has is not to be had
            }
        }
        waiter.give_back();
    }

    /// Sleeps until the watcher is called by one of these threads, or until then, unless that would be for ever.
    fn watch(&self, watcher: &Waiter, others: Ender, until: Option<Instant>) -> Result<Wake, Deadlock> {
        let _edge = EdgeGuard::begin(&self.engine.node(0, others), until.is_some())?;
        Ok(watcher.wait(until, None, || false))
    }

    /// Takes no more events, waits so long for those that it has, and gives back what no run has begun to carry. It
    /// leads no run: that may last for ever. If there is no time, it lets none begin before it is due.
    pub(super) fn close_by(self: &Arc<Self>, deadline: Instant) -> Vec<(Arc<K>, T)> {
        self.engine.rules.closed.store(true, SeqCst);
        let mut options = WaitOptions::default();
        options.set_deadline(deadline);
        if !options.start() {
            self.close_agenda();
            for (hash, flight) in self.engine.hurry() {
                self.engine.stand_by(hash, flight, &options);
            }
        }
        let _ = self.await_telling(Some(deadline));
        let mut back = Vec::<(Arc<K>, Vec<T>)>::new();
        let closed = || Error::Closed(self.engine.site());
        for (key, mut load) in self.engine.give_up_waiting(|id| self.await_merger(id), closed) {
            let events = load.take_submitted(&self.engine.rules);
            load.take_off(&self.engine.rules).events.into_iter().for_each(drop_quietly); // their callers are told
            match back.last_mut() {
                _ if events.is_empty() => {}
                Some((last, before)) if Arc::ptr_eq(last, &key) => before.extend(events),
                _ => back.push((key, events)),
            }
        }
        self.close_agenda(); // the workers leave
        let merged = |(key, events)| match self.merge_all(events) {
            Ok(event) => Some((key, event)),
            Err(payload) => {
                self.counts.panicked.fetch_add(1, Relaxed);
                self.tell_failure(Some(key), self.engine.panicked(&payload));
                drop_quietly(payload);
                None
            }
        };
        back.into_iter().filter_map(merged).collect()
    }

    /// Takes back what waits of a key's submitted events, merged. A thread that merges some of them is waited for.
    pub(super) fn withdraw<Q>(&self, key: &Q) -> Result<Option<T>, Payload>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (me, rules, waiter) = (thread_number(), &self.engine.rules, Waiter::take());
        let mut waits = true;
        let taken = loop {
            waiter.answer();
            let mut merger = None;
            let taken = self.engine.take_back(&InArc(key), |events| {
                merger = merger.or(if waits { events.watch_merger(me, &waiter) } else { None });
                if merger.is_none() { events.take_submitted(rules) } else { Vec::new() }
            });
            let Some(merger) = merger else { break taken };
            waits = self.watch(&waiter, Ender::Thread(merger), None).is_ok(); // or else it waits for this thread
        };
        waiter.give_back();
        let taken: Vec<T> = taken.into_iter().flatten().collect();
        if taken.is_empty() { Ok(None) } else { self.merge_all(taken).map(Some) }
    }

    /// The last handle is gone: drains, and ends the workers.
    pub(super) fn close(self: &Arc<Self>) {
        self.close_agenda();
        if self.is_closed() {
            return self.crew.close(); // nothing waits any more, and what is in the air may last for ever
        }
        // A run may wait for a flight that this thread leads, or be this thread's own. The flush leaves it out, and a
        // worker does what waits behind it.
        let _ = self.flush_all();
        self.join_workers();
    }
}
