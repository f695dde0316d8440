//! Where the server is, and how to reach it: directly, encrypted, or by asking sentinels for the master's address.

use super::FleetError;
use super::reply::{CLUSTER, refusal};
use super::wire::{Connect, NO_ANSWER, Wire, introduce};
use crate::sync::{Arc, Duration, Instant, spawn_named};
use redis::{Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError};
use std::sync::atomic::{AtomicUsize, Ordering};

const EXPECTED: &str = "redis://[user:password@]host[:port][/db], rediss://.. with a TLS feature, or unix:///path";

/// What a [`FleetBuilder`](super::FleetBuilder) was told about the way to the server.
#[derive(Clone, Default)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) sentinels: Option<Vec<String>>,
    #[cfg(any(feature = "redis-rustls", feature = "redis-native-tls"))]
    pub(crate) certificates: Certificates,
}

/// As PEM.
#[cfg(any(feature = "redis-rustls", feature = "redis-native-tls"))]
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    pub(crate) root: Option<Vec<u8>>,
    /// Certificate and key.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    client: Client,
    /// They know the address of the master named `server`. Empty: `client` has the address itself.
    sentinels: Vec<Client>,
    /// The place among `sentinels` of the one that last led to the master.
    good: Arc<AtomicUsize>,
    server: String,
    prefix: String,
    timeout: Duration,
}

/// How much longer than the one before it the next sentinel waits to be asked. A sentinel that is there has answered by
/// then, and the master too.
const STAGGER: Duration = Duration::from_millis(25);

