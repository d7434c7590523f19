//! Subqueries in GROUP BY.
//!
//! DataFusion 55 has no join for one that meets the outer row, and refuses it. So what is grouped by is a column before.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, Projection};
use datafusion::optimizer::AnalyzerRule;

/// Makes subqueries that are grouped by columns.
#[derive(Debug)]
pub(super) struct GroupedSubqueries;

impl AnalyzerRule for GroupedSubqueries {
    fn name(&self) -> &str {
        "grouped_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let of_node = |plan| match plan {
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.iter().any(has_subquery) => {
                as_columns(aggregate).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        };
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }
}

fn has_subquery(expression: &Expr) -> bool {
    let is_subquery = |part: &Expr| {
        Ok(matches!(
            part,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
        ))
    };
    expression.exists(is_subquery).unwrap_or(false)
}

fn as_columns(aggregate: Aggregate) -> Result<LogicalPlan> {
    let mut columns: Vec<Expr> = aggregate.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut made: Vec<(Expr, Expr)> = Vec::new();
    let mut as_column = |key: Expr| {
        if !has_subquery(&key) {
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
    let input = Arc::new(LogicalPlan::Projection(Projection::try_new(columns, aggregate.input)?));
    let grouped = LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, aggregate.aggr_expr)?);
    let given = grouped.schema().columns().into_iter().map(Expr::Column);
    let named = given.zip(aggregate.schema.iter());
    let named =
        named.map(|(column, (qualifier, field))| column.alias_qualified(qualifier.cloned(), field.name()));
    let named = named.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(named, Arc::new(grouped))?))
}
