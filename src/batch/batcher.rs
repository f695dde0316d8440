//! The face.

use super::counts::Counts;
use super::keys::{Keys, Rules};
use super::outcome::Outcome;
use super::stats::BatchStats;
use crate::engine::Engine;
use crate::engine::clock::Clock;
use crate::engine::options::Config;
use crate::engine::table::Slot;
use crate::stats::FlightInfo;
use crate::sync::Arc;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hash, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Many threads' keys in one call of a function that takes many.
///
/// A database answers `SELECT .. WHERE id IN (1, 2, 3)` in little more time than it needs for one of them. A write-ahead
/// log syncs a hundred records as quickly as one. With a `Batcher`, code that handles one key on one thread gets that speed
/// without changes:
///
/// ```
/// use flight_group::{Batcher, Error};
/// use std::collections::HashMap;
///
/// // Stands for the client of a database.
/// struct Database;
///
/// impl Database {
///     fn select_in(&self, ids: &[u64]) -> Result<Vec<(u64, String)>, &'static str> {
///         if ids.contains(&13) {
///             return Err("table is locked");
///         }
///         let found = ids.iter().filter(|id| **id < 100);
///         Ok(found.map(|id| (*id, format!("user {id}"))).collect())
///     }
/// }
///
/// let database = Database;
/// let users: Batcher<u64, String, &str> = Batcher::new(move |ids: &[u64]| {
///     // One query: SELECT id, name FROM users WHERE id IN (..)
///     Ok(database.select_in(ids)?.into_iter().collect::<HashMap<_, _>>())
/// });
///
/// assert_eq!(users.load(&7), Ok("user 7".to_owned()));
/// assert_eq!(users.load(&404), Err(Error::missing()));               // no such row
/// assert_eq!(users.load(&13), Err(Error::Work("table is locked")));  // the whole batch failed
/// ```
///
/// # Group commit
///
/// One batch runs at a time. There is no timer and no thread. A caller that finds no batch running runs the function at
/// once, on its own thread, with its one key. Callers that arrive while a batch runs form the next batch. So batches grow
/// when callers come faster than batches end, and only then.
///
/// When a batch lands, exactly one of the next batch's own callers is woken to lead it. No caller works for others. A call
/// takes at most as long as the batch before it, its own batch, and the hand-over in between. (LevelDB's writer queue,
/// and PostgreSQL's and etcd's group commit work in this way.)
///
/// With [`max_batch`](crate::BatcherBuilder::max_batch) no batch has more keys than that, and the other keys form the batch
/// after it. With [`window`](crate::BatcherBuilder::window) the first key of a batch waits for others, as in Hystrix's collapser
/// and bbolt's `Batch`.
///
/// # When it pays
///
/// When a call has a cost that does not grow with its keys, and that cost is more than the cost of waking a thread: a
/// network round trip, a read of a whole table, a sync of a disk. `examples/batch_queries.rs` asks a SQLite file from 32
/// threads on 2 cores, in turns in one run: with a statement for each question, over one connection behind a lock and over
/// a connection for each thread, and through a `Batcher`. Ratios are answers a second, the median of the rounds, the least
/// and the greatest; below 1 the `Batcher` loses:
///
/// | question               | a statement alone | `Batcher` / one connection, locked | `Batcher` / a connection each | p99: locked, each, `Batcher` |
/// |------------------------|------------------:|-----------------------------------:|------------------------------:|-----------------------------:|
/// | by key, one thread     |              3 µs |                1.03 (0.26 to 1.25) |           0.84 (0.27 to 1.37) |                3, 3, 4 µs    |
/// | by primary key         |              2 µs |                1.02 (0.75 to 1.45) |           0.44 (0.28 to 0.64) |         3 µs, 5 µs, 4.0 ms   |
/// | a scan of 100 rows     |              4 µs |                0.70 (0.30 to 1.23) |           0.37 (0.16 to 0.66) |         5 µs, 4 µs, 3.7 ms   |
/// | a scan of 1,000 rows   |             17 µs |                0.66 (0.61 to 0.93) |           0.57 (0.50 to 0.75) |      4.1 ms, 46 µs, 5.2 ms   |
/// | a scan of 20,000 rows  |            271 µs |                2.36 (2.29 to 3.01) |           2.38 (2.26 to 2.78) |           120, 133, 8.1 ms   |
/// | a write that is synced |            4.0 ms |                  112 (17.7 to 130) |                               |                264, 8.0 ms   |
///
/// `cargo run --release --example batch_queries`, run of 2026-11-25 with other builds beside it (load average 6 to 8). A
/// sync waits for a free core, too: an earlier run with less load gave 13 in the last line.
///
/// Group commit loses when a call costs less than a thread that sleeps and is woken: here up to 17 µs a statement. Then
/// hardly two keys meet (1.0 to 1.3 keys a statement), and each caller that queues pays for its wake-up. It loses by more
/// where the calls could run side by side, as over a connection for each thread: a `Batcher` makes one call at a time. Do
/// not batch such calls.
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
/// // `rusqlite::Error` is not `Clone`, and every caller of a batch gets the error: `Arc`.
/// let names: Batcher<i64, String, Arc<rusqlite::Error>> =
///     Batcher::builder().max_batch(32_766).build(move |ids: &[i64]| {
///         let connection = connection.lock().unwrap();
///         let holes = vec!["?"; ids.len()].join(",");
///         let sql = format!("SELECT id, name FROM users WHERE id IN ({holes})");
///         let mut query = connection.prepare(&sql)?;
///         let rows = query.query_map(params_from_iter(ids), |row| {
///             Ok((row.get(0)?, row.get(1)?))
///         })?;
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
/// - Its batch *started after it called*. It never gets a value from before the call. (A key that is asked for while a
///   batch with that key runs goes into the next batch. To share a read that is already running, put a
///   [`Group`](crate::Group) around the batcher: `group.try_work(&key, || batcher.load(&key))`.)
/// - If several callers of a batch ask for the same key, the function gets it once, and all of them get the answer.
/// - The keys of one batch are distinct. There is at least one. They are in the order in which they were first asked for,
///   unless some were withdrawn.
/// - What the function did happens before any of its callers' `load` returns.
/// - The function runs with no lock held, on the thread of one of the batch's callers.
/// - Each caller clones its value on its own thread. A batch of one caller moves its value out. Use `Arc<V>` if a clone is
///   costly.
///
/// # Handles
///
/// Cloning makes another handle to the same batcher. When the last one is dropped, the function is dropped. Nothing else is
/// left, and a batcher has no threads. The batcher is `Send` and `Sync` if `K`, `V` and `E` are both.
pub struct Batcher<K, V, E = Infallible> {
    pub(super) inner: Arc<Inner<K, V, E>>,
}

