//! Blocking request coalescing for programs built on std threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod batch;
mod engine;
mod error;
mod landing;
mod sync;

pub use batch::{BatchCall, BatchStats, Batcher, BatcherBuilder};
pub use error::{Deadlock, Error, Hop, Panic};
pub use landing::{Landing, Role};
