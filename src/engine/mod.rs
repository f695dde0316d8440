//! The state machine behind both groups.
pub(crate) mod panics;
