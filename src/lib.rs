//! Blocking request coalescing for programs built on std threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod cancel;
mod engine;
mod error;
mod landing;
mod sync;

pub use cancel::{CancelToken, Cancelled};
pub use error::{Deadlock, Error, Hop, Panic};
pub use landing::{Landing, Role};
