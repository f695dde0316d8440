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

mod chart;
mod progress;
mod report;
mod server;
mod worker;

use progress::Progress;
use report::Fleet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const ROWS: u32 = 64;

const HELP: &str = "\
Four processes want the same 64 rows, again and again; one of them is killed in the middle of its work.

usage: cargo run --release --features redis --example fleet -- [options]

  --seconds N      how long the workers run, 2 to 600 (default: 6)
  --redis URL      a Redis to use (default: a redis-server is started on a free port of the loopback)
  --svg FILE       where to write the chart (default: flight-group-fleet.svg in the temporary directory)
  --help           this text

Says who called, led and followed how often, and judges the log of all executions: did two of one row overlap, was a
call lost? Ends with 0 if neither, 1 if so, 2 where it could not be tried.
";

enum Command {
    Help,
    Run(Options),
}

struct Options {
    seconds: f64,
    redis: Option<String>,
    svg: PathBuf,
}

fn command() -> Result<Command, String> {
    let mut options = Options { seconds: 6.0, redis: None, svg: std::env::temp_dir().join("flight-group-fleet.svg") };
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        let unknown = || format!("unknown option {arg:?}; --help lists them");
        let name = arg.to_str().ok_or_else(unknown)?;
        let mut value = || {
            let value = args.next().ok_or(format!("{name} wants a value, and nothing follows it"))?;
            value.into_string().map_err(|value| format!("{name} is {value:?}, expected UTF-8 text"))
        };
        match name {
            "--help" | "-h" => return Ok(Command::Help),
            "--seconds" => {
                let text = value()?;
                options.seconds = text
                    .parse()
                    .ok()
                    .filter(|seconds| (2.0..=600.0).contains(seconds))
                    .ok_or(format!("--seconds is \"{text}\", expected a number from 2 to 600"))?;
            }
            "--redis" => options.redis = Some(value()?),
            "--svg" => options.svg = value()?.into(),
            _ => return Err(unknown()),
        }
    }
    Ok(Command::Run(options))
}

fn main() {
    if std::env::var_os(worker::NUMBER).is_some() {
        return worker::main();
    }
    let result = command().and_then(|command| match command {
        Command::Help => {
            print!("{HELP}");
            Ok(true)
        }
        Command::Run(options) => run(&options),
    });
    match result {
        Ok(true) => {}
        Ok(false) => {
            eprintln!("something was lost or overlapped: see above");
            std::process::exit(1);
        }
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    }
}

/// Whether all went well.
fn run(options: &Options) -> Result<bool, String> {
    let server = server::start(options.redis.as_deref(), "--redis")?;
    // Before anything is made: an address nobody answers at is one clear line.
    drop(flight_group::fleet::Fleet::connect(&server.url).map_err(|error| error.to_string())?);
    let unwritable = |error: std::io::Error| format!("cannot write {}: {error}", options.svg.display());
    std::fs::write(&options.svg, "").map_err(unwritable)?;
    let database = std::env::temp_dir().join(format!("flight-group-fleet-{}.sqlite", std::process::id()));
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
    let mut progress = Progress::new();
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
        let (seconds, calls, runs) = (begin.elapsed().as_secs_f64(), fleet.calls(), fleet.runs());
        progress.show(|| format!("{seconds:4.1} s: {calls} calls, {runs} executions{state}"));
    }
    progress.finish();
    let outcome = fleet.finish();
    outcome.print(&database)?;
    std::fs::write(&options.svg, chart::draw(&outcome)).map_err(unwritable)?;
    println!("who led when: {}", options.svg.display());
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", database.display()));
    }
    Ok(outcome.overlaps() + outcome.lost_calls() == 0)
}
