//! Blocking request coalescing for programs built on std threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod cancel;
mod engine;
#[cfg(not(flight_group_loom))]
pub mod err_group;
mod error;
pub mod hedge;
mod landing;
mod sync;

pub use cancel::{CancelToken, Cancelled};
#[cfg(not(flight_group_loom))]
pub use err_group::ErrGroup;
pub use error::{Deadlock, Error, Hop, Panic};
pub use hedge::{Hedge, HedgeError};
pub use landing::{Landing, Role};
