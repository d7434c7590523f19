//! Batches that do not fit into memory: read in parts, written as several files, planned by bytes.

use std::collections::BTreeMap;
use std::path::Path;

use tidemill_core::lake::Lake;
use tidemill_core::project::{FailOnDataLoss, Project, Settings, SourceConfig, StreamJob};
use tidemill_core::records::{Commit, PartitionRange, Plan, RecordList};
use tidemill_core::source::kafka::{KafkaSource, Reading, Room};
use tidemill_core::stream::{self, CrashPoint, Driver, StreamOptions};

use crate::brokers::TestBroker;
use crate::support::{Essence, crimes, query, stream_all, visible_files};

/// A job of texts without models, its transform and settings laid over.
fn job(folder: &Path, broker: &TestBroker, transform: &str, sets: &[(&str, &str)]) -> StreamJob {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "jobs/s.toml",
        "[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"t\" }\nformat = \"json\"\n\
         schema = \"sql/s/schema.sql\"\n[trigger]\navailable_now = true\n\
         [table]\npath = \"lake/s/seen\"\ntransform = \"sql/s/transform.sql\"\n",
    );
    write("sql/s/schema.sql", "CREATE TABLE seen (n BIGINT NOT NULL, s TEXT)");
    write("sql/s/transform.sql", transform);
    let mut all = vec![
        ("source.kafka.bootstrap_servers".to_owned(), broker.address()),
        ("source.kafka.subscribe".to_owned(), broker.topic.clone()),
    ];
    all.extend(sets.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    Project::open(folder).stream_job("s", &Settings { sets: all, environment: BTreeMap::new() }).unwrap()
}

/// Messages with texts of so many bytes; every 50th is no JSON.
fn texts(count: usize, bytes: impl Fn(usize) -> usize) -> Vec<Option<Vec<u8>>> {
    let text = |n: usize| match n % 50 {
        49 => format!("{{\"n\":{n},\"s\":{}", "x".repeat(bytes(n))),
        _ => {
            // Not all alike, so that files are as large as they look.
            let mut state = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let letters = (0..bytes(n)).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'a' + (state >> 60) as u8)
            });
            format!("{{\"n\":{n},\"s\":\"{}\"}}", letters.collect::<String>())
        }
    };
    (0..count).map(|n| Some(text(n).into_bytes())).collect()
}

fn commits(lake: &Lake) -> Vec<Commit> {
    let records: RecordList<Commit> = RecordList::read_only(lake.checkpoint("s").join("commits"));
    records.numbers().unwrap().map(|n| records.read(n).unwrap()).collect()
}

fn plans(lake: &Lake) -> Vec<Vec<PartitionRange>> {
    let records: RecordList<Plan> = RecordList::read_only(lake.checkpoint("s").join("offsets"));
    records.numbers().unwrap().map(|n| records.read(n).unwrap().topic.partitions).collect()
}

