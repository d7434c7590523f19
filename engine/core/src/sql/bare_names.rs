//! Names without a table in subqueries.
//!
//! `k` in `(SELECT max(k) FROM b NATURAL JOIN c)` is of the subquery, and in `(SELECT 1 FROM b, c WHERE k = 1)` it cannot be told. Where
//! the rows around have a `k` too, DataFusion 55 takes theirs.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr as Written, Query, SetExpr, Visit, Visitor};

/// The names without a table in subqueries of several tables that are part of an expression, in small letters.
pub(super) fn of(statement: &Statement) -> HashSet<String> {
    let mut search = Search { queries: Vec::new(), next_is_part: false, found: HashSet::new() };
    if let Statement::Statement(statement) = statement {
        let _: ControlFlow<()> = statement.visit(&mut search);
    }
    search.found
}

struct Search {
    /// Of each query that is being read, whether it is within an expression, and whether it is then of several tables.
    queries: Vec<(bool, bool)>,
    /// The next query is part of an expression.
    next_is_part: bool,
    found: HashSet<String>,
}

impl Visitor for Search {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let of_several = match query.body.as_ref() {
            SetExpr::Select(select) => {
                select.from.len() + select.from.iter().map(|from| from.joins.len()).sum::<usize>() > 1
            }
            _ => false,
        };
        let is_within = self.queries.last().is_some_and(|(is_within, _)| *is_within);
        let is_part = std::mem::take(&mut self.next_is_part) || is_within;
        self.queries.push((is_part, is_part && of_several));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Written) -> ControlFlow<()> {
        match expr {
            Written::Subquery(_) | Written::Exists { .. } | Written::InSubquery { .. } => {
                self.next_is_part = true;
            }
            Written::Identifier(name) if self.queries.last().is_some_and(|(_, counts)| *counts) => {
                self.found.insert(name.value.to_lowercase());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Refuses one that was taken for a column of the rows around, though tables of the subquery have it.
///
/// # Errors
/// Plan: there is one.
pub(super) fn check(names: &HashSet<String>, plan: &LogicalPlan) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarSubquery(subquery)
                | Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. }) = part
                {
                    found = found.take().or(ambiguous(names, &subquery.subquery)?);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    match found {
        Some(name) => plan_err!("`{name}` in a subquery may be of several tables: write table.{name}"),
        None => Ok(()),
    }
}

/// A name of the rows around that several tables have where it is read in a subquery.
fn ambiguous(names: &HashSet<String>, subquery: &LogicalPlan) -> Result<Option<String>> {
    let mut found = None;
    subquery.apply(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::OuterReferenceColumn(_, column) = part
                    && names.contains(&column.name.to_lowercase())
                {
                    let of = |input: &&LogicalPlan| {
                        input.schema().columns_with_unqualified_name(&column.name).len()
                    };
                    if node.inputs().iter().map(of).sum::<usize>() > 1 {
                        found = Some(column.name.clone());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}
