//! Names in the expressions of ORDER BY.
//!
//! In `SELECT -k AS k … ORDER BY k` the column of the result is meant, and in `ORDER BY k + 0` that of the table, if it has one:
//! so it is in SQL, in PostgreSQL and in DuckDB. DataFusion 55 takes the column of the result for both. By the time that there is a plan
//! nobody can tell `-t.k + 1` from `k + 1`, so such a name is marked in the parsed statement, and found in the plan.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, ExprSchema, JoinConstraint, JoinType, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Projection, ScalarUDF, Sort, SortExpr};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr as Written, Ident, OrderByKind, Query, SelectItem, SetExpr, Value, ValueWithSpan, VisitMut,
    VisitorMut,
};

use super::orders::folded;
use super::{OfItsType, names};
use crate::error::Error;

/// The function that marks a name.
const MARK: &str = "__of_input";

/// The function that marks a name, of which a session has to know.
pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(OfItsType::new(MARK, Ok))
}

/// Marks names in the expressions of ORDER BY that columns of the result have too.
pub(super) fn mark(statement: &mut Statement) {
    let inner = match statement {
        Statement::Statement(inner) => inner,
        Statement::Explain(explain) => return mark(&mut explain.statement),
        _ => return,
    };
    let _: ControlFlow<()> = inner.visit(&mut Queries);
}

/// A name as it is meant.
fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

struct Queries;

impl VisitorMut for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let (SetExpr::Select(select), Some(order_by)) = (query.body.as_ref(), &mut query.order_by) else {
            return ControlFlow::Continue(());
        };
        let OrderByKind::Expressions(sorts) = &mut order_by.kind else { return ControlFlow::Continue(()) };
        let computed = select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                let name = match expr {
                    Written::Identifier(name) => Some(name),
                    Written::CompoundIdentifier(names) => names.last(),
                    _ => None,
                };
                (name.map(normal) != Some(normal(alias))).then_some((expr, alias))
            }
            _ => None,
        });
        let computed: Vec<(&Written, &Ident)> = computed.collect();
        if computed.is_empty() {
            return ControlFlow::Continue(());
        }
        let names: HashSet<String> = computed.iter().map(|(_, alias)| normal(alias)).collect();
        for sort in sorts {
            let mut bare = &sort.expr;
            while let Written::Nested(inner) = bare {
                bare = inner;
            }
            let is_bare =
                matches!(bare, Written::Identifier(_) | Written::CompoundIdentifier(_) | Written::Value(_));
            let is_place = matches!(
                bare,
                Written::UnaryOp { expr, .. } if matches!(**expr, Written::Value(ValueWithSpan { value: Value::Number(..), .. }))
            );
            if is_bare || is_place {
                continue;
            }
            let text = folded(&bare.to_string());
            let mut marked = sort.expr.clone();
            let mut marks = Marks { names: &names, within: 0, found: false };
            let _: ControlFlow<()> = marked.visit(&mut marks);
            if !marks.found {
                continue;
            }
            // What is a column once more is that column.
            let same = computed.iter().find(|(expr, _)| folded(&expr.to_string()) == text);
            sort.expr = match same {
                Some((_, alias)) => Written::Identifier((*alias).clone()),
                None => marked,
            };
        }
        ControlFlow::Continue(())
    }
}

/// Marks names in one expression, but for those in subqueries and in windows, which are the table's.
struct Marks<'a> {
    names: &'a HashSet<String>,
    within: usize,
    found: bool,
}

fn is_window(expr: &Written) -> bool {
    matches!(expr, Written::Function(function) if function.over.is_some())
}

