//! What has one row whatever there is, and what may have none.
//!
//! An aggregate without GROUP BY is one row, also of no rows. DataFusion 55 takes a filter that names none of its columns
//! below it, where it takes away rows but not the row; and makes EXISTS of it a join that loses that row where nothing meets
//! the outer one (apache/datafusion#24960): whether its HAVING holds is a value of that row. A subquery as a value is null where it has no row, but DataFusion calls it never null where its column
//! never is (apache/datafusion#24513), and takes `IS NULL` and `COALESCE` away.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, not_impl_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Filter, GroupingSet, Limit, LogicalPlan, Operator, Projection, Subquery,
    lit, not,
};
use datafusion::optimizer::AnalyzerRule;

use super::of_its_type::OfItsType;
use super::outer_rows::is_lateral;
use super::recomputed;

/// Keeps the one row of an aggregate, and the null of a subquery without a row.
#[derive(Debug)]
pub(super) struct OneRow;

impl AnalyzerRule for OneRow {
    fn name(&self) -> &str {
        "one_row"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let made = plan.transform_up_with_subqueries(node)?;
        match made.transformed {
            // Of a column that may be null, what reads it may be too.
            true => recomputed(made.data),
            false => Ok(made.data),
        }
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Aggregate(aggregate) = &plan
        && has_row_of_nothing(aggregate)
        && !reads_outer_row(&plan, &mut Vec::new())?
    {
        // No filter goes below a LIMIT; this one takes nothing away.
        let limit = Limit { skip: None, fetch: Some(Box::new(lit(i64::MAX))), input: Arc::new(plan) };
        return Ok(Transformed::yes(LogicalPlan::Limit(limit)));
    }
    let names = NamePreserver::new(&plan);
    let made = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let settled = expression.transform_up(|part| {
            Ok(match of_having(&part)? {
                Some(made) => Transformed::yes(made),
                None => Transformed::no(part),
            })
        })?;
        let made = settled.transform_data(|expression| expression.transform_up(|part| match part {
            Expr::Exists(Exists { subquery, negated }) if always_has_row(&subquery.subquery) => {
                Ok(Transformed::yes(lit(!negated)))
            }
            // One row: x IN (S) is x = S, whose null DataFusion has right.
            Expr::InSubquery(InSubquery { expr, subquery, negated }) if is_one_row(&subquery.subquery) => {
                let op = if negated { Operator::NotEq } else { Operator::Eq };
                let value = Box::new(Expr::ScalarSubquery(subquery));
                Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(expr, op, value))))
            }
            Expr::Exists(Exists { subquery, .. })
            | Expr::InSubquery(InSubquery { subquery, .. })
            | Expr::SetComparison(SetComparison { subquery, .. })
                if loses_row(&subquery.subquery)? =>
            {
                not_impl_err!(
                    "EXISTS, IN, ANY and ALL of an aggregate of rows that meet the outer one: join the aggregate by GROUP BY instead"
                )
            }
            Expr::Exists(Exists { subquery, .. })
            | Expr::InSubquery(InSubquery { subquery, .. })
            | Expr::SetComparison(SetComparison { subquery, .. })
                if skips_rows(&subquery) =>
            {
                not_impl_err!(
                    "EXISTS, IN, ANY and ALL with OFFSET over rows that meet the outer one: number them by row_number() in a WITH before"
                )
            }
            Expr::ScalarSubquery(subquery) if !always_has_row(&subquery.subquery) => {
                Ok(Transformed::yes(Expr::ScalarSubquery(nullable(subquery)?)))
            }
            other => Ok(Transformed::no(other)),
        }))?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })?;
    match made.transformed {
        true => made.map_data(LogicalPlan::recompute_schema),
        false => Ok(made),
    }
}

/// Whether an aggregate has a row where its input has none.
fn has_row_of_nothing(aggregate: &Aggregate) -> bool {
    match aggregate.group_expr.as_slice() {
        [] => true,
        [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => true,
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().any(Vec::is_empty),
        _ => false,
    }
}

/// Whether a plan reads rows around it, and not only such that subqueries and LATERALs in it stand in, which are `within`.
///
/// By their names alone they cannot be told apart: below `x AS x2` stands an x too.
fn reads_outer_row(plan: &LogicalPlan, within: &mut Vec<Arc<DFSchema>>) -> Result<bool> {
    let mut reads = false;
    plan.apply_expressions(|expression| {
        expression.apply(|part| {
            match part {
                Expr::OuterReferenceColumn(_, column) => {
                    reads |= !within.iter().any(|rows| rows.has_column(column));
                }
                Expr::ScalarSubquery(subquery)
                | Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. }) => {
                    within.push(Arc::new(merge_schema(&plan.inputs())));
                    reads |= reads_outer_row(&subquery.subquery, within)?;
                    within.pop();
                }
                _ => {}
            }
            Ok(if reads { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    for (at, input) in plan.inputs().into_iter().enumerate() {
        if reads {
            break;
        }
        match plan {
            LogicalPlan::Join(join) if at == 1 && is_lateral(input) => {
                within.push(join.left.schema().clone());
                reads = reads_outer_row(input, within)?;
                within.pop();
            }
            _ => reads = reads_outer_row(input, within)?,
        }
    }
    Ok(reads)
}

/// The aggregate of a subquery without groups over rows that meet the outer one, and its HAVING: its row is there if that holds.
fn of_one_row(subquery: &Subquery) -> Result<Option<(&Filter, Option<&Expr>)>> {
    let (mut plan, mut column) = (subquery.subquery.as_ref(), None);
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) if column.is_none() => {
                column = projection.expr.first();
                &projection.input
            }
            LogicalPlan::Filter(filter) => {
                let is_one = is_one_row(&filter.input) && !filter.predicate.contains_outer();
                return Ok((is_one && loses_row(plan)?).then_some((filter, column)));
            }
            _ => return Ok(None),
        };
    }
}

/// A value of the only row that the aggregate of a subquery has, whatever its HAVING is.
fn of_row(subquery: &Subquery, input: &Arc<LogicalPlan>, value: Expr) -> Result<Expr> {
    let columns = vec![value.alias("__of_row")];
    let plan = LogicalPlan::Projection(Projection::try_new(columns, input.clone())?);
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery.clone() }))
}

