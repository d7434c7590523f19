//! A batch in one line for people: what was read, where the time went, and what the models score on held-out rows.

use tidemill_core::progress::{BatchProgress, ModelProgress};
use tidemill_core::records::{ModelStatus, Scores};

use crate::style;

/// One line, aligned with those before it:
/// `batch    3      5,000 rows, dead letters 0     412 ms = plan 3.1, …, learn 180 (forest 120)  forest accuracy 0.8912 AUC 0.8934`
pub(crate) fn batch_line(progress: &BatchProgress) -> String {
    let parts: Vec<_> =
        progress.duration_ms.parts().iter().map(|(name, ms)| format!("{name} {}", short_ms(*ms))).collect();
    let trained: Vec<_> = progress
        .models
        .iter()
        .filter(|model| model.status == ModelStatus::Trained)
        .map(|model| format!("{} {}", model.name, short_ms(model.train_ms)))
        .collect();
    let trained = if trained.is_empty() { String::new() } else { format!(" ({})", trained.join(", ")) };
    let mut line = format!(
        "batch {:>4}  {:>14}, dead letters {:<2}  {:>5} ms = {}{trained}",
        progress.batch_id,
        style::rows(progress.num_input_rows),
        style::count(progress.dead_letters),
        format!("{:.0}", progress.duration_ms.total()),
        parts.join(", "),
    );
    if progress.data_loss > 0 {
        line.push_str(&format!("  LOST RANGES {}", style::count(progress.data_loss)));
    }
    if progress.duration_ms.learn.is_none() {
        line.push_str("  committed; the next start learns from it");
    }
    for model in &progress.models {
        line.push_str("  ");
        line.push_str(&scores(model));
    }
    line
}

/// That what the models learned from takes long to read.
pub(crate) fn history_takes_long(batches: u64) -> String {
    let batches = style::count(batches);
    format!(
        "the models' history, {batches} batches, is still being read: commits go on, and are learned from later"
    )
}

/// `AUC logistic 0.8934, forest 0.8912`: the hold-out's, for the bar of the demo.
pub(crate) fn auc_so_far(progress: &BatchProgress) -> String {
    let scores: Vec<_> = progress
        .models
        .iter()
        .filter_map(|model| Some(format!("{} {:.3}", model.name, model.holdout.as_ref()?.binary()?.auc?)))
        .collect();
    if scores.is_empty() { String::new() } else { format!("AUC {}", scores.join(", ")) }
}

fn scores(model: &ModelProgress) -> String {
    let name = &model.name;
    if model.status == ModelStatus::Failed {
        return format!("{name} not trained: {}", model.reason.as_deref().unwrap_or("no reason is given"));
    }
    match model.holdout.as_ref().or(model.sample.as_ref()) {
        Some(Scores::Clusters(scores)) => {
            let silhouette = scores.silhouette.map_or_else(|| "-".to_string(), |s| format!("{s:.4}"));
            format!("{name} inertia {:.0} silhouette {silhouette}", scores.inertia)
        }
        Some(Scores::Numbers(scores)) => format!("{name} RMSE {:.4} MAE {:.4}", scores.rmse, scores.mae),
        Some(Scores::Classes(scores)) => {
            format!("{name} accuracy {:.4} macro F1 {:.4}", scores.accuracy, scores.macro_f1)
        }
        Some(Scores::Binary(scores)) => {
            let auc = scores.auc.map_or_else(|| "-".to_string(), |auc| format!("{auc:.4}"));
            format!("{name} accuracy {:.4} AUC {auc}", scores.accuracy)
        }
        Some(Scores::Outliers(scores)) => {
            let auc = scores.outlier_auc.map(|auc| format!(" AUC {auc:.4}")).unwrap_or_default();
            format!("{name} outliers {} of {}{auc}", scores.outliers, scores.rows)
        }
        None if model.version.is_none() => format!("{name} not trained yet"),
        None => format!("{name} trained, not scored"),
    }
}

/// Milliseconds without a unit: a decimal below ten.
fn short_ms(ms: f64) -> String {
    if ms < 9.95 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

#[cfg(test)]
mod tests {
    use tidemill_core::progress::{Durations, SinkProgress};

    use super::*;

    fn model(name: &str, holdout: Option<(f64, Option<f64>)>) -> ModelProgress {
        let scores = |(accuracy, auc)| {
            serde_json::from_value(serde_json::json!({
                "rows": 10, "accuracy": accuracy, "auc": auc, "log_loss": 0.3, "precision": null, "recall": null,
                "f1": null, "true_positives": 1, "false_positives": 2, "true_negatives": 3, "false_negatives": 4,
            }))
            .unwrap()
        };
        ModelProgress {
            name: name.into(),
            status: ModelStatus::Trained,
            reason: None,
            version: Some(3),
            train_ms: 41.6,
            train_rows: 100,
            holdout: holdout.map(scores),
            sample: None,
            prequential: None,
        }
    }

    fn progress(models: Vec<ModelProgress>) -> BatchProgress {
        BatchProgress {
            id: String::new(),
            run_id: String::new(),
            name: "chicago-arrests".into(),
            timestamp: String::new(),
            batch_id: 3,
            batch_duration: 100.0,
            num_input_rows: 5000,
            input_rows_per_second: None,
            processed_rows_per_second: 50_000.0,
            duration_ms: Durations {
                plan: Some(1.25),
                read: Some(20.4),
                learn: Some(50.0),
                ..Durations::default()
            },
            state_operators: Vec::new(),
            sources: Vec::new(),
            sink: SinkProgress { description: String::new(), num_output_rows: 5000 },
            models,
            dead_letters: 2,
            data_loss: 0,
        }
    }

    #[test]
    fn a_line_has_the_parts_of_the_time_and_each_models_scores() {
        let line = batch_line(&progress(vec![
            model("forest", Some((0.88, Some(0.912_34)))),
            model("other", Some((0.5, None))),
        ]));
        assert_eq!(
            line,
            "batch    3      5,000 rows, dead letters 2      72 ms = plan 1.2, read 20, learn 50 (forest 42, other 42)  \
             forest accuracy 0.8800 AUC 0.9123  other accuracy 0.5000 AUC -"
        );
    }

    #[test]
    fn a_batch_that_is_not_learned_from_says_so() {
        let mut progress = progress(Vec::new());
        progress.duration_ms.learn = None;
        let line = batch_line(&progress);
        assert!(line.ends_with("plan 1.2, read 20  committed; the next start learns from it"), "{line}");
    }

    #[test]
    fn what_went_wrong_is_said() {
        let mut failed = model("forest", None);
        failed.status = ModelStatus::Failed;
        failed.reason = Some("one class".into());
        let mut progress = progress(vec![failed]);
        progress.data_loss = 1;
        let line = batch_line(&progress);
        assert!(line.contains("LOST RANGES 1") && line.ends_with("forest not trained: one class"), "{line}");
    }

    #[test]
    fn the_bar_shows_the_models_that_have_an_auc() {
        let text = auc_so_far(&progress(vec![model("a", Some((0.9, Some(0.8912)))), model("b", None)]));
        assert_eq!(text, "AUC a 0.891");
        assert_eq!(auc_so_far(&progress(Vec::new())), "");
    }
}
