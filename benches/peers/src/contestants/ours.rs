//! This crate.

use super::{Flights, Key, Look};
use flight_group::Group;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::hash::BuildHasher;

pub struct Ours<K, S>(pub Group<K, u64, Infallible, S>);

impl<K: Key, S: BuildHasher + Default> Default for Ours<K, S> {
    fn default() -> Self {
        Self(Group::with_hasher(S::default()))
    }
}

impl<K: Key + Borrow<Q>, Q: Look<K> + ?Sized, S: BuildHasher + Send + Sync> Flights<Q> for Ours<K, S> {
    #[inline]
    fn work(&self, key: &Q, work: impl FnOnce() -> u64) -> u64 {
        self.0.work(key, work)
    }

    fn followers(&self, key: &Q) -> Option<usize> {
        Some(self.0.followers(key))
    }
}
