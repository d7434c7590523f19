//! What a lake of many batches costs to read and to start on: a lake of as many batches as asked for, whose records and files
//! are made here, not streamed.
//!
//! ```sh
//! cargo bench --bench records               # 10,000 batches
//! cargo bench --bench records -- 100000     # as many as given
//! ```
//!
//! Prints one JSON object, with what it costs before the files are compacted and after it. The first batch is streamed, of generated crimes and with the four models of the built-in job; the
//! others are empty batches for Kafka, whose files are the first one's by other names: three of the system and one of rows.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tidemill_broker::{Broker, BrokerConfig};
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings};
use tidemill_core::records::Ledger;
use tidemill_core::stream::Driver;

type Done<T> = Result<T, Box<dyn Error>>;

const JOB: &str = "chicago-arrests";
const ROWS: u64 = 120;

/// Hard links of a file that a file system bears.
const LINKS: u64 = 30_000;

fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [what, lake, server] = &arguments[..] {
        let lake = Lake::new(lake);
        let ms = match what.as_str() {
            "start" => runtime.block_on(start(&lake, server))?,
            _ => records(&lake)?,
        };
        println!("{ms}");
        return Ok(());
    }
    let batches = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(10_000);

    let folder = tempfile::tempdir()?;
    let (root, input) = (folder.path().join("lake"), folder.path().join("crimes.csv"));
    let config = BrokerConfig::new("127.0.0.1:0".parse()?, folder.path().join("broker"));
    let broker = runtime.block_on(Broker::start(config))?;
    let server = broker.bootstrap_servers();
    let input = input.display().to_string();
    tidemill(
        &root,
        &["data", "generate", "chicago-crimes", "--rows", "500", "--seed", "1", "--out", &input],
    )?;
    let rows = ROWS.to_string();
    tidemill(&root, &["produce", JOB, "--brokers", &server, "--rows", &rows, "--input", &input])?;
    tidemill(&root, &["stream", JOB, "--brokers", &server, "--available-now", "--batches", "1"])?;
    let made = Instant::now();
    multiply(&root, batches)?;
    let made = made.elapsed().as_secs_f64();

    let without_snapshot = this("records", &root, &server)?;
    let first_start = this("start", &root, &server)?;
    let before = costs(&root, &server, batches)?;
    let began = Instant::now();
    tidemill(&root, &["compact", JOB])?;
    let compact_s = began.elapsed().as_secs_f64();
    // What was taken out stays until a batch has told other engines.
    tidemill(&root, &["produce", JOB, "--brokers", &server, "--rows", &rows, "--input", &input])?;
    tidemill(&root, &["stream", JOB, "--brokers", &server, "--available-now"])?;
    tidemill(&root, &["compact", JOB, "--set", "table.retain_removed=0s"])?;
    println!(
        "{}",
        json!({
            "batches": batches,
            "made_s": made,
            "records_without_snapshot_ms": without_snapshot,
            "first_start_to_ready_ms": first_start,
            "before": before,
            "compact_s": compact_s,
            "after": costs(&root, &server, batches + 1)?,
        })
    );
    runtime.block_on(broker.shutdown())?;
    Ok(())
}

/// What statements and a start cost now, and how many files there are.
fn costs(root: &Path, server: &str, batches: u64) -> Done<Value> {
    let count = |what: &str, statement: &str, answer: Option<u64>| -> Done<f64> {
        let (ms, text) = timed(root, &["sql", "--format", "csv", statement])?;
        let answered = text.lines().last().and_then(|line| line.parse::<u64>().ok());
        if answer.is_some_and(|answer| answered != Some(answer)) {
            return Err(format!("{what}: {text}").into());
        }
        Ok(ms)
    };
    Ok(json!({
        "files": files(root)?,
        "nothing_ms": count("nothing", "SELECT 1", None)?,
        "records_ms": this("records", root, server)?,
        "count_ms": count("rows", "SELECT count(*) FROM crimes", Some(batches * ROWS))?,
        "system_metrics_ms": count("metrics", "SELECT count(*) FROM system.metrics", None)?,
        "metrics_last_3_ms": timed(root, &["metrics", JOB, "--last", "3"])?.0,
        "start_to_ready_ms": this("start", root, server)?,
        "snapshot_bytes": newest_snapshot(root)?,
    }))
}

