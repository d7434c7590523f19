//! Figures as one SVG, one below the other. Text is written as text: the viewer brings the font.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use tidemill_core::Error;

use super::super::Color as Rgb;
use super::{Figure, Labels, written};

/// Width of the drawing, pixels.
const WIDTH: i32 = 960;
/// Title and unit above the bars, and the room below them.
const HEAD: i32 = 64;
const FOOT: i32 = 24;
/// A label with its bars, where they lie.
const ROW: i32 = 20;
/// Room for the labels at the left, for the values at the right.
const LABELS: i32 = 230;
const VALUES: i32 = 70;
/// Height of standing bars, and of the labels under them.
const STANDING: i32 = 260;
const MONTHS: i32 = 40;
const GREY: RGBColor = RGBColor(0x55, 0x55, 0x55);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The drawing of all figures.
///
/// # Errors
/// Internal: the drawing library failed.
pub(crate) fn svg(figures: &[Figure]) -> Result<String, Error> {
    let mut text = String::new();
    draw(figures, &mut text).map_err(|e| Error::internal(format!("cannot draw the figures: {e}")))?;
    Ok(text)
}

fn height(figure: &Figure) -> i32 {
    HEAD + FOOT
        + match figure.labels {
            Labels::Names => ROW * i32::try_from(figure.rows.len()).unwrap_or(i32::MAX / ROW / 2),
            Labels::Months => STANDING + MONTHS,
        }
}

