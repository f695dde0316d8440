//! A Redis: the one given, or one of our own. The benches start theirs with this file, too.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) url: String,
}

/// `option` is how the program is given one.
pub(crate) fn start(given: Option<&str>, option: &str) -> Result<Server, String> {
    if let Some(url) = given {
        return Ok(Server { child: None, url: url.to_owned() });
    }
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port on the loopback: {error}"))?
        .port();
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| {
            format!("no redis-server ({error}): install it, e.g. `apt-get install redis-server`, or give {option}")
        })?;
    let server = Server { child: Some(child), url: format!("redis://127.0.0.1:{port}/") };
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begin.elapsed() > Duration::from_secs(10) {
            return Err(format!("redis-server does not listen on port {port} after 10 s"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(server)
}

impl Server {
    /// Its version and the machine, for whoever copies the figures.
    pub(crate) fn describe(&self) -> Result<String, String> {
        let info: String = redis::Client::open(self.url.as_str())
            .and_then(|client| client.get_connection_with_timeout(Duration::from_secs(5)))
            .and_then(|mut connection| redis::cmd("INFO").arg("server").query(&mut connection))
            .map_err(|error| format!("no redis at the address given: {error}"))?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown").trim();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        Ok(format!("redis {version}, {cores} cores, load {load} at the start"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = (child.kill(), child.wait());
        }
    }
}
