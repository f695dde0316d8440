//! The command line.

use crate::args::number;
use lexopt::prelude::*;
use lexopt::{Error, Parser};
use std::time::Duration;

pub(crate) const USAGE: &str = "\
Lock pairs per second on one Redis: flight-group's leases, rslock, and a lock by hand; interleaved, as ratios.

usage: cargo run --release --manifest-path benches/fleet-peers/Cargo.toml -- [options]

  --quick          3 rounds of 0.3 s, for a first look
  --rounds N       rounds for each number of threads (default: 9)
  --seconds S      how long each contestant runs in a round (default: 1)
  --threads A,B    numbers of threads or tasks (default: 1,8,32)
  --redis URL      a server to use; by default a redis-server is started on a free port of the loopback
  --help           this text
";

pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) threads: Vec<usize>,
    pub(crate) url: Option<String>,
}

impl Options {
    /// `None`: help was asked for.
    pub(crate) fn parse(mut parser: Parser) -> Result<Option<Self>, Error> {
        let mut options = Self { rounds: 9, time: Duration::from_secs(1), threads: vec![1, 8, 32], url: None };
        while let Some(arg) = parser.next()? {
            match arg {
                Long("quick") => (options.rounds, options.time) = (3, Duration::from_millis(300)),
                Long("rounds") => options.rounds = number(&mut parser, "--rounds", 1..=1000)?,
                Long("seconds") => {
                    options.time = Duration::from_secs_f64(number(&mut parser, "--seconds", 0.05..=60.0)?);
                }
                Long("threads") => {
                    let text = parser.value()?.string()?;
                    let one = |one: &str| one.parse().ok().filter(|number| (1..=512).contains(number));
                    let all: Option<_> = text.split(',').map(one).collect();
                    options.threads =
                        all.ok_or(format!("--threads is {text:?}, expected numbers from 1 to 512, a comma between"))?;
                }
                Long("redis") => options.url = Some(parser.value()?.string()?),
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(Some(options))
    }
}
