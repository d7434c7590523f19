//! Which version of a model is in use: by the word of a gate, and of a person.

use serde_json::Value;
use tidemill_core::lake::Lake;
use tidemill_core::project::{Project, Settings, StreamJob};
use tidemill_core::stream::{CrashPoint, Driver};

use crate::support::{
    Essence, JOB, TestBroker, crimes, die_after, job, query, run, stream_all, texts, tidemill,
};

const NEVER: &str = "{ metric = \"auc\", min_gain = 0.9, min_rows = 1 }";
const ALWAYS: &str = "{ metric = \"log_loss\", max_drop = 100.0, min_rows = 1 }";
/// As many hold-out rows as there are after the third of five batches of 150.
const LATER: &str = "{ metric = \"accuracy\", max_drop = 1.0, min_rows = 130 }";
const GATES: [(&str, &str); 3] =
    [("models.forest.gate", NEVER), ("models.tree.gate", ALWAYS), ("models.logistic.gate", LATER)];

const PER_BATCH: u64 = 150;
const BATCHES: u64 = 5;

async fn broker_with(batches: u64) -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 2).await;
    broker.send("crimes", 2, &crimes((batches * PER_BATCH) as usize, 11));
    broker
}

fn model_file(lake: &Lake, model: &str, version: u64) -> Option<Vec<u8>> {
    std::fs::read(lake.resolve(&format!("chicago_arrests/_models/{model}/batch-{version:08}.model"))).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_compares_on_the_same_rows_and_leaves_the_champion_as_it_was() {
    let broker = broker_with(BATCHES).await;
    let folder = tempfile::tempdir().unwrap();
    let (open, gated) = (Lake::new(folder.path().join("open")), Lake::new(folder.path().join("gated")));
    stream_all(&job(&broker.address(), PER_BATCH, &[]), &open).await.unwrap();
    stream_all(&job(&broker.address(), PER_BATCH, &GATES), &gated).await.unwrap();

    let events = |model: &str| {
        format!(
            "SELECT batch_id, from_version, to_version, verdict, why FROM model_events WHERE model = '{model}' ORDER BY 1"
        )
    };
    let row = |cells: [&str; 5]| cells.map(String::from).to_vec();
    let forest: Vec<Vec<String>> = (0..5)
        .map(|n| match n {
            0 => row(["0", "", "0", "accepted", "first"]),
            n => row([&n.to_string(), "0", "0", "rejected", "gate"]),
        })
        .collect();
    assert_eq!(query(&gated, &events("forest")).await, forest);
    // Everything goes through: the models are those of a job without a gate.
    let scores = "SELECT batch_id, version, auc, log_loss FROM metrics WHERE model = 'tree' AND evaluation = 'holdout' ORDER BY 1";
    assert_eq!(query(&gated, scores).await, query(&open, scores).await);
    let verdicts =
        "SELECT string_agg(verdict, ' ' ORDER BY batch_id) FROM model_events WHERE model = 'logistic'";
    let holdout = query(
        &open,
        "SELECT batch_id, rows FROM metrics WHERE model = 'logistic' AND evaluation = 'holdout' ORDER BY 1",
    )
    .await;
    let expected: Vec<&str> = holdout
        .iter()
        .map(|row| match (row[0].as_str(), row[1].parse::<u64>().unwrap()) {
            ("0", _) => "accepted",
            (_, rows) if rows < 130 => "waits",
            _ => "accepted",
        })
        .collect();
    assert!(expected.contains(&"waits"), "{expected:?}");
    assert_eq!(query(&gated, verdicts).await.concat(), [expected.join(" ")]);

    // What the gate went by: the new model's value is that of the job without a gate, the champion's is what the metrics say
    // of it, and both are of the same rows.
    let by = "SELECT batch_id, rows, challenger FROM model_events WHERE model = 'forest' AND batch_id > 0 ORDER BY 1";
    let trained = "SELECT batch_id, rows, auc FROM metrics WHERE model = 'forest' AND evaluation = 'holdout' AND batch_id > 0 ORDER BY 1";
    assert_eq!(query(&gated, by).await, query(&open, trained).await);
    let reference =
        "SELECT batch_id, reference, 0 FROM model_events WHERE model = 'forest' AND batch_id > 0 ORDER BY 1";
    let champion = "SELECT batch_id, auc, version FROM metrics WHERE model = 'forest' AND evaluation = 'holdout' AND batch_id > 0 ORDER BY 1";
    assert_eq!(query(&gated, reference).await, query(&gated, champion).await);

    assert_eq!(model_file(&gated, "forest", 0), model_file(&open, "forest", 0));
    assert_eq!(model_file(&gated, "forest", 4), model_file(&open, "forest", 4), "the challenger is there");
    let statuses = "SELECT string_agg(status, ' ' ORDER BY batch_id) FROM models WHERE model = 'forest'";
    assert_eq!(
        query(&gated, statuses).await.concat(),
        ["trained challenger challenger challenger challenger"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_dies_decides_the_same_again() {
    let broker = broker_with(4).await;
    let sets = [
        GATES[0],
        GATES[2],
        ("models.tree.gate", "{ metric = \"f1\", min_ratio = 0.95, over = \"accepted_mean\", min_rows = 1 }"),
    ];
    let job = job(&broker.address(), PER_BATCH, &sets);
    let folder = tempfile::tempdir().unwrap();
    let untouched = Lake::new(folder.path().join("untouched"));
    stream_all(&job, &untouched).await.unwrap();
    let expected = Essence::of(&untouched);
    for batch in 1..4 {
        for point in [CrashPoint::Commit, CrashPoint::Train, CrashPoint::Learn] {
            let lake = Lake::new(folder.path().join(format!("{batch}-{point:?}")));
            die_after(&job, &lake, batch, point).await;
            stream_all(&job, &lake).await.unwrap();
            Essence::of(&lake).assert_same(&expected, &format!("{point:?} of batch {batch}"));
            let events =
                "SELECT batch_id, model, verdict, challenger, reference FROM model_events ORDER BY 1, 2";
            assert_eq!(query(&lake, events).await, query(&untouched, events).await);
        }
    }
}

fn models(lake: &Lake, words: &[&str]) -> Vec<Value> {
    let output = run(tidemill(lake.root()).arg("models").args(words).args(["--format", "json"]));
    assert!(output.status.success(), "{}", texts(&output).1);
    serde_json::from_str(&texts(&output).0).unwrap()
}

/// Says something of a version; what is told.
fn say(lake: &Lake, words: &[&str]) -> String {
    let output = run(tidemill(lake.root()).arg("models").args(words));
    assert!(output.status.success(), "{words:?}: {}", texts(&output).1);
    texts(&output).1
}

async fn in_use(lake: &Lake) -> Vec<Option<u64>> {
    let learn = tidemill_core::records::RecordList::<tidemill_core::records::Learn>::read_only(
        lake.checkpoint("chicago_arrests").join("learn"),
    );
    let record = learn.read(learn.latest().unwrap().unwrap()).unwrap();
    let forest = record.models.iter().find(|of| of.name == "forest").unwrap();
    vec![forest.version, forest.challenger.as_ref().map(|of| of.version)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_the_last_word() {
    let broker = broker_with(2).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), PER_BATCH, &[("models.forest.keep", "2")]);
    stream_all(&job, &lake).await.unwrap();
    let more = async |seed| {
        broker.send("crimes", 2, &crimes(PER_BATCH as usize, seed));
        stream_all(&job, &lake).await.unwrap();
    };
    assert_eq!(in_use(&lake).await, [Some(1), None]);
    let champion = model_file(&lake, "forest", 0).unwrap();
    let told = say(&lake, &["promote", JOB, "forest@0"]);
    assert!(
        told.contains("forest version 0 is in use") && told.contains("models unpin chicago-arrests forest"),
        "{told}"
    );
    // At once for who asks, at the next batch for the driver.
    assert_eq!(models(&lake, &["list", JOB])[1]["version"], 0);
    assert_eq!(in_use(&lake).await, [Some(1), None]);
    for (seed, challenger) in [(21, 2), (22, 3), (23, 4), (24, 5)] {
        more(seed).await;
        assert_eq!(in_use(&lake).await, [Some(0), Some(challenger)]);
    }
    assert_eq!(model_file(&lake, "forest", 0), Some(champion), "two files are kept, and the one in use");
    assert!(model_file(&lake, "forest", 3).is_none() && model_file(&lake, "forest", 4).is_some());
    let events = "SELECT batch_id, from_version, to_version, why FROM model_events ORDER BY 1";
    assert_eq!(query(&lake, events).await, [["2", "1", "0", "promote"]]);

    say(&lake, &["alias", JOB, "forest@challenger", "live"]);
    say(&lake, &["tag", JOB, "forest@4", "before the change"]);
    assert_eq!(models(&lake, &["show", JOB, "forest@live"])[2]["value"], "5");
    say(&lake, &["unpin", JOB, "forest"]);
    for seed in [31, 32, 33] {
        more(seed).await;
    }
    assert_eq!(in_use(&lake).await, [Some(8), None]);
    let kept: Vec<u64> = (0..9).filter(|&version| model_file(&lake, "forest", version).is_some()).collect();
    assert_eq!(kept, [4, 5, 7, 8], "the two newest, the tagged and the one with a name");
    let told = say(&lake, &["rollback", JOB, "forest"]);
    assert!(told.contains("forest version 7 is in use"), "{told}");
    let names: Vec<String> = models(&lake, &["history", JOB, "forest"])
        .iter()
        .map(|row| row["names"].as_str().unwrap_or("").to_owned())
        .collect();
    assert_eq!(names, ["", "", "", "", "before the change", "@live", "", "@champion", ""]);
    more(41).await;
    assert_eq!(in_use(&lake).await, [Some(7), Some(9)]);

    for (words, expected) in [
        (["promote", JOB, "forest@1"], "the file of version 1 of model `forest` was removed"),
        (["promote", JOB, "forest@20"], "has learned from batches 0 to 9"),
        (["promote", JOB, "forest@lve"], "did you mean `live`?"),
        (["promote", JOB, "tree@challenger"], "model `tree` has no challenger"),
        (["unpin", JOB, "tree"], "model `tree` is not pinned"),
        (["unpin", JOB, "fores"], "did you mean `forest`?"),
    ] {
        let output = run(tidemill(lake.root()).arg("models").args(words));
        let error = texts(&output).1;
        assert!(output.status.code() == Some(2) && error.contains(expected), "{words:?}: {error}");
    }
    let output = run(tidemill(lake.root()).args(["models", "alias", JOB, "forest", "12"]));
    assert!(texts(&output).1.contains("`12` cannot be an alias"), "{}", texts(&output).1);
}

/// A pinned version that can be had no more is told, and learning goes on; so it does for batches that were planned by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_that_is_gone_stops_nothing() {
    let broker = broker_with(2).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), PER_BATCH, &[]);
    stream_all(&job, &lake).await.unwrap();
    say(&lake, &["promote", JOB, "forest@0"]);
    let file = lake.resolve("chicago_arrests/_models/forest/batch-00000000.model");
    std::fs::remove_file(file).unwrap();
    broker.send("crimes", 2, &crimes(PER_BATCH as usize, 51));
    stream_all(&job, &lake).await.unwrap();
    assert_eq!(in_use(&lake).await, [Some(2), None]);
    let events = "SELECT batch_id, from_version, to_version, verdict, why FROM model_events";
    assert_eq!(query(&lake, events).await, [["2", "1", "1", "refused", "promote"]]);
}

/// What a plan has pinned is there when its batch is learned from, whatever people have said meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_pins_that_wait_are_kept() {
    let broker = broker_with(3).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), PER_BATCH, &[("models.forest.keep", "1")]);
    stream_all(&job, &lake).await.unwrap();
    say(&lake, &["promote", JOB, "forest@2"]);
    // Two batches are committed by plans that have seen the pin, and not learned from.
    broker.send("crimes", 2, &crimes(2 * PER_BATCH as usize, 52));
    let mut driver = Driver::open(&job, &lake).await.unwrap();
    let held = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    driver.hold_history(held);
    driver.recover(&mut |_| {}).await.unwrap();
    while driver.next_batch(None, &mut |_| {}).await.unwrap().is_some() {}
    assert_eq!(driver.waiting(), 2);
    drop(driver);
    say(&lake, &["unpin", JOB, "forest"]);
    broker.send("crimes", 2, &crimes(PER_BATCH as usize, 53));
    stream_all(&job, &lake).await.unwrap();
    let versions =
        "SELECT batch_id, version, status FROM models WHERE model = 'forest' AND batch_id > 2 ORDER BY 1";
    let expected = [["3", "2", "challenger"], ["4", "2", "challenger"], ["5", "5", "trained"]];
    assert_eq!(query(&lake, versions).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_back_to_what_was_in_use() {
    let broker = broker_with(4).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job = job(&broker.address(), PER_BATCH, &[]);
    stream_all(&job, &lake).await.unwrap();
    say(&lake, &["promote", JOB, "forest@1"]);
    assert!(say(&lake, &["rollback", JOB, "forest"]).contains("forest version 3 is in use"));
    say(&lake, &["promote", JOB, "forest@1"]);
    broker.send("crimes", 2, &crimes(PER_BATCH as usize, 54));
    stream_all(&job, &lake).await.unwrap();
    assert!(say(&lake, &["rollback", JOB, "forest"]).contains("forest version 3 is in use"));
    for (words, expected) in [
        (["alias", "forest", "Champion"], "cannot be an alias"),
        (["alias", "forest", "batch"], "cannot be an alias"),
        (["tag", "forest", ""], "cannot be a tag"),
        (["tag", "forest", "@live"], "cannot be a tag"),
    ] {
        let output = run(tidemill(lake.root()).args(["models", words[0], JOB, words[1], words[2]]));
        assert!(texts(&output).1.contains(expected), "{words:?}: {}", texts(&output).1);
    }
    // Without a job each model has the names of its own job.
    assert_eq!(models(&lake, &["list"]), models(&lake, &["list", JOB]));
}

/// A killed driver learns the batch again, although somebody has spoken meanwhile: its plan was made before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_a_plan_holds_from_the_next_one() {
    let broker = broker_with(3).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    let job: StreamJob = job(&broker.address(), PER_BATCH, &[]);
    die_after(&job, &lake, 1, CrashPoint::Commit).await;
    say(&lake, &["promote", JOB, "forest@0"]);
    stream_all(&job, &lake).await.unwrap();
    let versions = "SELECT batch_id, version, status FROM models WHERE model = 'forest' ORDER BY 1";
    let expected = [["0", "0", "trained"], ["1", "1", "trained"], ["2", "0", "challenger"]];
    assert_eq!(query(&lake, versions).await, expected);
}