impl Address {
    pub(crate) fn parse(target: &Target, prefix: &str, timeout: Duration) -> Result<Self, FleetError> {
        let client = client(&target.url, target)?;
        let addr = client.get_connection_info().addr();
        let (sentinels, server) = match (&target.sentinels, addr) {
            (None, addr) => (Vec::new(), addr.to_string()),
            (Some(_), ConnectionAddr::Unix(_)) => {
                let expected =
                    "redis://[user:password@]name[/db], the name being the one the sentinels know".to_owned();
                return Err(FleetError::BadUrl { url: redacted(&target.url), expected });
            }
            (Some(sentinels), ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. }) => {
                if sentinels.is_empty() {
                    let expected = "at least one address of a sentinel";
                    return Err(FleetError::BadOption { option: "sentinels", found: String::new(), expected });
                }
                let clients = sentinels.iter().map(|url| self::client(url, target)).collect::<Result<_, _>>()?;
                (clients, name.clone())
            }
            (Some(_), _) => return Err(FleetError::BadUrl { url: redacted(&target.url), expected: EXPECTED.into() }),
        };
        Ok(Self { client, sentinels, good: Arc::default(), server, prefix: prefix.to_owned(), timeout })
    }

    /// A connection to a server that can serve: it has shaken hands, is checked, and has a limit on every read and
    /// write.
    pub(crate) fn open(&self, read_timeout: Duration) -> Result<redis::Connection, FleetError> {
        let connection = if self.sentinels.is_empty() {
            let mut connection = self.dial(&self.client)?;
            self.check(&mut connection)?;
            connection
        } else {
            self.ask_all()?
        };
        connection.set_read_timeout(Some(read_timeout)).map_err(|error| self.explain(&error))?;
        Ok(connection)
    }

    /// Asks the sentinels: the last good one first, the others one after the other beside it, without waiting for the
    /// ones before. The first that leads to a master is taken.
    fn ask_all(&self) -> Result<redis::Connection, FleetError> {
        // Relaxed: a place to begin at, nothing depends on it.
        let good = self.good.load(Ordering::Relaxed);
        let mut places: Vec<usize> = (0..self.sentinels.len()).collect();
        places.rotate_left(good);
        let (sender, answers) = crossbeam_channel::unbounded();
        let end = Instant::now() + self.timeout.saturating_mul(2);
        let mut reason = self.unavailable("no sentinel answered in time");
        let (mut waiting, mut places) = (0, places.into_iter());
        loop {
            let next = places.next();
            if let Some(place) = next {
                let (own, sender) = (self.clone(), sender.clone());
                // The thread of a sentinel that hangs ends at its timeout; nobody waits for that.
                let ask = move || {
                    let connection = own.ask(&own.sentinels[place]).and_then(|master| own.dial_master(&master));
                    // Nobody waits any more where another was quicker.
                    let _ = sender.send((place, connection));
                };
                spawn_named("flight-group-sentinel".to_owned(), ask)
                    .map_err(|error| FleetError::System { reason: format!("no thread to ask a sentinel: {error}") })?;
                waiting += 1;
            }
            if waiting == 0 {
                return Err(reason);
            }
            let until = if places.len() > 0 { end.min(Instant::now() + STAGGER) } else { end };
            match answers.recv_deadline(until) {
                Ok((place, Ok(connection))) => {
                    self.good.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                // The next one may know better; the last one's reason is told.
                Ok((_, Err(error))) => (reason, waiting) = (error, waiting - 1),
                Err(_) if Instant::now() >= end => return Err(reason),
                Err(_) => {}
            }
        }
    }

    fn dial(&self, client: &Client) -> Result<redis::Connection, FleetError> {
        let connection = client.get_connection_with_timeout(self.timeout).map_err(|error| self.explain(&error))?;
        // Connecting clears the limits it used itself.
        connection.set_read_timeout(Some(self.timeout)).map_err(|error| self.explain(&error))?;
        connection.set_write_timeout(Some(self.timeout)).map_err(|error| self.explain(&error))?;
        Ok(connection)
    }

    /// The master's address, as this sentinel knows it.
    fn ask(&self, sentinel: &Client) -> Result<Client, FleetError> {
        let at = sentinel.get_connection_info().addr().to_string();
        let lost = |error: &dyn std::fmt::Display| self.unavailable(format!("the sentinel at {at}: {error}"));
        let mut connection = sentinel.get_connection_with_timeout(self.timeout).map_err(|error| lost(&error))?;
        connection.set_read_timeout(Some(self.timeout)).map_err(|error| lost(&error))?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.server);
        let master: Option<(String, u16)> = question.query(&mut connection).map_err(|error| lost(&error))?;
        let Some((host, port)) = master else {
            return Err(lost(&"it knows no master of that name"));
        };
        let info = self.client.get_connection_info();
        let mut addr = info.addr().clone();
        match &mut addr {
            ConnectionAddr::Tcp(to, at) | ConnectionAddr::TcpTls { host: to, port: at, .. } => {
                (*to, *at) = (host, port)
            }
            _ => {}
        }
        Client::open(info.clone().set_addr(addr)).map_err(|error| lost(&error))
    }

    /// A sentinel may not have heard yet that a master is one no more: `check` looks.
    fn dial_master(&self, master: &Client) -> Result<redis::Connection, FleetError> {
        let mut connection = self.dial(master)?;
        self.check(&mut connection)?;
        Ok(connection)
    }

    pub(crate) fn unavailable(&self, reason: impl ToString) -> FleetError {
        FleetError::Unavailable { server: self.server.clone(), reason: reason.to_string() }
    }

    pub(crate) fn explain(&self, error: &RedisError) -> FleetError {
        if error.kind() == ErrorKind::AuthenticationFailed {
            return FleetError::AuthenticationFailed { server: self.server.clone() };
        }
        if error.is_timeout() {
            return self.unavailable(NO_ANSWER);
        }
        match error.code() {
            Some(code) => refusal(&self.server, "", code, error.detail().unwrap_or_default()).error,
            None => self.unavailable(error),
        }
    }

    /// Refuses, by name, a server that cannot serve: one of another kind, a replica, and one that is too old for the
    /// scripts.
    fn check(&self, connection: &mut redis::Connection) -> Result<(), FleetError> {
        let text: String = redis::cmd("INFO").query(connection).map_err(|error| self.explain(&error))?;
        let field = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        let wrong = |found: &str| FleetError::WrongServer { server: self.server.clone(), found: found.to_owned() };
        let mode = field("redis_mode").or_else(|| field("server_mode")).unwrap_or_default();
        if mode == "cluster" || field("cluster_enabled") == Some("1") {
            return Err(wrong(CLUSTER));
        }
        if mode == "sentinel" {
            return Err(wrong("a sentinel, whose address belongs to `FleetBuilder::sentinels`"));
        }
        if let Some(version) = field("redis_version") {
            let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
            let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            if found < (6, 2) {
                return Err(FleetError::ServerTooOld { server: self.server.clone(), found: version.to_owned() });
            }
        }
        if field("role") == Some("slave") {
            let master = field("master_host").zip(field("master_port"));
            let of = master.map_or_else(String::new, |(host, port)| format!(" of {host}:{port}"));
            // It may be a master the next time.
            return Err(self.unavailable(format!("it is a replica{of}, and takes no writes")));
        }
        Ok(())
    }
}

