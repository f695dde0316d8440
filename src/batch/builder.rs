//! The settings of a batcher.

use super::outcome::Outcome;
use super::{Batcher, Settings};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any request is worth holding back for.
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);

/// The settings of a [`Batcher`]; from [`Batcher::builder`].
///
/// Setters check their value at once and panic on one that cannot be meant, naming it and what was expected: a
/// wrong setting is a mistake in the program, and shows where it was written.
///
/// ```
/// use flight_group::Batcher;
/// use std::{collections::HashMap, convert::Infallible, time::Duration};
///
/// let names = Batcher::builder()
///     .name("names")                          // in Debug, and in the words of a Deadlock
///     .max_batch(500)                         // never more keys than this in one call
///     .window(Duration::from_millis(1))       // hold the first key back so long, for company
///     .build(|ids: &[u64]| {
///         Ok::<_, Infallible>(ids.iter().map(|&id| (id, format!("user {id}"))).collect::<HashMap<_, _>>())
///     });
/// assert_eq!(names.load(&7), Ok("user 7".to_owned()));
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct BatcherBuilder<K, V, E> {
    settings: Settings,
    types: PhantomData<Types<K, V, E>>,
}

/// Remembers the types and holds none of them: a builder is `Send` whatever they are.
type Types<K, V, E> = fn() -> (K, V, E);

impl<K, V, E> BatcherBuilder<K, V, E> {
    pub(super) fn new() -> Self {
        Self { settings: Settings { name: None, max_batch: usize::MAX, window: None }, types: PhantomData }
    }

    /// What reports call this batcher: its `Debug`, and the hops of a [`Deadlock`](crate::Deadlock).
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// No batch has more keys than this; what comes on top forms the next batch. Without it, a batch has as many
    /// keys as were wanted while the one before it ran, which is never more than the program has threads.
    ///
    /// Set it where the other side has a limit (SQLite takes 32766 parameters, DynamoDB's `BatchGetItem` 100 keys)
    /// or where a long batch holds everybody up. (dataloader's `maxBatchSize`, Hystrix's `maxRequestsInBatch`.)
    ///
    /// # Panics
    ///
    /// With `0`: a batch holds at least one key.
    #[track_caller]
    pub fn max_batch(mut self, keys: usize) -> Self {
        assert!(keys > 0, "max_batch of 0: expected at least 1 key in a batch");
        self.settings.max_batch = keys;
        self
    }

    /// Holds the first key of a batch back for so long, so that others can come along: more keys in a call, for
    /// that much more latency, also for a caller that stays alone. A batch that has
    /// [`max_batch`](Self::max_batch) keys does not wait any longer. While another batch runs the window goes on,
    /// and the batch starts when both are over.
    ///
    /// Default, and with [`Duration::ZERO`]: no window. Batches then grow by themselves as soon as callers come
    /// quicker than batches land, which is when it pays; so measure before you set one. (Hystrix's collapser has a
    /// window of 10 ms, bbolt's `Batch` one of 10 ms, and neither does without.)
    ///
    /// # Panics
    ///
    /// With more than an hour.
    #[track_caller]
    pub fn window(mut self, window: Duration) -> Self {
        assert!(window <= LONGEST_WINDOW, "window of {window:?}: expected at most {LONGEST_WINDOW:?}");
        self.settings.window = (window > Duration::ZERO).then_some(window);
        self
    }

    /// A batcher around a function that answers for all keys, or fails for all; see [`Batcher::new`].
    pub fn build(
        self,
        function: impl Fn(&[K]) -> Result<HashMap<K, V>, E> + Send + Sync + 'static,
    ) -> Batcher<K, V, E> {
        Batcher::with(self.settings, move |keys: &[K]| match function(keys) {
            Ok(values) => Outcome::Values(values),
            Err(error) => Outcome::Failed(error),
        })
    }

    /// A batcher around a function that answers or fails for each key; see [`Batcher::per_key`].
    pub fn build_per_key(
        self,
        function: impl Fn(&[K]) -> HashMap<K, Result<V, E>> + Send + Sync + 'static,
    ) -> Batcher<K, V, E> {
        Batcher::with(self.settings, move |keys: &[K]| Outcome::PerKey(function(keys)))
    }
}

impl<K, V, E> fmt::Debug for BatcherBuilder<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatcherBuilder")
            .field("name", &self.settings.name)
            .field("max_batch", &self.settings.max_batch)
            .field("window", &self.settings.window)
            .finish()
    }
}
