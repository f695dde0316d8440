//! Calls that do not block: the closure is boxed, the outcome goes into a channel, and the flight is led on a thread of
//! the group's executor.

use crate::engine::board::{Boarded, Caller};
use crate::engine::core::Engine;
use crate::engine::deadlock::runner;
use crate::engine::flight::{Flight, FlightId, Landed, SpawnedCall, is_worth_another_try};
use crate::engine::job::{Dispatch, Job, Task};
use crate::engine::load::Load;
use crate::engine::options::Which;
use crate::engine::panics::{caught, describe, drop_quietly, quietly};
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::EventKind;
use crate::report::{FlightReport, Origin};
use crate::sync::Arc;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::hash::{BuildHasher, Hash};

/// What a spawned call sends.
pub(crate) type Delivery<V, E> = Result<Landing<V>, Error<E>>;

struct Call<K, V, E, S, F> {
    engine: Arc<Engine<K, V, E, S>>,
    key: K,
    hash: u64,
    which: Which,
    work: F,
    sender: Sender<Delivery<V, E>>,
    origin: Origin,
}

/// A spawned call that leads its flight.
struct LeadTask<K, V, E, S, F> {
    call: Call<K, V, E, S, F>,
    id: FlightId,
    flight: Arc<Flight<V, E>>,
    report: FlightReport,
}

impl<K, V, E, S> Engine<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Boards without blocking: the outcome comes through the receiver.
    pub(crate) fn spawn<F>(self: &Arc<Self>, key: K, which: Which, work: F) -> Receiver<Delivery<V, E>>
    where
        F: FnOnce() -> Result<V, E> + Send + 'static,
    {
        let (sender, receiver) = bounded(1);
        let (hash, origin) = (self.hasher.hash_one(&key), self.config.reports.origin());
        self.board_spawned(Box::new(Call { engine: self.clone(), key, hash, which, work, sender, origin }));
        receiver
    }

    fn board_spawned<F>(&self, call: Box<Call<K, V, E, S, F>>)
    where
        F: FnOnce() -> Result<V, E> + Send + 'static,
    {
        let (hash, key, sender) = (call.hash, call.key.clone(), call.sender.clone());
        let mut caller = Caller::spawned(call.which, call);
        let boarded = self.board(hash, &key, &mut caller);
        self.tell_expired(&key, &mut caller, &boarded);
        match boarded {
            Boarded::LeadElsewhere(id, flight, call) => call.lead(id, flight).dispatch(),
            Boarded::Queued(_) => self.config.reports.count(&EventKind::Joined),
            refused => {
                drop_quietly(caller.spawned.take());
                let (_, number, error) = self.refusal(refused);
                let _ = sender.send(Err(error));
                self.tell(number, || key.clone(), EventKind::Overloaded);
            }
        }
    }
}

impl<K, V, E, S, F> SpawnedCall<V, E, ()> for Call<K, V, E, S, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    F: FnOnce() -> Result<V, E> + Send + 'static,
{
    fn lead(self: Box<Self>, id: FlightId, flight: Arc<Flight<V, E>>) -> Dispatch {
        // Often on a thread whose own flight has just landed, and whose followers are still to be woken.
        let report = self.engine.report_flight_quietly(id.number, &self.key, Some(&self.origin));
        let engine = self.engine.clone();
        Dispatch {
            job: Job::new(Box::new(LeadTask { call: *self, id, flight, report })),
            hand_over: Box::new(move |job| match &engine.config.executor {
                Some(executor) => executor(job),
                // If the system has no thread to give, the job is dropped, and so abandons its flight.
                None => drop(engine.flights_crew().execute(job)),
            }),
        }
    }

    fn settle(self: Box<Self>, landed: &Landed<V, E>) {
        let engine = self.engine.clone();
        if is_worth_another_try(&landed.outcome, engine.config.share_failures) {
            return engine.board_spawned(self);
        }
        let Call { key, work, sender, which, origin, .. } = *self;
        drop_quietly(work); // superseded, or never needed
        drop_quietly((key, origin));
        deliver(&sender, landed, Role::Follower, true);
        if which == Which::Next {
            engine.config.reports.count(&EventKind::Superseded); // it was queued, and did not lead
        }
    }
}

/// Sends a receiver its copy. A clone that panics concerns that receiver only, and it is told.
fn deliver<V: Clone, E: Clone>(sender: &Sender<Delivery<V, E>>, landed: &Landed<V, E>, role: Role, shared: bool) {
    let delivery = caught(|| landed.share(role, shared)).unwrap_or_else(|payload| {
        let panic = describe(&payload);
        drop_quietly(payload);
        Err(Error::Panicked(panic))
    });
    // One message for a channel of one: never full. If the receiver was dropped, nothing is cancelled.
    if let Err(unwanted) = sender.send(delivery) {
        drop_quietly(unwanted);
    }
}

impl<V, E, L: Load> Flight<V, E, L> {
    /// Serves the receivers that follow this flight, on the leader's thread, after the blocked callers were woken.
    pub(super) fn settle_spawned(&self) {
        while let Some(call) = self.pop_spawned() {
            let landed = self.landed().expect("settled after it was published");
            // Boarding again runs the user's `Hash`, `Eq` and `Clone`: a panic there is that call's alone.
            quietly(|| call.settle(landed));
        }
    }
}

impl<K, V, E, S, F> Task for LeadTask<K, V, E, S, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    F: FnOnce() -> Result<V, E> + Send + 'static,
{
    fn run(self: Box<Self>) {
        let Self { call: Call { engine, key, work, sender, origin, .. }, id, flight, report } = *self;
        engine.lead_here(id, &flight);
        if let Err(payload) = caught(|| engine.tell_ref(id.number, &key, EventKind::Led)) {
            // The observer's panic is this call's alone: the closure has not run, and the others board again.
            let panicked = engine.panicked(&payload);
            drop_quietly(payload);
            engine.abandon(id);
            let _ = sender.send(Err(panicked));
            drop_quietly(work);
            return drop_quietly((report, key, origin, flight, engine));
        }
        let (watched, payload) = engine.run_watched(&key, id, report, work);
        drop_quietly(payload);
        land_own(&flight, &sender);
        drop_quietly((watched, key, origin, flight, engine));
    }

    fn abandon(self: Box<Self>) {
        let Self { call: Call { engine, key, work, sender, origin, .. }, id, flight, report } = *self;
        engine.abandon(id);
        land_own(&flight, &sender);
        drop_quietly(work);
        drop_quietly((report, key, origin, flight, engine));
    }
}

/// The leading call's own receiver.
fn land_own<V: Clone, E: Clone>(flight: &Flight<V, E>, sender: &Sender<Delivery<V, E>>) {
    let landed = flight.landed().expect("just landed");
    deliver(sender, landed, Role::Leader, flight.followers() > 0);
}

impl<K, V, E, S> Engine<K, V, E, S> {
    /// The job has been started: from now on its flight's followers wait for the calling thread.
    fn lead_here(&self, id: FlightId, flight: &Flight<V, E>) {
        let me = runner();
        flight.node.set_leader(me);
        let mut state = self.shard(id.hash).lock();
        if let Some(slot) = state.table.find_mut(id.hash, |slot| slot.id == id.number) {
            slot.leader = me;
            self.renew_node(slot);
        }
    }
}
