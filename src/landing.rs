//! What a call that was served gets: the value, and how it came by it.

use std::fmt;

/// Who did the work for this call.
///
/// ```
/// use flight_group::Role;
///
/// assert_eq!(Role::Leader.to_string(), "leader");
/// assert_eq!(Role::Follower.to_string(), "follower");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// This call's own closure ran.
    Leader,
    /// This call waited for another caller's flight. Its own closure, if it had one, was dropped unrun.
    Follower,
}

impl Role {
    /// The word for it in logs: `leader` or `follower`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A value, and how this call came by it.
///
/// Returned by [`Call::run`](crate::Call::run) and its relatives, where [`Group::try_work`](crate::Group::try_work)
/// returns the bare value. go-zero's `DoEx` says whether the caller did the work itself. x/sync's `Do` says whether the
/// value was shared. A landing says both.
///
/// ```
/// use flight_group::{Group, Role};
///
/// let group: Group<u32, String> = Group::new();
/// let landing = group.call(&7).run(|| Ok("seven".to_owned())).unwrap();
///
/// assert_eq!(landing.role, Role::Leader);
/// assert!(landing.led());         // the same, in short
/// assert!(!landing.shared());     // no other caller got this value
/// assert!(!landing.detached());   // nobody forgot the flight while it ran
/// assert_eq!(landing.map(|text| text.len()).into_value(), 5);
/// ```
///
/// A test of the code that handles a landing builds one:
///
/// ```
/// use flight_group::Landing;
///
/// /// What may go into the cache: the leader stores it, once, unless it is out of date.
/// fn to_cache(landing: &Landing<u32>) -> Option<u32> {
///     (landing.led() && !landing.detached()).then_some(landing.value)
/// }
///
/// assert_eq!(to_cache(&Landing::leader(7)), Some(7));
/// assert_eq!(to_cache(&Landing::leader(7).with_shared(true)), Some(7));
/// assert_eq!(to_cache(&Landing::leader(7).with_detached(true)), None);
/// assert_eq!(to_cache(&Landing::follower(7)), None);
/// ```
#[doc(alias = "DoEx")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Landing<V> {
    /// What the leader's closure returned. A leader without followers gets it moved. All others get a clone.
    pub value: V,
    /// Whether this call's closure produced `value`.
    pub role: Role,
    shared: bool,
    detached: bool,
}

impl<V> Landing<V> {
    pub(crate) fn new(value: V, role: Role, shared: bool, detached: bool) -> Self {
        Self { value, role, shared, detached }
    }

    /// What a leader gets that nobody followed, for tests.
    pub fn leader(value: V) -> Self {
        Self::new(value, Role::Leader, false, false)
    }

    /// What a follower gets, for tests.
    pub fn follower(value: V) -> Self {
        Self::new(value, Role::Follower, true, false)
    }

    /// The same landing with [`shared`](Self::shared) set, for tests. A follower's stays shared.
    #[must_use = "it returns the changed landing"]
    pub fn with_shared(self, shared: bool) -> Self {
        Self { shared: shared || self.role == Role::Follower, ..self }
    }

    /// The same landing with [`detached`](Self::detached) set, for tests.
    #[must_use = "it returns the changed landing"]
    pub fn with_detached(self, detached: bool) -> Self {
        Self { detached, ..self }
    }

    /// Whether this call's own closure ran: whether [`role`](Self::role) is [`Role::Leader`].
    pub fn led(&self) -> bool {
        self.role == Role::Leader
    }

    /// Whether another caller got the value, too. Always true for a follower. True for a leader that had followers.
    pub fn shared(&self) -> bool {
        self.shared
    }

    /// Whether the flight had been detached from its key before it landed: by
    /// [`forget`](crate::Group::forget), by [`takeover_after`](crate::Call::takeover_after), by
    /// [`max_age`](crate::GroupBuilder::max_age) or by a write of a group that
    /// [`invalidates`](crate::WriteGroupBuilder::invalidates) this one.
    ///
    /// The value may then be older than what the key's next flight returns. Return it to your caller, but do not store it
    /// in a cache.
    pub fn detached(&self) -> bool {
        self.detached
    }

    /// The value alone.
    pub fn into_value(self) -> V {
        self.value
    }

    /// The same landing with another value, made of this one.
    pub fn map<W>(self, change: impl FnOnce(V) -> W) -> Landing<W> {
        let Self { value, role, shared, detached } = self;
        Landing { value: change(value), role, shared, detached }
    }
}
