//! The work of a spawned flight, and its way to an executor.

use crate::engine::panics::quietly;
use crate::sync::per_thread;
use crate::threads::Run;
use std::cell::RefCell;
use std::collections::VecDeque;

/// The work of one flight, for an executor to run.
///
/// The closure given to [`GroupBuilder::executor`](crate::GroupBuilder::executor) receives it. Run it on any thread,
/// now or later. If it is dropped unrun, its flight is abandoned: its receivers get
/// [`Error::Abandoned`](crate::Error::Abandoned), and every caller that still has a closure boards again.
///
/// ```
/// use flight_group::{Group, Job, crossbeam_channel};
///
/// let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
/// let worker = std::thread::spawn(move || queue.into_iter().for_each(Job::run));
///
/// let group: Group<u32, u32> =
///     Group::builder().executor(move |job| drop(jobs.send(job))).build();
/// let receiver = group.spawn(&6, || Ok(36));
/// assert_eq!(receiver.recv().unwrap().unwrap().value, 36);
///
/// drop(group);          // and with it the executor, which has the queue's only sender
/// worker.join().unwrap();
/// ```
#[must_use = "a job that is dropped abandons its flight"]
pub struct Job(Option<Box<dyn Task>>);

pub(super) trait Task: Send {
    fn run(self: Box<Self>);
    fn abandon(self: Box<Self>);
}

impl Job {
    pub(super) fn new(task: Box<dyn Task>) -> Self {
        Self(Some(task))
    }

    /// Runs the flight's closure on the calling thread and delivers its outcome.
    ///
    /// Blocks as long as the closure runs. Does not panic if the closure does: the panic is caught after the panic
    /// hook has reported it, and the receivers get [`Error::Panicked`](crate::Error::Panicked). The worker that
    /// called it goes on.
    pub fn run(mut self) {
        if let Some(task) = self.0.take() {
            task.run();
        }
    }
}

impl Run for Job {
    fn run(self) {
        Self::run(self);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abandon();
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

/// A job on its way to its group's executor.
pub(crate) struct Dispatch {
    pub(super) job: Job,
    pub(super) hand_over: Box<dyn FnOnce(Job) + Send>,
}

impl Dispatch {
    /// Hands the job over, outside every lock.
    ///
    /// An executor that runs (or drops) the job at once makes its flight land at once, which may bring up the next
    /// job. Then the inner call only queues that job, and the outer one hands it over when it gets its thread back:
    /// however long the chain, the stack stays as deep as one job.
    pub(crate) fn dispatch(self) {
        per_thread! {
            static PENDING: RefCell<Option<VecDeque<Dispatch>>> = RefCell::new(None);
        }
        let mut next = PENDING.with(|pending| match &mut *pending.borrow_mut() {
            Some(queue) => {
                queue.push_back(self);
                None
            }
            idle => {
                *idle = Some(VecDeque::new());
                Some(self)
            }
        });
        while let Some(Self { job, hand_over }) = next {
            // An executor that panics drops the job while it unwinds: that abandons the flight and tells its
            // receivers. The job is often another caller's, so the calling thread goes on.
            quietly(move || hand_over(job));
            next = PENDING.with(|pending| {
                let mut pending = pending.borrow_mut();
                let next = pending.as_mut().and_then(VecDeque::pop_front);
                if next.is_none() {
                    *pending = None;
                }
                next
            });
        }
    }
}
