//! The face.

use crate::engine::key::InArc;
use crate::engine::options::WaitOptions;
use crate::engine::table::Slot;
use crate::error::Error;
use crate::event_group::events::Events;
use crate::event_group::shared::Handle;
use crate::event_group::stats::EventStats;
use crate::landing::Landing;
use crate::stats::FlightInfo;
use crate::sync::Arc;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// Events with a payload: merged per key as they arrive, and pushed one run at a time. No event is dropped for a newer one,
/// and a burst costs far fewer pushes than it has events.
///
/// A [`WriteGroup`](crate::WriteGroup) runs the newest caller's closure and drops the others. An `EventGroup` has two
/// closures of its own, `merge` and `push`, and its callers bring events. At most one run per key is in the air. Events that
/// arrive meanwhile are merged in the order of their arrival, and wait for the next run. Each caller gets the outcome of the
/// run that carried its event.
///
/// * [`push`](Self::push) blocks until the run that carries the event has landed. The run is done by one of its own
///   callers. When it lands, exactly one caller of the next run is woken to lead.
/// * [`submit`](Self::submit) returns at once. A few [`workers`](crate::EventGroupBuilder::workers) do the runs that no caller is
///   blocked on. A failure goes to [`on_failure`](crate::EventGroupBuilder::on_failure).
/// * [`flush`](Self::flush) returns when every event that had arrived is done. So does dropping the last handle.
///
/// `merge` must be associative: see [`new`](Self::new).
///
/// # Handles
///
/// Cloning makes another handle to the same group. Outcomes are cloned for each caller: use `Arc<V>` and `Arc<E>` if a clone
/// is costly.
///
/// The group's own closures must not own a handle: the group would then never end. A handle in a `static` is never dropped:
/// call [`flush`](Self::flush) before `main` returns and before `std::process::exit`, or the events that still wait are
/// lost with the process.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
/// use flight_group::EventGroup;
///
/// let stock = Arc::new(Mutex::new(BTreeMap::new()));     // what the far side knows
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
///         // Returns when a push that carries this change is done.
///         s.spawn(|| changes.push("bolts", 2).unwrap());
///     }
/// });
/// changes.submit("nuts", 7).unwrap();
/// drop(changes);                                         // returns when all is pushed
///
/// let all = BTreeMap::from([("bolts".to_owned(), 200), ("nuts".to_owned(), 7)]);
/// assert_eq!(*stock.lock().unwrap(), all);
/// ```
///
/// # When a run starts
///
/// By default at once, or as soon as the key's running one has landed. [`min_interval`] keeps the runs of a key apart,
/// [`quiet`] waits until a key's events pause, [`max_wait`] bounds that wait, and [`delay`](crate::EventCall::delay)
/// delays one event. All events of a key that wait are pushed together, when the first of them is due.
///
/// [`min_interval`]: crate::EventGroupBuilder::min_interval
/// [`quiet`]: crate::EventGroupBuilder::quiet
/// [`max_wait`]: crate::EventGroupBuilder::max_wait
///
/// # Merging
///
/// Submitted events are merged soon after they arrive, on a thread that submits, while a run of the key may be in the air.
/// Neighbours are merged before the older event in front of them: so `merge` must be *associative*. To add, to append
/// and to take the newer are. A running mean is not: the mean of 1 and the mean of 3 and 5 is not the mean of the mean of
/// 1 and 3 and of 5. Carry sum and count, and divide in `push`. `K::eq`, and the `to_owned` of a new key, run under the
/// lock of the key's shard; `merge`, `push` and all other code of yours runs under none.
///
/// # Failures
///
/// An error of `push`, or a panic in `merge` or `push`, fails the events of that run and no others. Each blocked caller of
/// the run gets the error. The events are gone, and are never put into a newer run. To try again, push again.
///
/// # Panics
///
/// The leader's panic goes on unwinding in the leader, as for [`WriteGroup`](crate::WriteGroup). The run's other callers get
/// [`Error::Panicked`]. A panic on a worker, under [`flush`](Self::flush), or in a `merge` under [`submit`](Self::submit)
/// ends there: the run's callers and [`on_failure`](crate::EventGroupBuilder::on_failure) get it as an error.
///
/// # Where it comes from
///
/// One running, one pending, delays and the drain are those of client-go's work queue and delaying queue. An `EventGroup`
/// adds a payload, and an outcome for every `push`. The timing is that of lodash's `throttle` and `debounce` and of
/// `p-debounce`, per key.
#[doc(alias = "debounce")]
#[doc(alias = "throttle")]
pub struct EventGroup<K, T, V = (), E = Infallible> {
    pub(super) handle: Arc<Handle<K, T, V, E>>,
}

