//! Calls that do not block: their closure is boxed, their outcome goes into a channel, and whoever leads does so
//! on a thread of the group's executor.

use crate::engine::Engine;
use crate::engine::board::{Boarded, Boarder, Flying};
use crate::engine::config::Rule;
use crate::engine::flight::{Flight, Landed, Outcome};
use crate::engine::panics::{caught, describe, drop_quietly};
use crate::engine::wait_for::thread_number;
use crate::error::Error;
use crate::landing::{Landing, Role};
use crate::observer::EventKind;
use crate::report::{FlightReport, Origin};
use crate::sync::{Arc, Instant, per_thread, spawn_named};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

/// What a spawned call sends.
pub(crate) type Delivery<V, E> = Result<Landing<V>, Error<E>>;

/// A spawned call that waits for a flight, or for its turn to lead one.
pub(crate) trait Passenger<V, E>: Send {
    /// It leads: the closure goes to the executor.
    fn fly(self: Box<Self>, flying: Flying, flight: Arc<Flight<V, E>>) -> Dispatch;
    /// The flight has landed.
    fn settle(self: Box<Self>, landed: &Landed<V, E>);
}

/// The work of one flight, for an executor to run.
///
/// Handed to the closure given to [`GroupBuilder::executor`](crate::GroupBuilder::executor): run it on any thread,
/// now or later. Dropping it unrun abandons the flight: its receivers get
/// [`Error::Abandoned`], and every caller that still has a closure boards again.
///
/// ```
/// use flight_group::{Group, Job};
///
/// let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
/// let worker = std::thread::spawn(move || queue.into_iter().for_each(Job::run));
///
/// let group: Group<u32, u32> = Group::builder().executor(move |job| drop(jobs.send(job))).build();
/// let receiver = group.call(&6).spawn(|| Ok(36));
/// assert_eq!(receiver.recv().unwrap().unwrap().value, 36);
///
/// drop(group);          // and with it the executor and the queue's only sender
/// worker.join().unwrap();
/// ```
#[must_use = "a job that is dropped abandons its flight"]
pub struct Job(Option<Box<dyn Task>>);

trait Task: Send {
    fn run(self: Box<Self>);
    fn abandon(self: Box<Self>);
}

