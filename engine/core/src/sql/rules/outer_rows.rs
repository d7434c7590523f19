//! What a subquery reads of the rows around it.
//!
//! DataFusion 55 notes the type of such a column while the statement is read, when a CASE of INT and BIGINT is still an INT:
//! the join that it makes later compares two types, and ends in an internal error. It counts what a LATERAL, or a subquery
//! within, reads of the subquery itself as read of the rows around it, and then looks for a join that is not there. And a
//! column that GROUP BY has merged away it takes wherever the subquery turns out to have no row. In HAVING it leaves a name
//! that SELECT gives as it is, though the rows there do not have it. Here each such column is looked up where it comes from,
//! and types are made equal once more.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Subquery};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;

/// Looks up what subqueries read of the rows around them.
#[derive(Debug)]
pub(super) struct OuterRows;

impl AnalyzerRule for OuterRows {
    fn name(&self) -> &str {
        "outer_rows"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        if !reads_rows_around(&plan)? {
            return Ok(plan);
        }
        let mut search = Search::new();
        let plan = search.plan(plan)?.data;
        match search.retyped {
            true => TypeCoercion::new().analyze(plan, config),
            false => Ok(plan),
        }
    }
}

/// The plan whose subqueries know the types of the rows around them.
///
/// # Errors
/// Plan: a subquery reads what is not there.
pub(in crate::sql) fn looked_up(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(Search::new().plan(plan)?.data)
}

/// Whether there is a subquery that reads the rows around it.
pub(in crate::sql) fn reads_rows_around(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// The rows that a subquery stands in.
#[derive(Clone)]
struct Rows {
    columns: Arc<DFSchema>,
    /// Whether GROUP BY has made them.
    grouped: bool,
    /// The names that the SELECT gives above its HAVING, and to which columns.
    given: Vec<(String, Column)>,
}

struct Search {
    /// The rows around, the nearest last.
    around: Vec<Rows>,
    /// The names that the SELECT gives which is being looked at.
    given: Vec<(String, Column)>,
    /// The columns that were read so far, with their places in `around`.
    found: Vec<(usize, Column)>,
    retyped: bool,
}

impl Search {
    fn new() -> Search {
        Search { around: Vec::new(), given: Vec::new(), found: Vec::new(), retyped: false }
    }

    fn plan(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut given = std::mem::take(&mut self.given);
        if let LogicalPlan::Projection(projection) = &plan {
            self.given = names_given(&projection.expr);
        }
        match &plan {
            LogicalPlan::Filter(_) => self.given.clone_from(&given),
            _ => given.clear(),
        }
        let below = match plan {
            LogicalPlan::Join(join) if is_lateral(&join.right) => {
                let is_far = matches!(&*join.right, LogicalPlan::Join(_));
                let join = beside_its_rows(join)?;
                let left = self.plan(Arc::unwrap_or_clone(join.left))?;
                let columns = left.data.schema().clone();
                self.around.push(Rows { columns, grouped: false, given: Vec::new() });
                let before = self.found.len();
                let right = self.plan(Arc::unwrap_or_clone(join.right));
                self.around.pop();
                let right = right?;
                let reads_left = self.found[before..].iter().any(|(at, _)| *at == self.around.len());
                if reads_left && matches!(right.data, LogicalPlan::Join(_)) {
                    return plan_err!(
                        "a LATERAL reads rows before it, and a RIGHT or FULL JOIN or one with a condition is between: make that join in a WITH before"
                    );
                }
                let changed = is_far || left.transformed || right.transformed;
                let (left, right) = (Arc::new(left.data), Arc::new(right.data));
                Transformed::new_transformed(LogicalPlan::Join(Join { left, right, ..join }), changed)
            }
            LogicalPlan::Subquery(subquery) => self.subquery(subquery)?.update_data(LogicalPlan::Subquery),
            other => other.map_children(|child| self.plan(child))?,
        };
        self.given.clear();
        let inputs = below.data.inputs();
        let grouped = inputs.iter().any(|input| is_grouped(input));
        let rows = Rows { columns: Arc::new(merge_schema(&inputs)), grouped, given };
        let names = NamePreserver::new(&below.data);
        let made = below.transform_data(|plan| {
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let made = expression.transform_down(|part| self.part(part, &rows))?;
                Ok(made.update_data(|expression| name.restore(expression)))
            })
        })?;
        match made.transformed {
            true => made.map_data(LogicalPlan::recompute_schema),
            false => Ok(made),
        }
    }

    /// A part of an expression over rows.
    fn part(&mut self, part: Expr, rows: &Rows) -> Result<Transformed<Expr>> {
        let mut within = |subquery: Subquery| {
            self.around.push(rows.clone());
            let made = self.subquery(subquery);
            self.around.pop();
            made
        };
        Ok(match part {
            Expr::ScalarSubquery(subquery) => within(subquery)?.update_data(Expr::ScalarSubquery),
            Expr::Exists(Exists { subquery, negated }) => {
                within(subquery)?.update_data(|subquery| Expr::Exists(Exists { subquery, negated }))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => within(subquery)?
                .update_data(|subquery| Expr::InSubquery(InSubquery { expr, subquery, negated })),
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => within(subquery)?
                .update_data(|subquery| {
                    Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
                }),
            other => return self.column(other),
        })
    }

    /// A subquery within the rows that `around` ends with.
    fn subquery(&mut self, subquery: Subquery) -> Result<Transformed<Subquery>> {
        let (before, level) = (self.found.len(), self.around.len());
        let made = self.plan(Arc::unwrap_or_clone(subquery.subquery))?;
        let of_rows_around: Vec<&Column> =
            self.found[before..].iter().filter(|(at, _)| *at < level).map(|(_, column)| column).collect();
        let mut outer_ref_columns = made.data.all_out_ref_exprs();
        outer_ref_columns.retain(
            |part| matches!(part, Expr::OuterReferenceColumn(_, column) if of_rows_around.contains(&column)),
        );
        let changed = made.transformed || outer_ref_columns.len() != subquery.outer_ref_columns.len();
        let subquery = Subquery { subquery: Arc::new(made.data), outer_ref_columns, spans: subquery.spans };
        Ok(Transformed::new_transformed(subquery, changed))
    }

    fn column(&mut self, part: Expr) -> Result<Transformed<Expr>> {
        let Expr::OuterReferenceColumn(field, column) = part else { return Ok(Transformed::no(part)) };
        for (at, rows) in self.around.iter().enumerate().rev() {
            let given = rows.given.iter().find(|(name, _)| column.relation.is_none() && *name == column.name);
            let meant = match given {
                Some((_, meant)) if !rows.columns.has_column(&column) => meant,
                _ => &column,
            };
            let Ok((_, there)) = rows.columns.qualified_field_from_column(meant) else { continue };
            self.found.push((at, meant.clone()));
            if there.data_type() != field.data_type() {
                self.retyped = true;
            } else if *meant == column {
                return Ok(Transformed::no(Expr::OuterReferenceColumn(field, column)));
            }
            return Ok(Transformed::yes(Expr::OuterReferenceColumn(there.clone(), meant.clone())));
        }
        if column.relation.is_some() && self.around.iter().any(|rows| rows.grouped) {
            return plan_err!(
                "a subquery reads `{column}` of rows that GROUP BY has made one: group by it too, or read an aggregate of it"
            );
        }
        plan_err!(
            "a subquery reads `{column}`, which no rows around it have where it stands: write what the name stands for, in ORDER BY give the subquery a name in SELECT, (SELECT …) AS key, and write ORDER BY key, or join it in a WITH before"
        )
    }
}

