//! Where the versions of a batch job's tables lie: what is read of them while they are replaced, after a run that died, and in
//! lakes of before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tidemill_core::doctor;
use tidemill_core::lake::Lake;

use crate::batch::Shop;
use crate::support::{run, texts, unsealed, visible_files};

/// `wide` has rows of one kind alone, so that a mixture would show.
fn shop_of_kinds(settings: &str) -> Shop {
    let shop = Shop::new();
    let input = format!("[inputs.orders]\npath = \"{}/orders.csv\"\n", shop.path().display());
    shop.write("jobs/shop.toml", format!("sql = \"sql/shop\"\n{input}{settings}"));
    shop.write("sql/shop/wide.sql", "SELECT * FROM orders");
    shop.write("sql/shop/by_state.sql", "SELECT state, count(*) AS n FROM wide GROUP BY state");
    kind(&shop, 0);
    shop
}

fn kind(shop: &Shop, kind: usize) {
    let lines: String = (0..200).map(|n| format!("{n},{kind},{}\n", n % 3)).collect();
    shop.write("orders.csv", format!("order_id,state,part\n{lines}"));
}

/// The kind that SQL finds, of 200 rows.
async fn kind_of(shop: &Shop) -> String {
    let rows = shop.rows("SELECT min(state), count(DISTINCT state), count(*) FROM wide").await.remove(0);
    rows.strip_suffix("|1|200").unwrap_or_else(|| panic!("{rows}")).to_owned()
}

/// Files of the tables by their paths in the lake.
fn files(lake: &Lake) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut todo, mut files) = (vec![lake.resolve("shop")], BTreeMap::new());
    while let Some(folder) = todo.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.ends_with("_checkpoint") || path.ends_with("_delta_log") {
                continue;
            }
            match path.is_dir() {
                true => todo.push(path),
                false => {
                    let name = path.strip_prefix(lake.root()).unwrap().to_owned();
                    files.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_run_dies_the_next_one_makes_the_same_files() {
    for settings in ["", "[[tables]]\nname = \"wide\"\npartition_by = [\"part\"]\n"] {
        let never = shop_of_kinds(settings);
        never.run(&[]);
        kind(&never, 1);
        never.run(&[]);
        let expected = files(&never.lake());
        for (point, after, outcome) in [
            ("build", "0", "built"),
            ("written", "0", "built"),
            ("committed", "1", "unchanged"),
            ("shown", "1", "unchanged"),
            ("logged", "1", "unchanged"),
            ("removed", "1", "unchanged"),
        ] {
            let shop = shop_of_kinds(settings);
            shop.run(&[]);
            kind(&shop, 1);
            let mut command = shop.command(&["run", "shop"]);
            let died = run(command.env("TIDEMILL_FAIL", format!("{point}:wide:abort")));
            assert!(!died.status.success(), "{point}: {}", texts(&died).1);
            assert_eq!(kind_of(&shop).await, after, "{point}");
            let shown = visible_below(&shop.lake().resolve("shop/wide"));
            let version = if ["shown", "logged", "removed"].contains(&point) { 1 } else { 0 };
            assert_eq!(shown.len(), if settings.is_empty() { 1 } else { 3 }, "{point}: {shown:?}");
            assert!(
                shown.iter().all(|path| path.ends_with(format!("batch-{version:08}.parquet"))),
                "{point}"
            );
            assert_eq!(
                shop.run(&[]),
                [format!("shop.wide {outcome}"), "shop.by_state built".into()],
                "{point}"
            );
            let found = files(&shop.lake());
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{point}");
            assert!(found == expected, "{point}");
            assert_eq!(doctor::examine(&shop.lake(), None).unwrap().findings, [], "{point}");
        }
    }
}

/// What `*.parquet`, and `*/*.parquet` in folders `column=value`, find.
fn visible_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = visible_files(folder);
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() && path.file_name().unwrap().to_str().unwrap().contains('=') {
            found.extend(visible_below(&path));
        }
    }
    found
}

