//! A chart in the terminal, drawn with braille dots: two by four to a character.
//!
//! Colour is not needed to read it: a letter at the right of each line's last value names it in the legend.

use super::svg::decimals;
use super::{Chart, Color, Line};

/// Characters from the lowest to the highest value.
const ROWS: usize = 16;
/// Characters for the labels of the values and the axis.
const LABELS: usize = 10;
const GREY: Color = Color(0x77, 0x77, 0x77);

/// The dots of the plot; each character has the colour of the line that was drawn there last.
struct Canvas {
    columns: usize,
    dots: Vec<u8>,
    colors: Vec<Option<Color>>,
}

impl Canvas {
    fn new(columns: usize) -> Canvas {
        Canvas { columns, dots: vec![0; columns * ROWS], colors: vec![None; columns * ROWS] }
    }

    /// `x` and `y` in dots from the lower left.
    fn set(&mut self, x: usize, y: usize, color: Color) {
        // Bits of a braille character, by row from the top, then column.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (x, y) = (x.min(2 * self.columns - 1), (4 * ROWS - 1) - y.min(4 * ROWS - 1));
        let at = y / 4 * self.columns + x / 2;
        self.dots[at] |= BITS[y % 4][x % 2];
        self.colors[at] = Some(color);
    }

    fn row(&self, row: usize, color: bool) -> String {
        let mut text = String::new();
        for at in row * self.columns..(row + 1) * self.columns {
            let dots = self.dots[at];
            let character = char::from_u32(0x2800 + u32::from(dots)).filter(|_| dots != 0).unwrap_or(' ');
            match self.colors[at] {
                Some(Color(red, green, blue)) if color => {
                    text.push_str(&format!("\x1b[38;2;{red};{green};{blue}m{character}\x1b[0m"));
                }
                _ => text.push(character),
            }
        }
        text
    }
}

/// The chart as lines of text, at most `width` characters wide, ending in a newline.
pub(crate) fn terminal(chart: &Chart, width: usize, color: bool) -> String {
    let columns = width.saturating_sub(LABELS + 2 + chart.lines.len()).clamp(20, 100);
    let mut canvas = Canvas::new(columns);
    let (first, last) = (chart.batches.0 as f64, chart.batches.1 as f64);
    let (low, high) = chart.values;
    let scale = |part: f64, dots: usize| (part * (dots - 1) as f64).round() as usize;
    let x = |batch: u64| match last > first {
        true => scale((batch as f64 - first) / (last - first), 2 * columns),
        false => columns,
    };
    let y = |value: f64| scale((value - low) / (high - low), 4 * ROWS);
    if let Some((at, _)) = &chart.mark {
        (0..4 * ROWS).step_by(2).for_each(|dot| canvas.set(x(*at), dot, GREY));
    }
    let mut marks = vec![String::new(); ROWS];
    for (letter, line) in ('a'..='z').zip(&chart.lines) {
        for run in line.series.runs() {
            let points: Vec<(usize, usize)> =
                run.iter().map(|&(batch, value)| (x(batch), y(value))).collect();
            draw(&mut canvas, &points, line);
        }
        if let Some(&(_, value)) = line.series.runs().last().and_then(|run| run.last()) {
            marks[(ROWS - 1).saturating_sub(y(value) / 4)].push(letter);
        }
    }
    let decimals = decimals(high - low) + 1;
    let mut text = format!("{}\n", chart.title);
    for (row, marks) in marks.iter().enumerate() {
        let label = match row % 5 {
            0 => format!("{:.decimals$}", high - (high - low) * row as f64 / (ROWS - 1) as f64),
            _ => String::new(),
        };
        text.push_str(format!("{label:>LABELS$}│{} {marks}", canvas.row(row, color)).trim_end());
        text.push('\n');
    }
    text.push_str(&format!("{:>LABELS$}└{}\n", "", "─".repeat(columns)));
    let (left, right) = (format!("{} {}", chart.x_title, chart.batches.0), chart.batches.1.to_string());
    let between = columns.saturating_sub(left.len() + right.len());
    text.push_str(&format!("{:>LABELS$} {left}{:between$}{right}\n", "", ""));
    for (letter, line) in ('a'..='z').zip(&chart.lines) {
        let stroke = if line.dashed { "╌╌" } else { "──" };
        let stroke = match (color, line.color) {
            (true, Color(red, green, blue)) => format!("\x1b[38;2;{red};{green};{blue}m{stroke}\x1b[0m"),
            (false, _) => stroke.to_owned(),
        };
        let newest = line.series.runs().last().and_then(|run| run.last().copied());
        let at = chart.x_title;
        let newest = newest.map(|(x, value)| format!("  {value:.4} at {at} {x}")).unwrap_or_default();
        text.push_str(&format!("{:>LABELS$} {letter} {stroke} {}{newest}\n", "", line.label));
    }
    text
}

