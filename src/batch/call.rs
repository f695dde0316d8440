//! One call: how long it may wait, and its way through the queue.

use super::outcome::{End, Outcome};
use super::queue::{Berth, Boarded, Left, Started, Ticket, Turn};
use super::{Batcher, Inner, wait_for};
use crate::engine::panics::{self, Payload};
use crate::error::{Deadlock, Error};
use crate::sync::atomic::Ordering;
use crate::sync::{self, Arc, Duration, Instant, current_thread};
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::slice;

/// How many sleepers each caller of a landed batch wakes: the leader two, and each of those two more. The leader
/// is not kept working for the others, and the last of `n` is woken after `log2(n)` wake-ups and not after `n`.
/// (Measured with 64 callers on 2 cores, until the last was back: 0.9 ms; with `notify_all` 1.6 ms; with all of
/// them woken by the leader 1.3 ms; with four for each as with two.)
const WAKES: usize = 2;

/// One call of a [`Batcher`], with options; from [`Batcher::call`].
#[must_use = "a call does nothing until it is loaded"]
pub struct BatchCall<'a, K, V, E, Q: ?Sized> {
    batcher: &'a Batcher<K, V, E>,
    key: &'a Q,
    deadline: Option<Instant>,
}

impl<'a, K, V, E, Q: ?Sized> BatchCall<'a, K, V, E, Q> {
    pub(super) fn new(batcher: &'a Batcher<K, V, E>, key: &'a Q) -> Self {
        Self { batcher, key, deadline: None }
    }

    /// Waits no longer than this for other callers' batches and for the window; then the call returns
    /// [`Error::TimedOut`]. The default, and [`Duration::MAX`]: for ever. [`Duration::ZERO`]: not at all, which
    /// only a call that finds the batcher idle survives.
    ///
    /// A batch that this call itself leads is never interrupted, and once it has been handed the lead it leads
    /// even if the deadline passes in that moment. A result that is there wins over the deadline. A key whose
    /// batch has not started is withdrawn, unless somebody else wants it too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = sync::after(timeout);
        self
    }

    /// The same as [`timeout`](Self::timeout), as a moment. Of several, the last one set counts.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

impl<K, V, E, Q> BatchCall<'_, K, V, E, Q>
where
    K: Hash + Eq + Borrow<Q>,
    V: Clone,
    E: Clone,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// Blocks until the batch with this key has landed, or until the deadline: see [`Batcher::load`] for what it
    /// returns, and when.
    ///
    /// # Errors
    ///
    /// Those of [`Batcher::load`], and [`Error::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`Batcher::load`].
    ///
    /// ```
    /// use flight_group::{Batcher, Error};
    /// use std::{collections::HashMap, convert::Infallible, thread, time::Duration};
    ///
    /// let (started, has_started) = crossbeam_channel::bounded(1);
    /// let (go_on, may_go_on) = crossbeam_channel::bounded::<()>(1);
    /// let slow = Batcher::new(move |keys: &[u32]| {
    ///     started.send(()).unwrap();
    ///     may_go_on.recv().unwrap();
    ///     Ok::<_, Infallible>(keys.iter().map(|&key| (key, key * 10)).collect::<HashMap<_, _>>())
    /// });
    ///
    /// thread::scope(|scope| {
    ///     let first = scope.spawn(|| slow.load(&1));
    ///     has_started.recv().unwrap();                      // 1's batch is running
    ///     let second = slow.call(&2).timeout(Duration::from_millis(1)).load();
    ///     assert_eq!(second, Err(Error::timed_out()));         // 2 is withdrawn: the function never sees it
    ///     go_on.send(()).unwrap();
    ///     assert_eq!(first.join().unwrap(), Ok(10));        // 1's batch was not disturbed
    /// });
    /// assert_eq!(slow.stats().batches, 1);
    /// ```
    pub fn load(self) -> Result<V, Error<E>> {
        let inner = &*self.batcher.inner;
        let key = self.key;
        let hash = inner.hasher.hash_one(key);
        let due = inner.settings.window.and_then(sync::after);
        let me = current_thread().id();

        // Declared before the lock is taken: what is left in it is dropped after the lock is released.
        let mut owned: Option<K> = None;
        let mut made_key = false;
        let mut queue = inner.queue.lock();
        let ticket = loop {
            if let Some(hop) = wait_for::would_wait_for_itself(queue.busy(), &me, inner.settings.name.as_ref()) {
                queue.stats.loads += u64::from(!made_key);
                queue.stats.deadlocks += 1;
                drop(queue);
                return Err(Error::Deadlock(Deadlock::new(vec![hop])));
            }
            let max_batch = inner.settings.max_batch;
            let boarded = queue.board(hash, |other| other.borrow() == key, &mut owned, max_batch, due, me);
            if !made_key {
                queue.stats.loads += 1;
            }
            match boarded {
                Boarded::Alone => {
                    drop(queue);
                    return inner.lead_alone(key, owned);
                }
                Boarded::Lead(batch) => {
                    drop(queue);
                    return inner.lead(batch, key);
                }
                Boarded::Queued(ticket, unused) => {
                    owned = unused;
                    break ticket;
                }
                Boarded::KeyNeeded => {
                    // `to_owned` is the user's, and may take its time: not under the lock. What has changed
                    // meanwhile, `board` looks at again.
                    drop(queue);
                    owned = Some(key.to_owned());
                    made_key = true;
                    queue = inner.queue.lock();
                }
            }
        };
        drop(queue);
        panics::drop_quietly(owned);
        inner.ride(ticket, key, self.deadline)
    }
}

