//! The connection to the server, as the commander sees it; the real one and its error messages.

use super::FleetError;
use super::scripts::{Request, introduction};
use crate::sync::{Arc, Duration, Instant};
use redis::{ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, Value};

/// One connection, on which requests are answered in the order they were sent.
pub(crate) trait Wire: Send {
    /// Sends `batch` in one go and reads as many answers. Fewer answers come with the error that stopped it; the
    /// connection is then good for nothing more, for a late answer would be taken for another request's.
    fn exchange(&mut self, batch: &[(Arc<Request>, bool)], budget: Duration) -> (Vec<Value>, Option<String>);
}

/// Makes connections.
pub(crate) trait Connect: Send + Sync {
    fn connect(&self) -> Result<Box<dyn Wire>, FleetError>;
    /// Host and port, for messages.
    fn server(&self) -> &str;
}

/// Where the server is, and how long it may take.
#[derive(Debug)]
pub(crate) struct Address {
    client: redis::Client,
    server: String,
    timeout: Duration,
}

pub(crate) const NO_ANSWER: &str = "the server did not answer in time";

const EXPECTED: &str = "redis://[user:password@]host[:port][/db], rediss://.. with a TLS feature, or unix:///path";

impl Address {
    pub(crate) fn parse(url: &str, timeout: Duration) -> Result<Self, FleetError> {
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
        let info = info.set_tcp_settings(settings).set_redis_settings(login);
        let server = info.addr().to_string();
        let client = redis::Client::open(info).map_err(|error| bad(format!("{EXPECTED} ({error})")))?;
        Ok(Self { client, server, timeout })
    }

    /// A connection that has shaken hands, with a limit on every read and write.
    pub(crate) fn open(&self, read_timeout: Duration) -> Result<redis::Connection, FleetError> {
        let connection = self.client.get_connection_with_timeout(self.timeout).map_err(|error| self.explain(&error))?;
        // Connecting clears the limits it used itself.
        connection.set_read_timeout(Some(read_timeout)).map_err(|error| self.explain(&error))?;
        connection.set_write_timeout(Some(self.timeout)).map_err(|error| self.explain(&error))?;
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
        let mut socket = Socket { connection };
        let introduction: Vec<_> = introduction().into_iter().map(|request| (Arc::new(request), true)).collect();
        let (answers, broken) = socket.exchange(&introduction, self.timeout);
        if let Some(reason) = broken {
            return Err(self.unavailable(reason));
        }
        for answer in answers {
            if let Value::ServerError(reply) = answer {
                return Err(explain(&self.server, "", reply.code(), reply.details().unwrap_or_default()));
            }
        }
        Ok(Box::new(socket))
    }

    fn server(&self) -> &str {
        &self.server
    }
}

struct Socket {
    connection: redis::Connection,
}

impl Wire for Socket {
    fn exchange(&mut self, batch: &[(Arc<Request>, bool)], budget: Duration) -> (Vec<Value>, Option<String>) {
        let end = Instant::now() + budget;
        let mut bytes = Vec::with_capacity(batch.iter().map(|(request, _)| request.weight()).sum());
        for (request, with_text) in batch {
            request.pack(*with_text, &mut bytes);
        }
        if let Err(error) = self.connection.send_packed_command(&bytes) {
            return (Vec::new(), Some(error.to_string()));
        }
        let mut answers = Vec::with_capacity(batch.len());
        for n in 0..batch.len() {
            // The first answer has the whole budget, as set when the connection was made.
            if n > 0 && Instant::now() >= end {
                return (answers, Some(NO_ANSWER.to_owned()));
            }
            match self.connection.recv_response() {
                Ok(value) => answers.push(value),
                Err(error) if error.is_timeout() => {
                    return (answers, Some(NO_ANSWER.to_owned()));
                }
                Err(error) => return (answers, Some(error.to_string())),
            }
        }
        (answers, None)
    }
}

/// What an error reply means. `record` is the key it was about.
pub(crate) fn explain(server: &str, record: &str, code: &str, detail: &str) -> FleetError {
    // Before Redis 7 a script's error comes wrapped in an `ERR Error running script ..` of its own.
    let says = |word: &str| code == word || detail.contains(word);
    let whole = || format!("{code} {detail}").trim().to_owned();
    if says("WRONGTYPE") {
        return FleetError::WrongType { key: record.to_owned() };
    }
    if says("NOAUTH") || says("WRONGPASS") {
        return FleetError::AuthenticationFailed { server: server.to_owned() };
    }
    if says("NOPERM") || detail.contains("can't run this command or subcommand") {
        return FleetError::NoPermission { detail: whole() };
    }
    if is_passing(code, detail) {
        return FleetError::Unavailable { server: server.to_owned(), reason: whole() };
    }
    FleetError::Server { detail: whole() }
}

/// Whether an error reply says that the server cannot serve *now*, or that this is not the server to ask any more.
pub(crate) fn is_passing(code: &str, detail: &str) -> bool {
    const PASSING: [&str; 9] =
        ["LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "MISCONF", "NOREPLICAS", "BUSY"];
    PASSING.iter().any(|word| code == *word || detail.contains(&format!("{word} ")))
}

/// An address that can be logged.
fn redacted(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            let user = url[scheme + 3..at].split(':').next().unwrap_or_default();
            format!("{}{user}:***{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(url: &str) -> String {
        Address::parse(url, Duration::from_secs(1)).unwrap_err().to_string()
    }

    #[test]
    fn a_bad_address_is_named_without_its_password() {
        let message = refuse("http://user:secret@example.invalid/");
        assert!(message.contains("http://user:***@example.invalid/"), "{message}");
        assert!(!message.contains("secret"), "{message}");
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
    fn error_replies_are_told_apart() {
        let of = |code, detail| explain("h:1", "{k}:f", code, detail);
        let wrong = FleetError::WrongType { key: "{k}:f".into() };
        assert_eq!(of("WRONGTYPE", "Operation against a key"), wrong);
        assert_eq!(of("ERR", "Error running script (call to f_1): @user_script:1: WRONGTYPE Operation"), wrong);
        assert!(matches!(of("NOAUTH", "Authentication required."), FleetError::AuthenticationFailed { .. }));
        assert!(matches!(of("NOPERM", "this user has no permissions"), FleetError::NoPermission { .. }));
        assert!(of("LOADING", "Redis is loading the dataset in memory").is_unavailable());
        assert!(of("OOM", "command not allowed when used memory > 'maxmemory'").is_unavailable());
        assert!(matches!(of("ERR", "value is not an integer"), FleetError::Server { .. }));
    }
}
