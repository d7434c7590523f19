//! Messages per second from Kafka to committed Parquet, without training, beside a bare consumer that only decodes.
//!
//! ```sh
//! cargo bench --bench throughput                 # 1,000,000 generated crimes in 3 partitions, 3 runs of each
//! cargo bench --bench throughput -- 200000 5     # rows, runs
//! ```
//!
//! The peer is the least that any reader must do: an rdkafka consumer on the same topic and broker feeding the same
//! messages to arrow-json, one thread, no SQL, no Parquet, no fsync, no commit. Both sides are timed in turn and the
//! ratio is printed run by run. Broker: the embedded one, in this process.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::ReaderBuilder;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidemill_broker::{Broker, BrokerConfig};

const PARTITIONS: i32 = 3;
const PER_BATCH: u64 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u64> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(1_000_000);
    let runs = numbers.get(1).copied().unwrap_or(3);
    let folder = tempfile::tempdir()?;
    let csv = folder.path().join("crimes.csv");
    tidemill(
        &["data", "generate", "chicago-crimes", "--seed", "1", "--rows", &rows.to_string(), "--out"],
        &csv,
    )?;
    let runtime = tokio::runtime::Runtime::new()?;
    let config = BrokerConfig::new("127.0.0.1:0".parse()?, folder.path().join("broker"));
    let broker = runtime.block_on(Broker::start(config))?;
    let server = broker.bootstrap_servers();

    let began = Instant::now();
    let partitions = PARTITIONS.to_string();
    tidemill(
        &["produce", "chicago-arrests", "--brokers", &server, "--partitions", &partitions, "--input"],
        &csv,
    )?;
    let seconds = began.elapsed().as_secs_f64();
    println!("produce (CSV to acknowledged messages): {:.0} messages/s", rows as f64 / seconds);

    let mut ratios = Vec::new();
    for run in 0..runs {
        let (bytes, bare) = bare_consumer(&server, rows)?;
        let lake = folder.path().join(format!("lake-{run}"));
        let ours = stream(&server, &lake, rows)?;
        let speed = |seconds: f64| (rows as f64 / seconds, bytes as f64 / seconds / 1e6);
        let ((a, a_mb), (b, b_mb)) = (speed(ours), speed(bare));
        println!(
            "run {run}: Kafka to Parquet {a:.0} messages/s ({a_mb:.0} MB/s), bare consumer with arrow-json {b:.0} \
             messages/s ({b_mb:.0} MB/s), ratio {:.2}",
            bare / ours
        );
        ratios.push(bare / ours);
    }
    ratios.sort_by(f64::total_cmp);
    if let (Some(low), Some(high)) = (ratios.first(), ratios.last()) {
        println!("ratio: median {:.2}, from {low:.2} to {high:.2}", ratios[ratios.len() / 2]);
    }
    runtime.block_on(broker.shutdown())?;
    Ok(())
}

fn tidemill(arguments: &[&str], path: &Path) -> Result<(), Box<dyn Error>> {
    let status = Command::new(env!("CARGO_BIN_EXE_tidemill")).args(arguments).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(format!("tidemill {arguments:?}: {status}").into()) }
}

/// Seconds of a whole `tidemill stream`, start of the process included.
fn stream(server: &str, lake: &Path, rows: u64) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .arg("--lake")
        .arg(lake)
        .args(["stream", "chicago-arrests", "--brokers", server, "--available-now", "--set", "models=[]"])
        .args(["--set", &format!("source.max_offsets_per_trigger={PER_BATCH}")])
        .output()?;
    let seconds = began.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    for line in String::from_utf8_lossy(&output.stdout).lines().take(2) {
        eprintln!("  {line}");
    }
    let count = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .arg("--lake")
        .arg(lake)
        .args(["sql", "SELECT count(*) FROM crimes", "--format", "csv"])
        .output()?;
    let count = String::from_utf8(count.stdout)?;
    if count.lines().last() != Some(&rows.to_string()) {
        return Err(format!("{rows} rows were produced, the table says: {count}").into());
    }
    Ok(seconds)
}

/// Bytes of all messages and the seconds to consume and decode them.
fn bare_consumer(server: &str, rows: u64) -> Result<(usize, f64), Box<dyn Error>> {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int32, true);
    let decimal = |name: &str| Field::new(name, DataType::Float64, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let mut fields = vec![flag("arrest"), flag("domestic")];
    fields.extend(["beat", "district", "community_area", "month", "day", "hour", "minute"].map(number));
    fields.extend(["x_coordinate", "y_coordinate"].map(decimal));
    fields.extend(["iucr", "location_description", "fbi_code", "block"].map(text));
    let mut decoder =
        ReaderBuilder::new(Arc::new(Schema::new(fields))).with_batch_size(8192).build_decoder()?;

    let began = Instant::now();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server)
        .set("group.id", "bare")
        // As the engine has it: with the default of 1 s the peer rests most of the time.
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset("crimes", partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let (mut seen, mut decoded, mut bytes) = (0, 0, 0);
    let mut last_message = Instant::now();
    while seen < rows {
        // `None` may come before the time is up: silence is measured here.
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if last_message.elapsed() > Duration::from_secs(30) {
                return Err(format!("the broker fell silent after {seen} of {rows} messages").into());
            }
            continue;
        };
        let message = message?;
        last_message = Instant::now();
        let payload = message.payload().unwrap_or_default();
        bytes += payload.len();
        decoder.decode(payload)?;
        seen += 1;
        if decoder.len() == 8192 {
            decoded += decoder.flush()?.map_or(0, |batch| batch.num_rows() as u64);
        }
    }
    decoded += decoder.flush()?.map_or(0, |batch| batch.num_rows() as u64);
    let seconds = began.elapsed().as_secs_f64();
    if decoded != rows {
        return Err(format!("{decoded} of {rows} rows were decoded").into());
    }
    Ok((bytes, seconds))
}
