//! A request to stop, with its cause, that threads can poll, wait for and hand down.

pub use crate::error::Cancelled;

use crate::engine::panics::drop_quietly;
use crate::sync::{self, Arc, Condvar, Duration, Instant, Mutex, OnceCell};
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Weak;

/// A request to stop, with its cause: one side [cancels](Self::cancel), the other polls
/// ([`is_cancelled`](Self::is_cancelled), [`check`](Self::check)) or blocks ([`wait`](Self::wait),
/// [`wait_timeout`](Self::wait_timeout), [`wait_deadline`](Self::wait_deadline)).
///
/// A cancel interrupts nothing: code that never looks at its token runs to its end. Cloning makes another handle to the
/// same token. [`child`](Self::child) makes a new token that is cancelled together with this one, and can be cancelled
/// alone. A token costs one allocation, no thread and no runtime. Polling it is a single atomic load.
/// [`ErrGroup`](crate::ErrGroup) and [`Hedge`](crate::Hedge) give one to each of their tasks. Calls of all groups have
/// [`cancel`](crate::Call::cancel): their wait ends when the token is cancelled.
///
/// It is like Go's `context.WithCancelCause`: a cause, the first one stays, children follow their parent. It has no values
/// and no timers. For a deadline use [`wait_deadline`](Self::wait_deadline).
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
/// use flight_group::CancelToken;
///
/// let token = CancelToken::new();
/// let worker = thread::spawn({
///     let token = token.clone();
///     move || {
///         let mut rounds = 0;
///         // A sleep that a cancel ends at once. `None`: nobody has cancelled.
///         while token.wait_timeout(Duration::from_millis(1)).is_none() {
///             rounds += 1;
///         }
///         (rounds, token.cause().unwrap().to_string())
///     }
/// });
///
/// assert!(token.cancel("the disk is full"));
/// assert!(!token.cancel("too late"), "the first cause stays");
///
/// let (_rounds, cause) = worker.join().unwrap();
/// assert_eq!(cause, "the disk is full");
/// ```
///
/// Inside work that can fail, [`check`](Self::check) and `?` are enough:
///
/// ```
/// use flight_group::{CancelToken, Cancelled};
///
/// fn sum(rows: &[u64], token: &CancelToken) -> Result<u64, Cancelled> {
///     let mut sum = 0;
///     for row in rows {
///         token.check()?;
///         sum += row;
///     }
///     Ok(sum)
/// }
///
/// let token = CancelToken::new();
/// assert_eq!(sum(&[1, 2, 3], &token).unwrap(), 6);
///
/// token.cancel("the user went away");
/// let error = sum(&[1, 2, 3], &token).unwrap_err();
/// assert_eq!(error.to_string(), "cancelled: the user went away");
/// ```
#[derive(Clone)]
pub struct CancelToken {
    node: Arc<Node>,
}

struct Node {
    /// Written once, under `listeners`' lock; read without it.
    cancelled: OnceCell<Cancelled>,
    listeners: Mutex<Listeners>,
    wake: Condvar,
    /// Kept so that a token nobody holds any more still passes its parent's cancel on to its own children.
    parent: Option<Arc<Node>>,
}

#[derive(Default)]
struct Listeners {
    children: Vec<Weak<Node>>,
    /// Once there are so many children the dead are swept out: a long-lived parent of short-lived ones stays small.
    sweep_at: usize,
    /// Ordered by registration; a tree, because it gives its memory back as it shrinks.
    callers: BTreeMap<u64, Arc<dyn Wake>>,
    registered: u64,
}

/// A blocked caller of this crate that a cancel should wake.
pub(crate) trait Wake: Send + Sync {
    /// Called once at most for each registration, with no lock of the token held. It may come a little after the
    /// registration was dropped, if the cancel was on its way by then.
    fn wake(&self);
}