impl<K, T, V, E> EventGroup<K, T, V, E>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Pushes `event`, alone or merged with others of its key, and returns the outcome of the run that carried it.
    ///
    /// Blocks until the key's running push has ended, then as long as the group's timing says, and then until the run with
    /// this event has landed. For a deadline or a cancel token use [`call`](Self::call). Returns early only with
    /// [`Error::Deadlock`] or [`Error::Closed`]. It is never overloaded, because
    /// [`capacity`](crate::EventGroupBuilder::capacity) does not count blocked callers.
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
    /// * [`Error::Closed`]: the group was [closed](Self::close) before a run began to carry the event.
    ///
    /// # Panics
    ///
    /// If this call leads and `merge` or `push` panics, with its own payload. If `V::clone` or `E::clone` panics, in the
    /// one caller whose copy it is.
    pub fn push<Q>(&self, key: &Q, event: T) -> Result<Landing<V>, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.handle.shared.push_event(key, event, Duration::ZERO, WaitOptions::default())
    }

    /// Accepts `event` for the key's next run, and does not wait for the run.
    ///
    /// The run is done by a worker, or by a caller that is blocked in [`push`](Self::push) for the same key. If it fails,
    /// [`on_failure`](crate::EventGroupBuilder::on_failure) is called. An accepted event is always carried by a run, at the latest
    /// when the last handle is dropped. It may be merged here with events that wait already: then this call lasts as long
    /// as a few calls of `merge`.
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
    /// .workers(1)
    /// .capacity(2)
    /// .build();
    ///
    /// log.submit(&"app", "a".to_owned()).unwrap();
    /// assert_eq!(starts.recv().unwrap(), "a");         // in the air, and stays there
    /// log.submit(&"app", "b".to_owned()).unwrap();
    /// log.submit(&"web", "x".to_owned()).unwrap();
    /// log.submit(&"app", "c".to_owned()).unwrap();     // merged with "b": it takes no more room
    /// let refused = log.submit(&"job", "y".to_owned());
    ///
    /// drop(go);                                        // the far side recovers
    /// assert_eq!(refused, Err(Error::overloaded()));
    /// assert_eq!(starts.recv().unwrap(), "x");
    /// assert_eq!(starts.recv().unwrap(), "bc");        // in the order of arrival, in one run
    /// ```
    ///
    /// # Errors
    ///
    /// The event was not accepted, and is dropped:
    ///
    /// * [`Error::Overloaded`]: as much already waits as [`capacity`](crate::EventGroupBuilder::capacity) allows. `push` would
    ///   block instead. An event that alone [weighs](crate::EventGroupBuilder::weigh) more than the capacity is always
    ///   refused, also when nothing waits.
    /// * [`Error::Closed`]: the group was [closed](Self::close).
    /// * [`Error::Abandoned`]: there is no worker, and the system has no thread to give.
    pub fn submit<Q>(&self, key: &Q, event: T) -> Result<(), Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.handle.shared.submit_event(key, event, Duration::ZERO)
    }

    /// Pushes every event that had arrived when it was called, and returns when all are done, with or without success, and
    /// [`on_failure`](crate::EventGroupBuilder::on_failure) has been told of those that failed.
    ///
    /// Events that wait for a delay, a quiet period or the interval do not wait for it any longer. The calling thread does
    /// the runs that no other thread is about to do. Events that arrive meanwhile are not waited for, unless they get into
    /// the same run.
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
    /// [`Error::Deadlock`]: a run of the group, or a call of `on_failure`, waits, perhaps through others, for this thread. For
    /// instance, `merge` or `push` called it. That run, and what waits behind it, was not waited for. Everything else was.
    pub fn flush(&self) -> Result<(), Error<E>> {
        self.handle.shared.flush_all()
    }

    /// Ends the group in good time: takes no more events, waits until `deadline` for those it has, and gives back what no
    /// run has begun to carry by then, merged, for each key.
    ///
    /// For a shutdown that must not hang on a far side that does not answer: what comes back can be written down, and
    /// submitted at the next start. Blocks until everything is done and `on_failure` has been told of what failed, or until
    /// `deadline`; and beyond it as long as another thread's `submit` is in `merge`. What waits for a delay, a
    /// quiet period or the interval does not wait for it any longer. The runs are done by workers and by blocked
    /// callers, never by the calling thread.
    ///
    /// From now on `submit` and `push` return [`Error::Closed`], on every handle. So do the callers that are still
    /// blocked at the deadline, unless a run carries their event. Their events are dropped, and nothing of them is given
    /// back here.
    ///
    /// Other threads may submit until the end: every event that a `submit` has accepted is carried by a run, or given back.
    /// There is one exception. If a `merge` waits, perhaps through others, for the thread that closes, what it merges is
    /// told to [`on_failure`](crate::EventGroupBuilder::on_failure) with [`Error::Closed`].
    ///
    /// A run that is in the air at the deadline goes on, and what it carries is not given back; if it fails, `on_failure` is
    /// told, as ever. Dropping the last handle waits for nothing any more. A second call waits again, and gives back
    /// nothing: [`in_flight`](Self::in_flight) says whether it has waited long enough. With a deadline that has passed,
    /// nothing waits, and what is not due is given back without a run.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use flight_group::{Error, EventGroup};
    ///
    /// let (started, starts) = crossbeam_channel::bounded(1);
    /// let (_never, answer) = crossbeam_channel::bounded::<()>(0);
    /// let sums: EventGroup<&str, u32> = EventGroup::new(
    ///     |sum, n| *sum += n,
    ///     move |_, sum| {
    ///         started.send(sum).unwrap();
    ///         let _ = answer.recv();                       // the far side does not answer
    ///         Ok(())
    ///     },
    /// );
    /// sums.submit(&"a", 1).unwrap();
    /// assert_eq!(starts.recv(), Ok(1));                    // in the air, and stuck there
    /// sums.submit(&"a", 2).unwrap();
    /// sums.submit(&"a", 3).unwrap();
    ///
    /// let left = sums.close(Instant::now() + Duration::from_millis(10));
    /// assert_eq!(left, [("a", 5)]);
    /// assert_eq!(sums.submit(&"a", 4), Err(Error::closed()));
    /// drop(sums);                                          // returns at once, too
    /// ```
    ///
    /// # Panics
    ///
    /// If `K::clone` panics. A panic of `merge` ends here: it is told to `on_failure`, and that key's events are lost.
    pub fn close(&self, deadline: Instant) -> Vec<(K, T)>
    where
        K: Clone,
    {
        let back = self.handle.shared.close_by(deadline);
        back.into_iter().map(|(key, event)| (K::clone(&key), event)).collect()
    }

    /// Takes back what waits of the key's submitted events, merged; `None` if nothing does.
    ///
    /// They will not be pushed by this group. The events of blocked callers stay: those are their callers' own. So does
    /// what a run carries already. Blocks only while another thread merges events of this key.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::EventGroup;
    ///
    /// let mails: EventGroup<&str, Vec<&str>> =
    ///     EventGroup::new(|all: &mut Vec<_>, more| all.extend(more), |_, _| Ok(()));
    /// let later = mails.call(&"ann").delay(Duration::from_secs(60));
    /// later.submit(vec!["welcome"]).unwrap();
    /// later.submit(vec!["news"]).unwrap();
    ///
    /// assert_eq!(mails.withdraw(&"ann"), Some(vec!["welcome", "news"]));      // she has left
    /// assert_eq!(mails.withdraw(&"ann"), None);
    /// ```
    ///
    /// # Panics
    ///
    /// If `merge` panics, with its own payload. The events are lost.
    pub fn withdraw<Q>(&self, key: &Q) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.handle.shared.withdraw(key).unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    }

    /// How many callers are blocked on the key now, counted from the moment they are registered, so that a test can
    /// wait for them. The leader of the run in the air is not one of them; who waits to lead the next is.
    pub fn followers<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.handle.shared.engine.followers(&InArc(key))
    }

    /// How many events of the key wait: accepted, and not yet carried by a run.
    pub fn waiting<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.handle.shared.engine.look_at(&InArc(key), events_of).unwrap_or(0)
    }
}

