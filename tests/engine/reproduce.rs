//! Versions of models trained again from the records, and files that go and come on purpose.

use serde_json::Value;
use tidemill_core::lake::Lake;
use tidemill_core::project::StreamJob;

use crate::rfm::{self, broker_with, order_rows};
use crate::support::{JOB, TestBroker, crimes, job, run, stream_all, texts, tidemill, unsealed_text};

const PER_BATCH: u64 = 150;

fn command(lake: &Lake, arguments: &[&str]) -> (bool, String, String) {
    let output = run(tidemill(lake.root()).args(arguments));
    let (out, err) = texts(&output);
    (output.status.success(), out, err)
}

/// What `models reproduce` prints of a version.
fn reproduced(lake: &Lake, job: &str, model: &str) -> Value {
    let (_, out, err) = command(lake, &["models", "reproduce", job, model, "--format", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{model}: {e}: {out} {err}"));
    rows[0].clone()
}

/// A lake of one large batch, so that the four small ones after it are few rows more, by these settings.
async fn lake_of(folder: &std::path::Path, sets: &[(&str, &str)]) -> (Lake, TestBroker, StreamJob) {
    const FIRST: usize = 24_000;
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    let messages = crimes(FIRST + 4 * PER_BATCH as usize, 3);
    broker.send("crimes", 1, &messages[..FIRST]);
    let lake = Lake::new(folder);
    stream_all(&job(&broker.address(), FIRST as u64, sets), &lake).await.unwrap();
    broker.send("crimes", 1, &messages[FIRST..]);
    let job = job(&broker.address(), PER_BATCH, sets);
    stream_all(&job, &lake).await.unwrap();
    (lake, broker, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_makes_the_same_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    // Boosting goes on from the version before: the challenger, until the second rejection lets it begin at the champion again.
    let sets = [
        ("models.forest.max_depth", "14"),
        ("models.tree.algorithm", "gradient_boosting"),
        ("models.tree.trees", "12"),
        ("models.tree.gate", "{ metric = \"auc\", min_gain = 0.9, min_rows = 1, patience = 2 }"),
    ];
    let (lake, _broker, _job) = lake_of(folder.path(), &sets).await;
    for model in
        ["logistic@0", "logistic", "hotspots@2", "forest@4", "tree@0", "tree@1", "tree@2", "tree@3", "tree@4"]
    {
        assert_eq!(reproduced(&lake, JOB, model)["is_same"], true, "{model}");
    }
    let trained = |model: &str| reproduced(&lake, JOB, model)["versions_trained"].clone();
    assert_eq!([trained("logistic@0"), trained("tree@0")], [1, 1]);
    assert_eq!([trained("tree@1"), trained("tree@2"), trained("tree@3")], [2, 3, 2]);
    // Rows that are others now are told, and change nothing.
    let file = lake.resolve("chicago_arrests/crimes/batch-00000001.parquet");
    let aside = folder.path().join("aside");
    std::fs::rename(&file, &aside).unwrap();
    let (is_done, _, err) = command(&lake, &["models", "reproduce", JOB, "forest@2"]);
    assert!(
        !is_done && err.contains("has learned from it") && err.contains("batch-00000001.parquet"),
        "{err}"
    );
    std::fs::rename(&aside, &file).unwrap();
    let record = lake.checkpoint("chicago_arrests").join("learn/2.json");
    let text = unsealed_text(&record);
    let (version, xxh3) = (env!("CARGO_PKG_VERSION"), reproduced(&lake, JOB, "logistic@2")["xxh3"].clone());
    let other = text.replace(xxh3.as_str().unwrap(), "0123456789abcdef");
    std::fs::write(&record, other.replace(&format!("\"version\": \"{version}\""), "\"version\": \"0.0.9\""))
        .unwrap();
    let (is_done, out, err) = command(&lake, &["models", "reproduce", JOB, "logistic@2", "--format", "csv"]);
    assert!(
        !is_done && out.contains("false") && err.contains("Tidemill 0.0.9 trained it on "),
        "{out} {err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_of_a_state_are_made_again_from_the_rows() {
    let broker = broker_with(&order_rows(600, 7)).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    // More batches than a state keeps changes of, and several turns of the whole.
    stream_all(&rfm::job(&broker.address(), 10, &[("models.full.every", "20")]), &lake).await.unwrap();
    for model in ["minibatch", "online", "full", "minibatch@30", "full@39"] {
        let found = reproduced(&lake, rfm::JOB, model);
        assert_eq!(found["is_same"], true, "{model}: {found}");
        assert!(found["versions_trained"].as_u64() > Some(1), "{model}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_and_come_on_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, broker, job) = lake_of(folder.path(), &[("models.tree.keep", "3")]).await;
    let path = |version: u64| lake.resolve(&format!("chicago_arrests/_models/tree/batch-{version:08}.model"));
    let models = |arguments: &[&str]| command(&lake, &[&["models"], arguments].concat());
    let refused = |arguments: &[&str], part: &str| {
        let (is_done, _, err) = models(arguments);
        assert!(!is_done && err.contains(part), "{arguments:?}: {err}");
    };
    let done = |arguments: &[&str]| {
        let (is_done, out, err) = models(arguments);
        assert!(is_done, "{arguments:?}: {err}");
        out
    };
    // Old ones are gone by themselves, and the error says how to have one back.
    assert!(!path(1).exists());
    let some = folder.path().join("some.csv");
    std::fs::write(&some, "arrest\ntrue\n").unwrap();
    let predict = |model: &str| command(&lake, &["predict", JOB, model, "--input", some.to_str().unwrap()]).2;
    assert!(
        predict("tree@1").contains("tidemill models reproduce chicago-arrests tree@1 --restore"),
        "{}",
        predict("tree@1")
    );
    refused(&["archive", JOB, "tree@1"], "has no file any more");
    done(&["reproduce", JOB, "tree@1", "--restore"]);
    let first = std::fs::read(path(1)).unwrap();
    // What was put back stays where a batch removes others.
    broker.send("crimes", 1, &crimes(PER_BATCH as usize, 5));
    stream_all(&job, &lake).await.unwrap();
    assert!(path(1).exists() && !path(2).exists() && path(3).exists());

    refused(&["archive", JOB, "tree"], "is in use");
    done(&["alias", JOB, "tree@3", "live"]);
    refused(&["archive", JOB, "tree@3"], "@live");
    refused(&["archive", JOB, "tree@live"], "@live");
    done(&["alias", JOB, "tree", "live", "--remove"]);
    done(&["tag", JOB, "tree@4", "of the report"]);
    refused(&["archive", JOB, "tree@4"], "of the report");
    done(&["archive", JOB, "tree@3"]);
    done(&["archive", JOB, "tree@1"]);
    assert!(!path(3).exists() && !path(1).exists());
    refused(&["archive", JOB, "tree@3"], "has no file any more");
    assert!(predict("tree@3").contains("was archived"), "{}", predict("tree@3"));
    refused(&["alias", JOB, "tree@3", "live"], "was archived");
    let rows: Vec<Value> =
        serde_json::from_str(&done(&["history", JOB, "tree", "--format", "json"])).unwrap();
    let archived: Vec<bool> = rows.iter().map(|row| row["is_archived"] == true).collect();
    assert_eq!(archived, [false, true, false, true, false, false]);
    let shown = done(&["show", JOB, "tree@3"]);
    for part in ["archived", "0 to 3", "features_xxh3", "engine", "processor", "seed", "planned_at"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    done(&["reproduce", JOB, "tree@1", "--restore"]);
    assert!(std::fs::read(path(1)).unwrap() == first);
    // One in use that is lost or damaged ends a start, which says how to have it back.
    for damage in ["", "tidemill"] {
        let newest = path(5);
        let bytes = std::fs::read(&newest).unwrap();
        std::fs::remove_file(&newest).unwrap();
        if damage.is_empty() {
            let error = stream_all(&job, &lake).await.unwrap_err();
            assert!(
                error.next_step().unwrap().contains("reproduce chicago-arrests tree@5 --restore"),
                "{error:?}"
            );
        } else {
            std::fs::write(&newest, damage).unwrap();
        }
        done(&["reproduce", JOB, "tree@5", "--restore"]);
        assert!(std::fs::read(&newest).unwrap() == bytes);
        stream_all(&job, &lake).await.unwrap();
    }
    // The challenger is what learning goes on from.
    done(&["promote", JOB, "tree@4"]);
    broker.send("crimes", 1, &crimes(PER_BATCH as usize, 6));
    stream_all(&job, &lake).await.unwrap();
    refused(&["archive", JOB, "tree@challenger"], "is the challenger");
    let (is_well, _, err) = command(&lake, &["doctor"]);
    assert!(is_well, "{err}");
}
