//! What has one row whatever there is, and what may have none.
//!
//! An aggregate without GROUP BY is one row, also of no rows. DataFusion 55 takes a filter that names none of its columns
//! below it, where it takes away rows but not the row; and makes EXISTS of it a join that loses that row where nothing meets
//! the outer one (apache/datafusion#24960): whether its HAVING holds is a value of that row, and so is what a subquery with a
//! HAVING is. A subquery as a value is null where it has no row, but DataFusion calls it never null where its column
//! never is (apache/datafusion#24513), and takes `IS NULL` and `COALESCE` away.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, TableReference, not_impl_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Case, Distinct, Expr, Filter, GroupingSet, Limit, LogicalPlan, Operator,
    Projection, Subquery, SubqueryAlias, lit, not,
};
use datafusion::optimizer::AnalyzerRule;

use super::by_values::by_values;
use super::of_its_type::OfItsType;
use super::outer_rows::is_lateral;
use super::recomputed;
use super::{any, has_subquery};

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
    if let LogicalPlan::Join(join) = &plan
        && is_lateral(&join.right)
        && filters_row(&join.right, |filter| filter.predicate.column_refs().is_empty())?
    {
        return not_impl_err!(
            "HAVING of a constant in LATERAL: leave it out, or write it into the WHERE around"
        );
    }
    let names = NamePreserver::new(&plan);
    if !any(&plan, has_subquery)? {
        return Ok(Transformed::no(plan));
    }
    let around = merge_schema(&plan.inputs());
    let made = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let settled = expression.transform_up(|part| {
            let made = match of_having(&part)? {
                None => by_values(&part, &around)?,
                made => made,
            };
            Ok(match made {
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
            Expr::ScalarSubquery(subquery) if filters_row(&subquery.subquery, |_| true)? => {
                not_impl_err!(
                    "HAVING of an aggregate of rows that meet the outer one, as a value, with a part of the outer row in it, or more around it: write CASE WHEN … THEN (SELECT …) END instead"
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
pub(super) fn has_row_of_nothing(aggregate: &Aggregate) -> bool {
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
pub(super) fn reads_outer_row(plan: &LogicalPlan, within: &mut Vec<Arc<DFSchema>>) -> Result<bool> {
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

/// The only row of a subquery's aggregate, over rows that meet the outer one.
struct Row<'a> {
    input: &'a LogicalPlan,
    /// The row is there where this holds.
    having: Option<&'a Expr>,
    column: Option<&'a Expr>,
}

fn of_one_row(subquery: &Subquery) -> Result<Option<Row<'_>>> {
    let (mut plan, mut column) = (subquery.subquery.as_ref(), None);
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) if column.is_none() => {
                column = projection.expr.first();
                &projection.input
            }
            // Of one row there is no order, no second one, and the first is all.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
            LogicalPlan::Distinct(Distinct::All(input)) => input,
            LogicalPlan::Limit(Limit { skip: None, fetch: Some(fetch), input }) if is_some(fetch) => input,
            LogicalPlan::Filter(filter)
                if is_one_row(&filter.input) && !filter.predicate.contains_outer() =>
            {
                let row = Row { input: &filter.input, having: Some(&filter.predicate), column };
                return Ok(loses_row(plan)?.then_some(row));
            }
            LogicalPlan::Aggregate(_) | LogicalPlan::Projection(_) if is_one_row(plan) => {
                return Ok(loses_row(plan)?.then_some(Row { input: plan, having: None, column }));
            }
            _ => return Ok(None),
        };
    }
}

pub(super) fn is_some(fetch: &Expr) -> bool {
    matches!(fetch, Expr::Literal(ScalarValue::Int64(Some(rows)), _) if *rows > 0)
}

/// A value of that row where its HAVING holds.
///
/// DataFusion computes it of no rows by putting in what the aggregates are then; where it reads none of them it takes null. So it
/// reads how many rows there are.
fn of_row(subquery: &Subquery, row: &Row<'_>, value: Expr, having: Option<&Expr>) -> Result<Option<Expr>> {
    let Some((input, rows)) = counted(row.input)? else { return Ok(None) };
    let is_there = rows.gt_eq(lit(0i64));
    let test = match having {
        Some(having) => is_there.and(having.clone()),
        None => is_there,
    };
    let when_then_expr = vec![(Box::new(test), Box::new(value))];
    let value = Expr::Case(Case { expr: None, when_then_expr, else_expr: None });
    let plan = LogicalPlan::Projection(Projection::try_new(vec![value.alias("__of_row")], Arc::new(input))?);
    Ok(Some(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery.clone() })))
}

/// An aggregate, with how many rows it is of.
fn counted(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, Expr)>> {
    const ROWS: &str = "__rows";
    let rows = |qualifier: Option<TableReference>| Expr::Column(Column::new(qualifier, ROWS));
    Ok(match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let all = aggregate.aggr_expr.iter().cloned().chain([count(lit(1i64)).alias(ROWS)]).collect();
            let made = Aggregate::try_new(aggregate.input.clone(), aggregate.group_expr.clone(), all)?;
            Some((LogicalPlan::Aggregate(made), rows(None)))
        }
        LogicalPlan::Projection(projection) => match counted(&projection.input)? {
            Some((input, of_input)) => {
                let all = projection.expr.iter().cloned().chain([of_input.alias(ROWS)]).collect();
                let made = Projection::try_new(all, Arc::new(input))?;
                Some((LogicalPlan::Projection(made), rows(None)))
            }
            None => None,
        },
        LogicalPlan::SubqueryAlias(alias) => match counted(&alias.input)? {
            Some((input, _)) => {
                let made = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
                Some((LogicalPlan::SubqueryAlias(made), rows(Some(alias.alias.clone()))))
            }
            None => None,
        },
        _ => None,
    })
}

