//! What a person does with the clusters of olist-rfm: scores compared, exact ones, the plots; and the whole job on the
//! rows of olist.wide.
//!
//! With `TIDEMILL_DATA` these are the 115,609 rows of the real files; without it, generated ones stand in and are said to.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tidemill_core::lake::Lake;

use crate::jobs::{real, sample};
use crate::rfm::{JOB, assert_state_is_the_batch_sql, broker_with, job, order_rows};
use crate::support::{TestBroker, query, run, stream_all, texts, tidemill};

/// A column of the CSV that a command prints.
fn csv_column(text: &str, name: &str) -> Vec<String> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = lines.next().unwrap().iter().position(|heading| *heading == name).unwrap();
    lines.map(|cells| cells[at].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_are_compared_and_drawn() {
    let broker = broker_with(&order_rows(600, 7)).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    stream_all(&job(&broker.address(), 100, &[]), &lake).await.unwrap();
    let metrics = |arguments: &[&str]| {
        let output = run(tidemill(lake.root()).args(["metrics", JOB, "--format", "csv"]).args(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", texts(&output).1);
        texts(&output).0
    };

    // Of a job without a hold-out the best is the best on the sample, by the silhouette.
    let newest = metrics(&["--last", "1"]);
    let best = csv_column(&newest, "silhouette").iter().map(|s| s.parse::<f64>().unwrap()).reduce(f64::max);
    assert_eq!(csv_column(&metrics(&["--best"]), "silhouette")[0].parse(), Ok(best.unwrap()));
    let indices = csv_column(&newest, "davies_bouldin");
    let least = indices.iter().map(|s| s.parse::<f64>().unwrap()).reduce(f64::min);
    let by = csv_column(&metrics(&["--best", "--by", "davies_bouldin"]), "davies_bouldin");
    assert_eq!(by[0].parse(), Ok(least.unwrap()));
    let compared = metrics(&["--compare", "minibatch", "online"]);
    let (of, minibatch, online) = (
        csv_column(&compared, "metric"),
        csv_column(&compared, "minibatch_wins"),
        csv_column(&compared, "online_wins"),
    );
    let batches = csv_column(&metrics(&["--model", "minibatch"]), "batch_id").len();
    // A row a batch and one over all, for three metrics of clusterings and none of classifiers.
    assert_eq!(of.len(), 3 * (batches + 1));
    assert!(!compared.contains("accuracy"));
    let all: u64 = [&minibatch[batches], &online[batches]].iter().map(|n| n.parse::<u64>().unwrap()).sum();
    // The first batch places the centres of both alike.
    assert_eq!((of[batches].as_str(), all), ("silhouette", batches as u64 - 1));

    // Here the state has fewer keys than a sample: exact scores are those of the sample.
    let exact = metrics(&["--exact"]);
    assert_eq!(csv_column(&exact, "evaluation"), ["exact"; 3]);
    let (models, found) = (csv_column(&exact, "model"), csv_column(&exact, "silhouette"));
    for (model, expected) in csv_column(&newest, "model").iter().zip(csv_column(&newest, "silhouette")) {
        let at = models.iter().position(|other| other == model).unwrap();
        let (found, expected): (f64, f64) = (found[at].parse().unwrap(), expected.parse().unwrap());
        assert!((found - expected).abs() < 1e-9, "{model}: {found} {expected}");
    }
    assert_eq!(csv_column(&metrics(&["--exact", "--model", "online"]), "model"), ["online"]);

    let plot = |arguments: &[&str]| {
        let output = run(tidemill(lake.root()).args(["plot", JOB]).args(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", texts(&output).1);
        texts(&output).0
    };
    let elbow = plot(&["elbow", "--k", "2..6"]);
    let rows: Vec<&str> = elbow.lines().skip(1).take(5).collect();
    assert!(
        elbow.starts_with("clusters  inertia")
            && rows.iter().zip(2..).all(|(r, k)| r.trim_start().starts_with(&k.to_string())),
        "{elbow}"
    );
    assert_eq!(rows.iter().filter(|row| row.contains("best silhouette")).count(), 1, "{elbow}");
    let inertias: Vec<f64> =
        rows.iter().map(|r| r.split_whitespace().nth(1).unwrap().parse().unwrap()).collect();
    assert!(inertias.windows(2).all(|pair| pair[1] < pair[0]), "{inertias:?}");
    let centres = plot(&["centres", "--metric", "monetary"]);
    assert!(centres.contains("cluster 4") && centres.contains("centres of minibatch"), "{centres}");
    let each = plot(&["centres"]);
    assert!(
        ["minibatch, monetary", "minibatch, recency days"].iter().all(|title| each.contains(title)),
        "{each}"
    );
    let scores = plot(&["metrics"]);
    assert!(scores.contains("silhouette"), "what clusters have where there is no auc: {scores}");
    for (what, parts) in [("elbow", ["inertia", "silhouette"]), ("centres", ["cluster 0", "cluster 4"])] {
        for extension in ["svg", "html"] {
            let path = folder.path().join(format!("{what}.{extension}"));
            plot(&[what, "--out", path.to_str().unwrap()]);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains("<svg") || extension == "html", "{what}.{extension}");
            assert!(
                parts.iter().all(|part| text.contains(part)),
                "{what}.{extension} has not all of {parts:?}"
            );
        }
    }
    let error = run(tidemill(lake.root()).args(["plot", JOB, "centres", "--metric", "moneta"]));
    assert!(texts(&error).1.contains("monetary"), "{}", texts(&error).1);
    let error = run(tidemill(lake.root()).args(["plot", JOB, "centres", "--model", "minibtach"]));
    assert!(texts(&error).1.contains("did you mean `minibatch`"), "{}", texts(&error).1);
}

/// The mean silhouette of points over their deviations, capped at Tukey's fences of interpolated quartiles.
fn silhouette(mut columns: Vec<Vec<f64>>, clusters: &[String]) -> f64 {
    let rows = clusters.len();
    for column in &mut columns {
        let mut sorted = column.clone();
        sorted.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let at = share * (rows - 1) as f64;
            let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
            low + (high - low) * at.fract()
        };
        let (q1, q3) = (quantile(0.25), quantile(0.75));
        column.iter_mut().for_each(|x| *x = x.clamp(q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)));
        let mean = column.iter().sum::<f64>() / rows as f64;
        let deviation = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64).sqrt();
        column.iter_mut().for_each(|x| *x = (*x - mean) / deviation);
    }
    let distance = |a: usize, b: usize| columns.iter().map(|c| (c[a] - c[b]).powi(2)).sum::<f64>().sqrt();
    let names: std::collections::BTreeSet<&String> = clusters.iter().collect();
    let of_row = |row: usize| {
        let to = |name: &str| {
            let others: Vec<usize> =
                (0..rows).filter(|&other| other != row && clusters[other] == name).collect();
            let sum: f64 = others.iter().map(|&other| distance(row, other)).sum();
            (!others.is_empty()).then(|| sum / others.len() as f64)
        };
        let Some(own) = to(&clusters[row]) else { return 0.0 };
        let others = names.iter().filter(|name| **name != &clusters[row]).filter_map(|name| to(name));
        let nearest = others.fold(f64::INFINITY, f64::min);
        (nearest - own) / nearest.max(own)
    };
    (0..rows).map(of_row).sum::<f64>() / rows as f64
}

/// One that learned long ago is scored where the others are: among all keys as they are now.
#[tokio::test(flavor = "multi_thread")]
async fn clusterings_of_a_state_are_scored_in_one_space() {
    let broker = broker_with(&order_rows(600, 7)).await;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path());
    stream_all(&job(&broker.address(), 60, &[("models.full.every", "1000")]), &lake).await.unwrap();
    for model in ["full", "minibatch", "online"] {
        let rows = format!(
            "SELECT recency_days, CAST(monetary AS DOUBLE), cluster_{model} FROM customers WHERE recency_days IS NOT NULL AND monetary IS NOT NULL"
        );
        let rows = query(&lake, &rows).await;
        let column = |at: usize| rows.iter().map(|row| row[at].parse().unwrap()).collect();
        let clusters: Vec<String> = rows.iter().map(|row| row[2].clone()).collect();
        let expected = silhouette(vec![column(0), column(1)], &clusters);
        let found = format!(
            "SELECT silhouette FROM metrics WHERE model = '{model}' AND evaluation = 'sample' ORDER BY batch_id DESC LIMIT 1"
        );
        let found: f64 = query(&lake, &found).await[0][0].parse().unwrap();
        assert!((found - expected).abs() < 0.01, "{model}: {found}, expected {expected}");
    }
}

