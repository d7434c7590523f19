//! Names of a SELECT's columns: a table has each once, or nobody can ask for it.

use datafusion::common::DFSchema;

use crate::error::{Error, Result};

/// Refuses a result of which two columns have one name. A statement may give such a result, but a file that has it cannot
/// be read again.
///
/// # Errors
/// User: both columns are named, with the tables that they are from.
pub(crate) fn check_names(schema: &DFSchema) -> Result<()> {
    let columns: Vec<_> = schema.iter().collect();
    for (at, (qualifier, field)) in columns.iter().enumerate() {
        let Some((earlier, (other, _))) =
            columns[..at].iter().enumerate().find(|(_, (_, other))| other.name() == field.name())
        else {
            continue;
        };
        let name = field.name();
        let full = |qualifier: &Option<&datafusion::common::TableReference>| match qualifier {
            Some(table) => format!("`{}.{name}`", table.table()),
            None => format!("`{name}`"),
        };
        return Err(Error::user(format!(
            "two columns are called `{name}`: {}, the {} column, and {}, the {}",
            full(other),
            ordinal(earlier + 1),
            full(qualifier),
            ordinal(at + 1)
        ))
        .hint(format!("give one of them another name (AS {name}_2, say), or leave it out of the SELECT")));
    }
    Ok(())
}

fn ordinal(place: usize) -> String {
    let ending = match (place % 10, place % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{place}{ending}")
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn both_columns_of_one_name_are_told() {
        let context = SessionContext::new();
        let plan = |sql: &'static str| async { context.state().create_logical_plan(sql).await.unwrap() };
        let two = plan("SELECT 1 AS a, x.d, y.d FROM (SELECT 1 AS d) AS x, (SELECT 2 AS d) AS y").await;
        let error = check_names(two.schema()).unwrap_err().to_string();
        assert!(error.contains("`x.d`, the 2nd column, and `y.d`, the 3rd"), "{error}");
        assert!(check_names(plan("SELECT 1 AS a, 2 AS \"A\"").await.schema()).is_ok());
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 21].map(ordinal),
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st"]
        );
    }
}
