//! Blocking request coalescing for programs built on std threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod builder;
mod engine;
mod error;
mod group;
mod landing;
mod observer;
mod stats;
mod sync;
mod write_group;
pub mod docs {
    //! Pages.
    pub mod patterns {
        //! x
    }
}

pub use builder::{GroupBuilder, WriteGroupBuilder};
pub use engine::Job;
pub use error::{Deadlock, Error, Hop, Panic};
pub use group::{Call, Group, TimedCall};
pub use landing::{Landing, Role};
pub use observer::{Ending, Event, EventKind};
pub use stats::{FlightInfo, Stats};
pub use write_group::{TimedWriteCall, WriteCall, WriteGroup};
