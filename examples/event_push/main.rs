//! Pushing the state of orders to a partner's webhook, over real HTTP, in two ways.
//!
//! **Each caller waits for its push: `WriteGroup`.** A shop's orders change on many threads, several times a second each.
//! After every change the partner is told the order's state. If each thread sends for itself, pushes of one order overtake
//! each other, and the partner may keep an old state for good. Nine of ten pushes of a burst are not needed either. With a
//! `WriteGroup` one push of each order is on its way, and one more carries what changed meanwhile.
//!
//! **Nobody waits: `EventGroup`.** 20,000 changes a second of 1,000 orders go to a partner that takes 5 ms for each push
//! and answers 11 % of them with 503. The changes are merged per order while they wait, so the memory is bounded by the
//! number of orders. A push is retried with a back-off. At the end the group is closed before everything is pushed. What
//! comes back is written to a file and pushed at the next start.
//!
//! `cargo run --release --example event_push` does both and prints a table for each. It ends with exit code 1 if the partner
//! does not have the newest state of every order, if a change was lost or counted twice, if pushes of an order overlapped or
//! overtook each other, or if a call returned before its change was delivered.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program's output")]

#[path = "../shared/args.rs"]
mod args;
mod events;
mod http;
#[path = "../shared/progress.rs"]
mod progress;
#[path = "../shared/quantile.rs"]
mod quantile;
mod writes;

use lexopt::prelude::*;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

const HELP: &str = "\
Pushes of changing orders to a webhook over HTTP: each change by itself, through a `WriteGroup`, and through an `EventGroup`.

usage: cargo run --release --example event_push -- [options]

  callers that wait for their push, by themselves and with `WriteGroup`:
  --events N           how many changes of orders (default: 12000)
  --orders N           how many orders (default: 12)
  --threads N          threads on which orders change (default: 32)

  a stream that nobody waits for, with `EventGroup`:
  --rate N             changes a second (default: 20000)
  --seconds N          for how long (default: 3)
  --stream-orders N    how many orders (default: 1000)

  --help               this text
";

#[derive(Clone, Copy)]
struct Options {
    events: usize,
    orders: usize,
    threads: usize,
    rate: usize,
    seconds: usize,
    stream_orders: usize,
}

/// The states of an order, one after the other.
const STATES: [&str; 6] = ["placed", "paid", "packed", "shipped", "delivered", "returned"];

fn state(revision: u32) -> &'static str {
    STATES[revision as usize % STATES.len()]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn both_ways(options: Options) -> Result<(), String> {
    let directory = TempDir::with_prefix("event_push-").map_err(|e| format!("cannot create a folder: {e}"))?;
    writes::compare(options, directory.path())?;
    println!();
    events::stream(options, directory.path())
}

fn main() -> ExitCode {
    args::main(HELP, Options::parse, both_ways)
}

impl Options {
    /// `None`: help was asked for.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options =
            Self { events: 12_000, orders: 12, threads: 32, rate: 20_000, seconds: 3, stream_orders: 1_000 };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("events") => options.events = args::number(&mut parser, "--events", 1..=10_000_000)?,
                Long("orders") => options.orders = args::number(&mut parser, "--orders", 1..=1_000_000)?,
                Long("threads") => options.threads = args::number(&mut parser, "--threads", 1..=1_000)?,
                Long("rate") => options.rate = args::number(&mut parser, "--rate", 1..=1_000_000)?,
                Long("seconds") => options.seconds = args::number(&mut parser, "--seconds", 1..=600)?,
                Long("stream-orders") => {
                    options.stream_orders = args::number(&mut parser, "--stream-orders", 1..=1_000_000)?;
                }
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(Some(options))
    }
}
