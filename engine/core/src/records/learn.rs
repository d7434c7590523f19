//! What was learned after a batch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::format::{Before, Record};
use super::{FileEntry, Maker, ModelOutcome, ModelStatus};

/// `learn/N.json`: the models after batch N.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learn {
    /// Number of the batch.
    pub batch_id: u64,
    /// The query that the checkpoint belongs to.
    pub query_id: String,
    /// What there is of the learn records before.
    #[serde(flatten)]
    pub before: Before,
    /// By model: how many versions of it were trained up to here. A model that has one of before this was counted, in format
    /// 1, is not there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, u64>,
    /// One entry a model of the plan, in the plan's order.
    pub models: Vec<ModelOutcome>,
    /// Files that the record stands for: the model files and one Parquet file a system table.
    pub added: Vec<FileEntry>,
    /// Who has learned; none in records of older versions of Tidemill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Maker>,
}

impl Record for Learn {
    fn before(&self) -> Before {
        self.before
    }
}

impl Learn {
    /// The [`Learn::steps`] with what a batch did to the models; `last` is the record of the batch before.
    pub(crate) fn steps_after(last: Option<&Learn>, outcomes: &[ModelOutcome]) -> BTreeMap<String, u64> {
        let mut steps = last.map(|last| last.steps.clone()).unwrap_or_default();
        for outcome in outcomes {
            let is_of = |of: &&ModelOutcome| of.name == outcome.name;
            let last = last.and_then(|last| last.models.iter().find(is_of));
            let has_version = last.is_some_and(|last| last.version.is_some() || last.challenger.is_some());
            if !matches!(outcome.status, ModelStatus::Trained | ModelStatus::Challenger)
                || has_version && !steps.contains_key(&outcome.name)
            {
                continue;
            }
            *steps.entry(outcome.name.clone()).or_default() += 1;
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(name: &str, status: &str, version: Option<u64>) -> ModelOutcome {
        serde_json::from_value(json!({
            "name": name, "algorithm": "decision_tree", "status": status, "version": version, "file": null, "seed": 0,
            "train_rows": 0, "holdout": null, "prequential": null, "prequential_version": null, "train_ms": 0.0,
        }))
        .unwrap()
    }

    fn learn(steps: &[(&str, u64)], models: Vec<ModelOutcome>) -> Learn {
        let steps = steps.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let before = Before::default();
        Learn { batch_id: 0, query_id: "q".into(), before, steps, models, added: Vec::new(), made_by: None }
    }

    #[test]
    fn versions_are_counted_from_the_first_and_not_where_some_were_before() {
        let after = |last: Option<&Learn>, status, version| {
            Learn::steps_after(last, &[outcome("tree", status, version)]).get("tree").copied()
        };
        assert_eq!(after(None, "failed", None), None);
        assert_eq!(after(None, "trained", Some(0)), Some(1));
        let untrained = learn(&[], vec![outcome("tree", "failed", None)]);
        assert_eq!(after(Some(&untrained), "trained", Some(1)), Some(1));
        let counted = learn(&[("tree", 4), ("gone", 2)], vec![outcome("tree", "trained", Some(8))]);
        assert_eq!(after(Some(&counted), "trained", Some(9)), Some(5));
        assert_eq!(after(Some(&counted), "challenger", Some(8)), Some(5));
        assert_eq!(after(Some(&counted), "kept", Some(8)), Some(4));
        assert_eq!(
            Learn::steps_after(Some(&counted), &[]).len(),
            2,
            "a model that was taken out may come again"
        );
        let of_format_1 = learn(&[], vec![outcome("tree", "trained", Some(8))]);
        assert_eq!(after(Some(&of_format_1), "trained", Some(9)), None);
    }
}
