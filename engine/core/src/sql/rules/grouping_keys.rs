//! Expressions in ROLLUP, CUBE and GROUPING SETS.
//!
//! DataFusion 55 calls the columns of an aggregate after their expressions. Where a rule rewrites one, it gives the rewritten one
//! the name of before; but for a set of several keys that is one name around all of them, and no column is found again. So a key
//! that is no column becomes one before any other rule, and the sets are of columns alone.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, Projection};
use datafusion::optimizer::AnalyzerRule;

/// Makes the keys of grouping sets columns.
#[derive(Debug)]
pub(in crate::sql) struct GroupingKeys;

impl AnalyzerRule for GroupingKeys {
    fn name(&self) -> &str {
        "grouping_keys"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let of_node = |plan| match plan {
            LogicalPlan::Aggregate(aggregate) if has_computed_sets(&aggregate.group_expr) => {
                as_columns(aggregate, is_computed).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        };
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}

fn is_computed(key: &Expr) -> bool {
    !matches!(key, Expr::Column(_))
}

fn has_computed_sets(keys: &[Expr]) -> bool {
    matches!(keys, [Expr::GroupingSet(sets)] if sets.distinct_expr().into_iter().any(is_computed))
}

/// The same groups, where each key that `is_taken` is a column of the rows below.
pub(super) fn as_columns(aggregate: Aggregate, is_taken: fn(&Expr) -> bool) -> Result<LogicalPlan> {
    let mut columns: Vec<Expr> = aggregate.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut made: Vec<(Expr, Expr)> = Vec::new();
    let mut as_column = |key: Expr| {
        if !is_taken(&key) {
            return key;
        }
        if let Some((_, column)) = made.iter().find(|(of, _)| *of == key) {
            return column.clone();
        }
        let name = format!("__key_{}", made.len());
        columns.push(key.clone().unalias_nested().data.alias(&name));
        let column = Expr::Column(Column::new_unqualified(name));
        made.push((key, column.clone()));
        column
    };
    let group_expr = aggregate.group_expr.into_iter().map(|key| match key {
        Expr::GroupingSet(GroupingSet::Rollup(keys)) => {
            Expr::GroupingSet(GroupingSet::Rollup(keys.into_iter().map(&mut as_column).collect()))
        }
        Expr::GroupingSet(GroupingSet::Cube(keys)) => {
            Expr::GroupingSet(GroupingSet::Cube(keys.into_iter().map(&mut as_column).collect()))
        }
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
            let sets = sets.into_iter().map(|keys| keys.into_iter().map(&mut as_column).collect());
            Expr::GroupingSet(GroupingSet::GroupingSets(sets.collect()))
        }
        key => as_column(key),
    });
    let group_expr = group_expr.collect();
    let aggr_expr = aggregate.aggr_expr.into_iter().map(|value| of_keys(value, &made));
    let aggr_expr = aggr_expr.collect::<Result<_>>()?;
    let input = Arc::new(LogicalPlan::Projection(Projection::try_new(columns, aggregate.input)?));
    let grouped = LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggr_expr)?);
    let given = grouped.schema().columns().into_iter();
    // The number of the set is for `grouping` alone, which a rule of DataFusion reads below.
    let named = given
        .zip(aggregate.schema.iter())
        .filter(|(column, _)| column.name != Aggregate::INTERNAL_GROUPING_ID);
    let named = named.map(|(column, (qualifier, field))| {
        Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
    });
    let named = named.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(named, Arc::new(grouped))?))
}

