//! The service and what asks it to reload: a watcher, a signal, a request. This is the code to copy.

use crate::{Log, Reload};
use arc_swap::ArcSwap;
use flight_group::WriteGroup;
use notify::{EventKind, RecursiveMode, Watcher};
use std::error::Error;
use std::hash::{BuildHasher, Hash};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// What the service runs with: never half old, half new.
pub(crate) struct Config {
    pub(crate) revision: i64,
    pub(crate) ring: Ring,
}

/// A consistent-hash ring: points on a circle, each of which belongs to a backend.
pub(crate) struct Ring {
    backends: Vec<String>,
    pub(crate) points: Vec<(u64, u32)>,
}

/// Any error, cheap to clone for everybody who waits for the reload.
pub(crate) type Problem = Arc<dyn Error + Send + Sync>;

pub(crate) fn problem<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Problem {
    Arc::from(error.into())
}

pub(crate) struct Service {
    pub(crate) path: PathBuf,
    pub(crate) config: ArcSwap<Config>,
    pub(crate) reloads: WriteGroup<PathBuf, i64, Problem>,
    callback: Callback,
    log: Mutex<Log>,
}

/// What the watcher's callback calls.
#[derive(Clone, Copy)]
pub(crate) enum Callback {
    /// Returns at once. This is the right one.
    Spawn,
    /// Waits for the reload, on the watcher's only thread. Here to be measured.
    Write,
}

impl Service {
    pub(crate) fn start(path: PathBuf, callback: Callback) -> Result<Self, Problem> {
        let config = ArcSwap::from_pointee(Config::read(&path)?);
        Ok(Self { path, config, reloads: WriteGroup::new(), callback, log: Mutex::default() })
    }

    /// Called by the watcher, on its thread, at every sign that the file has changed.
    pub(crate) fn file_changed(self: &Arc<Self>) {
        let start = Instant::now();
        match self.callback {
            Callback::Spawn => self.ask_for_reload(),
            // A reload that fails is in the log.
            Callback::Write => drop(self.reload_and_wait()),
        }
        let mut log = self.log();
        log.notices += 1;
        log.last_notice = Some(Instant::now());
        log.callbacks += start.elapsed();
    }

    /// For a callback or a signal: returns at once.
    pub(crate) fn ask_for_reload(self: &Arc<Self>) {
        let service = self.clone();
        // The receiver is not needed: a reload that fails says so itself. Dropping it cancels nothing.
        drop(self.reloads.spawn(&self.path, move || service.reload()));
    }

    /// For a caller that must know: returns when a reload that began after this call is done, with its revision.
    pub(crate) fn reload_and_wait(&self) -> Result<i64, flight_group::Error<Problem>> {
        self.reloads.try_write(&self.path, || self.reload())
    }

    /// Never runs twice at the same time, and always once more after the last change: that is the group's doing.
    fn reload(&self) -> Result<i64, Problem> {
        let start = Instant::now();
        let outcome = Config::read(&self.path);
        let result = outcome.map(|config| {
            let revision = config.revision;
            let old = self.config.swap(Arc::new(config));
            self.log().went_back |= old.revision > revision;
            revision
        });
        let mut log = self.log();
        log.refused = result.as_ref().err().cloned();
        log.reloads.push(Reload { took: start.elapsed(), ended: Instant::now() });
        result
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let text = std::fs::read_to_string(path).map_err(problem)?;
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| problem(e.to_string().trim_end()))?;
        let revision = table.get("revision").and_then(toml::Value::as_integer);
        let points = table.get("points").and_then(toml::Value::as_integer).and_then(|n| u32::try_from(n).ok());
        let backends = table.get("backends").and_then(toml::Value::as_array);
        let backends: Option<Vec<String>> =
            backends.and_then(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
        Ok(Self {
            revision: revision.ok_or_else(|| problem("expected an integer `revision`"))?,
            ring: Ring::build(
                backends
                    .filter(|all| !all.is_empty())
                    .ok_or_else(|| problem("expected `backends`, a list of names"))?,
                points.ok_or_else(|| problem("expected `points`, how many each backend has on the ring"))?,
            ),
        })
    }
}

impl Ring {
    fn build(backends: Vec<String>, points: u32) -> Self {
        let mut all = Vec::with_capacity(backends.len() * points as usize);
        for (number, name) in backends.iter().enumerate() {
            all.extend((0..points).map(|point| (hash((name, point)), number as u32)));
        }
        all.sort_unstable();
        Self { backends, points: all }
    }