/// EXISTS of such an aggregate by whether its HAVING holds, IN by its value too, and the value itself.
fn of_having(part: &Expr) -> Result<Option<Expr>> {
    let subquery = match part {
        Expr::Exists(Exists { subquery, .. }) | Expr::InSubquery(InSubquery { subquery, .. }) => subquery,
        Expr::ScalarSubquery(subquery) => subquery,
        _ => return Ok(None),
    };
    let Some(row) = of_one_row(subquery)? else { return Ok(None) };
    let value = || match row.column {
        Some(column) if column.contains_outer() => Ok(None),
        Some(column) => of_row(subquery, &row, column.clone().unalias(), row.having),
        None => {
            let (qualifier, field) = row.input.schema().qualified_field(0);
            of_row(subquery, &row, Expr::Column(Column::from((qualifier, field))), row.having)
        }
    };
    let Some(having) = row.having else {
        // What is computed may be found to be a constant, which reads no aggregate then.
        let is_open = row.column.is_some_and(|column| !matches!(column.clone().unalias(), Expr::Column(_)));
        return match part {
            Expr::ScalarSubquery(_) if is_open => value(),
            Expr::InSubquery(InSubquery { expr, negated, .. }) if is_open => {
                let op = if *negated { Operator::NotEq } else { Operator::Eq };
                Ok(value()?.map(|value| binary(expr, op, value)))
            }
            _ => Ok(None),
        };
    };
    let Some(holds) = of_row(subquery, &row, having.clone(), None)? else { return Ok(None) };
    Ok(match part {
        Expr::Exists(Exists { negated: true, .. }) => Some(holds.is_not_true()),
        Expr::Exists(_) => Some(holds.is_true()),
        Expr::InSubquery(InSubquery { expr, negated, .. }) => value()?.map(|value| {
            let is_member = holds.is_true().and(binary(expr, Operator::Eq, value));
            if *negated { not(is_member) } else { is_member }
        }),
        _ => value()?,
    })
}

pub(super) fn binary(left: &Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left.clone()), op, Box::new(right)))
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
pub(super) fn is_one_row(plan: &LogicalPlan) -> bool {
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

/// Whether such an aggregate is filtered, by a filter of this kind.
fn filters_row(plan: &LogicalPlan, is_meant: impl Fn(&Filter) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            found |= is_meant(filter) && is_one_row(&filter.input) && loses_row(node)?;
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
    use crate::sql::tests::{check, refused};

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
        for (column, expected) in [
            (format!("EXISTS (SELECT sum(v) {b} HAVING true)"), &["true", "true", "true", "true"] as &[&str]),
            (format!("NOT EXISTS (SELECT sum(v) {b} HAVING 1 = 1)"), &["false", "false", "false", "false"]),
            (
                format!("EXISTS (SELECT 1 {b} HAVING sum(v) IS NULL OR true)"),
                &["true", "true", "true", "true"],
            ),
            (format!("7 IN (SELECT 7 {b} HAVING count(*) < 2)"), &["true", "false", "true", "true"]),
            (format!("7 NOT IN (SELECT 7 {b} HAVING count(*) > 0)"), &["false", "false", "true", "true"]),
            (format!("0 IN (SELECT count(*) {b} HAVING NOT false)"), &["false", "false", "true", "true"]),
            (format!("(SELECT count(*) {b} HAVING true)"), &["1", "2", "0", "0"]),
            (format!("(SELECT sum(v) {b} HAVING count(*) = 0)"), &["", "", "", ""]),
            (format!("(SELECT sum(v) {b} HAVING sum(v) > 5)"), &["", "7", "", ""]),
            (format!("(SELECT count(*) {b} HAVING count(*) < 2)"), &["1", "", "0", "0"]),
            (format!("(SELECT count(*) {b} HAVING max(v) > 5 LIMIT 1)"), &["", "2", "", ""]),
            (format!("(SELECT 9 {b} HAVING max(v) IS NULL)"), &["", "", "9", "9"]),
            (format!("(SELECT 10 / count(*) {b} HAVING count(*) > 0)"), &["10", "5", "", ""]),
            (format!("coalesce((SELECT count(*) {b} HAVING count(*) < 2), -1)"), &["1", "-1", "0", "0"]),
            (format!("(SELECT sum(v) IS NULL OR true {b})"), &["true", "true", "true", "true"]),
            (format!("(SELECT 1 = 1 OR sum(v) > 9 {b})"), &["true", "true", "true", "true"]),
            (format!("(SELECT count(*) IS NOT NULL {b})"), &["true", "true", "true", "true"]),
            (format!("(SELECT count(*) * 0 + 3 {b})"), &["3", "3", "3", "3"]),
            (format!("(SELECT coalesce(4, sum(v)) {b})"), &["4", "4", "4", "4"]),
            (
                format!("4 IN (SELECT CASE WHEN count(*) >= 0 THEN 4 END {b})"),
                &["true", "true", "true", "true"],
            ),
        ] {
            check(&[(&format!("SELECT {column} FROM {a} ORDER BY k"), expected)]).await;
        }
        refused(&[(
            &format!(
                "SELECT k, s FROM {a} LEFT JOIN LATERAL (SELECT count(*) AS s {b} HAVING true) AS q ON true"
            ),
            "leave it out",
        )])
        .await;
        check(&[(
            &format!("SELECT k, EXISTS (SELECT 1 {b} HAVING count(*) > 1), 5 IN (SELECT max(v) {b} HAVING count(*) > 0) FROM {a} ORDER BY k"),
            &["1|false|true", "2|true|false", "3|false|false", "|false|false"] as &[&str],
        )])
        .await;
    }
}