impl VisitorMut for Marks<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.within += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.within -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Written) -> ControlFlow<()> {
        self.within += usize::from(is_window(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Written) -> ControlFlow<()> {
        self.within -= usize::from(is_window(expr));
        if let Written::Identifier(name) = &*expr
            && self.within == 0
            && self.names.contains(&normal(name))
        {
            self.found = true;
            let name = std::mem::replace(expr, super::statement::nothing());
            *expr = names::call(MARK, vec![name]);
        }
        ControlFlow::Continue(())
    }
}

/// The plan in which marked names are the columns that they mean.
///
/// # Errors
/// Plan: several tables have such a column, or no row has it any more.
pub(super) fn found(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.expressions().iter().any(is_marked);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match found {
        true => Ok(plan.transform_up_with_subqueries(node)?.data),
        false => Ok(plan),
    }
}

fn is_marked(expression: &Expr) -> bool {
    expression.exists(|part| Ok(marked(part).is_some())).unwrap_or(false)
}

/// What a mark is of.
fn marked(part: &Expr) -> Option<&Expr> {
    match part {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == MARK => args.first(),
        _ => None,
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !plan.expressions().iter().any(is_marked) {
        return Ok(Transformed::no(plan));
    }
    if let LogicalPlan::Sort(sort) = plan {
        return of_sort(sort).map(Transformed::yes);
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| Ok(unmarked(part)))?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

fn unmarked(part: Expr) -> Transformed<Expr> {
    match marked(&part) {
        Some(column) => Transformed::yes(column.clone()),
        None => Transformed::no(part),
    }
}

fn of_sort(sort: Sort) -> Result<LogicalPlan> {
    let (projection, is_distinct) = match sort.input.as_ref() {
        LogicalPlan::Projection(projection) => (Some(projection), false),
        LogicalPlan::Distinct(Distinct::All(input)) => match input.as_ref() {
            LogicalPlan::Projection(projection) => (Some(projection), true),
            _ => (None, true),
        },
        _ => (None, false),
    };
    // The columns of the table that are read, each called by its place.
    let mut columns: Vec<Expr> = Vec::new();
    let mut keys = Vec::with_capacity(sort.expr.len());
    for key in sort.expr {
        let made = key.expr.transform_up(|part| {
            let (Some(projection), Some(Expr::Column(column))) = (projection, marked(&part)) else {
                return Ok(unmarked(part));
            };
            let Some(of_table) = of_input(&column.name, &projection.input)? else {
                return Ok(unmarked(part));
            };
            if is_distinct {
                return Err(of_distinct(&column.name));
            }
            let given = sort.input.schema().data_type(column)?;
            let read = projection.input.schema().data_type(&of_table)?;
            if given != read && (given.is_temporal() || read.is_temporal() || read.is_nested()) {
                return Err(of_other_type(&column.name));
            }
            let of_table = Expr::Column(of_table);
            let at = columns.iter().position(|known| *known == of_table).unwrap_or_else(|| {
                columns.push(of_table);
                columns.len() - 1
            });
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(format!("{MARK}_{at}")))))
        })?;
        keys.push(SortExpr { expr: made.data, ..key });
    }
    let (Some(projection), false) = (projection, columns.is_empty()) else {
        return Ok(LogicalPlan::Sort(Sort { expr: keys, input: sort.input.clone(), fetch: sort.fetch }));
    };
    let more = columns.into_iter().enumerate().map(|(at, column)| column.alias(format!("{MARK}_{at}")));
    let all = projection.expr.iter().cloned().chain(more).collect();
    let input = Arc::new(LogicalPlan::Projection(Projection::try_new(all, projection.input.clone())?));
    let sorted = LogicalPlan::Sort(Sort { expr: keys, input, fetch: sort.fetch });
    let given = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(given, Arc::new(sorted))?))
}

/// The column of a name that a SELECT reads from; `None` if there is none.
fn of_input(name: &str, input: &LogicalPlan) -> Result<Option<Column>> {
    let columns = input.schema().columns_with_unqualified_name(name);
    if columns.len() <= 1 {
        return Ok(columns.into_iter().next());
    }
    let is_merged =
        input.using_columns()?.iter().any(|set| columns.iter().all(|column| set.contains(column)));
    let is_left = !input.exists(|node| {
        Ok(matches!(node, LogicalPlan::Join(join) if join.join_constraint == JoinConstraint::Using
            && !matches!(join.join_type, JoinType::Inner | JoinType::Left)))
    })?;
    match columns.into_iter().next() {
        Some(first) if is_merged && is_left => Ok(Some(first)),
        _ => plan_err!("`{name}` in an expression of ORDER BY may be of several tables: write table.{name}"),
    }
}

fn of_distinct(name: &str) -> DataFusionError {
    let made = Error::user(format!(
        "`{name}` in an expression of ORDER BY is the column of a table, and of DISTINCT rows there are the selected columns alone"
    ));
    let hint = format!(
        "give the selected column another name, or write ORDER BY {name} alone, or SELECT * FROM (SELECT DISTINCT …) ORDER BY …"
    );
    DataFusionError::External(Box::new(made.hint(hint)))
}

