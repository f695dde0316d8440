//! The workers: they run the batches nobody is blocked on, and forget the keys whose interval is over.
//!
//! There are none until the agenda has something for them, never more than `workers`, and one that has found
//! nothing to do for [`PATIENCE`] leaves. What keeps the agenda from being forgotten is one rule: *whoever puts
//! something there calls a worker under the same lock*, and a worker looks at the agenda under that lock before it
//! sleeps. If the system has no thread to give, the caller is told ([`Shared::staff`]) and does something else.

use crate::engine::panics::drop_quietly;
use crate::engine::seat::{Seat, Seated};
use crate::event_group::clock::later;
use crate::event_group::slots::{Forgotten, Load, Place, State, Wakes};
use crate::event_group::{Key, Own, Shared, Told};
use crate::sync::{Arc, Duration, Instant, JoinHandle, per_thread, spawn_named};
use std::cell::Cell;

/// How long a worker stays with nothing to do: long against what starting a thread costs, short against what a
/// thread costs that nobody needs.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Crew {
    pub(super) alive: usize,
    /// Asleep, the last to fall asleep at the end: it is woken first, so that the others get to leave.
    idle: Vec<Arc<Seat>>,
    handles: Vec<(usize, JoinHandle<()>)>,
    /// The last that left on its own account. Each joins the one before it: at most one thread waits to be joined.
    left: Option<JoinHandle<()>>,
}

impl Crew {
    /// Every idle worker looks again.
    pub(super) fn call_all(&mut self, wakes: &mut Wakes) {
        self.idle.drain(..).for_each(|seat| wakes.call(&seat));
    }

    /// The threads, for joining or for letting go.
    pub(super) fn dismiss(&mut self) -> Vec<JoinHandle<()>> {
        self.handles.drain(..).map(|(_, handle)| handle).chain(self.left.take()).collect()
    }
}

per_thread! {
    static ON_A_WORKER: Cell<bool> = Cell::new(false);
}

/// Whether the calling thread is a worker of any `EventGroup`: it must not wait for workers to end. Were it to wait
/// for another group's, one of those might be waiting for it in the same way.
pub(super) fn on_a_worker() -> bool {
    ON_A_WORKER.try_with(Cell::get).unwrap_or(false)
}

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    /// Gets a worker to look at the agenda: an idle one, a new one, or one of those at work when it is done.
    /// `false`: there is none, and the system has no thread to give.
    ///
    /// A thread is started under the lock. It costs some 30 µs, once until the crew has been idle for long; and it
    /// keeps "is there a worker?" and "there will be one" from ever being two answers.
    pub(super) fn staff(self: &Arc<Self>, state: &mut State<K, T, V, E>, wakes: &mut Wakes) -> bool {
        let crew = &mut state.crew;
        if let Some(seat) = crew.idle.pop() {
            wakes.call(&seat);
            return true;
        }
        if crew.alive < self.config.workers {
            let number = (1..).find(|number| crew.handles.iter().all(|(taken, _)| taken != number)).expect("endless");
            let name = format!("{} events {number}", self.config.rules.name.as_deref().unwrap_or("(unnamed)"));
            let shared = self.clone();
            if let Ok(handle) = (self.config.hire)(name, Box::new(move || shared.work(number))) {
                crew.handles.push((number, handle));
                crew.alive += 1;
            }
        }
        crew.alive > 0
    }

    fn work(self: Arc<Self>, number: usize) {
        ON_A_WORKER.with(|flag| flag.set(true));
        let seat = Seat::take();
        while let Some(load) = self.next_load(&seat, number) {
            self.fly_for_others(load);
        }
        seat.put_back();
        drop_quietly(self); // detached workers outlive the group: the last of them drops the user's closures
    }

    /// Waits for something to do. `None`: leave.
    fn next_load(self: &Arc<Self>, seat: &Arc<Seat>, number: usize) -> Option<Load<K, T>> {
        let mut patience_ends = None;
        loop {
            seat.answer();
            let mut wakes = Wakes::default();
            let mut guard = self.state.lock();
            let state = &mut *guard;
            state.crew.idle.retain(|idle| !Arc::ptr_eq(idle, seat));
            let now = self.clock.now();
            let first = state.agenda.first().copied();
            let until = match first {
                Some(place) if place.due <= now || state.closing => {
                    state.agenda.remove(&place);
                    let found = self.attend(state, place, now);
                    if !state.agenda.is_empty() {
                        self.staff(state, &mut wakes); // there is more than this thread can do
                    }
                    drop(guard);
                    wakes.ring();
                    match found {
                        Attended::Run(load) => return Some(load),
                        Attended::Forgotten(slot, key) => drop_quietly((slot, key)),
                    }
                    patience_ends = None;
                    continue;
                }
                Some(place) => {
                    patience_ends = None;
                    place.due
                }
                None => {
                    let ends = *patience_ends.get_or_insert_with(|| later(now, PATIENCE));
                    if state.closing || ends <= now {
                        let crew = &mut state.crew;
                        crew.alive -= 1;
                        let mine = crew.handles.iter().position(|(taken, _)| *taken == number);
                        let mine = mine.map(|at| crew.handles.swap_remove(at).1);
                        let before = if mine.is_some() { std::mem::replace(&mut crew.left, mine) } else { None };
                        drop(guard);
                        if let Some(before) = before {
                            let _ = before.join(); // it has left: it is at most a few instructions from its end
                        }
                        return None;
                    }
                    ends
                }
            };
            state.crew.idle.push(seat.clone());
            drop(guard);
            let _: Seated = self.clock.wait(seat, until, None);
        }
    }

    fn attend(&self, state: &mut State<K, T, V, E>, place: Place, now: Instant) -> Attended<K, T, V, E> {
        let slot = state.slots.find_mut(place.hash, |slot| slot.place == Some(place)).expect("in the agenda");
        slot.place = None;
        if let Some(batch) = &slot.pending {
            let flight = batch.flight.clone();
            return Attended::Run(state.take(place.hash, &flight, None, &self.config.rules, now));
        }
        let key = slot.key.clone();
        Attended::Forgotten(state.forget(place.hash, &key), key)
    }
}

/// What a place in the agenda was for.
enum Attended<K, T, V, E> {
    Run(Load<K, T>),
    /// A key that had rested long enough.
    Forgotten(Option<Forgotten<K, T, V, E>>, Arc<K>),
}

/// Starts a worker.
pub(super) type Hire = fn(String, Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>;

pub(super) const HIRE: Hire = |name, body| spawn_named(name, body);
