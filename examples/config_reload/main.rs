//! A configuration file, watched and reloaded: a burst of changes costs two reloads, and the last change wins.
//!
//! The file lists the backends of a proxy. A reload reads it, parses it, builds the ring that spreads requests over
//! the backends (the costly part), and swaps it in. Whoever saves the file often makes the watcher send notice after
//! notice, while a reload is running:
//!
//! * dropping notices while a reload runs would lose the last change;
//! * one reload for each notice would take a hundred times as long, and in parallel an older file could be swapped
//!   in last;
//! * a timer ("wait until it has been quiet for a second") would delay every change, and a busy writer for ever.
//!
//! A `WriteGroup` runs one reload at once, and one more for all notices that came while it ran. The watcher's callback
//! calls `spawn`, which returns at once: a watcher has one thread, and with `write` each notice would wait for a reload
//! of its own. `write` is for callers that must know, such as an HTTP request.
//!
//! The program then measures `spawn` against `write` in the callback, swaps `..data` as Kubernetes does, sends itself a
//! SIGHUP, and has HTTP requests wait for their reload.
//!
//! Where to look: `service.rs` is the code to copy; `triggers.rs` and this file try it out.
//!
//! `cargo run --release --example config_reload` checks that on a real file in a temporary directory, and ends with
//! exit code 1 if it is not so.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's output")]

#[path = "../shared/args.rs"]
mod args;
mod service;
mod triggers;

use lexopt::prelude::*;
use service::{Callback, Config, Problem, Service, problem, watch};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HELP: &str = "\
A watched configuration file: each burst of changes costs at most two reloads, and the last change wins.
Then the other ways to ask for a reload: `write` in the callback, a swap of `..data`, SIGHUP, an HTTP request.

usage: cargo run --release --example config_reload -- [options]

  --bursts N     how many bursts (default: 5)
  --changes N    how many changes of the file in each (default: 100)
  --help         this text
";

/// How many backends the file lists.
const BACKENDS: usize = 100;

/// How long the watcher may take to report before the program gives up.
const WATCHDOG: Duration = Duration::from_secs(60);

// --- The check: somebody who saves too often, and the counting. ---

/// What happened since the burst began.
#[derive(Default)]
struct Log {
    notices: usize,
    /// How long the watcher was kept in its callbacks.
    callbacks: Duration,
    last_notice: Option<Instant>,
    reloads: Vec<Reload>,
    went_back: bool,
    refused: Option<Problem>,
}

struct Reload {
    took: Duration,
    ended: Instant,
}

impl Log {
    /// How many reloads the promise allows: one that was running when the last notice came, and one for all that
    /// queued behind it. (A burst that outlasts a reload is to the group one burst during that reload and another
    /// after it: reloads that had ended by then come on top. There are none where a reload takes longer than the burst.)
    fn allowed(&self) -> usize {
        let had_ended = self.reloads.iter().filter(|reload| self.last_notice.is_some_and(|last| reload.ended < last));
        had_ended.count() + 2
    }
}

fn main() -> ExitCode {
    args::main(HELP, parse, run)
}

fn run((bursts, changes): (i64, i64)) -> Result<(), Problem> {
    let temporary = TempDir::with_prefix("config_reload-").map_err(problem)?;
    // The watcher reports the path as the system has it, without links.
    let directory = temporary.path().canonicalize().map_err(problem)?;
    let path = directory.join("proxy.toml");

    let sample = Sample::take(&directory, changes)?;
    let points = sample.points((10 * sample.burst).clamp(Duration::from_millis(100), Duration::from_secs(1)));
    save(&path, &file(0, points)).map_err(problem)?;
    let service = Arc::new(Service::start(path.clone(), Callback::Spawn)?);
    let (watcher, seen) = watch(&service, &directory)?;
    println!("watching {}", path.display());
    println!(
        "the ring has {} points; key \"cart-17\" goes to {}\n",
        service.config.load().ring.points.len(),
        service.config.load().ring.route("cart-17")
    );

    println!("burst  changes   writing  notices  reloads  allowed  a reload  in force  revision");
    let mut outlasted = false;
    for burst in 1..=bursts {
        let staged = stage_all(&path, (burst - 1) * changes, changes, points)?;
        *service.log() = Log::default();
        let writing = rename_all(&staged, &path)?;
        let written = Instant::now();
        wait_for_reloads(&service, &directory, &seen)?;
        let in_force = service.config.load().revision;

        let log = service.log();
        let took = log.reloads.iter().map(|reload| reload.took).max().unwrap_or_default();
        // From the last change on disk to the end of the reload that read it.
        let delay =
            log.reloads.last().map(|reload| reload.ended.saturating_duration_since(written)).unwrap_or_default();
        println!(
            "{burst:>5}  {changes:>7}  {:>8}  {:>7}  {:>7}  {:>7}  {:>8}  {:>8}  {in_force:>8}",
            ms(writing),
            log.notices,
            log.reloads.len(),
            log.allowed(),
            ms(took),
            format!("+{}", ms(delay)),
        );
        outlasted |= log.allowed() > 2;
        let last = burst * changes;
        if in_force != last {
            return Err(problem(format!("revision {in_force} is in force, and the last change was {last}")));
        }
        if log.reloads.len() > log.allowed() {
            return Err(problem(format!("{} reloads, and {} would have done", log.reloads.len(), log.allowed())));
        }
        if log.went_back {
            return Err(problem("an older revision replaced a newer one"));
        }
    }
    println!("\neach time the last change won; \"in force\" counts from the last change");
    if outlasted {
        println!("a burst that outlasts a reload is allowed one more for each that ended meanwhile");
    }

    broken_file(&service, &directory, &seen, bursts * changes, points)?;
    drop(watcher);

    triggers::run(&directory, sample.points(triggers::RELOAD))
}