/// How many events wait for a key.
fn events_of<K, T, V, E>(slot: &Slot<Arc<K>, V, E, Events<T>>) -> usize {
    slot.waiting().map(|flight| flight.with_load(|load| load.count())).sum()
}

impl<K, T, V, E> EventGroup<K, T, V, E> {
    /// How many keys have a run in the air.
    pub fn in_flight(&self) -> usize {
        self.handle.shared.engine.in_flight()
    }

    /// How many keys have events that wait: accepted, and not yet carried by a run. Each key is looked at in turn.
    pub fn waiting_keys(&self) -> usize {
        self.handle.shared.engine.sum(|slot| usize::from(events_of(slot) > 0))
    }

    /// How many events wait, of all keys together, counted as they came and not as they were merged. Each key is looked
    /// at in turn.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::EventGroup;
    ///
    /// let sums: EventGroup<&str, u32> = EventGroup::new(|sum, n| *sum += n, |_, _| Ok(()));
    /// for key in ["a", "b", "b"] {
    ///     sums.call(&key).delay(Duration::from_secs(60)).submit(1).unwrap();
    /// }
    /// assert_eq!((sums.waiting_keys(), sums.waiting_events(), sums.waiting(&"b")), (2, 3, 2));
    /// ```
    pub fn waiting_events(&self) -> usize {
        self.handle.shared.engine.sum(events_of)
    }

