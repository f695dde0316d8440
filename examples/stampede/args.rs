//! The command line.

use crate::shared_args::number;
use crate::shared_chart as chart;
use crate::stall;
use crate::trace::Trace;
use lexopt::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const HELP: &str = "\
A cache stampede over real HTTP and a real SQLite database, without and with `Group`.

usage: cargo run --release --example stampede -- [options]

  --trace FILE     replay this file instead of a generated pattern: one key a line, or a web
                   server's log (common or combined format, the path is the key)
  --requests N     how many requests to send in each run (default: 3600, or the whole file)
  --rate N         requests a second (default: 600, or 1000 with a file)
  --clients N      HTTP clients, each with a connection of its own (default: 96)
  --threads N      threads of the server (default: 64)
  --ttl MS         how long a cache entry lives, in milliseconds (default: 1000, or 30000 with a file)
  --query MS       how long the query of one page takes on an idle machine (default: 25, or 3 with a file)
  --bursts N       how often in a run all entries are removed at once, as by a deployment (default: 0)
  --svg FILE       where to write the chart (default: target/stampede.svg)
  --stall          instead of the runs: hang one key on purpose and look at what is in the air
  --help           this text

The same requests are sent twice, once to a server that queries the database at every cache miss and once to one
whose misses go through a `Group`. Latency counts from the moment a request was due.

The default load is chosen to show a stampede: six hot keys, a slow query, entries that live for a second. If your
keys coincide less often, you gain less: --trace shows how much.
";

/// How many requests a generated pattern has.
const REQUESTS: usize = 3_600;

pub(crate) struct Options {
    pub(crate) trace: Trace,
    pub(crate) is_generated: bool,
    pub(crate) rate: usize,
    pub(crate) clients: usize,
    pub(crate) threads: usize,
    pub(crate) ttl: Duration,
    pub(crate) query: Duration,
    pub(crate) bursts: usize,
    pub(crate) svg: PathBuf,
    pub(crate) stall: bool,
}

/// `None`: help was asked for.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let (mut file, mut requests, mut rate, mut ttl, mut query) = (None::<PathBuf>, None, None, None, None);
    let (mut clients, mut threads, mut bursts, mut stall) = (96, 64, 0, false);
    let mut svg = chart::default_path();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("trace") => file = Some(parser.value()?.into()),
            Long("requests") => requests = Some(number(&mut parser, "--requests", 1..=10_000_000)?),
            Long("rate") => rate = Some(number(&mut parser, "--rate", 1..=1_000_000)?),
            Long("clients") => clients = number(&mut parser, "--clients", 1..=1_000)?,
            Long("threads") => threads = number(&mut parser, "--threads", 1..=1_000)?,
            Long("ttl") => ttl = Some(number(&mut parser, "--ttl", 1..=86_400_000)?),
            Long("query") => query = Some(number(&mut parser, "--query", 1..=100)?),
            Long("bursts") => bursts = number(&mut parser, "--bursts", 0..=1_000)?,
            Long("svg") => svg = parser.value()?.into(),
            Long("stall") => stall = true,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    if stall {
        stall::check(threads)?;
    } else {
        chart::check(&svg)?;
    }
    let trace = match &file {
        None => Trace::zipf(requests.unwrap_or(REQUESTS), clients as u64),
        Some(file) => read_trace(file, requests)?,
    };
    // A file may have many more keys than a machine can query at the pace of the generated pattern.
    let is_generated = file.is_none();
    Ok(Some(Options {
        trace,
        is_generated,
        rate: rate.unwrap_or(if is_generated { 600 } else { 1_000 }),
        clients,
        threads,
        ttl: Duration::from_millis(ttl.unwrap_or(if is_generated { 1_000 } else { 30_000 })),
        query: Duration::from_millis(query.unwrap_or(if is_generated { 25 } else { 3 })),
        bursts,
        svg,
        stall,
    }))
}

fn read_trace(path: &Path, requests: Option<usize>) -> Result<Trace, String> {
    let name = path.display();
    let file = std::fs::File::open(path).map_err(|e| format!("cannot open {name}: {e}"))?;
    let mut trace = Trace::read(std::io::BufReader::new(file)).map_err(|e| format!("cannot read {name}: {e}"))?;
    if let Some(requests) = requests {
        trace.truncate(requests);
    }
    Ok(trace)
}