/// Names and bytes of what a glob finds of the table and its dead letters.
fn files(lake: &Lake) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in ["s/seen", "system/dead_letters/s"] {
        for path in visible_files(&lake.resolve(folder)) {
            let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

async fn rows(lake: &Lake, sql: &str) -> Vec<String> {
    query(lake, sql).await.into_iter().map(|row| row.join("|")).collect()
}

const AS_IT_IS: &str = "SELECT n, s FROM batch";
const PLACES: &str = "SELECT _partition, _offset, n FROM seen";

/// Parts are cut as messages come in, files are not: whatever the memory, the lake is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_in_parts_makes_the_files_of_one_that_fits() {
    for broker in TestBroker::all().await {
        in_parts(broker).await;
    }
}

async fn in_parts(broker: TestBroker) {
    broker.create_topic(&broker.topic, 3).await;
    let messages = texts(1_500, |n| if n % 7 == 0 { 20_000 } else { 1_000 });
    broker.send(&broker.topic, 3, &messages);
    let folder = tempfile::tempdir().unwrap();
    let lake = |name: &str| Lake::new(folder.path().join(name));
    // Parts are of 1 MiB at least, of 5.6 MB.
    let large = job(folder.path(), &broker, AS_IT_IS, &[("memory_limit", "8GB")]);
    let small = job(
        folder.path(),
        &broker,
        AS_IT_IS,
        &[("memory_limit", "1MB"), ("source.max_bytes_per_trigger", "1GB")],
    );
    let expected = stream_all(&large, &lake("large")).await.unwrap();
    assert_eq!((expected.batches, expected.rows, expected.dead_letters), (1, 1_500, 30));
    assert_eq!(stream_all(&small, &lake("small")).await.unwrap(), expected);
    assert_eq!(commits(&lake("small"))[0].counts, commits(&lake("large"))[0].counts);
    assert!(files(&lake("small")) == files(&lake("large")));
    assert_eq!(files(&lake("large")).len(), 2, "one file of rows and one of dead letters");
    let places = rows(&lake("small"), PLACES).await;
    let expected: Vec<String> = (0..3)
        .flat_map(|p| (0..500).map(move |at| (p, at, p + 3 * at)))
        .filter(|(_, _, n)| n % 50 != 49)
        .map(|(p, at, n)| format!("{p}|{at}|{n}"))
        .collect();
    assert!(places == expected, "rows are in the order of partition and offset");

    // Parts of two batches that are planned in turn, where the queue holds less than came.
    let two = [
        ("memory_limit", "1MB"),
        ("source.max_bytes_per_trigger", "1GB"),
        ("source.max_offsets_per_trigger", "750"),
    ];
    let summary = stream_all(&job(folder.path(), &broker, AS_IT_IS, &two), &lake("two")).await.unwrap();
    assert_eq!((summary.batches, summary.rows, summary.dead_letters), (2, 1_500, 30));
    assert_eq!(rows(&lake("two"), &format!("{PLACES} ORDER BY 1, 2")).await, expected);
}

/// What a partition has waiting is bounded: others are read to their end, then it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_runs_ahead_waits_and_loses_nothing() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 2).await;
        let topic = broker.topic.clone();
        broker.send_as(&topic, &texts(3_000, |_| 3_000), |_, record| record.partition(0));
        broker.send_as(&topic, &texts(300, |_| 10), |_, record| record.partition(1));
        let folder = tempfile::tempdir().unwrap();
        let job = job(folder.path(), &broker, AS_IT_IS, &[("memory_limit", "1MB")]);
        let mut source = KafkaSource::connect(&job.source).unwrap();
        let range = |partition, from, to| PartitionRange { partition, from, to };
        let offsets = |found: Vec<tidemill_core::source::RawRows>| -> Vec<(i32, i64)> {
            found.iter().flat_map(|rows| rows.offsets.iter().map(|at| (rows.partition, *at))).collect()
        };
        // All of partition 1 by a few messages at a time, while 9 MB of partition 0 come in.
        let mut next = 0;
        for at in (0..300).step_by(30) {
            let ranges = [range(0, next, next + 1), range(1, at, at + 30)];
            let read = source.read(&ranges, FailOnDataLoss::Fail).unwrap();
            let expected: Vec<_> =
                std::iter::once((0, next)).chain((at..at + 30).map(|at| (1, at))).collect();
            assert_eq!(offsets(read.rows), expected);
            next += 1;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let read = source.read(&[range(0, next, 3_000)], FailOnDataLoss::Fail).unwrap();
        assert_eq!(offsets(read.rows), (next..3_000).map(|at| (0, at)).collect::<Vec<_>>());
        // Again from the beginning, in parts: they follow one another without gap, whatever waits.
        let mut reading =
            Reading::new(&[range(0, 0, 3_000), range(1, 0, 300)], Room { bytes: 200_000, per_message: 10 });
        let (mut found, mut parts) = (Vec::new(), 0);
        while !reading.is_done() {
            let part = source.read_part(&mut reading, FailOnDataLoss::Fail).unwrap();
            let bytes: u64 = part.rows.iter().map(|rows| rows.bytes()).sum();
            assert!(bytes < 204_000, "{bytes}");
            found.extend(offsets(part.rows));
            parts += 1;
        }
        let expected: Vec<_> = (0..3_000).map(|at| (0, at)).chain((0..300).map(|at| (1, at))).collect();
        assert!(found == expected && parts >= 45, "{parts}");
        // No more messages than are wanted, in one part or many: the first ones of each partition, and then the next.
        for room in
            [Room::ENDLESS, Room { bytes: 20_000, per_message: 10 }, Room { bytes: 1, per_message: 1 }]
        {
            let (mut from, mut rounds) = ([0, 0], 0);
            while from != [3_000, 300] {
                let most = [(0, 700), (1, 130)].into();
                let ranges = [range(0, from[0], 3_000), range(1, from[1], 300)];
                let mut reading = Reading::new(&ranges, room).at_most(&most);
                let (mut found, mut ends) = (Vec::new(), BTreeMap::new());
                while !reading.is_done() {
                    let part = source.read_part(&mut reading, FailOnDataLoss::Fail).unwrap();
                    found.extend(offsets(part.rows));
                    ends.extend(part.filled_up);
                }
                let to = [(from[0] + 700).min(3_000), (from[1] + 130).min(300)];
                let expected: Vec<_> =
                    (from[0]..to[0]).map(|at| (0, at)).chain((from[1]..to[1]).map(|at| (1, at))).collect();
                assert!(found == expected, "{room:?} {from:?}: {} of {}", found.len(), expected.len());
                let filled: BTreeMap<i32, i64> = [(0, to[0]), (1, to[1])]
                    .into_iter()
                    .filter(|(p, to)| *to < [3_000, 300][*p as usize])
                    .collect();
                assert_eq!(ends, filled);
                from = to;
                rounds += 1;
            }
            assert_eq!(rounds, 5);
        }
    }
}