/// As long as it lives, a cancel wakes the caller it was made for; dropping it leaves nothing behind.
#[must_use = "a registration that is dropped wakes nobody"]
pub(crate) struct Registration<'t> {
    token: &'t CancelToken,
    number: u64,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let caller = self.token.node.listeners.lock().callers.remove(&self.number);
        drop(caller); // after the lock: it may be the last handle
    }
}

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::with_parent(None)
    }

    fn with_parent(parent: Option<Arc<Node>>) -> Self {
        let node = Node {
            cancelled: OnceCell::new(),
            listeners: Mutex::new(Listeners::default()),
            wake: Condvar::new(),
            parent,
        };
        Self { node: Arc::new(node) }
    }

    /// A token that is cancelled when this one is, with the same cause. Cancelling the child does not cancel this token or
    /// its other children.
    ///
    /// The child of a cancelled token is cancelled from the beginning. A child that is dropped leaves a few words of memory,
    /// which are freed when further children are made.
    ///
    /// ```
    /// use flight_group::CancelToken;
    ///
    /// let request = CancelToken::new();
    /// let (left, right) = (request.child(), request.child());
    ///
    /// left.cancel("not needed");
    /// assert!(left.is_cancelled() && !right.is_cancelled() && !request.is_cancelled());
    ///
    /// request.cancel("the user went away");
    /// assert_eq!(right.cause().unwrap().to_string(), "the user went away");
    /// assert_eq!(left.cause().unwrap().to_string(), "not needed");
    /// assert!(request.child().is_cancelled());
    /// ```
    #[must_use = "a child nobody holds tells nobody"]
    pub fn child(&self) -> Self {
        let child = Self::with_parent(Some(Arc::clone(&self.node)));
        let mut listeners = self.node.listeners.lock();
        if let Some(cancelled) = self.node.cancelled.get() {
            drop(listeners);
            let _ = child.node.publish(cancelled); // born cancelled: nobody can be waiting for it
        } else {
            listeners.add_child(Arc::downgrade(&child.node));
        }
        child
    }

    /// Wakes `caller` when this token is cancelled; at once, on this thread, if it is already.
    ///
    /// Costs no thread, and nobody polls. Look at the token after this and before sleeping: a cancel either is there
    /// by then, or will wake.
    pub(crate) fn on_cancel(&self, caller: Arc<dyn Wake>) -> Registration<'_> {
        let mut listeners = self.node.listeners.lock();
        listeners.registered += 1;
        let number = listeners.registered;
        // Under the lock: a cancel either has published its cause, or will find this caller in the list.
        if self.is_cancelled() {
            drop(listeners);
            caller.wake();
        } else {
            listeners.callers.insert(number, caller);
        }
        Registration { token: self, number }
    }

    /// Cancels this token and its children, and wakes all threads that wait for them. Does not wait for those threads.
    ///
    /// The cause may be a `&str`, a `String` or any error. Returns whether this call cancelled the token. If the token is
    /// cancelled already, it changes nothing and drops its cause.
    ///
    /// ```
    /// use flight_group::CancelToken;
    /// use std::io;
    ///
    /// let token = CancelToken::new();
    /// assert!(token.cancel(io::Error::new(io::ErrorKind::BrokenPipe, "the client hung up")));
    ///
    /// let cause = token.cause().unwrap();
    /// assert_eq!(cause.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::BrokenPipe);
    /// ```
    pub fn cancel(&self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> bool {
        let cancelled = Cancelled::new(cause);
        match self.node.publish(&cancelled) {
            Some(listeners) => {
                sync::test_delay();
                pass_on(&cancelled, listeners);
                true
            }
            None => false,
        }
    }

    /// Whether the token is cancelled. Never blocks.
    ///
    /// Once it says `true`, all that the canceller did before [`cancel`](Self::cancel) is visible to this thread.
    pub fn is_cancelled(&self) -> bool {
        self.node.cancelled.get().is_some()
    }

    /// The cause given to [`cancel`](Self::cancel), `None` while the token is not cancelled. Never blocks.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.node.cancelled.get().map(Cancelled::cause)
    }

    /// For work that polls: `Ok` while the token is not cancelled. Never blocks.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], with the cause, once it is.
    pub fn check(&self) -> Result<(), Cancelled> {
        match self.node.cancelled.get() {
            Some(cancelled) => Err(cancelled.clone()),
            None => Ok(()),
        }
    }

    /// Blocks until the token is cancelled. Returns at once if it is.
    ///
    /// If only this thread would cancel the token, it waits for ever. The deadlock check does not see this wait.
    pub fn wait(&self) -> Cancelled {
        self.wait_until(None).expect("a wait without a deadline ends with a cancel")
    }

    /// Blocks until the token is cancelled or `timeout` has passed: `None` if it was not cancelled.
    ///
    /// If the token is cancelled when the time is up, the cancel is returned. Zero does not block. `Duration::MAX` waits for
    /// ever. Use it instead of `thread::sleep` in work that can be cancelled.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Cancelled> {
        if timeout.is_zero() {
            return self.check().err();
        }
        self.wait_until(sync::after(timeout))
    }

    /// Blocks until the token is cancelled or `deadline` has passed: `None` if it was not cancelled.
    ///
    /// If the token is cancelled when the time is up, the cancel is returned. A deadline in the past does not block.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use flight_group::CancelToken;
    ///
    /// let token = CancelToken::new();
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// assert!(token.wait_deadline(soon).is_none());
    ///
    /// token.cancel("shutting down");
    /// assert_eq!(token.wait_deadline(soon).unwrap().cause().to_string(), "shutting down");
    /// ```
    pub fn wait_deadline(&self, deadline: Instant) -> Option<Cancelled> {
        self.wait_until(Some(deadline))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<Cancelled> {
        if !self.is_cancelled() {
            let mut listeners = self.node.listeners.lock();
            while !self.is_cancelled() {
                if sync::wait_until(&self.node.wake, &mut listeners, deadline) {
                    break;
                }
            }
        }
        self.node.cancelled.get().cloned()
    }
}

