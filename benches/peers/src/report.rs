//! The tables, as Markdown.

use crate::measure::{Measured, Spread, Verdict};
use std::fmt::Write;

/// A number with three digits that matter.
pub fn number(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".to_owned(),
        0.0 => "0".to_owned(),
        magnitude if magnitude >= 10_000.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (place, digit) in digits.chars().enumerate() {
                if place > 0 && (digits.len() - place) % 3 == 0 {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        magnitude if magnitude >= 100.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        magnitude if magnitude >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn spread(spread: Spread) -> String {
    let (low, median, high) = (number(spread.low), number(spread.median), number(spread.high));
    if low == high { median } else { format!("{median} ({low}..{high})") }
}

pub fn workload(measured: &Measured) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "## {}\n\n{}", measured.title, measured.method);
    let _ = write!(text, "{} round{}; ", measured.rounds, if measured.rounds == 1 { "" } else { "s, interleaved" });
    let _ = writeln!(text, "load average {:.1} before, {:.1} after.\n", measured.load.0, measured.load.1);

    let mut header = "| contestant |".to_owned();
    let mut rule = "| --- |".to_owned();
    for (metric, column) in measured.metrics.iter().enumerate() {
        let _ = write!(header, " {}, {} |", column.name, column.unit);
        rule.push_str(" ---: |");
        if has_ratio(measured, metric) {
            header.push_str(" ratio |");
            rule.push_str(" ---: |");
        }
    }
    let _ = writeln!(text, "{header}\n{rule}");
    for (contestant, name) in measured.names.iter().enumerate() {
        let bold = if contestant == measured.reference { "**" } else { "" };
        let _ = write!(text, "| {bold}{name}{bold} |");
        for metric in 0..measured.metrics.len() {
            let _ = write!(text, " {} |", spread(measured.spread(contestant, metric)));
            if has_ratio(measured, metric) {
                let _ = write!(text, " {} |", number(measured.ratio(contestant, metric).median));
            }
        }
        text.push('\n');
    }
    text.push('\n');
    for verdict in &measured.verdicts {
        let _ = writeln!(text, "- {}", line(verdict));
    }
    text
}

/// Ratios are given where every value is one to divide by.
fn has_ratio(measured: &Measured, metric: usize) -> bool {
    measured.rounds > 1 && metric < 3 && measured.spread(measured.reference, metric).median > 0.0
}

/// "met", or by how much it was missed.
fn word(verdict: &Verdict) -> String {
    match verdict.beyond {
        _ if verdict.met => "met".to_owned(),
        beyond if beyond.is_finite() => format!("**missed** by {:.0} %", (beyond * 100.0).max(1.0)),
        _ => "**missed**".to_owned(), // there is no share of a bound of nought
    }
}

fn line(verdict: &Verdict) -> String {
    let Verdict { what, aim, beside, .. } = verdict;
    let times = if beside.is_empty() { String::new() } else { format!(" x {beside}") };
    format!("{}: {what}: {}, aim: {aim}{times}", word(verdict), spread(verdict.found))
}

pub fn missed(all: &[Measured]) -> usize {
    all.iter().flat_map(|measured| &measured.verdicts).filter(|verdict| !verdict.met).count()
}

/// All marks in one table: what a reader looks at first.
pub fn marks(all: &[Measured]) -> String {
    format!("{}\n{}", rows(all, |_| true), met(all))
}

/// The page `performance`'s table, as its file has it.
pub fn figures(all: &[Measured], machine: &str) -> String {
    let loads = all.iter().flat_map(|measured| [measured.load.0, measured.load.1]);
    let (least, greatest) = loads.fold((f64::INFINITY, 0.0_f64), |(low, high), load| (low.min(load), high.max(load)));
    let rows = rows(all, |verdict| verdict.on_page);
    let met = met(all);
    format!("Measured on: {machine}. Load average {least:.1} to {greatest:.1}.\n\n{rows}\n{met}")
}

fn met(all: &[Measured]) -> String {
    let marks = all.iter().map(|measured| measured.verdicts.len()).sum::<usize>();
    format!("{} of the run's {marks} aims were met.\n", marks - missed(all))
}

/// An empty one needs no second space.
fn cell(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

fn rows(all: &[Measured], wanted: impl Fn(&Verdict) -> bool) -> String {
    let mut text = "| what | found | aim | beside what | if missed, by how much and why |\n".to_owned();
    text.push_str("| --- | ---: | ---: | --- | --- |\n");
    for measured in all {
        for verdict in measured.verdicts.iter().filter(|verdict| wanted(verdict)) {
            let Verdict { what, aim, beside, if_missed, .. } = verdict;
            let missed = match word(verdict) {
                _ if verdict.met => String::new(),
                word if if_missed.is_empty() => word,
                word => format!("{word}: {if_missed}"),
            };
            let _ = writeln!(
                text,
                "| {}: {what} | {} | {aim} |{} |{} |",
                measured.title,
                spread(verdict.found),
                cell(beside),
                cell(&missed)
            );
        }
    }
    text
}