impl Job {
    /// Runs the flight's closure on the calling thread and delivers its outcome.
    ///
    /// Blocks for as long as the closure runs. Does not panic if the closure does: the panic is caught, the hook
    /// has reported it, and the receivers get [`Error::Panicked`]. A pool's worker is
    /// none the worse for it.
    pub fn run(mut self) {
        if let Some(task) = self.0.take() {
            task.run();
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abandon();
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

/// A job on its way to its group's executor.
pub(crate) struct Dispatch {
    job: Job,
    hand_over: Box<dyn FnOnce(Job) + Send>,
}

impl Dispatch {
    /// Hands the job over, outside every lock.
    ///
    /// An executor that runs (or drops) the job here and now makes the flight land here and now, and that may
    /// bring up the next job: the innermost call only queues it, and the outermost hands it over when it gets its
    /// thread back. However long the chain, the stack stays as deep as one job.
    pub(crate) fn dispatch(self) {
        per_thread! {
            static PENDING: RefCell<Option<VecDeque<Dispatch>>> = RefCell::new(None);
        }
        let first = PENDING.with(|pending| match &mut *pending.borrow_mut() {
            Some(queue) => {
                queue.push_back(self);
                None
            }
            idle => {
                *idle = Some(VecDeque::new());
                Some(self)
            }
        });
        let mut next = first;
        while let Some(Dispatch { job, hand_over }) = next {
            // A panicking executor drops the job while it unwinds, which abandons the flight and tells its
            // receivers; the call that happened to hand the job over is often somebody else's and goes on.
            if let Err(payload) = caught(move || hand_over(job)) {
                drop_quietly(payload);
            }
            next = PENDING.with(|pending| {
                let mut pending = pending.borrow_mut();
                let next = pending.as_mut().and_then(VecDeque::pop_front);
                if next.is_none() {
                    *pending = None;
                }
                next
            });
        }
    }
}

/// Without an executor every spawned flight has a thread of its own, named after the group.
fn on_a_new_thread(name: Option<&str>, job: Job) {
    // std panics at a thread's name with a NUL in it; a group's may have one.
    let name = format!("flight {}", name.unwrap_or("(unnamed group)")).replace('\0', " ");
    // If the system has no thread to give, the job comes back in nothing: dropped, it abandons its flight.
    let _ = spawn_named(name, move || job.run());
}

struct Call<K, V, E, S, F> {
    engine: Arc<Engine<K, V, E, S>>,
    key: K,
    hash: u64,
    rule: Rule,
    work: F,
    sender: Sender<Delivery<V, E>>,
    origin: Origin,
}

struct Takeoff<K, V, E, S, F> {
    call: Call<K, V, E, S, F>,
    flying: Flying,
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
    pub(crate) fn spawn<F>(self: &Arc<Self>, key: K, rule: Rule, work: F) -> Receiver<Delivery<V, E>>
    where
        F: FnOnce() -> Result<V, E> + Send + 'static,
    {
        let (sender, receiver) = bounded(1);
        let (hash, origin) = (self.hash(&key), self.config.reports.origin());
        self.board_spawned(Box::new(Call { engine: self.clone(), key, hash, rule, work, sender, origin }));
        receiver
    }

    fn board_spawned<F>(&self, call: Box<Call<K, V, E, S, F>>)
    where
        F: FnOnce() -> Result<V, E> + Send + 'static,
    {
        let (hash, key, rule, sender) = (call.hash, call.key.clone(), call.rule, call.sender.clone());
        let mut boarder = Boarder::spawned(call);
        loop {
            let mut boarded = self.board(hash, &key, rule, &mut boarder);
            if let Some(expired) = boarder.expired.take() {
                self.tell_expired(expired, &key, &mut boarded);
            }
            match boarded {
                Boarded::Fly(flying, flight, passenger) => return passenger.fly(flying, flight).dispatch(),
                Boarded::Aboard => return self.config.reports.count(&EventKind::Joined),
                Boarded::Expired(_) => {}
                Boarded::Full(id) => {
                    self.rare.overloaded.add(1);
                    drop_quietly(boarder.passenger.take());
                    let _ = sender.send(Err(Error::overloaded()));
                    return self.tell(id, || key.clone(), EventKind::Overloaded);
                }
                Boarded::Lead(_) | Boarded::Follow(..) | Boarded::NoTime(_) => {
                    unreachable!("a passenger neither blocks nor runs out of time")
                }
            }
        }
    }
}

impl<K, V, E, S, F> Passenger<V, E> for Call<K, V, E, S, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    F: FnOnce() -> Result<V, E> + Send + 'static,
{
    fn fly(self: Box<Self>, flying: Flying, flight: Arc<Flight<V, E>>) -> Dispatch {
        // Often on a thread whose own flight has just landed, and whose followers are yet to be woken.
        let report = caught(|| self.engine.report_flight(flying.id, &self.key, Some(&self.origin)));
        let report = report.unwrap_or_else(|payload| {
            drop_quietly(payload);
            FlightReport::none()
        });
        let executor = self.engine.config.executor.clone();
        let name = self.engine.config.name.clone();
        Dispatch {
            job: Job(Some(Box::new(Takeoff { call: *self, flying, flight, report }))),
            hand_over: Box::new(move |job| match executor {
                Some(executor) => executor(job),
                None => on_a_new_thread(name.as_deref(), job),
            }),
        }
    }

    fn settle(self: Box<Self>, landed: &Landed<V, E>) {
        let engine = self.engine.clone();
        if landed.outcome.is_worth_another_try(engine.config.share_failures) {
            return engine.board_spawned(self);
        }
        let Call { key, work, sender, rule, origin, .. } = *self;
        drop_quietly(work); // superseded, or never needed
        drop_quietly((key, origin));
        deliver(&sender, landed, Role::Follower, true);
        if rule == Rule::Queue {
            engine.config.reports.count(&EventKind::Superseded); // whoever is aboard without leading, was queued
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
    // One message for a channel of one: never full. Nobody there: the receiver was dropped, which cancels nothing.
    if let Err(unwanted) = sender.send(delivery) {
        drop_quietly(unwanted);
    }
}

impl<V, E> Flight<V, E> {
    /// Serves the receivers that follow this flight, on the leader's thread, after the blocked were woken.
    pub(super) fn serve_passengers(&self) {
        for (_, passenger) in self.take_passengers() {
            let landed = self.landed().expect("served after it was published");
            // Boarding again runs the user's `Hash`, `Eq` and `Clone`: a panic there is that call's alone.
            if let Err(payload) = caught(|| passenger.settle(landed)) {
                drop_quietly(payload);
            }
        }
    }
}

impl<K, V, E, S, F> Task for Takeoff<K, V, E, S, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
    F: FnOnce() -> Result<V, E> + Send + 'static,
{
    fn run(self: Box<Self>) {
        let Takeoff { call: Call { engine, key, work, sender, origin, .. }, flying, flight, report } = *self;
        engine.boarding_complete(flying, &flight);
        if let Err(payload) = caught(|| engine.tell_ref(flying.id, &key, EventKind::Led)) {
            // The observer's panic is this call's alone: the closure has not run, and the others board again.
            let panic = describe(&payload);
            drop_quietly(payload);
            engine.abandon(flying);
            let _ = sender.send(Err(Error::Panicked(panic)));
            drop_quietly(work);
            return drop_quietly((report, key, origin, flight, engine));
        }
        let began = Instant::now();
        let result = caught(|| {
            let _inside = report.enter();
            work()
        });
        let outcome = match result {
            Ok(Ok(value)) => Outcome::Value(value),
            Ok(Err(error)) => Outcome::Failed(error),
            Err(payload) => {
                let panic = describe(&payload);
                drop_quietly(payload);
                Outcome::Panicked(panic)
            }
        };
        let watched = engine.land_watched(flying, &key, outcome, began.elapsed(), report);
        land_own(&flight, &sender);
        drop_quietly((watched, key, origin, flight, engine));
    }

    fn abandon(self: Box<Self>) {
        let Takeoff { call: Call { engine, key, work, sender, origin, .. }, flying, flight, report } = *self;
        engine.abandon(flying);
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
    /// The job has been started: from now on its flight's waiters wait for the calling thread.
    fn boarding_complete(&self, flying: Flying, flight: &Flight<V, E>) {
        let me = thread_number();
        flight.head.set_leader(me);
        let mut flights = self.shard(flying.hash).lock();
        if let Some(slot) = flights.by_id(flying.hash, flying.id) {
            slot.set_leader(me);
            if let Some(next) = &slot.next {
                next.head.set_leader(me);
            }
        }
    }
}
