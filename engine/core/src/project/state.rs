//! The `[state]` section: what a stateful job keeps for each key, in words that a person and a plan can hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::{Evaluate, ModelConfig};
use crate::error::Error;

/// On so many keys of a state, of those there are, its models are scored after each batch.
pub(crate) const SCORED_KEYS: usize = 1_000;

/// `[state]` of a job file: one row a key, updated by every row of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateConfig {
    /// Name of the state as a table: `customers`.
    pub table: String,
    /// The column of the stream's table that says whose row it is; a row without it changes nothing.
    pub key: String,
    /// Path of the row-wise SELECT over the state: what readers and models see of it.
    pub select: String,
    /// What is kept, by the name of its column.
    pub columns: BTreeMap<String, AggregateConfig>,
}

/// One column of the state, as written: `{ max = "a" }`, `{ count_distinct = ["a", "b"] }` or
/// `{ sum = "a", distinct = ["b", "c"] }`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateConfig {
    /// The greatest value of this column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// How many different values these columns have together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count_distinct: Option<Vec<String>>,
    /// The sum of this column, over one row for each value of `distinct`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
    /// What a row of the sum is told by; the first row of each value counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct: Option<Vec<String>>,
}

/// One column of the state, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregate {
    /// The greatest value that is not null.
    Max {
        /// Its column.
        of: String,
    },
    /// Different values of some columns, none of them null.
    CountDistinct {
        /// The columns.
        by: Vec<String>,
    },
    /// Sum over the first row of each value of some columns, none of them nor the summand null.
    SumDistinct {
        /// The summand.
        of: String,
        /// The columns.
        by: Vec<String>,
    },
}

/// A state and the text of its SELECT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSpec {
    /// The `[state]` section.
    pub config: StateConfig,
    /// Text of the SELECT.
    pub select_sql: String,
}

impl AggregateConfig {
    /// What is kept, checked.
    ///
    /// # Errors
    /// A sentence that says what is wrong with `name`'s entry.
    pub fn aggregate(&self, name: &str) -> Result<Aggregate, String> {
        let forms = "it is { max = COLUMN }, { count_distinct = [COLUMNS] } or { sum = COLUMN, distinct = [COLUMNS] }";
        let some = |columns: &Vec<String>| match columns.is_empty() {
            true => Err(format!("state.columns.{name} names no column to tell rows by")),
            false => Ok(columns.clone()),
        };
        match self {
            AggregateConfig { max: Some(of), count_distinct: None, sum: None, distinct: None } => {
                Ok(Aggregate::Max { of: of.clone() })
            }
            AggregateConfig { max: None, count_distinct: Some(by), sum: None, distinct: None } => {
                Ok(Aggregate::CountDistinct { by: some(by)? })
            }
            AggregateConfig { max: None, count_distinct: None, sum: Some(of), distinct: Some(by) } => {
                Ok(Aggregate::SumDistinct { of: of.clone(), by: some(by)? })
            }
            _ => Err(format!("state.columns.{name}: {forms}")),
        }
    }
}

impl StateSpec {
    /// Lets a model with a target hold rows out by the key: by anything else a key would go from one side to the other.
    ///
    /// # Errors
    /// User: the model names other columns.
    pub(super) fn holds_out_by_key(&self, model: &mut ModelConfig) -> Result<(), Error> {
        let key = std::slice::from_ref(&self.config.key);
        let named = &mut model.evaluate.holdout_key;
        if model.label.is_none() || named == key {
            return Ok(());
        }
        if *named != Evaluate::default().holdout_key {
            let what = format!("evaluate.holdout_key is {named:?}: of a state it is the key");
            return Err(model.refused(what).hint(format!("leave it out, or write holdout_key = {key:?}")));
        }
        *named = key.to_vec();
        Ok(())
    }
}

/// The column of a state's files that has what was seen of another.
pub(crate) fn seen_name(column: &str) -> String {
    format!("{column}_seen")
}

/// The column of a state's rows that has the greatest value of another, over all keys.
pub(crate) fn greatest_name(column: &str) -> String {
    format!("_max_{column}")
}

