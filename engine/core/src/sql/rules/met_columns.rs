//! Columns of one name by which a subquery meets the outer row.
//!
//! DataFusion 55 makes a join of `(SELECT sum(a.x) FROM a, b WHERE a.k = t.k AND b.k = t.k)`, and there calls both columns
//! `k` of the subquery: one is compared twice and the other never, so that rows of `t` come out more than once. It takes
//! the column that the subquery gives for one of them too, where that is called so. Such columns get names of their own.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, Subquery};
use datafusion::optimizer::AnalyzerRule;

/// Tells columns apart by which a subquery meets the outer row.
#[derive(Debug)]
pub(super) struct MetColumns;

impl AnalyzerRule for MetColumns {
    fn name(&self) -> &str {
        "met_columns"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let of_node = |plan: LogicalPlan| {
            plan.map_expressions(|expression| {
                expression.transform_up(|part| match part {
                    Expr::ScalarSubquery(subquery) => {
                        Ok(told_apart(subquery)?.update_data(Expr::ScalarSubquery))
                    }
                    Expr::Exists(Exists { subquery, negated }) => Ok(told_apart(subquery)?
                        .update_data(|subquery| Expr::Exists(Exists { subquery, negated }))),
                    Expr::InSubquery(InSubquery { expr, subquery, negated }) => Ok(told_apart(subquery)?
                        .update_data(|subquery| Expr::InSubquery(InSubquery { expr, subquery, negated }))),
                    other => Ok(Transformed::no(other)),
                })
            })
        };
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}

/// A subquery in which the columns that meet the outer row have different names.
fn told_apart(subquery: Subquery) -> Result<Transformed<Subquery>> {
    let mut met = HashSet::new();
    subquery.subquery.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            for condition in
                split_conjunction(&filter.predicate).into_iter().filter(|part| part.contains_outer())
            {
                met.extend(condition.column_refs().into_iter().cloned());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut names: HashSet<&str> = HashSet::new();
    let is_given =
        |column: &Column| {
            subquery.subquery.schema().iter().any(|(qualifier, field)| {
                field.name() == &column.name && qualifier != column.relation.as_ref()
            })
        };
    if met.iter().all(|column| names.insert(&column.name) && !is_given(column)) {
        return Ok(Transformed::no(subquery));
    }
    let mut count = 0;
    let made = Arc::unwrap_or_clone(subquery.subquery).transform_up(|node| match node {
        LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => {
            renamed(filter, &mut count).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(Transformed::yes(Subquery { subquery: Arc::new(made.data), ..subquery }))
}

/// The same filter by columns with new names.
fn renamed(filter: Filter, count: &mut usize) -> Result<LogicalPlan> {
    let given: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut columns = given.clone();
    let mut renamed: Vec<(Column, String)> = Vec::new();
    let conditions = split_conjunction_owned(filter.predicate).into_iter().map(|condition| {
        if !condition.contains_outer() {
            return Ok(condition);
        }
        let made = condition.transform_up(|part| {
            let Expr::Column(column) = part else { return Ok(Transformed::no(part)) };
            let known = renamed.iter().find(|(of, _)| *of == column).map(|(_, name)| name.clone());
            let name = known.unwrap_or_else(|| {
                let name = format!("__met_{count}");
                *count += 1;
                columns.push(Expr::Column(column.clone()).alias(&name));
                renamed.push((column, name.clone()));
                name
            });
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
        })?;
        Ok(made.data)
    });
    let predicate = conjunction(conditions.collect::<Result<Vec<_>>>()?);
    let input = Arc::new(LogicalPlan::Projection(Projection::try_new(columns, filter.input)?));
    let filtered = match predicate {
        Some(predicate) => Arc::new(LogicalPlan::Filter(Filter::try_new(predicate, input)?)),
        None => input,
    };
    Ok(LogicalPlan::Projection(Projection::try_new(given, filtered)?))
}
