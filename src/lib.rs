//! Blocking request coalescing for programs built on std threads.
//!
//! Many threads want the same thing at the same moment. One of them does the work, and all of them get the outcome.
//! No async, no runtime, no unsafe code.
//!
//! One rule explains the whole crate:
//!
//! > **A read boards the flight that is already in the air. A write boards the next one.**
//!
//! * [`Group`], for reads. The first caller for a key runs its closure. Callers that arrive while it runs block and share
//!   the outcome. For cache misses, lookups, renders: [`Group::work`], [`Group::try_work`].
//! * [`WriteGroup`], for writes. At most one closure per key runs. Callers that arrive while it runs wait for the *next*
//!   run. There is one next run, however many callers wait for it, and all of them get its outcome. For reloads, saves,
//!   pushes: [`WriteGroup::write`], [`WriteGroup::try_write`].
//!
//! The words are the same everywhere. A *flight* is one execution for one key. Its *leader* is the caller whose closure
//! runs. A *follower* is a caller that waits for it. The flight *lands* with an *outcome*: a value, an error or a panic.
//!
//! ```
//! use flight_group::{Error, Group, Role, WriteGroup};
//! use std::time::Duration;
//!
//! // Reads. The closure may fail; so may the wait.
//! let rows: Group<String, String, String> = Group::new();
//! let row = rows.try_work("user:7", || Ok("Ada".to_owned()));
//! assert_eq!(row, Ok("Ada".to_owned()));
//!
//! let call = rows.call("user:8").timeout(Duration::from_millis(50));
//! match call.run(|| Err("no such row".to_owned())) {
//!     Ok(landing) if landing.role == Role::Leader => println!("we loaded it: {}", landing.value),
//!     Ok(landing) => println!("another caller did the work: {}", landing.value),
//!     Err(Error::Work(why)) => assert_eq!(why, "no such row"),
//!     Err(Error::TimedOut(_)) => println!("another caller is still loading it"),
//!     Err(other) => println!("{other}"), // the leader's panic, a deadlock, too many waiters
//! }
//!
//! // Writes. When the call returns, a run that began after the call is done.
//! let saves: WriteGroup<String> = WriteGroup::new();
//! saves.write("user:7", || { /* write the newest state */ });
//! ```
//!
//! # The companions
//!
//! Each of them blocks, needs no runtime, and is worth using without the others:
//!
//! * [`EventGroup`]: events with a payload. They are merged per key as they arrive, and pushed one run at a time. No event is
//!   dropped for a newer one.
//! * [`Batcher`]: many threads' keys in one call of a function that takes many. Batches grow without a timer.
//! * [`Hedge`]: the first good reply of several attempts, with a budget for the extra ones.
//! * [`ErrGroup`]: tasks on scoped threads that fail together.
//! * [`CancelToken`]: a request to stop, with its cause. [`Call::cancel`], [`ManyCall::cancel`], [`WriteCall::cancel`],
//!   [`EventCall::cancel`] and [`BatchCall::cancel`] end a wait with it.
//! * [`SharedError`]: any error, made cloneable, because all callers of a flight get it.
//!
//! # The promises
//!
//! Each has a number. Tests that check a promise carry its number in their name. The promises hold for every blocking call of
//! the crate where they make sense, not only for the two groups.
//!
//! * **P1 One at a time.** At most one closure runs per key. In a `Group` a second one may run if the flight was forgotten, was
//!   taken over, or is older than `max_age`. The runs of a `WriteGroup` or an `EventGroup` key never overlap. Different keys
//!   never wait for each other's work, only for a shard's lock, which is held for nanoseconds. The only user code under that
//!   lock is `K::eq` and, for a new leader, the key's `to_owned`. If one of them panics, the table is unchanged.
//! * **P2 Overlap.** A read gets the outcome of a flight that was in the air at some moment of its call. Nobody joins a flight
//!   that has landed.
//! * **P3 Fresh.** A write, and a read with [`fresh`](Call::fresh), gets the outcome of a flight whose closure started after
//!   the call arrived. A burst that arrives during one run costs at most one more run.
//! * **P4 Newest wins.** Of the queued writes whose callers still wait when the next run starts, the newest runs. The others
//!   get its outcome. Their closures are dropped unrun, and not before that run has landed.
//! * **P5 A panic strands nobody.** A closure, `merge`, `Clone`, `Drop`, `Hash`, `Eq`, an observer or an executor may panic.
//!   Every waiter returns, the key works afterwards, and no other key is touched. The leader's panic goes on in the leader, with
//!   its own payload. Followers get [`Error::Panicked`] with the message, and never a false success.
//! * **P6 Deadlines and cancellation.** A wait ends at its deadline, or when its [`CancelToken`] is cancelled. No other caller
//!   is disturbed. If the outcome is ready, the caller gets the outcome. The work itself is never interrupted. A timeout of zero
//!   means: do not wait. `Duration::MAX` means: for ever.
//! * **P7 No silent deadlock.** A call that would wait for itself, on its own thread or through several threads, returns
//!   [`Error::Deadlock`] at once. So does a circle through any mix of `Group`, `WriteGroup`, `EventGroup`, `Batcher`, `Hedge` and
//!   `ErrGroup`. The error names each hop: the kind, the group's name, the flight, the thread, and the key in groups with
//!   `debug_keys`. There is no false alarm. What the check does not see is listed in
//!   [`docs::limitations`](docs::limitations#what-the-deadlock-check-does-not-see).
//! * **P8 Nothing left behind.** An idle group holds no entry, key, value or thread. Each shard keeps room for at most 8 slots.
//! * **P9 Happens-before.** All that the leader's closure did happens before any follower's call returns.
//! * **P10 Forget is exact.** [`forget`](Group::forget) detaches the flight in the air. Its callers still get its outcome, and
//!   the next caller starts anew. The landing of the old flight never removes the new one. `max_age` and take-over detach in the
//!   same way. Callers queued behind the detached flight go into the air at once.
//! * **P11 Hand-over.** When a write lands, the next run is done by one of its own callers. Exactly one thread is woken to lead.
//! * **P12 Your closure is yours.** It runs at most once, on its caller's own thread (a spawned one: on the executor), or is
//!   dropped unrun before the call returns. The crate never parks or unparks a caller's thread.
//! * **P13 Nothing accepted is lost.** An event that [`push`](EventGroup::push) or [`submit`](EventGroup::submit) accepted is
//!   delivered once, reported as failed, or handed back to the program. This holds for every thread that drops the last
//!   handle, also inside a closure, on a worker or in a destructor.
//! * **P14 Bounded.** What waits is bounded by what you bounded: threads by `limit` and `workers`, the memory of queued events
//!   by `capacity`, counted after merging. The depth of the stack is bounded by a constant, however long a chain of calls,
//!   tasks or jobs is.
//!
//! # The pages
//!
//! | page | what it has |
//! | --- | --- |
//! | [`docs::patterns`] | how to use the crate: cache stampede, config reload, events, thread pools, rayon, retries |
//! | [`docs::types`] | which keys and errors fit, and what to write where the compiler complains |
//! | [`docs::caches`] | moka or quick_cache behind a group |
//! | [`docs::observing`] | what is stuck now; traces (feature `tracing`); a dashboard (feature `metrics`) |
//! | [`docs::limitations`] | what the crate does not do |
//! | [`docs::comparison`] | what other crates do instead, each fact with its test |
//! | [`docs::performance`] | what it costs |
//! | [`docs::internals`] | how it works |
#![cfg_attr(feature = "redis", doc = "| [`docs::fleet`] | one flight in many processes, and leases |")]
#![cfg_attr(
    not(feature = "redis"),
    doc = "| `docs::fleet` (feature `redis`) | one flight in many processes, and leases |"
)]
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `tracing` | `traced()` on the builders: a span for each flight and each wait. See [`docs::observing`]. |
//! | `metrics` | `metered()` on the builders: counters, gauges and histograms. See [`docs::observing`]. |
//! | `redis` | The module `fleet`: one flight in many processes, and leases, on Redis or Valkey. Needs Rust 1.88. |
//! | `postcard` | A compact codec for `fleet`. |
//! | `redis-rustls`, `redis-native-tls` | TLS to Redis. |
//!
//! # Minimum Rust and dependencies
//!
//! Rust 1.85. Without features the crate depends on parking_lot, crossbeam-channel, once_cell and hashbrown. A target without
//! 64-bit atomics is refused.
// docs.rs builds with a nightly compiler and sets this cfg: each item that needs a feature then has a badge that names it.
// The model checkers' cfgs are none of a user's business. A stable build has neither line.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(docsrs, doc(auto_cfg(hide(flight_group_shuttle, flight_group_loom))))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod docs;

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "flight-group needs 64-bit atomics, which this target lacks (`rustc --print cfg` shows no target_has_atomic=\"64\")"
);

