//! One question to every shard: the ten best customers of a shop whose orders lie in SQLite files, one per shard.
//!
//! `cargo run --release --example shard_fanout` does it; `-- --help` lists the options.
//!
//! The shards are written to a temporary directory, then asked one after the other and all together, with an
//! `ErrGroup`; both must give the same answer. Then one shard is damaged: the group returns that shard's error,
//! interrupts the queries that run, through SQLite's progress handler and the group's token, and skips the rest.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints")]

#[path = "shared/args.rs"]
mod args;
#[path = "shared/progress.rs"]
mod progress;

use flight_group::{CancelToken, ErrGroup};
use lexopt::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CUSTOMERS: i64 = 50_000;
const BEST: usize = 10;

const HELP: &str = "\
Asks every shard of a shop's orders, one by one and all together, and once more with one shard damaged.

usage: cargo run --release --example shard_fanout -- [options]

  --shards N   how many SQLite files (default: 12)
  --orders N   orders in each of them (default: 200000)
  --limit N    how many are asked at a time (default: 4)
  --help       this text
";

/// What a customer spent, in cents.
type Spent = BTreeMap<u64, u64>;

fn main() -> ExitCode {
    args::main(HELP, Options::parse, |options| run(&options))
}

fn run(options: &Options) -> Result<(), String> {
    let directory = TempDir::with_prefix("shard_fanout-").map_err(|e| format!("cannot create a folder: {e}"))?;
    let shards: Vec<PathBuf> =
        (0..options.shards).map(|i| directory.path().join(format!("shard-{i}.sqlite"))).collect();
    let progress = progress::bar("writing", options.shards, "shards");
    // Writing is a fan-out, too.
    ErrGroup::builder().limit(options.limit).scope(|g| {
        for (i, shard) in shards.iter().enumerate() {
            let progress = &progress;
            g.spawn(move |token| {
                write_shard(shard, i as u64, options.orders, token).map_err(|e| format!("{}: {e}", shard.display()))?;
                progress.inc(1);
                Ok::<_, String>(())
            });
        }
    })?;
    drop(progress);

    println!("{} shards of {} orders, at most {} at a time", options.shards, options.orders, options.limit);
    println!();
    println!("{:<14}{:>10}{:>10}{:>10}{:>10}   result", "way", "ms", "read", "stopped", "skipped");

    let start = Instant::now();
    let mut serial = Spent::new();
    for shard in &shards {
        let spent = read_shard(shard, &CancelToken::new()).map_err(|e| format!("{}: {e}", shard.display()))?;
        merge(&mut serial, spent);
    }
    let best = best(&serial);
    report("one by one", start.elapsed(), shards.len(), 0, 0, &describe(&best));

    let (took, fan) = fan_out(&shards, options.limit);
    let together = fan.outcome.map_err(|e| format!("the shards were readable a moment ago: {e}"))?;
    report("together", took, fan.read, fan.stopped, fan.skipped, &describe(&self::best(&together)));
    if together != serial {
        return Err("the two ways gave different answers".to_owned());
    }

    // A page in the middle of the file: opening works, reading does not.
    let victim = &shards[shards.len() / 3];
    damage(victim).map_err(|e| format!("cannot damage {}: {e}", victim.display()))?;
    let (took, fan) = fan_out(&shards, options.limit);
    match fan.outcome {
        Ok(_) => return Err("a damaged shard went unnoticed".to_owned()),
        Err(error) => report("one damaged", took, fan.read, fan.stopped, fan.skipped, &error),
    }

    println!();
    println!("the best customers (euro):");
    for (customer, cents) in best {
        println!("{:>8} {:>10}.{:02}", customer, cents / 100, cents % 100);
    }
    Ok(())
}

struct Fan {
    outcome: Result<Spent, String>,
    read: usize,
    stopped: usize,
    skipped: usize,
}

