//! flight-group beside everything a user would pick instead: interleaved in one process and one run, as ratios.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`; `-- --help` says the rest.

mod args;
mod machine;
mod measure;
mod picture;
mod progress;
mod report;
mod workloads;

use measure::Measured;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use workloads::{Depth, Planned};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn main() -> ExitCode {
    let refused = |error: String| {
        eprintln!("flight-group-peers: {error}");
        ExitCode::from(2)
    };
    let args = match args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => return refused(error),
    };
    if args.help {
        println!("{}", args::USAGE);
        return ExitCode::SUCCESS;
    }
    let depth = if args.quick { Depth::Quick } else { Depth::Full };
    let (trace, trace_name) = match trace(args.trace.as_deref()) {
        Ok(found) => found,
        Err(error) => return refused(error),
    };
    let mut plans = plans(depth, &Arc::new(trace), &trace_name);
    if args.list {
        for plan in &plans {
            println!("{}", plan.id);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = args.only.iter().find(|only| !plans.iter().any(|plan| plan.id.contains(*only))) {
        return refused(format!("--only {unknown}: expected part of a name that --list prints"));
    }
    if !args.only.is_empty() {
        plans.retain(|plan| args.only.iter().any(|only| plan.id.contains(only)));
    }
    let out = args.out.unwrap_or_else(|| Path::new(REPOSITORY).join("target"));
    match run(plans, depth, &out, args.marks) {
        Ok(missed) if missed == 0 || !args.strict => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("flight-group-peers: {missed} marks missed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("flight-group-peers: {}: {error}", out.display());
            ExitCode::FAILURE
        }
    }
}

/// The trace to replay, and what to call it.
fn trace(given: Option<&Path>) -> Result<(Vec<u64>, String), String> {
    let beside = PathBuf::from(REPOSITORY).join("../shared/data/web07.txt");
    let path = match given {
        Some(path) => path,
        None if beside.exists() => &beside,
        None => return Ok((workloads::replay::made_up(), "a made-up trace".to_owned())),
    };
    let name = path.file_stem().map_or_else(|| "a trace".into(), |stem| stem.to_string_lossy());
    Ok((workloads::replay::read(path)?, name.into_owned()))
}

fn plans(depth: Depth, trace: &Arc<Vec<u64>>, trace_name: &str) -> Vec<Planned> {
    let mut plans = workloads::lone::plans(depth);
    plans.extend(workloads::distinct::plans(depth));
    plans.extend(workloads::hot::plans(depth));
    plans.extend(workloads::fan_out::plans(depth));
    plans.extend(workloads::writes::plans(depth));
    plans.extend(workloads::memory::plans(depth));
    plans.extend(workloads::companions::plans(depth));
    plans.extend(workloads::replay::plans(depth, trace, trace_name));
    plans
}

/// Returns how many marks were missed.
fn run(plans: Vec<Planned>, depth: Depth, out: &Path, only_marks: bool) -> std::io::Result<usize> {
    std::fs::create_dir_all(out)?;
    let total = plans.iter().map(|plan| plan.steps as f64 * plan.seconds).sum();
    let mut progress = progress::Progress::new(total);
    let mut all: Vec<Measured> = Vec::new();
    let mut tables = String::new();
    for plan in plans {
        progress.weigh(plan.seconds);
        let measured = (plan.build)().run(&mut progress);
        progress.clear();
        let table = report::workload(&measured);
        if !only_marks {
            writeln!(std::io::stdout(), "{table}")?;
        }
        tables.push_str(&table);
        tables.push('\n');
        all.push(measured);
    }
    let machine = machine::describe();
    let marks = report::marks(&all);
    let words = if depth == Depth::Quick { " A quick run: few rounds, for a first look." } else { "" };
    let page = format!(
        "# flight-group beside its peers\n\n{machine}.{words}\n\nMedians, with the quartiles in brackets. A ratio is the median \
         of the rounds' ratios to the contestant in bold type.\n\n{marks}\n{tables}"
    );
    println!("{marks}");
    let figures = report::figures(&all, &machine);
    let picture = picture::draw(&all, &machine);
    for (name, text) in [("peers.md", page), ("figures.md", figures), ("peers.svg", picture)] {
        let path = out.join(name);
        std::fs::write(&path, text)?;
        println!("written: {}", path.canonicalize()?.display());
    }
    Ok(report::missed(&all))
}