fn of_other_type(name: &str) -> DataFusionError {
    let made = Error::user(format!(
        "`{name}` in an expression of ORDER BY is the column of a table, which is of another type than the selected `{name}`"
    ));
    DataFusionError::External(Box::new(made.hint(format!(
        "write table.{name} for the one, and give the selected column another name for the other"
    ))))
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// DuckDB's values.
    #[tokio::test]
    async fn an_expression_of_order_by_reads_the_table() {
        let t = "(VALUES (1, 30, 'a'), (2, 10, 'ccc'), (3, 20, 'bb')) AS t (k, i, s)";
        let u = "(VALUES (1), (2), (3)) AS u (k)";
        check(&[
            (&format!("SELECT -k AS k FROM {t} ORDER BY k + 0"), &["-1", "-2", "-3"] as &[&str]),
            (&format!("SELECT -k AS k FROM {t} ORDER BY k"), &["-3", "-2", "-1"]),
            (&format!("SELECT -k AS k FROM {t} ORDER BY (k)"), &["-3", "-2", "-1"]),
            (&format!("SELECT -k AS \"K\" FROM {t} ORDER BY k + 0 DESC"), &["-3", "-2", "-1"]),
            (&format!("SELECT -k AS k FROM {t} ORDER BY -k"), &["-3", "-2", "-1"]),
            (&format!("SELECT -k AS k FROM {t} ORDER BY -t.k + 1"), &["-3", "-2", "-1"]),
            (&format!("SELECT 3 - k AS z FROM {t} ORDER BY z * 2"), &["0", "1", "2"]),
            (&format!("SELECT k AS i, i AS k FROM {t} ORDER BY i + 0"), &["2|10", "3|20", "1|30"]),
            (&format!("SELECT 'x' AS s, k FROM {t} ORDER BY length(s), k"), &["x|1", "x|3", "x|2"]),
            (
                &format!("SELECT k, -i AS i FROM {t} ORDER BY CASE WHEN i > 15 THEN 0 ELSE 1 END, k"),
                &["1|-30", "3|-20", "2|-10"],
            ),
            (&format!("SELECT -k AS k FROM {t} ORDER BY k % 2 DESC, k LIMIT 2"), &["-3", "-1"]),
            (
                &format!("SELECT -k AS k, count(*) FROM {t} GROUP BY t.k ORDER BY k + 0"),
                &["-1|1", "-2|1", "-3|1"],
            ),
            (
                &format!("SELECT k AS i, sum(i) AS k FROM {t} GROUP BY k ORDER BY k * -1"),
                &["3|20", "2|10", "1|30"],
            ),
            (
                &format!("SELECT -k AS k, row_number() OVER (ORDER BY k) FROM {t} ORDER BY k + 0"),
                &["-1|1", "-2|2", "-3|3"],
            ),
            (&format!("SELECT -k AS k FROM {t} JOIN {u} USING (k) ORDER BY k + 0"), &["-1", "-2", "-3"]),
            (
                &format!("SELECT -t.k AS k FROM {t} LEFT JOIN {u} USING (k) ORDER BY k + 0"),
                &["-1", "-2", "-3"],
            ),
            (&format!("SELECT q.k FROM (SELECT -k AS k FROM {t} ORDER BY k + 0 LIMIT 1) AS q"), &["-1"]),
            (
                &format!("SELECT q.k + 1 AS k FROM (SELECT -k AS k FROM {t}) AS q ORDER BY abs(k)"),
                &["0", "-1", "-2"],
            ),
            (&format!("SELECT -k AS k FROM {t} UNION ALL SELECT 9 ORDER BY k"), &["-3", "-2", "-1", "9"]),
            (&format!("SELECT DISTINCT upper(s) AS s FROM {t} ORDER BY upper(s) DESC"), &["CCC", "BB", "A"]),
            (
                &format!("WITH w AS (SELECT -k AS k FROM {t}) SELECT k FROM w ORDER BY k + 0"),
                &["-3", "-2", "-1"],
            ),
        ])
        .await;
        refused(&[
            (&format!("SELECT DISTINCT -k AS k FROM {t} ORDER BY k + 0"), "ORDER BY k alone"),
            (&format!("SELECT -t.k AS k FROM {t} JOIN {u} ON t.k = u.k ORDER BY k + 0"), "write table.k"),
            (
                "SELECT CAST(d AS VARCHAR) AS d FROM (VALUES (DATE '2024-01-31')) AS t (d) ORDER BY d + INTERVAL '1 day'",
                "of another type",
            ),
        ])
        .await;
    }
}
