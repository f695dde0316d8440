//! One attempt, on its way to a thread.

use std::fmt;

/// One attempt of a hedged call, for an [executor](crate::Hedge::executor) to run on some thread.
///
/// [`run`](Self::run) it once, soon, and not on the thread that handed it over: the call waits for it there. Or
/// drop it, which says that no thread is free: the call then makes do with the attempts that are running, offers
/// this one again later, and makes it on the caller's own thread when nothing else is left. A job that is neither
/// run nor dropped keeps its call waiting.
pub struct Job {
    work: Option<Box<dyn Work>>,
}

/// What a job does; none of it panics.
pub(super) trait Work: Send {
    fn run(self: Box<Self>);
    fn refuse(self: Box<Self>);
}

impl Job {
    pub(super) fn new(work: impl Work + 'static) -> Self {
        Self { work: Some(Box::new(work)) }
    }

    /// Makes the attempt, and returns when it has ended. Never panics: what the attempt raises is its call's.
    pub fn run(mut self) {
        if let Some(work) = self.work.take() {
            work.run();
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            work.refuse();
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job(..)")
    }
}
