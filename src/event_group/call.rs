//! The options of one call to an `EventGroup`.

use crate::engine::Patience;
use crate::error::Error;
use crate::event_group::EventGroup;
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
}

impl<'a, K, T, V, E, Q: ?Sized> EventCall<'a, K, T, V, E, Q> {
    /// How long the event is ready to wait before it is pushed: its batch starts when the first of its events wants
    /// to. Zero by default; replaces an earlier delay.
    ///
    /// ```
    /// use std::time::Duration;
    /// use flight_group::EventGroup;
    ///
    /// let sums: EventGroup<&str, u64, u64> = EventGroup::new(|sum, n| *sum += n, |_, sum| Ok(sum));
    /// sums.call(&"a").delay(Duration::from_secs(60)).submit(1).unwrap();
    /// assert_eq!(sums.push(&"a", 2).unwrap().value, 3);     // took the delayed one along: nothing is left
    /// assert_eq!(sums.waiting(&"a"), 0);
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How long to wait; see [`TimedEventCall`].
    ///
    /// Counted from the moment the call begins to wait. Zero: do not wait, but push if that can be done at once.
    /// `Duration::MAX`: for ever.
    pub fn timeout(self, timeout: Duration) -> TimedEventCall<'a, K, T, V, E, Q> {
        TimedEventCall { call: self, patience: Patience::default() }.timeout(timeout)
    }

    /// The moment at which to stop waiting; otherwise as [`timeout`](Self::timeout). A moment that has passed: do
    /// not wait.
    pub fn deadline(self, deadline: Instant) -> TimedEventCall<'a, K, T, V, E, Q> {
        TimedEventCall { call: self, patience: Patience::default() }.deadline(deadline)
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
    /// # Errors
    ///
    /// As [`EventGroup::push`].
    ///
    /// # Panics
    ///
    /// As [`EventGroup::push`].
    pub fn push(self, event: T) -> Result<Landing<V>, Error<E>> {
        self.group.handle.shared.push_event(self.key, event, self.delay, Patience::default())
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

/// A call to an [`EventGroup`] that does not wait for ever; made by [`EventCall::timeout`] and
/// [`EventCall::deadline`].
#[must_use = "a call does nothing until `push`"]
pub struct TimedEventCall<'a, K, T, V, E, Q: ?Sized> {
    call: EventCall<'a, K, T, V, E, Q>,
    patience: Patience,
}

impl<K, T, V, E, Q: ?Sized> TimedEventCall<'_, K, T, V, E, Q> {
    /// See [`EventCall::delay`].
    pub fn delay(mut self, delay: Duration) -> Self {
        self.call.delay = delay;
        self
    }

    /// See [`EventCall::timeout`]; replaces an earlier timeout or deadline.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.set_timeout(timeout);
        self
    }

    /// See [`EventCall::deadline`]; replaces an earlier timeout or deadline.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.patience.set_deadline(deadline);
        self
    }
}

impl<K, T, V, E, Q> TimedEventCall<'_, K, T, V, E, Q>
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
    /// let sums: EventGroup<&str, u64, u64> = EventGroup::builder(|sum, n| *sum += n, |_, sum| Ok(sum))
    ///     .min_interval(Duration::from_secs(60))
    ///     .build();
    ///
    /// assert_eq!(sums.call(&"a").timeout(Duration::ZERO).push(1).unwrap().value, 1);
    /// // The key rests for a minute: this event would have to wait, and is withdrawn instead.
    /// assert_eq!(sums.call(&"a").timeout(Duration::ZERO).push(2), Err(Error::timed_out()));
    /// assert_eq!(sums.waiting(&"a"), 0);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`EventGroup::push`], and [`Error::TimedOut`]. An event that no run had begun to carry by then is
    /// withdrawn, and never pushed; one that a run did carry shares that run's fate, which this call does not wait
    /// to hear.
    ///
    /// # Panics
    ///
    /// As [`EventGroup::push`].
    pub fn push(self, event: T) -> Result<Landing<V>, Error<E>> {
        let EventCall { group, key, delay } = self.call;
        group.handle.shared.push_event(key, event, delay, self.patience)
    }
}

impl<K, T, V, E, Q: fmt::Debug + ?Sized> fmt::Debug for EventCall<'_, K, T, V, E, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventCall").field("key", &self.key).field("delay", &self.delay).finish_non_exhaustive()
    }
}

impl<K, T, V, E, Q: fmt::Debug + ?Sized> fmt::Debug for TimedEventCall<'_, K, T, V, E, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedEventCall")
            .field("call", &self.call)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
