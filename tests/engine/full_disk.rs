//! A disk that is full in the middle of a build, in the place of a limit on the size of files: from there on a write fails,
//! as on a full disk, without one of its own being needed.

use std::process::{Command, Output};

use crate::batch::Shop;
use crate::support::{run, texts, visible_files};

/// What the shell ends with where it cannot set the limit.
const NO_LIMIT: i32 = 125;

/// A run of the shop's job that may write files of so many blocks (512 bytes, in some shells 1,024); `None` where such a
/// limit cannot be set. The signal of a write beyond it is ignored, as the engine would not know it from a disk's error.
fn run_within(shop: &Shop, blocks: u32) -> Option<Output> {
    let script = "trap '' XFSZ && ulimit -f \"$0\" || exit 125; exec \"$@\"";
    let job = shop.command(&["run", "shop", "--force", "--format", "json"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", script, &blocks.to_string()]).arg(job.get_program()).args(job.get_args());
    let output = run(shell.env_remove("TIDEMILL_LAKE").env("NO_COLOR", "1"));
    (output.status.code() != Some(NO_LIMIT)).then_some(output)
}

/// Orders of one kind alone, so that a mixture would show.
fn orders(shop: &Shop, kind: u32, count: u32) {
    let line =
        |n: u32| format!("{:08x}{:08x},{kind},\n", n.wrapping_mul(0x9e37_79b1), n.wrapping_mul(0x85eb_ca6b));
    let lines: String = (0..count).map(line).collect();
    shop.write("orders.csv", format!("order_id,state,ordered_at\n{lines}"));
}

fn shop() -> Shop {
    let shop = Shop::new();
    shop.write("sql/shop/wide.sql", "SELECT * FROM orders");
    shop.write("sql/shop/by_state.sql", "SELECT state, count(*) AS n FROM wide GROUP BY state");
    shop
}

/// What a build leaves before it is a version.
fn building(shop: &Shop) -> Vec<std::path::PathBuf> {
    let tables = ["wide", "by_state"].map(|table| shop.lake().root().join("shop").join(table));
    tables
        .into_iter()
        .map(|table| table.join("_versions/.building"))
        .filter(|folder| folder.exists())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_names_the_file_and_leaves_the_former_table() {
    let shop = shop();
    orders(&shop, 0, 10);
    shop.run(&[]);
    for format in ["parquet", "csv", "json"] {
        shop.write(
            "jobs/shop.toml",
            format!(
                "sql = \"sql/shop\"\n[inputs.orders]\npath = \"{}/orders.csv\"\n[[tables]]\nname = \"wide\"\nformat = \"{format}\"\n",
                shop.path().display()
            ),
        );
        orders(&shop, 1, 50_000);
        // The header of a CSV file is on its way to the disk before the first row.
        let blocks = if format == "csv" { 0 } else { 64 };
        let Some(output) = run_within(&shop, blocks) else {
            eprintln!(
                "skipped: a_full_disk_names_the_file_and_leaves_the_former_table: no limit on files here"
            );
            return;
        };
        let (_, error) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{error}");
        let file = format!("shop/wide/_versions/.building/part.{format}: ");
        let place = error.split_once("cannot write ").unwrap_or_else(|| panic!("{error}")).1;
        assert!(place.contains(&file) && place.contains("File too large"), "{error}");
        assert!(error.contains("make room"), "{error}");
        assert_eq!(building(&shop), Vec::<std::path::PathBuf>::new());
        assert_eq!(shop.rows("SELECT count(*), max(state) FROM wide").await, ["10|0"]);
        assert_eq!(visible_files(&shop.lake().root().join("shop/wide")).len(), 1);
    }
    shop.run(&[]);
    assert_eq!(shop.rows("SELECT * FROM by_state").await, ["1|50000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_disk_gets_full_tables_stay_whole() {
    let shop = shop();
    orders(&shop, 0, 100);
    shop.run(&[]);
    for blocks in 0..64 {
        orders(&shop, blocks + 1, 100);
        let Some(output) = run_within(&shop, blocks) else {
            eprintln!("skipped: wherever_the_disk_gets_full_tables_stay_whole: no limit on files here");
            return;
        };
        let whole = shop.rows("SELECT count(*), count(DISTINCT state) FROM wide").await;
        assert_eq!(whole, ["100|1"], "{blocks} blocks");
        assert_eq!(shop.rows("SELECT count(*), sum(n) FROM by_state").await, ["1|100"], "{blocks} blocks");
        for table in ["wide", "by_state"] {
            assert_eq!(
                visible_files(&shop.lake().root().join("shop").join(table)).len(),
                1,
                "{blocks} blocks"
            );
        }
        if output.status.success() {
            assert!(blocks > 0, "no run met the limit");
            assert_eq!(shop.rows("SELECT state FROM by_state").await, [(blocks + 1).to_string()]);
            return;
        }
        let (_, error) = texts(&output);
        assert!(error.contains("File too large"), "{blocks} blocks: {error}");
    }
    panic!("no run was within the limit");
}