    /// The backend that serves `key`.
    pub(crate) fn route(&self, key: &str) -> &str {
        let place = hash(key);
        let after = self.points.partition_point(|&(point, _)| point < place);
        let (_, backend) = self.points.get(after).or(self.points.first()).copied().unwrap_or_default();
        &self.backends[backend as usize]
    }
}

/// The same in every process, or else each would route a key elsewhere.
fn hash(value: impl Hash) -> u64 {
    foldhash::quality::FixedState::default().hash_one(value)
}

/// Watches the directory, not the file: a file that is replaced takes its watch away with it.
pub(crate) fn watch(service: &Arc<Service>, directory: &Path) -> Result<(impl Watcher + use<>, Receiver<()>), Problem> {
    let (marker, seen) = mpsc::channel();
    let handler = {
        let service = service.clone();
        move |event: notify::Result<notify::Event>| on_event(&service, &marker, event)
    };
    let mut watcher = notify::recommended_watcher(handler).map_err(problem)?;
    watcher.watch(directory, RecursiveMode::NonRecursive).map_err(problem)?;
    Ok((watcher, seen))
}

fn on_event(service: &Arc<Service>, marker: &Sender<()>, event: notify::Result<notify::Event>) {
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            // Something was missed: reloading once too often is the safe side.
            eprintln!("config_reload: the watcher: {error}");
            return service.file_changed();
        }
    };
    // A reload reads the file; were that a change, it would be the last thing the program does.
    let is_change = matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any);
    // A volume that Kubernetes mounts holds `app.toml -> ..data/app.toml` and `..data -> ..2026_11_25`. An update replaces
    // only `..data`: nothing is ever reported for the file itself.
    let is_ours = |path: &PathBuf| *path == service.path || *path == service.path.with_file_name("..data");
    if (is_change && event.paths.iter().any(is_ours)) || event.need_rescan() {
        service.file_changed();
    }
    if matches!(event.kind, EventKind::Create(_)) && event.paths.iter().any(|path| path.ends_with("all-written")) {
        // Nobody waits any more if the program has failed meanwhile.
        let _ = marker.send(());
    }
}

/// Reloads at every SIGHUP, until it is dropped: for file systems that report no changes, and for administrators.
#[cfg(unix)]
pub(crate) struct Hangups {
    handle: signal_hook::iterator::Handle,
    thread: Option<JoinHandle<()>>,
}

#[cfg(unix)]
impl Hangups {
    /// `taken` hears of each signal once its reload has been asked for.
    pub(crate) fn listen(service: &Arc<Service>, taken: Sender<()>) -> Result<Self, Problem> {
        let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGHUP]).map_err(problem)?;
        let (handle, service) = (signals.handle(), service.clone());
        let thread = std::thread::spawn(move || {
            for _ in signals.forever() {
                service.log().notices += 1;
                service.ask_for_reload();
                // Nobody waits any more if the program has failed meanwhile.
                let _ = taken.send(());
            }
        });
        Ok(Self { handle, thread: Some(thread) })
    }
}

#[cfg(unix)]
impl Drop for Hangups {
    fn drop(&mut self) {
        self.handle.close();
        self.thread.take().map(JoinHandle::join);
    }
}

/// `POST /reload`: the answer comes when a reload that began after the request is done.
pub(crate) struct Server {
    http: Arc<tiny_http::Server>,
    pub(crate) address: std::net::SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(service: &Arc<Service>, threads: usize) -> Result<Self, Problem> {
        let http = Arc::new(tiny_http::Server::http("127.0.0.1:0").map_err(problem)?);
        let address = http.server_addr().to_ip().ok_or_else(|| problem("the server has no address"))?;
        let thread = |_| {
            let (http, service) = (http.clone(), service.clone());
            std::thread::spawn(move || {
                // `recv` fails once `unblock` has been called.
                while let Ok(request) = http.recv() {
                    let (status, text) = service.answer(&request);
                    // A client that has gone away is no concern of the server's.
                    let _ = request.respond(tiny_http::Response::from_string(text).with_status_code(status));
                }
            })
        };
        let threads = (0..threads).map(thread).collect();
        Ok(Self { http, address, threads })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for _ in &self.threads {
            self.http.unblock();
        }
        for thread in self.threads.drain(..) {
            // It panicked, and its client has seen as much.
            let _ = thread.join();
        }
    }
}

impl Service {
    fn answer(&self, request: &tiny_http::Request) -> (u16, String) {
        if (request.method(), request.url()) != (&tiny_http::Method::Post, "/reload") {
            return (404, "expected POST /reload\n".to_owned());
        }
        self.log().notices += 1;
        match self.reload_and_wait() {
            Ok(revision) => (200, revision.to_string()),
            Err(error) => (500, error.to_string()),
        }
    }
}