/// Which row of features is of which key does not hang on the key's text: a SELECT may change it, and leave keys out.
#[tokio::test(flavor = "multi_thread")]
async fn a_features_select_may_change_the_key_and_leave_some_out() {
    let broker = broker_with(&order_rows(300, 8)).await;
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (name, select) in [
        (
            "plain",
            "SELECT recency_days, CAST(monetary AS DOUBLE) AS monetary FROM customers WHERE monetary > 90",
        ),
        (
            "changed",
            "SELECT NULLIF(UPPER(customer_unique_id), 'C00003') AS customer_unique_id, recency_days,
             CAST(monetary AS DOUBLE) AS monetary FROM customers WHERE monetary > 90",
        ),
    ] {
        let lake = Lake::new(folder.path().join(name));
        let mut job = job(&broker.address(), 60, &[]);
        job.program.models.iter_mut().for_each(|model| model.features_sql = select.to_owned());
        stream_all(&job, &lake).await.unwrap();
        let rows = "SELECT m.batch_id, m.model, o.train_rows, m.rows, m.inertia, m.silhouette FROM metrics m JOIN models o
            ON m.batch_id = o.batch_id AND m.model = o.model WHERE m.evaluation = 'sample' AND m.rows > 10
            AND o.train_rows > 10 ORDER BY 1, 2";
        found.push(query(&lake, rows).await);
    }
    assert!(found[0].len() > 6, "{:?}", found[0]);
    assert_eq!(found[0], found[1]);
}