impl StateConfig {
    /// All columns, checked, in the order of their names.
    ///
    /// # Errors
    /// A sentence that names the wrong key.
    pub fn aggregates(&self) -> Result<Vec<(String, Aggregate)>, String> {
        if self.columns.is_empty() {
            return Err("state.columns is empty: a state keeps at least one column".into());
        }
        if let Some(name) = self.columns.keys().find(|name| name.starts_with('_') || **name == self.key) {
            return Err(format!(
                "state.columns.{name}: the name is the key's or starts with `_`, as the engine's do"
            ));
        }
        let checked = self.columns.iter().map(|(name, column)| Ok((name.clone(), column.aggregate(name)?)));
        let checked = checked.collect::<Result<Vec<_>, String>>()?;
        for (name, aggregate) in &checked {
            let (own, what) = match aggregate {
                Aggregate::Max { .. } => (greatest_name(name), "the greatest value of all keys"),
                _ => (seen_name(name), "what it has seen"),
            };
            if self.key == own || self.columns.contains_key(&own) {
                let whose = if self.key == own { "state.key" } else { "state.columns" };
                return Err(format!(
                    "{whose}: the name `{own}` is taken, since state.columns.{name} keeps {what} under it: name one of \
                     the two otherwise"
                ));
            }
        }
        Ok(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(text: &str) -> Result<Vec<(String, Aggregate)>, String> {
        let text = format!("table = 't'\nkey = 'k'\nselect = 's'\n[columns]\n{text}");
        toml::from_str::<StateConfig>(&text).map_err(|e| e.to_string())?.aggregates()
    }

    #[test]
    fn the_three_forms() {
        let found = columns(
            "a = { max = 'x' }\nb = { count_distinct = ['x'] }\nc = { sum = 'x', distinct = ['y', 'z'] }",
        );
        let by = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(
            found.unwrap(),
            [
                ("a".into(), Aggregate::Max { of: "x".into() }),
                ("b".into(), Aggregate::CountDistinct { by: by(&["x"]) }),
                ("c".into(), Aggregate::SumDistinct { of: "x".into(), by: by(&["y", "z"]) }),
            ]
        );
    }

    #[test]
    fn a_name_that_the_engine_gives_is_refused() {
        let distinct = "a = { count_distinct = ['x'] }";
        let with = |key: &str, columns: &str| {
            let text = format!("table = 't'\nkey = '{key}'\nselect = 's'\n[columns]\n{columns}");
            toml::from_str::<StateConfig>(&text).unwrap().aggregates()
        };
        for (key, columns, said) in [
            ("k", format!("{distinct}\na_seen = {{ max = 'x' }}"), "state.columns: the name `a_seen`"),
            ("k", format!("{distinct}\na_seen = {{ count_distinct = ['y'] }}"), "`a_seen`"),
            ("k", "a = { sum = 'x', distinct = ['y'] }\na_seen = { max = 'x' }".to_owned(), "`a_seen`"),
            ("a_seen", distinct.to_owned(), "state.key: the name `a_seen`"),
            ("_max_a", "a = { max = 'x' }".to_owned(), "state.key: the name `_max_a`"),
        ] {
            let error = with(key, &columns).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        for (key, columns) in [
            ("k", "a = { max = 'x' }\na_seen = { max = 'x' }"),
            ("_max_a", distinct),
            ("k", "a_seen = { count_distinct = ['x'] }"),
        ] {
            with(key, columns).unwrap();
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused_with_the_forms() {
        for text in
            ["a = { max = 'x', sum = 'y' }", "a = { sum = 'x' }", "a = { distinct = ['x'] }", "a = {}"]
        {
            assert!(columns(text).unwrap_err().contains("{ max = COLUMN }"), "{text}");
        }
        for text in [
            "a = { count_distinct = [] }",
            "k = { max = 'x' }",
            "_a = { max = 'x' }",
            "",
            "a = { min = 'x' }",
        ] {
            assert!(columns(text).is_err(), "{text}");
        }
    }
}
