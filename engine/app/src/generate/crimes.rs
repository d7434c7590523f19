//! Rows of the register, in the portal's form, from a seed.
//!
//! One stream of random numbers feeds the rows in turn, so the first k rows of a file do not depend on how many follow.
//! Nothing is kept from row to row but two counters and that stream: any number of rows takes the same memory.
//!
//! What the rows hold for a model: the code says most about the arrest (narcotics nearly always, burglary rarely), the
//! place and the block say some, hour and day a little, the coordinates only through the block.

use std::io::{self, Write};

use jiff::ToSpan;
use jiff::civil::{Date, date};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::city::{City, degrees};
use super::codes::{self, Code};
use super::draw::{Alias, below, chance, sigmoid, unit};
use super::places::{self, KINDS, Kind, Place};

/// The portal's columns, in its order.
#[rustfmt::skip]
pub const HEADER: &str = "ID,Case Number,Date,Block,IUCR,Primary Type,Description,Location Description,Arrest,Domestic,Beat,District,Ward,\
Community Area,FBI Code,X Coordinate,Y Coordinate,Year,Updated On,Latitude,Longitude,Location";

/// Crimes happen on these days; the register goes on correcting them for two years.
const FIRST_DAY: Date = date(2012, 1, 1);
const LAST_DAY: Date = date(2016, 12, 31);
const LAST_UPDATE: Date = date(2018, 12, 31);

/// Moves all arrest rates together so that 22 % of the crimes end in one.
const ARREST_SHIFT: f64 = -0.41;

/// Rows between two reports of progress.
const REPORT_EVERY: u64 = 10_000;

/// How busy each hour of the day is, from midnight.
#[rustfmt::skip]
const HOURS: [f64; 24] = [
    33.0, 30.0, 25.0, 20.0, 16.0, 13.0, 16.0, 24.0, 34.0, 40.0, 42.0, 45.0, 47.0, 46.0, 48.0, 54.0, 53.0, 53.0, 57.0, 58.0, 56.0, 54.0, 51.0, 42.0,
];
/// How busy each month is: crime follows the warmth.
const MONTHS: [f64; 12] = [0.95, 0.84, 0.95, 0.97, 1.05, 1.07, 1.11, 1.11, 1.05, 1.04, 0.95, 0.91];

/// Writes `rows` crimes, with a header, as CSV.
///
/// `on_progress` is told the rows written so far, every ten thousand and at the end. The bytes are the same for the
/// same `rows` and `seed`.
///
/// # Errors
/// Whatever `out` returns.
pub fn generate_chicago_crimes(
    rows: u64,
    seed: u64,
    out: &mut dyn Write,
    on_progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut register = Register::new(seed);
    let mut buffer = Vec::with_capacity(1 << 17);
    buffer.extend_from_slice(HEADER.as_bytes());
    buffer.push(b'\n');
    for row in 1..=rows {
        register.write_row(&mut buffer);
        if buffer.len() > 1 << 16 {
            out.write_all(&buffer)?;
            buffer.clear();
        }
        if row % REPORT_EVERY == 0 {
            on_progress(row);
        }
    }
    out.write_all(&buffer)?;
    out.flush()?;
    on_progress(rows);
    Ok(())
}

/// A day of the calendar as its cells are written.
struct Day {
    /// `MM/DD/YYYY`
    text: String,
    year: i16,
}

struct Register {
    rng: Xoshiro256PlusPlus,
    id: u64,
    /// Crimes so far in each year, for the case numbers.
    cases: [u32; 5],
    city: City,
    codes: Vec<Code>,
    code_choice: Alias,
    places: Vec<Place>,
    /// For each code's scene, the places; equal scenes share one.
    scenes: Vec<Alias>,
    scene_of_code: Vec<usize>,
    days: Vec<Day>,
    day_choice: Alias,
    hour_choice: Alias,
    /// Cells of codes and places with quotes where they need them.
    description_cells: Vec<String>,
    place_cells: Vec<String>,
}

