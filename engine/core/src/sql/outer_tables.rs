//! Tables around a subquery that are called as one of its columns is.
//!
//! In `SELECT … FROM a AS s WHERE EXISTS (SELECT 1 FROM b WHERE b.s = s.s)` the table `s` is meant. DataFusion 55 takes `s.s` for a
//! field of the column `b.s`, and finds out later that it is no struct. So that is looked for once there is a plan, and then the
//! tables are called by other names.

use std::collections::HashSet;
use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ExprSchema, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Select, SelectItem, SelectItemQualifiedWildcardKind, Statement,
    TableAlias, TableFactor, VisitMut, VisitorMut,
};

/// What is said of a field of what has none.
pub(super) const NO_FIELD: &str = "no struct, and has no field";

/// What a table is called in place of its own name.
const NAME: &str = "__table_";

/// A text in which tables are called as the user calls them.
pub(super) fn shown(text: String) -> String {
    if text.contains(NAME) { text.replace(NAME, "") } else { text }
}

/// Looks for a field of a column that has none.
///
/// # Errors
/// Plan: there is one.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let LogicalExpr::ScalarFunction(ScalarFunction { func, args }) = part
                    && func.name() == "get_field"
                    && let [LogicalExpr::Column(column), LogicalExpr::Literal(field, _)] = args.as_slice()
                    && let Ok(kind) = merge_schema(&node.inputs()).data_type(column)
                    && !matches!(kind, DataType::Struct(_) | DataType::Map(..) | DataType::Null)
                {
                    return plan_err!("`{column}` is {NO_FIELD} `{field}`: it is of the type {kind}");
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

/// Calls each table by a name that no column has.
pub(super) fn rename(statement: &mut Statement) {
    let mut tables = Tables(HashSet::new());
    let _: ControlFlow<()> = statement.visit(&mut tables);
    let _: ControlFlow<()> = statement.visit(&mut Readers(tables.0));
}

/// A name as it is meant.
fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn renamed(name: &Ident) -> Ident {
    Ident::with_quote('"', format!("{NAME}{}", normal(name)))
}

/// The names that were changed.
struct Tables(HashSet<String>);

impl VisitorMut for Tables {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. } => {
                self.0.insert(normal(&alias.name));
                alias.name = renamed(&alias.name);
            }
            TableFactor::Table { name, alias: alias @ None, args: None, .. } => {
                // `schema.table` can be read by both names, and stays.
                if let [ObjectNamePart::Identifier(name)] = name.0.as_slice() {
                    self.0.insert(normal(name));
                    *alias = Some(TableAlias {
                        explicit: true,
                        name: renamed(name),
                        columns: Vec::new(),
                        at: None,
                    });
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Who reads from those tables.
struct Readers(HashSet<String>);

impl Readers {
    fn read(&self, table: &mut Ident) {
        if self.0.contains(&normal(table)) {
            *table = renamed(table);
        }
    }
}

impl VisitorMut for Readers {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            match item {
                SelectItem::UnnamedExpr(expr)
                    if !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) =>
                {
                    // Nobody wants to read the other name in a heading.
                    let alias = Ident::with_quote('"', expr.to_string());
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let ObjectName(parts) = name;
                    if let [ObjectNamePart::Identifier(table)] = parts.as_mut_slice() {
                        self.read(table);
                    }
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(names) = expr
            && let [table, _, ..] = names.as_mut_slice()
        {
            self.read(table);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// DuckDB's values.
    #[tokio::test]
    async fn a_table_around_may_be_called_as_a_column() {
        let (a, b) = ("(VALUES (1, 'x'), (2, 'y')) AS s (k, s)", "(VALUES (1, 'x'), (3, 'z')) AS b (k, s)");
        check(&[
            (&format!("SELECT s.k FROM {a} WHERE EXISTS (SELECT 1 FROM {b} WHERE b.s = s.s)"), &["1"] as &[&str]),
            (&format!("SELECT s.* FROM {a} WHERE NOT EXISTS (SELECT 1 FROM {b} WHERE b.k = s.k)"), &["2|y"]),
            (&format!("SELECT s.k, (SELECT max(b.k) FROM {b} WHERE b.s = s.s) FROM {a} ORDER BY s.k"), &["1|1", "2|"]),
            (&format!("SELECT s.k FROM {a} WHERE s.k IN (SELECT k FROM {b} WHERE b.s = s.s)"), &["1"]),
            (&format!("SELECT k, n FROM {a}, LATERAL (SELECT count(*) AS n FROM {b} WHERE b.s = s.s) AS q ORDER BY k"), &["1|1", "2|0"]),
            (&format!("WITH s AS (SELECT * FROM {a}) SELECT s.k + 1 FROM s WHERE EXISTS (SELECT 1 FROM {b} WHERE b.s = s.s)"), &["2"]),
        ])
        .await;
        refused(&[
            (&format!("SELECT b.s.x FROM {b}"), "is not Struct"),
            (
                &format!("SELECT 1 / (s.k - 1) FROM {a} WHERE EXISTS (SELECT 1 FROM {b} WHERE b.s = s.s)"),
                "`1 / s.k - 1` is a division by zero",
            ),
        ])
        .await;
    }
}