/// A statement goes on with the version that it began with; a glob finds one file, of one version.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_read_while_it_is_replaced_is_whole() {
    let shop = shop_of_kinds("");
    shop.run(&[]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let is_done = || stop.load(std::sync::atomic::Ordering::Relaxed);
    let table = shop.lake().resolve("shop/wide");
    let looks = std::thread::scope(|scope| {
        let globs = scope.spawn(|| {
            let mut looks = 0;
            while !is_done() {
                let names = std::fs::read_dir(&table).unwrap().map(|entry| entry.unwrap().file_name());
                let names: Vec<_> =
                    names.filter(|name| name.to_str().unwrap().starts_with("batch-")).collect();
                assert_eq!(names.len(), 1, "{names:?}");
                looks += 1;
            }
            looks
        });
        let by_sql = scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            while !is_done() {
                runtime.block_on(kind_of(&shop));
            }
        });
        for number in 1..14 {
            kind(&shop, number);
            shop.run(&["--select", "wide"]);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        by_sql.join().unwrap();
        globs.join().unwrap()
    });
    assert!(looks > 100, "{looks}");
    assert_eq!(kind_of(&shop).await, "13");
}

/// Makes the tables what they were in lakes of before: a link each, into a folder of all versions.
fn as_before(lake: &Lake, tables: &[&str]) {
    let job = lake.resolve("shop");
    for table in tables {
        let versions = job.join("_versions").join(table);
        std::fs::create_dir_all(versions.parent().unwrap()).unwrap();
        std::fs::rename(job.join(table).join("_versions"), &versions).unwrap();
        std::fs::remove_dir_all(job.join(table)).unwrap();
        let folders = std::fs::read_dir(&versions).unwrap().map(|entry| entry.unwrap().file_name());
        let newest = folders.filter(|name| !name.to_str().unwrap().ends_with(".sql")).max().unwrap();
        let target = Path::new("_versions").join(table).join(newest);
        std::os::unix::fs::symlink(target, job.join(table)).unwrap();
    }
    let commits = lake.checkpoint("shop").join("commits");
    for path in std::fs::read_dir(commits).unwrap().map(|entry| entry.unwrap().path()) {
        let mut commit = unsealed(&path);
        for list in ["added", "removed"] {
            for file in commit[list].as_array_mut().unwrap() {
                let place = file["path"].as_str().unwrap().to_owned();
                if let Some((table, rest)) = place.strip_prefix("shop/").unwrap().split_once("/_versions/") {
                    file["path"] = format!("shop/_versions/{table}/{rest}").into();
                }
            }
        }
        std::fs::write(&path, serde_json::to_vec(&commit).unwrap()).unwrap();
    }
}

