//! The connection to the server, as the commander sees it; the real one and its error messages.

use super::FleetError;
use super::scripts::{Request, introduction};
use crate::sync::{Arc, Duration, Instant};
use redis::{ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, Value};

/// One connection, on which requests are answered in the order they were sent.
pub(crate) trait Wire: Send {
    /// Sends `batch` in one go and reads as many answers. Fewer answers come with the error that stopped it; the
    /// connection is then good for nothing more, for a late answer would be taken for another request's.
    ///
    /// Takes one `budget` for writing and one for reading, and at most a sixteenth of one more. Each is a limit on silence,
    /// as sockets have them: one answer that trickles in byte by byte can take longer.
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

/// A socket takes no limit of zero, and one of less than this is over before it is set.
const SHORTEST_LIMIT: Duration = Duration::from_micros(100);

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
        // Whatever the address says: answers and messages are read as RESP2 has them.
        let login = login.set_protocol(redis::ProtocolVersion::RESP2);
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
        let mut bytes = Vec::with_capacity(batch.iter().map(|(request, _)| request.weight()).sum());
        for (request, with_text) in batch {
            request.pack(*with_text, &mut bytes);
        }
        if let Err(error) = self.connection.send_packed_command(&bytes) {
            return (Vec::new(), Some(error.to_string()));
        }
        let end = Instant::now() + budget;
        // As set when the connection was made.
        let mut limit = budget;
        let mut answers = Vec::with_capacity(batch.len());
        for _ in batch {
            let left = end.saturating_duration_since(Instant::now());
            // The budget is for all answers together; it costs a system call only where the server is slow.
            if left < limit - limit / 16 {
                if left < SHORTEST_LIMIT {
                    return (answers, Some(NO_ANSWER.to_owned()));
                }
                limit = left;
                if let Err(error) = self.connection.set_read_timeout(Some(limit)) {
                    return (answers, Some(error.to_string()));
                }
            }
            match self.connection.recv_response() {
                Ok(value) => answers.push(value),
                Err(error) if error.is_timeout() => {
                    return (answers, Some(NO_ANSWER.to_owned()));
                }
                Err(error) => return (answers, Some(error.to_string())),
            }
        }
        let restored = if limit < budget { self.connection.set_read_timeout(Some(budget)) } else { Ok(()) };
        (answers, restored.err().map(|error| error.to_string()))
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

    fn refuse(url: &str) -> String {
        Address::parse(url, Duration::from_secs(1)).unwrap_err().to_string()
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

    /// A server that is slow with every answer does not get a budget for each.
    #[test]
    fn the_budget_is_for_all_answers_together() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}/", listener.local_addr().unwrap());
        let budget = Duration::from_secs(1);
        let (done, until_done) = std::sync::mpsc::channel::<()>();
        let server = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            // The client introduces itself with two commands.
            stream.read(&mut bytes).unwrap();
            stream.write_all(b"+OK\r\n+OK\r\n").unwrap();
            stream.read(&mut bytes).unwrap();
            for _ in 0..2 {
                // Each within the budget, the second one not within what is left of it.
                std::thread::sleep(budget * 9 / 10);
                let _ = stream.write_all(b":1\r\n");
            }
            let _ = until_done.recv();
        });
        let connection = Address::parse(&url, budget).unwrap().open(budget).unwrap();
        let request = || (Arc::new(Request::new(&super::super::scripts::RENEW)), false);
        let (answers, broken) = Socket { connection }.exchange(&[request(), request()], budget);
        assert!(answers.len() < 2, "{answers:?}");
        assert_eq!(broken.as_deref(), Some(NO_ANSWER));
        drop(done);
        server.join().unwrap();
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
