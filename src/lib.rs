//! Blocking request coalescing for programs built on std threads.
//!
//! Many threads want the same thing at the same moment; one of them does the work, and everyone gets the outcome.
//! No async, no runtime, no unsafe code.
//!
//! One rule explains the whole crate:
//!
//! > **A read boards the flight that is already in the air. A write boards the next one.**
//!
//! * [`Group`], for reads: the first caller for a key runs its closure; callers that arrive while it runs block and
//!   share the outcome. For cache misses, lookups, renders: [`Group::work`], [`Group::try_work`].
//! * [`WriteGroup`], for writes: at most one closure per key runs; callers that arrive while it runs wait for the
//!   *next* run, of which there is one however many they are. For reloads, saves, pushes: [`WriteGroup::write`],
//!   [`WriteGroup::try_write`].
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
//! match rows.call("user:8").timeout(Duration::from_millis(50)).run(|| Err("no such row".to_owned())) {
//!     Ok(landing) if landing.role == Role::Leader => println!("we did the work: {}", landing.value),
//!     Ok(landing) => println!("somebody did it for us: {}", landing.value),
//!     Err(Error::Work(why)) => assert_eq!(why, "no such row"),
//!     Err(Error::TimedOut(_)) => println!("somebody is still at it"),
//!     Err(other) => println!("{other}"), // its panic, a deadlock, too many waiters
//! }
//!
//! // Writes. Whoever returns knows that a run which began after it called is done.
//! let saves: WriteGroup<String> = WriteGroup::new();
//! saves.write("user:7", || { /* write the newest state */ });
//! ```
//!
//! Around these two, for the same kind of program, each worth using without the others:
//!
//! * [`EventGroup`]: events with a payload, merged per key and pushed one run at a time; nothing is dropped.
//! * [`Batcher`]: many threads' keys in one call of a function that takes many, without a timer.
//! * [`Hedge`]: the first good reply of several attempts, with a budget.
//! * [`ErrGroup`]: scoped tasks that fail together, and [`CancelToken`], which tells them.
//!
//! # The promises
//!
//! Each has an id; tests name the promise they check.
//!
//! * **P1 One at a time.** For one key at most one closure runs. (`Group` only: unless the flight was forgotten,
//!   taken over, or older than `max_age`.) Different keys never wait for each other's work.
//! * **P2 Overlap.** A caller of `Group` gets the outcome of a flight that was in the air during its call. A landed
//!   flight is never joined.
//! * **P3 Fresh.** A caller of `WriteGroup`, or of `Group` with [`fresh`](Call::fresh), gets the outcome of a
//!   flight whose closure started after the call arrived; a burst during one run costs at most one more.
//! * **P4 Newest wins.** Of the closures queued for a run the newest of those still waiting runs; the others are
//!   dropped unrun, and their callers return when it lands.
//! * **P5 A panic strands nobody**: of the closure, of `Clone`, `Drop`, `Hash` or `Eq`. The leader's goes on
//!   unwinding with its own payload, followers get [`Error::Panicked`], the key works afterwards.
//! * **P6 Deadlines.** A follower's wait ends at its deadline and disturbs no one else; an outcome that is there
//!   wins. Work is never interrupted.
//! * **P7 No silent deadlock.** A call that would wait for itself, on its own thread or round a circle of threads
//!   and groups, returns [`Error::Deadlock`] at once and names each hop. No false alarm.
//! * **P8 Nothing left behind.** An idle group holds no entry, key, value or thread.
//! * **P9 Happens-before.** All that the leader's closure did happens before any follower's call returns.
//! * **P10 Forget is exact.** A detached flight's landing never removes its successor.
//! * **P11 Hand-over, not draining.** The next write is run by one of its own callers; one thread is woken to lead.
//! * **P12 Your closure is yours.** It runs at most once, on your thread (spawned: on the executor), or is dropped
//!   before the call returns. Your thread's `unpark` token is not touched.
//!
//! [`docs::observing`] shows how to see what a group does: now, in traces (feature `tracing`) and on a dashboard
//! (feature `metrics`). What it does not do is in [`docs::limitations`]; how to use it for what, in
//! [`docs::patterns`]; how it works, in [`docs::internals`]; a cache behind it, in [`docs::caches`]; what other crates
//! do instead, in [`docs::comparison`].
//!
//! # Dependencies
//!
//! parking_lot, crossbeam-channel, once_cell and hashbrown. Feature `redis` adds the module `fleet`: one flight in many
//! processes, and leases. Features `tracing` and `metrics` add the facades of these names: see [`docs::observing`].
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod docs;

mod batch;
mod builder;
mod cancel;
mod engine;
#[cfg(not(flight_group_loom))]
pub mod err_group;
mod error;
mod event_group;
#[cfg(feature = "redis")]
pub mod fleet;
mod group;
pub mod hedge;
mod landing;
mod observer;
mod report;
mod shared_error;
mod site;
mod stats;
mod sync;
mod write_group;

pub use batch::{BatchCall, BatchStats, Batcher, BatcherBuilder};
pub use builder::{GroupBuilder, WriteGroupBuilder};
pub use cancel::{CancelToken, Cancelled};
pub use engine::Job;
#[cfg(not(flight_group_loom))]
pub use err_group::ErrGroup;
pub use error::{Deadlock, Error, Hop, Panic};
pub use event_group::{EventCall, EventGroup, EventGroupBuilder, EventStats, TimedEventCall};
pub use group::{Call, Group, TimedCall};
pub use hedge::{Hedge, HedgeError};
pub use landing::{Landing, Role};
pub use observer::{Ending, Event, EventKind};
pub use shared_error::SharedError;
pub use site::{Kind, Site};
pub use stats::{FlightInfo, Stats};
pub use write_group::{TimedWriteCall, WriteCall, WriteGroup};

/// The README's snippets, compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