/// As a run leaves the lake that dies while it carries it over.
#[derive(Debug, Clone, Copy)]
enum Died {
    Never,
    WithoutTheLink,
    BetweenTwoVersions,
    BetweenTwoTables,
    BeforeTheNames,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_links_is_carried_over() {
    for died in [
        Died::Never,
        Died::WithoutTheLink,
        Died::BetweenTwoVersions,
        Died::BetweenTwoTables,
        Died::BeforeTheNames,
    ] {
        let shop = shop_of_kinds("[[tables]]\nname = \"by_state\"\nformat = \"csv\"\n");
        for number in 0..3 {
            kind(&shop, number);
            shop.run(&[]);
        }
        let (lake, made) = (shop.lake(), files(&shop.lake()));
        as_before(&lake, &["wide", "by_state"]);
        let job = lake.resolve("shop");
        let read = async || {
            assert_eq!(kind_of(&shop).await, "2", "{died:?}");
            assert_eq!(shop.rows("SELECT * FROM by_state").await, ["2|200"], "{died:?}");
            for version in 0..3 {
                let asked = format!("SELECT DISTINCT state FROM wide VERSION AS OF {version}");
                assert_eq!(shop.rows(&asked).await, [version.to_string()], "{died:?}");
            }
        };
        read().await;
        assert_eq!(doctor::examine(&lake, None).unwrap().findings, [], "{died:?}");
        let move_over = |table: &str, versions: &[&str]| {
            let folder = job.join(table).join("_versions");
            std::fs::create_dir_all(&folder).unwrap();
            for version in versions {
                std::fs::rename(job.join("_versions").join(table).join(version), folder.join(version))
                    .unwrap();
            }
        };
        let all = ["00000000", "00000001", "00000002"];
        if !matches!(died, Died::Never) {
            std::fs::remove_file(job.join("wide")).unwrap();
        }
        match died {
            Died::Never | Died::WithoutTheLink => {}
            Died::BetweenTwoVersions => move_over("wide", &all[1..]),
            Died::BetweenTwoTables | Died::BeforeTheNames => {
                move_over("wide", &all);
                std::fs::remove_dir(job.join("_versions/wide")).unwrap();
            }
        }
        if matches!(died, Died::BeforeTheNames) {
            std::fs::remove_file(job.join("by_state")).unwrap();
            let of_sql = all.map(|version| format!("{version}.sql"));
            move_over("by_state", &all);
            move_over("by_state", &of_sql.each_ref().map(String::as_str));
            std::fs::remove_dir_all(job.join("_versions")).unwrap();
        }
        read().await;
        assert_eq!(shop.run(&[]), ["shop.wide unchanged", "shop.by_state unchanged"], "{died:?}");
        assert_eq!(files(&lake), made, "{died:?}");
        read().await;
        assert_eq!(doctor::examine(&lake, None).unwrap().findings, [], "{died:?}");
        kind(&shop, 3);
        shop.run(&[]);
        assert_eq!(kind_of(&shop).await, "3");
        assert_eq!(shop.rows("SELECT DISTINCT state FROM wide VERSION AS OF 1").await, ["1"]);
        assert_eq!(doctor::examine(&lake, None).unwrap().findings, [], "{died:?}");
    }
}

/// A link that is not one of before is where somebody wants the table.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_be_elsewhere() {
    let shop = shop_of_kinds("");
    let elsewhere = shop.path().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::create_dir_all(shop.lake().resolve("shop")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, shop.lake().resolve("shop/wide")).unwrap();
    for number in 0..2 {
        kind(&shop, number);
        shop.run(&[]);
        assert_eq!(kind_of(&shop).await, number.to_string());
        assert_eq!(visible_files(&elsewhere), [elsewhere.join(format!("batch-{number:08}.parquet"))]);
    }
    assert!(shop.lake().resolve("shop/wide").is_symlink());
    assert_eq!(doctor::examine(&shop.lake(), None).unwrap().findings, []);
}

/// Files that somebody has put beside those of a table stay, and are named.
#[test]
fn what_is_no_versions_stays_and_is_named() {
    let shop = shop_of_kinds("[[tables]]\nname = \"wide\"\npartition_by = [\"part\"]\n");
    shop.run(&[]);
    let table = shop.lake().resolve("shop/wide");
    std::fs::write(table.join("part=1/mine.parquet"), "x").unwrap();
    std::fs::remove_file(table.join("part=2/batch-00000000.parquet")).unwrap();
    let output = run(&mut shop.command(&["doctor", "--format", "csv"]));
    let (out, err) = texts(&output);
    assert!(!output.status.success() && out.lines().count() == 3, "{out} {err}");
    assert!(
        out.contains("mine.parquet is in no record")
            && out.contains("part=2/batch-00000000.parquet is not there"),
        "{out}"
    );
    kind(&shop, 1);
    shop.run(&[]);
    assert!(table.join("part=1/mine.parquet").is_file());
    let problems: Vec<_> = doctor::examine(&shop.lake(), None).unwrap().findings;
    assert_eq!(problems.len(), 1, "{problems:?}");
}
