//! The chart: queries per 100 ms of each run, as SVG.

use crate::load::Run;
use crate::report::{duration, thousands};
use std::fmt::Write;
use std::time::Duration;

const BIN: Duration = Duration::from_millis(100);

const WIDTH: f64 = 900.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 62.0;
const TOP: f64 = 88.0;
const BOTTOM: f64 = 48.0;

/// One panel for each run, one above the other on the same scales.
pub(crate) fn draw(runs: &[Run]) -> String {
    let longest = runs.iter().map(|run| run.wall).max().unwrap_or_default();
    let bins = (longest.as_nanos() / BIN.as_nanos()) as usize + 1;
    let counts: Vec<Vec<usize>> = runs.iter().map(|run| binned(run, bins)).collect();
    let most = counts.iter().flatten().copied().max().unwrap_or_default().max(1);
    let scale = Scale { bins, step: step(most), top: most.div_ceil(step(most)) * step(most) };

    let height = TOP + PANEL * runs.len() as f64 + GAP * runs.len().saturating_sub(1) as f64 + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"18\" font-weight=\"600\">Database queries per 100 ms, the same requests twice</text>\n"
    );
    if runs.iter().any(|run| !run.bursts.is_empty()) {
        svg += &format!(
            "<line x1=\"{}\" y1=\"39\" x2=\"{}\" y2=\"59\" {BURST}/>\n\
             <text x=\"{}\" y=\"54\" fill=\"#666\">every cache entry expires</text>\n",
            LEFT + 4.0,
            LEFT + 4.0,
            LEFT + 14.0
        );
    }
    for (number, (run, counts)) in runs.iter().zip(&counts).enumerate() {
        let top = TOP + number as f64 * (PANEL + GAP);
        let colour = if number == 0 { "#c0504d" } else { "#2e7d6b" };
        scale.panel(&mut svg, top, run, counts, colour);
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666\">seconds since the start of the run</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        height - 10.0
    );
    svg
}

const BURST: &str = "stroke=\"#8a8a8a\" stroke-width=\"1\" stroke-dasharray=\"3 3\"";

struct Scale {
    bins: usize,
    step: usize,
    top: usize,
}

impl Scale {
    fn x(&self, bins: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * bins / self.bins as f64
    }

    fn panel(&self, svg: &mut String, top: f64, run: &Run, counts: &[usize], colour: &str) {
        let y = |count: usize| top + PANEL * (1.0 - count as f64 / self.top as f64);
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\"><tspan font-weight=\"600\" fill=\"{colour}\">{}</tspan>: {} queries, p99 latency {}, done in {}</text>",
            top - 12.0,
            run.name,
            thousands(run.counts.queries.len()),
            duration(run.latency(0.99)),
            duration(run.wall),
        );
        for count in (0..=self.top).step_by(self.step) {
            let (right, y) = (WIDTH - RIGHT, y(count));
            let shade = if count == 0 { "#888" } else { "#e4e4e4" };
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"{shade}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#666\">{}</text>",
                LEFT - 8.0,
                y + 4.5,
                thousands(count)
            );
        }
        // One outline, not a bar for each bin: a long run has more bins than the picture has pixels.
        let mut outline = format!("M{LEFT} {:.1}", y(0));
        for (bin, &count) in counts.iter().enumerate() {
            let _ = write!(outline, "V{:.1}H{:.2}", y(count), self.x(bin as f64 + 1.0));
        }
        let _ = writeln!(svg, "<path d=\"{outline}V{:.1}Z\" fill=\"{colour}\"/>", y(0));
        for burst in &run.bursts {
            let x = self.x(burst.as_secs_f64() / BIN.as_secs_f64());
            let _ = writeln!(svg, "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{:.1}\" {BURST}/>", top + PANEL);
        }
        let seconds = self.bins.div_ceil(10);
        for second in (0..=seconds).step_by(step(seconds)) {
            let x = self.x(second as f64 * 10.0);
            if x <= WIDTH - RIGHT + 1.0 {
                let _ = writeln!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{second}</text>",
                    top + PANEL + 17.0
                );
            }
        }
    }
}

fn binned(run: &Run, bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins];
    for query in &run.counts.queries {
        let bin = (query.as_nanos() / BIN.as_nanos()) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    counts
}

/// A round distance between lines (1, 2, 5, 10, 20, ..), so that at most eight of them cover `most`.
fn step(most: usize) -> usize {
    let mut decade = 1;
    loop {
        for step in [decade, 2 * decade, 5 * decade] {
            if most <= 8 * step {
                return step;
            }
        }
        decade *= 10;
    }
}
