//! Processor time of `EventGroup` and `Batcher`. Measured by another program, `companions`, each workload in a process of
//! its own: peak memory is the process's. It also compares two builds of this crate.

use crate::measure::{Contestant, Metric, Workload};
use crate::workloads::{Depth, Planned, plan};
use flight_group_peers::contestants::OURS;
use std::process::Command;

/// As `companions --help` has them.
const WORKLOADS: [(&str, &str); 8] = [
    ("push-lone", "push, one thread, empty run"),
    ("push-64", "push, 64 threads, one key, runs of 100 us"),
    ("load-lone", "load, one thread, empty function"),
    ("load-64", "load, 64 threads, function of 100 us"),
    ("load-64-by-8", "load, 64 threads, function of 100 us, max_batch(8)"),
    ("submit-1", "submit, one thread, runs of 100 us"),
    ("submit-4", "submit, four threads, runs of 100 us"),
    ("million", "submit, a million behind a run that is stuck"),
];

fn sample(name: &str) -> Vec<f64> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(cargo)
        .args([
            "run",
            "--release",
            "--quiet",
            "--manifest-path",
            manifest,
            "--bin",
            "companions",
            "--",
            "--plain",
            name,
        ])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "companions: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("companions prints text");
    text.trim().split('\t').skip(1).map(|field| field.parse().expect("a number")).collect()
}

pub fn plans(depth: Depth) -> Vec<Planned> {
    let rounds = depth.pick(1, 5);
    let of_workload = |(name, words): (&'static str, &'static str)| {
        plan(format!("companions-{name}"), 0.8, rounds, move || Workload {
            title: format!("Companions: {words}"),
            method:
                "Absolute figures, for nobody else offers this: `companions --help` says how two builds of the crate \
                are compared."
                    .to_owned(),
            metrics: vec![
                Metric { name: "cpu", unit: "us/call" },
                Metric { name: "calls", unit: "k/s" },
                Metric { name: "memory taken", unit: "KiB" },
            ],
            contestants: vec![Contestant { name: OURS.to_owned(), run: Box::new(move || sample(name)) }],
            rounds,
            marks: Vec::new(),
            reference: OURS.to_owned(),
        })
    };
    WORKLOADS.into_iter().map(of_workload).collect()
}
