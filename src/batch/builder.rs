//! The settings of a batcher.

use super::batcher::Batcher;
use super::keys::Rules;
use super::outcome::Outcome;
use crate::engine::options::Config;
use crate::site::Kind;
use crate::sync::atomic::AtomicU64;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

/// Longer than any request is worth holding back for.
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);

/// Configures a [`Batcher`]; made by [`Batcher::builder`].
///
/// A setting that cannot be right panics at once, with the value and what was expected.
///
/// ```
/// use flight_group::Batcher;
/// use std::{collections::HashMap, convert::Infallible, time::Duration};
///
/// let names = Batcher::builder()
///     .name("names")                          // shown in errors and in Debug
///     .max_batch(500)                         // no more keys than this in one call
///     .window(Duration::from_millis(1))       // the first key waits so long for others
///     .build(|ids: &[u64]| {
///         let rows = ids.iter().map(|&id| (id, format!("user {id}")));
///         Ok::<_, Infallible>(rows.collect::<HashMap<_, _>>())
///     });
/// assert_eq!(names.load(&7), Ok("user 7".to_owned()));
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct BatcherBuilder<K, V, E> {
    config: Config<()>,
    max_batch: usize,
    window: Option<Duration>,
    types: PhantomData<Types<K, V, E>>,
}

/// Remembers the types and holds none of them: a builder is `Send` whatever they are.
type Types<K, V, E> = fn() -> (K, V, E);

impl<K, V, E> Batcher<K, V, E> {
    /// A batcher around a function that answers for all keys or fails for all. It has no window, and batches of any size.
    /// For settings see [`builder`](Self::builder).
    ///
    /// The function gets the keys of a batch and returns a map. Callers of a key that is not in the map get
    /// [`Error::Missing`](crate::Error::Missing). A key that was not asked for is ignored. An `Err` goes to every caller of that batch, and to no
    /// other. If the function panics, the panic goes on in the batch's leader with its own payload, and the batch's other
    /// callers get [`Error::Panicked`](crate::Error::Panicked). The next batch runs as usual.
    ///
    /// The function must not load from its own batcher, and must not wait for another thread that does: that call gets
    /// [`Error::Deadlock`](crate::Error::Deadlock).
    ///
    /// If the function only returns `Ok`, write the batcher's type without `E`, `let rows: Batcher<u64, String> = ..`, or
    /// end the function with `Ok::<_, Infallible>(..)` as below: see
    /// [work that cannot fail](crate::docs::types#work-that-cannot-fail).
    ///
    /// ```
    /// use flight_group::Batcher;
    /// use std::{collections::HashMap, convert::Infallible};
    ///
    /// let lengths = Batcher::new(|words: &[String]| {
    ///     let lengths = words.iter().map(|word| (word.clone(), word.len()));
    ///     Ok::<_, Infallible>(lengths.collect::<HashMap<_, _>>())
    /// });
    /// assert_eq!(lengths.load("seven"), Ok(5));        // a `String` key is asked for with a `&str`
    /// ```
    pub fn new(function: impl Fn(&[K]) -> Result<HashMap<K, V>, E> + Send + Sync + 'static) -> Self {
        Self::builder().build(function)
    }

    /// A batcher around a function that answers or fails for each key. A key that fails fails only its own callers.
    ///
    /// ```
    /// use flight_group::{Batcher, Error};
    /// use std::{collections::HashMap, num::ParseIntError};
    ///
    /// type Numbers = HashMap<String, Result<i32, ParseIntError>>;
    ///
    /// let numbers = Batcher::per_key(|words: &[String]| -> Numbers {
    ///     let words = words.iter().filter(|word| !word.is_empty());
    ///     words.map(|word| (word.clone(), word.parse())).collect()
    /// });
    /// assert_eq!(numbers.load("12"), Ok(12));                    // a value,
    /// assert!(numbers.load("twelve").unwrap_err().is_work());    // an error of its own,
    /// assert_eq!(numbers.load(""), Err(Error::missing()));       // or nothing
    /// ```
    pub fn per_key(function: impl Fn(&[K]) -> HashMap<K, Result<V, E>> + Send + Sync + 'static) -> Self {
        Self::builder().build_per_key(function)
    }

    /// A batcher with settings: a name, a limit on a batch's size, a window.
    pub fn builder() -> BatcherBuilder<K, V, E> {
        BatcherBuilder::new()
    }
}

