//! A message that ends the process is found and condemned, and nothing else is, whatever a driver died of. The failpoints
//! are there in debug builds alone (`TIDEMILL_FAIL=STAGE:MARKER:WHAT`).
#![cfg(all(debug_assertions, unix))]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tidemill_core::lake::Lake;
use tidemill_core::records::{Commit, Condemned, RecordList};

use crate::rfm::{self, BATCH_SQL, STATE_SQL, order_rows};
use crate::support::{TestBroker, query, run, texts, visible_files};

mod endless;

/// What a message holds that does something.
const MARK: &str = "MARK";

/// What is in the environment of each driver, and of no child.
const SECRET: &str = "hidden from children";

/// A folder with a job of its own, `s`, that has no models.
struct Folder {
    folder: tempfile::TempDir,
    broker: TestBroker,
}

impl Folder {
    async fn new(partitions: i32, messages: &[Option<Vec<u8>>]) -> Folder {
        let broker = TestBroker::start().await;
        broker.create_topic(&broker.topic, partitions).await;
        broker.send(&broker.topic, partitions as usize, messages);
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            (
                "jobs/s.toml",
                "[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"x\" }\nformat = \"json\"\n\
                 schema = \"sql/s/schema.sql\"\n[table]\npath = \"lake/s/seen\"\ntransform = \"sql/s/transform.sql\"\n",
            ),
            ("sql/s/schema.sql", "CREATE TABLE seen (n BIGINT NOT NULL, s TEXT)"),
            ("sql/s/transform.sql", "SELECT n, upper(s) AS s FROM batch"),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Folder { folder, broker }
    }

    fn lake(&self, name: &str) -> Lake {
        Lake::new(self.folder.path().join(name))
    }

    /// A command over a lake; `fail` is the failpoint.
    fn command(&self, lake: &str, arguments: &[&str], fail: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.arg("--lake").arg(self.lake(lake).root()).arg("--project").arg(self.folder.path());
        command.args(arguments).env_remove("TIDEMILL_BROKERS").env("KAFKA_PASSWORD", SECRET);
        if !fail.is_empty() {
            command.env("TIDEMILL_FAIL", fail);
        }
        command
    }

    fn stream(&self, lake: &str, job: &str, fail: &str) -> Command {
        self.reading(lake, &["stream", job, "--available-now"], fail)
    }

    fn replay(&self, lake: &str, job: &str, fail: &str) -> Output {
        run(&mut self.reading(lake, &["dlq", "replay", job], fail))
    }

    fn reading(&self, lake: &str, arguments: &[&str], fail: &str) -> Command {
        let mut command = self.command(lake, arguments, fail);
        command.args(["--brokers", &self.broker.address()]);
        command.args(["--set", &format!("source.kafka.subscribe={}", self.broker.topic)]);
        command
    }

    /// Three starts of which each dies.
    fn die_three_times(&self, lake: &str, job: &str, fail: &str, is_death: impl Fn(&Output) -> bool) {
        for attempt in 1..=3 {
            let died = run(&mut self.stream(lake, job, fail));
            assert!(is_death(&died), "start {attempt}: {died:?}");
            assert_eq!(self.names(lake, job, "commits"), Vec::<String>::new());
            let attempts: Vec<String> = (2..=attempt).map(|k| format!("0.{k}.json")).collect();
            assert_eq!(self.names(lake, job, "attempts"), attempts, "start {attempt}");
            self.doctor_finds_nothing(lake);
        }
    }

