//! `IN` and `NOT IN` over a subquery with nulls.
//!
//! `x IN (S)` is true where a row of S equals x; else null where S has a null, or x is null and S has a row; else false.
//! DataFusion 55 has that for `x NOT IN (S)` as a condition of its own over an S that knows nothing of the outer row, and
//! for `IN` where null and false are one; anywhere else it takes null for false (apache/datafusion#8241, #25347, #25480), and keeps rows
//! of a `NOT IN`. There it is put together from EXISTS here:
//!
//! ```text
//! CASE WHEN EXISTS (S where s = x) THEN true WHEN x IS NULL AND EXISTS (S) OR EXISTS (S where s IS NULL) THEN null ELSE false END
//! ```
//!
//! Its join for `NOT IN` needs a column to look for: an x that turns out to be a constant, as `COALESCE('a', c)` does, is compared as
//! any condition is. So whatever x is, it is a column before.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, Spans, not_impl_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, Filter, Limit, LogicalPlan, Operator, Projection, Subquery,
    SubqueryAlias, lit, not, when,
};
use datafusion::optimizer::AnalyzerRule;

/// Gives membership in a subquery its third value.
#[derive(Debug)]
pub(super) struct NullMembership;

impl AnalyzerRule for NullMembership {
    fn name(&self) -> &str {
        "null_membership"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Filter(filter) => of_filter(filter),
        other => Ok(Transformed::no(other)),
    }
}

fn of_filter(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let mut changed = false;
    let schema = filter.input.schema().clone();
    let (mut conditions, mut looked_for) = (Vec::new(), Vec::new());
    for condition in split_conjunction_owned(filter.predicate) {
        let (condition, negations) = without_not(condition);
        if let Expr::InSubquery(mut membership) = condition {
            let negated = membership.negated != negations;
            let is_right = !negated || knows_nulls(&membership, &schema)?;
            if is_right {
                if negated && !is_column(&membership.expr) {
                    let name = format!("__looked_for_{}", looked_for.len());
                    let column = Box::new(Expr::Column(Column::new_unqualified(&name)));
                    looked_for.push(std::mem::replace(&mut membership.expr, column).alias(name));
                    changed = true;
                }
                conditions.push(Expr::InSubquery(InSubquery { negated, ..membership }));
            } else {
                changed = true;
                conditions.extend(no_member(membership, &schema)?);
            }
            continue;
        }
        let made = with_third_values(condition, negations, &schema)?;
        changed |= made.transformed;
        conditions.push(made.data);
    }
    let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
    if looked_for.is_empty() {
        let filter = LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?);
        return Ok(Transformed::new_transformed(filter, changed));
    }
    let given: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let columns = given.iter().cloned().chain(looked_for).collect();
    let input = Arc::new(LogicalPlan::Projection(Projection::try_new(columns, filter.input)?));
    let filtered = Arc::new(LogicalPlan::Filter(Filter::try_new(predicate, input)?));
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(given, filtered)?)))
}

/// A column, or one of another type: no constant, whatever becomes of it.
fn is_column(expression: &Expr) -> bool {
    match expression {
        Expr::Column(_) => true,
        Expr::Cast(Cast { expr, .. }) => is_column(expr),
        _ => false,
    }
}

/// A condition, or its contrary, with three values for each IN in it.
fn with_third_values(condition: Expr, negated: bool, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let condition = if negated { not(condition) } else { condition };
    condition.transform_up(|part| match part {
        Expr::InSubquery(membership) => three_valued(membership, schema).map(Transformed::yes),
        // Each value is compared: without a name of its own, `id` is taken for the outer one.
        Expr::SetComparison(mut comparison) => {
            comparison.subquery = named(comparison.subquery)?;
            Ok(Transformed::yes(Expr::SetComparison(comparison)))
        }
        other => Ok(Transformed::no(other)),
    })
}

/// A condition without the NOTs before it, and whether they are odd.
fn without_not(mut condition: Expr) -> (Expr, bool) {
    let mut negated = false;
    while let Expr::Not(inner) = condition {
        condition = *inner;
        negated = !negated;
    }
    (condition, negated)
}

