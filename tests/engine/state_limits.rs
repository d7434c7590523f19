//! Values that a state has no room for: the message is a dead letter with the reason, the rest of its batch counts, and the
//! stream goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::records::{Commit, RecordList};
use tidemill_core::stream::CrashPoint;

use crate::support::{TestBroker, die_after, query, run, stream_all, texts, visible_files};

/// What a DECIMAL(38,0) holds at most.
const MOST: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// A project with a job that keeps of each key the sum of a DECIMAL(38,0), the sum of a BIGINT, a count and the latest time.
fn project(folder: &Path, transform: &str) {
    for (name, text) in [
        (
            "jobs/sums.toml",
            "stateful = true\n[source]\nkafka = { bootstrap_servers = \"x\", subscribe = \"sums\" }\nformat = \"json\"\n\
             schema = \"sql/sums/schema.sql\"\n[table]\npath = \"lake/sums/rows\"\ntransform = \"sql/sums/transform.sql\"\n\
             [state]\ntable = \"totals\"\nkey = \"k\"\nselect = \"sql/sums/totals.sql\"\n[state.columns]\n\
             total = { sum = \"amount\", distinct = [\"id\"] }\nbig = { sum = \"big\", distinct = [\"id\"] }\n\
             n = { count_distinct = [\"id\"] }\nlast = { max = \"at\" }\n",
        ),
        (
            "sql/sums/schema.sql",
            "CREATE TABLE rows (k TEXT, id BIGINT NOT NULL, amount TEXT, big BIGINT, at TIMESTAMP)",
        ),
        ("sql/sums/transform.sql", transform),
        ("sql/sums/totals.sql", "SELECT k, total, big, n, last FROM totals"),
    ] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

const AS_IT_IS: &str = "SELECT k, id, CAST(amount AS DECIMAL(38,0)) AS amount, big, at FROM batch";

fn job(folder: &Path, broker: &TestBroker, limit: u64) -> StreamJob {
    let sets = vec![
        ("source.kafka.bootstrap_servers".to_owned(), broker.address()),
        ("source.max_offsets_per_trigger".to_owned(), limit.to_string()),
    ];
    Project::open(folder).stream_job("sums", &Settings { sets, environment: BTreeMap::new() }).unwrap()
}

/// By key: the total, the sum of `big`, and the count.
type Kept = BTreeMap<String, (i128, i128, i64)>;

/// Key, id, amount.
type Message = (&'static str, i64, i128);

fn text(&(key, id, amount): &Message) -> Option<Vec<u8>> {
    let text = format!(
        r#"{{"k":"{key}","id":{id},"amount":"{amount}","big":9223372036854775807,"at":"2024-01-02T03:04:05"}}"#
    );
    Some(text.into_bytes())
}

/// What is refused of messages in their order, by their places, and the total, the sum of `big` and the count of each key.
fn expected(messages: &[Message]) -> (Vec<i64>, Kept) {
    let (mut refused, mut kept) = (Vec::new(), Kept::new());
    let mut seen = BTreeSet::new();
    for (offset, (key, id, amount)) in (0..).zip(messages) {
        if seen.contains(&(key, id)) {
            continue;
        }
        let before = kept.get(*key).copied().unwrap_or_default();
        let total = before.0.checked_add(*amount).filter(|total| (-MOST..=MOST).contains(total));
        let Some(total) = total else {
            refused.push(offset);
            continue;
        };
        seen.insert((key, id));
        kept.insert((*key).to_owned(), (total, before.1 + i128::from(i64::MAX), before.2 + 1));
    }
    (refused, kept)
}

/// Sums that go past their digits, come back, and go past them again, by several keys.
fn messages() -> Vec<Message> {
    let keys = ["a", "b", "c"];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    (0..180)
        .map(|id| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let amount = (i128::from(random % 7) - 2) * (MOST / 5);
            (keys[(random >> 20) as usize % 3], id / 2 * 2, amount)
        })
        .collect()
}

async fn totals(lake: &Lake) -> Kept {
    let rows = query(lake, "SELECT k, total, big, n FROM sums.totals").await;
    let parse = |row: Vec<String>| {
        (row[0].clone(), (row[1].parse().unwrap(), row[2].parse().unwrap(), row[3].parse().unwrap()))
    };
    rows.into_iter().map(parse).collect()
}

async fn letters(lake: &Lake) -> Vec<i64> {
    let rows = query(lake, "SELECT \"offset\" FROM system.dead_letters ORDER BY batch_id, \"offset\"").await;
    rows.iter().map(|row| row[0].parse().unwrap()).collect()
}

/// Name and bytes of the rows, the dead letters and the state.
fn files(lake: &Lake) -> BTreeMap<String, Vec<u8>> {
    let folders = ["sums/rows", "system/dead_letters/sums", "sums/_checkpoint/state"];
    let paths = folders.iter().flat_map(|folder| visible_files(&lake.resolve(folder)));
    paths
        .map(|path| {
            (
                path.display().to_string().split_off(lake.root().as_os_str().len()),
                std::fs::read(path).unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_past_its_digits_is_the_messages_fault_alone() {
    let all = messages();
    let (refused, kept) = expected(&all);
    assert!(refused.len() > 20 && refused.len() < 140, "{}", refused.len());
    let broker = TestBroker::start().await;
    broker.create_topic("sums", 1).await;
    broker.send("sums", 1, &all.iter().map(text).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), AS_IT_IS);
    for limit in [1_000, 50, 3] {
        let lake = Lake::new(folder.path().join(format!("lake-{limit}")));
        let job = job(folder.path(), &broker, limit);
        stream_all(&job, &lake).await.unwrap();
        assert_eq!(letters(&lake).await, refused, "batches of {limit}");
        assert_eq!(totals(&lake).await, kept, "batches of {limit}");
        let rows = query(&lake, "SELECT count(*), count(DISTINCT _offset) FROM sums.rows").await;
        let count = (all.len() - refused.len()).to_string();
        assert_eq!(rows, [[count.clone(), count]], "batches of {limit}");
        let said = query(
            &lake,
            "SELECT DISTINCT stage, error LIKE 'the sum `total` of key `_` would have more digits than its column, \
             Decimal128(38, 0), has', payload IS NULL FROM system.dead_letters",
        );
        assert_eq!(said.await, [["state", "true", "false"]]);
        let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint("sums").join("commits"));
        for number in commits.numbers().unwrap() {
            let counts = commits.read(number).unwrap().counts;
            assert_eq!(counts.rows_read, counts.rows_out + counts.dead_letters, "{number}: {counts:?}");
        }
        // A start finds everything as it was.
        stream_all(&job, &lake).await.unwrap();
        assert_eq!(totals(&lake).await, kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_refuses_the_same_messages_and_a_replay_those_that_still_have_no_room() {
    let all = messages();
    let broker = TestBroker::start().await;
    broker.create_topic("sums", 1).await;
    broker.send("sums", 1, &all.iter().map(text).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), AS_IT_IS);
    let job = job(folder.path(), &broker, 45);
    let whole = Lake::new(folder.path().join("whole"));
    stream_all(&job, &whole).await.unwrap();
    for point in
        [CrashPoint::Plan, CrashPoint::Read, CrashPoint::Stage, CrashPoint::Commit, CrashPoint::Publish]
    {
        let lake = Lake::new(folder.path().join(format!("{point:?}")));
        die_after(&job, &lake, 2, point).await;
        stream_all(&job, &lake).await.unwrap();
        let (found, wanted) = (files(&lake), files(&whole));
        assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        assert!(found == wanted, "{point:?}");
    }

    // Room is made for one key: the replay takes what now has room, in its order, and refuses the others again.
    let (refused, kept) = expected(&all);
    let more: Vec<Message> =
        ["a", "b", "c"].iter().zip(1_000..).map(|(k, id)| (*k, id, -kept[*k].0)).collect();
    broker.send("sums", 1, &more.iter().map(text).collect::<Vec<_>>());
    stream_all(&job, &whole).await.unwrap();
    assert!(totals(&whole).await.values().all(|total| total.0 == 0));
    let again: Vec<Message> = refused.iter().map(|at| all[usize::try_from(*at).unwrap()]).collect();
    let both: Vec<Message> = all.iter().copied().chain(more).chain(again.clone()).collect();
    let (refused_again, kept) = expected(&both);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.arg("--lake").arg(whole.root()).arg("--project").arg(folder.path());
    let replay = run(command.args(["dlq", "replay", "sums", "--brokers", &broker.address()]));
    assert!(replay.status.success(), "{}", texts(&replay).1);
    let first = all.len() as i64 + 3;
    let again_out: Vec<i64> =
        refused_again.iter().filter(|at| **at >= first).map(|at| refused[(at - first) as usize]).collect();
    assert!(!again_out.is_empty() && again_out.len() < refused.len(), "{again_out:?} of {refused:?}");
    assert_eq!(letters(&whole).await, [refused, again_out].concat());
    assert_eq!(totals(&whole).await, kept);
}

/// A message of several rows counts as a whole or not at all, in the table as in the state.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_multiplies_is_refused_with_all_of_its_rows() {
    let broker = TestBroker::start().await;
    broker.create_topic("sums", 1).await;
    let all = [("a", 0, MOST - 5), ("b", 10, 1), ("a", 20, 2), ("a", 30, 1), ("c", 40, MOST / 2)];
    broker.send("sums", 1, &all.iter().map(text).collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    project(
        folder.path(),
        "SELECT k, id + part AS id, CAST(amount AS DECIMAL(38,0)) AS amount, big, at FROM (SELECT *, unnest(range(0, 3)) AS part FROM batch)",
    );
    let lake = Lake::new(folder.path().join("lake"));
    stream_all(&job(folder.path(), &broker, 100), &lake).await.unwrap();
    // Three times MOST - 5 is too much at its second row, and so is half of it at its third.
    assert_eq!(letters(&lake).await, [0, 4]);
    let rows = query(&lake, "SELECT _offset, count(*) FROM sums.rows GROUP BY 1 ORDER BY 1").await;
    assert_eq!(rows, [["1", "3"], ["2", "3"], ["3", "3"]]);
    let kept = totals(&lake).await;
    let totals: Vec<_> = kept.iter().map(|(key, (total, _, n))| (key.as_str(), *total, *n)).collect();
    assert_eq!(totals, [("a", 9, 6), ("b", 3, 3)]);
}

/// What else a value may be: no key, one of a megabyte, a null, a time at the end of the calendar.
#[tokio::test(flavor = "multi_thread")]
async fn other_odd_values_count_or_change_nothing() {
    let broker = TestBroker::start().await;
    broker.create_topic("sums", 1).await;
    let long = "k".repeat(900_000);
    let texts = [
        r#"{"k":null,"id":1,"amount":"5","big":1,"at":"2024-01-02"}"#.to_owned(),
        r#"{"id":2,"amount":"5","big":1,"at":"2024-01-02"}"#.to_owned(),
        format!(r#"{{"k":"{long}","id":3,"amount":"5","big":1,"at":"9999-12-31T23:59:59"}}"#),
        r#"{"k":"","id":4,"amount":null,"big":null,"at":null}"#.to_owned(),
        format!(
            r#"{{"k":"\u0000\u001f","id":5,"amount":"-{MOST}","big":-9223372036854775808,"at":"0001-01-01"}}"#
        ),
    ];
    broker.send("sums", 1, &texts.map(|text| Some(text.into_bytes())));
    let folder = tempfile::tempdir().unwrap();
    project(folder.path(), AS_IT_IS);
    for limit in [100, 1] {
        let lake = Lake::new(folder.path().join(format!("lake-{limit}")));
        let job = job(folder.path(), &broker, limit);
        stream_all(&job, &lake).await.unwrap();
        stream_all(&job, &lake).await.unwrap();
        assert_eq!(letters(&lake).await, [0i64; 0]);
        let kept = query(
            &lake,
            "SELECT length(k), total, big, n, CAST(last AS TEXT) FROM sums.totals ORDER BY length(k)",
        );
        let most = format!("-{MOST}");
        let (last, first) = ("9999-12-31T23:59:59", "0001-01-01T00:00:00");
        let expected = [
            ["0", "", "", "1", ""],
            ["2", &most, "-9223372036854775808", "1", first],
            ["900000", "5", "1", "1", last],
        ];
        assert_eq!(kept.await, expected, "{limit}");
    }
}
