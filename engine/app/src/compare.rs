//! Two lines of scores beside each other, batch by batch: who is better, how often, and by how much.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::error::ArrowError;
use tidemill_core::learn::tables::with_column;

use crate::series::higher_is_better;

/// The metrics that are compared: of classifiers, then of clusterings. A model has those of its kind.
pub(crate) fn metrics() -> Vec<&'static str> {
    with_column().filter(|metric| metric.is_headline).map(|metric| metric.name).collect()
}

/// One batch of two lines, or all batches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    /// The model, where the same one of two lakes is compared.
    pub(crate) model: Option<String>,
    /// What is compared.
    pub(crate) metric: &'static str,
    /// The batch; `None` for the mean over all batches in which both have a value.
    pub(crate) batch_id: Option<u64>,
    first: Option<f64>,
    second: Option<f64>,
    /// First minus second.
    difference: Option<f64>,
    first_wins: u64,
    second_wins: u64,
}

/// The batches that both lines have, then the row over all of them. None at all where they share no batch.
///
/// | first, second | difference | wins |
/// | --- | --- | --- |
/// | both a value | first − second | the better one's, by the metric; nobody's if equal |
/// | one or none | none | nobody's, and it does not count in the means |
pub(crate) fn paired(
    model: Option<&str>,
    metric: &'static str,
    first: &[(u64, Option<f64>)],
    second: &[(u64, Option<f64>)],
) -> Vec<Pair> {
    let others: BTreeMap<u64, Option<f64>> = second.iter().copied().collect();
    let mut pairs = Vec::new();
    for &(batch, first) in first {
        let Some(&second) = others.get(&batch) else { continue };
        let difference = first.zip(second).map(|(first, second)| first - second);
        let gain = difference.map_or(0.0, |d| if higher_is_better(metric) { d } else { -d });
        pairs.push(Pair {
            model: model.map(String::from),
            metric,
            batch_id: Some(batch),
            first,
            second,
            difference,
            first_wins: u64::from(gain > 0.0),
            second_wins: u64::from(gain < 0.0),
        });
    }
    if pairs.is_empty() {
        return pairs;
    }
    let counted: Vec<&Pair> = pairs.iter().filter(|pair| pair.difference.is_some()).collect();
    let mean = |value: fn(&Pair) -> Option<f64>| {
        let sum: f64 = counted.iter().filter_map(|pair| value(pair)).sum();
        (!counted.is_empty()).then(|| sum / counted.len() as f64)
    };
    let all = Pair {
        model: model.map(String::from),
        metric,
        batch_id: None,
        first: mean(|pair| pair.first),
        second: mean(|pair| pair.second),
        difference: mean(|pair| pair.difference),
        first_wins: pairs.iter().map(|pair| pair.first_wins).sum(),
        second_wins: pairs.iter().map(|pair| pair.second_wins).sum(),
    };
    pairs.push(all);
    pairs
}

/// The pairs as rows. `names` heads the two columns of values; for people the row over all batches says `all`,
/// for programs its batch is null.
///
/// # Errors
/// If the columns do not fit each other.
pub(crate) fn rows(pairs: &[Pair], names: [&str; 2], for_people: bool) -> Result<RecordBatch, ArrowError> {
    let numbers = |value: fn(&Pair) -> Option<f64>| -> ArrayRef {
        Arc::new(pairs.iter().map(value).collect::<Float64Array>())
    };
    let counts = |value: fn(&Pair) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(pairs.iter().map(value)))
    };
    let batches: ArrayRef = match for_people {
        true => Arc::new(StringArray::from_iter_values(
            pairs.iter().map(|pair| pair.batch_id.map_or("all".to_owned(), |id| id.to_string())),
        )),
        false => Arc::new(pairs.iter().map(|pair| pair.batch_id).collect::<UInt64Array>()),
    };
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    if pairs.iter().any(|pair| pair.model.is_some()) {
        let models: StringArray = pairs.iter().map(|pair| pair.model.as_deref()).collect();
        columns.push(("model".to_owned(), Arc::new(models)));
    }
    columns.extend([
        (
            "metric".to_owned(),
            Arc::new(StringArray::from_iter_values(pairs.iter().map(|p| p.metric))) as ArrayRef,
        ),
        ("batch_id".to_owned(), batches),
        (names[0].to_owned(), numbers(|pair| pair.first)),
        (names[1].to_owned(), numbers(|pair| pair.second)),
        ("difference".to_owned(), numbers(|pair| pair.difference)),
        (format!("{}_wins", names[0]), counts(|pair| pair.first_wins)),
        (format!("{}_wins", names[1]), counts(|pair| pair.second_wins)),
    ]);
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(
        metric: &'static str,
        first: &[(u64, Option<f64>)],
        second: &[(u64, Option<f64>)],
    ) -> Vec<String> {
        let text = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.2}"));
        paired(None, metric, first, second)
            .iter()
            .map(|p| {
                let batch = p.batch_id.map_or("all".to_owned(), |id| id.to_string());
                format!(
                    "{batch}: {} {} {} {}:{}",
                    text(p.first),
                    text(p.second),
                    text(p.difference),
                    p.first_wins,
                    p.second_wins
                )
            })
            .collect()
    }

    #[test]
    fn every_row_of_the_truth_table() {
        let first = [(0, Some(0.5)), (1, None), (2, Some(0.7)), (3, Some(0.8)), (4, Some(0.9))];
        let second = [(1, Some(0.9)), (2, Some(0.6)), (3, Some(0.8)), (4, Some(1.0)), (5, Some(0.1))];
        let expected = [
            "1: - 0.90 - 0:0",
            "2: 0.70 0.60 0.10 1:0",
            "3: 0.80 0.80 0.00 0:0",
            "4: 0.90 1.00 -0.10 0:1",
            "all: 0.80 0.80 0.00 1:1",
        ];
        assert_eq!(outcome("auc", &first, &second), expected);
        assert_eq!(
            outcome("log_loss", &first[2..3], &second[1..2]),
            ["2: 0.70 0.60 0.10 0:1", "all: 0.70 0.60 0.10 0:1"]
        );
        assert_eq!(outcome("auc", &first[..1], &second[..1]), Vec::<String>::new());
        assert_eq!(outcome("auc", &first[1..2], &second[..1]), ["1: - 0.90 - 0:0", "all: - - - 0:0"]);
    }

    #[test]
    fn the_row_over_all_batches_has_no_batch() {
        let pairs = paired(Some("forest"), "auc", &[(3, Some(0.5))], &[(3, Some(0.25))]);
        let people = rows(&pairs, ["this", "other"], true).unwrap();
        let programs = rows(&pairs, ["this", "other"], false).unwrap();
        use arrow::array::{Array, AsArray};
        assert_eq!(people["batch_id"].as_string::<i32>().value(1), "all");
        assert!(programs["batch_id"].is_null(1));
        let schema = programs.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(
            names,
            ["model", "metric", "batch_id", "this", "other", "difference", "this_wins", "other_wins"]
        );
    }
}
