//! What is allocated. Counted by another program, `memory`: an allocator that counts would slow the contestants
//! that allocate, and with them the ratios.

use crate::measure::{Contestant, Mark, Metric, Workload, of};
use crate::workloads::{Depth, Planned, plan};
use flight_group_peers::contestants::OURS;
use std::process::Command;

const METRICS: [Metric; 8] = [
    Metric { name: "a lone call, u64", unit: "allocations" },
    Metric { name: "a lone call, &str", unit: "allocations" },
    Metric { name: "a lone call, 32 bytes", unit: "allocations" },
    Metric { name: "idle, used once", unit: "KiB" },
    Metric { name: "a key, 100,000 in the air", unit: "bytes" },
    Metric { name: "64 followers add", unit: "allocations" },
    Metric { name: "kept after a surge", unit: "KiB" },
    Metric { name: "left by the next", unit: "bytes" },
];

/// Runs `memory`, which prints a line per contestant: its name, and a value per metric, tabs between.
fn count(depth: Depth) -> Vec<(String, Vec<f64>)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(cargo)
        .args(["run", "--release", "--quiet", "--manifest-path", manifest, "--bin", "memory", "--"])
        .arg(depth.pick("20000", "100000"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "memory: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("memory prints text");
    text.lines()
        .map(|line| {
            let mut fields = line.split('\t');
            let name = fields.next().expect("a name").to_owned();
            (name, fields.map(|field| field.parse().expect("a number")).collect())
        })
        .collect()
}

pub fn plans(depth: Depth) -> Vec<Planned> {
    vec![plan("memory", 5.0, 1, move || {
        let contestants = count(depth)
            .into_iter()
            .map(|(name, values)| Contestant { name, run: Box::new(move || values.clone()) })
            .collect();
        Workload {
            title: "Memory (foldhash)".to_owned(),
            method: format!(
                "Counted exactly, in a program of its own, so that the counting slows nobody. The {} flights in the \
                 air are nested calls of one thread. `once_map` keeps every key it has seen; what `moka` and \
                 `quick_cache` keep is their cache.",
                depth.pick("20,000", "100,000")
            ),
            metrics: METRICS.into(),
            contestants,
            rounds: 1,
            marks: vec![
                Mark::absolute("allocations of a lone call, u64", of(OURS, 0), 0.0),
                Mark::absolute("allocations of a lone call, &str", of(OURS, 1), 1.0),
                Mark::absolute("allocations of a lone call, 32 bytes", of(OURS, 2), 0.0),
                // Up to 8 cores the table is 16 KiB; the handle and the list of the one shard used come on top.
                Mark::absolute("KiB of a group that was used once", of(OURS, 3), 16.5).on_page(),
                // A smaller number of flights shares what a table keeps empty.
                Mark::absolute("bytes of a key in the air", of(OURS, 4), depth.pick(96.0, 80.0)).on_page(),
                Mark::absolute("allocations of a flight with 64 followers", of(OURS, 5), 2.0),
                // The list of each of its shards: 8 slots of 48 bytes, less the 4 it had from the lone calls.
                Mark::absolute("KiB kept after a surge", of(OURS, 6), 48.0).on_page(),
                Mark::absolute("bytes left by the next surge", of(OURS, 7), 0.0).on_page(),
            ],
            reference: OURS.to_owned(),
        }
    })]
}
