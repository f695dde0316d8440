//! Which process executed which row, and when.

use crate::report::Outcome;
use crate::shared_chart::{TEXT, TITLE};
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const COLOURS: [RGBColor; 6] = [
    RGBColor(0x4C, 0x78, 0xA8),
    RGBColor(0xF5, 0x85, 0x18),
    RGBColor(0x54, 0xA2, 0x4B),
    RGBColor(0x9D, 0x5C, 0xB5),
    RGBColor(0x8C, 0x6D, 0x4F),
    RGBColor(0xD6, 0x6B, 0xA0),
];
const RED: RGBColor = RGBColor(0xCC, 0x00, 0x00);

pub(crate) fn draw(path: &Path, outcome: &Outcome) -> Result<(), Box<dyn Error>> {
    let runs = || outcome.stories.iter().flat_map(|story| &story.runs);
    let first = runs().map(|run| run.start).min().unwrap_or(0);
    let last = runs().map(|run| run.end.unwrap_or(run.start)).max().unwrap_or(0);
    let seconds = |at: u64| at.saturating_sub(first) as f64 / 1e6;

    let root = SVGBackend::new(path, (1180, 620)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled("Which process read which row from the database, and when", TITLE)?;
    let (plot, key) = root.split_horizontally(880);
    let mut chart = ChartBuilder::on(&plot)
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..seconds(last).max(0.1), 0.0..f64::from(super::ROWS))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("seconds since the first execution")
        .y_desc("row")
        .x_label_formatter(&|seconds| format!("{seconds:.1}"))
        .y_label_formatter(&|row| format!("{row:.0}"))
        .label_style(TEXT)
        .draw()?;

    // Wide enough to be seen, however long the run was.
    let least = seconds(last) / 800.0;
    let mut place = 30;
    for (number, (story, colour)) in outcome.stories.iter().zip(COLOURS.iter().cycle()).enumerate() {
        for run in story.runs.iter() {
            let (start, row) = (seconds(run.start), f64::from(run.row));
            let end = seconds(run.end.or(story.killed_at).unwrap_or(run.start)).max(start + least);
            chart.draw_series([Rectangle::new([(start, row + 0.1), (end, row + 0.9)], colour.filled())])?;
        }
        let words = format!("worker {number}: {} executions", story.runs.len());
        key.draw(&Rectangle::new([(0, place - 7), (14, place + 7)], colour.filled()))?;
        key.draw(&Text::new(words, (22, place - 7), TEXT))?;
        place += 26;
        if let Some(killed) = story.killed_at.map(seconds) {
            let line = [(killed, 0.0), (killed, f64::from(super::ROWS))];
            chart.draw_series(DashedLineSeries::new(line, 5, 4, RED.into()))?;
            // What it was doing is done again by another.
            for run in story.runs.iter().filter(|run| run.end.is_none()) {
                chart.draw_series([Circle::new((killed, f64::from(run.row) + 0.5), 6, RED.stroke_width(2))])?;
            }
            for words in [
                format!("worker {number} is killed at {killed:.1} s"),
                "circle: a row it was reading;".to_owned(),
                "the others wait up to one time to live".to_owned(),
            ] {
                key.draw(&Text::new(words, (22, place - 7), TEXT.into_font().color(&RED)))?;
                place += 26;
            }
        }
    }
    root.present()?;
    Ok(())
}