/// Milliseconds until a driver could plan a batch: the history of the models is read beside the first ones.
async fn start(lake: &Lake, server: &str) -> Done<f64> {
    let sets = vec![("source.kafka.bootstrap_servers".to_owned(), server.to_owned())];
    let settings = Settings { sets, environment: Default::default() };
    let job = Project::open(Path::new("/nonexistent")).stream_job(JOB, &settings)?;
    let began = Instant::now();
    let mut driver = Driver::open(&job, lake).await?;
    driver.recover(&mut |_| {}).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// Milliseconds until it is known which files the tables consist of.
fn records(lake: &Lake) -> Done<f64> {
    let began = Instant::now();
    Ledger::of(lake, &JOB.replace('-', "_"))?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

/// One of the two above in a process of its own, which has read nothing.
fn this(what: &str, lake: &Path, server: &str) -> Done<f64> {
    let output = Command::new(std::env::current_exe()?).arg(what).arg(lake).arg(server).output()?;
    let text = String::from_utf8(output.stdout)?;
    match output.status.success() {
        true => Ok(text.trim().parse()?),
        false => Err(String::from_utf8_lossy(&output.stderr).into()),
    }
}

/// Makes the one batch of a lake so many.
fn multiply(lake: &Path, batches: u64) -> Done<()> {
    let checkpoint = lake.join(JOB.replace('-', "_")).join("_checkpoint");
    let read = |list: &str| -> Done<Value> {
        let mut record: Value = serde_json::from_slice(&fs::read(checkpoint.join(list).join("0.json"))?)?;
        // One that is changed has another, and need have none.
        record.as_object_mut().map(|fields| fields.remove("crc32c"));
        Ok(record)
    };
    let (mut plan, mut commit, mut learn) = (read("offsets")?, read("commits")?, read("learn")?);
    for partition in plan["topics"][0]["partitions"].as_array_mut().into_iter().flatten() {
        partition["from"] = partition["to"].clone();
    }
    learn["models"].as_array_mut().into_iter().flatten().for_each(|model| model["status"] = json!("kept"));
    if let Some(added) = learn["added"].as_array_mut() {
        added.retain(|file| file["table"].as_str().is_some_and(|table| !table.starts_with("model:")));
    }
    let paths: Vec<PathBuf> = [&commit, &learn]
        .into_iter()
        .flat_map(|record| record["added"].as_array().into_iter().flatten())
        .filter_map(|file| file["path"].as_str().map(PathBuf::from))
        .collect();
    for number in 1..batches {
        let of = format!("batch-{:08}.", number - number % LINKS);
        let name = format!("batch-{number:08}.");
        for path in &paths {
            let place = |name: &str| lake.join(path.display().to_string().replace("batch-00000000.", name));
            match number % LINKS {
                0 => fs::copy(lake.join(path), place(&name)).map(drop)?,
                _ => fs::hard_link(place(&of), place(&name))?,
            }
        }
        for (list, record) in [("offsets", &mut plan), ("commits", &mut commit), ("learn", &mut learn)] {
            record["batch_id"] = json!(number);
            for file in record["added"].as_array_mut().into_iter().flatten() {
                let path = file["path"].as_str().unwrap_or_default();
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                file["path"] = json!(format!("{folder}/{name}parquet"));
            }
            fs::write(checkpoint.join(list).join(format!("{number}.json")), record.to_string())?;
        }
    }
    Ok(())
}

/// Files of a folder and of those below it.
fn files(folder: &Path) -> Done<u64> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

fn newest_snapshot(lake: &Path) -> Done<u64> {
    let folder = lake.join(JOB.replace('-', "_")).join("_checkpoint/snapshots");
    let sizes = fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len()));
    Ok(sizes.collect::<Done<Vec<u64>>>()?.into_iter().max().unwrap_or_default())
}

/// The least time of three runs, and what the last one printed.
fn timed(lake: &Path, arguments: &[&str]) -> Done<(f64, String)> {
    let mut least = (f64::INFINITY, String::new());
    for _ in 0..3 {
        let began = Instant::now();
        least.1 = tidemill(lake, arguments)?;
        least.0 = least.0.min(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(least)
}

fn tidemill(lake: &Path, arguments: &[&str]) -> Done<String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tidemill")).arg("--lake").arg(lake).args(arguments).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("tidemill {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
