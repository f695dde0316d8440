//! Four processes want the same 64 rows, again and again; one of them is killed in the middle of its work.
//!
//! ```text
//! cargo run --release --features redis --example fleet
//! cargo run --release --features redis --example fleet -- --seconds 20 --redis redis://127.0.0.1/ --svg fleet.svg
//! ```
//!
//! Starts a `redis-server` on a free port of the loopback, unless it is given one, and a SQLite file in the temporary
//! directory. Each worker is a process of four threads that ask for rows in an order of their own. A row is read by a slow
//! query (10 ms), which a `FleetGroup` does once for all processes; what is read is stamped into the row with the fence of
//! the flight, and the row refuses a smaller one. Half-way the worker that leads at that moment is killed, and replaced.
//! In the end the log of all executions is judged: did two of one row ever overlap, was any call lost?
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

#[path = "../shared/args.rs"]
mod args;
mod chart;
#[path = "../shared/progress.rs"]
mod progress;
mod report;
mod server;
#[path = "../shared/chart.rs"]
mod shared_chart;
mod worker;

use lexopt::prelude::*;
use report::Fleet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const WORKERS: usize = 4;
const ROWS: u32 = 64;

const HELP: &str = "\
Four processes want the same 64 rows, again and again; one of them is killed in the middle of its work.

usage: cargo run --release --features redis --example fleet -- [options]

  --seconds N      how long the workers run, 2 to 600 (default: 6)
  --redis URL      a Redis to use (default: a redis-server is started on a free port of the loopback)
  --svg FILE       where to write the chart (default: target/fleet.svg)
  --help           this text

Says who called, led and followed how often, and judges the log of all executions: did two of one row overlap, was a
call lost? The exit code is 1 if so.
";

struct Options {
    seconds: f64,
    redis: Option<String>,
    svg: PathBuf,
}

impl Options {
    /// `None`: help was asked for.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self { seconds: 6.0, redis: None, svg: shared_chart::default_path() };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("seconds") => options.seconds = args::number(&mut parser, "--seconds", 2.0..=600.0)?,
                Long("redis") => options.redis = Some(parser.value()?.string()?),
                Long("svg") => options.svg = parser.value()?.into(),
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        shared_chart::check(&options.svg)?;
        Ok(Some(options))
    }
}

fn main() -> ExitCode {
    if std::env::var_os(worker::NUMBER).is_some() {
        worker::main();
        return ExitCode::SUCCESS;
    }
    args::main(HELP, Options::parse, |options| run(&options))
}

fn run(options: &Options) -> Result<(), String> {
    let server = server::start(options.redis.as_deref(), "--redis")?;
    // Before anything is made: an address nobody answers at is one clear line.
    drop(flight_group::fleet::Fleet::connect(&server.url).map_err(|error| error.to_string())?);
    let directory = TempDir::with_prefix("fleet-").map_err(|error| format!("cannot create a folder: {error}"))?;
    let database = directory.path().join("rows.sqlite");
    worker::create(&database, ROWS).map_err(|error| format!("no database at {}: {error}", database.display()))?;
    // Not the address that was given: it may hold a password.
    let whose = if options.redis.is_some() { "the redis given".to_owned() } else { format!("redis at {}", server.url) };
    println!("{WORKERS} workers, {ROWS} rows, {} s; {whose}: {}", options.seconds, server.describe()?);

    let mut fleet = Fleet::default();
    for _ in 0..WORKERS {
        fleet.start(&server.url, &database)?;
    }
    let begin = Instant::now();
    let time = Duration::from_secs_f64(options.seconds);
    let mut killed = None;
    let progress = progress::bar("running", time.as_millis() as usize, "ms");
    while begin.elapsed() < time {
        std::thread::sleep(Duration::from_millis(20));
        if killed.is_none() && begin.elapsed() > time / 2 {
            killed = fleet.kill_a_leader();
            if killed.is_some() {
                fleet.start(&server.url, &database)?;
            }
        }
        let state = match killed {
            None => "",
            Some(_) => ", a leader killed and replaced",
        };
        progress.set_message(format!("{} calls, {} executions{state}", fleet.calls(), fleet.runs()));
        progress.set_position(begin.elapsed().as_millis() as u64);
    }
    drop(progress);
    let outcome = fleet.finish();
    outcome.print(&database)?;
    chart::draw(&options.svg, &outcome).map_err(|e| shared_chart::failed(&options.svg, e))?;
    println!("chart: {}", options.svg.display());
    if outcome.overlaps() + outcome.lost_calls() > 0 {
        return Err("something was lost or overlapped: see above".to_owned());
    }
    Ok(())
}