/// More than a file holds is several under one commit, the same after a crash and with other memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_several_files_under_one_commit() {
    let broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 2).await;
    broker.send(&broker.topic, 2, &texts(150, |_| 700_000));
    let folder = tempfile::tempdir().unwrap();
    let lake = |name: &str| Lake::new(folder.path().join(name));
    let large = job(folder.path(), &broker, AS_IT_IS, &[("memory_limit", "8GB")]);
    let small = job(
        folder.path(),
        &broker,
        AS_IT_IS,
        &[("memory_limit", "64MB"), ("source.max_bytes_per_trigger", "1GB")],
    );
    assert_eq!(stream_all(&large, &lake("whole")).await.unwrap().batches, 1);
    let whole = files(&lake("whole"));
    let names: Vec<&str> = whole.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "s/seen/batch-00000000.parquet",
            "s/seen/batch-00000000_0001.parquet",
            "system/dead_letters/s/batch-00000000.parquet"
        ]
    );
    let places = rows(&lake("whole"), "SELECT count(*), count(DISTINCT n), sum(length(s)) FROM seen").await;
    assert_eq!(places, [format!("147|147|{}", 147 * 700_000)]);
    for point in [CrashPoint::Plan, CrashPoint::Stage, CrashPoint::Commit] {
        let crashed = lake(&format!("{point:?}"));
        let mut driver = Driver::open(&large, &crashed).await.unwrap();
        driver.crash_after(0, point);
        driver.recover(&mut |_| {}).await.unwrap();
        driver.next_batch(None, &mut |_| {}).await.unwrap_err();
        drop(driver);
        stream_all(&small, &crashed).await.unwrap();
        assert_eq!(commits(&crashed).len(), 1, "{point:?}");
        assert!(files(&crashed) == whole, "{point:?}");
    }
}

/// Models learn the same of a batch of several files, and a state keeps the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_in_parts_is_learned_from_as_a_whole() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 2).await;
    broker.send("crimes", 2, &crimes(6_000, 5));
    let folder = tempfile::tempdir().unwrap();
    let lake = |name: &str| Lake::new(folder.path().join(name));
    let bytes = ("source.max_bytes_per_trigger", "1GB");
    let whole = crate::support::job(&broker.address(), 3_000, &[bytes, ("memory_limit", "8GB")]);
    let parts = crate::support::job(&broker.address(), 3_000, &[bytes, ("memory_limit", "16MB")]);
    stream_all(&whole, &lake("whole")).await.unwrap();
    stream_all(&parts, &lake("parts")).await.unwrap();
    Essence::of(&lake("parts")).assert_same(&Essence::of(&lake("whole")), "in parts");
}

