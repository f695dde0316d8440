//! What a batch came to, and how each caller finds its own part of it.

use crate::engine::panics::drop_quietly;
use crate::error::Error;
use crate::sync::Arc;
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
    pub(super) fn remove<Q>(&mut self, key: &Q) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
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

    /// This key's part, moved: nobody else wants the batch, and this caller no other part of it.
    pub(super) fn take<Q>(mut self, key: &Q) -> Result<V, Error<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        E: Clone,
    {
        match self {
            Self::Failed(error) => Err(Error::Work(error)),
            _ => self.remove(key),
        }
    }
}

/// What a batch came to for one of its callers.
pub(super) enum Answers<K, V, E> {
    /// The caller was alone: there was no batch to join.
    Alone(Outcome<K, V, E>),
    /// Nobody else had a part in the batch.
    Mine(Outcome<K, V, E>),
    Ours(Arc<Outcome<K, V, E>>),
}

/// Reads a shared outcome. Its drop is another caller's concern as well, unless this one is certainly the last.
pub(super) fn read<K, V, E, R>(ours: Arc<Outcome<K, V, E>>, look: impl FnOnce(&Outcome<K, V, E>) -> R) -> R {
    match Arc::try_unwrap(ours) {
        Ok(last) => look(&last),
        Err(ours) => {
            let found = look(&ours);
            drop_quietly(ours);
            found
        }
    }
}
