//! The same seed gives the same bytes, and the quirks of the real files are there.

use std::collections::{BTreeMap, HashSet};

use super::*;

/// The nine files of a fresh folder, by name.
fn files(orders: u64, seed: u64) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("olist");
    write_olist(orders, seed, &out, &mut |_| ()).unwrap();
    let read = |entry: io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name =
            path.file_name().unwrap().to_string_lossy().replace("olist_", "").replace("_dataset.csv", "");
        (name, std::fs::read_to_string(path).unwrap())
    };
    std::fs::read_dir(&out).unwrap().map(read).collect()
}

/// FNV-1a, 64 bits, over all files.
fn hash(files: &BTreeMap<String, String>) -> u64 {
    let bytes = files.values().flat_map(|text| text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn same_seed_same_bytes() {
    let first = files(300, 42);
    assert_eq!(first.len(), 9, "{:?}", first.keys());
    assert_eq!(first, files(300, 42));
    assert_ne!(first, files(300, 43));
    assert_eq!(format!("{:016x}", hash(&first)), "7272ea08b7bd03a0", "the generator's output changed");
}

#[test]
fn the_files_refer_to_one_another_and_have_the_real_ones_gaps() {
    let files = files(4_000, 1);
    let column = |file: &str, place: usize| -> Vec<String> {
        let cells = |line: &str| line.split(',').nth(place).unwrap().trim_matches('"').to_owned();
        files[file].lines().skip(1).map(cells).collect()
    };
    let set = |file: &str, place: usize| -> HashSet<String> { column(file, place).into_iter().collect() };
    let orders = set("orders", 0);
    assert_eq!(orders.len(), 4_000);
    assert!(set("order_items", 0).is_subset(&orders) && set("order_items", 0).len() < 4_000);
    assert!(set("order_payments", 0).is_subset(&orders));
    assert_eq!(set("order_payments", 0).len(), 3_999);
    assert!(set("order_items", 2).is_subset(&set("products", 0)));
    assert!(set("order_items", 3).is_subset(&set("sellers", 0)));
    assert_eq!(set("orders", 1), set("customers", 0));
    assert!(set("customers", 1).len() < 4_000, "nobody came back");
    assert!(set("customers", 2).is_subset(&set("geolocation", 0)));
    let empty = |file, place| column(file, place).iter().filter(|cell| cell.is_empty()).count();
    assert!(empty("orders", 4) < empty("orders", 5) && empty("orders", 5) < empty("orders", 6));
    assert!(empty("products", 1) > 0 && empty("products", 6) == 1);
    assert!(column("customers", 2).iter().any(|zip| zip.starts_with('0')));
    let geolocation: Vec<&str> = files["geolocation"].lines().collect();
    assert!(geolocation.iter().collect::<HashSet<_>>().len() < geolocation.len());
    let reviews = &files["order_reviews"];
    assert!(reviews.contains("\"\"original\"\"") && reviews.contains("!\r\nRecomendo"));
    assert!(files["product_category_name_translation.csv"].starts_with('\u{feff}'));
}

#[test]
fn what_is_paid_is_what_was_bought() {
    let files = files(500, 9);
    let mut owed: BTreeMap<&str, i64> = BTreeMap::new();
    let cents = |cell: &str| cell.replace('.', "").parse::<i64>().unwrap();
    for line in files["order_items"].lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        *owed.entry(cells[0].trim_matches('"')).or_default() += cents(cells[5]) + cents(cells[6]);
    }
    for line in files["order_payments"].lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        if let Some(rest) = owed.get_mut(cells[0]) {
            *rest -= cents(cells[4]);
        }
    }
    // The first order has no payment.
    assert_eq!(owed.values().filter(|rest| **rest != 0).count(), 1, "{owed:?}");
}

#[test]
fn a_folder_that_cannot_be_made_is_the_callers_to_mend() {
    let error = write_olist(1, 1, Path::new("/dev/null/olist"), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("/dev/null/olist") && error.next_step().is_some());
}
