//! The command line.

use std::path::PathBuf;

pub const USAGE: &str = "\
usage: flight-group-peers [--quick] [--only WORKLOAD]... [--marks] [--strict] [--trace FILE] [--out DIR] [--list]

Measures flight-group beside every peer, interleaved in one process, and writes peers.md, peers.svg and
figures.md, which is the table of the page `performance`: src/docs/performance/figures.md.

  --quick           fewer rounds and smaller sizes: under a minute
  --only WORKLOAD   only workloads whose name contains WORKLOAD (see --list); may be given several times
  --marks           prints only the table of the marks: met, or missed by how much
  --strict          exits with 1 if a mark was missed
  --trace FILE      the access trace to replay, one key a line (default: ../shared/data/web07.txt beside the
                    repository, or else one that is made up)
  --out DIR         where to write (default: the repository's target/)
  --list            prints the workloads' names

Trust ratios within a run, and of those the medians of three runs with nothing else running. The companions' figures are
absolute: `cargo run --release --bin companions -- --help` says how to compare two builds of the crate.";

#[derive(Default)]
pub struct Args {
    pub quick: bool,
    pub marks: bool,
    pub strict: bool,
    pub only: Vec<String>,
    pub trace: Option<PathBuf>,
    pub out: Option<PathBuf>,
    pub list: bool,
    pub help: bool,
}

pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args::default();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument}: expected a value after it"));
        match argument.as_str() {
            "--quick" => args.quick = true,
            "--marks" => args.marks = true,
            "--strict" => args.strict = true,
            "--list" => args.list = true,
            "--help" | "-h" => args.help = true,
            "--only" => args.only.push(value()?),
            "--trace" => args.trace = Some(value()?.into()),
            "--out" => args.out = Some(value()?.into()),
            other => return Err(format!("\"{other}\": expected one of the options --help prints")),
        }
    }
    Ok(args)
}