impl Node {
    /// Cancels this node alone: its listeners, to be told, or `None` if it was cancelled before.
    fn publish(&self, cancelled: &Cancelled) -> Option<Listeners> {
        // Outside the lock, as is whatever `set` hands back: the cause is the user's.
        let cancelled = cancelled.clone();
        let mut held = self.listeners.lock();
        let refused = self.cancelled.set(cancelled);
        let listeners = std::mem::take(&mut *held);
        drop(held);
        refused.ok()?;
        self.wake.notify_all();
        Some(listeners)
    }
}

/// Tells the listeners, and theirs in turn: a loop, so that the deepest family cannot exhaust the stack.
fn pass_on(cancelled: &Cancelled, listeners: Listeners) {
    let mut to_tell = vec![listeners];
    while let Some(listeners) = to_tell.pop() {
        // Our handle may turn out to be the last one; what goes with it is not this thread's to panic about.
        for caller in listeners.callers.into_values() {
            caller.wake();
            drop_quietly(caller);
        }
        for child in listeners.children.iter().filter_map(Weak::upgrade) {
            to_tell.extend(child.publish(cancelled));
            drop_quietly(child);
        }
    }
}

impl Listeners {
    fn add_child(&mut self, child: Weak<Node>) {
        const FEW: usize = 8;
        if self.children.len() >= self.sweep_at.max(FEW) {
            self.children.retain(|child| child.strong_count() > 0);
            self.sweep_at = 2 * self.children.len();
        }
        self.children.push(child);
    }
}

impl Drop for Node {
    /// Lets go of the ancestors one by one: dropped as fields they would recurse once per generation.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut ancestor) = next.and_then(Arc::into_inner) {
            next = ancestor.parent.take();
        }
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

// A panic while one of its users runs leaves a token as it was: cancelled or not, nothing in between.
impl UnwindSafe for CancelToken {}
impl RefUnwindSafe for CancelToken {}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cause", &self.cause()).finish()
    }
}
#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::*;
    use crate::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    /// Counts its wakes, and looks at the token as a waiter does: with no lock of the token held.
    struct Caller {
        token: CancelToken,
        wakes: AtomicUsize,
    }

    impl Wake for Caller {
        fn wake(&self) {
            assert!(self.token.is_cancelled());
            drop(self.token.child());
            self.wakes.fetch_add(1, SeqCst);
        }
    }

    fn caller(token: &CancelToken) -> Arc<Caller> {
        Arc::new(Caller { token: token.clone(), wakes: AtomicUsize::new(0) })
    }

    #[test]
    fn p6_a_cancel_wakes_those_registered_once_and_no_others() {
        let token = CancelToken::new();
        let callers = [(); 4].map(|()| caller(&token));
        let [first, second, third, late] = &callers;
        let child = token.child();
        let _first = token.on_cancel(first.clone());
        drop(token.on_cancel(second.clone()));
        let _third = child.on_cancel(third.clone());
        assert!(token.cancel("now") && !token.cancel("again"));
        drop(token.on_cancel(late.clone()));
        assert_eq!(callers.each_ref().map(|caller| caller.wakes.load(SeqCst)), [1, 0, 1, 1]);
    }

    /// A call that waits is listed once, and not any more when it has its outcome or has left.
    #[test]
    fn p8_a_call_that_is_over_leaves_nothing_in_the_token() {
        let (group, token): (crate::Group<u8, u8>, _) = (crate::Group::new(), CancelToken::new());
        let child = token.child();
        let listed = |token: &CancelToken| token.node.listeners.lock().callers.len();
        std::thread::scope(|s| {
            group.work(&1, || {
                let calls = [&token, &token, &child].map(|token| (&group, token));
                let calls = calls.map(|(group, token)| {
                    s.spawn(move || group.call(&1).cancel(token).run(|| unreachable!("it follows")))
                });
                while (listed(&token), listed(&child)) != (2, 1) {
                    std::thread::yield_now();
                }
                child.cancel("this one");
                let [a, b, cancelled] = calls;
                assert!(cancelled.join().unwrap().unwrap_err().is_cancelled());
                assert_eq!((listed(&token), listed(&child)), (2, 0));
                drop((a, b));
                1
            });
        });
        assert_eq!((listed(&token), listed(&child), group.followers(&1)), (0, 0, 0));
    }

    /// A token of a server's lifetime, and a wait for each request.
    #[test]
    fn p8_a_wait_that_is_over_leaves_nothing_in_the_token() {
        let token = CancelToken::new();
        let callers: Vec<_> = (0..1000).map(|_| caller(&token)).collect();
        let mut waits: Vec<_> = callers.iter().map(|caller| token.on_cancel(caller.clone())).collect();
        let listed = || token.node.listeners.lock().callers.len();
        assert_eq!(listed(), 1000);
        drop(waits.drain(1..)); // from the middle, too
        assert_eq!(listed(), 1);
        assert_eq!(callers.iter().map(Arc::strong_count).sum::<usize>(), 1001);
        drop(waits);
        assert_eq!(listed(), 0);
        assert!(token.cancel("now"));
        assert!(callers.iter().all(|caller| caller.wakes.load(SeqCst) == 0 && Arc::strong_count(caller) == 1));
    }
}
