//! The options of one call to an `EventGroup`.

use crate::cancel::CancelToken;
use crate::engine::options::WaitOptions;
use crate::error::Error;
use crate::event_group::group::EventGroup;
use crate::landing::Landing;
use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// One call to an [`EventGroup`], with options; made by [`EventGroup::call`].
#[must_use = "a call does nothing until `push` or `submit`"]
pub struct EventCall<'a, K, T, V, E, Q: ?Sized> {
    pub(super) group: &'a EventGroup<K, T, V, E>,
    pub(super) key: &'a Q,
    pub(super) delay: Duration,
    pub(super) options: WaitOptions<'a>,
}

impl<K, T, V, E, Q: ?Sized> Clone for EventCall<'_, K, T, V, E, Q> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, T, V, E, Q: ?Sized> Copy for EventCall<'_, K, T, V, E, Q> {}

impl<K, T, V, E> EventGroup<K, T, V, E>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// A call with options: how long to delay the event, how long to wait, and what else ends the wait.
    ///
    /// Does nothing until [`push`](EventCall::push) or [`submit`](EventCall::submit).
    pub fn call<'a, Q: ?Sized>(&'a self, key: &'a Q) -> EventCall<'a, K, T, V, E, Q> {
        EventCall { group: self, key, delay: Duration::ZERO, options: WaitOptions::default() }
    }
}

impl<'a, K, T, V, E, Q: ?Sized> EventCall<'a, K, T, V, E, Q> {
    /// Pushes the event after this delay at the latest. A run starts when the delay of its first event is over, so an
    /// event without a delay takes the delayed ones along. Zero by default. Replaces an earlier delay.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::EventGroup;
    ///
    /// let sums: EventGroup<&str, u64, u64> = EventGroup::new(|sum, n| *sum += n, |_, sum| Ok(sum));
    /// sums.call(&"a").delay(Duration::from_secs(60)).submit(1).unwrap();
    /// assert_eq!(sums.push(&"a", 2).unwrap().value, 3);     // took the delayed event along
    /// assert_eq!(sums.waiting(&"a"), 0);
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How long [`push`](Self::push) waits, from the moment it begins to wait. Replaces an earlier timeout or deadline.
    ///
    /// Zero means: do not wait, but push if that can be done at once. `Duration::MAX` means: for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.set_timeout(timeout);
        self
    }

    /// When [`push`](Self::push) stops waiting. Replaces an earlier timeout or deadline. A moment that has passed means:
    /// do not wait.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.set_deadline(deadline);
        self
    }

    /// [`push`](Self::push) stops waiting when the token is cancelled, and returns [`Error::Cancelled`].
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.options.cancel = Some(token);
        self
    }
}

impl<K, T, V, E, Q> EventCall<'_, K, T, V, E, Q>
where
    K: Hash + Eq + Send + Sync + Borrow<Q> + 'static,
    T: Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    /// [`EventGroup::push`] with the options.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::{Error, EventGroup};
    ///
    /// let sums: EventGroup<&str, u64, u64> =
    ///     EventGroup::builder(|sum, n| *sum += n, |_, sum| Ok(sum))
    ///         .min_interval(Duration::from_secs(60))
    ///         .build();
    ///
    /// assert_eq!(sums.call(&"a").timeout(Duration::ZERO).push(1).unwrap().value, 1);
    /// // The next run may start in a minute. This event would have to wait, and is taken back.
    /// assert_eq!(sums.call(&"a").timeout(Duration::ZERO).push(2), Err(Error::timed_out()));
    /// assert_eq!(sums.waiting(&"a"), 0);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`EventGroup::push`]. Also [`Error::TimedOut`] and [`Error::Cancelled`]: if no run has begun to carry the event,
    /// it is taken back and never pushed. If a run carries it already, it is pushed, and this call does not wait for the
    /// outcome.
    ///
    /// # Panics
    ///
    /// As [`EventGroup::push`].
    pub fn push(self, event: T) -> Result<Landing<V>, Error<E>> {
        self.group.handle.shared.push_event(self.key, event, self.delay, self.options)
    }

    /// [`EventGroup::submit`] with the options.
    ///
    /// # Errors
    ///
    /// As [`EventGroup::submit`].
    pub fn submit(self, event: T) -> Result<(), Error<E>> {
        self.group.handle.shared.submit_event(self.key, event, self.delay)
    }
}

impl<K, T, V, E, Q: fmt::Debug + ?Sized> fmt::Debug for EventCall<'_, K, T, V, E, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventCall")
            .field("key", &self.key)
            .field("delay", &self.delay)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