/// Batches are planned by bytes from the first one on, and a driver that is started again plans the same.
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_of_so_many_bytes() {
    for broker in TestBroker::all().await {
        broker.create_topic(&broker.topic, 2).await;
        broker.send(&broker.topic, 2, &texts(400, |n| 9_000 + n % 3 * 1_000));
        let folder = tempfile::tempdir().unwrap();
        let lake = |name: &str| Lake::new(folder.path().join(name));
        let small = job(folder.path(), &broker, AS_IT_IS, &[("source.max_bytes_per_trigger", "500kB")]);
        let summary = stream_all(&small, &lake("whole")).await.unwrap();
        assert_eq!((summary.rows, summary.dead_letters), (400, 8));
        let counts: Vec<_> = commits(&lake("whole")).iter().map(|commit| commit.counts).collect();
        for (at, found) in counts.iter().enumerate() {
            let is_last = at + 1 == counts.len();
            assert!(found.bytes_read <= 520_000, "batch {at}: {found:?}");
            assert!(is_last || found.bytes_read >= 450_000, "batch {at}: {found:?}");
        }
        let mut died = 0;
        while died < 3 {
            let mut driver = Driver::open(&small, &lake("killed")).await.unwrap();
            driver.recover(&mut |_| {}).await.unwrap();
            let next = driver.latest_batch().map_or(0, |n| n + 1);
            driver.crash_after(next, [CrashPoint::Plan, CrashPoint::Read, CrashPoint::Commit][died]);
            driver.next_batch(None, &mut |_| {}).await.unwrap_err();
            died += 1;
        }
        stream_all(&small, &lake("killed")).await.unwrap();
        assert_eq!(plans(&lake("killed")), plans(&lake("whole")));
        assert!(files(&lake("killed")) == files(&lake("whole")));
        // The smaller of two limits holds.
        let both = [("source.max_bytes_per_trigger", "500kB"), ("source.max_offsets_per_trigger", "30")];
        let summary = stream_all(&job(folder.path(), &broker, AS_IT_IS, &both), &lake("both")).await.unwrap();
        assert_eq!((summary.batches, summary.rows), (14, 400));
        // A message is always taken, however large it is.
        let tiny = [("source.max_bytes_per_trigger", "10"), ("source.max_offsets_per_trigger", "2")];
        let mut driver =
            Driver::open(&job(folder.path(), &broker, AS_IT_IS, &tiny), &lake("tiny")).await.unwrap();
        driver.recover(&mut |_| {}).await.unwrap();
        driver.next_batch(None, &mut |_| {}).await.unwrap();
        assert_eq!(commits(&lake("tiny"))[0].counts.rows_read, 1);
    }
}

/// Models that have more rows than the memory holds are not trained, and say so; the stream goes on.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_into_memory_are_not_learned() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(6_000, 5));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let sets = [("memory_limit", "1MB"), ("source.max_bytes_per_trigger", "1GB")];
    let job = crate::support::job(&broker.address(), 2_000, &sets);
    // Once more after a start, which reads the rows of all batches again.
    for batch in 1..=3 {
        let options = StreamOptions { available_now: true, max_batches: Some(1), ..StreamOptions::default() };
        let summary = stream::run(&job, &lake, &options, Default::default(), &mut |_| {}).await.unwrap();
        assert_eq!((summary.batches, summary.rows), (1, 2_000), "{batch}");
    }
    let sql =
        "SELECT batch_id, count(*), count(reason), count(version) FROM system.models GROUP BY 1 ORDER BY 1";
    let found = rows(&lake, sql).await;
    assert_eq!(found.first().map(String::as_str), Some("0|4|0|4"));
    assert_eq!(found.last().map(String::as_str), Some("2|4|4|4"));
    let reasons = rows(&lake, "SELECT DISTINCT reason FROM system.models WHERE batch_id = 2").await;
    assert!(reasons.len() == 1 && reasons[0].contains("half of memory_limit"), "{reasons:?}");
    assert_eq!(rows(&lake, "SELECT count(*) FROM crimes").await, ["6000"]);
}

/// Where a model's steps make more of its rows than the memory holds, that model is not trained.
#[tokio::test(flavor = "multi_thread")]
async fn what_steps_make_of_rows_counts_as_their_memory() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(3_000, 5));
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let whole = ("source.max_bytes_per_trigger", "1GB");
    let steps = ("models.tree.steps", "[\"one_hot\"]");
    let job = crate::support::job(&broker.address(), 3_000, &[("memory_limit", "4MB"), whole, steps]);
    crate::support::stream_all(&job, &lake).await.unwrap();
    let sql = "SELECT model, coalesce(reason, 'trained') FROM system.models ORDER BY 1";
    let found = rows(&lake, sql).await;
    let refused = "tree|what its steps make of its rows takes more than 2 MB of memory, half of memory_limit: raise that, or let a \
                   WHERE of the features SELECT leave rows out";
    assert_eq!(found, ["forest|trained", "hotspots|trained", "logistic|trained", refused]);
}