mod batch;
mod cancel;
mod engine;
#[cfg(not(flight_group_loom))]
pub mod err_group;
mod error;
mod event_group;
mod face;
#[cfg(feature = "redis")]
pub mod fleet;
mod group;
pub mod hedge;
mod landing;
mod observer;
mod report;
mod settings;
mod shared_error;
mod site;
mod stats;
mod sync;
mod threads;
mod write_group;

pub use batch::{BatchCall, BatchStats, Batcher, BatcherBuilder};
pub use cancel::{CancelToken, Cancelled};
/// The channels of [`Group::spawn`] and [`WriteGroup::spawn`]: their `Receiver` is crossbeam-channel's. Re-exported so that
/// a program can name it, and use `select!`, without a dependency of its own.
pub use crossbeam_channel;
pub use engine::Job;
#[cfg(not(flight_group_loom))]
#[doc(inline)]
pub use err_group::ErrGroup;
pub use error::{Deadlock, Error, Hop, Panic};
pub use event_group::{EventCall, EventGroup, EventGroupBuilder, EventStats};
pub use group::{Call, Group, GroupBuilder, ManyCall};
#[doc(inline)]
pub use hedge::{Hedge, HedgeError};
pub use landing::{Landing, Role};
pub use observer::{Ending, Event, EventKind, FleetRole};
pub use shared_error::SharedError;
pub use site::{Kind, Site};
pub use stats::{FlightInfo, Stats};
pub use write_group::{WriteCall, WriteGroup, WriteGroupBuilder};

/// The README's snippets, compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
