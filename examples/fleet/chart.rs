//! Who led when: a lane for each process, a mark for each execution.

use crate::report::Outcome;
use std::fmt::Write;

const WIDTH: f64 = 1000.0;
const LANE: f64 = 64.0;
const LEFT: f64 = 110.0;
const TOP: f64 = 50.0;

pub(crate) fn draw(outcome: &Outcome) -> String {
    let runs = || outcome.stories.iter().flat_map(|story| &story.runs);
    let first = runs().map(|run| run.start).min().unwrap_or(0);
    let last = runs().map(|run| run.end.unwrap_or(run.start)).max().unwrap_or(1).max(first + 1);
    let x = |at: u64| LEFT + at.saturating_sub(first) as f64 / (last - first) as f64 * (WIDTH - LEFT - 20.0);
    let height = TOP + LANE * outcome.stories.len() as f64 + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"16\">Executions by process: height is the row, colour too; the dashed line is a kill</text>\n"
    );
    for (number, story) in outcome.stories.iter().enumerate() {
        let y = TOP + LANE * number as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"#f4f4f4\"/>",
            WIDTH - LEFT - 20.0,
            LANE - 8.0
        );
        let _ = writeln!(svg, "<text x=\"12\" y=\"{}\">worker {number}</text>", y + 24.0);
        let _ = writeln!(svg, "<text x=\"12\" y=\"{}\" fill=\"#666\">{} led</text>", y + 42.0, story.led);
        for run in &story.runs {
            let end = run.end.or(story.killed_at).unwrap_or(run.start);
            let (from, to) = (x(run.start), x(end));
            let place = f64::from(run.row) / f64::from(super::ROWS) * (LANE - 12.0);
            let hue = run.row * 360 / super::ROWS;
            let (from, width, top) =
                (format!("{from:.1}"), format!("{:.1}", (to - from).max(1.0)), format!("{:.1}", y + place));
            let _ = writeln!(
                svg,
                "<rect x=\"{from}\" y=\"{top}\" width=\"{width}\" height=\"3\" fill=\"hsl({hue} 70% 45%)\"><title>row {}, fence {}</title></rect>",
                run.row, run.fence
            );
        }
        if let Some(killed) = story.killed_at {
            let at = x(killed);
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#c00\" stroke-dasharray=\"4 3\"/>\
                 <text x=\"{:.1}\" y=\"{}\" fill=\"#c00\">killed</text>",
                height - 40.0,
                at + 4.0,
                y + 14.0
            );
        }
    }
    let seconds = (last - first) as f64 / 1e6;
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" fill=\"#666\">0 s</text>", height - 18.0);
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" fill=\"#666\" text-anchor=\"end\">{seconds:.1} s</text>",
        WIDTH - 20.0,
        height - 18.0
    );
    svg.push_str("</svg>\n");
    svg
}
