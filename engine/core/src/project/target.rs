//! What a model is to predict: the keys `target`, `task`, `classes` and `positive` of a `[[models]]` entry.
//!
//! | algorithm learns | `task` | `classes` | the target is learned as |
//! | --- | --- | --- | --- |
//! | classes, and maybe numbers | none, `"classify"` | none | one of the two values that are met |
//! | | | two values | one of these |
//! | | | three or more | one of these, numbered in this order |
//! | | | `"all"` | one of the values that are met, numbered as they are |
//! | numbers | `"regress"`, or none where it learns nothing else | refused | a number |
//! | nothing | refused | refused | there is none |

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemill_ml::{ALGORITHMS, TargetKind, Task};

use super::model::ModelConfig;
use crate::error::{Error, Result};

/// What `task` may be: which of the kinds of target that an algorithm learns is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKey {
    /// A class.
    Classify,
    /// A number.
    Regress,
}

/// The value of `classes` that stands for every value that is met.
const ALL: &str = "all";

/// As what a target is learned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TargetForm {
    /// A number.
    Number,
    /// One of two values; those that are not said are the first ones that are met.
    Two {
        /// The one that is looked for.
        positive: Option<Value>,
        /// The other one.
        negative: Option<Value>,
    },
    /// One of these values, which have the numbers from 0 in their order.
    Named(Vec<Value>),
    /// One of the values that are met, which have the numbers from 0 in the order in which they were.
    Met,
}

impl ModelConfig {
    /// What it is for.
    pub fn task(&self) -> Task {
        let learns = |kind| self.algorithm.info().learns(kind);
        match (&self.label, self.task) {
            (None, _) if self.algorithm.info().is_for(Task::Outlier) => Task::Outlier,
            (None, _) => Task::Cluster,
            (_, Some(TaskKey::Regress)) => Task::Regress,
            (_, Some(TaskKey::Classify)) => Task::Classify,
            (_, None) if learns(TargetKind::Binary) || learns(TargetKind::Classes) => Task::Classify,
            (_, None) => Task::Regress,
        }
    }

    /// As what its target is learned; none without one. Of keys that are not [checked](ModelConfig::check_target) it makes
    /// what it can.
    pub(crate) fn target_form(&self) -> Option<TargetForm> {
        self.label.as_ref()?;
        if self.task() == Task::Regress {
            return Some(TargetForm::Number);
        }
        let positive = self.positive.clone();
        Some(match &self.classes {
            Some(Value::Array(classes)) => match classes.as_slice() {
                [a, b] => {
                    let is_first = match &positive {
                        Some(positive) => order(positive, a) == Some(Ordering::Equal),
                        None => order(a, b) == Some(Ordering::Greater),
                    };
                    let (positive, negative) = if is_first { (a, b) } else { (b, a) };
                    TargetForm::Two { positive: Some(positive.clone()), negative: Some(negative.clone()) }
                }
                _ => TargetForm::Named(classes.clone()),
            },
            Some(_) => TargetForm::Met,
            None => TargetForm::Two { positive, negative: None },
        })
    }

    /// Of what kind its target is.
    pub(crate) fn target_kind(&self) -> TargetKind {
        match self.target_form() {
            None => TargetKind::None,
            Some(TargetForm::Number) => TargetKind::Numbers,
            Some(TargetForm::Two { .. }) => TargetKind::Binary,
            Some(TargetForm::Named(_) | TargetForm::Met) => TargetKind::Classes,
        }
    }

    /// Checks all of its keys that say what is to be predicted.
    ///
    /// # Errors
    /// User.
    pub(super) fn check_target(&self) -> Result<()> {
        let (info, name) = (self.algorithm.info(), self.algorithm.name());
        if info.is_for(Task::Cluster) || info.is_for(Task::Outlier) {
            let given = [
                ("target", self.label.is_some()),
                ("task", self.task.is_some()),
                ("classes", self.classes.is_some()),
                ("positive", self.positive.is_some()),
            ];
            return match given.iter().find(|(_, is_given)| *is_given) {
                Some((key, _)) => {
                    Err(self.refused(format!("`{key}` is not for {name}, which predicts nothing")))
                }
                None => Ok(()),
            };
        }
        if self.label.is_none() {
            return Err(self.refused("`target` is missing: the column that is to be predicted"));
        }
        self.check_classes()?;
        let kind = self.target_kind();
        if kind == TargetKind::Numbers && self.positive.is_some() {
            return Err(self.refused("`positive` is for two classes, and a number is learned"));
        }
        if !info.learns(kind) {
            let known: Vec<&str> = ALGORITHMS.iter().filter(|of| of.learns(kind)).map(|of| of.name).collect();
            let what = match kind {
                TargetKind::Numbers => "a number",
                TargetKind::Classes => "more than two classes",
                _ => "classes",
            };
            return Err(self
                .refused(format!("{name} does not learn {what}"))
                .hint(format!("{} do", known.join(", "))));
        }
        Ok(())
    }

