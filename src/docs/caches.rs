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
//! moka (`get_with`, `try_get_with`) and quick_cache (`get_or_insert_with`) load a missing key once by themselves. If
//! that suits you, take one of them alone: it is less code and one hash less. What a group adds is on the page
//! [`comparison`](super::comparison), each with its test:
//!
//! * A load that panics is told to all who wait as an [`Error`](crate::Error); the caches run it again for each of
//!   them, one after the other. So does quick_cache with a load that fails.
//! * A loader that asks for its own key, or two that ask for each other's, gets
//!   [`Error::Deadlock`](crate::Error::Deadlock) instead of hanging.
//! * [`timeout`](crate::Call::timeout), [`fresh`](crate::Call::fresh), [`spawn`](crate::Call::spawn),
//!   [`takeover_after`](crate::Call::takeover_after), [`max_followers`](crate::GroupBuilder::max_followers), and
//!   [`flights`](crate::Group::flights) to see what is loading now, and for how long.
//! * With moka, a load that was in the air when the key was invalidated fills the cache with the old value; see
//!   [After a write](#after-a-write).
//!
//! Then use the cache for `get` and `insert` only, and let the group load.
//!
//! # Read-through with `quick_cache`
//!
//! The cache is looked at twice. The first look makes a hit cost nothing but the cache. The second, inside the flight,
//! is for the caller that missed just before another's flight landed: without it, it would load the value again. An
//! error is shared by all who waited and is not kept: the next caller tries again.
//!
#![cfg_attr(not(doctest), doc = "```")]
#![cfg_attr(not(doctest), doc = include_str!("caches/read_through_quick_cache.rs"))]
#![cfg_attr(not(doctest), doc = "```")]
//!
//! # Read-through with `moka`
//!
//! The same, and values grow old:
//!
#![cfg_attr(not(doctest), doc = "```")]
#![cfg_attr(not(doctest), doc = include_str!("caches/read_through_moka.rs"))]
#![cfg_attr(not(doctest), doc = "```")]
//!
//! # Stale while refresh
//!
//! Where a value that is a little old is better than a wait: whoever finds a stale one takes it and goes on, while one
//! refresh runs on a thread of the group's [executor](crate::GroupBuilder::executor). Whoever finds none waits, in
//! the same flights. A refresh that fails or panics leaves the old value where it is.
//!
//! Here that is moka's `time_to_live` with a shorter age inside it. quick_cache has no ages: keep the second one in the
//! entry, too.
//!
#![cfg_attr(not(doctest), doc = "```")]
#![cfg_attr(not(doctest), doc = include_str!("caches/stale_while_refresh.rs"))]
#![cfg_attr(not(doctest), doc = "```")]
//!
//! * Each read of a stale value while a refresh is in the air leaves a receiver with it, a small allocation, until
//!   it lands. Without an executor every refresh is a thread of its own.
//! * A refresh that panics is not put off by `retry_after`: the next read starts another. Catch what you expect.
//! * It is the *reads* that refresh: a key nobody reads grows old, is evicted, and costs nothing.
//!
//! # After a write
//!
//! All three keep what they loaded, and a load that looked at the source before a write may store it after. Whether the
//! cache's own `remove` or `invalidate` helps then differs from cache to cache (`freshness::after_a_write` in
//! [`comparison`](super::comparison)). What helps with every one is the version check in
//! [writes, reads and a cache](super::patterns#writes-reads-and-a-cache): remember the version with the entry, raise
//! it before and after the write, and insert only what was loaded under the version that still holds; together with
//! [`invalidates`](crate::WriteGroupBuilder::invalidates), so that nobody who reads after the write joins the old load.
