//! Events with a payload: merged per key, pushed one run at a time.

mod board;
mod builder;
mod call;
mod clock;
mod crew;
mod flush;
mod run;
mod slots;
mod stats;
#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod timed_tests;

pub use builder::EventGroupBuilder;
pub use call::{EventCall, TimedEventCall};
pub use stats::EventStats;

use crate::engine::Patience;
use crate::error::Error;
use crate::landing::Landing;
use crate::sync::{Arc, Mutex};
use builder::Config;
use clock::Clock;
use slots::State;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

/// What a key must be: workers keep it, and share it with the run in the air.
pub(crate) trait Key: Hash + Eq + Send + Sync + 'static {}
impl<K: Hash + Eq + Send + Sync + 'static> Key for K {}

/// What an event must be: it goes to whichever thread leads.
pub(crate) trait Own: Send + 'static {}
impl<T: Send + 'static> Own for T {}

/// What an outcome must be: it is shared out.
pub(crate) trait Told: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> Told for V {}

/// Merges the events that queue up for a key and pushes each merged one, one run at a time: nobody's event is
/// dropped for a newer one, and a burst costs far fewer pushes than it has events.
///
/// Where a [`WriteGroup`](crate::WriteGroup) runs the newest caller's closure and drops the others, an `EventGroup`
/// has two closures of its own, `merge` and `push`, and its callers bring events. At most one run per key is in the
/// air. The events that arrive meanwhile wait for the next one: it takes all of them, merges them in the order of
/// their arrival, pushes the result, and everybody whose event it carried gets its outcome, and nobody else's.
///
/// * [`push`](Self::push) blocks until the run that carries the event has landed. The run is done by one of its own
///   callers; when it lands, exactly one caller of the next is woken to lead.
/// * [`submit`](Self::submit) returns at once. A few [`workers`](EventGroupBuilder::workers) run the batches that
///   nobody is blocked on; a failure goes to [`on_failure`](EventGroupBuilder::on_failure).
/// * [`flush`](Self::flush) returns when every event that had arrived is done, and so does dropping the last handle.
///
/// Cloning makes another handle to the same group. Outcomes are cloned for each caller: use `Arc<V>`, `Arc<E>` for
/// what is costly to clone. A handle must not be kept inside the group's own closures, where it would keep the
/// group alive for ever; nor does one in a `static` ever end: call [`flush`](Self::flush) before `main` returns or
/// `std::process::exit` is called, or what was submitted and not yet pushed is lost with the process.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
/// use flight_group::EventGroup;
///
/// let stock = Arc::new(Mutex::new(BTreeMap::new()));     // what the far side has been told
/// let told = stock.clone();
///
/// // Changes of stock, added up per article, and sent as one.
/// let changes: EventGroup<String, i64, i64> = EventGroup::new(
///     |sum, change| *sum += change,
///     move |article: &String, sum| {
///         let mut stock = told.lock().unwrap();
///         let now = stock.entry(article.clone()).or_insert(0);
///         *now += sum;
///         Ok(*now)
///     },
/// );
///
/// std::thread::scope(|s| {
///     for _ in 0..100 {
///         // Each returns when a push that includes its own change is done.
///         s.spawn(|| changes.push("bolts", 2).unwrap());
///     }
/// });
/// changes.submit("nuts", 7).unwrap();
/// drop(changes);                                         // what was submitted is done before this returns
///
/// assert_eq!(*stock.lock().unwrap(), BTreeMap::from([("bolts".to_owned(), 200), ("nuts".to_owned(), 7)]));
/// ```
///
/// # When a run starts
///
/// By default at once, or as soon as the key's running one has landed. [`min_interval`] keeps the runs of a key
/// apart, [`quiet`] waits until a key's events pause, [`max_wait`] bounds that wait, and
/// [`delay`](EventCall::delay) asks for one event to be pushed later. A key has one batch that waits and one moment
/// at which it starts, so that an event with a delay and an event at once are pushed once, together, at once.
///
/// [`min_interval`]: EventGroupBuilder::min_interval
/// [`quiet`]: EventGroupBuilder::quiet
/// [`max_wait`]: EventGroupBuilder::max_wait
///
/// # Failures
///
/// An error of `push`, or a panic in `merge` or `push`, fails the events of that run and no others: each blocked
/// caller of it is told, the events are gone, and they are never put into a newer run. Whoever wants to try again
/// pushes again.
///
/// # Panics
///
/// The leader's panic goes on unwinding in the leader, as for [`WriteGroup`](crate::WriteGroup); the run's other
/// callers get [`Error::Panicked`]. A panic on a worker, or under [`flush`](Self::flush), ends there: it is told to
/// the run's callers and to [`on_failure`](EventGroupBuilder::on_failure).
///
/// # Where it comes from
///
/// One running, one pending, the delayed ones and the drain are the promises of client-go's work queue and delaying
/// queue, with a payload and an outcome for everybody who pushes; the timing is that of lodash's `throttle` and
/// `debounce` and of `p-debounce`, per key.
pub struct EventGroup<K, T, V = (), E = Infallible> {
    handle: Arc<Handle<K, T, V, E>>,
}

