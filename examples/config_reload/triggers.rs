//! The ways to ask for a reload, side by side: the watcher's callback with `spawn` and with `write`, Kubernetes' swap
//! of `..data`, SIGHUP, and an HTTP request that waits for its reload.

use crate::service::{Callback, Problem, Server, Service, problem, watch};
use crate::{Log, file, ms, rename_all, save, stage_all, wait_for_reloads};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one reload should cost here.
pub(crate) const RELOAD: Duration = Duration::from_millis(20);

/// How often the file changes for the comparison of `spawn` and `write`. Linux reports each change twice: 100 notices.
const CHANGES: i64 = 50;

/// How many requests ask for a reload at once.
const REQUESTS: usize = 8;

pub(crate) fn run(directory: &Path, points: u32) -> Result<(), Problem> {
    println!("\nthe watcher's callback, {CHANGES} changes of the file:");
    println!(
        "{:<16}{:>8}{:>9}{:>14}{:>11}{:>10}",
        "calls", "notices", "reloads", "in callbacks", "in force", "revision"
    );
    callbacks(directory, "spawn", Callback::Spawn, points)?;
    callbacks(directory, "write", Callback::Write, points)?;

    println!("with write, the watcher's only thread waits for each reload in turn; call spawn there");

    println!("\nother ways to ask for a reload:");
    println!("{:<16}{:>8}{:>9}{:>14}{:>11}{:>10}", "trigger", "notices", "reloads", "", "in force", "revision");
    #[cfg(unix)]
    {
        data_swap(directory, points)?;
        hangup(directory, points)?;
    }
    requests(directory, points)
}

/// The same changes, and a callback that calls `spawn` or `write`.
fn callbacks(parent: &Path, name: &str, callback: Callback, points: u32) -> Result<(), Problem> {
    let directory = parent.join(name);
    std::fs::create_dir(&directory).map_err(problem)?;
    let path = directory.join("proxy.toml");
    save(&path, &file(0, points)).map_err(problem)?;
    let service = Arc::new(Service::start(path.clone(), callback)?);
    // In the same directory: the kernel merges notices that are all alike, as of files moved here from elsewhere.
    let staged = stage_all(&path, 0, CHANGES, points)?;
    let (_watcher, seen) = watch(&service, &directory)?;
    let start = Instant::now();
    rename_all(&staged, &path)?;
    wait_for_reloads(&service, &directory, &seen)?;
    row(name, &service, start, CHANGES)
}

/// What Kubernetes does with a mounted ConfigMap: a new directory, and one rename that makes `..data` point to it.
#[cfg(unix)]
fn data_swap(parent: &Path, points: u32) -> Result<(), Problem> {
    use std::os::unix::fs::symlink;

    let directory = parent.join("volume");
    let publish = |name: &str, revision| {
        let version = directory.join(name);
        std::fs::create_dir_all(&version)?;
        std::fs::write(version.join("proxy.toml"), file(revision, points))?;
        symlink(name, directory.join("..data_tmp"))?;
        std::fs::rename(directory.join("..data_tmp"), directory.join("..data"))
    };
    publish("..2026_11_25_08_45", 0).map_err(problem)?;
    let path = directory.join("proxy.toml");
    symlink("..data/proxy.toml", &path).map_err(problem)?;

    let service = Arc::new(Service::start(path, Callback::Spawn)?);
    let (_watcher, seen) = watch(&service, &directory)?;
    let start = Instant::now();
    publish("..2026_11_25_08_46", 1).map_err(problem)?;
    wait_for_reloads(&service, &directory, &seen)?;
    row("..data swapped", &service, start, 1)
}

/// Nobody watches this file: the signal alone makes the service read it again.
#[cfg(unix)]
fn hangup(parent: &Path, points: u32) -> Result<(), Problem> {
    let service = unwatched(parent, "hangup.toml", points)?;
    let (taken, signals) = std::sync::mpsc::channel();
    let _hangups = crate::service::Hangups::listen(&service, taken)?;
    save(&service.path, &file(1, points)).map_err(problem)?;
    let start = Instant::now();
    // `kill -HUP` by the administrator.
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).map_err(problem)?;
    signals.recv_timeout(crate::WATCHDOG).map_err(|_| problem("the signal has not arrived"))?;
    // What came of it is in the log.
    let _ = service.reloads.call(&service.path).flush();
    row("SIGHUP", &service, start, 1)
}

/// Clients that change the file and must know that their change is in force.
fn requests(parent: &Path, points: u32) -> Result<(), Problem> {
    let service = unwatched(parent, "request.toml", points)?;
    let server = Server::start(&service, REQUESTS)?;
    let url = format!("http://{}/reload", server.address);
    save(&service.path, &file(1, points)).map_err(problem)?;

    let start = Instant::now();
    let answers: Result<Vec<(u16, String)>, Problem> = std::thread::scope(|s| {
        let clients: Vec<_> = (0..REQUESTS).map(|_| s.spawn(|| post(&url))).collect();
        clients.into_iter().map(|client| client.join().map_err(|_| problem("a client died"))?).collect()
    });
    let answers = answers?;
    if let Some((status, text)) = answers.iter().find(|(status, text)| *status != 200 || text != "1") {
        return Err(problem(format!("a request got status {status}, {text:?}, expected revision 1")));
    }
    row("POST /reload", &service, start, 1)?;

    save(&service.path, &file(2, points).replace("points = ", "points = many # ")).map_err(problem)?;
    let (status, text) = post(&url)?;
    println!("\na request for a broken file: status {status}\n{}", text.trim_end());
    if status == 500 { Ok(()) } else { Err(problem(format!("a broken file was answered with status {status}"))) }
}

fn post(url: &str) -> Result<(u16, String), Problem> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(crate::WATCHDOG))
        .build()
        .into();
    let mut response = agent.post(url).send_empty().map_err(problem)?;
    let text = response.body_mut().read_to_string().map_err(problem)?;
    Ok((response.status().as_u16(), text))
}

fn unwatched(directory: &Path, name: &str, points: u32) -> Result<Arc<Service>, Problem> {
    let path = directory.join(name);
    save(&path, &file(0, points)).map_err(problem)?;
    Ok(Arc::new(Service::start(path, Callback::Spawn)?))
}

/// What it came to; an error if the last change is not in force.
fn row(name: &str, service: &Service, start: Instant, expected: i64) -> Result<(), Problem> {
    let revision = service.config.load().revision;
    let log: &Log = &service.log();
    let in_force = log.reloads.last().map(|reload| reload.ended.saturating_duration_since(start));
    let callbacks = if log.callbacks.is_zero() { String::new() } else { ms(log.callbacks) };
    println!(
        "{name:<16}{:>8}{:>9}{callbacks:>14}{:>11}{revision:>10}",
        log.notices,
        log.reloads.len(),
        format!("+{}", ms(in_force.unwrap_or_default())),
    );
    if revision == expected && !log.went_back {
        Ok(())
    } else {
        Err(problem(format!("{name}: revision {revision} is in force, and the last change was {expected}")))
    }
}
