//! Reads of several keys with one piece of work.

use super::Group;
use crate::cancel::CancelToken;
use crate::engine::options::WaitOptions;
use crate::error::Error;
use crate::landing::Landing;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

impl<K: Hash + Eq, V: Clone, E: Clone, S: BuildHasher> Group<K, V, E, S> {
    /// Reads several keys with one piece of work. `work` gets the keys that no other caller is reading. For the other
    /// keys the call waits for the flights in the air. samber's `go-singleflightx` has it for Go.
    ///
    /// Blocks while `work` runs, and then until the flights of the other keys have landed. It uses the same table as
    /// single calls: another caller that asks for one of these keys meanwhile joins its flight. Duplicate keys are
    /// asked for once. If another caller reads every key, `work` is dropped unrun. Keys that `work` returns without
    /// having been asked are dropped. The call's own flights land *before* it waits for others, so two calls for
    /// (a, b) and (b, a) never wait for each other.
    ///
    /// To limit the wait, see [`call_many`](Self::call_many).
    ///
    /// The result has one entry for each key, also for a key that `work` did not return:
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use flight_group::{Error, Group};
    ///
    /// let group: Group<u32, String, &str> = Group::new();
    /// let found = group.work_many(&[1, 2, 2, 3], |missing| {
    ///     assert_eq!(missing, [1, 2, 3]);
    ///     Ok(HashMap::from([(1, "one".to_owned()), (2, "two".to_owned())]))
    /// });
    ///
    /// assert_eq!(found[&1].as_ref().unwrap().value, "one");
    /// assert_eq!(found[&3], Err(Error::missing()));       // a follower of key 3 gets the same
    ///
    /// let down = group.work_many(&[1, 2], |_| Err("no connection"));
    /// assert!(down.values().all(|share| *share == Err(Error::Work("no connection"))));
    /// ```
    ///
    /// # Errors
    ///
    /// For each key: [`Error::Missing`] if the work did not return it. Otherwise as [`try_work`](Self::try_work), and
    /// [`Error::Abandoned`] if the flight it waited for never ran, because this call has no closure left to lead with.
    ///
    /// # Panics
    ///
    /// If `work` panics, with its own payload. Followers of its flights get [`Error::Panicked`].
    #[doc(alias = "loadMany")]
    pub fn work_many(
        &self,
        keys: &[K],
        work: impl FnOnce(&[K]) -> Result<HashMap<K, V>, E>,
    ) -> HashMap<K, Result<Landing<V>, Error<E>>>
    where
        K: Clone,
    {
        self.call_many(keys).run(work)
    }

    /// A call for several keys with options: how long to wait for other callers' flights, and what else ends the wait.
    ///
    /// Does nothing until [`run`](ManyCall::run).
    pub fn call_many<'a>(&'a self, keys: &'a [K]) -> ManyCall<'a, K, V, E, S> {
        ManyCall { group: self, keys, options: WaitOptions::default() }
    }
}

impl<K, V, E, S> Clone for ManyCall<'_, K, V, E, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V, E, S> Copy for ManyCall<'_, K, V, E, S> {}

impl<'a, K, V, E, S> ManyCall<'a, K, V, E, S> {
    /// How long to wait for other callers' flights. The call's own work is not interrupted: give the work itself a
    /// limit, for instance a timeout of the query.
    ///
    /// One limit for all keys, counted from the moment the call begins to wait: after its own work, if it has any. Zero
    /// means: do not wait. `Duration::MAX` means: for ever. A key whose outcome is ready when the time is up gets the
    /// outcome.
    ///
    /// ```
    /// use flight_group::{Error, Group};
    /// use std::{collections::HashMap, time::Duration};
    ///
    /// let group: Group<u32, u32> = Group::new();
    /// group.work(&1, || {
    ///     std::thread::scope(|s| {
    ///         let other = s.spawn(|| {
    ///             let call = group.call_many(&[1, 2]).timeout(Duration::from_millis(5));
    ///             call.run(|missing| Ok(missing.iter().map(|&key| (key, key * 10)).collect()))
    ///         });
    ///         let found = other.join().unwrap();
    ///         assert_eq!(found[&1], Err(Error::timed_out()));      // this flight is still in the air
    ///         assert_eq!(found[&2].as_ref().unwrap().value, 20);   // this call led this flight
    ///     });
    ///     10
    /// });
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.set_timeout(timeout);
        self
    }

    /// When to stop waiting for other callers' flights. Otherwise the same as [`timeout`](Self::timeout). A moment that
    /// has passed means: do not wait. Of several timeouts and deadlines the last one counts.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.set_deadline(deadline);
        self
    }

    /// Ends the wait when `token` is cancelled. The keys that have no outcome then get [`Error::Cancelled`] with the
    /// token's cause.
    ///
    /// If the token is cancelled before the call, all keys get that error at once, and `work` is dropped unrun. The
    /// call's own work is not interrupted: give it the token, too.
    ///
    /// ```
    /// use flight_group::{CancelToken, Group};
    /// use std::collections::HashMap;
    ///
    /// let group: Group<u32, u32> = Group::new();
    /// let shutdown = CancelToken::new();
    /// shutdown.cancel("the server shuts down");
    /// let found = group.call_many(&[1, 2]).cancel(&shutdown).run(|_| Ok(HashMap::new()));
    /// assert!(found.values().all(|share| share.as_ref().unwrap_err().is_cancelled()));
    /// ```
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.options.cancel = Some(token);
        self
    }
}

impl<K: Hash + Eq + Clone, V: Clone, E: Clone, S: BuildHasher> ManyCall<'_, K, V, E, S> {
    /// [`Group::work_many`] with the options.
    ///
    /// # Errors
    ///
    /// For each key, those of [`Group::work_many`]. Also [`Error::TimedOut`] if the call has a
    /// [`timeout`](ManyCall::timeout) or [`deadline`](ManyCall::deadline), and [`Error::Cancelled`] if it has a
    /// [`cancel`](ManyCall::cancel) token.
    ///
    /// # Panics
    ///
    /// As [`Group::work_many`].
    pub fn run(self, work: impl FnOnce(&[K]) -> Result<HashMap<K, V>, E>) -> HashMap<K, Result<Landing<V>, Error<E>>> {
        self.group.engine.run_many(self.keys, self.options, work)
    }
}

impl<K: fmt::Debug, V, E, S> fmt::Debug for ManyCall<'_, K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManyCall").field("keys", &self.keys).field("options", &self.options).finish_non_exhaustive()
    }
}

/// One call to a [`Group`] for several keys, with options; made by [`Group::call_many`].
///
/// It is `Copy` and can be used again: `run` does not change it.
#[must_use = "a call does nothing until `run`"]
pub struct ManyCall<'a, K, V, E, S> {
    group: &'a Group<K, V, E, S>,
    keys: &'a [K],
    options: WaitOptions<'a>,
}
