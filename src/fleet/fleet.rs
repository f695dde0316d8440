//! The handle to the fleet, and its options.

use super::address::{Address, Target};
use super::core::{Config, Core};
use super::process::PerProcess;
use super::{FleetError, FleetStats};
use crate::sync::{Arc, Duration};
use std::fmt;

/// This process's place in a fleet of processes that share a Redis (or Valkey) server.
///
/// A handle: cloning it gives another handle to the same place. Behind it are two connections (one for questions, one
/// that brings outcomes) and three threads, for any number of calling threads and keys. They end when the last handle
/// is dropped; groups and leases are handles too.
///
/// A forked child makes a place of its own at its first use; leases stay with the parent.
///
/// ```no_run
/// use flight_group::fleet::Fleet;
///
/// let fleet = Fleet::connect("redis://127.0.0.1/")?;
/// let lease = fleet.lease("report:2026-11").acquire()?;
/// println!("this process writes the report, with fence {}", lease.fence());
/// # Ok::<(), flight_group::fleet::FleetError>(())
/// ```
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<Config>,
    cores: PerProcess<Arc<Core>>,
}

impl Fleet {
    /// Connects with the default options.
    ///
    /// Blocks until the server has answered on two connections, for two seconds at most.
    ///
    /// # Errors
    ///
    /// [`BadUrl`](FleetError::BadUrl), [`Unavailable`](FleetError::Unavailable),
    /// [`AuthenticationFailed`](FleetError::AuthenticationFailed), [`NoPermission`](FleetError::NoPermission),
    /// [`ServerTooOld`](FleetError::ServerTooOld), [`WrongServer`](FleetError::WrongServer), and
    /// [`System`](FleetError::System) where no thread can be started.
    pub fn connect(url: &str) -> Result<Self, FleetError> {
        Self::builder(url).connect()
    }

    /// Options, before connecting.
    pub fn builder(url: &str) -> FleetBuilder {
        FleetBuilder {
            target: Target { url: url.to_owned(), ..Target::default() },
            prefix: "flight".to_owned(),
            ttl: Duration::from_secs(10),
            command_timeout: Duration::from_secs(1),
            patience: None,
            ping_interval: Duration::from_secs(1),
            demand: true,
        }
    }

    /// What this process has done so far.
    pub fn stats(&self) -> FleetStats {
        self.inner.cores.existing().map(|core| core.stats()).unwrap_or_default()
    }

    /// How many records (flights and leases) this process holds now, and how many of its threads wait for one.
    ///
    /// ```no_run
    /// # let fleet = flight_group::fleet::Fleet::connect("redis://127.0.0.1/")?;
    /// let lease = fleet.lease("nightly").acquire()?;
    /// assert_eq!(fleet.holding(), 1);
    /// drop(lease);
    /// assert_eq!((fleet.holding(), fleet.waiting()), (0, 0));
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn holding(&self) -> usize {
        self.inner.cores.existing().map_or(0, |core| core.keeper.len())
    }

    /// How many threads of this process wait for another process, or in a lease's queue.
    pub fn waiting(&self) -> usize {
        self.inner.cores.existing().map_or(0, |core| core.room.len())
    }

    /// Why the server is not asked at the moment; `None` while it is.
    ///
    /// Set when a connection was lost and could not be replaced at the first try, or when the server said that it
    /// cannot serve. Cleared when the connections work again. The next try comes within a second, and within 100 ms
    /// while a call waits for the server.
    pub fn outage(&self) -> Option<FleetError> {
        self.inner.cores.existing().and_then(|core| core.outage())
    }

    pub(crate) fn core(&self) -> Result<&Arc<Core>, FleetError> {
        self.inner.cores.get(|_| Core::start(&self.inner.config, false))
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.inner.config
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("prefix", &self.inner.config.prefix)
            .field("ttl", &self.inner.config.ttl)
            .finish_non_exhaustive()
    }
}

/// How to connect, made by [`Fleet::builder`].
#[derive(Clone)]
#[must_use = "options do nothing until `connect` is called"]
pub struct FleetBuilder {
    target: Target,
    prefix: String,
    ttl: Duration,
    command_timeout: Duration,
    patience: Option<Duration>,
    ping_interval: Duration,
    demand: bool,
}

