//! What a subquery reads of the rows around it.
//!
//! DataFusion 55 notes the type of such a column while the statement is read, when a CASE of INT and BIGINT is still an INT:
//! the join that it makes later compares two types, and ends in an internal error. It counts what a LATERAL, or a subquery
//! within, reads of the subquery itself as read of the rows around it, and then looks for a join that is not there. And a
//! column that GROUP BY has merged away it takes wherever the subquery turns out to have no row. Here each such column
//! is looked up where it comes from, and types are made equal once more.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Subquery};
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
        let mut search = Search { around: Vec::new(), found: Vec::new(), retyped: false };
        let plan = search.plan(plan)?.data;
        match search.retyped {
            true => TypeCoercion::new().analyze(plan, config),
            false => Ok(plan),
        }
    }
}

/// Whether there is a subquery that reads the rows around it.
fn reads_rows_around(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

struct Search {
    /// The columns of the rows around, the nearest last.
    around: Vec<Arc<DFSchema>>,
    /// The columns that were read so far, with their places in `around`.
    found: Vec<(usize, Column)>,
    retyped: bool,
}

impl Search {
    fn plan(&mut self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let below = match plan {
            LogicalPlan::Join(join) if is_lateral(&join.right) => {
                let left = self.plan(Arc::unwrap_or_clone(join.left))?;
                self.around.push(left.data.schema().clone());
                let right = self.plan(Arc::unwrap_or_clone(join.right));
                self.around.pop();
                let right = right?;
                let changed = left.transformed || right.transformed;
                let (left, right) = (Arc::new(left.data), Arc::new(right.data));
                Transformed::new_transformed(LogicalPlan::Join(Join { left, right, ..join }), changed)
            }
            LogicalPlan::Subquery(subquery) => self.subquery(subquery)?.update_data(LogicalPlan::Subquery),
            other => other.map_children(|child| self.plan(child))?,
        };
        let schema = Arc::new(merge_schema(&below.data.inputs()));
        let names = NamePreserver::new(&below.data);
        let made = below.transform_data(|plan| {
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let made = expression.transform_down(|part| self.part(part, &schema))?;
                Ok(made.update_data(|expression| name.restore(expression)))
            })
        })?;
        match made.transformed {
            true => made.map_data(LogicalPlan::recompute_schema),
            false => Ok(made),
        }
    }

    /// A part of an expression over rows of a schema.
    fn part(&mut self, part: Expr, schema: &Arc<DFSchema>) -> Result<Transformed<Expr>> {
        let mut within = |subquery: Subquery| {
            self.around.push(schema.clone());
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
        for (at, schema) in self.around.iter().enumerate().rev() {
            let Ok((_, there)) = schema.qualified_field_from_column(&column) else { continue };
            self.found.push((at, column.clone()));
            if there.data_type() == field.data_type() {
                return Ok(Transformed::no(Expr::OuterReferenceColumn(field, column)));
            }
            self.retyped = true;
            return Ok(Transformed::yes(Expr::OuterReferenceColumn(there.clone(), column)));
        }
        plan_err!(
            "a subquery reads `{column}` of rows that GROUP BY has made one: group by it too, or read an aggregate of it"
        )
    }
}

/// Whether the right side of a join sees the left one.
pub(super) fn is_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(_) => true,
        LogicalPlan::SubqueryAlias(alias) => is_lateral(&alias.input),
        LogicalPlan::Projection(projection) => is_lateral(&projection.input),
        _ => false,
    }
}
