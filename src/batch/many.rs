//! Several keys of one caller, on its one thread.
//!
//! The caller puts as many of its keys into one batch as that has room for, waits for it or leads it, and then sees to the
//! rest in the same way. It waits in one flight at a time, as every other caller does.

use super::batcher::{Batcher, Inner};
use super::call::BatchCall;
use super::keys::Keys;
use super::outcome::{self, Answers};
use crate::engine::load::{Bring, Joined};
use crate::engine::panics;
use crate::error::Error;
use crate::sync::atomic::Ordering::Relaxed;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

impl<K: Hash + Eq + Clone, V: Clone, E: Clone> Batcher<K, V, E> {
    /// The function's answers for these keys: for each of them what [`load`](Self::load) would return.
    ///
    /// The keys go together, into as few batches as [`max_batch`](crate::BatcherBuilder::max_batch) allows, and share
    /// them with other callers' keys. Without `max_batch` that is one batch: a resolver that needs thirty rows sends one
    /// query, from one thread. A key that is given twice is asked for once.
    ///
    /// Runs the function at once, on this thread, if no batch is running (and there is no window). Otherwise blocks until
    /// the batches with these keys have landed. This thread may be woken to lead one of them. Returns at once, without a
    /// batch, if there is no key.
    ///
    /// The result is a map, as that of [`Group::work_many`](crate::Group::work_many): it has one entry for each distinct
    /// key.
    ///
    /// ```
    /// use flight_group::{Batcher, Error};
    /// use std::collections::HashMap;
    ///
    /// let names = Batcher::builder().max_batch(100).build(|ids: &[u32]| {
    ///     if ids.contains(&13) {
    ///         return Err("table is locked");
    ///     }
    ///     let found = ids.iter().filter(|&&id| id < 9);
    ///     Ok(found.map(|&id| (id, format!("user {id}"))).collect::<HashMap<_, _>>())
    /// });
    ///
    /// let found = names.load_many(&[1, 2, 2, 404]);
    /// assert_eq!(found.len(), 3);
    /// assert_eq!(found[&1], Ok("user 1".to_owned()));
    /// assert_eq!(found[&404], Err(Error::missing()));                     // no such row
    /// assert_eq!((names.stats().batches, names.stats().keys), (1, 3));
    ///
    /// let down = names.load_many(&[12, 13]);                              // the whole batch failed
    /// assert!(down.values().all(|part| *part == Err(Error::Work("table is locked"))));
    /// ```
    ///
    /// # Errors
    ///
    /// For each key, those of [`load`](Self::load). A batch that fails, or that panics on another caller's thread, fails
    /// the keys that were in it and no others. After [`Error::Deadlock`] no further batch is waited for: all keys that
    /// have no answer yet get that error.
    ///
    /// # Panics
    ///
    /// As [`load`](Self::load). The answers of batches that have landed before are lost with this call.
    #[doc(alias = "loadMany")]
    pub fn load_many(&self, keys: &[K]) -> HashMap<K, Result<V, Error<E>>> {
        self.call(keys).load_many()
    }
}

