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
mod report;
mod server;
mod worker;

use report::Fleet;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const ROWS: u32 = 64;

struct Options {
    seconds: f64,
    redis: Option<String>,
    svg: PathBuf,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 6.0, redis: None, svg: std::env::temp_dir().join("flight-group-fleet.svg") };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("bad {arg}: expected a value after it"));
        match arg.as_str() {
            "--seconds" => {
                let text = value()?;
                options.seconds = text
                    .parse()
                    .ok()
                    .filter(|seconds| (2.0..=600.0).contains(seconds))
                    .ok_or(format!("bad --seconds \"{text}\": expected a number from 2 to 600"))?;
            }
            "--redis" => options.redis = Some(value()?),
            "--svg" => options.svg = value()?.into(),
            other => return Err(format!("bad argument \"{other}\": expected --seconds, --redis or --svg")),
        }
    }
    Ok(options)
}

fn main() {
    if std::env::var_os(worker::NUMBER).is_some() {
        return worker::main();
    }
    let result = options().and_then(|options| run(&options));
    if let Err(message) = result {
        eprintln!("{message}");
        std::process::exit(2);
    }
}

fn run(options: &Options) -> Result<(), String> {
    let server = server::start(options.redis.as_deref())?;
    // Before anybody is started: an address nobody answers at is one clear line.
    drop(flight_group::fleet::Fleet::connect(&server.url).map_err(|error| error.to_string())?);
    let database = std::env::temp_dir().join(format!("flight-group-fleet-{}.sqlite", std::process::id()));
    worker::create(&database, ROWS).map_err(|error| format!("no database at {}: {error}", database.display()))?;
    println!("{WORKERS} workers, {ROWS} rows, {} s; redis at {}", options.seconds, server.url);

    let mut fleet = Fleet::default();
    for _ in 0..WORKERS {
        fleet.start(&server.url, &database)?;
    }
    let begin = Instant::now();
    let time = Duration::from_secs_f64(options.seconds);
    let mut killed = None;
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
        print!(
            "\r  {:4.1} s: {} calls, {} executions{state}   ",
            begin.elapsed().as_secs_f64(),
            fleet.calls(),
            fleet.runs()
        );
        let _ = std::io::stdout().flush();
    }
    println!();
    let outcome = fleet.finish();
    outcome.print(&database)?;
    std::fs::write(&options.svg, chart::draw(&outcome))
        .map_err(|error| format!("cannot write {}: {error}", options.svg.display()))?;
    println!("who led when: {}", options.svg.display());
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", database.display()));
    }
    if outcome.overlaps() + outcome.lost_calls() > 0 {
        return Err("something was lost or overlapped: see above".to_owned());
    }
    Ok(())
}
