//! Pages: more than fits beside an item.
//!
//! Everything shown here is compiled and run as a test.
//!
//! * [`patterns`]: how to use the groups for what they are for, with the traps.
//! * [`limitations`]: what the crate does not do, and when not to use it.
//! * `fleet` (feature `redis`): more than one process.
//! * [`internals`]: how it works, for whoever reads the code or doubts it.

#[cfg(feature = "redis")]
pub mod fleet;
pub mod internals;
pub mod limitations;
pub mod patterns;
