//! The first column of every workload as bars, on a logarithmic scale, beside this crate's.

use crate::measure::Measured;
use crate::report::number;
use std::fmt::Write;

const LABELS: f64 = 230.0;
const CHART: f64 = 560.0;
const BAR: f64 = 15.0;
/// Bars reach from a twentieth of this crate's value to a hundred times it.
const LEAST: f64 = 0.05;
const MOST: f64 = 100.0;

fn x(ratio: f64) -> f64 {
    LABELS + CHART * (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub fn draw(all: &[Measured], machine: &str) -> String {
    let mut body = String::new();
    let mut y = 58.0;
    for measured in all.iter().filter(|measured| measured.rounds > 1) {
        let metric = &measured.metrics[0];
        y += 14.0;
        let title = format!("{}: {}, {}", measured.title, metric.name, metric.unit);
        let _ = writeln!(body, r#"<text x="8" y="{y:.1}" class="title">{}</text>"#, escape(&title));
        y += 6.0;
        for (contestant, name) in measured.names.iter().enumerate() {
            let ratio = measured.ratio(contestant, 0).median;
            if !ratio.is_finite() {
                continue;
            }
            let ours = name.starts_with(flight_group_peers::contestants::OURS);
            let class = if ours {
                "ours"
            } else if name.contains("floor") || name.contains("bare") {
                "floor"
            } else {
                "peer"
            };
            let (from, to) = (x(1.0).min(x(ratio)), x(1.0).max(x(ratio)));
            let value = format!("{} ({} x)", number(measured.spread(contestant, 0).median), number(ratio));
            let middle = y + BAR - 4.0;
            let _ = writeln!(
                body,
                r#"<text x="{:.1}" y="{middle:.1}" text-anchor="end">{}</text><rect x="{from:.1}" y="{:.1}" width="{:.1}" height="{:.1}" class="{class}"/><text x="{:.1}" y="{middle:.1}">{}</text>"#,
                LABELS - 6.0,
                escape(name),
                y + 2.0,
                (to - from).max(2.0),
                BAR - 4.0,
                to + 5.0,
                escape(&value),
            );
            y += BAR;
        }
        y += 10.0;
    }
    let mut grid = String::new();
    for ratio in [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0] {
        let at = x(ratio);
        let _ = writeln!(
            grid,
            r#"<line x1="{at:.1}" y1="48" x2="{at:.1}" y2="{y:.1}" class="grid"/><text x="{at:.1}" y="44" text-anchor="middle">{ratio} x</text>"#
        );
    }
    let width = LABELS + CHART + 130.0;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0}" width="{width}" height="{height:.0}" font-family="sans-serif" font-size="11">
<style>text {{ fill: #222 }} .title {{ font-weight: bold; font-size: 12px }} .ours {{ fill: #d9480f }} .peer {{ fill: #4c78a8 }} .floor {{ fill: #999 }} .grid {{ stroke: #ddd }}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="8" y="16" class="title">flight-group beside its peers: the first column of every workload, as a multiple of flight-group's</text>
<text x="8" y="31">{}</text>
{grid}{body}</svg>
"##,
        escape(machine),
        height = y + 12.0,
    )
}
