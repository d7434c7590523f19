//! `kill -9` of the binary at random moments: nothing is lost, nothing doubled, and the bytes are the same.

use std::process::Stdio;
use std::time::Duration;

use tidemill_core::lake::Lake;

use crate::support::{Essence, JOB, TestBroker, crimes, positions, run, texts, tidemill};

const PER_BATCH: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_with_the_embedded_broker_loses_and_doubles_nothing() {
    kill_9_at_random_moments(&TestBroker::start().await, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache Kafka: tests/kafka/run.sh"]
async fn kill_9_with_apache_kafka_loses_and_doubles_nothing() {
    let broker = TestBroker::apache().expect("TIDEMILL_TEST_KAFKA is to be set");
    kill_9_at_random_moments(&broker, 8).await;
}

async fn kill_9_at_random_moments(broker: &TestBroker, wanted: usize) {
    // Ten batches a kill: more than pass from one to the next.
    let rows = wanted * 10 * PER_BATCH;
    broker.create_topic(&broker.topic, 3).await;
    broker.send(&broker.topic, 3, &crimes(rows, 3));
    let folder = tempfile::tempdir().unwrap();
    let stream = |lake: &Lake| {
        let mut command = tidemill(lake.root());
        command.args(["stream", JOB, "--available-now", "--brokers", &broker.address()]);
        command.args(["--set", &format!("source.kafka.subscribe={}", broker.topic)]);
        command.args(["--set", &format!("source.max_offsets_per_trigger={PER_BATCH}")]);
        command
    };

    let killed = Lake::new(folder.path().join("killed"));
    let committed = || {
        let records = killed.checkpoint("chicago_arrests").join("commits");
        std::fs::read_dir(records).map_or(0, |entries| entries.count())
    };
    let mut kills = 0;
    let mut moment = 0x2545_f491_4f6c_dd1d_u64;
    while kills < wanted {
        let mut child = stream(&killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // First let it get to work, then strike within the next few batches.
        let before = committed();
        for _ in 0..600 {
            if committed() > before || child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        moment ^= moment << 13;
        moment ^= moment >> 7;
        moment ^= moment << 17;
        std::thread::sleep(Duration::from_micros(moment % 100_000));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        let status = child.wait().unwrap();
        assert!(!status.success(), "the stream ended before {wanted} kills: {kills}; make it longer");
    }
    let at_the_end = run(&mut stream(&killed));
    assert!(at_the_end.status.success(), "{}", texts(&at_the_end).1);

    let whole = Lake::new(folder.path().join("whole"));
    let never_killed = run(&mut stream(&whole));
    assert!(never_killed.status.success(), "{}", texts(&never_killed).1);

    assert_eq!(positions(&killed).await, (rows as u64, rows as u64));
    Essence::of(&killed).assert_same(&Essence::of(&whole), "killed against whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_the_batch_in_hand() {
    for broker in TestBroker::all().await {
        sigterm(&broker).await;
    }
}

async fn sigterm(broker: &TestBroker) {
    broker.create_topic(&broker.topic, 1).await;
    broker.send(&broker.topic, 1, &crimes(200, 4));
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes");
    let mut child = tidemill(&folder.path().join("lake"))
        .args(["stream", JOB, "--brokers", &broker.address(), "--set", "trigger.processing_time=100ms"])
        .args(["--set", &format!("source.kafka.subscribe={}", broker.topic)])
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&notes).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    assert!(line.contains("200"), "{line}");
    // Without new messages it says so, once.
    let waits = || {
        let notes = std::fs::read_to_string(&notes).unwrap();
        notes.matches(&format!("for new messages of topic {}; looks every 100 ms", broker.topic)).count()
    };
    for _ in 0..1_000 {
        if waits() > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(waits(), 1, "{}", std::fs::read_to_string(&notes).unwrap());
    let kill = run(std::process::Command::new("kill").arg(child.id().to_string()));
    assert!(kill.status.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(positions(&Lake::new(folder.path().join("lake"))).await, (200, 200));
}