impl Connect for Address {
    fn connect(&self) -> Result<Box<dyn Wire>, FleetError> {
        introduce(self.open(self.timeout)?, &self.server, &self.prefix, self.timeout)
    }

    fn server(&self) -> &str {
        &self.server
    }
}

/// A client for `url`, with the certificates of `target`.
fn client(url: &str, target: &Target) -> Result<Client, FleetError> {
    let bad = |expected: String| FleetError::BadUrl { url: redacted(url), expected };
    if redis::parse_redis_url(url).is_none() {
        return Err(bad(EXPECTED.to_owned()));
    }
    let info = url.into_connection_info().map_err(|error| bad(format!("{EXPECTED} ({})", said(&error))))?;
    if !info.addr().is_supported() {
        return Err(bad(match info.addr() {
            ConnectionAddr::TcpTls { .. } => {
                "redis://.., or the feature redis-rustls or redis-native-tls for rediss://..".to_owned()
            }
            _ => "an address this platform can connect to".to_owned(),
        }));
    }
    // Off by default in the driver; with it a pipeline waits up to 40 ms for an acknowledgement.
    let settings = info.tcp_settings().clone().set_nodelay(true);
    // Shown by CLIENT LIST; a server that does not know the command refuses it without harm.
    let login = info.redis_settings().clone().set_lib_name("flight-group", env!("CARGO_PKG_VERSION"));
    // Whatever the address says: answers and messages are read as RESP2 has them.
    let login = login.set_protocol(ProtocolVersion::RESP2);
    let info = info.set_tcp_settings(settings).set_redis_settings(login);
    make(info, target).map_err(|error| bad(format!("{EXPECTED} ({})", said(&error))))
}

#[cfg(not(any(feature = "redis-rustls", feature = "redis-native-tls")))]
fn make(info: redis::ConnectionInfo, _target: &Target) -> Result<Client, RedisError> {
    Client::open(info)
}

#[cfg(any(feature = "redis-rustls", feature = "redis-native-tls"))]
fn make(info: redis::ConnectionInfo, target: &Target) -> Result<Client, RedisError> {
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Client::open(info);
    }
    // The driver takes rustls without its cryptography and panics where the program has chosen none.
    #[cfg(feature = "redis-rustls")]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // If another thread has installed one first, that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let Certificates { root, client } = &target.certificates;
    if root.is_none() && client.is_none() {
        return Client::open(info);
    }
    let client_tls = client.clone().map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key });
    Client::build_with_tls(info, redis::TlsCertificates { client_tls, root_cert: root.clone() })
}

/// What the driver says of an address, without the piece of the address that it says it of: that may hold a password.
fn said(error: &RedisError) -> String {
    let message = error.to_string();
    match error.detail() {
        Some(detail) => match message.strip_suffix(detail) {
            Some(message) => message.trim_end_matches(": ").to_owned(),
            None => error.category().to_owned(),
        },
        None => message,
    }
}

