//! `Batcher`: many threads' keys in one call.
//!
//! Nouns stand below verbs: `outcome`, `keys`, `stats`, `counts`; `batcher`; then `carry`, `call`, `many`, `builder`.

mod batcher;
mod builder;
mod call;
mod carry;
mod counts;
mod keys;
mod many;
mod outcome;
mod stats;

pub use batcher::Batcher;
pub use builder::BatcherBuilder;
pub use call::BatchCall;
pub use stats::BatchStats;