/// With a GiB of addresses a backlog without a limit is streamed, and read.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_small_address_space_suffices() {
    let broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 2).await;
    broker.send(&broker.topic, 2, &texts(40_000, |n| 1_000 + n % 500));
    let folder = tempfile::tempdir().unwrap();
    job(folder.path(), &broker, AS_IT_IS, &[]);
    let limited = |arguments: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "ulimit -v 1048576; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tidemill")]);
        command
            .arg("--lake")
            .arg(folder.path().join("lake"))
            .arg("--project")
            .arg(folder.path())
            .args(arguments);
        let output = command.output().unwrap();
        let (out, error) = crate::support::texts(&output);
        assert!(output.status.success(), "{arguments:?}: {:?} {error}", output.status);
        out
    };
    let topic = format!("source.kafka.subscribe={}", broker.topic);
    let out = limited(&["stream", "s", "--brokers", &broker.address(), "--set", &topic]);
    assert!(out.contains("40,000 rows") && out.lines().count() == 1, "{out}");
    let out = limited(&["sql", "--format", "csv", "SELECT count(*), count(DISTINCT s) FROM seen"]);
    assert!(out.contains("39200,39200"), "{out}");
}

/// The letters of a replay too are fed in parts.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_in_parts_makes_the_files_of_one_that_fits() {
    let broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 3).await;
    // 6 MB in two batches, all of them dead letters at first.
    broker.send(&broker.topic, 3, &texts(900, |n| if n % 7 == 0 { 20_000 } else { 4_000 }));
    let broken = "SELECT n, s || CAST(CAST(s AS BIGINT) AS VARCHAR) AS s FROM batch";
    let folder = tempfile::tempdir().unwrap();
    let lake = |name: &str| Lake::new(folder.path().join(name));
    let replay = async |job: &StreamJob, lake: &Lake| {
        stream::replay::replay(job, lake, Default::default(), &mut |_| {}).await.unwrap()
    };
    let of_memory = |transform: &str, memory: &str| {
        let sets = [
            ("memory_limit", memory),
            ("source.max_bytes_per_trigger", "1GB"),
            ("source.max_offsets_per_trigger", "600"),
        ];
        job(folder.path(), &broker, transform, &sets)
    };
    for (name, memory) in [("large", "8GB"), ("small", "1MB")] {
        let streamed = stream_all(&of_memory(broken, memory), &lake(name)).await.unwrap();
        assert_eq!((streamed.rows, streamed.dead_letters), (900, 900));
        let mended = of_memory(AS_IT_IS, memory);
        let mended =
            StreamJob { source: SourceConfig { max_offsets_per_trigger: None, ..mended.source }, ..mended };
        let replayed = replay(&mended, &lake(name)).await;
        assert_eq!((replayed.batches, replayed.rows, replayed.dead_letters), (1, 900, 18));
    }
    let counts = |name| commits(&lake(name)).into_iter().map(|commit| commit.counts).collect::<Vec<_>>();
    assert_eq!(counts("small"), counts("large"));
    assert!(files(&lake("small")) == files(&lake("large")));
    let places = format!("SELECT count(*), count(DISTINCT concat(_partition, '/', _offset)) FROM ({PLACES})");
    assert_eq!(rows(&lake("small"), &places).await, ["882|882"]);
}

/// Where rows multiply, the transform takes as many at once as come out to a part.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_multiply_make_the_same_files_in_any_memory() {
    let broker = TestBroker::start().await;
    broker.create_topic(&broker.topic, 2).await;
    broker.send(&broker.topic, 2, &texts(1_000, |n| n % 30));
    let folder = tempfile::tempdir().unwrap();
    let lake = |name: &str| Lake::new(folder.path().join(name));
    let transform = "SELECT n, s, unnest(range(0, n % 300)) AS k, 100 / (n - 7) AS q FROM batch";
    for (name, memory) in [("large", "8GB"), ("small", "1MB")] {
        let sets = [("memory_limit", memory), ("source.max_bytes_per_trigger", "1GB")];
        let summary = stream_all(&job(folder.path(), &broker, transform, &sets), &lake(name)).await.unwrap();
        assert_eq!((summary.batches, summary.rows, summary.dead_letters), (1, 1_000, 21), "{name}");
    }
    assert_eq!(commits(&lake("small"))[0].counts, commits(&lake("large"))[0].counts);
    assert!(files(&lake("small")) == files(&lake("large")));
    let expected: usize = (0..1_000).filter(|n| n % 50 != 49 && *n != 7).map(|n| n % 300).sum();
    let found = rows(&lake("small"), "SELECT count(*), count(DISTINCT n * 1000 + k) FROM seen").await;
    assert_eq!(found, [format!("{expected}|{expected}")]);
}