fn done(lake: &Path, arguments: &[&str]) -> String {
    let output = run(tidemill(lake).args(arguments));
    assert!(output.status.success(), "{arguments:?}: {}", texts(&output).1);
    texts(&output).0
}

/// Produced, streamed in batches of 1,000, killed five times: every message counts once, the state is what SQL makes of
/// all rows, and the clusters are about as good as those that scikit-learn finds on the final table.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_olist_make_the_customers_that_sql_makes() {
    let data = real("olist");
    let generated = data.is_none().then(|| {
        println!("TIDEMILL_DATA has no olist: generated rows stand in for the real ones");
        sample("olist", "olist", "6000")
    });
    let files = data.as_deref().unwrap_or_else(|| generated.as_ref().unwrap().path());
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::new(folder.path().join("lake"));
    let built = run(tidemill(lake.root())
        .env("TIDEMILL_DATA", files)
        .args(["run", "olist", "--select", "+wide", "--select", "+rfm"]));
    assert!(built.status.success(), "{}", texts(&built).1);
    let broker = TestBroker::start().await;
    let address = broker.address();
    done(lake.root(), &["produce", JOB, "--brokers", &address]);

    let commits = lake.checkpoint("olist_rfm").join("commits");
    let committed = || std::fs::read_dir(&commits).map_or(0, |entries| entries.count());
    let stream = ["stream", JOB, "--available-now", "--brokers", &address];
    // Also just before and after the snapshot of batch 49.
    for after in [2, 30, 49, 51, 90] {
        let mut child =
            tidemill(lake.root()).args(stream).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while committed() < after && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    done(lake.root(), &stream);

    let wide = query(&lake, "SELECT count(*) FROM olist.wide").await;
    assert_eq!(query(&lake, "SELECT count(*) FROM olist_rfm.order_rows").await, wide);
    assert_eq!(query(&lake, "SELECT count(*) FROM system.dead_letters").await, [["0"]]);
    assert_state_is_the_batch_sql(&lake).await;
    let unexplained = "SELECT count(*) FROM olist_rfm.against_olist WHERE reason LIKE '%unexplained%'";
    assert_eq!(query(&lake, unexplained).await, [["0"]]);
    if data.is_none() {
        return;
    }
    assert_eq!(wide, [["115609"]]);
    let totals = "SELECT count(*), sum(orders), sum(payments), sum(monetary) FROM olist_rfm.customers";
    assert_eq!(query(&lake, totals).await, [["93396", "96516", "100792", "15496341.72"]]);
    let reasons = "SELECT substr(reason, 1, 7), count(*) FROM olist_rfm.against_olist GROUP BY 1 ORDER BY 1";
    assert_eq!(query(&lake, reasons).await, [["absent:", "2700"], ["differs", "193"]]);
    // scikit-learn's KMeans on the final table: .376 (tests/peers/rfm_river.py).
    let exact = done(lake.root(), &["metrics", JOB, "--exact", "--model", "minibatch", "--format", "csv"]);
    let silhouette: f64 = csv_column(&exact, "silhouette")[0].parse().unwrap();
    assert!(silhouette >= 0.376 - 0.02, "{silhouette}");
}
