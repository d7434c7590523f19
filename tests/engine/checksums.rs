//! A record that a disk has changed is told, and records of the version before, which have no checksum, are gone on from.

use tidemill_core::lake::Lake;

use crate::support::{
    Essence, TestBroker, crimes, job, positions, run, stream_all, texts, tidemill, unsealed, unsealed_text,
};

const PER_BATCH: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_newest_plan_is_no_other_offset() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(3 * PER_BATCH as usize, 1));
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    stream_all(&job, &lake).await.unwrap();
    let plan = lake.checkpoint("chicago_arrests").join("offsets/2.json");
    let text = std::fs::read_to_string(&plan).unwrap();
    // 200 rows would be read again.
    let flipped = text.replace("\"to\": 600", "\"to\": 400");
    assert_ne!(flipped, text);
    std::fs::write(&plan, flipped).unwrap();
    let error = stream_all(&job, &lake).await.unwrap_err();
    assert!(error.to_string().contains("offsets/2.json is not what was written"), "{error}");
    assert!(error.next_step().is_some());
    let output = run(tidemill(lake.root()).arg("doctor"));
    assert!(!output.status.success() && texts(&output).0.contains("2.json is not what was written"));
    std::fs::write(&plan, text).unwrap();
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(positions(&lake).await, (3 * PER_BATCH, 3 * PER_BATCH));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_the_format_before_is_gone_on_from() {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    let messages = crimes(4 * PER_BATCH as usize, 1);
    broker.send("crimes", 1, &messages[..2 * PER_BATCH as usize]);
    let job = job(&broker.address(), PER_BATCH, &[]);
    let folder = tempfile::tempdir().unwrap();
    let (lake, other) = (Lake::new(folder.path().join("lake")), Lake::new(folder.path().join("other")));
    stream_all(&job, &lake).await.unwrap();
    stream_all(&job, &other).await.unwrap();
    let checkpoint = lake.checkpoint("chicago_arrests");
    let lists = ["offsets", "commits", "learn"].map(|list| checkpoint.join(list));
    let records = lists.iter().flat_map(|list| std::fs::read_dir(list).unwrap()).map(|of| of.unwrap().path());
    for path in records.chain([checkpoint.join("query.json")]) {
        let text = unsealed_text(&path).replace("\"format\": 3", "\"format\": 2");
        std::fs::write(&path, text).unwrap();
    }
    broker.send("crimes", 1, &messages[2 * PER_BATCH as usize..]);
    stream_all(&job, &lake).await.unwrap();
    stream_all(&job, &other).await.unwrap();
    Essence::of(&lake).assert_same(&Essence::of(&other), "carried over");
    let format = |path: &str| unsealed(&checkpoint.join(path))["format"].as_u64();
    assert_eq!(["commits/1.json", "commits/2.json", "query.json"].map(format), [Some(2), Some(3), Some(3)]);
}
