//! Steps as job files write them: a name, or a table of a name, columns and settings.
//!
//! ```toml
//! steps = ["standard", { step = "impute", columns = ["a", "b"], strategy = "median" }]
//! ```

use super::list::nearest;
use super::{PipelineStep, StepKind, Transform};
use crate::Error;
use crate::preprocess::{IqrOutliersParams, OutlierAction};
use crate::stats::fences::TUKEY_REACH;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The key of a table that has the step's name.
const STEP: &str = "step";
/// The key that has the names of the columns it takes.
const COLUMNS: &str = "columns";

/// Settings of `cap` and `drop`: what is done is said by the name.
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fences {
    reach: f64,
}

impl Default for Fences {
    fn default() -> Self {
        Fences { reach: TUKEY_REACH }
    }
}

/// Of a step that has no settings.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

impl PipelineStep {
    /// Reads a step as a job file writes it: its name (`"standard"`), or a table with the name as `step`, which columns it
    /// takes as `columns` (without them all of its kind), and its settings. Values are not checked: that is
    /// [`validate`](PipelineStep::validate)'s.
    ///
    /// ```
    /// use tidemill_ml::PipelineStep;
    ///
    /// let written = serde_json::json!({ "step": "impute", "columns": ["a", "b"], "strategy": "median" });
    /// let step = PipelineStep::read(&written)?;
    /// assert_eq!((step.name(), step.columns.len()), ("impute", 2));
    /// let error = PipelineStep::read(&serde_json::json!("standrad")).unwrap_err();
    /// assert!(error.to_string().starts_with("there is no step `standrad`; did you mean `standard`?"));
    /// # Ok::<(), tidemill_ml::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotAStep`], [`Error::NoSuchStep`], [`Error::NoSuchKey`] and [`Error::BadKey`].
    pub fn read(written: &Value) -> Result<PipelineStep, Error> {
        let not_a_step = || Error::NotAStep { found: written.to_string() };
        let (name, mut settings) = match written {
            Value::String(name) => (name.clone(), Map::new()),
            Value::Object(table) => {
                let mut settings = table.clone();
                match settings.remove(STEP) {
                    Some(Value::String(name)) => (name, settings),
                    _ => return Err(not_a_step()),
                }
            }
            _ => return Err(not_a_step()),
        };
        let kind: StepKind = name.parse()?;
        let columns = settings.remove(COLUMNS).map(|columns| read_columns(kind, columns));
        let known = kind.keys();
        if let Some(key) = settings.keys().find(|key| !known.contains(key)) {
            let all = known.iter().map(String::as_str).chain([COLUMNS]);
            return Err(Error::NoSuchKey {
                step: kind.name(),
                key: key.clone(),
                near: nearest(key, all.clone()).map(str::to_owned),
                known: all.map(str::to_owned).collect(),
            });
        }
        // One key alone: serde does not say whose value has the wrong type.
        for (key, value) in &settings {
            kind.read(Map::from_iter([(key.clone(), value.clone())]))
                .map_err(|error| bad(kind, key, error.to_string()))?;
        }
        let transform = kind.read(settings).map_err(|error| bad(kind, STEP, error.to_string()))?;
        Ok(PipelineStep { transform, columns: columns.transpose()?.unwrap_or_default() })
    }

    /// Reads the steps of a pipeline.
    ///
    /// # Errors
    ///
    /// [`Error::UnreadableStep`] for the first that cannot be [read](PipelineStep::read), with its number.
    pub fn read_all(written: &[Value]) -> Result<Vec<PipelineStep>, Error> {
        let numbered = written.iter().zip(1..);
        let read = |(written, step): (&Value, usize)| {
            PipelineStep::read(written)
                .map_err(|error| Error::UnreadableStep { step, error: Box::new(error) })
        };
        numbered.map(read).collect()
    }
}

fn bad(kind: StepKind, key: &str, why: String) -> Error {
    Error::BadKey { step: kind.name(), key: key.to_owned(), why }
}

fn read_columns(kind: StepKind, columns: Value) -> Result<Vec<String>, Error> {
    let found = columns.to_string();
    match serde_json::from_value::<Vec<String>>(columns) {
        Ok(columns) if columns.is_empty() => {
            Err(bad(kind, COLUMNS, "no column is named; leave the key out for all of them".to_owned()))
        }
        Ok(columns) => Ok(columns),
        Err(_) => Err(bad(kind, COLUMNS, format!("a list of names of columns, not {found}"))),
    }
}