#[test]
fn a_gate_that_cannot_be_is_refused_before_anything_is_done() {
    for (gate, expected) in [
        ("{ metric = \"acc\", min_gain = 0.1 }", "there is no metric `acc`"),
        ("{ metric = \"silhouette\", min_gain = 0.1 }", "there is no metric `silhouette`"),
        ("{ metric = \"auc\" }", "it wants one of min_gain, max_drop and min_ratio"),
        ("{ metric = \"auc\", min_gain = 0.1, min_rows = -1 }", "min_rows"),
        ("{ metric = \"auc\", min_gain = 0.1, ovr = \"champion\" }", "ovr"),
    ] {
        let sets = vec![("models.forest.gate".to_owned(), gate.to_owned())];
        let settings = Settings { sets, environment: Default::default() };
        let error =
            Project::open(std::path::Path::new("/nonexistent")).stream_job(JOB, &settings).unwrap_err();
        assert!(error.to_string().contains(expected), "{gate}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_is_a_row_of_its_own_too() {
    let broker = broker_with(2).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    stream_all(&job(&broker.address(), PER_BATCH, &GATES), &lake).await.unwrap();
    for (metric, evaluation) in [("auc", "holdout"), ("log_loss", "prequential"), ("silhouette", "holdout")] {
        let wide = format!(
            "SELECT job, batch_id, model, version, rows, {metric} FROM metrics WHERE evaluation = '{evaluation}' \
             AND {metric} IS NOT NULL ORDER BY batch_id, model"
        );
        let long = format!(
            "SELECT job, batch_id, model, version, rows, value FROM metric_values WHERE evaluation = '{evaluation}' \
             AND metric = '{metric}' ORDER BY batch_id, model"
        );
        assert_eq!(query(&lake, &long).await, query(&lake, &wide).await, "{metric}");
    }
    let challenger = "SELECT v.value = e.challenger FROM metric_values v JOIN model_events e USING (batch_id, model, metric) \
         WHERE v.evaluation = 'challenger' AND model = 'forest'";
    assert_eq!(query(&lake, challenger).await, [["true"]]);
    let brier = "SELECT count(*) FROM metric_values WHERE metric = 'brier' AND evaluation <> 'challenger' AND value BETWEEN 0 AND 1";
    assert_eq!(query(&lake, brier).await, [["9"]]);
}
