//! How to put a cache with eviction behind a group: read-through with `quick_cache` and with `moka`, and serving what
//! is stale while one refresh runs.
//!
//! * [Do you need both?](#do-you-need-both)
//! * [Read-through with `quick_cache`](#read-through-with-quick_cache)
//! * [Read-through with `moka`](#read-through-with-moka)
//! * [Stale while refresh](#stale-while-refresh)
//! * [After a write](#after-a-write)
//!
//! The code on this page is in files of its own, `src/docs/caches/*.rs`, which the tests in
//! `benches/peers/tests/caches` compile as they are and run against the real caches, so that this crate depends on
//! none:
//!
//! ```text
//! cargo test --manifest-path benches/peers/Cargo.toml --test caches
//! ```
//!
//! # Do you need both?
//!
//! moka (`get_with`, `try_get_with`) and quick_cache (`get_or_insert_with`) load a missing key once by themselves. If that
//! suits you, take one of them alone: it is less code and one hash less. What a group adds, each with its test on the page
//! [`comparison`](super::comparison):
//!
//! * If a load panics, all callers that wait get an [`Error`](crate::Error). The caches run the load again for each of them,
//!   one after the other. quick_cache does the same if a load fails.
//! * If a loader asks for its own key, or two ask for each other's, one call gets
//!   [`Error::Deadlock`](crate::Error::Deadlock). In the caches they hang.
//! * [`timeout`](crate::Call::timeout), [`cancel`](crate::Call::cancel), [`fresh`](crate::Call::fresh),
//!   [`spawn`](crate::Group::spawn), [`takeover_after`](crate::Call::takeover_after),
//!   [`max_followers`](crate::GroupBuilder::max_followers), and [`flights`](crate::Group::flights), which shows what is
//!   loading now, and for how long.
//! * With moka, a load that was in the air when the key was invalidated fills the cache with the old value: see
//!   [After a write](#after-a-write).
//!
//! Use the cache only for `get` and `insert` then, and let the group load.
//!
//! # Read-through with `quick_cache`
//!
//! [`read_through`](crate::Group::read_through) looks into the cache twice. With the first look a hit costs nothing but the
//! cache. The second look, inside the flight, is for a caller that missed just before another flight landed: without it, it
//! would load the value again. All callers that waited get an error. It is not kept: the next caller tries again.
//!
#![cfg_attr(not(doctest), doc = "```")]
#![cfg_attr(not(doctest), doc = include_str!("caches/read_through_quick_cache.rs"))]
#![cfg_attr(not(doctest), doc = "```")]
//!
//! # Read-through with `moka`
//!
//! The same, with values that expire:
//!
#![cfg_attr(not(doctest), doc = "```")]
#![cfg_attr(not(doctest), doc = include_str!("caches/read_through_moka.rs"))]
#![cfg_attr(not(doctest), doc = "```")]
//!
//! # Stale while refresh
//!
//! Use this if a value that is a little old is better than a wait. A caller that finds a stale value takes it and goes on, while
//! one refresh runs on a thread of the group or its [executor](crate::GroupBuilder::executor). A caller that finds no value
//! waits, in the same flights. If a refresh fails or panics, the old value stays.
//!
//! Here moka's `time_to_live` is the age at which a value is gone, and a shorter age inside the entry is the age at which it is
//! stale. quick_cache has no ages: keep both in the entry there.
//!
#![cfg_attr(not(doctest), doc = "```")]
#![cfg_attr(not(doctest), doc = include_str!("caches/stale_while_refresh.rs"))]
#![cfg_attr(not(doctest), doc = "```")]
//!
//! * Each read of a stale value while a refresh is in the air leaves a small allocation with the flight until it lands.
//! * Without an executor, refreshes run on threads of the group: one for each refresh at the same time. They are reused, and
//!   leave after some idle seconds.
//! * `retry_after` does not delay the next try after a panic: the next read starts another refresh. Catch the panics that you
//!   expect.
//! * Only *reads* refresh. A key that nobody reads is evicted, and costs nothing.
//!
//! # After a write
//!
//! All three keep what they loaded. A load that looked at the source before a write may store the old value after it. The
//! cache's own `remove` or `invalidate` helps in one cache and not in another (`freshness::after_a_write` in
//! [`comparison`](super::comparison)). With every cache the version check in
//! [writes, reads and a cache](super::patterns#writes-reads-and-a-cache) helps: keep a version with the entry, raise it before
//! and after the write, and insert a value only if the version is still the one under which it was loaded. Use it together with
//! [`invalidates`](crate::WriteGroupBuilder::invalidates), so that a read after the write does not join the old load.
