//! The command line.

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

pub(crate) struct Args {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) threads: Vec<usize>,
    pub(crate) url: Option<String>,
}

/// `None` where help was asked for.
pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
    let mut parsed = Args { rounds: 9, time: Duration::from_secs(1), threads: vec![1, 8, 32], url: None };
    while let Some(arg) = args.next() {
        let mut value = |expected| args.next().ok_or(format!("bad {arg}: expected {expected} after it"));
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--quick" => (parsed.rounds, parsed.time) = (3, Duration::from_millis(300)),
            "--rounds" => parsed.rounds = number(&arg, &value("a number")?, 1, 1000)?,
            "--seconds" => {
                let text = value("a number")?;
                let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.05..=60.0).contains(seconds));
                let seconds = seconds.ok_or(format!("bad --seconds \"{text}\": expected a number from 0.05 to 60"))?;
                parsed.time = Duration::from_secs_f64(seconds);
            }
            "--threads" => {
                let text = value("numbers")?;
                parsed.threads = text.split(',').map(|one| number(&arg, one, 1, 512)).collect::<Result<_, _>>()?;
            }
            "--redis" => parsed.url = Some(value("an address")?),
            other => return Err(format!("unknown argument \"{other}\": --help lists them")),
        }
    }
    Ok(Some(parsed))
}

fn number(name: &str, text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or(format!("bad {name} \"{text}\": expected a number from {least} to {most}"))
}