impl<K, V, E, Q: ?Sized> fmt::Debug for BatchCall<'_, K, V, E, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchCall").field("batcher", self.batcher).field("deadline", &self.deadline).finish()
    }
}

/// How a queued caller's wait ended.
enum Fate<K, V, E> {
    Landed,
    Lead(Started<K, V, E>),
    TimedOut { key: Option<K>, wake: bool },
}

impl<K: Hash + Eq, V, E> Inner<K, V, E> {
    /// Waits for the ticket's batch, or leads it.
    #[cold]
    fn ride<Q>(&self, mut ticket: Ticket<K, V, E>, key: &Q, deadline: Option<Instant>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
        E: Clone,
    {
        let fate = self.wait(&mut ticket, deadline);
        let berth = ticket.berth;
        match fate {
            Fate::Lead(batch) => self.lead(batch, key),
            Fate::Landed => {
                // First of all, because somebody waits for it.
                wake(&berth, WAKES);
                let outcome = berth.outcome.get().expect("the wait ended because of it");
                let part = self.note_missing(outcome.get(key));
                // The last of the batch's callers drops what it was for others.
                panics::drop_quietly(berth);
                part
            }
            Fate::TimedOut { key, wake: keeper_needed } => {
                if keeper_needed {
                    wake(&berth, 1);
                }
                panics::drop_quietly((key, berth));
                Err(Error::timed_out())
            }
        }
    }

    fn wait(&self, ticket: &mut Ticket<K, V, E>, deadline: Option<Instant>) -> Fate<K, V, E> {
        let berth = Arc::clone(&ticket.berth);
        let me = current_thread().id();
        let mut queue = self.queue.lock();
        queue.waiting += 1;
        let fate = loop {
            if berth.outcome.get().is_some() {
                break Fate::Landed;
            }
            let gave_up = match queue.turn(ticket, me) {
                Turn::Lead(batch) => break Fate::Lead(batch),
                Turn::Wait => sync::wait_until(&berth.wake, &mut queue, deadline),
                // The keeper of a window that outlasts its own deadline hands the window over when it gives up.
                Turn::Gather(due) => match deadline.filter(|&deadline| deadline < due) {
                    Some(deadline) => sync::wait_until(&berth.wake, &mut queue, Some(deadline)),
                    None => {
                        if sync::wait_until(&berth.wake, &mut queue, Some(due)) {
                            if let Some(batch) = queue.window_closed(ticket, me) {
                                break Fate::Lead(batch);
                            }
                        }
                        false
                    }
                },
            };
            if gave_up && berth.outcome.get().is_none() {
                break match queue.leave(ticket, me) {
                    Left::Lead(batch) => Fate::Lead(batch),
                    Left::Out { key, wake } => Fate::TimedOut { key, wake },
                };
            }
        };
        queue.waiting -= 1;
        fate
    }

    /// Runs a batch of this one key.
    fn lead_alone<Q>(&self, key: &Q, owned: Option<K>) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let ran = panics::caught(|| {
            let owned = owned.unwrap_or_else(|| key.to_owned());
            let outcome = (self.function)(slice::from_ref(&owned));
            (outcome, owned)
        });
        self.land(ran.as_ref().map_or(End::Panicked, |(outcome, _)| outcome.end()));
        match ran {
            Ok((outcome, _owned)) => self.note_missing(outcome.take(key)),
            Err(payload) => panics::resume_unwind(payload),
        }
    }

    /// Runs a batch that was taken from the queue.
    fn lead<Q>(&self, batch: Started<K, V, E>, key: &Q) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
        E: Clone,
    {
        let Started { keys, berth, others } = batch;
        let (outcome, payload) = match panics::caught(|| (self.function)(&keys)) {
            Ok(outcome) => (outcome, None),
            Err(payload) => (Outcome::Panicked(panics::describe(&payload)), Some(payload)),
        };
        let end = outcome.end();
        if others == 0 {
            self.land(end);
            panics::drop_quietly(keys);
            resume(payload);
            return self.note_missing(outcome.take(key));
        }
        // Published before the lock of `land`: whoever looked and found nothing sleeps by then, or looks again.
        let published = berth.outcome.set(outcome);
        assert!(published.is_ok(), "a batch lands once");
        sync::test_delay();
        self.land(end);
        wake(&berth, WAKES.min(others));
        panics::drop_quietly(keys);
        if payload.is_some() {
            panics::drop_quietly(berth);
            resume(payload);
            unreachable!("the panic goes on");
        }
        let part = self.note_missing(berth.outcome.get().expect("it was just published").get(key));
        panics::drop_quietly(berth);
        part
    }

    /// Ends the running batch, and wakes one of the next batch's own callers to lead it.
    fn land(&self, end: End) {
        let next = self.queue.lock().land(end);
        if let Some(next) = next {
            sync::test_delay();
            wake(&next, 1);
        }
    }

    fn note_missing(&self, part: Result<V, Error<E>>) -> Result<V, Error<E>> {
        if matches!(part, Err(Error::Missing(_))) {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
        part
    }
}

/// Wakes up to `sleepers` of the berth's callers. Where nobody sleeps this is one load.
fn wake<K, V, E>(berth: &Berth<K, V, E>, sleepers: usize) {
    for _ in 0..sleepers {
        berth.wake.notify_one();
    }
}

/// Lets the leader's panic go on, with its own payload.
fn resume(payload: Option<Payload>) {
    if let Some(payload) = payload {
        panics::resume_unwind(payload);
    }
}