/// Asks all shards, each on a thread of the group, and adds up what they say.
fn fan_out(shards: &[PathBuf], limit: usize) -> (Duration, Fan) {
    let start = Instant::now();
    let (read, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut answers: Vec<Option<Spent>> = vec![None; shards.len()];
    let outcome = ErrGroup::builder().limit(limit).all_errors().scope(|g| {
        for (answer, shard) in answers.iter_mut().zip(shards) {
            let (read, stopped) = (&read, &stopped);
            let admitted = g.spawn(move |token| match read_shard(shard, token) {
                Ok(spent) => {
                    read.fetch_add(1, Ordering::Relaxed);
                    *answer = Some(spent);
                    Ok(())
                }
                Err(error) => {
                    // Interrupted because another shard failed first.
                    stopped.fetch_add(usize::from(token.is_cancelled()), Ordering::Relaxed);
                    let name = Path::new(shard.file_name().unwrap_or_default()).display();
                    Err(format!("{name}: {error}"))
                }
            });
            // The remaining ones need not even be offered; they are here to be counted.
            let _ = admitted;
        }
    });
    let skipped = outcome.as_ref().map_or_else(|errors| errors.skipped(), |()| 0);
    let outcome = outcome.map_err(|errors| errors.first().clone()).map(|()| {
        let mut all = Spent::new();
        answers.into_iter().flatten().for_each(|spent| merge(&mut all, spent));
        all
    });
    let fan = Fan { outcome, read: read.into_inner(), stopped: stopped.into_inner(), skipped };
    (start.elapsed(), fan)
}

fn read_shard(shard: &Path, token: &CancelToken) -> rusqlite::Result<Spent> {
    let mut connection = Connection::open_with_flags(shard, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    interrupt_on_cancel(&mut connection, token)?;
    let mut query = connection.prepare("SELECT customer, sum(cents) FROM orders GROUP BY customer")?;
    query.query_map((), |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?.collect()
}

/// SQLite asks every 1000 steps of its virtual machine whether it should go on.
fn interrupt_on_cancel(connection: &mut Connection, token: &CancelToken) -> rusqlite::Result<()> {
    let token = token.clone();
    connection.progress_handler(1_000, Some(move || token.is_cancelled()))
}

fn write_shard(shard: &Path, number: u64, orders: u64, token: &CancelToken) -> rusqlite::Result<()> {
    let mut connection = Connection::open(shard)?;
    interrupt_on_cancel(&mut connection, token)?;
    connection.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE orders (customer INTEGER, cents INTEGER)")?;
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare("INSERT INTO orders VALUES (?1, ?2)")?;
        let mut random = SmallRng::seed_from_u64(number);
        for _ in 0..orders {
            insert.execute((random.random_range(0..CUSTOMERS), random.random_range(0..20_000_i64)))?;
        }
    }
    transaction.commit()
}

fn damage(shard: &Path) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = std::fs::OpenOptions::new().write(true).open(shard)?;
    let middle = file.metadata()?.len() / 2 / 4_096 * 4_096;
    file.seek(SeekFrom::Start(middle))?;
    file.write_all(&[0xFF; 4_096])
}

fn merge(all: &mut Spent, shard: Spent) {
    for (customer, cents) in shard {
        *all.entry(customer).or_default() += cents;
    }
}

fn best(spent: &Spent) -> Vec<(u64, u64)> {
    let mut best: Vec<_> = spent.iter().map(|(&customer, &cents)| (customer, cents)).collect();
    best.sort_unstable_by_key(|&(customer, cents)| (std::cmp::Reverse(cents), customer));
    best.truncate(BEST);
    best
}

fn describe(best: &[(u64, u64)]) -> String {
    best.first().map_or("no orders".to_owned(), |(customer, cents)| {
        format!("customer {customer} leads with {}.{:02}", cents / 100, cents % 100)
    })
}

fn report(way: &str, took: Duration, read: usize, stopped: usize, skipped: usize, result: &str) {
    println!("{way:<14}{:>10.1}{read:>10}{stopped:>10}{skipped:>10}   {result}", took.as_secs_f64() * 1e3);
}

struct Options {
    shards: usize,
    orders: u64,
    limit: usize,
}

impl Options {
    /// `None`: help was asked for.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self { shards: 12, orders: 200_000, limit: 4 };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("shards") => options.shards = args::number(&mut parser, "--shards", 1..=1_000)?,
                Long("orders") => options.orders = args::number(&mut parser, "--orders", 1..=100_000_000)?,
                Long("limit") => options.limit = args::number(&mut parser, "--limit", 1..=1_000)?,
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(Some(options))
    }
}
