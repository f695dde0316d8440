//! The pages of the documentation.
//!
//! All code on them is compiled and run as a test, in this crate (with the features it needs) or in the package
//! `benches/peers`.
//!
//! * [`patterns`]: how to use the crate, and what to avoid.
//! * [`types`]: which keys and errors fit, and what to write where the compiler complains.
//! * [`observing`]: what is stuck now, spans, meters, and which of them to watch.
//! * [`caches`]: a cache with eviction behind a group, read-through and stale while refresh.
//! * [`comparison`]: what other crates, and Go's and Java's, do in the same situations, each fact with its test.
//! * [`limitations`]: what the crate does not do, and when not to use it.
//! * `fleet` (feature `redis`): more than one process.
//! * [`internals`]: how it works inside.
//! * [`performance`]: what it costs, beside what you would use instead.

pub mod caches;
pub mod comparison;
#[cfg(feature = "redis")]
pub mod fleet;
pub mod internals;
pub mod limitations;
pub mod observing;
pub mod patterns;
pub mod performance;
pub mod types;