/// EXISTS of such an aggregate by whether its HAVING holds, and IN by its value too.
fn of_having(part: &Expr) -> Result<Option<Expr>> {
    let (Expr::Exists(Exists { subquery, .. }) | Expr::InSubquery(InSubquery { subquery, .. })) = part else {
        return Ok(None);
    };
    let Some((filter, column)) = of_one_row(subquery)? else { return Ok(None) };
    let holds = of_row(subquery, &filter.input, filter.predicate.clone())?;
    Ok(match (part, column) {
        (Expr::Exists(Exists { negated: true, .. }), _) => Some(holds.is_not_true()),
        (Expr::Exists(_), _) => Some(holds.is_true()),
        (Expr::InSubquery(InSubquery { expr, negated, .. }), Some(column)) if !column.contains_outer() => {
            let value = of_row(subquery, &filter.input, column.clone().unalias())?;
            let is_member = holds.is_true().and((**expr).clone().eq(value));
            Some(if *negated { not(is_member) } else { is_member })
        }
        _ => None,
    })
}

fn always_has_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => has_row_of_nothing(aggregate),
        LogicalPlan::Projection(projection) => always_has_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => always_has_row(&alias.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => always_has_row(&sort.input),
        // The one of this rule.
        LogicalPlan::Limit(Limit { skip: None, fetch: Some(fetch), input }) if **fetch == lit(i64::MAX) => {
            always_has_row(input)
        }
        _ => false,
    }
}

/// Whether there is one row and no other.
fn is_one_row(plan: &LogicalPlan) -> bool {
    let mut sets = false;
    let searched = plan.apply(|node| {
        sets |= matches!(node, LogicalPlan::Aggregate(aggregate) if !aggregate.group_expr.is_empty());
        // What the aggregate reads has groups of its own.
        let is_end = matches!(node, LogicalPlan::Aggregate(_));
        Ok(if is_end { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    searched.is_ok() && always_has_row(plan) && !sets
}

/// Whether there is an aggregate without groups in a subquery, over rows that meet the outer one: DataFusion makes a join
/// of it that has no row where nothing meets that.
fn loses_row(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            found |= has_row_of_nothing(aggregate) && reads_outer_row(node, &mut Vec::new())?;
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether an OFFSET decides: DataFusion leaves it out where the subquery is of the outer row.
fn skips_rows(subquery: &Subquery) -> bool {
    let mut skips = false;
    let searched = subquery.subquery.apply(|node| {
        skips |= matches!(node, LogicalPlan::Limit(limit) if limit.skip.is_some());
        Ok(TreeNodeRecursion::Continue)
    });
    searched.is_ok() && skips && !subquery.outer_ref_columns.is_empty()
}

/// The subquery with a column that may be null.
fn nullable(subquery: Subquery) -> Result<Subquery> {
    let (qualifier, field) = subquery.subquery.schema().qualified_field(0);
    let column = Expr::Column(Column::from((qualifier, field)));
    // A join adds the columns that meet the outer row, and this one may be among them.
    let made = OfItsType::maybe_null().call(column).alias("__value");
    let plan = LogicalPlan::Projection(Projection::try_new(vec![made], subquery.subquery)?);
    Ok(Subquery { subquery: Arc::new(plan), ..subquery })
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn a_having_without_groups_decides_whether_there_is_a_row() {
        let a = "(VALUES (1), (2), (3), (NULL)) AS a (k)";
        let b = "FROM (VALUES (1, 5), (2, 7), (2, 0), (NULL, 1)) AS b (k, v) WHERE b.k = a.k";
        for (condition, expected) in [
            (format!("EXISTS (SELECT 1 {b} HAVING count(*) > 1)"), &["2"] as &[&str]),
            (format!("NOT EXISTS (SELECT 1 {b} HAVING count(*) > 1)"), &["1", "3", ""]),
            (format!("EXISTS (SELECT max(v) {b} HAVING count(*) = 0)"), &["3", ""]),
            (format!("EXISTS (SELECT count(*), sum(v) {b} HAVING max(v) > 5)"), &["2"]),
            (format!("NOT EXISTS (SELECT 1 {b} HAVING max(v) > 5)"), &["1", "3", ""]),
            (format!("k = 3 OR EXISTS (SELECT 1 {b} HAVING max(v) > 5)"), &["2", "3"]),
            (format!("5 IN (SELECT max(v) {b} HAVING count(*) < 2)"), &["1"]),
            (format!("5 NOT IN (SELECT max(v) {b} HAVING count(*) < 2)"), &["2"]),
            (format!("(7 IN (SELECT max(v) {b} HAVING count(*) < 2)) IS NULL"), &["3", ""]),
        ] {
            check(&[(&format!("SELECT k FROM {a} WHERE {condition} ORDER BY k"), expected)]).await;
        }
        check(&[(
            &format!("SELECT k, EXISTS (SELECT 1 {b} HAVING count(*) > 1), 5 IN (SELECT max(v) {b} HAVING count(*) > 0) FROM {a} ORDER BY k"),
            &["1|false|true", "2|true|false", "3|false|false", "|false|false"] as &[&str],
        )])
        .await;
    }
}
