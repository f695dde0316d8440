//! How the two groups of a fleet are made, and their options.

use super::FleetError;
use super::codec::{Codec, Json};
use super::fleet::{Fleet, PATIENCE, TTL, check};
use super::fleet_group::{FleetGroup, Inner};
use super::fleet_write_group::FleetWriteGroup;
use super::flight::Settings;
use super::local::Local;
use super::local_settings::local_settings;
use crate::engine::options::Config;
use crate::site::Kind;
use crate::sync::{Arc, Duration};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

impl Fleet {
    /// The group `name` of this fleet, with outcomes as JSON. Groups of one name share flights, in one process and in
    /// all; they should have the same types.
    pub fn group<K, V, E>(&self, name: &str) -> FleetGroup<K, V, E>
    where
        K: Hash + Eq,
        V: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned,
    {
        self.group_with(name, Json::new()).finish()
    }

    /// Options of a group, with a [`Codec`] of choice.
    ///
    /// ```no_run
    /// use flight_group::fleet::{Fleet, FleetGroup, Raw};
    /// use std::time::Duration;
    ///
    /// # let fleet = Fleet::connect("redis://127.0.0.1/")?;
    /// let tiles: FleetGroup<(u8, u32, u32), Vec<u8>> = fleet
    ///     .group_with("tiles", Raw)
    ///     .reuse(Duration::from_millis(200))
    ///     .max_result(4 << 20)
    ///     .build()?;
    /// let png = tiles.work(&(3, 4, 5), || b"...".to_vec());
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn group_with<K, V, E>(&self, name: &str, codec: impl Codec<V, E> + 'static) -> FleetGroupBuilder<K, V, E> {
        let (ttl, patience) = (self.config().ttl, self.config().patience);
        FleetGroupBuilder {
            fleet: self.clone(),
            name: name.to_owned(),
            settings: Settings {
                ttl,
                renew: true,
                reuse: Duration::ZERO,
                linger: ttl,
                max_result: 1 << 20,
                patience,
                refuse: false,
            },
            share_failures: true,
            codec: Arc::new(codec),
            local: local(Kind::FleetGroup, name),
        }
    }
}

/// The settings of a group's part in this process.
fn local<K>(kind: Kind, name: &str) -> Config<K> {
    let mut config = Config::new(kind);
    config.name = Some(Arc::from(name));
    config
}

/// What a server takes in one piece by default is 512 MiB; one that gets more closes the connection.
const LARGEST: usize = 256 << 20;

/// Options of a [`FleetGroup`]; made by [`Fleet::group_with`].
#[must_use = "options do nothing until `build` is called"]
pub struct FleetGroupBuilder<K, V, E> {
    fleet: Fleet,
    name: String,
    settings: Settings,
    share_failures: bool,
    codec: Arc<dyn Codec<V, E>>,
    local: Config<K>,
}

local_settings!(FleetGroupBuilder, "FleetGroup", "group_with(\"users\", Json::new())");

impl<K, V, E> FleetGroupBuilder<K, V, E> {
    /// How long a flight's record lives without renewal: what a dead leader costs its followers at most. 50 ms to 12
    /// hours; default: the fleet's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// Whether a flight's record is renewed for as long as its closure runs. Default `true`. A closure that always
    /// ends well within the [`ttl`](Self::ttl) can do without.
    pub fn renew(mut self, renew: bool) -> Self {
        self.settings.renew = renew;
        self
    }

    /// For how long a successful outcome is served to callers that come *after* its flight has ended. Default zero: a
    /// group is no cache; at most 12 hours. A short window evens out processes that ask at almost the same time.
    /// [`fresh`](super::FleetCall::fresh) calls are not served from it.
    pub fn reuse(mut self, window: Duration) -> Self {
        self.settings.reuse = window;
        self
    }

    /// How long an outcome somebody waited for can still be fetched by a follower that missed its message (it was
    /// stopped, or its connection was). The server keeps one such outcome for each key. 1 ms to 12 hours; default: the
    /// fleet's ttl.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// The largest outcome, in bytes as encoded, that is shared; followers of a larger one run their own closure.
    /// Default 1 MiB, at most 256 MiB; it has to cross the network within one
    /// [`command_timeout`](super::FleetBuilder::command_timeout).
    pub fn max_result(mut self, bytes: usize) -> Self {
        self.settings.max_result = bytes;
        self
    }

    /// Whether other processes get a leader's error (default), or board anew when it fails.
    pub fn share_failures(mut self, share: bool) -> Self {
        self.share_failures = share;
        self
    }

