//! Whether a call would wait for itself.

use super::queue::Running;
use crate::error::Hop;
use crate::site::{Kind, Site};
use crate::sync::{ThreadId, current_thread};
use std::sync::Arc;

/// The hop that leads back to the calling thread, where the running batch is led by it: the function called its
/// own batcher. Sees this one batcher only; a circle through several threads is for the crate's wait-for graph.
pub(super) fn would_wait_for_itself(running: Option<&Running>, me: &ThreadId, name: Option<&Arc<str>>) -> Option<Hop> {
    let running = running.filter(|running| running.thread.as_ref() == Some(me))?;
    let thread = current_thread();
    let thread = match thread.name() {
        Some(name) => format!("thread \"{name}\" ({me:?})"),
        None => format!("{me:?}"),
    };
    let site = match name {
        Some(name) => Site::new(Kind::Batcher).named(&**name),
        None => Site::new(Kind::Batcher),
    };
    Some(Hop::new(site, running.number, thread))
}
