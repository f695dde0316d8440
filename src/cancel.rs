//! A request to stop, with its cause, that threads can poll, wait for and hand down.

pub use crate::error::Cancelled;

use crate::engine::panics::drop_quietly;
use crate::sync::{self, Arc, Condvar, Duration, Instant, Mutex, OnceCell};
use std::error::Error as StdError;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Weak;

/// A request to stop, with its cause: one side [cancels](Self::cancel), the other polls
/// ([`is_cancelled`](Self::is_cancelled), [`check`](Self::check)) or blocks ([`wait`](Self::wait),
/// [`wait_timeout`](Self::wait_timeout), [`wait_deadline`](Self::wait_deadline)).
///
/// Nothing is interrupted by it: code that never looks at its token runs to its end. Cloning gives another handle
/// to the same token; [`child`](Self::child) gives a token of its own that is cancelled together with this one, but
/// can be cancelled alone. A token costs one allocation, no thread and no runtime; polling one is a single atomic
/// load. [`ErrGroup`](crate::ErrGroup) and [`Hedge`](crate::Hedge) hand one to each of their tasks.
///
/// The shape is that of Go's `context.WithCancelCause` (a cause, the first one stays, children follow their
/// parent), without the values and the timers: who wants a deadline waits with one.
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
///         // A sleep that a cancel ends at once: `None` means that the time was slept through.
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
    list: Vec<Listener>,
    /// Once so many are listed the dead are swept out: a long-lived parent of short-lived children stays small.
    sweep_at: usize,
}

enum Listener {
    Child(Weak<Node>),
    Caller(Weak<dyn Wake>),
}

/// A blocked caller of this crate that a cancel should wake.
pub(crate) trait Wake: Send + Sync {
    /// Called once, with no lock of the token held.
    fn wake(&self);
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

    /// A token that is cancelled when this one is, with the same cause. Cancelling the child leaves this one, and
    /// its other children, alone.
    ///
    /// The child of a cancelled token is born cancelled. A child that is dropped leaves nothing behind but a few
    /// words, swept out as further children are made.
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
        self.listen(Listener::Child(Arc::downgrade(&child.node)));
        child
    }

    /// Wakes `caller` once this token is cancelled, at once if it is already.
    pub(crate) fn wake_on_cancel(&self, caller: &Arc<impl Wake + 'static>) {
        let caller: Arc<dyn Wake> = Arc::clone(caller) as _;
        self.listen(Listener::Caller(Arc::downgrade(&caller)));
    }

    fn listen(&self, listener: Listener) {
        let mut listeners = self.node.listeners.lock();
        // Under the lock: a cancel either has published its cause, or will find this listener in the list.
        if let Some(cancelled) = self.node.cancelled.get() {
            drop(listeners);
            pass_on(cancelled, vec![listener]);
        } else {
            listeners.add(listener);
        }
    }

    /// Cancels this token and its children, and wakes all who wait for them. Does not wait for anybody.
    ///
    /// The cause may be a `&str`, a `String` or any error. Returns whether this call was the one that cancelled;
    /// on a token that is cancelled already it changes nothing and drops its cause.
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

    /// Blocks until the token is cancelled; returns at once if it is.
    ///
    /// A thread that waits for a token only it could cancel waits for ever: nothing here can see that.
    pub fn wait(&self) -> Cancelled {
        self.wait_until(None).expect("a wait without a deadline ends with a cancel")
    }

    /// Blocks until the token is cancelled or `timeout` has passed: `None` if it was not cancelled.
    ///
    /// A cancel that is there wins over a timeout. Zero does not block; a timeout too long for the clock
    /// (`Duration::MAX`) waits for ever. The best replacement for `thread::sleep` in work that can be cancelled.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Cancelled> {
        if timeout.is_zero() {
            return self.check().err();
        }
        self.wait_until(sync::after(timeout))
    }

    /// Blocks until the token is cancelled or `deadline` has passed: `None` if it was not cancelled.
    ///
    /// A cancel that is there wins over a timeout, also with a deadline in the past, which does not block.
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
    fn publish(&self, cancelled: &Cancelled) -> Option<Vec<Listener>> {
        // Outside the lock, as is whatever `set` hands back: the cause is the user's.
        let cancelled = cancelled.clone();
        let mut listeners = self.listeners.lock();
        let refused = self.cancelled.set(cancelled);
        let list = std::mem::take(&mut listeners.list);
        drop(listeners);
        refused.ok()?;
        self.wake.notify_all();
        Some(list)
    }
}

/// Tells the listeners, and theirs in turn: a loop, so that the deepest family cannot exhaust the stack.
fn pass_on(cancelled: &Cancelled, mut listeners: Vec<Listener>) {
    while let Some(listener) = listeners.pop() {
        // Our handle may turn out to be the last one; what goes with it is not this thread's to panic about.
        match listener {
            Listener::Child(child) => {
                if let Some(child) = child.upgrade() {
                    listeners.extend(child.publish(cancelled).into_iter().flatten());
                    drop_quietly(child);
                }
            }
            Listener::Caller(caller) => {
                if let Some(caller) = caller.upgrade() {
                    caller.wake();
                    drop_quietly(caller);
                }
            }
        }
    }
}

impl Listeners {
    fn add(&mut self, listener: Listener) {
        const FEW: usize = 8;
        if self.list.len() >= self.sweep_at.max(FEW) {
            self.list.retain(Listener::is_alive);
            self.sweep_at = 2 * self.list.len();
        }
        self.list.push(listener);
    }
}

impl Listener {
    fn is_alive(&self) -> bool {
        match self {
            Self::Child(child) => child.strong_count() > 0,
            Self::Caller(caller) => caller.strong_count() > 0,
        }
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
