//! A batch in one line for people: what was read, where the time went, and what the models score on held-out rows.

use tidemill_core::progress::{BatchProgress, ModelProgress};
use tidemill_core::records::{ModelStatus, Scores};

use crate::output::Room;
use crate::style;

/// How much of a batch a line tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Columns of the terminal: models that do not fit are counted. `None`: there is room for all.
    pub(crate) width: Option<u16>,
    /// Where the time went, too.
    pub(crate) parts: bool,
}

impl Line {
    /// As wide as the terminal on stdout; the parts where more is asked for than usual.
    pub(crate) fn of_stdout(verbose: u8) -> Line {
        Line { width: Room::of_stdout().width, parts: verbose > 0 }
    }
}

/// One line, aligned with those before it:
/// `batch    3      5,000 rows   412 ms  forest AUC 0.8934 accuracy 0.8912`
pub(crate) fn batch_line(progress: &BatchProgress, room: Line) -> String {
    let mut line = format!(
        "batch {:>4}  {:>14}  {:>6} ms",
        progress.batch_id,
        style::rows(progress.num_input_rows),
        format!("{:.0}", progress.duration_ms.total()),
    );
    if room.parts {
        line.push_str(&format!(" = {}", parts(progress)));
    }
    if progress.dead_letters > 0 {
        line.push_str(&format!("  dead letters {}", style::count(progress.dead_letters)));
    }
    if progress.data_loss > 0 {
        line.push_str(&format!("  LOST RANGES {}", style::count(progress.data_loss)));
    }
    if progress.duration_ms.learn.is_none() {
        line.push_str("  committed; the next start learns from it");
    }
    let models: Vec<String> = progress.models.iter().map(|model| format!("  {}", scores(model))).collect();
    line.push_str(&fitted(&models, room.width.map(|width| usize::from(width).saturating_sub(line.len()))));
    line
}

/// Where the time went, and how long each model took.
fn parts(progress: &BatchProgress) -> String {
    let parts: Vec<_> =
        progress.duration_ms.parts().iter().map(|(name, ms)| format!("{name} {}", short_ms(*ms))).collect();
    let trained: Vec<_> = progress
        .models
        .iter()
        .filter(|model| model.status == ModelStatus::Trained)
        .map(|model| format!("{} {}", model.name, short_ms(model.train_ms)))
        .collect();
    let trained = if trained.is_empty() { String::new() } else { format!(" ({})", trained.join(", ")) };
    format!("{}{trained}", parts.join(", "))
}

/// As many of the texts as there is room for, and how many others there are.
fn fitted(texts: &[String], room: Option<usize>) -> String {
    let Some(room) = room.filter(|room| texts.concat().chars().count() > *room) else {
        return texts.concat();
    };
    let rest = |shown: usize| format!("  +{}", texts.len() - shown);
    let fits = |shown: &usize| texts[..*shown].concat().chars().count() + rest(*shown).len() <= room;
    match (1..texts.len()).rev().find(fits) {
        Some(shown) => texts[..shown].concat() + &rest(shown),
        // What it is about goes before what fits.
        None => texts[..1].concat() + &if texts.len() > 1 { rest(1) } else { String::new() },
    }
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
            format!("{name} AUC {auc} accuracy {:.4}", scores.accuracy)
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

    const WIDE: Line = Line { width: None, parts: false };

    #[test]
    fn a_line_has_each_models_scores_and_on_request_the_parts_of_the_time() {
        let progress =
            progress(vec![model("forest", Some((0.88, Some(0.912_34)))), model("other", Some((0.5, None)))]);
        let line = |room| batch_line(&progress, room);
        let all = "batch    3      5,000 rows      72 ms  dead letters 2  forest AUC 0.9123 accuracy 0.8800  other AUC - accuracy 0.5000";
        assert_eq!(line(WIDE), all);
        assert_eq!(line(Line { width: Some(200), parts: false }), all);
        assert_eq!(
            line(Line { width: Some(92), parts: false }),
            "batch    3      5,000 rows      72 ms  dead letters 2  forest AUC 0.9123 accuracy 0.8800  +1"
        );
        assert_eq!(
            line(Line { width: None, parts: true }),
            all.replace("72 ms", "72 ms = plan 1.2, read 20, learn 50 (forest 42, other 42)")
        );
    }

    #[test]
    fn a_line_of_one_model_fits_80_columns() {
        let mut progress = progress(vec![model("forest", Some((0.88, Some(0.9)))), model("tree", None)]);
        progress.dead_letters = 0;
        let line = batch_line(&progress, Line { width: Some(80), parts: false });
        assert!(line.len() <= 80 && line.ends_with("forest AUC 0.9000 accuracy 0.8800  +1"), "{line}");
    }

    #[test]
    fn a_batch_that_is_not_learned_from_says_so() {
        let mut progress = progress(Vec::new());
        progress.duration_ms.learn = None;
        let line = batch_line(&progress, WIDE);
        assert!(line.ends_with(" ms  dead letters 2  committed; the next start learns from it"), "{line}");
    }

    #[test]
    fn what_went_wrong_is_said() {
        let mut failed = model("forest", None);
        failed.status = ModelStatus::Failed;
        failed.reason = Some("one class".into());
        let mut progress = progress(vec![failed]);
        progress.data_loss = 1;
        let line = batch_line(&progress, WIDE);
        assert!(line.contains("LOST RANGES 1") && line.ends_with("forest not trained: one class"), "{line}");
    }

    #[test]
    fn the_bar_shows_the_models_that_have_an_auc() {
        let text = auc_so_far(&progress(vec![model("a", Some((0.9, Some(0.8912)))), model("b", None)]));
        assert_eq!(text, "AUC a 0.891");
        assert_eq!(auc_so_far(&progress(Vec::new())), "");
    }
}