impl<K, V, E, Q> BatchCall<'_, K, V, E, Q>
where
    K: Hash + Eq + Clone,
    V: Clone,
    E: Clone,
    Q: AsRef<[K]> + ?Sized,
{
    /// [`Batcher::load_many`] with the options, for a call whose key is a slice, an array or a `Vec` of keys.
    ///
    /// A [`timeout`](BatchCall::timeout) counts from the moment of the call, and is one for all its batches. When it has
    /// passed, or the token is cancelled, the keys that have an answer keep it, and the others get
    /// [`Error::TimedOut`] or [`Error::Cancelled`]. Keys whose batch has not started are withdrawn, unless somebody else
    /// wants them too.
    ///
    /// ```
    /// use flight_group::Batcher;
    /// use std::{collections::HashMap, convert::Infallible, time::Duration};
    ///
    /// let squares = Batcher::new(|keys: &[u32]| {
    ///     Ok::<_, Infallible>(keys.iter().map(|&key| (key, key * key)).collect::<HashMap<_, _>>())
    /// });
    /// let found = squares.call(&[2, 3]).timeout(Duration::from_secs(1)).load_many();
    /// assert_eq!((&found[&2], &found[&3]), (&Ok(4), &Ok(9)));
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Batcher::load_many`], [`Error::TimedOut`] and [`Error::Cancelled`].
    ///
    /// # Panics
    ///
    /// As [`Batcher::load_many`].
    #[doc(alias = "loadMany")]
    pub fn load_many(mut self) -> HashMap<K, Result<V, Error<E>>> {
        let inner = &*self.batcher.inner;
        let mut seen = HashSet::new();
        let mut keys: Vec<K> = self.key.as_ref().iter().filter(|key| seen.insert(*key)).cloned().collect();
        let mut hashes: Vec<u64> = keys.iter().map(|key| inner.hasher.hash_one(key)).collect();
        inner.stats.loads.fetch_add(keys.len() as u64, Relaxed);
        let mut parts = HashMap::with_capacity(keys.len());
        self.options.start(); // one deadline for all batches
        while !keys.is_empty() {
            let mut answers = self.load_some(&keys, &hashes).into_iter().peekable();
            let all = std::mem::take(&mut keys).into_iter().zip(std::mem::take(&mut hashes));
            for (at, (key, hash)) in all.enumerate() {
                match answers.next_if(|(answered, _)| *answered == at) {
                    None => {
                        keys.push(key);
                        hashes.push(hash);
                    }
                    Some((_, part)) => {
                        parts.insert(key, inner.ended(part));
                    }
                }
            }
        }
        parts
    }

    /// One batch: the places of the keys it had room for, in order, with their answers.
    #[allow(clippy::type_complexity, reason = "places and answers")]
    fn load_some(&self, keys: &[K], hashes: &[u64]) -> Vec<(usize, Result<V, Error<E>>)> {
        let inner = &*self.batcher.inner;
        let mut wanted = WantedMany { batcher: inner, keys, hashes, owned: Vec::new(), joined: Vec::new() };
        let first = &keys[..keys.len().min(inner.engine.rules.max_batch)];
        let answers = inner.carry(self.options, &mut wanted, || inner.run(first, false));
        let WantedMany { owned, joined, .. } = wanted;
        panics::drop_quietly(owned);
        match answers {
            Ok(Answers::Alone(mut mine)) => first.iter().enumerate().map(|(at, key)| (at, mine.remove(key))).collect(),
            Ok(Answers::Mine(mut mine)) => joined.into_iter().map(|at| (at, mine.remove(&keys[at]))).collect(),
            Ok(Answers::Ours(ours)) => {
                outcome::read(ours, |ours| joined.into_iter().map(|at| (at, ours.get(&keys[at]))).collect())
            }
            Err(error) => {
                // Another caller's panic ends that batch. Whatever else ends a wait ends all of them.
                let told = if error.is_panicked() { joined } else { (0..keys.len()).collect() };
                told.into_iter().map(|at| (at, Err(error.clone()))).collect()
            }
        }
    }
}

/// What a call brings that wants several keys: those that have no answer yet.
struct WantedMany<'a, K, V, E> {
    batcher: &'a Inner<K, V, E>,
    /// Distinct.
    keys: &'a [K],
    hashes: &'a [u64],
    /// A copy of the first of them, for a batch to own, made outside the lock: as many as a batch may have.
    owned: Vec<Option<K>>,
    /// The places in `keys` of those that are in the batch that was joined last, in order.
    joined: Vec<usize>,
}

impl<K: Eq + Clone, V, E> Bring<Keys<K>> for WantedMany<'_, K, V, E> {
    fn join(&mut self, load: &mut Keys<K>) -> Joined {
        if self.owned.is_empty() || self.owned.iter().any(Option::is_none) {
            return Joined::Lacks;
        }
        // First all that runs the user's `Eq`: if it panics, nothing has been changed.
        let known: Vec<Option<usize>> =
            self.keys.iter().zip(self.hashes).map(|(key, &hash)| load.find(hash, |other| other == key)).collect();
        let rules = &self.batcher.engine.rules;
        let (mut joined, mut tickets, mut shares) = (Vec::new(), Vec::new(), 0);
        for (at, known) in known.into_iter().enumerate() {
            let ticket = match known {
                Some(place) => {
                    shares += 1;
                    load.share(place)
                }
                None if load.has_room(rules) => match self.owned.get_mut(at).and_then(Option::take) {
                    Some(key) => load.add(rules, self.hashes[at], key),
                    None => continue,
                },
                None => continue,
            };
            joined.push(at);
            tickets.push(ticket);
        }
        if joined.is_empty() {
            return Joined::Full;
        }
        self.joined = joined;
        self.batcher.stats.shared.fetch_add(shares, Relaxed);
        Joined::In(load.bundle(tickets))
    }

    fn make(&mut self) {
        let max = self.batcher.engine.rules.max_batch;
        self.owned = self.keys.iter().take(max).cloned().map(Some).collect();
    }
}
