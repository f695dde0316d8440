//! The table, and how numbers look in it.

use crate::load::Run;
use indicatif::HumanCount;
use std::time::Duration;

pub(crate) fn table(runs: &[Run]) -> String {
    let mut text = line("", runs, |run| run.name.to_owned());
    text += &line("requests", runs, |run| thousands(run.requests));
    text += &line("cache misses", runs, |run| thousands(run.counts.misses));
    text += &line("database queries", runs, |run| thousands(run.counts.queries.len()));
    text += &line("collapsed share", runs, |run| format!("{:.1}%", 100.0 * collapsed(run)));
    text += &line("latency p50", runs, |run| duration(run.latency(0.50)));
    text += &line("latency p99", runs, |run| duration(run.latency(0.99)));
    text += &line("latency max", runs, |run| duration(run.latency(1.0)));
    text += &line("later than 500 ms", runs, |run| format!("{:.1}%", 100.0 * run.late));
    text += &line("wall time", runs, |run| duration(run.wall));
    text
}

/// Of the requests that missed the cache, the share that cost no query.
fn collapsed(run: &Run) -> f64 {
    1.0 - run.counts.queries.len() as f64 / run.counts.misses.max(1) as f64
}

fn line(name: &str, runs: &[Run], cell: impl Fn(&Run) -> String) -> String {
    let mut text = format!("{name:<18}");
    for run in runs {
        text += &format!("{:>16}", cell(run));
    }
    text.push('\n');
    text
}

pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        1.0.. => format!("{seconds:.1} s"),
        0.1.. => format!("{:.0} ms", seconds * 1e3),
        0.001.. => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{:.2} ms", seconds * 1e3),
    }
}

/// 12345 as `12,345`.
pub(crate) fn thousands(number: usize) -> String {
    HumanCount(number as u64).to_string()
}