/// `grouping(key)` of the column that the key has become.
fn of_keys(value: Expr, made: &[(Expr, Expr)]) -> Result<Expr> {
    let made = value.transform_up(|part| match part {
        Expr::AggregateFunction(mut call) if call.func.name() == "grouping" => {
            for arg in &mut call.params.args {
                if let Some((_, column)) = made.iter().find(|(of, _)| of == arg) {
                    *arg = column.clone();
                }
            }
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(made.data)
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    const EVENTS: &str = "WITH ev AS (SELECT * FROM (VALUES (1, CAST(2.5 AS DECIMAL(8,2)), 1.25, 'a', DATE '2026-01-01'), \
        (1, 5.55, NULL, 'b', DATE '2026-01-01'), (2, NULL, 1.25, 'a', DATE '2026-01-02')) AS v (k, price, amt, cat, d)) ";

    /// The rows are DuckDB's.
    const CASES: &[(&str, &[&str])] = &[
        (
            "coalesce(price, 0.0), count(*) FROM ev GROUP BY ROLLUP(coalesce(price, 0.0)) ORDER BY 1 NULLS LAST",
            &["0.00|1", "2.50|1", "5.55|1", "|3"],
        ),
        (
            "round(price, 1), k, count(*) FROM ev GROUP BY CUBE(round(price, 1), k) ORDER BY 1 NULLS LAST, 2 NULLS LAST, 3",
            &["2.5|1|1", "2.5||1", "5.6|1|1", "5.6||1", "|1|2", "|2|1", "|2|1", "||1", "||3"],
        ),
        (
            "round(price, 1), sum(k) FROM ev GROUP BY GROUPING SETS ((round(price, 1)), ()) ORDER BY 2",
            &["2.5|1", "5.6|1", "|2", "|4"],
        ),
        (
            "concat(upper(cat), 'x'), count(*) FROM ev GROUP BY ROLLUP(concat(upper(cat), 'x')) ORDER BY 1 NULLS LAST",
            &["Ax|2", "Bx|1", "|3"],
        ),
        (
            "CAST(price * 2 AS INT), count(*) FROM ev GROUP BY ROLLUP(CAST(price * 2 AS INT)) ORDER BY 1 NULLS LAST, 2",
            &["5|1", "11|1", "|1", "|3"],
        ),
        (
            "k, CASE WHEN price > 5.5 THEN 'high' ELSE 'low' END, count(*) FROM ev GROUP BY ROLLUP(k, CASE WHEN price > 5.5 THEN 'high' ELSE 'low' END) ORDER BY 1 NULLS LAST, 2 NULLS LAST",
            &["1|high|1", "1|low|1", "1||2", "2|low|1", "2||1", "||3"],
        ),
        (
            "coalesce(price, amt), count(*) FROM ev GROUP BY CUBE(coalesce(price, amt)) ORDER BY 1 NULLS LAST",
            &["1.25|1", "2.5|1", "5.55|1", "|3"],
        ),
        ("k + 1, count(*) FROM ev GROUP BY ROLLUP(k + 1) ORDER BY 1 NULLS LAST", &["2|2", "3|1", "|3"]),
        (
            "k % 2, (k % 2) * 10, count(*) FROM ev GROUP BY ROLLUP(k % 2) ORDER BY 1 NULLS LAST",
            &["0|0|1", "1|10|2", "||3"],
        ),
        (
            "price * 2, count(*) FROM ev GROUP BY ROLLUP(price * 2) ORDER BY 1 NULLS LAST, 2",
            &["5.00|1", "11.10|1", "|1", "|3"],
        ),
        (
            "floor(amt), count(*) FROM ev GROUP BY CUBE(floor(amt)) ORDER BY 1 NULLS LAST, 2",
            &["1.0|2", "|1", "|3"],
        ),
        (
            "d - DATE '2025-12-31', count(*) FROM ev GROUP BY ROLLUP(d - DATE '2025-12-31') ORDER BY 1 NULLS LAST",
            &["1|2", "2|1", "|3"],
        ),
        (
            "d + INTERVAL '1 day', count(*) FROM ev GROUP BY ROLLUP(d + INTERVAL '1 day') ORDER BY 1 NULLS LAST",
            &["2026-01-02|2", "2026-01-03|1", "|3"],
        ),
        (
            "k + 1 AS n, grouping(k + 1), count(*) FROM ev GROUP BY ROLLUP(k + 1) HAVING count(*) > 0 ORDER BY 2, 1",
            &["2|0|2", "3|0|1", "|1|3"],
        ),
        (
            "k + 1, cat, grouping(k + 1), grouping(cat), count(*) FROM ev GROUP BY GROUPING SETS ((k + 1, cat), (k + 1), ()) ORDER BY 3, 4, 1, 2",
            &["2|a|0|0|1", "2|b|0|0|1", "3|a|0|0|1", "2||0|1|2", "3||0|1|1", "||1|1|3"],
        ),
        (
            "k + 1, grouping(k + 1, upper(cat)), count(*), max(k + 1) FROM ev GROUP BY CUBE(k + 1, upper(cat)) ORDER BY 2, 1, 3",
            &["2|0|1|2", "2|0|1|2", "3|0|1|3", "2|1|2|2", "3|1|1|3", "|2|1|2", "|2|2|3", "|3|3|3"],
        ),
        (
            "cat, k + 1, count(*) FROM ev GROUP BY cat, ROLLUP(k + 1) ORDER BY 1, 2 NULLS LAST",
            &["a|2|1", "a|3|1", "a||2", "b|2|1", "b||1"],
        ),
        ("k + 1, count(*) FROM ev GROUP BY ROLLUP(k + 1) HAVING k + 1 > 2", &["3|1"]),
        (
            "rank() OVER (ORDER BY k + 1 NULLS LAST), k + 1 FROM ev GROUP BY ROLLUP(k + 1) ORDER BY 1",
            &["1|2", "2|3", "3|"],
        ),
        ("count(*) FROM ev WHERE k IN (SELECT k + 1 FROM ev GROUP BY ROLLUP(k + 1))", &["1"]),
        ("k, count(*) FROM ev GROUP BY ROLLUP(k) ORDER BY 1 NULLS LAST", &["1|2", "2|1", "|3"]),
        ("k, grouping(k), count(*) FROM ev GROUP BY CUBE(k) ORDER BY 2, 1", &["1|0|2", "2|0|1", "|1|3"]),
    ];

    #[tokio::test]
    async fn an_expression_is_a_key_of_a_grouping_set() {
        for (sql, rows) in CASES {
            check(&[(&format!("{EVENTS}SELECT {sql}"), rows)]).await;
        }
    }

    #[tokio::test]
    async fn an_interval_is_none() {
        let sql = "SELECT i, count(*) FROM (VALUES (INTERVAL '1 day'), (INTERVAL '24 hours')) AS v (i) GROUP BY ROLLUP(i)";
        refused(&[(sql, "GROUP BY of an interval")]).await;
    }
}
