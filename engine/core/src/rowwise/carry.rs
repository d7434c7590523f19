//! Columns of the table that are in a SELECT's result whether it names them or not: brought up through its subqueries, by
//! the plan, as a text does not tell what `*` stands for.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::logical_plan::{Filter, SubqueryAlias};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};

use crate::error::{Error, Result};

/// A plan of projections, filters, unnests and aliases with these columns of its table behind those that it gives. One that
/// the table has not is left out.
///
/// # Errors
/// User: the SELECT makes a column of its own of a name that is the engine's.
pub(super) fn with_columns(plan: LogicalPlan, names: &[&str]) -> Result<LogicalPlan> {
    let mut wanted: Vec<&str> = Vec::new();
    names.iter().for_each(|name| {
        if !wanted.contains(name) {
            wanted.push(name);
        }
    });
    Ok(carry(plan, &wanted)?.0)
}

/// The plan, and what each wanted column is in its result.
fn carry(plan: LogicalPlan, wanted: &[&str]) -> Result<(LogicalPlan, Vec<Option<Column>>)> {
    match plan {
        LogicalPlan::Projection(Projection { expr, input, schema, .. }) => {
            let (input, below) = carry(Arc::unwrap_or_clone(input), wanted)?;
            let mut expressions = expr;
            let mut columns = Vec::with_capacity(wanted.len());
            for (name, below) in wanted.iter().zip(below) {
                let own = schema.iter().zip(&expressions).find(|((_, field), _)| field.name() == name);
                let column = match (own, below) {
                    (Some(((table, field), made)), below) => {
                        let is_same =
                            matches!(bare(made), Expr::Column(column) if Some(column) == below.as_ref());
                        if !is_same && name.starts_with('_') {
                            return Err(Error::user(format!(
                                "the SELECT makes a column `{name}` of its own ({}), which is the name of one of the engine's",
                                bare(made)
                            ))
                            .hint("those are in the result as they are, unasked: give it another name"));
                        }
                        Some(Column::from((table, field)))
                    }
                    (None, Some(below)) => {
                        expressions.push(Expr::Column(below.clone()));
                        Some(below)
                    }
                    (None, None) => None,
                };
                columns.push(column);
            }
            Ok((LogicalPlan::Projection(Projection::try_new(expressions, Arc::new(input))?), columns))
        }
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let (input, columns) = carry(Arc::unwrap_or_clone(input), wanted)?;
            Ok((LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?), columns))
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
            let (input, columns) = carry(Arc::unwrap_or_clone(input), wanted)?;
            let renamed =
                columns.into_iter().map(|column| Some(Column::new(Some(alias.clone()), column?.name)));
            let renamed = renamed.collect();
            Ok((LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias)?), renamed))
        }
        LogicalPlan::Unnest(unnest) => {
            let (input, columns) = carry(unnest.input.as_ref().clone(), wanted)?;
            Ok((LogicalPlan::Unnest(unnest).with_new_exprs(Vec::new(), vec![input])?, columns))
        }
        plan => {
            let column =
                |name: &&str| plan.schema().iter().find(|(_, field)| field.name() == name).map(Column::from);
            let columns = wanted.iter().map(column).collect();
            Ok((plan, columns))
        }
    }
}

/// An expression without the names that it is given.
fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}