impl<K, V, E> BatcherBuilder<K, V, E> {
    pub(super) fn new() -> Self {
        Self { config: Config::new(Kind::Batcher), max_batch: usize::MAX, window: None, types: PhantomData }
    }

    /// A name for reports: errors, the hops of a [`Deadlock`](crate::Deadlock), and `Debug` show it. None by default.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.config.name = Some(name.into());
        self
    }

    /// No batch has more keys than this. Further keys form the batch after it. Without it, a batch has as many keys as were
    /// asked for while the batch before it ran, which is never more than the program has threads.
    ///
    /// Set it if the other side has a limit (SQLite takes 32,766 parameters, DynamoDB's `BatchGetItem` 100 keys), or if a
    /// long batch delays its callers too much. (dataloader's `maxBatchSize`, Hystrix's `maxRequestsInBatch`.)
    ///
    /// # Panics
    ///
    /// With `0`: a batch holds at least one key.
    #[track_caller]
    pub fn max_batch(mut self, keys: usize) -> Self {
        assert!(keys > 0, "max_batch of 0: expected at least 1 key in a batch");
        self.max_batch = keys;
        self
    }

    /// The first key of a batch waits this long for others. A batch then has more keys, and each call takes longer by this
    /// time, also a call that stays alone. A batch with [`max_batch`](Self::max_batch) keys does not wait any longer. The
    /// window also runs while another batch runs, and the batch starts when both are over.
    ///
    /// By default, and with [`Duration::ZERO`], there is no window. Batches then grow when callers come faster than batches
    /// land. Measure before you set a window. (Hystrix's collapser and bbolt's `Batch` have windows of 10 ms.)
    ///
    /// # Panics
    ///
    /// With more than an hour.
    #[track_caller]
    pub fn window(mut self, window: Duration) -> Self {
        assert!(window <= LONGEST_WINDOW, "window of {window:?}: expected at most {LONGEST_WINDOW:?}");
        self.window = (window > Duration::ZERO).then_some(window);
        self
    }

    /// Reads the clock at the start of every batch. Then [`flights`](Batcher::flights) shows the age of a batch that nobody
    /// waits for, too. It costs some 25 ns a batch. Off by default.
    pub fn timed(mut self) -> Self {
        self.config.timed = true;
        self
    }

    /// Reports every batch and every wait as a `tracing` span: see
    /// [`GroupBuilder::traced`](crate::GroupBuilder::traced). Feature `tracing`. The spans have no `key`, since a batch
    /// has many.
    #[cfg(feature = "tracing")]
    pub fn traced(mut self) -> Self {
        self.config.wanted.traced = true;
        self
    }

    /// Counts and times every batch and every wait: see [`GroupBuilder::metered`](crate::GroupBuilder::metered).
    /// Feature `metrics`.
    #[cfg(feature = "metrics")]
    pub fn metered(mut self) -> Self {
        self.config.wanted.metered = true;
        self
    }

    /// A batcher around a function that answers for all keys, or fails for all; see [`Batcher::new`].
    pub fn build(
        self,
        function: impl Fn(&[K]) -> Result<HashMap<K, V>, E> + Send + Sync + 'static,
    ) -> Batcher<K, V, E> {
        let (config, rules) = self.settled();
        Batcher::with(config, rules, move |keys: &[K]| match function(keys) {
            Ok(values) => Outcome::Values(values),
            Err(error) => Outcome::Failed(error),
        })
    }

    /// A batcher around a function that answers or fails for each key: see [`Batcher::per_key`].
    pub fn build_per_key(
        self,
        function: impl Fn(&[K]) -> HashMap<K, Result<V, E>> + Send + Sync + 'static,
    ) -> Batcher<K, V, E> {
        let (config, rules) = self.settled();
        Batcher::with(config, rules, move |keys: &[K]| Outcome::PerKey(function(keys)))
    }

    fn settled(self) -> (Config<()>, Rules) {
        let rules = Rules { max_batch: self.max_batch, window: self.window, withdrawn: AtomicU64::new(0) };
        (self.config, rules)
    }
}

// What it holds is only replaced, never changed.
impl<K, V, E> UnwindSafe for BatcherBuilder<K, V, E> {}
impl<K, V, E> RefUnwindSafe for BatcherBuilder<K, V, E> {}

impl<K, V, E> fmt::Debug for BatcherBuilder<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatcherBuilder")
            .field("name", &self.config.name)
            .field("max_batch", &self.max_batch)
            .field("window", &self.window)
            .finish()
    }
}
