//! The generated register has the real one's shape, and is the same every time.

use std::collections::{HashMap, HashSet};

use super::*;

fn csv(rows: u64, seed: u64) -> String {
    let mut out = Vec::new();
    generate_chicago_crimes(rows, seed, &mut out, &mut |_| ()).unwrap();
    String::from_utf8(out).unwrap()
}

/// Cells of a line; a quoted cell may hold commas.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut inside) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => inside = !inside,
            ',' if !inside => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    assert!(!inside, "open quote: {line}");
    cells.push(cell);
    cells
}

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn same_seed_same_bytes() {
    let text = csv(1_000, 42);
    assert_eq!(text, csv(1_000, 42));
    assert_ne!(text, csv(1_000, 43));
    assert_eq!(
        format!("{:016x}", hash(&text)),
        "9184d1ad41282bd3",
        "the generator's output changed:\n{}",
        &text[..600]
    );
}

#[test]
fn first_rows_do_not_depend_on_how_many_follow() {
    assert!(csv(3_000, 7).starts_with(&csv(500, 7)));
}

#[test]
fn no_rows_is_a_header_alone() {
    assert_eq!(csv(0, 1), format!("{HEADER}\n"));
}

#[test]
fn progress_ends_at_the_rows_asked_for() {
    let mut told = Vec::new();
    generate_chicago_crimes(25_000, 1, &mut io::sink(), &mut |rows| told.push(rows)).unwrap();
    assert_eq!(told, [10_000, 20_000, 25_000]);
}

#[test]
fn failing_writer_is_an_error() {
    let mut full = [0u8; 10];
    assert!(generate_chicago_crimes(5, 1, &mut full.as_mut_slice(), &mut |_| ()).is_err());
}

#[test]
fn seventy_thousand_rows_have_the_registers_shape() {
    let text = csv(70_000, 42);
    let rows: Vec<Vec<String>> = text.lines().skip(1).map(cells).collect();
    let names: Vec<&str> = HEADER.split(',').collect();
    let column = |name: &str| names.iter().position(|n| *n == name).unwrap();
    assert_eq!((rows.len(), names.len()), (70_000, 22));
    assert!(rows.iter().all(|row| row.len() == 22));
    let distinct = |name: &str| {
        rows.iter().map(|r| &r[column(name)]).filter(|c| !c.is_empty()).collect::<HashSet<_>>().len()
    };
    let share =
        |keep: &dyn Fn(&Vec<String>) -> bool| rows.iter().filter(|row| keep(row)).count() as f64 / 70_000.0;
    let within = |what: &str, value: f64, low: f64, high: f64| {
        assert!((low..=high).contains(&value), "{what}: {value}")
    };

    within("arrests", share(&|r| r[column("Arrest")] == "true"), 0.21, 0.23);
    within("domestic", share(&|r| r[column("Domestic")] == "true"), 0.12, 0.19);
    within("codes", distinct("IUCR") as f64, 340.0, 410.0);
    within("blocks", distinct("Block") as f64, 18_500.0, 21_500.0);
    within("places", distinct("Location Description") as f64, 115.0, 140.0);
    assert_eq!(
        (distinct("Beat"), distinct("District"), distinct("Ward"), distinct("Community Area")),
        (275, 22, 50, 77)
    );
    assert_eq!(distinct("ID"), 70_000);
    assert_eq!(distinct("Case Number"), 70_000);

    let coordinates = ["X Coordinate", "Y Coordinate", "Latitude", "Longitude", "Location"].map(column);
    assert!(
        rows.iter().all(|r| coordinates.iter().all(|&c| r[c].is_empty() == r[coordinates[0]].is_empty()))
    );
    within("without coordinates", share(&|r| r[coordinates[0]].is_empty()), 0.018, 0.022);
    within("without a place", share(&|r| r[column("Location Description")].is_empty()), 0.003, 0.005);
    within("without a district", share(&|r| r[column("District")].is_empty()), 0.0005, 0.0015);
    within(
        "at midnight or 00:01",
        share(&|r| r[column("Date")].contains(" 12:00:00 AM") || r[column("Date")].contains(" 12:01:00 AM")),
        0.03,
        0.06,
    );
    within("at noon", share(&|r| r[column("Date")].ends_with(" 12:00:00 PM")), 0.02, 0.05);

    // Arrests by type: what makes the job worth learning.
    let mut types: HashMap<&str, (f64, f64)> = HashMap::new();
    for row in &rows {
        let (n, arrests) = types.entry(&row[column("Primary Type")]).or_default();
        *n += 1.0;
        *arrests += f64::from(u8::from(row[column("Arrest")] == "true"));
    }
    let rate = |name: &str| types[name].1 / types[name].0;
    #[rustfmt::skip]
    let typical = [
        ("NARCOTICS", 0.95, 1.0), ("PROSTITUTION", 0.95, 1.0), ("GAMBLING", 0.95, 1.0), ("WEAPONS VIOLATION", 0.65, 0.9),
        ("THEFT", 0.05, 0.2), ("BURGLARY", 0.02, 0.1), ("CRIMINAL DAMAGE", 0.02, 0.1), ("BATTERY", 0.13, 0.3), ("CRIMINAL TRESPASS", 0.45, 0.8),
    ];
    for (name, low, high) in typical {
        within(name, rate(name), low, high);
    }
}

#[test]
fn cells_are_written_as_the_portal_writes_them() {
    let written = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    };
    let day = Day { text: "03/01/2014".to_owned(), year: 2014 };
    assert_eq!(written(&|o| timestamp(o, &day, 0, 1, 0)), "03/01/2014 12:01:00 AM");
    assert_eq!(written(&|o| timestamp(o, &day, 12, 30, 5)), "03/01/2014 12:30:05 PM");
    assert_eq!(written(&|o| timestamp(o, &day, 23, 59, 59)), "03/01/2014 11:59:59 PM");
    assert_eq!(written(&|o| billionths(o, 41_881_000_500)), "41.8810005");
    assert_eq!(written(&|o| billionths(o, -87_000_000_000)), "-87.0");
    assert_eq!(written(&|o| number(o, 110, 4)), "0110");
    assert_eq!(written(&|o| number(o, 0, 1)), "0");
    assert_eq!(quoted("CTA \"L\" PLATFORM, REAR"), "\"CTA \"\"L\"\" PLATFORM, REAR\"");
}