/// An address that can be logged: nothing of what stands between a `:` and an `@`, and of what follows a `?` only what is
/// known to be no password.
fn redacted(url: &str) -> String {
    let scheme = url.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or_default();
    let start = if url[scheme..].starts_with("://") { scheme + 3 } else { 0 };
    let (user, place) = match url.rfind('@') {
        Some(at) if start <= at => {
            let user = url[start..at].split([':', '?', '&']).next().unwrap_or_default();
            (format!("{}{user}:***", &url[..start]), &url[at..])
        }
        _ => (String::new(), url),
    };
    // How the driver is given a password for a Unix socket.
    let Some(query) = place.find(['?', '&']) else { return user + place };
    let shown = |pair: &str| match pair.split_once('=') {
        Some(("db" | "user" | "protocol", _)) => pair.to_owned(),
        Some((name @ ("pass" | "password"), _)) => format!("{name}=***"),
        _ => "***".to_owned(),
    };
    let pairs: Vec<String> = place[query + 1..].split(['?', '&']).map(shown).collect();
    format!("{user}{}{}", &place[..=query], pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, sentinels: Option<Vec<String>>) -> Target {
        let mut target = Target::default();
        (target.url, target.sentinels) = (url.to_owned(), sentinels);
        target
    }

    fn refuse(url: &str) -> String {
        let target = target(url, None);
        Address::parse(&target, "flight", Duration::from_secs(1)).unwrap_err().to_string()
    }

    #[test]
    fn a_bad_address_is_named_without_its_password() {
        let message = refuse("http://user:secret@example.invalid/");
        assert!(message.contains("http://user:***@example.invalid/"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        for bad in [
            "unix:///tmp/redis.sock?db=none&user=me&pass=secret",
            "redis+unix:///tmp/redis.sock?pass=secret&db=none",
            "me:secret@127.0.0.1:6379",
            "redis:/me:secret@127.0.0.1:6379",
            "redis://me:sec:secret@127.0.0.1:port/",
            "redis://:secret/with/slashes@127.0.0.1/",
            "http://me:secret@127.0.0.1/?pass=secret@",
            // Found by the fuzzer, or beside what it found.
            "unix:///tmp/redis.sock?@&pass=secret&db=none",
            "unix:///tmp/redis.sock?pass=se?secret&db=none",
            "unix:///tmp/redis.sock?db=none&p%61ss=secret",
            "unix:?pass=secret&x=://@",
            "unix://x?pass=secret:y@?db=none",
            "redis://host/0?protocol=other://:secret@",
        ] {
            let message = refuse(bad);
            assert!(!message.contains("secret"), "{message}");
            assert!(message.contains("***"), "{message}");
        }
        assert!(refuse("unix:///tmp/redis.sock?db=none&user=me&pass=secret").contains("?db=none&user=me&pass=***"));
        assert!(refuse("").starts_with("bad address \"\""));
        assert!(refuse("redis://host:notaport/").contains("redis://host:notaport/"));
        assert!(refuse("redis://127.0.0.1/abc").contains("redis://127.0.0.1/abc"));
    }

    #[cfg(not(any(feature = "redis-rustls", feature = "redis-native-tls")))]
    #[test]
    fn an_encrypted_address_without_the_feature_says_which_feature() {
        assert!(refuse("rediss://127.0.0.1/").contains("TLS"), "{}", refuse("rediss://127.0.0.1/"));
    }

    #[test]
    fn sentinels_need_a_name_to_ask_for_and_an_address_of_their_own() {
        let refuse = |url: &str, sentinels: &[&str]| {
            let sentinels = sentinels.iter().map(|&sentinel| sentinel.to_owned()).collect();
            Address::parse(&target(url, Some(sentinels)), "flight", Duration::from_secs(1)).unwrap_err().to_string()
        };
        let message = refuse("redis://mymaster/", &[]);
        assert_eq!(message, "bad sentinels \"\": expected at least one address of a sentinel");
        assert!(refuse("unix:///tmp/redis.sock", &["redis://127.0.0.1:26379"]).contains("the name"));
        let message = refuse("redis://mymaster/", &["redis://127.0.0.1:26379", "me:secret@127.0.0.1"]);
        assert!(message.contains("\"me:***@127.0.0.1\"") && !message.contains("secret"), "{message}");
    }
}
