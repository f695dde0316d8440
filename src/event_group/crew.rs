//! The workers: they lead the flights that no caller is blocked on, and forget the keys whose interval is over.
//!
//! What is to be done stands on the agenda. A place there is a hint: the worker that takes it looks at the flight again,
//! and goes on if a caller was quicker. So the agenda has a lock of its own, and a caller never waits for a worker.
//!
//! Invariant: as long as the agenda is not empty, a worker is on its way to it, works, or sleeps until its first moment.
//! A thread that puts something there sends a worker if none sleeps and there may be more. A worker looks at the agenda
//! after each run. Before it does a run, it sends another worker to the rest.

use crate::engine::deadlock::{EdgeGuard, Ender, thread_number};
use crate::engine::flight::FlightId;
use crate::engine::load::Due;
use crate::engine::panics::drop_quietly;
use crate::engine::waiter::Waiter;
use crate::event_group::shared::{Key, Own, Shared, Told};
use crate::sync::Arc;

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    /// Whether there is a thread. If there is none, one is started.
    pub(super) fn is_staffed(self: &Arc<Self>) -> bool {
        self.crew.alive() > 0 || {
            self.agenda.lock().serving += 1;
            self.send_worker()
        }
    }

    /// Sends a worker that is counted already. `false`: the system has no thread to give, and nobody serves.
    fn send_worker(self: &Arc<Self>) -> bool {
        let shared = self.clone();
        if self.crew.execute(Box::new(move || shared.serve())).is_ok() {
            return true;
        }
        let mut agenda = self.agenda.lock();
        agenda.serving -= 1;
        agenda.serving > 0
    }

    /// Sends a worker to the flight when it is due. In a process that has no thread to give, the calling thread does it.
    pub(super) fn place(self: &Arc<Self>, id: FlightId, due: Due) {
        let at = match due {
            Due::At(at) => at,
            Due::Now | Due::Busy(_) => self.engine.now(),
        };
        let mut agenda = self.agenda.lock();
        let earlier = agenda.first().is_none_or(|first| at < first);
        agenda.insert(id, at);
        let sleeper = if earlier { agenda.call_sleeper() } else { None };
        let another = agenda.wants_another(self.workers);
        drop(agenda);
        if let Some(sleeper) = sleeper {
            sleeper.notify();
        }
        if another && !self.send_worker() {
            self.work_off();
        } else if !self.engine.waits(id) {
            self.displace(id); // a caller was quicker than this hint, and has found nothing to take back
        }
    }

    /// A caller, or a flush, has taken the flight: no worker need come.
    pub(super) fn displace(&self, id: FlightId) {
        self.agenda.lock().remove(id);
    }

    #[cold]
    fn work_off(self: &Arc<Self>) {
        loop {
            let next = self.agenda.lock().pop();
            let Some(id) = next else { return };
            self.engine.hurry_one(id); // nobody would come to it when it is due
            self.attend(id);
        }
    }

    fn attend(self: &Arc<Self>, id: FlightId) {
        if let Some((key, flight)) = self.engine.take_next(id) {
            self.run_for_others(key, id.hash, flight);
        }
    }

    /// A worker's turn: until there is nothing to do, or another one sleeps until there is.
    fn serve(self: Arc<Self>) {
        let me = thread_number();
        self.agenda.lock().threads.push(me);
        while let Some(id) = self.next() {
            self.attend(id);
        }
        let mut agenda = self.agenda.lock();
        if let Some(place) = agenda.threads.iter().position(|thread| *thread == me) {
            agenda.threads.swap_remove(place);
        }
        drop(agenda);
        drop_quietly(self); // the last one to hold the group drops the user's closures
    }

    fn next(self: &Arc<Self>) -> Option<FlightId> {
        loop {
            let mut agenda = self.agenda.lock();
            let now = self.engine.now();
            match agenda.first() {
                Some(due) if due <= now || agenda.closing => {
                    let id = agenda.pop()?;
                    let (another, closing) = (agenda.wants_another(self.workers), agenda.closing);
                    drop(agenda);
                    if closing {
                        self.engine.hurry_one(id);
                    }
                    if another {
                        self.send_worker(); // if there is no thread to be had, this one comes to the rest later
                    }
                    return Some(id);
                }
                Some(due) if agenda.sleeper.is_none() => {
                    let waiter = Waiter::take();
                    agenda.sleeper = Some(waiter.clone());
                    drop(agenda);
                    self.engine.sleep_until(&waiter, due);
                    self.agenda.lock().sleeper = None;
                    waiter.give_back();
                }
                _ => {
                    agenda.serving -= 1;
                    return None;
                }
            }
        }
    }

    /// No delay, window or interval counts any more.
    pub(super) fn close_agenda(&self) {
        let mut agenda = self.agenda.lock();
        agenda.closing = true;
        let sleeper = agenda.call_sleeper();
        drop(agenda);
        if let Some(sleeper) = sleeper {
            sleeper.notify();
        }
    }

    /// Waits for the threads to end, except the calling one. The deadlock check sees this wait as any other. If it would
    /// be a deadlock, because a run waits for this thread, it is skipped, and the threads end by themselves.
    pub(super) fn join_workers(&self) {
        self.crew.close();
        let me = thread_number();
        let threads = self.agenda.lock().threads.clone();
        let others = threads.into_iter().filter(|thread| *thread != me).map(Ender::Thread).collect();
        if let Ok(_edge) = EdgeGuard::begin(&self.engine.node(0, Ender::All(others)), false) {
            self.crew.join();
        }
    }
}
