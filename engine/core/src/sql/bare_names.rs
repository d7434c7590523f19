//! Names without a table in subqueries.
//!
//! `k` in `(SELECT max(k) FROM b NATURAL JOIN c)` is of the subquery, and in `(SELECT 1 FROM b, c WHERE k = 1)` it cannot be told. Where
//! the rows around have a `k` too, DataFusion 55 takes theirs. The first is read as `b.k`, once it is known that both have it.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr as Written, Ident, JoinConstraint, JoinOperator, ObjectName, Query, SetExpr, TableFactor, Visit,
    VisitMut, Visitor, VisitorMut,
};

use super::merged_columns::name_of;

/// A subquery of several tables that is part of an expression, in small letters.
pub(super) struct OfSeveral {
    /// The names without a table.
    names: HashSet<String>,
    /// What tables are called in it, or in queries that stand in it.
    tables: HashSet<String>,
}

/// The subqueries of several tables that are part of an expression.
pub(super) fn of(statement: &Statement) -> Vec<OfSeveral> {
    let mut search = Search { queries: Vec::new(), next_is_part: false, found: Vec::new() };
    if let Statement::Statement(statement) = statement {
        let _: ControlFlow<()> = statement.visit(&mut search);
    }
    search.found
}

struct Search {
    /// Of each query that is being read, whether it is within an expression, whether it is then of several tables, and
    /// what there is in it so far.
    queries: Vec<(bool, bool, OfSeveral)>,
    /// The next query is part of an expression.
    next_is_part: bool,
    found: Vec<OfSeveral>,
}

impl Search {
    fn table(&mut self, name: &str) {
        for (_, counts, query) in &mut self.queries {
            if *counts {
                query.tables.insert(name.to_lowercase());
            }
        }
    }
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
        let is_within = self.queries.last().is_some_and(|(is_within, ..)| *is_within);
        let is_part = std::mem::take(&mut self.next_is_part) || is_within;
        let nothing = OfSeveral { names: HashSet::new(), tables: HashSet::new() };
        self.queries.push((is_part, is_part && of_several, nothing));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        if let Some((_, true, query)) = self.queries.pop().filter(|(.., query)| !query.names.is_empty()) {
            self.found.push(query);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let Some(name) = relation.0.last().and_then(|part| part.as_ident()) {
            self.table(&name.value);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } = factor
        {
            self.table(&alias.name.value);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Written) -> ControlFlow<()> {
        match expr {
            Written::Subquery(_) | Written::Exists { .. } | Written::InSubquery { .. } => {
                self.next_is_part = true;
            }
            Written::Identifier(name) => {
                if let Some((_, true, query)) = self.queries.last_mut() {
                    query.names.insert(name.value.to_lowercase());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// What is said of a name that cannot be told.
const SEVERAL: &str = " in a subquery may be of several tables";

/// The name that an error says cannot be told.
pub(super) fn untold(text: &str) -> Option<&str> {
    text.split_once(SEVERAL)?.0.rsplit_once('`')?.0.rsplit_once('`').map(|(_, name)| name)
}

/// Reads a name as the left table's where it is one of two that NATURAL joins.
pub(super) fn of_natural(statement: &mut Statement, name: &str) {
    if let Statement::Statement(inner) = statement {
        let _: ControlFlow<()> = VisitMut::visit(inner, &mut Natural { name, tables: Vec::new() });
    }
}

struct Natural<'a> {
    name: &'a str,
    /// Of each query that is being read the left table, if NATURAL alone joins it to one other.
    tables: Vec<Option<Ident>>,
}

/// The left one of two tables of which NATURAL merges the left one's columns.
fn left_of_natural(query: &Query) -> Option<Ident> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [from] = select.from.as_slice() else { return None };
    let [join] = from.joins.as_slice() else { return None };
    match &join.join_operator {
        JoinOperator::Join(JoinConstraint::Natural)
        | JoinOperator::Inner(JoinConstraint::Natural)
        | JoinOperator::Left(JoinConstraint::Natural)
        | JoinOperator::LeftOuter(JoinConstraint::Natural) => name_of(&from.relation),
        _ => None,
    }
}

impl VisitorMut for Natural<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.tables.push(left_of_natural(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.tables.pop();
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Written) -> ControlFlow<()> {
        if let Written::Identifier(name) = &*expr
            && name.value.eq_ignore_ascii_case(self.name)
            && let Some(Some(table)) = self.tables.last()
        {
            *expr = Written::CompoundIdentifier(vec![table.clone(), name.clone()]);
        }
        ControlFlow::Continue(())
    }
}

/// Refuses one that was taken for a column of the rows around, though tables of the subquery have it.
///
/// # Errors
/// Plan: there is one.
pub(super) fn check(queries: &[OfSeveral], plan: &LogicalPlan) -> Result<()> {
    if queries.is_empty() {
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
                    found = found.take().or(ambiguous(queries, &subquery.subquery)?);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    match found {
        Some(name) => plan_err!("`{name}`{SEVERAL}: write table.{name}"),
        None => Ok(()),
    }
}

/// A name of the rows around that several tables have where it is read in a subquery.
fn ambiguous(queries: &[OfSeveral], subquery: &LogicalPlan) -> Result<Option<String>> {
    let mut found = None;
    subquery.apply(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::OuterReferenceColumn(_, column) = part
                    && let name = column.name.to_lowercase()
                    && queries.iter().any(|query| query.names.contains(&name))
                {
                    let of = |input: &LogicalPlan| input.schema().columns_with_unqualified_name(&column.name);
                    let columns: Vec<Column> = node.inputs().into_iter().flat_map(of).collect();
                    // Another subquery may have such a name, of which there is one there.
                    let is_of = |query: &OfSeveral| {
                        let mut tables = columns.iter().filter_map(|column| column.relation.as_ref());
                        query.names.contains(&name)
                            && tables.all(|table| query.tables.contains(&table.table().to_lowercase()))
                    };
                    if columns.len() > 1 && queries.iter().any(is_of) {
                        found = Some(column.name.clone());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// DuckDB's values.
    #[tokio::test]
    async fn a_column_that_natural_merges_is_of_the_subquery() {
        let a = "(VALUES (1, 'x'), (2, 'y'), (9, 'z')) AS a (k, s)";
        let (b, c) =
            ("(VALUES (1, 5), (2, 6), (3, 7)) AS b (k, v)", "(VALUES (1, TRUE), (3, FALSE)) AS c (k, p)");
        check(&[
            (&format!("SELECT s FROM {a} WHERE a.k IN (SELECT k FROM {b} NATURAL JOIN {c})"), &["x"] as &[&str]),
            (&format!("SELECT s, (SELECT max(k) FROM {b} NATURAL JOIN {c}) FROM {a} ORDER BY s"), &["x|3", "y|3", "z|3"]),
            (&format!("SELECT s, (SELECT count(*) FROM {b} NATURAL LEFT JOIN {c} WHERE k > 1) FROM {a} ORDER BY s"), &["x|2", "y|2", "z|2"]),
            (&format!("SELECT s FROM {a} WHERE EXISTS (SELECT 1 FROM {b} NATURAL JOIN {c} WHERE K = a.k)"), &["x"]),
        ])
        .await;
        refused(&[(&format!("SELECT s, (SELECT max(k) FROM {b}, {c}) FROM {a}"), "write table.k")]).await;
    }
}
