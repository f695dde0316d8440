//! `Batcher`: many threads' keys in one call.

mod builder;
mod call;
mod outcome;
mod queue;
mod stats;
mod wait_for;

pub use builder::BatcherBuilder;
pub use call::BatchCall;
pub use stats::BatchStats;

use crate::error::Error;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Duration, Mutex};
use outcome::Outcome;
use queue::Queue;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Gathers the keys that many threads ask for one by one into calls of one function that takes many.
///
/// A database answers `SELECT .. WHERE id IN (1, 2, 3)` in little more time than it needs for one of them, and a
/// write-ahead log syncs a hundred records as quickly as one. A `Batcher` lets code that deals with one key on one
/// thread have that without knowing:
///
/// ```
/// use flight_group::{Batcher, Error};
/// use std::collections::HashMap;
///
/// # struct Database;
/// # impl Database {
/// #     fn select_in(&self, ids: &[u64]) -> Result<Vec<(u64, String)>, &'static str> {
/// #         if ids.contains(&13) { return Err("table is locked") }
/// #         Ok(ids.iter().filter(|&&id| id < 100).map(|&id| (id, format!("user {id}"))).collect())
/// #     }
/// # }
/// # let database = Database;
/// let users: Batcher<u64, String, &str> = Batcher::new(move |ids: &[u64]| {
///     // One query: SELECT id, name FROM users WHERE id IN (..)
///     Ok(database.select_in(ids)?.into_iter().collect::<HashMap<_, _>>())
/// });
///
/// assert_eq!(users.load(&7), Ok("user 7".to_owned()));
/// assert_eq!(users.load(&404), Err(Error::missing()));                  // no such row
/// assert_eq!(users.load(&13), Err(Error::Work("table is locked")));   // the whole batch failed
/// ```
///
/// # Group commit
///
/// One batch runs at a time, and there is no timer and no thread. A caller that finds nothing running runs the
/// function at once, on its own thread, with its one key: being alone costs nothing, not even a wake-up. Whoever
/// comes while it runs queues, and all who queue form the next batch. So batches grow by themselves just as
/// callers come quicker than batches land, and never when they do not.
///
/// When a batch lands, exactly one of the next batch's own callers is woken to lead it: no caller is kept working
/// for others, and no call takes longer than the batch before it, its own, and the hand-over in between.
/// (LevelDB's writer queue, PostgreSQL's and etcd's group commit.)
///
/// With [`max_batch`](BatcherBuilder::max_batch) no call has more keys than that, and the rest forms the batch
/// after. With [`window`](BatcherBuilder::window) the first key of a batch is held back for company, as Hystrix's
/// collapser and bbolt's `Batch` do.
///
/// # When it pays
///
/// When a call has a cost that does not grow with its keys, and that cost is more than waking a thread's: a network
/// round trip, a read of a whole table, a sync of a disk. `examples/batch_queries.rs` asks a SQLite file from 32
/// threads on 2 cores, with a statement for each question behind a lock, and through a `Batcher`:
///
/// | question                    | a statement each: answers/s, p99 | `Batcher`: answers/s, p99 |
/// |-----------------------------|---------------------------------:|--------------------------:|
/// | a row by primary key (3 µs) |                    245,000, 4 µs |           273,000, 4.0 ms |
/// | a row, without an index     |                    3,500, 154 ms |              9,400, 12 ms |
/// | a write that is synced      |                     5,900, 19 ms |            74,000, 0.9 ms |
///
/// In the first line there is nothing to save, and whoever queues pays for being woken: leave such calls alone.
///
/// ```
/// use flight_group::{Batcher, Error};
/// use rusqlite::{Connection, params_from_iter};
/// use std::{collections::HashMap, sync::{Arc, Mutex}};
///
/// let connection = Connection::open_in_memory()?;
/// connection.execute_batch(
///     "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
///      INSERT INTO users VALUES (1, 'Ada'), (2, 'Grace');",
/// )?;
/// let connection = Mutex::new(connection); // never contended: one batch runs at a time
///
/// // `rusqlite::Error` is not `Clone`, and each caller of a batch gets its own: `Arc`.
/// let names: Batcher<i64, String, Arc<rusqlite::Error>> =
///     Batcher::builder().max_batch(32_766).build(move |ids: &[i64]| {
///         let connection = connection.lock().unwrap();
///         let holes = vec!["?"; ids.len()].join(",");
///         let mut query = connection.prepare(&format!("SELECT id, name FROM users WHERE id IN ({holes})"))?;
///         let rows = query.query_map(params_from_iter(ids), |row| Ok((row.get(0)?, row.get(1)?)))?;
///         Ok(rows.collect::<Result<HashMap<_, _>, _>>()?)
///     });
///
/// assert_eq!(names.load(&2).unwrap(), "Grace");
/// assert!(matches!(names.load(&3), Err(Error::Missing(_))));
/// # Ok::<(), rusqlite::Error>(())
/// ```
///
/// # What a caller may rely on
///
/// - Its batch *started after it called*: a value from before the call is never handed out. (A key that is asked
///   for while a batch with that key runs goes into the next batch. To share a read that is already running, put a
///   [`Group`](crate::Group) before the batcher: `group.try_work(&key, || batcher.load(&key))`.)
/// - A key that is asked for by several callers of a batch is passed once, and all of them get its answer.
/// - The keys of one call are distinct, at least one, and in the order in which they were first asked for unless
///   some were withdrawn.
/// - What the function did happens before any of its callers' `load` returns.
/// - The function runs with no lock held, on the thread of one of the batch's callers.
/// - Values are cloned for their callers, each on its own thread; a batch of one caller moves its value out. Use
///   `Arc<V>` where a clone is dear.
///
/// # Handles
///
/// Cloning gives another handle to the same batcher: the same queue, the same function, the same numbers. When the
/// last one is dropped the function is dropped; nothing else is left behind, and no thread was ever there.
/// The batcher is `Send` and `Sync` where `K`, `V` and `E` are both.
pub struct Batcher<K, V, E = Infallible> {
    inner: Arc<Inner<K, V, E>>,
}

