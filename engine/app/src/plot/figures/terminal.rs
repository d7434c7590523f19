//! Figures in the terminal: lying bars of eighths of a character, months downwards.

use super::super::Color;
use super::{Figure, written};

/// Eighths of a character, from one to seven.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// The figures as lines of text, at most `width` characters wide, ending in a newline.
pub(crate) fn terminal(figures: &[Figure], width: usize, color: bool) -> String {
    let drawn: Vec<String> = figures.iter().map(|figure| one(figure, width, color)).collect();
    drawn.join("\n")
}

fn one(figure: &Figure, width: usize, color: bool) -> String {
    let paint = |bar: usize, text: &str| match Figure::color(bar) {
        Color(red, green, blue) if color => format!("\x1b[38;2;{red};{green};{blue}m{text}\x1b[0m"),
        _ => text.to_owned(),
    };
    let labels = figure.rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0).min(width / 3);
    let named = if figure.bars.len() > 1 {
        figure.bars.iter().map(|bar| bar.chars().count() + 1).max().unwrap_or(0)
    } else {
        0
    };
    let room = width.saturating_sub(labels + named + 10).clamp(10, 100);
    let scale = room as f64 / figure.highest();
    let mut text = format!("{} ({})\n", figure.title, figure.unit);
    for (label, values) in &figure.rows {
        for (place, value) in values.iter().enumerate() {
            let label: String = if place == 0 { label.chars().take(labels).collect() } else { String::new() };
            let name = if named > 0 { figure.bars[place] } else { "" };
            let line = format!(
                "{label:>labels$} {name:<named$}{} {}",
                paint(place, &bar(value * scale)),
                written(*value)
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// A bar so many characters long, to the eighth.
fn bar(length: f64) -> String {
    let eighths = (length * 8.0).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    if let Some(rest) = (eighths % 8).checked_sub(1) {
        text.push(EIGHTHS[rest]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::figures;
    use super::*;

    #[test]
    fn the_bars_fit_and_have_their_values() {
        let text = terminal(&figures(), 60, false);
        assert!(text.lines().all(|line| line.chars().count() <= 64), "{text}");
        let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap().to_owned();
        assert!(line("SP customers").ends_with(" 41.9"), "{text}");
        assert!(line("2017-02").ends_with(" 1,780") && line("2017-01").ends_with(" 0"), "{text}");
        let blocks = |line: &str| line.chars().filter(|c| *c == '█').count();
        let sellers = text.lines().find(|line| line.trim_start().starts_with("sellers")).unwrap();
        assert!(blocks(sellers) > blocks(&line("SP customers")), "{text}");
        assert!(!text.contains('\x1b') && terminal(&figures(), 60, true).contains("\x1b[38;2;0;114;178m"));
    }

    #[test]
    fn a_bar_is_drawn_to_the_eighth() {
        assert_eq!([bar(0.0), bar(2.0), bar(1.5), bar(0.125)], ["", "██", "█▌", "▏"]);
    }
}