pub(super) type Function<K, V, E> = dyn Fn(&[K]) -> Outcome<K, V, E> + Send + Sync;

/// A batcher is the engine with one key. Its flights are batches, and carry [`Keys`]. A flight lands with the outcome of
/// the whole batch, in which each caller looks up its own key. It lands with `None` if its leader was alone: that one keeps
/// the outcome.
pub(super) type Batches<K, V, E> = Engine<(), Option<Arc<Outcome<K, V, E>>>, Infallible, OneKey, Keys<K>>;

pub(super) struct Inner<K, V, E> {
    pub(super) engine: Batches<K, V, E>,
    pub(super) stats: Counts,
    /// For the keys within a batch.
    pub(super) hasher: RandomState,
    pub(super) function: Box<Function<K, V, E>>,
}

/// Hashes the engine's one key.
pub(super) struct OneKey;

impl BuildHasher for OneKey {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher::new()
    }

    fn hash_one<T: Hash>(&self, _: T) -> u64 {
        0
    }
}

impl<K, V, E> Batcher<K, V, E> {
    pub(super) fn with(
        config: Config<()>,
        rules: Rules,
        function: impl Fn(&[K]) -> Outcome<K, V, E> + Send + Sync + 'static,
    ) -> Self {
        let engine = Engine::new(OneKey, Some(1), config, rules, None, Clock::system());
        let (stats, hasher, function) = (Counts::default(), RandomState::new(), Box::new(function));
        Self { inner: Arc::new(Inner { engine, stats, hasher, function }) }
    }

