//! The columns that a model is given, and what steps make of them.

use super::Export;
use super::graph::{Graph, Value};
use crate::Error;

/// Columns by their names, in a model's order.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// Shape of each: rows × 1. A missing value is NaN.
    pub(super) numeric: Vec<(String, Value)>,
    /// Shape of each: rows × 1. A missing value is an empty text.
    pub(super) texts: Vec<(String, Value)>,
}

/// The texts of one column that a model tells apart.
pub(super) struct Texts<'a> {
    column: &'a str,
    known: Vec<(&'a str, i64)>,
    missing: i64,
    other: i64,
}

impl Columns {
    /// The inputs of a graph, one for each feature.
    ///
    /// # Errors
    ///
    /// [`Error::NotInOnnx`] for a name that two of them have, or that is one of the outputs'.
    pub(super) fn inputs(
        numeric: &[String],
        texts: &[String],
        outputs: &[&str],
    ) -> Result<(Graph, Columns), Error> {
        let names: Vec<&str> = numeric.iter().chain(texts).map(String::as_str).collect();
        for (at, name) in names.iter().enumerate() {
            let why = if names[..at].contains(name) {
                "two inputs cannot have one name"
            } else if outputs.contains(name) {
                "that is the name of an output; give the feature another"
            } else if name.is_empty() {
                "an input has a name"
            } else {
                continue;
            };
            return Err(Error::NotInOnnx { what: format!("the feature `{name}`"), why });
        }
        let mut graph = Graph::new(&names);
        let given: Vec<Value> = numeric.iter().map(|name| graph.input(name, false)).collect();
        let texts = texts.iter().map(|name| (name.clone(), graph.input(name, true))).collect();
        let nan = graph.double(f64::NAN);
        let known = given.iter().map(|values| {
            // An infinity is a missing value, too.
            let infinite = graph.op("IsInf", &[values]);
            graph.op("Where", &[&infinite, &nan, values])
        });
        let numeric = numeric.iter().cloned().zip(known.collect::<Vec<_>>()).collect();
        Ok((graph, Columns { numeric, texts }))
    }

    /// All numeric columns as one matrix; `None` without any.
    pub(super) fn matrix(&self, graph: &mut Graph) -> Option<Value> {
        let columns: Vec<&Value> = self.numeric.iter().map(|(_, value)| value).collect();
        if columns.is_empty() { None } else { Some(graph.matrix(&columns)) }
    }
}

impl<'a> Texts<'a> {
    /// Texts that are numbered from 0; a missing one is the number after the last, and any other the one after that.
    ///
    /// # Errors
    ///
    /// [`Error::NotInOnnx`] where the empty text is one of them.
    pub(super) fn numbered(
        column: &'a str,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Texts<'a>, Error> {
        let known: Vec<(&str, i64)> = names.zip(0..).collect();
        let count = known.len() as i64;
        Texts::coded(column, known, count, count + 1)
    }

    /// Texts with these numbers.
    ///
    /// # Errors
    ///
    /// Those of [`numbered`](Texts::numbered).
    pub(super) fn coded(
        column: &'a str,
        known: Vec<(&'a str, i64)>,
        missing: i64,
        other: i64,
    ) -> Result<Texts<'a>, Error> {
        if known.iter().any(|(name, _)| name.is_empty()) {
            return Err(Error::NotInOnnx {
                what: format!("the empty text as a category of `{column}`"),
                why: "there it stands for a missing value; learn from NULLIF(column, '')",
            });
        }
        Ok(Texts { column, known, missing, other })
    }

    /// The number of each row's text, rows × 1.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownColumn`].
    pub(super) fn codes(&self, graph: &mut Graph, columns: &Columns) -> Result<Value, Error> {
        let Some((_, texts)) = columns.texts.iter().find(|(name, _)| name == self.column) else {
            let known = columns.texts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownColumn { kind: "text", column: self.column.to_owned(), known });
        };
        let mut known = self.known.clone();
        known.push(("", self.missing));
        Ok(graph.codes(texts, &known, self.other))
    }

    /// What a table has for each row's text, rows × the width of the table, whose rows are those of the texts in their
    /// order, of a missing one, and of any other.
    ///
    /// # Errors
    ///
    /// Those of [`codes`](Texts::codes).
    pub(super) fn looked_up(
        &self,
        graph: &mut Graph,
        columns: &Columns,
        table: &[f64],
    ) -> Result<Value, Error> {
        let rows = self.known.len() + 2;
        let table = graph.doubles(&[rows, table.len() / rows], table);
        let codes = self.codes(graph, columns)?;
        Ok(graph.rows_of(&table, &codes))
    }
}

impl Export {
    /// Texts that a column may have had, as the caller knows them.
    pub(super) fn known_texts(&self, column: &str) -> impl Iterator<Item = &str> {
        self.categories.get(column).into_iter().flatten().map(String::as_str)
    }
}
