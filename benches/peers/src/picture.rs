//! The first column of every workload as bars, on a logarithmic scale, beside this crate's.

use crate::measure::Measured;
use crate::report::number;
use flight_group_peers::contestants::OURS;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;

const ROW: u32 = 16;
/// Bars reach from a twentieth of this crate's value to a hundred times it.
const LEAST: f64 = 0.05;
const MOST: f64 = 100.0;

/// The picture as SVG.
pub fn draw(all: &[Measured], machine: &str) -> Result<String, Box<dyn Error>> {
    let shown = || all.iter().filter(|measured| measured.rounds > 1);
    // A title above each workload's bars, and room below them.
    let rows = shown().map(|measured| measured.names.len() as u32 + 2).sum::<u32>().max(1);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (920, rows * ROW + 80)).into_drawing_area();
        root.fill(&WHITE)?;
        let title =
            "flight-group beside its peers: the first column of every workload, as a multiple of flight-group's";
        let root = root.titled(title, ("sans-serif", 16))?.titled(machine, ("sans-serif", 13))?;
        let mut chart = ChartBuilder::on(&root)
            .set_label_area_size(LabelAreaPosition::Left, 230)
            .set_label_area_size(LabelAreaPosition::Top, 20)
            .margin_right(130)
            .build_cartesian_2d((LEAST..MOST).log_scale(), f64::from(rows)..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_label_formatter(&|ratio| format!("{ratio} x"))
            .label_style(("sans-serif", 13))
            .draw()?;
        let area = chart.plotting_area();
        let text = |size: u32, side| ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(side, VPos::Center));
        let mut y = 0.5;
        for measured in shown() {
            let metric = &measured.metrics[0];
            let title = format!("{}: {}, {}", measured.title, metric.name, metric.unit);
            area.draw(&(EmptyElement::at((LEAST, y)) + Text::new(title, (-222, 0), text(15, HPos::Left))))?;
            for (contestant, name) in measured.names.iter().enumerate() {
                let ratio = measured.ratio(contestant, 0).median;
                if !ratio.is_finite() {
                    continue;
                }
                y += 1.0;
                let colour = match name {
                    name if name.starts_with(OURS) => RGBColor(0xD9, 0x48, 0x0F),
                    name if name.contains("floor") || name.contains("bare") => RGBColor(0x99, 0x99, 0x99),
                    _ => RGBColor(0x4C, 0x78, 0xA8),
                };
                let end = ratio.clamp(LEAST, MOST);
                let [top, bottom] = [y - 0.35, y + 0.35];
                area.draw(&Rectangle::new([(1.0, top), (end, bottom)], colour.filled()))?;
                // A bar of no length is seen, too.
                area.draw(&PathElement::new([(1.0, top), (1.0, bottom)], colour.stroke_width(2)))?;
                let value = format!("{} ({} x)", number(measured.spread(contestant, 0).median), number(ratio));
                area.draw(&(EmptyElement::at((LEAST, y)) + Text::new(name.clone(), (-6, 0), text(13, HPos::Right))))?;
                area.draw(&(EmptyElement::at((end.max(1.0), y)) + Text::new(value, (5, 0), text(13, HPos::Left))))?;
            }
            y += 2.0;
        }
        root.present()?;
    }
    Ok(svg)
}