impl Register {
    fn new(seed: u64) -> Register {
        let codes = codes::all();
        let places = places::all();
        let mut kind_total = [0.0; KINDS];
        for place in &places {
            kind_total[place.kind as usize] += place.weight;
        }
        let mut distinct: Vec<&places::Scene> = Vec::new();
        let mut scene_of_code = Vec::new();
        for code in &codes {
            let known = distinct.iter().position(|scene| *scene == code.scene);
            scene_of_code.push(known.unwrap_or(distinct.len()));
            if known.is_none() {
                distinct.push(code.scene);
            }
        }
        let in_scene = |scene: &places::Scene| {
            let weight = |p: &Place| scene[p.kind as usize] * p.weight / kind_total[p.kind as usize];
            Alias::new(&places.iter().map(weight).collect::<Vec<_>>())
        };
        let days: Vec<Date> = FIRST_DAY.series(1.day()).take_while(|day| *day <= LAST_UPDATE).collect();
        let weights: Vec<f64> =
            days.iter().take_while(|day| **day <= LAST_DAY).map(|day| day_weight(*day)).collect();
        Register {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            id: 10_000_000,
            cases: [0; 5],
            city: City::new(),
            code_choice: Alias::new(&codes.iter().map(|c| c.weight).collect::<Vec<_>>()),
            scenes: distinct.into_iter().map(in_scene).collect(),
            scene_of_code,
            days: days
                .iter()
                .map(|day| Day { text: day.strftime("%m/%d/%Y").to_string(), year: day.year() })
                .collect(),
            day_choice: Alias::new(&weights),
            hour_choice: Alias::new(&HOURS),
            description_cells: codes.iter().map(|c| quoted(&c.description)).collect(),
            place_cells: places.iter().map(|p| quoted(p.name)).collect(),
            codes,
            places,
        }
    }

    /// Draws one crime and appends its line.
    fn write_row(&mut self, out: &mut Vec<u8>) {
        let rng = &mut self.rng;
        let code_number = self.code_choice.pick(rng);
        let code = &self.codes[code_number];
        let place_number = self.scenes[self.scene_of_code[code_number]].pick(rng);
        let place = &self.places[place_number];
        let block = self.city.pick(code.area, rng);
        let day_number = self.day_choice.pick(rng);
        let hour = self.hour_choice.pick(rng) as u32;

        let domestic = chance(rng, code.domestic * if place.kind == Kind::Home { 1.3 } else { 0.7 });
        let night = if (1..6).contains(&hour) { 0.15 } else { 0.0 };
        let evening = if (18..23).contains(&hour) { 0.1 } else { 0.0 };
        let log_odds = code.arrest + place.effect + block.arrest + night + evening
            - if domestic { 0.15 } else { 0.0 }
            + ARREST_SHIFT;
        let arrest = chance(rng, sigmoid(log_odds));
        let (hour, minute) = clock(rng, hour, arrest);

        let (x, y) = (block.x, block.y);
        let (along, across) = (below(rng, 601) as i32 - 300, below(rng, 41) as i32 - 20);
        let (x, y) = if block.runs_north { (x + across, y + along) } else { (x + along, y + across) };
        // What the register lacks: a place on the map in 2 %, the other cells hardly ever.
        let located = !chance(rng, 0.02);
        let described = !chance(rng, 0.004);
        let policed = !chance(rng, 0.001);
        let charted = !chance(rng, 0.0002);
        let updated = day_number + 7 + (unit(rng).powi(3) * 700.0) as usize;
        let updated_at = below(rng, 86_400);
        self.id += 1 + u64::from(below(rng, 12));

        let day = &self.days[day_number];
        let year = (day.year - FIRST_DAY.year()) as usize;
        self.cases[year] += 1;

        number(out, self.id, 1);
        out.extend_from_slice(b",H");
        out.push(b'V' + year as u8); // 2012 is HV, 2016 HZ
        number(out, u64::from(100_000 + (self.cases[year] - 1) % 900_000), 6);
        out.push(b',');
        timestamp(out, day, hour, minute, 0);
        text(out, &block.name);
        text(out, &code.iucr);
        text(out, code.primary);
        text(out, &self.description_cells[code_number]);
        text(out, if described { &self.place_cells[place_number] } else { "" });
        text(out, if arrest { "true" } else { "false" });
        text(out, if domestic { "true" } else { "false" });
        out.push(b',');
        number(out, u64::from(block.beat), 4);
        out.push(b',');
        if policed {
            number(out, u64::from(block.district), 3);
        }
        out.push(b',');
        if charted {
            number(out, u64::from(block.ward), 1);
        }
        out.push(b',');
        if charted {
            number(out, u64::from(block.community), 1);
        }
        text(out, code.fbi);
        out.push(b',');
        if located {
            number(out, x as u64, 1);
        }
        out.push(b',');
        if located {
            number(out, y as u64, 1);
        }
        out.push(b',');
        number(out, day.year as u64, 4);
        out.push(b',');
        timestamp(out, &self.days[updated], updated_at / 3600, updated_at / 60 % 60, updated_at % 60);
        if located {
            let (latitude, longitude) = degrees(x, y);
            out.push(b',');
            billionths(out, latitude);
            out.push(b',');
            billionths(out, longitude);
            out.extend_from_slice(b",\"(");
            billionths(out, latitude);
            out.extend_from_slice(b", ");
            billionths(out, longitude);
            out.extend_from_slice(b")\"\n");
        } else {
            out.extend_from_slice(b",,,\n");
        }
    }
}

