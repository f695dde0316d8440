//! What a call that was served gets: the value, and how it came by it.

/// Who did the work for this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// This call's own closure ran.
    Leader,
    /// This call waited for somebody else's flight; its own closure, if it had one, was dropped unrun.
    Follower,
}

/// A value together with the circumstances of the flight that produced it.
///
/// Returned by [`Call::run`](crate::Call::run) and its relatives, where [`Group::try_work`](crate::Group::try_work)
/// returns the bare value. go-zero's `DoEx` answers "was it mine?", x/sync's `Do` answers "was it shared?"; this
/// answers both.
///
/// ```
/// use flight_group::{Group, Role};
///
/// let group: Group<u32, String> = Group::new();
/// let landing = group.call(&7).run(|| Ok("seven".to_owned())).unwrap();
///
/// assert_eq!(landing.role, Role::Leader);
/// assert!(!landing.shared());     // nobody else wanted it
/// assert!(!landing.detached());   // nobody forgot the flight meanwhile
/// assert_eq!(landing.into_value(), "seven");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Landing<V> {
    /// What the leader's closure returned: moved to a leader nobody followed, cloned for everybody else.
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

    /// Whether anybody else was aboard: always true for a follower; for a leader, whether it was followed.
    pub fn shared(&self) -> bool {
        self.shared
    }

    /// Whether the flight had been detached from its key before it landed: by
    /// [`forget`](crate::Group::forget), by [`takeover_after`](crate::Call::takeover_after), by
    /// [`max_age`](crate::GroupBuilder::max_age) or by a write of a group that
    /// [`invalidates`](crate::WriteGroupBuilder::invalidates) this one.
    ///
    /// The value may then be older than what the key's next flight returns: return it to the caller who asked,
    /// but do not store it in a cache.
    pub fn detached(&self) -> bool {
        self.detached
    }

    /// The value, without the circumstances.
    pub fn into_value(self) -> V {
        self.value
    }
}