fn settings<T: DeserializeOwned>(written: Map<String, Value>) -> serde_json::Result<T> {
    serde_json::from_value(Value::Object(written))
}

impl StepKind {
    /// Its settings as a job file writes them, all with their defaults: the keys that [`PipelineStep::read`] knows beside
    /// `step` and `columns`.
    pub fn defaults(self) -> Map<String, Value> {
        // Of defaults nothing can fail: they are read from nothing, and are numbers, flags and names.
        self.read(Map::new()).and_then(|transform| transform.settings()).unwrap_or_default()
    }

    fn keys(self) -> Vec<String> {
        self.defaults().into_iter().map(|(key, _)| key).collect()
    }

    fn read(self, written: Map<String, Value>) -> serde_json::Result<Transform> {
        let outliers =
            |action| move |of: Fences| Transform::Outliers(IqrOutliersParams { reach: of.reach, action });
        match self {
            StepKind::Impute => settings(written).map(Transform::Impute),
            StepKind::Cap => settings(written).map(outliers(OutlierAction::Cap)),
            StepKind::Drop => settings(written).map(outliers(OutlierAction::Drop)),
            StepKind::Standard => settings(written).map(Transform::Standard),
            StepKind::MinMax => settings(written).map(Transform::MinMax),
            StepKind::Robust => settings(written).map(Transform::Robust),
            StepKind::L2 => settings(written).map(|NoSettings {}| Transform::L2),
            StepKind::OneHot => settings(written).map(Transform::OneHot),
            StepKind::Target => settings(written).map(Transform::Target),
            StepKind::Pca => settings(written).map(Transform::Pca),
            StepKind::IsolationForest => settings(written).map(Transform::IsolationForest),
            StepKind::ForestLeaves => settings(written).map(Transform::ForestLeaves),
        }
    }
}

impl Transform {
    fn settings(&self) -> serde_json::Result<Map<String, Value>> {
        let written = match self {
            Transform::Impute(params) => serde_json::to_value(params),
            Transform::Outliers(params) => serde_json::to_value(Fences { reach: params.reach }),
            Transform::Standard(params) => serde_json::to_value(params),
            Transform::MinMax(params) => serde_json::to_value(params),
            Transform::Robust(params) => serde_json::to_value(params),
            Transform::L2 => serde_json::to_value(NoSettings {}),
            Transform::OneHot(params) => serde_json::to_value(params),
            Transform::Target(params) => serde_json::to_value(params),
            Transform::Pca(params) => serde_json::to_value(params),
            Transform::IsolationForest(params) => serde_json::to_value(params),
            Transform::ForestLeaves(params) => serde_json::to_value(params),
        }?;
        match written {
            Value::Object(settings) => Ok(settings),
            _ => Ok(Map::new()),
        }
    }
}

/// As a table of all keys, so that what is written stays what it is where a default becomes another.
impl Serialize for PipelineStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = self.transform.settings().map_err(serde::ser::Error::custom)?;
        written.insert(STEP.to_owned(), Value::from(self.name()));
        if !self.columns.is_empty() {
            written.insert(COLUMNS.to_owned(), Value::from(self.columns.clone()));
        }
        written.serialize(serializer)
    }
}

