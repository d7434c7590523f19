//! The same seed gives the same bytes, and the quirks of the real file are there.

use std::collections::HashSet;

use super::*;

fn bytes(rows: u64, seed: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    write_online_retail(rows, seed, folder.path(), &mut |_| ()).unwrap();
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 1, "hidden files are left");
    std::fs::read(folder.path().join("data.csv")).unwrap()
}

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn same_seed_same_bytes() {
    let first = bytes(1_000, 42);
    assert_eq!(first, bytes(1_000, 42));
    assert_ne!(first, bytes(1_000, 43));
    assert_eq!(format!("{:016x}", hash(&first)), "80d55c09c38ba292", "the generator's output changed");
}

#[test]
fn the_lines_have_the_real_ones_quirks() {
    let bytes = bytes(30_000, 1);
    assert!(bytes.contains(&0xa3) && std::str::from_utf8(&bytes).is_err(), "no pound sign of one byte");
    let text: String = bytes.iter().map(|b| char::from(*b)).collect();
    assert!(text.ends_with("\r\n"));
    // The quoted description is the only cell with a comma.
    let text = text.replace(", ASSORTED\"", "");
    let lines: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 30_000);
    assert!(lines.iter().all(|cells| cells.len() == 8));
    let share = |what: &dyn Fn(&[&str]) -> bool| {
        lines.iter().filter(|cells| what(cells)).count() as f64 / lines.len() as f64
    };
    let between = |share: f64, low: f64, high: f64| (low..high).contains(&share);
    assert!(between(share(&|c| c[6].is_empty()), 0.1, 0.25));
    assert!(between(share(&|c| c[0].starts_with('C')), 0.005, 0.05));
    assert!(between(share(&|c| c[2].is_empty()), 0.0002, 0.01));
    assert!(between(share(&|c| c[5] == "0.00"), 0.0005, 0.01));
    assert!(lines.iter().all(|c| c[0].starts_with('C') == c[3].starts_with('-')));
    assert!(lines.iter().collect::<HashSet<_>>().len() < lines.len());
    // A customer is of one country.
    let homes: HashSet<_> = lines.iter().filter(|c| !c[6].is_empty()).map(|c| (c[6], c[7])).collect();
    let customers: HashSet<_> = homes.iter().map(|home| home.0).collect();
    assert_eq!(homes.len(), customers.len());
}
