//! What a batch came to, and how each caller finds its own part of it.

use crate::error::Error;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// What the function made of a batch's keys: kept whole, so that each caller looks up (and pays for) its own key
/// on its own thread, and the leader works for nobody but itself.
pub(crate) enum Outcome<K, V, E> {
    /// From [`Batcher::new`](super::Batcher::new): values, or one error for all.
    Values(HashMap<K, V>),
    /// From [`Batcher::per_key`](super::Batcher::per_key): each key has its own value or error.
    PerKey(HashMap<K, Result<V, E>>),
    Failed(E),
}

impl<K: Hash + Eq, V, E> Outcome<K, V, E> {
    /// This key's part, cloned: the batch is shared.
    pub(super) fn get<Q>(&self, key: &Q) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
        E: Clone,
    {
        match self {
            Self::Values(values) => values.get(key).cloned().ok_or(Error::missing()),
            Self::PerKey(results) => match results.get(key) {
                Some(Ok(value)) => Ok(value.clone()),
                Some(Err(error)) => Err(Error::Work(error.clone())),
                None => Err(Error::missing()),
            },
            Self::Failed(error) => Err(Error::Work(error.clone())),
        }
    }

    /// This key's part, moved, of a batch that nobody else wants; an error of the whole batch is cloned.
    pub(super) fn remove(&mut self, key: &K) -> Result<V, Error<E>>
    where
        E: Clone,
    {
        match self {
            Self::Values(values) => values.remove(key).ok_or(Error::missing()),
            Self::PerKey(results) => match results.remove(key) {
                Some(result) => result.map_err(Error::Work),
                None => Err(Error::missing()),
            },
            Self::Failed(error) => Err(Error::Work(error.clone())),
        }
    }

    /// This key's part, moved: nobody else wants the batch.
    pub(super) fn take<Q>(self, key: &Q) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self {
            Self::Values(mut values) => values.remove(key).ok_or(Error::missing()),
            Self::PerKey(mut results) => match results.remove(key) {
                Some(result) => result.map_err(Error::Work),
                None => Err(Error::missing()),
            },
            Self::Failed(error) => Err(Error::Work(error)),
        }
    }
}
