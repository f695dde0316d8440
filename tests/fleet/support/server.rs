//! A Redis of the test's own, on a free port of the loopback.

use super::wait::{self, until};
use redis::Commands;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) struct Server {
    child: Option<Child>,
    host: String,
    port: u16,
    options: Vec<String>,
    /// What it is started with, such as `ip netns exec NAME`; nothing, as a rule.
    within: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With more options than the usual ones.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::at("127.0.0.1", options, &[])
    }

    /// At another address than the usual one, and started by other means.
    pub(crate) fn at(host: &str, options: &[&str], within: &[&str]) -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let (options, within) = (words(options), words(within));
        let mut server = Self { child: None, host: host.to_owned(), port: free_port(), options, within };
        server.launch();
        server
    }

    /// One that watches others; it keeps its state in `config`.
    pub(crate) fn sentinel(port: u16, config: &std::path::Path) -> Self {
        let within = Vec::new();
        let options = vec![config.display().to_string(), "--sentinel".to_owned()];
        let mut server = Self { child: None, host: "127.0.0.1".to_owned(), port, options, within };
        server.launch();
        server
    }

    /// Starts it on its port, where it may have run before; returns when it listens.
    pub(crate) fn launch(&mut self) {
        let binary = binary();
        let mut words = self.within.iter().map(String::as_str).chain([binary.as_str()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        if self.options.iter().any(|option| option == "--sentinel") {
            // The file comes first; a sentinel knows only few of the other options.
            command.args(&self.options).args(["--port", &self.port.to_string(), "--bind", &self.host]);
        } else {
            command.args(["--port", &self.port.to_string(), "--bind", &self.host]);
            command.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
            command.arg("--dir").arg(std::env::temp_dir()).arg("--dbfilename").arg(self.dump().file_name().unwrap());
            command.args(&self.options);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("no {binary} to test with ({error}): install it, e.g. `apt-get install redis-server`")
        });
        wait::end_with_us(child.id());
        let child = self.child.insert(child);
        let (host, port) = (self.host.clone(), self.port);
        until("the server listens", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{binary} on port {port} ended at once ({})", ended.unwrap());
            std::net::TcpStream::connect((host.as_str(), port)).is_ok()
        });
    }

    /// The file it saves its data in, when it is told to.
    pub(crate) fn dump(&self) -> PathBuf {
        std::env::temp_dir().join(format!("flight-group-test-{}.rdb", self.port))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}:{}/", self.host, self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection for the test itself, past the library.
    pub(crate) fn raw(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).unwrap();
        let connection = client.get_connection_with_timeout(Duration::from_secs(30)).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        connection
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.raw().keys("*").unwrap();
        keys.sort();
        keys
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Ends it, and its data with it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            wait::ended(child.id());
        }
    }
}

/// What serves: `redis-server`, or what the environment names in its place, such as `valkey-server`.
pub(crate) fn binary() -> String {
    std::env::var("FLIGHT_GROUP_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// A port that is free, and stays free while its server is away: outside the range from which the system gives ports to
/// whoever asks for any. So is the port 10,000 above it, where a node of a cluster talks to the others: a node that does
/// not get it ends, after it has begun to listen.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other test processes count from elsewhere.
    let start = std::process::id().wrapping_mul(61);
    loop {
        let port = 10_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let port = u16::try_from(port).unwrap();
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(self.dump());
    }
}