    fn check_classes(&self) -> Result<()> {
        let Some(classes) = &self.classes else { return Ok(()) };
        if self.task() == Task::Regress {
            return Err(self.refused("`classes` is not for a number that is learned"));
        }
        let written = || {
            let hint = "classes = [\"a\", \"b\", \"c\"], the values as the target has them, or \"all\" for those that are met";
            self.refused(format!("`classes` is {classes}")).hint(hint)
        };
        let classes = match classes {
            Value::String(all) if all == ALL => &[][..],
            Value::Array(classes) if classes.len() >= 2 => classes,
            _ => return Err(written()),
        };
        for (at, class) in classes.iter().enumerate() {
            if order(class, &classes[0]).is_none() {
                return Err(written());
            }
            if classes[..at].iter().any(|before| order(before, class) == Some(Ordering::Equal)) {
                return Err(self.refused(format!("`classes` has {class} twice")));
            }
        }
        match &self.positive {
            Some(_) if classes.len() != 2 => Err(self.refused("`positive` is for two classes")),
            Some(positive)
                if !classes.iter().any(|class| order(class, positive) == Some(Ordering::Equal)) =>
            {
                Err(self.refused(format!("`positive` is {positive}, which is none of `classes`")))
            }
            _ => Ok(()),
        }
    }
}

/// The order of two values of one kind; `None` where they are of no kind that a class is of.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        _ => None,
    }
}

/// Checks that a model of a job file does not say its target by both names of the key.
///
/// # Errors
/// User: it does.
pub(super) fn check_names(model: &toml::Value) -> Result<()> {
    match (model.get("target"), model.get("label")) {
        (Some(target), Some(label)) => {
            let name = model.get("name").and_then(toml::Value::as_str).unwrap_or_default();
            Err(Error::user(format!("model `{name}`: `target` is {target} and `label` {label}"))
                .hint("they are two names of one key: leave `label` out"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidemill_ml::Material;

    use super::*;

    fn model(text: &str) -> ModelConfig {
        toml::from_str(&format!("name = \"m\"\nfeatures = \"f.sql\"\n{text}")).unwrap()
    }

    #[test]
    fn the_target_is_learned_as_the_keys_say() {
        let tree = |keys: &str| model(&format!("algorithm = \"decision_tree\"\ntarget = \"y\"\n{keys}"));
        let two = |positive, negative| Some(TargetForm::Two { positive, negative });
        let (yes, no) = (json!("yes"), json!("no"));
        for (keys, form) in [
            ("", two(None, None)),
            ("task = \"classify\"\npositive = \"no\"", two(Some(no.clone()), None)),
            ("classes = [\"yes\", \"no\"]", two(Some(yes.clone()), Some(no.clone()))),
            ("classes = [\"yes\", \"no\"]\npositive = \"no\"", two(Some(no), Some(yes))),
            ("classes = [3, 1, 2]", Some(TargetForm::Named(vec![json!(3), json!(1), json!(2)]))),
            ("classes = \"all\"", Some(TargetForm::Met)),
            ("task = \"regress\"", Some(TargetForm::Number)),
        ] {
            let of = tree(keys);
            of.training(Material::Rows).unwrap();
            assert_eq!(of.target_form(), form, "{keys}");
        }
        assert_eq!(tree("task = \"regress\"").task(), Task::Regress);
        let linear = model("algorithm = \"linear_regression\"\nlabel = \"y\"");
        assert_eq!((linear.task(), linear.target_kind()), (Task::Regress, TargetKind::Numbers));
        assert_eq!(model("algorithm = \"kmeans\"").target_form(), None);
    }

    #[test]
    fn a_target_that_cannot_be_learned_is_refused_with_what_can() {
        let of = |text: &str| {
            let error = model(text).training(Material::Rows).unwrap_err();
            format!("{error} / {}", error.next_step().unwrap_or_default())
        };
        for (text, expected) in [
            (
                "algorithm = \"sgd_classifier\"\ntarget = \"y\"\nclasses = [1, 2, 3]",
                "more than two classes / logistic",
            ),
            (
                "algorithm = \"sgd_classifier\"\ntarget = \"y\"\ntask = \"regress\"",
                "a number / linear_regression",
            ),
            (
                "algorithm = \"linear_regression\"\ntarget = \"y\"\ntask = \"classify\"",
                "does not learn classes",
            ),
            (
                "algorithm = \"decision_tree\"\ntarget = \"y\"\ntask = \"regress\"\npositive = 1",
                "a number is learned",
            ),
            (
                "algorithm = \"decision_tree\"\ntarget = \"y\"\ntask = \"regress\"\nclasses = \"all\"",
                "not for a number",
            ),
            ("algorithm = \"decision_tree\"\ntarget = \"y\"\nclasses = [1]", "`classes` is [1]"),
            ("algorithm = \"decision_tree\"\ntarget = \"y\"\nclasses = [1, \"a\"]", "`classes` is [1,\"a\"]"),
            ("algorithm = \"decision_tree\"\ntarget = \"y\"\nclasses = [1, 2, 1.0]", "has 1.0 twice"),
            ("algorithm = \"decision_tree\"\ntarget = \"y\"\nclasses = \"any\"", "or \"all\""),
            (
                "algorithm = \"decision_tree\"\ntarget = \"y\"\nclasses = [1, 2, 3]\npositive = 1",
                "for two classes",
            ),
            (
                "algorithm = \"decision_tree\"\ntarget = \"y\"\nclasses = [1, 2]\npositive = 3",
                "none of `classes`",
            ),
            ("algorithm = \"decision_tree\"", "`target` is missing"),
            ("algorithm = \"kmeans\"\ntask = \"regress\"", "`task` is not for kmeans"),
        ] {
            let found = of(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
        let both = toml::from_str("target = \"a\"\nlabel = \"b\"").map(toml::Value::Table).unwrap();
        assert!(check_names(&both).is_err());
    }
}
