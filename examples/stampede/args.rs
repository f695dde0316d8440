//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
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
pub(crate) const REQUESTS: usize = 3_600;

pub(crate) enum Command {
    Help,
    Run(Options),
}

pub(crate) struct Options {
    pub(crate) trace: Option<PathBuf>,
    pub(crate) requests: Option<usize>,
    pub(crate) rate: usize,
    pub(crate) clients: usize,
    pub(crate) threads: usize,
    pub(crate) ttl: Duration,
    pub(crate) query: Duration,
    pub(crate) bursts: usize,
    pub(crate) svg: PathBuf,
    pub(crate) stall: bool,
}

pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options {
        trace: None,
        requests: None,
        rate: 0,
        clients: 96,
        threads: 64,
        ttl: Duration::ZERO,
        query: Duration::ZERO,
        bursts: 0,
        svg: default_svg(),
        stall: false,
    };
    let (mut rate, mut ttl, mut query) = (None, None, None);
    let mut args = args;
    while let Some(arg) = args.next() {
        let name = arg.to_str().unwrap_or_default();
        match name {
            "--help" | "-h" => return Ok(Command::Help),
            "--stall" => options.stall = true,
            "--trace" => options.trace = Some(value(name, args.next(), "a file")?.into()),
            "--svg" => options.svg = value(name, args.next(), "a file")?.into(),
            "--requests" => options.requests = Some(number(name, args.next(), 1, 10_000_000)?),
            "--rate" => rate = Some(number(name, args.next(), 1, 1_000_000)?),
            "--clients" => options.clients = number(name, args.next(), 1, 1_000)?,
            "--threads" => options.threads = number(name, args.next(), 1, 1_000)?,
            "--ttl" => ttl = Some(number(name, args.next(), 1, 86_400_000)?),
            "--query" => query = Some(number(name, args.next(), 1, 100)?),
            "--bursts" => options.bursts = number(name, args.next(), 0, 1_000)?,
            _ => return Err(format!("unknown option {arg:?}; --help lists them")),
        }
    }
    // A file may have many more keys than a machine can query at the pace of the generated pattern.
    let from_file = options.trace.is_some();
    options.rate = rate.unwrap_or(if from_file { 1_000 } else { 600 });
    options.ttl = Duration::from_millis(ttl.unwrap_or(if from_file { 30_000 } else { 1_000 }));
    options.query = Duration::from_millis(query.unwrap_or(if from_file { 3 } else { 25 }));
    Ok(Command::Run(options))
}

/// `target` of this package where it was built, so that the chart is found again from wherever the program is run.
fn default_svg() -> PathBuf {
    let target = std::env::current_exe().ok().and_then(|exe| {
        // target/release/examples/stampede
        exe.ancestors().nth(3).map(PathBuf::from)
    });
    let target = target.unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    target.strip_prefix(&here).unwrap_or(&target).join("stampede.svg")
}

fn value(name: &str, value: Option<OsString>, what: &str) -> Result<OsString, String> {
    value.ok_or_else(|| format!("{name} wants {what}, and nothing follows it"))
}

fn number<N>(name: &str, given: Option<OsString>, min: N, max: N) -> Result<N, String>
where
    N: FromStr + PartialOrd + std::fmt::Display,
{
    let given = value(name, given, "a number")?;
    match given.to_str().and_then(|text| text.parse::<N>().ok()) {
        Some(number) if number >= min && number <= max => Ok(number),
        _ => Err(format!("{name} is {given:?}, expected a number from {min} to {max}")),
    }
}