    /// The runs in the air: what is stuck, since when, and how many callers wait for the key. See
    /// [`FlightInfo`]. Events that wait and have no run yet are not among them.
    ///
    /// ```
    /// use flight_group::EventGroup;
    ///
    /// let (started, starts) = crossbeam_channel::bounded(0);
    /// let (go, gate) = crossbeam_channel::bounded::<()>(0);
    /// let sums: EventGroup<&str, u32> = EventGroup::new(
    ///     |sum, n| *sum += n,
    ///     move |_, _| {
    ///         started.send(()).unwrap();
    ///         let _ = gate.recv();
    ///         Ok(())
    ///     },
    /// );
    /// sums.submit(&"a", 1).unwrap();
    /// starts.recv().unwrap();
    /// let stuck = sums.flights();
    /// assert_eq!((stuck[0].key, stuck[0].followers, stuck[0].running), ("a", 0, true));
    /// drop(go);
    /// ```
    pub fn flights(&self) -> Vec<FlightInfo<K>>
    where
        K: Clone,
    {
        let flights = self.handle.shared.engine.flights();
        flights.into_iter().map(|flight| flight.map_key(|key| K::clone(&key))).collect()
    }

    /// What the group has done since it was made.
    pub fn stats(&self) -> EventStats {
        self.handle.shared.counts.read()
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
        let (keys, workers) = (shared.engine.keys(), shared.crew.alive());
        f.debug_struct("EventGroup")
            .field("name", &shared.engine.name())
            .field("keys", &keys)
            .field("workers", &workers)
            .finish_non_exhaustive()
    }
}

// A panic in a call leaves the group in order: user code runs under the lock only before anything is changed, and
// a run that panics is landed with the panic.
impl<K, T, V, E> UnwindSafe for EventGroup<K, T, V, E> {}
impl<K, T, V, E> RefUnwindSafe for EventGroup<K, T, V, E> {}
