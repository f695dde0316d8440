//! Where the server is, and how to reach it: directly, encrypted, or by asking sentinels who it is at the moment.

use super::FleetError;
use super::wire::{Connect, NO_ANSWER, Wire, explain, introduce};
use crate::sync::Duration;
use redis::{Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError};

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
#[derive(Debug)]
pub(crate) struct Address {
    client: Client,
    /// Where they are asked who `server` is; none where `client` itself knows the way.
    sentinels: Vec<Client>,
    server: String,
    timeout: Duration,
}

impl Address {
    pub(crate) fn parse(target: &Target, timeout: Duration) -> Result<Self, FleetError> {
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
        Ok(Self { client, sentinels, server, timeout })
    }

    /// A connection that has shaken hands, with a limit on every read and write.
    pub(crate) fn open(&self, read_timeout: Duration) -> Result<redis::Connection, FleetError> {
        if self.sentinels.is_empty() {
            return self.dial(&self.client, read_timeout);
        }
        let mut reason = self.unavailable("no sentinel knows it");
        for sentinel in &self.sentinels {
            match self.ask(sentinel).and_then(|master| self.dial_master(&master, read_timeout)) {
                Ok(connection) => return Ok(connection),
                // The next one may know better; the last one's reason is told.
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    fn dial(&self, client: &Client, read_timeout: Duration) -> Result<redis::Connection, FleetError> {
        let connection = client.get_connection_with_timeout(self.timeout).map_err(|error| self.explain(&error))?;
        // Connecting clears the limits it used itself.
        connection.set_read_timeout(Some(read_timeout)).map_err(|error| self.explain(&error))?;
        connection.set_write_timeout(Some(self.timeout)).map_err(|error| self.explain(&error))?;
        Ok(connection)
    }

    /// Who the master is, as this sentinel sees it.
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

    fn dial_master(&self, master: &Client, read_timeout: Duration) -> Result<redis::Connection, FleetError> {
        let mut connection = self.dial(master, self.timeout)?;
        // A sentinel may not have heard yet that it is one no more. A user who may not ask finds out by READONLY.
        match redis::cmd("ROLE").query::<Vec<redis::Value>>(&mut connection) {
            Ok(role) if matches!(role.first(), Some(redis::Value::BulkString(role)) if role != b"master") => {
                return Err(self.unavailable("who the sentinels say is master is a replica"));
            }
            Err(error) if error.code() != Some("NOPERM") => return Err(self.explain(&error)),
            _ => {}
        }
        connection.set_read_timeout(Some(read_timeout)).map_err(|error| self.explain(&error))?;
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
            Some(code) => explain(&self.server, "", code, error.detail().unwrap_or_default()),
            None => self.unavailable(error),
        }
    }

    /// Refuses what the scripts cannot run on. A user who may not ask for the version is taken at his word.
    fn check_version(&self, connection: &mut redis::Connection) -> Result<(), FleetError> {
        let text: String = match redis::cmd("INFO").arg("server").query(connection) {
            Ok(text) => text,
            Err(error) if error.code() == Some("NOPERM") => return Ok(()),
            Err(error) => return Err(self.explain(&error)),
        };
        let Some(version) = text.lines().find_map(|line| line.strip_prefix("redis_version:")) else {
            return Ok(());
        };
        let mut parts = version.trim().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if found < (6, 2) {
            return Err(FleetError::ServerTooOld { server: self.server.clone(), found: version.trim().to_owned() });
        }
        Ok(())
    }
}

impl Connect for Address {
    fn connect(&self) -> Result<Box<dyn Wire>, FleetError> {
        let mut connection = self.open(self.timeout)?;
        self.check_version(&mut connection)?;
        introduce(connection, &self.server, self.timeout)
    }

    fn server(&self) -> &str {
        &self.server
    }
}

/// Who can connect to `url`, with the certificates of `target`.
fn client(url: &str, target: &Target) -> Result<Client, FleetError> {
    let bad = |expected: String| FleetError::BadUrl { url: redacted(url), expected };
    if redis::parse_redis_url(url).is_none() {
        return Err(bad(EXPECTED.to_owned()));
    }
    let info = url.into_connection_info().map_err(|error| bad(format!("{EXPECTED} ({error})")))?;
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
    // For whoever looks at CLIENT LIST; a server that does not know the command refuses it without harm.
    let login = info.redis_settings().clone().set_lib_name("flight-group", env!("CARGO_PKG_VERSION"));
    // Whatever the address says: answers and messages are read as RESP2 has them.
    let login = login.set_protocol(ProtocolVersion::RESP2);
    let info = info.set_tcp_settings(settings).set_redis_settings(login);
    make(info, target).map_err(|error| bad(format!("{EXPECTED} ({error})")))
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
        // Somebody else who was quicker is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let Certificates { root, client } = &target.certificates;
    if root.is_none() && client.is_none() {
        return Client::open(info);
    }
    let client_tls = client.clone().map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key });
    Client::build_with_tls(info, redis::TlsCertificates { client_tls, root_cert: root.clone() })
}

/// An address that can be logged: neither what stands between a `:` and an `@`, nor what follows `pass=`.
fn redacted(url: &str) -> String {
    let (start, at) = (url.find("://").map_or(0, |scheme| scheme + 3), url.rfind('@'));
    let shown = match at {
        Some(at) if start <= at => {
            let user = url[start..at].split(':').next().unwrap_or_default();
            format!("{}{user}:***{}", &url[..start], &url[at..])
        }
        _ => url.to_owned(),
    };
    // How the driver is given a password for a Unix socket.
    match shown.split_once('?') {
        Some((place, query)) => {
            let hide = |pair: &str| match pair.split_once('=') {
                Some((name, _)) if name.starts_with("pass") => format!("{name}=***"),
                _ => pair.to_owned(),
            };
            format!("{place}?{}", query.split('&').map(hide).collect::<Vec<_>>().join("&"))
        }
        None => shown,
    }
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
        Address::parse(&target, Duration::from_secs(1)).unwrap_err().to_string()
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
            Address::parse(&target(url, Some(sentinels)), Duration::from_secs(1)).unwrap_err().to_string()
        };
        let message = refuse("redis://mymaster/", &[]);
        assert_eq!(message, "bad sentinels \"\": expected at least one address of a sentinel");
        assert!(refuse("unix:///tmp/redis.sock", &["redis://127.0.0.1:26379"]).contains("the name"));
        let message = refuse("redis://mymaster/", &["redis://127.0.0.1:26379", "me:secret@127.0.0.1"]);
        assert!(message.contains("\"me:***@127.0.0.1\"") && !message.contains("secret"), "{message}");
    }
}