/// Dots from point to point; a dashed line leaves out three of every six.
fn draw(canvas: &mut Canvas, points: &[(usize, usize)], line: &Line) {
    let mut drawn = 0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between = |from: usize, to: usize, step: usize| {
            let part = step as f64 / steps as f64;
            (from as f64 + (to as f64 - from as f64) * part).round() as usize
        };
        for step in 0..steps {
            if !line.dashed || drawn % 6 < 3 {
                canvas.set(between(from.0, to.0, step), between(from.1, to.1, step), line.color);
            }
            drawn += 1;
        }
    }
    if let (Some(&(x, y)), true) = (points.last(), points.len() == 1 || !line.dashed) {
        canvas.set(x, y, line.color);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::chart;
    use super::*;
    use crate::series::Series;

    #[test]
    fn the_chart_fits_and_names_every_line() {
        let text = terminal(&chart(), 80, false);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(text.lines().count(), 1 + ROWS + 2 + 3);
        assert!(text.contains("a ── forest, hold-out  0.8800 at batch 4"), "{text}");
        assert!(text.contains("b ╌╌ forest, prequential  0.8700 at batch 4"), "{text}");
        // The letters stand at the height of the lines' ends: forest at the top, a<b below.
        let row = |end: &str| text.lines().position(|line| line.contains('│') && line.ends_with(end));
        assert!(row("c") > row("b").or(row("ab")), "{text}");
        assert!(!text.contains('\x1b'));
        assert!(terminal(&chart(), 80, true).contains("\x1b[38;2;0;114;178m"));
    }

    #[test]
    fn a_mark_is_a_line_from_top_to_bottom() {
        let rows = |chart: &Chart| {
            let text = terminal(chart, 80, false);
            text.lines()
                .filter(|l| l.contains('│') && l.chars().nth(LABELS + 1 + 32).is_some_and(|c| c != ' '))
                .count()
        };
        assert_eq!(
            rows(&chart().marked(2, "here".into())),
            ROWS,
            "{}",
            terminal(&chart().marked(2, "here".into()), 80, false)
        );
        assert!(rows(&chart()) < ROWS / 2);
    }

    #[test]
    fn a_gap_stays_empty() {
        let middle = |value: Option<f64>| {
            let points = vec![(0, Some(0.5)), (1, Some(0.5)), (2, value), (3, Some(0.5)), (4, Some(0.5))];
            let series = Series { model: "m".into(), evaluation: "holdout".into(), points };
            let text = terminal(&Chart::new("j", "auc", vec![series]).unwrap(), 80, false);
            let row = text.lines().find(|line| line.contains('│') && line.ends_with('a')).unwrap().to_owned();
            row.chars().nth(LABELS + 1 + (80 - LABELS - 2 - 1) / 2).unwrap()
        };
        assert_eq!(middle(None), ' ');
        assert_ne!(middle(Some(0.5)), ' ');
    }
}
