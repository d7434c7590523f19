//! Bad messages end in the dead letters, counted, and the stream goes on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tidemill_core::lake::Lake;
use tidemill_core::stream::{self, StreamEvent, StreamOptions};

use crate::support::{TestBroker, crimes, job, positions, query};

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_are_dead_letters_and_the_stream_goes_on() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    let mut messages = crimes(400, 5);
    let big = format!(r#"{{"arrest":true,"block":"{}"}}"#, "x".repeat(1_000_000));
    let odd: [(Option<Vec<u8>>, bool); 10] = [
        (Some(b"{\"arrest\": tr".to_vec()), true),
        (Some(b"not json".to_vec()), true),
        (Some(Vec::new()), true),
        (None, true),
        (Some(br#"{"arrest":null,"beat":3}"#.to_vec()), true),
        (Some(br#"{"beat":3}"#.to_vec()), true),
        (Some(br#"{"arrest":true,"hour":"noon"}"#.to_vec()), true),
        (Some(br#"{"arrest":0,"domestic":1}"#.to_vec()), false),
        (Some(br#"{"arrest":true,"extra":{"a":[]}}"#.to_vec()), false),
        (Some(big.into_bytes()), false),
    ];
    for (i, (message, _)) in odd.iter().enumerate() {
        messages.insert(37 * (i + 1), message.clone());
    }
    broker.send("crimes", 1, &messages);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), 150, &[]);
    let mut told = 0;
    let options = StreamOptions { available_now: true, max_batches: None, ..StreamOptions::default() };
    let summary = stream::run(&job, &lake, &options, Arc::new(AtomicBool::new(false)), &mut |event| {
        if let StreamEvent::Batch(progress) = event {
            told += progress.dead_letters;
        }
    })
    .await
    .unwrap();
    let dead = odd.iter().filter(|(_, bad)| *bad).count() as u64;
    assert_eq!((summary.rows, summary.dead_letters, told), (410, dead, dead));
    assert_eq!(positions(&lake).await, (410 - dead, 410 - dead));

    let letters =
        query(&lake, "SELECT \"offset\", error, payload IS NULL FROM dead_letters ORDER BY \"offset\"").await;
    let offsets: Vec<usize> = letters.iter().map(|row| row[0].parse().unwrap()).collect();
    let expected: Vec<usize> =
        odd.iter().enumerate().filter(|(_, (_, bad))| *bad).map(|(i, _)| 37 * (i + 1)).collect();
    assert_eq!(offsets, expected);
    assert!(letters.iter().all(|row| !row[1].is_empty()));
    assert_eq!(
        letters.iter().filter(|row| row[2] == "true").count(),
        1,
        "the tombstone alone has no payload"
    );
    let batches = query(&lake, "SELECT sum(rows_read), sum(dead_letters), sum(rows_out) FROM batches").await;
    assert_eq!(batches[0], ["410", &dead.to_string(), &(410 - dead).to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_one_class_is_recorded_and_the_stream_goes_on() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    let mut messages: Vec<_> =
        (0..100).map(|i| Some(format!(r#"{{"arrest":true,"beat":{i}}}"#).into_bytes())).collect();
    messages.extend(crimes(300, 6));
    broker.send("crimes", 1, &messages);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    crate::support::stream_all(&job(&broker.address(), 100, &[]), &lake).await.unwrap();
    let rows =
        query(&lake, "SELECT batch_id, status, reason IS NULL FROM models WHERE model = 'forest' ORDER BY 1")
            .await;
    assert_eq!(rows[0][1..], ["failed", "false"]);
    assert!(rows[1..].iter().all(|row| row[1..] == ["trained", "true"]), "{rows:?}");
}