    /// How long a call gives the server for an answer before it runs its closure locally, if the server is silent but
    /// not known to be away. 1 ms to 1 hour; default: the [fleet's](super::FleetBuilder::patience).
    ///
    /// A call with a deadline gives the server at most half of the time it has left. So it can still fly alone: a call
    /// with a timeout of 500 ms does so after 250 ms.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// Whether a call fails with [`Error::Fleet`](crate::Error::Fleet) when the server is unavailable, instead of
    /// running its closure locally. Default `false`. For work that must not be done by every process at once, whatever
    /// happens.
    ///
    /// Such a call waits through an outage: until its deadline, or for the [`patience`](Self::patience) if it has none.
    pub fn refuse_when_unavailable(mut self, refuse: bool) -> Self {
        self.settings.refuse = refuse;
        self
    }

    /// Makes the group. Does not ask the server.
    ///
    /// # Errors
    ///
    /// [`FleetError::BadOption`] for a time or a size out of range.
    pub fn build(self) -> Result<FleetGroup<K, V, E>, FleetError>
    where
        K: Hash + Eq,
    {
        check("ttl", self.settings.ttl, TTL)?;
        check("patience", self.settings.patience, PATIENCE)?;
        // What the server cannot set as an expiry it refuses in the middle of a landing.
        check("reuse", self.settings.reuse, (Duration::ZERO, TTL.1, "a duration of at most 12 hours"))?;
        check("linger", self.settings.linger, (Duration::from_millis(1), TTL.1, "a duration from 1 ms to 12 hours"))?;
        if self.settings.max_result > LARGEST {
            let found = self.settings.max_result.to_string();
            return Err(FleetError::BadOption { option: "max_result", found, expected: "at most 268435456 bytes" });
        }
        Ok(self.finish())
    }

    fn finish(self) -> FleetGroup<K, V, E>
    where
        K: Hash + Eq,
    {
        FleetGroup::new(Inner {
            local: Local::new(self.local),
            fleet: self.fleet,
            name: self.name,
            settings: self.settings,
            share_failures: self.share_failures,
            codec: self.codec,
        })
    }
}

impl<K, V, E> fmt::Debug for FleetGroupBuilder<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetGroupBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Fleet {
    /// The write group `name` of this fleet. Groups of one name share their keys' leases.
    pub fn write_group<K: Hash + Eq, V, E>(&self, name: &str) -> FleetWriteGroup<K, V, E> {
        self.write_group_with(name).finish()
    }

    /// Options of a write group.
    ///
    /// ```no_run
    /// use flight_group::fleet::{Fleet, FleetWriteGroup};
    /// use std::time::Duration;
    ///
    /// # let fleet = Fleet::connect("redis://127.0.0.1/")?;
    /// let orders: FleetWriteGroup<u64, (), String> =
    ///     fleet.write_group_with("orders").ttl(Duration::from_secs(30)).max_followers(100).build()?;
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn write_group_with<K, V, E>(&self, name: &str) -> FleetWriteGroupBuilder<K, V, E> {
        FleetWriteGroupBuilder {
            fleet: self.clone(),
            name: name.to_owned(),
            ttl: self.config().ttl,
            local: local(Kind::FleetWriteGroup, name),
            types: PhantomData,
        }
    }
}

/// Options of a [`FleetWriteGroup`]; made by [`Fleet::write_group_with`].
#[must_use = "options do nothing until `build` is called"]
pub struct FleetWriteGroupBuilder<K, V, E> {
    fleet: Fleet,
    name: String,
    ttl: Duration,
    local: Config<K>,
    types: PhantomData<fn() -> (V, E)>,
}

local_settings!(FleetWriteGroupBuilder, "FleetWriteGroup", "write_group_with(\"users\")");

impl<K, V, E> FleetWriteGroupBuilder<K, V, E> {
    /// How long a key's lease lives without renewal: what a dead writer costs the next one at most. It is renewed for
    /// as long as the closure runs. 50 ms to 12 hours; default: the fleet's.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Makes the group. Does not ask the server.
    ///
    /// # Errors
    ///
    /// [`FleetError::BadOption`] for a time to live out of range.
    pub fn build(self) -> Result<FleetWriteGroup<K, V, E>, FleetError>
    where
        K: Hash + Eq,
    {
        check("ttl", self.ttl, TTL)?;
        Ok(self.finish())
    }

    fn finish(self) -> FleetWriteGroup<K, V, E>
    where
        K: Hash + Eq,
    {
        let local = Local::new(self.local);
        FleetWriteGroup::new(self.fleet, self.name, self.ttl, local)
    }
}

impl<K, V, E> fmt::Debug for FleetWriteGroupBuilder<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetWriteGroupBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