fn draw(figures: &[Figure], text: &mut String) -> Drawn {
    let total: i32 = figures.iter().map(height).sum();
    let root =
        SVGBackend::with_string(text, (u32::try_from(WIDTH)?, u32::try_from(total)?)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut top = 0;
    for figure in figures {
        head(&root, figure, top)?;
        match figure.labels {
            Labels::Names => lying(&root, figure, top + HEAD)?,
            Labels::Months => standing(&root, figure, top + HEAD)?,
        }
        top += height(figure);
    }
    root.present()?;
    Ok(())
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, color: RGBColor, horizontal: HPos) -> Drawn {
    let style = ("sans-serif", size).into_font().color(&color).pos(Pos::new(horizontal, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

fn bar(area: &Area<'_>, number: usize, from: (i32, i32), to: (i32, i32)) -> Drawn {
    let Rgb(red, green, blue) = Figure::color(number);
    area.draw(&Rectangle::new([from, to], RGBColor(red, green, blue).filled()))?;
    Ok(())
}

/// Title, unit and, where there are several, what colour each bar has.
fn head(area: &Area<'_>, figure: &Figure, top: i32) -> Drawn {
    write(area, figure.title, (16, top + 24), 20, BLACK, HPos::Left)?;
    write(area, figure.unit, (16, top + 48), 14, GREY, HPos::Left)?;
    if figure.bars.len() > 1 {
        for (number, name) in figure.bars.iter().enumerate() {
            let left = WIDTH - 240 + 110 * i32::try_from(number)?;
            bar(area, number, (left, top + 42), (left + 14, top + 54))?;
            write(area, name, (left + 20, top + 48), 14, BLACK, HPos::Left)?;
        }
    }
    Ok(())
}

/// Bars that lie, a label a line.
fn lying(area: &Area<'_>, figure: &Figure, top: i32) -> Drawn {
    let scale = f64::from(WIDTH - LABELS - VALUES) / figure.highest();
    let thick = (ROW - 4) / i32::try_from(figure.bars.len())?;
    for (number, (label, values)) in (0i32..).zip(&figure.rows) {
        let y = top + ROW * number;
        write(area, label, (LABELS - 8, y + ROW / 2), 13, BLACK, HPos::Right)?;
        for (place, value) in values.iter().enumerate() {
            let y = y + 2 + thick * i32::try_from(place)?;
            let right = LABELS + (value * scale).round() as i32;
            bar(area, place, (LABELS, y), (right, y + thick - 1))?;
            if values.len() == 1 {
                write(area, &written(*value), (right + 6, y + thick / 2), 12, GREY, HPos::Left)?;
            }
        }
        if values.len() > 1 {
            let widest = values.iter().copied().fold(0.0, f64::max);
            let all: Vec<String> = values.iter().map(|value| written(*value)).collect();
            let right = LABELS + (widest * scale).round() as i32;
            write(area, &all.join(" / "), (right + 6, y + ROW / 2), 11, GREY, HPos::Left)?;
        }
    }
    Ok(())
}

/// Bars that stand, a month a column, with lines at round values.
fn standing(area: &Area<'_>, figure: &Figure, top: i32) -> Drawn {
    let (left, right, bottom) = (LABELS / 3, WIDTH - 16, top + STANDING);
    let highest = figure.highest();
    let y = |value: f64| bottom - (value / highest * f64::from(STANDING - 10)).round() as i32;
    let step = round_step(highest);
    let mut value = 0.0;
    while value <= highest {
        area.draw(&PathElement::new(vec![(left, y(value)), (right, y(value))], BLACK.mix(0.15)))?;
        write(area, &written(value), (left - 8, y(value)), 12, GREY, HPos::Right)?;
        value += step;
    }
    let columns = i32::try_from(figure.rows.len().max(1))?;
    for (number, (label, values)) in (0i32..).zip(&figure.rows) {
        let at = |column: i32| left + (right - left) * column / columns;
        let (from, to) = (at(number), at(number + 1));
        let gap = ((to - from) / 8).max(1);
        for (place, value) in values.iter().enumerate() {
            bar(area, place, (from + gap, y(*value)), (to - gap, bottom))?;
        }
        // The year stands under its first month, the month under each.
        let (year, month) = label.split_once('-').unwrap_or((label, ""));
        write(area, month, ((from + to) / 2, bottom + 12), 12, GREY, HPos::Center)?;
        if number == 0 || month == "01" {
            write(area, year, ((from + to) / 2, bottom + 28), 12, BLACK, HPos::Center)?;
        }
    }
    Ok(())
}

/// 1, 2 or 5 times a power of ten, so that four to ten of them reach `highest`.
fn round_step(highest: f64) -> f64 {
    let power = 10f64.powf((highest / 4.0).log10().floor());
    [5.0, 2.0].into_iter().find(|n| n * power <= highest / 4.0).unwrap_or(1.0) * power
}

#[cfg(test)]
mod tests {
    use super::super::tests::figures;
    use super::*;

    #[test]
    fn every_bar_label_and_value_is_drawn() {
        let text = svg(&figures()).unwrap();
        for part in [
            "Figure 5: customers",
            "a&lt;b",
            "41.9 / 59.7",
            "% of all",
            "customers",
            "items sold",
            "2016",
            "2017",
            "\n02\n",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        // Background; two in the legend; two bars of two states; four months.
        assert_eq!(text.matches("<rect").count(), 1 + 2 + 4 + 4);
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn a_bar_is_as_long_as_its_value() {
        let text = svg(&figures()[..1]).unwrap();
        let width = |color: &str, nth: usize| -> f64 {
            let line = text.lines().filter(|l| l.starts_with("<rect") && l.contains(color)).nth(nth).unwrap();
            let part = line.split(" width=\"").nth(1).or_else(|| line.split("width=\"").nth(1)).unwrap();
            part.split('"').next().unwrap().parse().unwrap()
        };
        // The first of each colour is the legend's.
        let (customers, sellers) = (width("#0072B2", 1), width("#D55E00", 1));
        assert!((customers / sellers - 41.9 / 59.7).abs() < 0.005, "{customers} {sellers}");
        assert!((width("#0072B2", 2) / sellers - 12.9 / 59.7).abs() < 0.005);
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(
            [round_step(8_665.0), round_step(59.7), round_step(4.0), round_step(1_194.0)],
            [2_000.0, 10.0, 1.0, 200.0]
        );
    }
}