/// Without the address: it may hold a password.
impl fmt::Debug for FleetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetBuilder").field("prefix", &self.prefix).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl FleetBuilder {
    /// The beginning of every key and channel of this fleet. Processes with another prefix are another fleet. Default
    /// `"flight"`.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// How long a record lives without renewal. So long at most followers wait for a leader that died, and so long a
    /// holder may be cut off before it loses what it holds. 50 ms to 12 hours; default 10 s.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long connecting and how long one answer may take before the connection is given up. 1 ms to 1 minute;
    /// default 1 s.
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// How long a call *without a deadline* waits for a server that does not answer. Then a read runs its closure in
    /// its own process (a group can have [its own patience](super::FleetGroupBuilder::patience)), and a lease or a
    /// write fails with [`Unavailable`](FleetError::Unavailable). 1 ms to 1 hour; default: three [command
    /// timeouts](Self::command_timeout).
    ///
    /// If the server is known to be away, leases and writes wait as long, and reads do not wait.
    ///
    /// A call with a deadline does not use the patience: leases and writes wait for the server until the deadline.
    ///
    /// ```no_run
    /// use flight_group::fleet::Fleet;
    /// use std::time::Duration;
    ///
    /// // A server that is restarted or fails over is back within half a minute: leases and writes
    /// // wait for it.
    /// let fleet = Fleet::builder("redis://127.0.0.1/").patience(Duration::from_secs(30)).connect()?;
    /// let lease = fleet.lease("nightly").acquire()?;
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The connection that brings outcomes is pinged after so much silence. If it stays silent as long again, it is
    /// replaced. 10 ms to 1 minute; default 1 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// Asks sentinels for the master's address, at every connection. The host in the address given to
    /// [`Fleet::builder`] is then the name by which the sentinels know the master. The rest of that address (user,
    /// password, database, `rediss`) is for the master.
    ///
    /// After a failover the connections are replaced as after any other loss, and lead to the new master.
    /// [`docs::fleet`](crate::docs::fleet) says what happens to the old master's records. The sentinels are asked in
    /// this order, beginning with the one that knew last time; a sentinel that does not answer within 25 ms holds up
    /// nobody. An address may hold a user and a password of its own.
    ///
    /// ```no_run
    /// use flight_group::fleet::Fleet;
    ///
    /// let fleet = Fleet::builder("redis://app:secret@mymaster/0")
    ///     .sentinels(["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"])
    ///     .connect()?;
    /// # Ok::<(), flight_group::fleet::FleetError>(())
    /// ```
    pub fn sentinels(mut self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.target.sentinels = Some(addresses.into_iter().map(Into::into).collect());
        self
    }

    /// Trusts the authorities in this PEM text, and not the system's, for `rediss://` addresses: for a server whose
    /// certificate is signed by your own authority. [`connect`](Self::connect) fails with
    /// [`BadUrl`](FleetError::BadUrl) if the text cannot be read.
    #[cfg(any(feature = "redis-rustls", feature = "redis-native-tls"))]
    pub fn tls_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.target.certificates.root = Some(pem.into());
        self
    }

    /// Shows the server this certificate (PEM), with its key (PEM), for `rediss://` addresses.
    #[cfg(any(feature = "redis-rustls", feature = "redis-native-tls"))]
    pub fn tls_client_certificate(mut self, pem: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.target.certificates.client = Some((pem.into(), key.into()));
        self
    }

    /// Whether [`connect`](Self::connect) succeeds while the server is away. Groups then run locally until it
    /// is there; a wrong password shows only in [`Fleet::outage`]. Default `false`.
    pub fn allow_unreachable(mut self, allow: bool) -> Self {
        self.demand = !allow;
        self
    }

    /// Connects.
    ///
    /// Blocks until the server has answered on two connections; at most for twice the
    /// [`command_timeout`](Self::command_timeout).
    ///
    /// # Errors
    ///
    /// As [`Fleet::connect`], and [`BadOption`](FleetError::BadOption) naming an option's value.
    pub fn connect(self) -> Result<Fleet, FleetError> {
        if self.prefix.is_empty() {
            return Err(FleetError::BadOption {
                option: "prefix",
                found: self.prefix,
                expected: "at least one character",
            });
        }
        check("ttl", self.ttl, TTL)?;
        let answers = (Duration::from_millis(1), Duration::from_secs(60), "a duration from 1 ms to 1 minute");
        check("command_timeout", self.command_timeout, answers)?;
        let pings = (Duration::from_millis(10), Duration::from_secs(60), "a duration from 10 ms to 1 minute");
        check("ping_interval", self.ping_interval, pings)?;
        let patience = self.patience.unwrap_or(self.command_timeout * 3);
        check("patience", patience, PATIENCE)?;
        let address = Arc::new(Address::parse(&self.target, &self.prefix, self.command_timeout)?);
        let config = Arc::new(Config {
            address,
            prefix: self.prefix,
            ttl: self.ttl,
            command_timeout: self.command_timeout,
            patience,
            ping_interval: self.ping_interval,
        });
        let core = Core::start(&config, self.demand)?;
        Ok(Fleet { inner: Arc::new(Inner { config, cores: PerProcess::new(core) }) })
    }
}

pub(crate) type Range = (Duration, Duration, &'static str);

/// Shorter, and a scheduling delay loses a lease; longer, and the counter of fences would not outlive it.
pub(crate) const TTL: Range =
    (Duration::from_millis(50), Duration::from_secs(12 * 3600), "a duration from 50 ms to 12 hours");

pub(crate) const PATIENCE: Range =
    (Duration::from_millis(1), Duration::from_secs(3600), "a duration from 1 ms to 1 hour");

pub(crate) fn check(option: &'static str, found: Duration, (least, most, expected): Range) -> Result<(), FleetError> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(FleetError::BadOption { option, found: format!("{found:?}"), expected })
    }
}
