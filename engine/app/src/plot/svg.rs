//! A chart as SVG. Text is written as text: the viewer brings the font, this process needs none.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use tidemill_core::Error;

use super::{Chart, Line};

/// Width and height, pixels.
const SIZE: (u32, u32) = (960, 540);
/// Width of the legend at the right, where it covers no line.
const LEGEND: i32 = 200;
const GREY: RGBColor = RGBColor(0x55, 0x55, 0x55);

/// The drawing: charts one below the other.
///
/// # Errors
/// Internal: the drawing library failed.
pub(crate) fn svg(charts: &[Chart]) -> Result<String, Error> {
    let mut text = String::new();
    draw_all(charts, &mut text).map_err(|e| Error::internal(format!("cannot draw the plot: {e}")))?;
    Ok(text)
}

fn draw_all(charts: &[Chart], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let height = SIZE.1 * u32::try_from(charts.len())?;
    let root = SVGBackend::with_string(text, (SIZE.0, height)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, chart) in root.split_evenly((charts.len(), 1)).iter().zip(charts) {
        draw(chart, area)?;
    }
    root.present()?;
    Ok(())
}

fn color(line: &Line) -> RGBColor {
    RGBColor(line.color.0, line.color.1, line.color.2)
}

fn draw(chart: &Chart, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn std::error::Error>> {
    let (left, legend) = area.split_horizontally(i32::try_from(SIZE.0)? - LEGEND);
    // Half a batch of room at the sides, so that points do not lie on the frame.
    let (first, last) = (chart.batches.0 as f64, chart.batches.1 as f64);
    let mut context = ChartBuilder::on(&left)
        .caption(&chart.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(first - 0.5..last + 0.5, chart.values.0..chart.values.1)?;
    let decimals = decimals(chart.values.1 - chart.values.0);
    context
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.15))
        .axis_style(GREY)
        .x_desc(chart.x_title)
        .y_desc(&chart.y_title)
        .axis_desc_style(("sans-serif", 15))
        .label_style(("sans-serif", 13))
        .x_labels(12)
        .y_labels(8)
        .x_label_formatter(&|batch| if batch.fract() == 0.0 { format!("{batch:.0}") } else { String::new() })
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .draw()?;
    for line in &chart.lines {
        let style = color(line).stroke_width(2);
        for run in line.series.runs() {
            let points: Vec<(f64, f64)> = run.iter().map(|&(batch, value)| (batch as f64, value)).collect();
            if points.len() == 1 {
                // Only its dot, below.
            } else if line.dashed {
                context.draw_series(DashedLineSeries::new(points.clone(), 7, 5, style))?;
            } else {
                context.draw_series(LineSeries::new(points.clone(), style))?;
            }
            // A value between two gaps has no line: the point is what shows it.
            let dot = if line.dashed { WHITE.filled() } else { color(line).filled() };
            context.draw_series(points.iter().map(|&point| Circle::new(point, 3, dot)))?;
            context.draw_series(points.iter().map(|&point| Circle::new(point, 3, color(line))))?;
        }
    }
    let words = ("sans-serif", 14).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    if let Some((at, label)) = &chart.mark {
        let ends = [chart.values.0, chart.values.1].map(|value| (*at as f64, value));
        context.draw_series(DashedLineSeries::new(ends, 3, 4, GREY.stroke_width(1)))?;
        let beside = (*at as f64 + 0.1, chart.values.1 - 0.04 * (chart.values.1 - chart.values.0));
        context.draw_series([Text::new(label.clone(), beside, words.clone())])?;
    }
    for (row, line) in (0i32..).zip(&chart.lines) {
        let y = 60 + 24 * row;
        let style = color(line).stroke_width(2);
        let pieces: &[(i32, i32)] = if line.dashed { &[(4, 11), (16, 23), (28, 34)] } else { &[(4, 34)] };
        for &(from, to) in pieces {
            legend.draw(&PathElement::new(vec![(from, y), (to, y)], style))?;
        }
        legend.draw(&Text::new(line.label.clone(), (42, y), words.clone()))?;
    }
    Ok(())
}

/// Decimals that tell labels apart over this span.
pub(super) fn decimals(span: f64) -> usize {
    let tenth = (span / 10.0).max(1e-9);
    (-tenth.log10().floor()).clamp(0.0, 9.0) as usize
}

#[cfg(test)]
mod tests {
    use super::super::tests::chart;
    use super::*;

    #[test]
    fn the_drawing_has_every_line_with_its_gaps_and_labels() {
        let text = svg(&[chart()]).unwrap();
        for part in [
            "chicago-arrests: AUC by batch",
            "forest, hold-out",
            "forest, prequential",
            "a&lt;b, hold-out",
            "batch",
        ] {
            assert!(text.contains(part), "{part} is missing");
        }
        // Solid lines are one element a run: forest 0-1 and 3-4, a<b 0-2; the point alone at 4 is a circle.
        let solid = |color: &str| {
            text.lines()
                .filter(|l| {
                    l.starts_with("<polyline") && l.contains(color) && l.contains("stroke-width=\"2\"")
                })
                .count()
        };
        assert_eq!(solid("#D55E00"), 1 + 1, "a run of three, and the legend");
        assert!(!text.contains("NaN") && !text.contains("inf"));
        assert_eq!(text.matches("<circle").count(), 2 * (4 + 4 + 4));
    }

    #[test]
    fn charts_stand_below_each_other_and_a_mark_is_named() {
        let (one, two) =
            (svg(&[chart()]).unwrap(), svg(&[chart().marked(2, "elbow".into()), chart()]).unwrap());
        assert!(one.contains("height=\"540\"") && two.contains("height=\"1080\""));
        assert_eq!(two.matches("AUC by batch").count(), 2);
        assert!(two.contains("elbow") && !one.contains("elbow"));
    }

    #[test]
    fn labels_have_the_decimals_that_they_need() {
        assert_eq!([decimals(0.05), decimals(0.3), decimals(2.0), decimals(500.0)], [3, 2, 1, 0]);
    }
}