/// A file that cannot be used is refused, and the old one stays in force until it is mended.
fn broken_file(
    service: &Arc<Service>,
    directory: &Path,
    seen: &Receiver<()>,
    last: i64,
    points: u32,
) -> Result<(), Problem> {
    save(&service.path, &file(last + 1, points).replace("points = ", "points = many # ")).map_err(problem)?;
    wait_for_reloads(service, directory, seen)?;
    let refused = service.log().refused.clone().ok_or_else(|| problem("a broken file was not refused"))?;
    let in_force = service.config.load().revision;
    println!("\na broken file is refused, and revision {in_force} stays in force:\n{refused}");
    if in_force != last {
        return Err(problem(format!("a broken file put revision {in_force} in force")));
    }

    save(&service.path, &file(last + 2, points)).map_err(problem)?;
    wait_for_reloads(service, directory, seen)?;
    let in_force = service.config.load().revision;
    println!("\nmended: revision {in_force} is in force");
    if in_force != last + 2 {
        return Err(problem(format!("revision {in_force} is in force, and the mended file has {}", last + 2)));
    }
    Ok(())
}

/// Returns once every change made so far has been reported, and reloaded.
fn wait_for_reloads(service: &Service, directory: &Path, seen: &Receiver<()>) -> Result<(), Problem> {
    // Reports come in the order of the changes, so that one for a file made now is the last of them.
    let marker = directory.join("all-written");
    std::fs::write(&marker, "").map_err(problem)?;
    seen.recv_timeout(WATCHDOG).map_err(|_| problem(format!("the watcher has not reported for {WATCHDOG:?}")))?;
    std::fs::remove_file(&marker).map_err(problem)?;
    // What came of them is in the log.
    let _ = service.reloads.call(&service.path).flush();
    Ok(())
}

/// What a burst, and a reload of a small ring, take on this machine and in this build.
struct Sample {
    burst: Duration,
    reload: Duration,
}

impl Sample {
    const POINTS: u32 = 1_000;

    fn take(directory: &Path, changes: i64) -> Result<Self, Problem> {
        let path = directory.join("rehearsal");
        let staged = stage_all(&path, 0, changes, Self::POINTS)?;
        let burst = rename_all(&staged, &path)?;
        let start = Instant::now();
        Config::read(&path)?;
        let reload = start.elapsed();
        std::fs::remove_file(&path).map_err(problem)?;
        Ok(Self { burst, reload })
    }

    /// How many points each backend is to have for a reload to take about as long as `wanted`.
    fn points(&self, wanted: Duration) -> u32 {
        let points = f64::from(Self::POINTS) * wanted.as_secs_f64() / self.reload.as_secs_f64();
        (points as u32).clamp(100, 50 * Self::POINTS)
    }
}

fn stage_all(path: &Path, after: i64, changes: i64, points: u32) -> Result<Vec<PathBuf>, Problem> {
    let stage = |change| stage(path, &file(after + change, points), change);
    (1..=changes).map(stage).collect::<Result<_, _>>().map_err(problem)
}

/// The burst: returns how long it took.
fn rename_all(staged: &[PathBuf], path: &Path) -> Result<Duration, Problem> {
    let start = Instant::now();
    for new in staged {
        std::fs::rename(new, path).map_err(problem)?;
    }
    Ok(start.elapsed())
}

/// As editors and deployment tools do: a new file is put in the place of the old one, so that no reader meets half of it.
fn save(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::rename(stage(path, text, 0)?, path)
}

/// Writes a new file beside the one it will replace. It is on disk when this returns, or else the rename would wait
/// for that on some file systems.
fn stage(path: &Path, text: &str, number: i64) -> std::io::Result<PathBuf> {
    let new = path.with_extension(format!("new-{number}"));
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    Ok(new)
}

fn file(revision: i64, points: u32) -> String {
    let mut text = format!("revision = {revision}\npoints = {points}\nbackends = [\n");
    for number in 1..=BACKENDS {
        text += &format!("    \"10.0.0.{number}:8080\",\n");
    }
    text + "]\n"
}

fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// How many bursts of how many changes. `None`: help was asked for.
fn parse(mut parser: lexopt::Parser) -> Result<Option<(i64, i64)>, lexopt::Error> {
    let (mut bursts, mut changes) = (5, 100);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("bursts") => bursts = args::number(&mut parser, "--bursts", 1..=10_000)?,
            Long("changes") => changes = args::number(&mut parser, "--changes", 1..=10_000)?,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Some((bursts, changes)))
}
