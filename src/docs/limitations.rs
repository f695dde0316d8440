//! What the crate does not do, and when not to use it.
//!
//! # It is not a cache
//!
//! Once a flight has landed nothing is kept. If the value may be used again, put a cache behind the group (and the
//! [double check](super::patterns#a-cache-that-does-not-stampede) into the flight). A cache with eviction that
//! also loads each key once, such as moka or quick_cache, may be all you need, if its answers to panics, errors
//! and re-entry suit you: the page [`comparison`](super::comparison) has them, and [`caches`](super::caches) shows both
//! together.
//!
//! # It is not async
//!
//! Every call blocks its thread, except [`spawn`](crate::Call::spawn), which hands the work to another. On an async
//! runtime's threads that is wrong; there, use the runtime's own crates.
//!
//! # It does not interrupt work
//!
//! A deadline ends a *wait*. A closure that hangs, hangs its leader; its followers leave by their deadlines, and
//! [`takeover_after`](crate::Call::takeover_after) or [`forget`](crate::Group::forget) lets the next caller start
//! anew. Give the work itself deadlines: a timeout on the socket, a limit on the query.
//!
//! # Followers share the leader's fate
//!
//! Its latency, its permissions, its deadline, its error. Whatever the outcome depends on belongs in the key: the
//! tenant, the role, the locale. Where a failure may be the leader's alone, see
//! [`share_failures(false)`](crate::GroupBuilder::share_failures).
//!
//! # What the deadlock check does not see
//!
//! Only waits inside this crate's blocking calls. Not: waiting on a receiver, joining a thread, a full pool or
//! channel, a mutex, another process, [`CancelToken::wait`](crate::CancelToken::wait). A closure that waits for one of
//! these while it waits for the closure hangs, as it would without the crate.
//!
//! A hedged call waits for any of its attempts. It is refused when no further attempt is to come and all that run
//! wait for it. Before that, while its delay lasts, it counts as a wait that ends by itself. So a deadlock inside a
//! hedge is found after [`max`](crate::Hedge::max) delays at the latest. An attempt that a pool of the program's own
//! has taken and not begun counts as one that will begin.
//!
//! An error group's task is told when it waits for the thread that opened the scope, because that thread cannot
//! leave without it. A spawned flight or a hedge's attempt is not bound to a thread in this way: there the one that
//! waits last is told.
//!
//! A `WriteGroup` closure, or a group's, must not call its own group for its own key on the same thread: the call
//! is refused with [`Error::Deadlock`](crate::Error::Deadlock), or in the verbs without a `Result` panics.
//!
//! # Under the lock of a shard
//!
//! The key's `Eq` and, for a new leader, its `to_owned` run under it, and
//! [`flights`](crate::Group::flights) clones keys there. They must be quick and must not call the group. Everything
//! else of yours, `Hash`, `Clone`, `Drop` and all closures, runs outside.
//!
//! # Panics
//!
//! A panic is contained only where panics unwind: with `panic = "abort"` it ends the process, as it would anyway. A
//! `Drop` that panics while another panic unwinds aborts, as everywhere in Rust. The panic hook runs once, for the
//! leader's panic; followers get its message as a value.
//!
//! # Fairness
//!
//! Of queued writes the newest runs and covers the others, so that there is no queue to be fair about. Which of
//! several callers becomes the leader of an idle key is decided by the shard's lock, which makes no promise.
//!
//! # Fork
//!
//! Flights in the air when a process forks are in the air for ever in the child, whose copies of their leaders do
//! not exist. Fork before the first call, or use new groups in the child.
//!
//! # More than one process
//!
//! Each process collapses its own calls only. With the feature `redis` the module `fleet` does it for many; what that can
//! and cannot promise is on its own page, `docs::fleet`.
//!
//! # Where it does not pay
//!
//! * Work that takes less than a few microseconds: two locks and, for followers, a sleep and a wake-up cost more.
//! * Keys that hardly ever coincide: each call pays some 10 to 50 ns for nothing
//!   (see [`performance`](super::performance)).
//! * Outcomes that must not be shared: one-time tokens, anything a caller consumes.
