//! How a key is found, and made: one bound instead of a where-clause in every verb.

use crate::sync::Arc;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

/// What a key can be found by.
pub(crate) trait Find<K> {
    /// Runs the user's `Hash`: call it outside every lock.
    fn hash_in<S: BuildHasher>(&self, hasher: &S) -> u64;
    /// Runs the user's `Eq`.
    fn is(&self, key: &K) -> bool;
}

/// What a key can be found by and made of.
pub(crate) trait Lookup<K>: Find<K> {
    /// An owned key. Runs the user's `to_owned`.
    fn own(&self) -> K;
}

impl<K: Borrow<Q>, Q: Hash + Eq + ?Sized> Find<K> for Q {
    #[inline]
    fn hash_in<S: BuildHasher>(&self, hasher: &S) -> u64 {
        hasher.hash_one(self)
    }

    #[inline]
    fn is(&self, key: &K) -> bool {
        key.borrow() == self
    }
}

impl<K: Borrow<Q>, Q: Hash + Eq + ToOwned<Owned = K> + ?Sized> Lookup<K> for Q {
    #[inline]
    fn own(&self) -> K {
        self.to_owned()
    }
}

/// Looks up a key that the engine keeps in an `Arc`, so that it can be shared without `K: Clone`.
pub(crate) struct InArc<'a, Q: ?Sized>(pub(crate) &'a Q);

impl<K: Borrow<Q>, Q: Hash + Eq + ?Sized> Find<Arc<K>> for InArc<'_, Q> {
    fn hash_in<S: BuildHasher>(&self, hasher: &S) -> u64 {
        hasher.hash_one(self.0)
    }

    fn is(&self, key: &Arc<K>) -> bool {
        K::borrow(key) == self.0
    }
}

impl<K: Borrow<Q>, Q: Hash + Eq + ToOwned<Owned = K> + ?Sized> Lookup<Arc<K>> for InArc<'_, Q> {
    fn own(&self) -> Arc<K> {
        Arc::new(self.0.to_owned())
    }
}
