//! The command line.

use crate::workloads::{self, Depth, Planned};
use lexopt::prelude::*;
use lexopt::{Error, Parser};
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
  --help            this text

Trust ratios within a run, and of those the medians of three runs with nothing else running. The companions' figures are
absolute: `cargo run --release --bin companions -- --help` says how to compare two builds of the crate.
";

pub const FILES: [&str; 3] = ["peers.md", "figures.md", "peers.svg"];

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

pub struct Options {
    pub depth: Depth,
    pub marks: bool,
    pub strict: bool,
    pub list: bool,
    pub out: PathBuf,
    pub plans: Vec<Planned>,
}

impl Options {
    /// `None`: help was asked for.
    pub fn parse(mut parser: Parser) -> Result<Option<Self>, Error> {
        let out = Path::new(REPOSITORY).join("target");
        let mut options = Self { depth: Depth::Full, marks: false, strict: false, list: false, out, plans: Vec::new() };
        let (mut only, mut trace) = (Vec::new(), None);
        while let Some(arg) = parser.next()? {
            match arg {
                Long("quick") => options.depth = Depth::Quick,
                Long("marks") => options.marks = true,
                Long("strict") => options.strict = true,
                Long("list") => options.list = true,
                Long("only") => only.push(parser.value()?.string()?),
                Long("trace") => trace = Some(PathBuf::from(parser.value()?)),
                Long("out") => options.out = parser.value()?.into(),
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(arg.unexpected()),
            }
        }
        let (trace, name) = read(trace)?;
        options.plans = workloads::plans(options.depth, &Arc::new(trace), &name);
        if let Some(unknown) = only.iter().find(|only| !options.plans.iter().any(|plan| plan.id.contains(*only))) {
            return Err(format!("--only is {unknown:?}, expected part of a name that --list prints").into());
        }
        options.plans.retain(|plan| only.is_empty() || only.iter().any(|only| plan.id.contains(only)));
        if !options.list {
            let wrong = |error| format!("--out is {:?}, expected a folder to write to: {error}", options.out);
            check(&options.out).map_err(wrong)?;
        }
        Ok(Some(options))
    }
}

/// The trace to replay, and what to call it.
fn read(given: Option<PathBuf>) -> Result<(Vec<u64>, String), String> {
    let beside = Path::new(REPOSITORY).join("../shared/data/web07.txt");
    let Some(path) = given.or_else(|| Some(beside).filter(|path| path.exists())) else {
        return Ok((workloads::replay::made_up(), "a made-up trace".to_owned()));
    };
    let trace = workloads::replay::read(&path);
    let trace = trace.map_err(|error| format!("--trace is {path:?}, expected a file of one key a line: {error}"))?;
    let name = path.file_stem().map_or_else(|| "a trace".into(), |stem| stem.to_string_lossy());
    Ok((trace, name.into_owned()))
}

/// Checks before the work, not after it, that the results can be written.
fn check(out: &Path) -> io::Result<()> {
    std::fs::create_dir_all(out)?;
    FILES.iter().try_for_each(|name| OpenOptions::new().create(true).append(true).open(out.join(name)).map(drop))
}