/// Whether DataFusion's anti join is right about nulls: the subquery stands for itself, and nothing can be null or what is
/// looked for is of the outer row.
fn knows_nulls(membership: &InSubquery, schema: &DFSchema) -> Result<bool> {
    let member = member(&membership.subquery);
    let may_be_null =
        membership.expr.nullable(schema)? || member.nullable(membership.subquery.subquery.schema())?;
    let stands_alone = membership.subquery.outer_ref_columns.is_empty();
    Ok(stands_alone && (!may_be_null || !membership.expr.column_refs().is_empty()))
}

/// What the column of a subquery is of, where it is compared with one that may be called as it is.
const MEMBERS: &str = "__members";

/// One of the outer row cannot be called as that is, and its columns do not pass a name.
fn named(subquery: Subquery) -> Result<Subquery> {
    if !subquery.outer_ref_columns.is_empty() {
        return Ok(subquery);
    }
    let plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(subquery.subquery, MEMBERS)?);
    Ok(Subquery { subquery: Arc::new(plan), ..subquery })
}

/// The subquery's only column.
fn member(subquery: &Subquery) -> Expr {
    Expr::Column(Column::from(subquery.subquery.schema().qualified_field(0)))
}

/// `x NOT IN (S)` where null is as good as false.
fn no_member(membership: InSubquery, outer: &DFSchema) -> Result<Vec<Expr>> {
    let InSubquery { expr, subquery, .. } = membership;
    let subquery = named(subquery)?;
    let is_null = member(&subquery).is_null();
    let mut conditions = vec![
        exists(&subquery, Some(equals(&expr, &subquery, outer)?), true)?,
        exists(&subquery, Some(is_null), true)?,
    ];
    if !matches!(&*expr, Expr::Literal(value, _) if !value.is_null()) {
        conditions.push(expr.is_not_null().or(exists(&subquery, None, true)?));
    }
    Ok(conditions)
}

pub(super) fn three_valued(membership: InSubquery, outer: &DFSchema) -> Result<Expr> {
    let InSubquery { expr, subquery, negated } = membership;
    let subquery = named(subquery)?;
    let is_null = member(&subquery).is_null();
    let unknown = exists(&subquery, Some(is_null), false)?
        .or(expr.clone().is_null().and(exists(&subquery, None, false)?));
    when(exists(&subquery, Some(equals(&expr, &subquery, outer)?), false)?, lit(!negated))
        .when(unknown, lit(ScalarValue::Boolean(None)))
        .otherwise(lit(negated))
}

/// `s = x`, as a condition within the subquery, where the columns of x are those of the outer row.
fn equals(looked_for: &Expr, subquery: &Subquery, outer: &DFSchema) -> Result<Expr> {
    let looked_for = looked_for.clone().transform_up(|part| match part {
        Expr::Column(column) => {
            let (_, field) = outer.qualified_field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field.clone(), column)))
        }
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::OuterReferenceColumn(..) => {
            not_impl_err!(
                "`{part} [NOT] IN (SELECT …)`: compute what stands before IN in a WITH, and join it"
            )
        }
        other => Ok(Transformed::no(other)),
    })?;
    let (looked_for, member) = (Box::new(looked_for.data), Box::new(member(subquery)));
    Ok(Expr::BinaryExpr(BinaryExpr::new(looked_for, Operator::Eq, member)))
}

/// `[NOT] EXISTS (SELECT … FROM S WHERE condition)`.
fn exists(subquery: &Subquery, condition: Option<Expr>, negated: bool) -> Result<Expr> {
    let plan = match condition {
        None => subquery.subquery.clone(),
        Some(condition) => {
            Arc::new(LogicalPlan::Filter(Filter::try_new(condition, subquery.subquery.clone())?))
        }
    };
    let mut outer_ref_columns = Vec::new();
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            expression.apply(|part| {
                if matches!(part, Expr::OuterReferenceColumn(..)) && !outer_ref_columns.contains(part) {
                    outer_ref_columns.push(part.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    // One row tells as much as all, each of which would be paired with each of those around.
    let plan = match outer_ref_columns.is_empty() {
        true => {
            let fetch = Some(Box::new(lit(1i64)));
            Arc::new(LogicalPlan::Limit(Limit { skip: None, fetch, input: plan }))
        }
        false => plan,
    };
    let subquery = Subquery { subquery: plan, outer_ref_columns, spans: Spans::new() };
    Ok(Expr::Exists(Exists { subquery, negated }))
}
