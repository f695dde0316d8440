//! The chart: how many queries each run sent to the database, over its time.

use crate::load::Run;
use crate::report::{duration, thousands};
use crate::shared_chart::{TEXT, TITLE};
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

const BIN: Duration = Duration::from_millis(100);
const COLOURS: [RGBColor; 2] = [RGBColor(0xC0, 0x50, 0x4D), RGBColor(0x2E, 0x7D, 0x6B)];
const GREY: RGBColor = RGBColor(0x66, 0x66, 0x66);

/// A panel for each run, one above the other on the same scales.
pub(crate) fn draw(path: &Path, runs: &[Run; 2]) -> Result<(), Box<dyn Error>> {
    let longest = runs.iter().map(|run| run.wall).max().unwrap_or_default().as_secs_f64();
    let counts = runs.each_ref().map(|run| binned(run, longest));
    let most = counts.iter().flatten().copied().max().unwrap_or_default().max(1);

    let root = SVGBackend::new(path, (900, 640)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled("Database queries, without and with Group: the same requests twice", TITLE)?;
    for (panel, ((run, counts), colour)) in root.split_evenly((2, 1)).iter().zip(runs.iter().zip(&counts).zip(COLOURS))
    {
        let (queries, p99) = (thousands(run.counts.queries.len()), duration(run.latency(0.99)));
        let caption = format!("{}: {queries} queries, p99 latency {p99}, done in {}", run.name, duration(run.wall));
        let mut chart = ChartBuilder::on(panel)
            .caption(caption, TEXT.into_font().color(&colour))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..longest, 0..most + most.div_ceil(4))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .y_labels(6)
            .y_max_light_lines(1)
            .x_desc("seconds since the start of the run")
            .y_desc("queries in 100 ms")
            .x_label_formatter(&|seconds| format!("{seconds:.1}"))
            .label_style(TEXT)
            .draw()?;
        // A step for each bin.
        let edges =
            |(bin, &count): (usize, &usize)| [bin, bin + 1].map(|edge| (edge as f64 * BIN.as_secs_f64(), count));
        chart.draw_series(AreaSeries::new(counts.iter().enumerate().flat_map(edges), 0, colour))?;
        for (number, burst) in run.bursts.iter().enumerate() {
            let line = [0, most].map(|count| (burst.as_secs_f64(), count));
            let drawn = chart.draw_series(DashedLineSeries::new(line, 4, 4, GREY.into()))?;
            if number == 0 {
                let key = |(x, y)| PathElement::new([(x, y), (x + 20, y)], GREY);
                drawn.label("dashed: all cache entries expire at once").legend(key);
            }
        }
        if !run.bursts.is_empty() {
            let style = WHITE.mix(0.8);
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(style)
                .label_font(TEXT)
                .draw()?;
        }
    }
    root.present()?;
    Ok(())
}

fn binned(run: &Run, longest: f64) -> Vec<usize> {
    let mut counts = vec![0; (longest / BIN.as_secs_f64()) as usize + 1];
    let last = counts.len() - 1;
    for query in &run.counts.queries {
        counts[((query.as_nanos() / BIN.as_nanos()) as usize).min(last)] += 1;
    }
    counts
}