type Function<K, V, E> = dyn Fn(&[K]) -> Outcome<K, V, E> + Send + Sync;

struct Inner<K, V, E> {
    queue: Mutex<Queue<K, V, E>>,
    /// Beside the queue, because a caller finds this out after it is done with the lock.
    missing: AtomicU64,
    hasher: RandomState,
    settings: Settings,
    function: Box<Function<K, V, E>>,
}

struct Settings {
    name: Option<std::sync::Arc<str>>,
    max_batch: usize,
    window: Option<Duration>,
}

impl<K, V, E> Batcher<K, V, E> {
    /// A batcher around a function that answers for all keys or fails for all; without a window, with batches of
    /// any size. See [`builder`](Self::builder) for more.
    ///
    /// The function gets the keys of a batch and returns a map. A key that is not in the map is [`Error::Missing`]
    /// for those who asked for it; a key that was not asked for is ignored. Its `Err` goes to every caller of that
    /// batch, and to no other. If it panics, so does the `load` of the batch's leader, with the same payload, and
    /// the batch's other callers get [`Error::Panicked`]; the next batch runs as if nothing had happened.
    ///
    /// It must not load from its own batcher: that call gets [`Error::Deadlock`].
    ///
    /// ```
    /// use flight_group::Batcher;
    /// use std::{collections::HashMap, convert::Infallible};
    ///
    /// let lengths = Batcher::new(|words: &[String]| {
    ///     Ok::<_, Infallible>(words.iter().map(|word| (word.clone(), word.len())).collect::<HashMap<_, _>>())
    /// });
    /// assert_eq!(lengths.load("seven"), Ok(5));        // a `String` key is asked for with a `&str`
    /// ```
    pub fn new(function: impl Fn(&[K]) -> Result<HashMap<K, V>, E> + Send + Sync + 'static) -> Self {
        Self::builder().build(function)
    }

