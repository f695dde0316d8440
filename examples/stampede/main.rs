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
#[path = "../shared/progress.rs"]
mod progress;
#[path = "../shared/quantile.rs"]
mod quantile;
mod report;
mod server;
#[path = "../shared/args.rs"]
mod shared_args;
#[path = "../shared/chart.rs"]
mod shared_chart;
mod site;
mod stall;
mod trace;

use args::Options;
use database::Database;
use load::Load;
use report::{duration, thousands};
use std::process::ExitCode;

fn main() -> ExitCode {
    shared_args::main(args::HELP, args::parse, run)
}

fn run(options: Options) -> Result<(), String> {
    let trace = &options.trace;
    metrics::install()?;
    let database =
        Database::create(trace.keys(), options.query).map_err(|e| format!("cannot make the database: {e}"))?;
    println!("trace     {} requests for {} keys", thousands(trace.requests().len()), thousands(trace.keys().len()));
    if trace.skipped() > 0 {
        println!("          {} lines of the log are not GET or HEAD of a path: skipped", thousands(trace.skipped()));
    }
    println!("database  {database}");
    println!("server    {} threads on 127.0.0.1, cache entries live {}", options.threads, duration(options.ttl));

    if options.stall {
        return stall::run(&options, &database);
    }

    println!("load      {} clients, {} requests a second", options.clients, thousands(options.rate));
    match options.bursts {
        0 => {}
        1 => println!("          once, half way, all cache entries expire together"),
        bursts => println!("          {bursts} times, evenly spread, all cache entries expire together"),
    }
    if options.is_generated {
        println!("          chosen to show a stampede; --trace FILE replays your own log");
    }
    println!();
    let load = Load::new(&options, &database);
    let runs = [load.run(false)?, load.run(true)?];

    print!("{}", report::table(&runs));
    // The run without `Group` may fall behind: that is the outage. If both do, the load is too much for the machine.
    if runs.iter().all(|run| run.fell_behind(options.rate)) {
        println!("\nNeither run could keep up with {} requests a second on this machine:", options.rate);
        println!("latency counts from when a request was due, so most of it is waiting. A lower --rate shows more.");
    }
    chart::draw(&options.svg, &runs).map_err(|e| shared_chart::failed(&options.svg, e))?;
    println!("\nchart: {}", options.svg.display());
    Ok(())
}