/// As [`PipelineStep::read`] does.
impl<'de> Deserialize<'de> for PipelineStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PipelineStep, D::Error> {
        PipelineStep::read(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STEPS;
    use crate::preprocess::{ImputeStrategy, PcaComponents};
    use serde_json::json;

    fn refused(written: Value) -> String {
        PipelineStep::read(&written).unwrap_err().to_string()
    }

    #[test]
    fn a_step_is_its_line_of_the_list_and_reads_what_it_writes() {
        for (at, of) in STEPS.iter().enumerate() {
            assert_eq!((of.kind as usize, of.kind.name()), (at, of.name));
            let step = PipelineStep::read(&json!(of.name)).unwrap();
            assert_eq!((step.name(), step.transform.kind(), step.validate()), (of.name, of.kind, Ok(())));
            assert_eq!(step.transform.learns_online(), of.learns_online);
            for step in [step.clone(), step.transform.of(&["b", "a"])] {
                let written = serde_json::to_value(&step).unwrap();
                assert_eq!(PipelineStep::read(&written), Ok(step));
            }
            for key in of.kind.keys() {
                let error = refused(json!({ "step": of.name, key.as_str(): [[]] }));
                assert!(error.starts_with(&format!("step `{}`: `{key}`: ", of.name)), "{error}");
            }
        }
    }

    #[test]
    fn settings_are_those_that_are_written() {
        let written = json!({ "step": "impute", "columns": ["a"], "strategy": "median" });
        let step = PipelineStep::read(&written).unwrap();
        let Transform::Impute(params) = &step.transform else { panic!("{step:?}") };
        assert_eq!(
            (params.strategy, step.columns.as_slice()),
            (ImputeStrategy::Median, &["a".to_owned()][..])
        );
        let of = |written| PipelineStep::read(&written).unwrap().transform;
        let Transform::Outliers(params) = of(json!({ "step": "drop", "reach": 3 })) else { panic!() };
        assert_eq!((params.reach, params.action), (3.0, OutlierAction::Drop));
        for (written, kept) in [(json!(4), PcaComponents::Number(4)), (json!(0.9), PcaComponents::Share(0.9))]
        {
            let Transform::Pca(params) = of(json!({ "step": "pca", "components": written })) else {
                panic!()
            };
            assert_eq!(params.components, kept);
        }
        let mode = of(json!({ "step": "impute", "strategy": "most_frequent" }));
        assert!(!mode.learns_online() && mode.kind().info().learns_online);
    }

    #[test]
    fn what_cannot_be_read_says_what_may_have_been_meant() {
        assert_eq!(
            refused(json!("robst")),
            "there is no step `robst`; did you mean `robust`? the steps are: impute, cap, drop, standard, min_max, \
             robust, l2, one_hot, target, pca, isolation_forest, forest_leaves"
        );
        assert!(refused(json!("???")).starts_with("there is no step `???`; the steps are: impute"));
        assert_eq!(
            refused(json!({ "step": "impute", "stratgy": "median" })),
            "step `impute` has no key `stratgy`; did you mean `strategy`? its keys are: strategy, value, columns"
        );
        assert_eq!(
            refused(json!({ "step": "cap", "action": "drop" })),
            "step `cap` has no key `action`; its keys are: reach, columns"
        );
        assert!(refused(json!({ "step": "impute", "strategy": "medain" })).contains("`medain`"));
        for not_a_step in
            [json!(1), json!({ "columns": ["a"] }), json!({ "step": 2 }), json!(["cap"]), json!(null)]
        {
            assert!(refused(not_a_step.clone()).ends_with(&format!("{not_a_step} is neither")));
        }
        for columns in [json!("a"), json!([]), json!([1]), json!(null)] {
            let error = refused(json!({ "step": "l2", "columns": columns }));
            assert!(error.starts_with("step `l2`: `columns`: "), "{error}");
        }
        let error = PipelineStep::read_all(&[json!("l2"), json!("standart")]).unwrap_err();
        assert!(
            error.to_string().starts_with("step 2: there is no step `standart`; did you mean `standard`?"),
            "{error}"
        );
        let bad = |written| PipelineStep::read(&written).unwrap().validate().unwrap_err().to_string();
        for (written, key) in [
            (json!({ "step": "cap", "reach": -1 }), "reach"),
            (json!({ "step": "pca", "components": 0 }), "components"),
            (json!({ "step": "pca", "components": 1.5 }), "components"),
            (json!({ "step": "pca", "components": -2 }), "components"),
            (json!({ "step": "min_max", "min": 2 }), "max"),
            (json!({ "step": "one_hot", "max_categories": 0 }), "max_categories"),
            (json!({ "step": "target", "folds": 1 }), "folds"),
            (json!({ "step": "isolation_forest", "contamination": 0.7 }), "contamination"),
            (json!({ "step": "l2", "columns": ["a", "b", "a"] }), "columns"),
        ] {
            let error = bad(written.clone());
            assert!(error.starts_with(key), "{written}: {error}");
        }
    }
}