    /// How many callers wait in [`load`](Self::load) now, for their batch to start or to land. Leaders do not count. For
    /// dashboards, and for tests that wait until a caller is queued.
    pub fn waiting(&self) -> usize {
        self.inner.engine.followers(&())
    }

    /// How many distinct keys wait now for their batch to start.
    pub fn queued(&self) -> usize {
        let keys =
            |slot: &Slot<_, _, _, Keys<K>>| slot.waiting().map(|batch| batch.with_load(|load| load.keys.len())).sum();
        self.inner.engine.look_at(&(), keys).unwrap_or(0)
    }

    /// The batch in the air: what is stuck, since when, and how many callers wait. Empty if no batch is running, since
    /// only one runs at a time.
    ///
    /// A batch is one flight, as in spans, in meters and in a [`Deadlock`](crate::Deadlock), which has the same number. It
    /// has many keys, so the [`FlightInfo`] has none: its `key` is `()`. Its `followers` are all callers that wait, for
    /// this batch or for those behind it: the same as [`waiting`](Self::waiting). Keys that wait for a later batch or for
    /// the window are no flight yet: see [`queued`](Self::queued).
    ///
    /// The age is exact in batchers built with [`timed`](crate::BatcherBuilder::timed), `traced` or `metered`. In others
    /// it counts from the arrival of the first caller that waits, and is `None` while nobody waits. Blocks on nothing.
    ///
    /// ```
    /// use flight_group::{Batcher, crossbeam_channel};
    /// use std::{collections::HashMap, convert::Infallible, thread};
    ///
    /// let (started, has_started) = crossbeam_channel::bounded(1);
    /// let (go_on, may_go_on) = crossbeam_channel::bounded::<()>(1);
    /// let slow = Batcher::builder().timed().build(move |keys: &[u32]| {
    ///     started.send(()).unwrap();
    ///     may_go_on.recv().unwrap();
    ///     Ok::<_, Infallible>(keys.iter().map(|&key| (key, key * 10)).collect::<HashMap<_, _>>())
    /// });
    ///
    /// thread::scope(|scope| {
    ///     let load = scope.spawn(|| slow.load(&1));
    ///     has_started.recv().unwrap();
    ///     let stuck = slow.flights();
    ///     assert_eq!((stuck.len(), stuck[0].followers, stuck[0].running), (1, 0, true));
    ///     assert!(stuck[0].age.is_some());
    ///     go_on.send(()).unwrap();
    ///     assert_eq!(load.join().unwrap(), Ok(10));
    /// });
    /// assert!(slow.flights().is_empty());
    /// ```
    pub fn flights(&self) -> Vec<FlightInfo<()>> {
        self.inner.engine.flights()
    }

    /// What this batcher has done so far. See [`BatchStats`].
    pub fn stats(&self) -> BatchStats {
        self.inner.stats.read(&self.inner.engine.rules)
    }
}

impl<K, V, E> Clone for Batcher<K, V, E> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, E> fmt::Debug for Batcher<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.flights().first().map(|batch| batch.flight);
        f.debug_struct("Batcher")
            .field("name", &self.inner.engine.name())
            .field("running", &running)
            .field("queued", &self.queued())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

// A panic leaves no batcher half-changed: user code runs outside the lock, except `K::eq`, which runs before anything is
// changed.
impl<K, V, E> UnwindSafe for Batcher<K, V, E> {}
impl<K, V, E> RefUnwindSafe for Batcher<K, V, E> {}
