//! Scores beside each other and as plots, from the command line.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tidemill_core::lake::Lake;

use crate::support::{JOB, TestBroker, crimes, job, run, stream_all, texts, tidemill};

/// Two lakes of the same topic, in batches of 200 and of 300.
async fn lakes(folder: &Path) {
    let broker = TestBroker::start().await;
    broker.create_topic("crimes", 1).await;
    broker.send("crimes", 1, &crimes(900, 11));
    // More clusters than rows: this model is never trained, so no metric of clusters has a value.
    let untrained = [("models.hotspots.clusters", "5000")];
    for (name, limit) in [("one", 300), ("two", 200)] {
        stream_all(&job(&broker.address(), limit, &untrained), &Lake::new(folder.join(name))).await.unwrap();
    }
}

fn metrics(lake: &Path, arguments: &[&str]) -> Output {
    run(tidemill(lake).args(["metrics", JOB]).args(arguments))
}

fn rows(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", texts(output).1);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_lakes_are_compared_and_the_best_is_named() {
    let folder = tempfile::tempdir().unwrap();
    lakes(folder.path()).await;
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let all = rows(&metrics(&one, &["--evaluation", "holdout", "--format", "json"]));
    let value = |model: &str, batch: u64, metric: &str| {
        let row = all.iter().find(|r| r["model"] == model && r["batch_id"] == batch).unwrap();
        row[metric].as_f64().unwrap()
    };

    let compared = rows(&metrics(&one, &["--compare", "forest", "logistic", "--format", "json"]));
    assert_eq!(compared.len(), 3 * (3 + 1));
    for metric in ["accuracy", "auc", "log_loss"] {
        let of: Vec<&Value> = compared.iter().filter(|r| r["metric"] == metric).collect();
        let (mut sum, mut wins) = (0.0, 0);
        for (batch, row) in (0..3).zip(&of) {
            let (forest, logistic) = (value("forest", batch, metric), value("logistic", batch, metric));
            assert_eq!((row["batch_id"].as_u64(), row["forest"].as_f64()), (Some(batch), Some(forest)));
            assert!((row["difference"].as_f64().unwrap() - (forest - logistic)).abs() < 1e-12);
            sum += forest - logistic;
            wins += u64::from(if metric == "log_loss" { forest < logistic } else { forest > logistic });
        }
        let last = of[3];
        assert!(
            last["batch_id"].is_null() && (last["difference"].as_f64().unwrap() - sum / 3.0).abs() < 1e-12
        );
        assert_eq!(last["forest_wins"].as_u64(), Some(wins));
    }
    let table = texts(&metrics(&one, &["--compare", "forest", "logistic", "--last", "1"])).0;
    assert!(table.contains("all") && !table.contains("NULL"), "{table}");

    let lakes = ["--compare-lake", two.to_str().unwrap(), "--model", "forest", "--format", "json"];
    let lakes = rows(&metrics(&one, &lakes));
    assert_eq!(lakes.len(), 3 * (3 + 1), "the lakes share batches 0, 1 and 2");
    assert!(lakes.iter().all(|row| row["model"] == "forest"));
    assert_eq!(lakes[0]["this"].as_f64(), Some(value("forest", 0, "accuracy")));

    for (by, low) in [("auc", false), ("accuracy", false), ("log_loss", true), ("f1", false)] {
        let best = rows(&metrics(&one, &["--best", "--by", by, "--format", "json"]));
        let (forest, logistic) = (value("forest", 2, by), value("logistic", 2, by));
        let expected = if (forest < logistic) == low { "forest" } else { "logistic" };
        assert_eq!(
            (best.len(), &best[0]["model"], &best[0]["batch_id"]),
            (1, &expected.into(), &2.into()),
            "{by}"
        );
    }

    for (arguments, part) in [
        (["--compare", "forst", "logistic"].as_slice(), "did you mean `forest`"),
        (&["--compare", "forest", "forest"], "two different models"),
        (&["--compare", "forest"], "2 values required"),
        (&["--compare-lake", "/nonexistent"], "there is no lake at /nonexistent"),
        (&["--by", "auc"], "--best"),
    ] {
        let output = metrics(&one, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(texts(&output).1.contains(part), "{arguments:?}: {}", texts(&output).1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_is_plotted_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    lakes(folder.path()).await;
    let plot = |arguments: &[&str]| {
        let lake = folder.path().join("one");
        run(tidemill(&lake).current_dir(folder.path()).args(["plot", JOB, "metrics"]).args(arguments))
    };
    for (name, begin, labels) in [
        ("auc.svg", "<svg", ["forest, hold-out", "logistic, prequential", "chicago-arrests: AUC by batch"]),
        (
            "auc.html",
            "<!doctype html>",
            ["forest, hold-out", "logistic, prequential", "chicago-arrests: AUC by batch"],
        ),
    ] {
        let output = plot(&["--out", name]);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", texts(&output).1);
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.trim_start().starts_with(begin), "{name}: {}", &text[..80]);
        for label in labels {
            assert!(text.contains(label), "{name}: {label}");
        }
    }
    let drawn = plot(&["--metric", "log_loss"]);
    let (stdout, stderr) = texts(&drawn);
    assert!(drawn.status.success(), "{stderr}");
    assert!(stdout.starts_with("chicago-arrests: log loss by batch\n"), "{stdout}");
    assert!(stdout.contains("forest, prequential") && !stdout.contains('\x1b'), "{stdout}");

    for (arguments, part) in [
        (["--metric", "log-loss"].as_slice(), "did you mean `log_loss`"),
        (&["--metric", "silhouette"], "no model of job chicago-arrests has a value of silhouette"),
        (&["--out", "auc.png"], ".svg or .html"),
        (&["--out", "nowhere/auc.svg"], "no folder"),
    ] {
        let output = plot(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(texts(&output).1.contains(part), "{arguments:?}: {}", texts(&output).1);
    }
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["auc.html", "auc.svg", "one", "two"]);
}
