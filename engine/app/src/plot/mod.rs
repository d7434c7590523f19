//! Charts: lines over batches, as SVG, as an HTML page, or in the terminal. All offline.
//!
//! ```text
//! Series (one metric) ──> Chart (labels, colours, ranges) ──> svg | html | terminal
//! ```
//!
//! A model has one colour in all of them; its hold-out line is solid, its prequential one dashed. Where a batch has
//! no value (AUC of one class, a model that was not trained) the line has a gap, never a bridge.

pub(crate) mod figures;
mod html;
mod svg;
mod terminal;

use std::path::Path;

use tidemill_core::Error;

use crate::series::Series;

pub(crate) use html::html;
pub(crate) use svg::svg;
pub(crate) use terminal::terminal;

/// Okabe and Ito's colours, told apart by colour-blind readers too; without yellow, which is too light for a line.
const COLORS: [Color; 7] = [
    Color(0x00, 0x72, 0xb2),
    Color(0xd5, 0x5e, 0x00),
    Color(0x00, 0x9e, 0x73),
    Color(0xcc, 0x79, 0xa7),
    Color(0xe6, 0x9f, 0x00),
    Color(0x56, 0xb4, 0xe9),
    Color(0x00, 0x00, 0x00),
];

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Color(u8, u8, u8);

impl Color {
    fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

/// Lines over batches with what is written around them.
#[derive(Debug)]
pub(crate) struct Chart {
    title: String,
    /// Title of the horizontal axis.
    x_title: &'static str,
    y_title: String,
    lines: Vec<Line>,
    /// First and last batch, or other place on the horizontal axis.
    batches: (u64, u64),
    /// Lowest and highest value shown: the values' own with a little room.
    values: (f64, f64),
    /// A place on the horizontal axis with a line across the chart, and what it is.
    mark: Option<(u64, String)>,
}

#[derive(Debug)]
struct Line {
    label: String,
    color: Color,
    dashed: bool,
    series: Series,
}

impl Chart {
    /// A chart of one metric by batch; `None` if there is no value to show.
    pub(crate) fn new(job: &str, metric: &str, series: Vec<Series>) -> Option<Chart> {
        let name = if metric == "auc" { "AUC".to_owned() } else { metric.replace('_', " ") };
        let title = format!("{job}: {name} by batch");
        Chart::with(title, "batch", name, series, |series| match series.evaluation.as_str() {
            "holdout" => format!("{}, hold-out", series.model),
            other => format!("{}, {other}", series.model),
        })
    }

    /// A chart of these lines; `None` if there is no value to show.
    pub(crate) fn with(
        title: String,
        x_title: &'static str,
        y_title: String,
        series: Vec<Series>,
        label: impl Fn(&Series) -> String,
    ) -> Option<Chart> {
        let mut models: Vec<String> = series.iter().map(|s| s.model.clone()).collect();
        models.dedup();
        let points: Vec<(u64, f64)> = series.iter().flat_map(|s| s.runs().into_iter().flatten()).collect();
        let batches = points.iter().map(|p| p.0);
        let batches = (batches.clone().min()?, batches.max()?);
        let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        let room = if high > low { 0.06 * (high - low) } else { 0.05 * high.abs().max(0.1) };
        let lines = series
            .into_iter()
            .map(|series| {
                let place = models.iter().position(|model| *model == series.model).unwrap_or(0);
                let (label, dashed) = (label(&series), series.evaluation == "prequential");
                Line { label, color: COLORS[place % COLORS.len()], dashed, series }
            })
            .collect();
        Some(Chart {
            title,
            x_title,
            y_title,
            lines,
            batches,
            // No metric that has no negative value is given a negative axis.
            values: (if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high + room),
            mark: None,
        })
    }

    /// The chart with a line across it at this place.
    pub(crate) fn marked(self, at: u64, label: String) -> Chart {
        Chart { mark: Some((at, label)), ..self }
    }
}

/// The kinds of file that a chart can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A drawing, for documents.
    Svg,
    /// A page with the drawing and its values.
    Html,
}

impl FileKind {
    /// By the extension.
    ///
    /// # Errors
    /// User: another one, or none.
    pub(crate) fn of(path: &Path) -> Result<FileKind, Error> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "svg" => Ok(FileKind::Svg),
            "html" => Ok(FileKind::Html),
            _ => Err(Error::user(format!("{}: a plot is written as .svg or .html", path.display()))
                .hint("name the file like plot.svg (a drawing) or plot.html (a page with the values too); without --out it is drawn in the terminal")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn chart() -> Chart {
        let line = |model: &str, evaluation: &str, points: &[(u64, Option<f64>)]| Series {
            model: model.into(),
            evaluation: evaluation.into(),
            points: points.to_vec(),
        };
        let series = vec![
            line(
                "forest",
                "holdout",
                &[(0, Some(0.81)), (1, Some(0.85)), (2, None), (3, Some(0.875)), (4, Some(0.88))],
            ),
            line(
                "forest",
                "prequential",
                &[(1, Some(0.8)), (2, Some(0.84)), (3, Some(0.86)), (4, Some(0.87))],
            ),
            line("a<b", "holdout", &[(0, Some(0.7)), (1, Some(0.72)), (2, Some(0.78)), (4, Some(0.8))]),
        ];
        Chart::new("chicago-arrests", "auc", series).unwrap()
    }

    #[test]
    fn a_model_has_one_colour_and_an_evaluation_one_style() {
        let chart = chart();
        let lines: Vec<_> = chart.lines.iter().map(|l| (l.label.as_str(), l.color, l.dashed)).collect();
        assert_eq!(
            lines,
            [
                ("forest, hold-out", COLORS[0], false),
                ("forest, prequential", COLORS[0], true),
                ("a<b, hold-out", COLORS[1], false),
            ]
        );
        assert_eq!(chart.batches, (0, 4));
        assert!(chart.values.0 < 0.7 && chart.values.0 > 0.65, "{:?}", chart.values);
        assert_eq!((chart.title.as_str(), chart.y_title.as_str()), ("chicago-arrests: AUC by batch", "AUC"));
    }

    #[test]
    fn a_single_value_still_has_room_around_it() {
        let series = Series { model: "m".into(), evaluation: "holdout".into(), points: vec![(3, Some(0.0))] };
        let chart = Chart::new("j", "f1", vec![series]).unwrap();
        assert!(chart.values.0 == 0.0 && chart.values.1 > 0.0);
        assert!(terminal(&chart, 80, false).contains("j: f1 by batch"));
        assert!(svg(&[chart]).is_ok());
        assert!(Chart::new("j", "f1", Vec::new()).is_none());
    }

    #[test]
    fn the_extension_decides() {
        let kind = |name: &str| FileKind::of(Path::new(name));
        assert_eq!(kind("a/b.svg").unwrap(), FileKind::Svg);
        assert_eq!(kind("b.HTML").unwrap(), FileKind::Html);
        for wrong in ["b.png", "b", ".svg", ""] {
            let error = kind(wrong).unwrap_err().to_string();
            assert!(error.contains(".svg or .html"), "{error}");
        }
    }
}