/// What the handles share; its drop is the group's end. The workers hold `Shared`, and so do not keep it alive.
struct Handle<K, T, V, E> {
    shared: Arc<Shared<K, T, V, E>>,
    /// `Shared::close`, from where its bounds are known.
    close: Close<K, T, V, E>,
}

type Close<K, T, V, E> = fn(&Arc<Shared<K, T, V, E>>);

impl<K, T, V, E> Drop for Handle<K, T, V, E> {
    fn drop(&mut self) {
        (self.close)(&self.shared);
    }
}

type Merge<T> = Box<dyn Fn(&mut T, T) + Send + Sync>;
type Push<K, T, V, E> = Box<dyn Fn(&K, T) -> Result<V, E> + Send + Sync>;
type OnFailure<K, E> = Box<dyn Fn(&K, &Error<E>) + Send + Sync>;

struct Shared<K, T, V, E> {
    state: Mutex<State<K, T, V, E>>,
    hasher: RandomState,
    merge: Merge<T>,
    push: Push<K, T, V, E>,
    on_failure: Option<OnFailure<K, E>>,
    config: Config<K>,
    clock: Box<dyn Clock>,
}

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }
}

impl<K, T, V, E> EventGroup<K, T, V, E>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// A group with default settings. It starts no thread before the first [`submit`](Self::submit).
    ///
    /// `merge` puts a newer event into what came before it; `push` delivers the result. Both run on the thread of
    /// whoever leads, with no lock held, and never twice at once for a key.
    pub fn new(
        merge: impl Fn(&mut T, T) + Send + Sync + 'static,
        push: impl Fn(&K, T) -> Result<V, E> + Send + Sync + 'static,
    ) -> Self {
        Self::builder(merge, push).build()
    }

    /// A group with settings: see [`EventGroupBuilder`].
    pub fn builder(
        merge: impl Fn(&mut T, T) + Send + Sync + 'static,
        push: impl Fn(&K, T) -> Result<V, E> + Send + Sync + 'static,
    ) -> EventGroupBuilder<K, T, V, E> {
        EventGroupBuilder::new(Box::new(merge), Box::new(push))
    }

    /// Pushes `event`, alone or merged with others of its key, and returns the outcome of the run that carried it.
    ///
    /// Blocks while another run of the key lasts and while the group's timing says so, and then until the run with
    /// this event has landed; [`call`](Self::call) has the deadlines. Returns early only with [`Error::Deadlock`].
    /// It is never refused: a blocked caller holds one event, on its own account.
    ///
    /// ```
    /// use flight_group::{Error, EventGroup, Role};
    ///
    /// let sums: EventGroup<&str, u64, u64, &str> = EventGroup::new(
    ///     |sum, n| *sum += n,
    ///     |account, sum| match *account {
    ///         "closed" => Err("no such account"),
    ///         "cursed" => panic!("cursed"),
    ///         _ => Ok(sum),
    ///     },
    /// );
    ///
    /// let landing = sums.push(&"savings", 5).unwrap();
    /// assert_eq!((landing.value, landing.role), (5, Role::Leader));
    /// assert!(!landing.shared());                   // the run carried this event and no other
    ///
    /// assert_eq!(sums.push(&"closed", 5), Err(Error::Work("no such account")));
    ///
    /// let unwound = std::panic::catch_unwind(|| sums.push(&"cursed", 5)).unwrap_err();
    /// assert_eq!(unwound.downcast_ref(), Some(&"cursed"));
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Error::Work`]: the run that carried the event returned an error.
    /// * [`Error::Panicked`]: it panicked, on another thread.
    /// * [`Error::Deadlock`]: the run in the air waits, perhaps through others, for this thread: a `push` that pushes
    ///   to its own key. The event is withdrawn.
    ///
    /// # Panics
    ///
    /// If this call leads and `merge` or `push` panics, with its own payload. If `V::clone` or `E::clone` panics, in
    /// the one caller it was made for.
    pub fn push<Q>(&self, key: &Q, event: T) -> Result<Landing<V>, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.handle.shared.push_event(key, event, Duration::ZERO, Patience::default())
    }

    /// Accepts `event` for the key's next run and returns at once.
    ///
    /// The run is done by a worker, or by a caller that is blocked in [`push`](Self::push) for the same key. If it
    /// fails, [`on_failure`](EventGroupBuilder::on_failure) is told. An event that was accepted is always carried by
    /// a run, at the latest when the last handle is dropped.
    ///
    /// ```
    /// use flight_group::{Error, EventGroup};
    ///
    /// let (started, starts) = crossbeam_channel::bounded(0);
    /// let (go, gate) = crossbeam_channel::bounded::<()>(0);
    /// let log: EventGroup<&str, String> = EventGroup::builder(
    ///     |lines: &mut String, line: String| lines.push_str(&line),
    ///     move |_, lines: String| {
    ///         let _ = started.send(lines);
    ///         let _ = gate.recv();
    ///         Ok(())
    ///     },
    /// )
    /// .capacity(2)
    /// .build();
    ///
    /// log.submit(&"app", "a".to_owned()).unwrap();
    /// assert_eq!(starts.recv().unwrap(), "a");         // in the air, and stays there
    /// log.submit(&"app", "b".to_owned()).unwrap();
    /// log.submit(&"app", "c".to_owned()).unwrap();
    /// assert_eq!(log.submit(&"app", "d".to_owned()), Err(Error::overloaded()));
    ///
    /// drop(go);                                        // the far side recovers
    /// assert_eq!(starts.recv().unwrap(), "bc");        // in the order of arrival, in one run
    /// ```
    ///
    /// # Errors
    ///
    /// The event was not accepted, and is dropped:
    ///
    /// * [`Error::Overloaded`]: [`capacity`](EventGroupBuilder::capacity) submitted events already wait. `push` would
    ///   block instead.
    /// * [`Error::Abandoned`]: there is no worker, and the system has no thread to give.
    pub fn submit<Q>(&self, key: &Q, event: T) -> Result<(), Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.handle.shared.submit_event(key, event, Duration::ZERO)
    }

    /// A call with options: how long to wait, how long to hold the event back.
    ///
    /// Does nothing until [`push`](EventCall::push) or [`submit`](EventCall::submit).
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> EventCall<'a, K, T, V, E, Q> {
        EventCall { group: self, key, delay: Duration::ZERO }
    }

    /// Sees to every event that had arrived when it was called, and returns when all are done, well or not.
    ///
    /// What waits for a delay, a quiet period or the interval does not wait for it any longer. Runs that nobody else
    /// is about to do are done by the calling thread. Events that arrive meanwhile are not waited for, except those
    /// that get into a run with one that is.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::EventGroup;
    ///
    /// let (sent, mail) = crossbeam_channel::unbounded();
    /// let digest: EventGroup<&str, Vec<u32>> = EventGroup::new(
    ///     |all: &mut Vec<u32>, more| all.extend(more),
    ///     move |_, all| Ok(drop(sent.send(all))),
    /// );
    ///
    /// digest.call(&"ann").delay(Duration::from_secs(3600)).submit(vec![1]).unwrap();
    /// digest.call(&"ann").delay(Duration::from_secs(7200)).submit(vec![2]).unwrap();
    /// digest.flush().unwrap();
    /// assert_eq!(mail.try_recv().unwrap(), [1, 2]);
    /// assert!(mail.is_empty());
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Deadlock`]: called from within a run of the group (by `merge` or `push`, on its thread), or of
    /// another that waits for it. That run, and what waits behind it, was not waited for; all else was.
    pub fn flush(&self) -> Result<(), Error<E>> {
        self.handle.shared.flush_all()
    }

    /// How many callers are blocked on the key now, counted from the moment they are registered, so that a test can
    /// wait for them. The leader of the run in the air is not one of them; who waits to lead the next is.
    pub fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.handle.shared.look_at(key, |slot| slot.followers())
    }

    /// How many events of the key wait: accepted, and not yet carried by a run.
    pub fn waiting<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.handle.shared.look_at(key, |slot| slot.waiting())
    }
}

impl<K: Key, T: Own, V: Told, E: Told> Shared<K, T, V, E> {
    fn look_at<Q>(&self, key: &Q, number: impl FnOnce(&slots::Slot<K, T, V, E>) -> usize) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let state = self.state.lock();
        state.slots.find(hash, |slot| (*slot.key).borrow() == key).map_or(0, number)
    }
}

impl<K, T, V, E> EventGroup<K, T, V, E> {
    /// How many keys have a run in the air.
    pub fn in_flight(&self) -> usize {
        self.handle.shared.state.lock().slots.iter().filter(|slot| slot.air.is_some()).count()
    }

    /// What the group has done since it was made.
    pub fn stats(&self) -> EventStats {
        self.handle.shared.state.lock().stats
    }
}

impl<K, T, V, E> Clone for EventGroup<K, T, V, E> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<K, T, V, E> fmt::Debug for EventGroup<K, T, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.handle.shared;
        let (keys, workers) = {
            let state = shared.state.lock();
            (state.slots.len(), state.crew.alive)
        };
        f.debug_struct("EventGroup")
            .field("name", &shared.config.rules.name)
            .field("keys", &keys)
            .field("workers", &workers)
            .finish_non_exhaustive()
    }
}

// A panic in a call leaves the group in order: user code runs under the lock only before anything is changed, and
// a run that panics is landed with the panic.
impl<K, T, V, E> UnwindSafe for EventGroup<K, T, V, E> {}
impl<K, T, V, E> RefUnwindSafe for EventGroup<K, T, V, E> {}