    /// A batcher around a function that answers or fails for each key: one bad key fails nobody but those who
    /// asked for it.
    ///
    /// ```
    /// use flight_group::{Batcher, Error};
    /// use std::{collections::HashMap, num::ParseIntError};
    ///
    /// let numbers = Batcher::per_key(|words: &[String]| -> HashMap<String, Result<i32, ParseIntError>> {
    ///     words.iter().filter(|word| !word.is_empty()).map(|word| (word.clone(), word.parse())).collect()
    /// });
    /// assert_eq!(numbers.load("12"), Ok(12));                         // a value,
    /// assert!(numbers.load("twelve").unwrap_err().is_work());         // an error of its own,
    /// assert_eq!(numbers.load(""), Err(Error::missing()));              // or nothing
    /// ```
    pub fn per_key(function: impl Fn(&[K]) -> HashMap<K, Result<V, E>> + Send + Sync + 'static) -> Self {
        Self::builder().build_per_key(function)
    }

    /// A batcher with settings: a name, a limit on a batch's size, a window.
    pub fn builder() -> BatcherBuilder<K, V, E> {
        BatcherBuilder::new()
    }

    fn with(settings: Settings, function: impl Fn(&[K]) -> Outcome<K, V, E> + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                queue: Mutex::new(Queue::new()),
                missing: AtomicU64::new(0),
                hasher: RandomState::new(),
                settings,
                function: Box::new(function),
            }),
        }
    }

    /// Callers that wait in [`load`](Self::load): for their batch to start, or for it to land. Leaders do not
    /// count. A snapshot, for dashboards, and for tests that have to know that somebody queues.
    pub fn waiting(&self) -> usize {
        self.inner.queue.lock().waiting
    }

    /// Distinct keys whose batch has not started. A snapshot.
    pub fn queued(&self) -> usize {
        self.inner.queue.lock().queued()
    }

    /// What this batcher has done so far. See [`BatchStats`].
    pub fn stats(&self) -> BatchStats {
        let mut stats = self.inner.queue.lock().stats.clone();
        stats.missing = self.inner.missing.load(Ordering::Relaxed);
        stats
    }

    /// A call with options: a timeout or a deadline. See [`BatchCall`].
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> BatchCall<'a, K, V, E, Q> {
        BatchCall::new(self, key)
    }

    /// The function's answer for this key.
    ///
    /// Runs the function at once, on this thread, if no batch is running (and there is no window). Otherwise blocks
    /// until the batch with this key has landed, which this thread may be woken to lead. It waits for at most the
    /// batches before its own: without `max_batch`, that is the one which is running.
    ///
    /// # Errors
    ///
    /// - [`Error::Work`]: the function returned an error, for the batch or for this key.
    /// - [`Error::Missing`]: the function did not return this key.
    /// - [`Error::Panicked`]: the function panicked, on the thread of another caller of this batch.
    /// - [`Error::Deadlock`]: this is the function's own thread; the call would wait for itself. Seen on the
    ///   thread that runs the function, not on others which it starts and joins.
    ///
    /// # Panics
    ///
    /// When the function panics while this thread leads. When the `Hash`, `Eq`, `ToOwned` or `Clone` that this call
    /// needs does: that panic stays with this caller, and with the others of its batch if it hit the function.
    /// (As everywhere in Rust, a `Drop` that panics during a panic aborts the process.)
    ///
    /// `K::eq` is called with the batcher's lock held and must not call the batcher; nothing else of yours is.
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

impl<K, V, E> Clone for Batcher<K, V, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, E> fmt::Debug for Batcher<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, queued, waiting) = {
            let queue = self.inner.queue.lock();
            (queue.busy().map(|running| running.number), queue.queued(), queue.waiting)
        };
        f.debug_struct("Batcher")
            .field("name", &self.inner.settings.name)
            .field("running", &running)
            .field("queued", &queued)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

// A panic leaves no batcher half-changed: user code runs outside the lock, but for `K::eq`, which runs before
// anything is changed. What the function itself shares with others is the function's, as after any panic.
impl<K, V, E> UnwindSafe for Batcher<K, V, E> {}
impl<K, V, E> RefUnwindSafe for Batcher<K, V, E> {}
