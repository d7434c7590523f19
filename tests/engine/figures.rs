//! The figures of the main job: the real rows through `produce`, Kafka, the driver and the metrics.
//!
//! With `TIDEMILL_DATA` these are the 73,597 rows of the city's register; without it, generated ones of the same
//! shape, for which the bounds are those of the generator (AUC .87 to .92), and the output says so.

use std::path::PathBuf;

use tidemill_core::lake::Lake;

use crate::support::{JOB, TestBroker, positions, query, run, texts, tidemill};

const ROWS: u64 = 73_597;

#[tokio::test(flavor = "multi_thread")]
async fn accuracy_and_auc_hold_on_the_chicago_rows() {
    let folder = tempfile::tempdir().unwrap();
    let real = std::env::var_os("TIDEMILL_DATA")
        .map(|data| PathBuf::from(data).join("chicago_crimes/crimes_combined.csv.gz"))
        .filter(|path| path.is_file());
    let generated = folder.path().join("generated.csv");
    let input = match &real {
        Some(path) => path,
        None => {
            println!("TIDEMILL_DATA has no Chicago crimes: generated rows stand in for the real ones");
            let made = run(tidemill(folder.path())
                .args([
                    "data",
                    "generate",
                    "chicago-crimes",
                    "--rows",
                    &ROWS.to_string(),
                    "--seed",
                    "42",
                    "--out",
                ])
                .arg(&generated));
            assert!(made.status.success(), "{}", texts(&made).1);
            &generated
        }
    };
    let broker = TestBroker::start().await;
    let lake = Lake::new(folder.path().join("lake"));
    let produced = run(tidemill(lake.root())
        .args(["produce", JOB, "--brokers", &broker.address(), "--input"])
        .arg(input));
    assert!(produced.status.success(), "{}", texts(&produced).1);
    let streamed =
        run(tidemill(lake.root()).args(["stream", JOB, "--available-now", "--brokers", &broker.address()]));
    let (lines, errors) = texts(&streamed);
    assert!(streamed.status.success(), "{errors}");
    assert_eq!(lines.lines().count(), 15, "{lines}");
    assert_eq!(positions(&lake).await, (ROWS, ROWS));
    assert_eq!(query(&lake, "SELECT count(*) FROM dead_letters").await[0][0], "0");

    let scores = holdout_of_the_last_batch(&lake).await;
    println!("{scores:?}");
    let bounds = match real.is_some() {
        true => [("forest", 0.880, 0.885), ("logistic", 0.885, 0.890), ("tree", 0.885, 0.885)],
        false => [("forest", 0.80, 0.87), ("logistic", 0.80, 0.87), ("tree", 0.80, 0.85)],
    };
    assert_eq!(scores.len(), bounds.len());
    for (score, (model, accuracy, auc)) in scores.iter().zip(bounds) {
        assert_eq!(score[0], model);
        assert!(score[1].parse::<f64>().unwrap() >= accuracy, "{model}: accuracy {}", score[1]);
        assert!(score[2].parse::<f64>().unwrap() >= auc, "{model}: AUC {}", score[2]);
        let share = score[3].parse::<f64>().unwrap() / ROWS as f64;
        assert!((0.29..0.31).contains(&share), "held out {share}");
    }
    // Many deep trees, of which a quarter at least is grown anew at each batch.
    let deep = Lake::new(folder.path().join("deep"));
    let sets = ["models.forest.trees=100", "models.forest.max_depth=10"];
    let streamed = run(tidemill(deep.root())
        .args(["stream", JOB, "--available-now", "--brokers", &broker.address()])
        .args(sets.iter().flat_map(|set| ["--set", set])));
    assert!(streamed.status.success(), "{}", texts(&streamed).1);
    let scores = holdout_of_the_last_batch(&deep).await;
    println!("{sets:?}: {:?}", scores[0]);
    let (accuracy, auc) = if real.is_some() { (0.890, 0.893) } else { (0.80, 0.87) };
    assert_eq!(scores[0][0], "forest");
    assert!(scores[0][1].parse::<f64>().unwrap() >= accuracy, "accuracy {}", scores[0][1]);
    assert!(scores[0][2].parse::<f64>().unwrap() >= auc, "AUC {}", scores[0][2]);
}

/// Model, accuracy, AUC and rows. Batches of 5,000: the last of 15 has 3,597 rows.
async fn holdout_of_the_last_batch(lake: &Lake) -> Vec<Vec<String>> {
    query(
        lake,
        "SELECT model, accuracy, auc, rows FROM metrics WHERE batch_id = 14 AND evaluation = 'holdout' AND auc IS NOT NULL ORDER BY model",
    )
    .await
}
