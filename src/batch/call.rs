//! One call: its options, and its way through the engine.

use super::batcher::{Batcher, Inner};
use super::keys::Keys;
use super::outcome::{self, Answers};
use crate::cancel::CancelToken;
use crate::engine::load::{Bring, Joined};
use crate::engine::options::WaitOptions;
use crate::engine::panics;
use crate::error::Error;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::{Duration, Instant};
use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::slice;

/// One call to a [`Batcher`], with options; made by [`Batcher::call`].
#[must_use = "a call does nothing until it is loaded"]
pub struct BatchCall<'a, K, V, E, Q: ?Sized> {
    pub(super) batcher: &'a Batcher<K, V, E>,
    pub(super) key: &'a Q,
    pub(super) options: WaitOptions<'a>,
}

impl<K, V, E> Batcher<K, V, E> {
    /// A call with options: how long to wait, and what else ends the wait. See [`BatchCall`].
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> BatchCall<'a, K, V, E, Q> {
        BatchCall::new(self, key)
    }

    /// Returns the function's answer for this key.
    ///
    /// If no batch is running, and there is no window, it runs the function at once on this thread. Otherwise it blocks
    /// until the batch with this key has landed. This thread may be woken to lead that batch. The call waits only for the
    /// batches before its own. Without `max_batch` that is the one that is running.
    ///
    /// # Errors
    ///
    /// - [`Error::Work`]: the function returned an error, for the batch or for this key.
    /// - [`Error::Missing`]: the function did not return this key.
    /// - [`Error::Panicked`]: the function panicked, on the thread of another caller of this batch.
    /// - [`Error::Deadlock`]: the running batch waits for this thread. The function loads from its own batcher, or it waits,
    ///   perhaps through other groups and threads, for a flight that this thread leads.
    ///
    /// # Panics
    ///
    /// If the function panics while this thread leads, with its own payload. If the `Hash`, `Eq`, `ToOwned` or `Clone` that
    /// this call needs panics, in this caller only.
    ///
    /// `K::eq` runs under the batcher's lock and must not call the batcher. Everything else of yours, also the key's
    /// `to_owned`, runs outside every lock.
    pub fn load<Q>(&self, key: &Q) -> Result<V, Error<E>>
    where
        K: Hash + Eq + Borrow<Q>,
        V: Clone,
        E: Clone,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.call(key).load()
    }
}

impl<K, V, E, Q: ?Sized> Clone for BatchCall<'_, K, V, E, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V, E, Q: ?Sized> Copy for BatchCall<'_, K, V, E, Q> {}

impl<'a, K, V, E, Q: ?Sized> BatchCall<'a, K, V, E, Q> {
    pub(super) fn new(batcher: &'a Batcher<K, V, E>, key: &'a Q) -> Self {
        Self { batcher, key, options: WaitOptions::default() }
    }

    /// How long to wait for other callers' batches and for the window. Then the call returns [`Error::TimedOut`].
    ///
    /// Counted from the moment the call begins to wait. Zero means: do not wait, but run the function if the batcher is
    /// idle and has no window. `Duration::MAX`, the default, means: for ever.
    ///
    /// A batch that this call leads is never interrupted. If the call is the one to lead the next batch when its time is
    /// up, it leads. If the answer is ready when the time is up, the caller gets it. If the batch has not started, the key
    /// is withdrawn, unless another caller wants it, too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.set_timeout(timeout);
        self
    }

    /// When to stop waiting. Otherwise the same as [`timeout`](Self::timeout). Of several timeouts and deadlines the last
    /// one counts.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.set_deadline(deadline);
        self
    }
}

impl<'a, K, V, E, Q: ?Sized> BatchCall<'a, K, V, E, Q> {
    /// Ends the wait when `token` is cancelled. The call returns [`Error::Cancelled`], and its key is withdrawn, as at a
    /// deadline.
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.options.cancel = Some(token);
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
    /// As [`Batcher::load`]. Also [`Error::TimedOut`] and [`Error::Cancelled`].
    ///
    /// # Panics
    ///
    /// As [`Batcher::load`].
    ///
    /// ```
    /// use flight_group::{Batcher, Error, crossbeam_channel};
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
    ///     assert_eq!(second, Err(Error::timed_out()));      // 2 was withdrawn, and never loaded
    ///     go_on.send(()).unwrap();
    ///     assert_eq!(first.join().unwrap(), Ok(10));        // 1's batch was not disturbed
    /// });
    /// assert_eq!(slow.stats().batches, 1);
    /// ```
    pub fn load(self) -> Result<V, Error<E>> {
        let (inner, key) = (&*self.batcher.inner, self.key);
        inner.stats.loads.fetch_add(1, Relaxed);
        let mut wanted = Wanted { batcher: inner, key, hash: inner.hasher.hash_one(key), owned: None };
        let answers = inner.carry(self.options, &mut wanted, || {
            let key = key.to_owned();
            inner.run(slice::from_ref(&key), false)
        });
        panics::drop_quietly(wanted.owned);
        inner.ended(answers.and_then(|answers| match answers {
            Answers::Alone(mine) | Answers::Mine(mine) => mine.take(key),
            Answers::Ours(ours) => outcome::read(ours, |ours| ours.get(key)),
        }))
    }
}

impl<K, V, E, Q: ?Sized> fmt::Debug for BatchCall<'_, K, V, E, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchCall").field("batcher", self.batcher).finish_non_exhaustive()
    }
}

/// What a call brings to a batch: its key.
struct Wanted<'a, K, V, E, Q: ?Sized> {
    batcher: &'a Inner<K, V, E>,
    key: &'a Q,
    hash: u64,
    owned: Option<K>,
}

impl<K, V, E, Q> Bring<Keys<K>> for Wanted<'_, K, V, E, Q>
where
    K: Borrow<Q>,
    Q: Eq + ToOwned<Owned = K> + ?Sized,
{
    fn join(&mut self, keys: &mut Keys<K>) -> Joined {
        let rules = &self.batcher.engine.rules;
        if let Some(at) = keys.find(self.hash, |other| other.borrow() == self.key) {
            self.batcher.stats.shared.fetch_add(1, Relaxed);
            return Joined::In(keys.share(at));
        }
        if !keys.has_room(rules) {
            return Joined::Full;
        }
        let Some(key) = self.owned.take() else { return Joined::Lacks };
        Joined::In(keys.add(rules, self.hash, key))
    }

    fn make(&mut self) {
        self.owned = Some(self.key.to_owned());
    }
}
