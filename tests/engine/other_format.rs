//! Models that a build of another file format wrote: the job goes on without them, and trains them anew.

use tidemill_core::lake::Lake;
use tidemill_core::records::{FORMAT, Learn, ModelStatus, RecordList};
use xxhash_rust::xxh3::xxh3_64;

use crate::support::{TestBroker, crimes, stream_all};
use crate::{rfm, support};

fn records(lake: &Lake, schema_name: &str) -> RecordList<Learn> {
    RecordList::read_only(lake.checkpoint(schema_name).join("learn"))
}

/// Makes the newest model files those of another format; gives the number of their batch.
fn put_another_format(lake: &Lake, schema_name: &str) -> u64 {
    let list = records(lake, schema_name);
    let newest = list.latest().unwrap().unwrap();
    let mut record = list.read(newest).unwrap();
    for file in record.models.iter_mut().filter_map(|outcome| outcome.file.as_mut()) {
        let path = lake.resolve(&file.path);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8..12].copy_from_slice(&99u32.to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        file.xxh3 = format!("{:016x}", xxh3_64(&bytes));
    }
    let path = lake.checkpoint(schema_name).join(format!("learn/{newest}.json"));
    let mut record = serde_json::to_value(&record).unwrap();
    record["format"] = FORMAT.into();
    std::fs::write(path, record.to_string()).unwrap();
    newest
}

/// All models were trained after the batch that follows, without a model before them.
fn assert_trained_anew(lake: &Lake, schema_name: &str, after: u64) {
    let record = records(lake, schema_name).read(after + 1).unwrap();
    assert!(!record.models.is_empty());
    for outcome in record.models {
        assert_eq!((outcome.status, outcome.reason), (ModelStatus::Trained, None), "{}", outcome.name);
        assert_eq!(outcome.version, Some(after + 1), "{}", outcome.name);
        assert_eq!(outcome.prequential, None, "{}: there was no model to score", outcome.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_another_format_are_trained_anew() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(600, 5));
    let job = support::job(&broker.address(), 300, &[]);
    stream_all(&job, &lake).await.unwrap();
    let newest = put_another_format(&lake, "chicago_arrests");
    broker.send("crimes", 1, &crimes(300, 6));
    stream_all(&job, &lake).await.unwrap();
    assert_trained_anew(&lake, "chicago_arrests", newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_a_state_too() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let rows = rfm::order_rows(300, 5);
    let (first, later) = rows.split_at(400);
    let broker = rfm::broker_with(first).await;
    let job = rfm::job(&broker.address(), 200, &[]);
    stream_all(&job, &lake).await.unwrap();
    let newest = put_another_format(&lake, "olist_rfm");
    broker.send("orders", 1, &later[..100]);
    stream_all(&job, &lake).await.unwrap();
    assert_trained_anew(&lake, "olist_rfm", newest);
}