/// The names that a SELECT gives to columns of what is below it.
fn names_given(columns: &[Expr]) -> Vec<(String, Column)> {
    let given = columns.iter().filter_map(|column| match column {
        Expr::Alias(alias) => match alias.expr.as_ref() {
            Expr::Column(of) => Some((alias.name.clone(), of.clone())),
            _ => None,
        },
        _ => None,
    });
    given.collect()
}

/// Whether rows are those of a GROUP BY.
fn is_grouped(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::Filter(filter) => is_grouped(&filter.input),
        LogicalPlan::Projection(projection) => is_grouped(&projection.input),
        LogicalPlan::Sort(sort) => is_grouped(&sort.input),
        LogicalPlan::Window(window) => is_grouped(&window.input),
        _ => false,
    }
}

/// `x, (LATERAL (…) u JOIN z)` as `(x, LATERAL (…) u) JOIN z`, where that is the same: DataFusion makes a join of a LATERAL that
/// stands beside the rows that it reads.
fn beside_its_rows(join: Join) -> Result<Join> {
    let is_cross = join.join_type == JoinType::Inner && join.on.is_empty() && join.filter.is_none();
    match join.right.as_ref() {
        LogicalPlan::Join(below)
            if is_cross
                && is_lateral(&join.right)
                && matches!(below.join_type, JoinType::Inner | JoinType::Left) =>
        {
            let below = below.clone();
            let left = beside_its_rows(with_sides(join.left.clone(), below.left.clone(), join)?)?;
            beside_its_rows(with_sides(Arc::new(LogicalPlan::Join(left)), below.right.clone(), below)?)
        }
        _ => Ok(join),
    }
}

fn with_sides(left: Arc<LogicalPlan>, right: Arc<LogicalPlan>, join: Join) -> Result<Join> {
    let Join { on, filter, join_type, join_constraint, null_equality, null_aware, .. } = join;
    Join::try_new(left, right, on, filter, join_type, join_constraint, null_equality, null_aware)
}

/// Whether the right side of a join sees the left one.
pub(in crate::sql) fn is_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(_) => true,
        LogicalPlan::SubqueryAlias(alias) => is_lateral(&alias.input),
        LogicalPlan::Projection(projection) => is_lateral(&projection.input),
        LogicalPlan::Join(join) => is_lateral(&join.left) || is_lateral(&join.right),
        _ => false,
    }
}
