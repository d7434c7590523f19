//! Columns of a table in another order.

use super::FeatureTable;
use crate::Error;

impl FeatureTable {
    /// The same rows with these features alone, in this order: what a model takes that was fitted on the columns as they stood
    /// then. Columns are copied.
    ///
    /// ```
    /// use tidemill_ml::FeatureTable;
    ///
    /// let mut table = FeatureTable::new(vec!["hour".into(), "day".into()], vec!["place".into()]);
    /// table.push_numeric(0, [1.0, 2.0]);
    /// table.push_numeric(1, [5.0, 6.0]);
    /// table.push_category(0, [Some("street"), None]);
    /// table.finish_append()?;
    /// let turned = table.by_names(&["day".into(), "hour".into()], &[])?;
    /// assert_eq!((turned.numeric_names(), turned.rows()), (&["day".to_owned(), "hour".to_owned()][..], 2));
    /// assert!(table.by_names(&["place".into()], &[]).is_err(), "it is a text");
    /// # Ok::<(), tidemill_ml::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::UnknownColumn`] for one that the table has not, or of the other kind.
    pub fn by_names(&self, numeric: &[String], categorical: &[String]) -> Result<FeatureTable, Error> {
        let places = |wanted: &[String], known: &[String], kind: &'static str| {
            let place = |name: &String| {
                known.iter().position(|known| known == name).ok_or_else(|| Error::UnknownColumn {
                    kind,
                    column: name.clone(),
                    known: known.join(", "),
                })
            };
            wanted.iter().map(place).collect::<Result<Vec<usize>, Error>>()
        };
        let numbers = places(numeric, &self.numeric_names, "numeric")?;
        let texts = places(categorical, &self.categorical_names, "text")?;
        Ok(FeatureTable {
            numeric_names: numeric.to_vec(),
            categorical_names: categorical.to_vec(),
            numeric: numbers.iter().map(|&at| self.numeric[at].clone()).collect(),
            categorical: texts.iter().map(|&at| self.categorical[at].clone()).collect(),
            rows: self.rows,
            marks: Vec::new(),
            bad_column: None,
        })
    }
}
