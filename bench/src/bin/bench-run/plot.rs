//! Draws the growth sections.

use std::path::Path;

use plotters::prelude::*;

use super::{
    Result,
    measure::Measured,
    report::{median, sorted},
    sections::{SERVERS, Section},
};

const COLORS: [RGBColor; 6] = [
    RGBColor(0xc0, 0x39, 0x2b),
    RGBColor(0x29, 0x80, 0xb9),
    RGBColor(0x8e, 0x44, 0xad),
    RGBColor(0xd3, 0x8b, 0x0b),
    RGBColor(0x27, 0xae, 0x60),
    RGBColor(0x55, 0x5f, 0x66),
];

/// A point: its x value, and the minimum, the median and the maximum.
type Point = (f64, f64, f64, f64);

/// Draws the first column of a section: a line for each server, with bars from minimum to maximum.
pub(crate) fn draw(
    path: &Path,
    section: &Section,
    (label, value): (&str, &str),
    measured: &[&Measured],
) -> Result<()> {
    let Some(column) = section.columns.first() else { return Ok(()) };
    let lines: Vec<(&str, Vec<Point>)> = SERVERS
        .into_iter()
        .map(|server| {
            let point = |x: f64| {
                let of_cell: Vec<&Measured> = measured
                    .iter()
                    .filter(|it| it.server == server && it.x == x)
                    .copied()
                    .collect();
                let values = sorted(column, &of_cell);
                Some((x, *values.first()?, median(&values), *values.last()?))
            };
            (server, section.cells.iter().filter_map(|cell| point(cell.x)).collect())
        })
        .filter(|(_, points): &(_, Vec<_>)| !points.is_empty())
        .collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let x =
        points().fold((f64::MAX, f64::MIN), |(least, most), it| (least.min(it.0), most.max(it.0)));
    let y =
        points().fold((f64::MAX, f64::MIN), |(least, most), it| (least.min(it.1), most.max(it.3)));

    // Leaves room for the names of the lines.
    let top = y.1 * (y.1 / y.0).powf(0.6).max(1.5);
    let area = SVGBackend::new(path, (860, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(section.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d((x.0 * 0.9..x.1 * 1.1).log_scale(), (y.0 * 0.8..top).log_scale())?;
    chart
        .configure_mesh()
        .x_desc(label)
        .y_desc(value)
        .y_labels(16)
        .y_label_formatter(&|it| format!("{it}"))
        .x_label_formatter(&|it| format!("{it:.0}"))
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    for ((server, points), color) in lines.iter().zip(COLORS.iter().cycle()) {
        let style = color.stroke_width(2);
        let line = points.iter().map(|it| (it.0, it.2));
        chart
            .draw_series(LineSeries::new(line, style))?
            .label(*server)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        let bars =
            points.iter().map(|it| ErrorBar::new_vertical(it.0, it.1, it.2, it.3, *color, 6));
        chart.draw_series(bars)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    Ok(())
}
