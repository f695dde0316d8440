//! Events with a payload: merged per key, pushed one run at a time.
//!
//! Nouns stand below verbs: `watchers`; `events`, `agenda`, `stats`, `telling`; `shared`; `group`; then `run`, `crew`, `flush`, `call`,
//! `builder`.

mod agenda;
mod builder;
mod call;
mod crew;
mod events;
mod flush;
mod group;
mod run;
mod shared;
mod stats;
mod telling;
#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod timed_tests;
mod watchers;

pub use builder::EventGroupBuilder;
pub use call::EventCall;
pub use group::EventGroup;
pub use stats::EventStats;
