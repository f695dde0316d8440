//! Lock pairs (acquire and release) per second on one Redis: the fleet's leases, `rslock`, and a lock by hand.
//!
//! `cargo run --release --manifest-path benches/fleet-peers/Cargo.toml`; `-- --help` says the rest.
//!
//! Every contestant takes its turn in every round, in an order that changes from round to round, so that whatever else
//! the machine does meets all of them; the ratios are those of one round, and of them the median.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

#[path = "../../../examples/shared/args.rs"]
mod args;
mod contestants;
mod options;
#[path = "../../../examples/shared/quantile.rs"]
mod quantile;
#[path = "../../../examples/fleet/server.rs"]
mod server;

use contestants::{Contestant, Fleet, Hand, Rslock};
use options::{Options, USAGE};
use quantile::Sorted;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    args::main(USAGE, Options::parse, run)
}

fn run(options: Options) -> Result<(), String> {
    let server = server::start(options.url.as_deref(), "--redis")?;
    println!("{}; {} rounds of {:?} each", server.describe()?, options.rounds, options.time);
    println!(
        "\n{:>7} | {:>12} {:>12} {:>12} | {:>16} {:>16}",
        "threads", "fleet", "rslock", "by hand", "fleet / rslock", "fleet / by hand"
    );
    for threads in options.threads.iter().copied() {
        let contestants: [Box<dyn Contestant>; 3] = [
            Box::new(Fleet::connect(&server.url)?),
            Box::new(Rslock::connect(&server.url)?),
            Box::new(Hand::connect(&server.url, threads)?),
        ];
        let mut rates: [Vec<f64>; 3] = Default::default();
        // The first round warms up: connections, scripts, the runtime's threads.
        for round in 0..=options.rounds {
            for turn in 0..contestants.len() {
                let who = (round + turn) % contestants.len();
                let rate = contestants[who].pairs(threads, options.time)?;
                if round > 0 {
                    rates[who].push(rate);
                }
            }
            progress(&format!("{threads} threads: round {round} of {}", options.rounds));
        }
        progress("");
        let [fleet, rslock, hand] = rates;
        println!(
            "{threads:>7} | {:>10.0}/s {:>10.0}/s {:>10.0}/s | {} {}",
            median(&fleet),
            median(&rslock),
            median(&hand),
            ratio(&fleet, &rslock),
            ratio(&fleet, &hand),
        );
    }
    println!("\nmedians; ratios are the median of the rounds' own, with the smallest and the largest");
    println!("threads: of the fleet and by hand, each with a lock of its own; rslock: as many tasks on tokio");
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    Sorted::new(values.iter().copied()).quantile(0.5).unwrap_or(f64::NAN)
}

fn ratio(one: &[f64], other: &[f64]) -> String {
    let ratios = Sorted::new(one.iter().zip(other).map(|(one, other)| one / other));
    let at = |share| ratios.quantile(share).unwrap_or(f64::NAN);
    format!("{:>4.2} ({:.2}..{:.2})", at(0.5), at(0.0), at(1.0))
}

/// What is being done, where somebody watches.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r{text}\x1b[K");
    }
}
