//! flight-group beside everything a user would pick instead: interleaved in one process and one run, as ratios.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`; `-- --help` says the rest.

#[path = "../../../examples/shared/args.rs"]
#[expect(dead_code, reason = "no option of this program is a number")]
mod args;
mod machine;
mod measure;
mod options;
mod picture;
#[path = "../../../examples/shared/progress.rs"]
mod progress;
#[path = "../../../examples/shared/quantile.rs"]
mod quantile;
mod report;
mod workloads;

use measure::Measured;
use options::{FILES, Options, USAGE};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use workloads::Depth;

fn main() -> ExitCode {
    args::main(USAGE, Options::parse, run)
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let Options { depth, marks: only_marks, strict, list, out, plans } = options;
    if list {
        plans.iter().for_each(|plan| println!("{}", plan.id));
        return Ok(());
    }
    let millis = |seconds: f64| (seconds * 1000.0) as u64;
    let total = plans.iter().map(|plan| plan.steps as u64 * millis(plan.seconds)).sum::<u64>();
    let progress = progress::bar("peers", total as usize, "ms, about");
    let mut all: Vec<Measured> = Vec::new();
    let mut tables = String::new();
    for plan in plans {
        if progress.is_hidden() {
            eprintln!("{}", plan.id);
        }
        let measured = (plan.build)().run(&progress, millis(plan.seconds));
        let table = report::workload(&measured);
        if !only_marks {
            progress.suspend(|| writeln!(std::io::stdout(), "{table}"))?;
        }
        tables.push_str(&table);
        tables.push('\n');
        all.push(measured);
    }
    drop(progress);
    let machine = machine::describe();
    let marks = report::marks(&all);
    let words = if depth == Depth::Quick { " A quick run: few rounds, for a first look." } else { "" };
    let page = format!(
        "# flight-group beside its peers\n\n{machine}.{words}\n\nMedians, with the quartiles in brackets. A ratio is the median \
         of the rounds' ratios to the contestant in bold type.\n\n{marks}\n{tables}"
    );
    println!("{marks}");
    let figures = report::figures(&all, &machine);
    let picture = picture::draw(&all, &machine)?;
    for (name, text) in FILES.into_iter().zip([page, figures, picture]) {
        let path = out.join(name);
        std::fs::write(&path, text)?;
        println!("written: {}", path.canonicalize()?.display());
    }
    match report::missed(&all) {
        missed if strict && missed > 0 => Err(format!("{missed} marks missed").into()),
        _ => Ok(()),
    }
}
