//! Lock pairs (acquire and release) per second on one Redis: the fleet's leases, `rslock`, and a lock by hand.
//!
//! `cargo run --release --manifest-path benches/fleet-peers/Cargo.toml`; `-- --help` says the rest.
//!
//! Every contestant takes its turn in every round, in an order that changes from round to round, so that whatever else
//! the machine does meets all of them; the ratios are those of one round, and of them the median.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

mod args;
mod contestants;
#[path = "../../../examples/fleet/server.rs"]
mod server;

use args::Args;
use contestants::{Contestant, Fleet, Hand, Rslock};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = args::parse(std::env::args().skip(1)).and_then(|args| match args {
        None => {
            print!("{}", args::USAGE);
            Ok(())
        }
        Some(args) => run(&args),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flight-group-fleet-peers: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let server = server::start(args.url.as_deref(), "--redis")?;
    println!("{}; {} rounds of {:?} each", server.describe()?, args.rounds, args.time);
    println!(
        "\n{:>7} | {:>12} {:>12} {:>12} | {:>16} {:>16}",
        "threads", "fleet", "rslock", "by hand", "fleet / rslock", "fleet / by hand"
    );
    for threads in args.threads.iter().copied() {
        let contestants: [Box<dyn Contestant>; 3] = [
            Box::new(Fleet::connect(&server.url)?),
            Box::new(Rslock::connect(&server.url)?),
            Box::new(Hand::connect(&server.url, threads)?),
        ];
        let mut rates: [Vec<f64>; 3] = Default::default();
        // The first round warms up: connections, scripts, the runtime's threads.
        for round in 0..=args.rounds {
            for turn in 0..contestants.len() {
                let who = (round + turn) % contestants.len();
                let rate = contestants[who].pairs(threads, args.time)?;
                if round > 0 {
                    rates[who].push(rate);
                }
            }
            progress(&format!("{threads} threads: round {round} of {}", args.rounds));
        }
        progress("");
        let [fleet, rslock, hand] = rates;
        println!(
            "{threads:>7} | {:>10.0}/s {:>10.0}/s {:>10.0}/s | {} {}",
            median(fleet.clone()),
            median(rslock.clone()),
            median(hand.clone()),
            ratio(&fleet, &rslock),
            ratio(&fleet, &hand),
        );
    }
    println!("\nmedians; ratios are the median of the rounds' own, with the smallest and the largest");
    println!("threads: of the fleet and by hand, each with a lock of its own; rslock: as many tasks on tokio");
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn ratio(one: &[f64], other: &[f64]) -> String {
    let mut ratios: Vec<f64> = one.iter().zip(other).map(|(one, other)| one / other).collect();
    ratios.sort_by(f64::total_cmp);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    format!("{:>4.2} ({least:.2}..{most:.2})", median(ratios))
}

/// What is being done, where somebody watches.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r{text}\x1b[K");
    }
}
