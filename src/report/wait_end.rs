//! How a wait ended, and what its span links to.

use crate::error::Deadlock;
use crate::observer::Ending;
#[cfg(feature = "tracing")]
use crate::sync::Arc;

/// A landed flight's span, to link to.
#[derive(Default)]
pub(crate) struct Trace {
    #[cfg(feature = "tracing")]
    pub(super) span: Option<Arc<tracing::Span>>,
}

/// How a wait ended.
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "only spans say how a wait ended"))]
pub(crate) enum WaitEnd<'a> {
    Landed(Ending, &'a Trace),
    Led,
    TimedOut,
    Cancelled,
    Deadlock(&'a Deadlock),
    BoardsAgain,
}
