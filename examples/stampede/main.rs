//! A cache stampede, without and with `Group`.
//!
//! A thread-pool HTTP server on loopback serves pages out of a SQLite database, behind a cache whose entries
//! expire; real HTTP clients replay the same requests against it twice. `cargo run --release --example stampede`
//! prints one table and writes a chart; `-- --help` tells the options.
//!
//! Where to look: `site.rs` is the code a service would have (cache, read-through, flight, query); everything else
//! is the world around it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's output")]

mod args;
mod cache;
mod chart;
mod client;
mod database;
mod load;
mod metrics;
mod paths;
mod progress;
mod report;
mod server;
mod site;
mod stall;
mod trace;

use args::{Command, Options};
use database::Database;
use load::Load;
use report::{duration, thousands};
use std::process::ExitCode;
use trace::Trace;

/// Why the program ends early, and with which exit code.
enum Failure {
    /// The user's doing: exit code 2.
    Input(String),
    /// The machine's, or a bug: exit code 1.
    Run(String),
}

fn main() -> ExitCode {
    let (code, message) = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Input(message)) => (2, message),
        Err(Failure::Run(message)) => (1, message),
    };
    eprintln!("stampede: {message}");
    ExitCode::from(code)
}

fn run() -> Result<(), Failure> {
    let options = match args::parse(std::env::args_os().skip(1)).map_err(Failure::Input)? {
        Command::Help => {
            print!("{}", args::HELP);
            return Ok(());
        }
        Command::Run(options) => options,
    };
    let trace = read_trace(&options)?;
    if options.stall {
        stall::check(&options).map_err(Failure::Input)?;
    } else {
        // Before half a minute of work, not after it.
        chart::create(&options.svg).map_err(Failure::Input)?;
    }

    metrics::install().map_err(Failure::Run)?;
    let database = Database::create(trace.keys(), options.query)
        .map_err(|e| Failure::Run(format!("cannot make the database: {e}")))?;
    println!("trace     {} requests for {} keys", thousands(trace.requests().len()), thousands(trace.keys().len()));
    if trace.skipped() > 0 {
        println!("          {} lines of the log are not GET or HEAD of a path: skipped", thousands(trace.skipped()));
    }
    println!("database  {database}");
    println!("server    {} threads on 127.0.0.1, cache entries live {}", options.threads, duration(options.ttl));

    if options.stall {
        return stall::run(&options, &trace, &database).map_err(Failure::Run);
    }

    println!("load      {} clients, {} requests a second", options.clients, thousands(options.rate));
    match options.bursts {
        0 => {}
        1 => println!("          once, half way, all cache entries expire together"),
        bursts => println!("          {bursts} times, evenly spread, all cache entries expire together"),
    }
    if options.trace.is_none() {
        println!("          chosen to show a stampede; --trace FILE replays your own log");
    }
    println!();
    let load = Load::new(&options, &trace, &database);
    let runs = [load.run(false).map_err(Failure::Run)?, load.run(true).map_err(Failure::Run)?];

    print!("{}", report::table(&runs));
    // The run without `Group` may fall behind: that is the outage. If both do, the load is too much for the machine.
    if runs.iter().all(|run| run.fell_behind(options.rate)) {
        println!("\nNeither run could keep up with {} requests a second on this machine:", options.rate);
        println!("latency counts from when a request was due, so most of it is waiting. A lower --rate shows more.");
    }
    std::fs::write(&options.svg, chart::draw(&runs))
        .map_err(|e| Failure::Run(format!("cannot write {}: {e}", options.svg.display())))?;
    println!("\nchart: {}", options.svg.display());
    Ok(())
}

fn read_trace(options: &Options) -> Result<Trace, Failure> {
    let trace = match &options.trace {
        None => Trace::zipf(options.requests.unwrap_or(args::REQUESTS), options.clients as u64),
        Some(path) => {
            let name = path.display();
            let file = std::fs::File::open(path).map_err(|e| Failure::Input(format!("cannot open {name}: {e}")))?;
            let mut trace = Trace::read(std::io::BufReader::new(file))
                .map_err(|e| Failure::Input(format!("cannot read {name}: {e}")))?;
            if let Some(requests) = options.requests {
                trace.truncate(requests);
            }
            trace
        }
    };
    Ok(trace)
}
