//! Pages: more than fits beside an item.
//!
//! Everything shown here is compiled and run as a test, here (with the features it needs) or in the package of the peers.
//!
//! * [`patterns`]: how to use the groups for what they are for, with the traps.
//! * [`types`]: keys and errors: which types work, and the line that the compiler asks for.
//! * [`observing`]: what is stuck now, spans, meters, and what to make of them at 3 a.m.
//! * [`caches`]: a cache with eviction behind a group, read-through and stale while refresh.
//! * [`comparison`]: what other crates, and Go's and Java's, do in the same situations, each fact with its test.
//! * [`limitations`]: what the crate does not do, and when not to use it.
//! * `fleet` (feature `redis`): more than one process.
//! * [`internals`]: how it works, for whoever reads the code or doubts it.
//! * [`performance`]: what it costs, beside what a user would pick instead.

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
