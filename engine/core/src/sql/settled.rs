//! The types of a result, before it is computed.
//!
//! DataFusion plans a statement by the types that it would give, and the rules that every session has change some of them:
//! `price * 0.07` of a DECIMAL is a DOUBLE in the plan and a DECIMAL in the result. Whoever keeps columns of a result, or
//! says what they are, asks here.

use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef, Result};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{DescribeTable, Expr, LogicalPlan, Projection, cast};

use super::deep::deep;

/// A plan whose columns have the types of its result.
///
/// # Errors
/// Plan: a rule finds that the statement cannot be run.
pub(crate) async fn settled(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let result = result_schema(state, plan.clone()).await?;
    let given = plan.schema().clone();
    let mut pairs = given.fields().iter().zip(result.fields());
    if pairs.all(|(field, made)| field.data_type() == made.data_type()) {
        return Ok(plan);
    }
    let columns = given.iter().zip(result.fields()).map(|((table, field), made)| {
        let column = Expr::Column(Column::from((table, field)));
        match field.data_type() == made.data_type() {
            true => column,
            false => cast(column, made.data_type().clone()).alias_qualified(table.cloned(), field.name()),
        }
    });
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// What `DESCRIBE SELECT …` tells.
///
/// # Errors
/// As [`settled`].
pub(super) async fn described(state: &SessionState, query: LogicalPlan) -> Result<LogicalPlan> {
    let schema = Arc::new(result_schema(state, query).await?.as_arrow().clone());
    let output_schema = Arc::new(LogicalPlan::describe_schema().try_into()?);
    Ok(LogicalPlan::DescribeTable(DescribeTable { schema, output_schema }))
}

async fn result_schema(state: &SessionState, plan: LogicalPlan) -> Result<DFSchemaRef> {
    let of_rules = async { state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}) };
    Ok(deep(of_rules).await?.schema().clone())
}

#[cfg(test)]
mod tests {
    use datafusion::common::Result;

    use crate::sql::tests::{check, session};
    use crate::sql::{collect, frame, plan};

    use super::settled;

    /// DuckDB's types but for the digits of a DECIMAL, and whether a column may be null.
    #[tokio::test]
    async fn a_plan_has_the_types_of_its_result() -> Result<()> {
        let session = session();
        let rows = "FROM (VALUES (CAST(1.50 AS DECIMAL(10,2)), CAST(2 AS DOUBLE), DATE '2020-01-01')) AS v (m, x, d)";
        for columns in [
            "m * 0.07 AS a, m + 1.5 AS b, -m AS c",
            "m * x AS a, x * 0.07 AS b, m / 3 AS c",
            "CASE WHEN x > 1 THEN m ELSE 0.5 END AS a, coalesce(m, 0.0) AS b, x AS c, m AS e",
            "CASE WHEN x > 1 THEN d ELSE TIMESTAMP '2020-01-01 10:00:00' END AS a",
            "greatest(m, 0.5) AS a, make_array(m, 0.5) AS b, abs(m * 0.5) AS c",
            "0.1 AS a, 1e-1 AS b, 0.1 + m AS c",
            "m * 0.07 AS a, (SELECT max(w.m * 0.5) FROM (SELECT CAST(3 AS DECIMAL(4,1)) AS m) AS w) AS b",
        ] {
            for statement in [
                format!("SELECT {columns} {rows}"),
                format!("SELECT {columns} {rows} UNION ALL SELECT {columns} {rows}"),
            ] {
                let planned = plan(&session.state(), &statement).await?;
                let planned = settled(&session.state(), planned).await?;
                let batches = collect(frame(&session, &statement).await?).await?;
                let made = batches[0].schema();
                let types = planned.schema().fields().iter().map(|field| (field.name(), field.data_type()));
                let given = made.fields().iter().map(|field| (field.name(), field.data_type()));
                assert_eq!(types.collect::<Vec<_>>(), given.collect::<Vec<_>>(), "{statement}");
            }
        }
        check(&[
            (
                &format!("DESCRIBE SELECT m * 0.07 AS a, x * 0.07 AS b {rows}"),
                &["a|Decimal128(13, 4)|NO", "b|Float64|NO"] as &[&str],
            ),
            (&format!("DESCRIBE SELECT m * 0.07 AS a {rows} WHERE x < 0"), &["a|Decimal128(13, 4)|NO"]),
        ])
        .await;
        Ok(())
    }
}