/// How busy a day is: of its month, its weekday and of the first of the month, which stands for "some time in it".
fn day_weight(day: Date) -> f64 {
    let friday = if matches!(day.weekday(), jiff::civil::Weekday::Friday | jiff::civil::Weekday::Saturday) {
        1.05
    } else {
        1.0
    };
    let first = if day.day() == 1 { 1.25 } else { 1.0 };
    MONTHS[(day.month() - 1) as usize] * friday * first
}

/// The time that is written down: what a victim remembers is rounded, and an unknown time is midnight or noon; an
/// officer who made the arrest knows the minute.
fn clock(rng: &mut Xoshiro256PlusPlus, hour: u32, arrest: bool) -> (u32, u32) {
    let (how, which) = (unit(rng), below(rng, 60));
    if !arrest && how < 0.055 {
        return match which {
            0..20 => (0, 0),
            20..40 => (0, 1),
            _ => (12, 0),
        };
    }
    let exact = if arrest { 0.45 } else { 0.16 };
    let minute = match how {
        h if h > 1.0 - exact => which,
        h if h > 1.0 - exact - 0.16 => which / 5 * 5,
        h if h > 1.0 - exact - 0.25 => which / 15 * 15,
        h if h > 1.0 - exact - 0.38 => 30,
        _ => 0,
    };
    (hour, minute)
}

/// A cell after a comma.
fn text(out: &mut Vec<u8>, cell: &str) {
    out.push(b',');
    out.extend_from_slice(cell.as_bytes());
}

/// A cell with quotes if it needs them.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// A number with leading zeros up to a width.
fn number(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut start) = (value, 20);
    while rest > 0 {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[start.min(20 - width)..]);
}

/// Billionths as a decimal number without trailing zeros.
fn billionths(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let value = value.unsigned_abs();
    number(out, value / 1_000_000_000, 1);
    out.push(b'.');
    number(out, value % 1_000_000_000, 9);
    while out.ends_with(b"0") && !out.ends_with(b".0") {
        out.pop();
    }
}

/// `MM/DD/YYYY hh:mm:ss AM`: midnight is 12 AM and noon 12 PM.
fn timestamp(out: &mut Vec<u8>, day: &Day, hour: u32, minute: u32, second: u32) {
    out.extend_from_slice(day.text.as_bytes());
    out.push(b' ');
    number(out, u64::from((hour + 11) % 12 + 1), 2);
    out.push(b':');
    number(out, u64::from(minute), 2);
    out.push(b':');
    number(out, u64::from(second), 2);
    out.extend_from_slice(if hour < 12 { b" AM" } else { b" PM" });
}

#[cfg(test)]
mod tests;