    /// Three starts that are killed while they decode.
    fn be_killed_three_times(&self, lake: &str, job: &str) {
        for attempt in 1..=3 {
            let mut child = self.begin(lake, job);
            self.wait_for(|| self.names(lake, job, "offsets") == ["0.json"], "a plan");
            self.wait_for(|| self.names(lake, job, "attempts").len() + 1 >= attempt, "an attempt");
            std::thread::sleep(Duration::from_millis(300));
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        assert_eq!(self.names(lake, job, "attempts"), ["0.2.json", "0.3.json"]);
    }

    /// A start that waits while it decodes.
    fn begin(&self, lake: &str, job: &str) -> Child {
        let mut command = self.stream(lake, job, &format!("decode:{MARK}:wait"));
        let said = std::fs::File::create(self.said()).unwrap();
        command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }

    /// What the driver says that was begun last.
    fn said(&self) -> PathBuf {
        self.lake("said").root().with_extension("txt")
    }

    fn wait_for(&self, is_so: impl Fn() -> bool, what: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < until, "{what} did not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn checkpoint(&self, lake: &str, job: &str) -> PathBuf {
        self.lake(lake).checkpoint(&job.replace('-', "_"))
    }

    fn names(&self, lake: &str, job: &str, list: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.checkpoint(lake, job).join(list)).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    fn commit(&self, lake: &str, job: &str, number: u64) -> Commit {
        RecordList::read_only(self.checkpoint(lake, job).join("commits")).read(number).unwrap()
    }

    fn doctor_finds_nothing(&self, lake: &str) {
        let examined = run(&mut self.command(lake, &["doctor"], ""));
        assert!(examined.status.success(), "{}", texts(&examined).1);
    }

    /// Names and bytes of what a glob finds of the table and its dead letters.
    fn files(&self, lake: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for folder in ["s/seen", "system/dead_letters/s"] {
            let path = self.lake(lake).resolve(folder);
            for path in if path.is_dir() { visible_files(&path) } else { Vec::new() } {
                let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
        found
    }

    async fn rows(&self, lake: &str, sql: &str) -> Vec<String> {
        query(&self.lake(lake), sql).await.into_iter().map(|row| row.join("|")).collect()
    }
}

fn messages(count: usize) -> Vec<Option<Vec<u8>>> {
    (0..count).map(|n| Some(format!(r#"{{"n":{n},"s":"text {}"}}"#, n * 7).into_bytes())).collect()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{:?} {}", output.status, texts(output).1);
}

const LETTERS: &str = "SELECT \"partition\", \"offset\", stage, error, CAST(payload AS VARCHAR) \
    FROM system.dead_letters ORDER BY batch_id, \"partition\", \"offset\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_ends_the_process_is_a_dead_letter_at_the_fourth_start() {
    let mut all = messages(5_000);
    // By itself it is a dead letter like any other: so the rest can be compared with a stream that it did not end.
    all[3_210] = Some(format!("{MARK} is no JSON").into_bytes());
    let folder = Folder::new(1, &all).await;
    let fail = format!("decode:{MARK}:overflow");
    folder.die_three_times("lake", "s", &fail, |died| {
        // Rust's handler of a full stack aborts.
        died.status.signal() == Some(6) && texts(died).1.contains("overflowed its stack")
    });
    let found = run(&mut folder.stream("lake", "s", &fail));
    succeeded(&found);
    assert!(texts(&found).1.contains("offset=3210"), "{}", texts(&found).1);

    let reason = "decoding it killed the process (signal 6), tried alone";
    let letter = format!("0|3210|decode|{reason}|{MARK} is no JSON");
    assert_eq!(folder.rows("lake", LETTERS).await, std::slice::from_ref(&letter));
    let commit = folder.commit("lake", "s", 0);
    let condemned = |offset| Condemned { partition: 0, offset, reason: reason.to_owned() };
    assert_eq!(commit.read.condemned, [condemned(3210)]);
    let counts = commit.counts;
    assert_eq!((counts.rows_read, counts.rows_out, counts.dead_letters), (5_000, 4_999, 1));
    assert!(!folder.checkpoint("lake", "s").join("attempts").exists());
    folder.doctor_finds_nothing("lake");

    // Where nothing kills, the same rows have the same bytes.
    succeeded(&run(&mut folder.stream("whole", "s", "")));
    let rows = |lake| folder.files(lake).remove("s/seen/batch-00000000.parquet").unwrap();
    assert!(rows("lake") == rows("whole"));
    assert_eq!(folder.commit("whole", "s", 0).read.condemned, []);

    // The stream goes on, and what it did is done once.
    folder.broker.send(&folder.broker.topic, 1, &messages(10));
    succeeded(&run(&mut folder.stream("lake", "s", &fail)));
    assert_eq!(
        folder.rows("lake", "SELECT count(*), count(DISTINCT _offset) FROM seen").await,
        ["5009|5009"]
    );
    assert_eq!(folder.rows("lake", LETTERS).await, std::slice::from_ref(&letter));

    // Fed again it ends no process, also at the first try; where it ends none it is the dead letter that it is.
    succeeded(&folder.replay("lake", "s", &fail));
    assert_eq!(folder.rows("lake", LETTERS).await, [letter.clone(), letter.clone()]);
    assert_eq!(folder.commit("lake", "s", 2).read.condemned, [condemned(3210)]);
    succeeded(&folder.replay("lake", "s", ""));
    let last = folder.rows("lake", LETTERS).await.pop().unwrap();
    assert!(last.starts_with("0|3210|decode|") && !last.contains("killed"), "{last}");
    assert_eq!(folder.commit("lake", "s", 3).read.condemned, []);
    folder.doctor_finds_nothing("lake");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_in_two_partitions_are_found_also_in_the_transform_and_where_it_panics() {
    let mut all = messages(600);
    for at in [101, 400] {
        all[at] = Some(format!(r#"{{"n":{at},"s":"{MARK}"}}"#).into_bytes());
    }
    let folder = Folder::new(2, &all).await;
    for (fail, died, reason) in [
        ("transform:MARK:abort", Ok(6), "transforming it killed the process (signal 6), tried alone"),
        ("decode:MARK:panic", Err(101), "decoding it panicked, tried alone"),
    ] {
        let lake = &fail.replace(':', "-");
        folder.die_three_times(lake, "s", fail, |output| match died {
            Ok(signal) => output.status.signal() == Some(signal),
            Err(code) => output.status.code() == Some(code),
        });
        succeeded(&run(&mut folder.stream(lake, "s", fail)));
        let stage = fail.split(':').next().unwrap();
        let letter = |partition: i32, offset: i64, n: usize| {
            format!(r#"{partition}|{offset}|{stage}|{reason}|{{"n":{n},"s":"MARK"}}"#)
        };
        assert_eq!(folder.rows(lake, LETTERS).await, [letter(0, 200, 400), letter(1, 50, 101)]);
        let places: Vec<(i32, i64)> =
            folder.commit(lake, "s", 0).read.condemned.iter().map(|c| (c.partition, c.offset)).collect();
        assert_eq!(places, [(0, 200), (1, 50)]);
        let totals = "SELECT count(*), count(DISTINCT concat(_partition, '/', _offset)), count(*) FILTER (WHERE n IN (101, 400)) FROM seen";
        assert_eq!(folder.rows(lake, totals).await, ["598|598|0"]);
        folder.doctor_finds_nothing(lake);
    }
    // Once the cause is gone, both are rows by a replay.
    succeeded(&folder.replay("transform-MARK-abort", "s", ""));
    let both = "SELECT n, s, _partition, _offset FROM seen WHERE s = 'MARK' ORDER BY n";
    assert_eq!(folder.rows("transform-MARK-abort", both).await, ["101|MARK|1|50", "400|MARK|0|200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_killed_by_hand_condemns_nothing_and_makes_the_same_bytes() {
    let mut all = messages(3_000);
    all[700] = Some(format!(r#"{{"n":700,"s":"{MARK}"}}"#).into_bytes());
    all[1_500] = Some(b"no JSON".to_vec());
    all[1_501] = Some(br#"{"n":1501,"s":null}"#.to_vec());
    all[1_502] = None;
    let folder = Folder::new(3, &all).await;
    folder.be_killed_three_times("killed", "s");
    let guarded = run(&mut folder.stream("killed", "s", ""));
    succeeded(&guarded);
    assert!(texts(&guarded).1.contains("begun three times"), "{}", texts(&guarded).1);
    succeeded(&run(&mut folder.stream("whole", "s", "")));
    assert!(folder.files("killed") == folder.files("whole"));
    assert_eq!(folder.files("killed").len(), 2);
    let record = |lake| {
        let mut commit = folder.commit(lake, "s", 0);
        commit.query_id.clear();
        commit
    };
    assert_eq!(record("killed"), record("whole"));
    assert_eq!(record("killed").read.condemned, []);
    assert_eq!(record("killed").counts.dead_letters, 2);
    assert!(!folder.checkpoint("killed", "s").join("attempts").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_has_what_it_would_have_had() {
    let mut all = order_rows(300, 5);
    let marked = String::from_utf8(all[40].clone().unwrap()).unwrap().replace("\"ignored\"", "\"MARK\"");
    all[40] = Some(marked.clone().into_bytes());
    let folder = Folder::new(2, &all).await;
    // Killed by hand: nothing is condemned, and the files of the state are the same.
    folder.be_killed_three_times("killed", rfm::JOB);
    succeeded(&run(&mut folder.stream("killed", rfm::JOB, "")));
    succeeded(&run(&mut folder.stream("whole", rfm::JOB, "")));
    let (killed, whole) = (folder.commit("killed", rfm::JOB, 0), folder.commit("whole", rfm::JOB, 0));
    assert_eq!((&killed.added, killed.counts), (&whole.added, whole.counts));
    assert!(killed.added.iter().any(|file| file.table.starts_with("state:")), "{:?}", killed.added);
    assert_eq!(folder.rows("killed", STATE_SQL).await, folder.rows("whole", STATE_SQL).await);

    // Condemned, the message is in no row and in no key of the state.
    let fail = format!("decode:{MARK}:abort");
    folder.die_three_times("lake", rfm::JOB, &fail, |died| died.status.signal() == Some(6));
    succeeded(&run(&mut folder.stream("lake", rfm::JOB, &fail)));
    let state = folder.rows("lake", STATE_SQL).await;
    assert!(!state.is_empty() && state == folder.rows("lake", BATCH_SQL).await);
    let letters = folder.rows("lake", LETTERS).await;
    assert!(letters.len() == 1 && letters[0].ends_with(&marked), "{letters:?}");
    let count = |lake: &'static str| folder.rows(lake, "SELECT count(*) FROM olist_rfm.order_rows");
    let (with, without) = (count("whole").await, count("lake").await);
    assert_eq!(with[0].parse::<u64>().unwrap(), without[0].parse::<u64>().unwrap() + 1);
    // And by a replay, once it is mended, in both.
    succeeded(&folder.replay("lake", rfm::JOB, ""));
    assert_eq!(folder.rows("lake", STATE_SQL).await, folder.rows("whole", STATE_SQL).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn want_of_memory_and_the_kernels_killer_condemn_nothing() {
    let mut all = messages(500);
    all[300] = Some(format!(r#"{{"n":300,"s":"{MARK}"}}"#).into_bytes());
    let folder = Folder::new(1, &all).await;
    folder.die_three_times("lake", "s", "decode:MARK:abort", |died| died.status.signal() == Some(6));
    for (fail, said) in [
        ("decode:MARK:kill", "was killed (signal 9)"),
        ("decode:MARK:memory", "found no memory (signal 6)"),
        ("transform:MARK:kill", "was killed (signal 9)"),
    ] {
        let ended = run(&mut folder.stream("lake", "s", fail));
        let stderr = texts(&ended).1;
        assert_eq!(ended.status.code(), Some(1), "{fail}: {stderr}");
        assert!(stderr.contains("at offset 300 of partition 0") && stderr.contains(said), "{fail}: {stderr}");
        assert_eq!(folder.names("lake", "s", "commits"), Vec::<String>::new());
    }
    succeeded(&run(&mut folder.stream("lake", "s", "")));
    assert_eq!(folder.rows("lake", "SELECT count(*) FROM seen").await, ["500"]);
    assert_eq!(folder.commit("lake", "s", 0).read.condemned, []);
}

/// Processes whose parent this is.
#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let numbered = std::fs::read_dir("/proc").unwrap();
    let ids = numbered.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map(|(_, after)| after.to_owned()).unwrap_or_default();
        after.split(' ').nth(1) == Some(&parent)
    })
    .collect()
}

/// Whether a process is there and not only waiting to be asked what it died of.
#[cfg(target_os = "linux")]
fn is_alive(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, after)| !after.starts_with('Z'))
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_guarded_batch_at_once_and_children_end_with_the_driver() {
    let mut all = messages(500);
    all[300] = Some(format!(r#"{{"n":300,"s":"{MARK}"}}"#).into_bytes());
    let folder = Folder::new(1, &all).await;
    folder.be_killed_three_times("lake", "s");
    for (signal, code) in [("-TERM", Some(143)), ("-INT", Some(130)), ("-9", None)] {
        let mut driver = folder.begin("lake", "s");
        folder.wait_for(|| !children(driver.id()).is_empty(), "a child");
        let child = children(driver.id())[0];
        std::thread::sleep(Duration::from_millis(500));
        let knows = |id: u32, what: &str| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap();
            String::from_utf8_lossy(&environment).contains(what)
        };
        assert!(knows(driver.id(), SECRET) && !knows(child, SECRET) && knows(child, "PATH="));
        let started = Instant::now();
        succeeded(&run(Command::new("kill").args([signal, &driver.id().to_string()])));
        assert_eq!(driver.wait().unwrap().code(), code, "{signal}");
        let said = std::fs::read_to_string(folder.said()).unwrap();
        assert_eq!(said.contains("leaving the batch in hand to the next start"), signal != "-9", "{said}");
        assert!(!said.contains("finishing the batch"), "{said}");
        folder.wait_for(|| !is_alive(child), "the end of the child");
        assert!(started.elapsed() < Duration::from_secs(3), "{signal}: {:?}", started.elapsed());
        assert_eq!(folder.names("lake", "s", "commits"), Vec::<String>::new());
    }
    succeeded(&run(&mut folder.stream("lake", "s", "")));
    assert_eq!(folder.rows("lake", "SELECT count(*) FROM seen").await, ["500"]);
}

/// A service manager asks all processes of a service to end, and the child may hear of it first.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_asked_to_end_before_its_driver_is_no_fault() {
    let folder = Folder::new(1, &[Some(format!(r#"{{"n":1,"s":"{MARK}"}}"#).into_bytes())]).await;
    folder.be_killed_three_times("lake", "s");
    let mut driver = folder.begin("lake", "s");
    folder.wait_for(|| !children(driver.id()).is_empty(), "a child");
    let child = children(driver.id())[0];
    std::thread::sleep(Duration::from_millis(1_500));
    let both = format!("kill -TERM {child}; sleep 0.05; kill -TERM {}", driver.id());
    succeeded(&run(Command::new("sh").args(["-c", &both])));
    assert_eq!(driver.wait().unwrap().code(), Some(143));
    succeeded(&run(&mut folder.stream("lake", "s", "")));
    assert_eq!(folder.commit("lake", "s", 0).read.condemned, []);
}

/// Where rows multiply, a child gives them in many steps, of which those before the one that it dies in count.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_multiply_are_made_once_and_are_the_same() {
    let mut all = messages(1_500);
    // It makes no row, so that the table is the same without it.
    all[1_200] = Some(format!(r#"{{"n":1200,"s":"{MARK}"}}"#).into_bytes());
    all[300] = Some(b"no JSON".to_vec());
    let folder = Folder::new(2, &all).await;
    let write = |name: &str, text: &str| std::fs::write(folder.folder.path().join(name), text).unwrap();
    write(
        "sql/s/transform.sql",
        "SELECT n, s, unnest(range(0, n % 100)) AS k, 100 / (n - 7) AS q FROM batch",
    );
    let job = std::fs::read_to_string(folder.folder.path().join("jobs/s.toml")).unwrap();
    write("jobs/s.toml", &format!("memory_limit = \"1MB\"\n{job}"));
    succeeded(&run(&mut folder.stream("whole", "s", "")));
    let counts = folder.commit("whole", "s", 0).counts;
    let rows = (0..1_500).filter(|n| *n != 7).map(|n| n % 100).sum::<u64>();
    assert_eq!((counts.rows_read, counts.rows_out, counts.dead_letters), (1_500, rows, 2));

    folder.be_killed_three_times("killed", "s");
    let guarded = run(&mut folder.stream("killed", "s", ""));
    succeeded(&guarded);
    assert!(texts(&guarded).1.contains("begun three times"), "{}", texts(&guarded).1);
    assert!(folder.files("killed") == folder.files("whole"));
    assert_eq!(folder.commit("killed", "s", 0).counts, counts);

    let fail = "transform:MARK:abort";
    folder.die_three_times("lake", "s", fail, |died| died.status.signal() == Some(6));
    succeeded(&run(&mut folder.stream("lake", "s", fail)));
    let commit = folder.commit("lake", "s", 0);
    assert_eq!(commit.read.condemned.iter().map(|c| (c.partition, c.offset)).collect::<Vec<_>>(), [(0, 600)]);
    assert_eq!((commit.counts.rows_out, commit.counts.dead_letters), (rows, 3));
    let table = |lake| {
        let mut files = folder.files(lake);
        files.retain(|name, _| name.starts_with("s/seen/"));
        files
    };
    assert!(table("lake") == table("whole"));
}
