//! Columns that JOIN … USING merges.
//!
//! `k` of `a FULL JOIN b USING (k)` is whichever of a.k and b.k there is, and of a RIGHT JOIN that of b; DataFusion 55 takes
//! a.k in both (apache/datafusion#22881). By the time that there is a plan nobody can tell `k` from `a.k`, so it is made
//! COALESCE(a.k, b.k) in the parsed statement.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result, plan_datafusion_err};
use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};

/// A merged column.
#[derive(Clone)]
struct Merged {
    column: Ident,
    value: Expr,
    /// Tables that have it.
    tables: Vec<Ident>,
    /// Its value is the leftmost table's.
    is_left: bool,
}

/// Makes merged columns in ORDER BY of a query what they are.
///
/// # Errors
/// Plan: a merged column that cannot be told from others.
pub(super) fn of_query(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    let merged = merged(select)?;
    let Some(order_by) = &mut query.order_by else { return Ok(()) };
    // A column of the result is meant first.
    let is_result = |column: &Ident| {
        select.projection.iter().any(|item| match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => same(name, column),
            SelectItem::ExprWithAlias { alias, .. } => same(alias, column),
            SelectItem::Wildcard(_) => true,
            _ => false,
        })
    };
    let merged: Vec<Merged> = merged.into_iter().filter(|merged| !is_result(&merged.column)).collect();
    if let OrderByKind::Expressions(sorts) = &mut order_by.kind {
        for sort in sorts {
            replace(&mut sort.expr, &merged)?;
        }
    }
    Ok(())
}

/// Makes merged columns of a SELECT what they are.
///
/// # Errors
/// Plan: as [`of_query`].
pub(super) fn of_select(select: &mut Select) -> Result<()> {
    let merged = merged(select)?;
    if merged.is_empty() {
        return Ok(());
    }
    select.projection = spread(std::mem::take(&mut select.projection), &merged, &select.from)?;
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = match &*expr {
                    Expr::Identifier(name) => name.clone(),
                    other => Ident::with_quote('"', other.to_string()),
                };
                if replace(expr, &merged)? {
                    let expr = expr.clone();
                    *item = SelectItem::ExprWithAlias { expr, alias: name };
                }
            }
            SelectItem::ExprWithAlias { expr, .. } => {
                replace(expr, &merged)?;
            }
            _ => {}
        }
    }
    for part in [&mut select.selection, &mut select.having, &mut select.qualify].into_iter().flatten() {
        replace(part, &merged)?;
    }
    let mut of_groups = Replace { merged: &merged, depth: 0, changed: false };
    if let ControlFlow::Break(error) = select.group_by.visit(&mut of_groups) {
        return Err(error);
    }
    let has_sets = ["ROLLUP", "CUBE", "GROUPING SETS"];
    if of_groups.changed && has_sets.iter().any(|word| select.group_by.to_string().contains(word)) {
        return Err(plan_datafusion_err!(
            "a column that JOIN … USING merges in ROLLUP, CUBE or GROUPING SETS: give it a name in a WITH before"
        ));
    }
    for window in &mut select.named_window {
        if let ControlFlow::Break(error) =
            window.visit(&mut Replace { merged: &merged, depth: 0, changed: false })
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Each `*` as the merged columns, which come first, and the others, table by table.
fn spread(items: Vec<SelectItem>, merged: &[Merged], from: &[TableWithJoins]) -> Result<Vec<SelectItem>> {
    let mut made = Vec::with_capacity(items.len());
    for item in items {
        let SelectItem::Wildcard(options) = item else {
            made.push(item);
            continue;
        };
        if options != WildcardAdditionalOptions::default() {
            return Err(plan_datafusion_err!(
                "name the columns where JOIN … USING merges some: `*` with EXCLUDE or REPLACE does not say which"
            ));
        }
        made.extend(merged.iter().map(|merged| SelectItem::ExprWithAlias {
            expr: merged.value.clone(),
            alias: merged.column.clone(),
        }));
        for relation in from.iter().flat_map(relations) {
            let name = name_of(relation).ok_or_else(without_name)?;
            let own = merged.iter().filter(|merged| merged.tables.contains(&name));
            let own: Vec<ObjectName> =
                own.map(|merged| ObjectName::from(vec![merged.column.clone()])).collect();
            let options = WildcardAdditionalOptions {
                opt_exclude: (!own.is_empty()).then_some(ExcludeSelectItem::Multiple(own)),
                ..WildcardAdditionalOptions::default()
            };
            let kind = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![name]));
            made.push(SelectItem::QualifiedWildcard(kind, options));
        }
    }
    Ok(made)
}

fn relations(from: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    let joined = from.joins.iter().filter(|join| {
        let only_filters = matches!(
            join.join_operator,
            JoinOperator::LeftSemi(_)
                | JoinOperator::LeftAnti(_)
                | JoinOperator::Semi(_)
                | JoinOperator::Anti(_)
        );
        !only_filters
    });
    std::iter::once(&from.relation).chain(joined.map(|join| &join.relation))
}

/// The merged columns of a SELECT.
fn merged(select: &Select) -> Result<Vec<Merged>> {
    let mut found = Vec::new();
    for from in &select.from {
        merged_of(from, &mut found)?;
    }
    Ok(found)
}

fn merged_of(from: &TableWithJoins, found: &mut Vec<Merged>) -> Result<()> {
    for (at, join) in from.joins.iter().enumerate() {
        let (constraint, side) = match &join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint) => (constraint, Side::Left),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (constraint, Side::Right)
            }
            JoinOperator::FullOuter(constraint) => (constraint, Side::Both),
            _ => continue,
        };
        let columns = match constraint {
            JoinConstraint::Using(columns) => columns,
            JoinConstraint::Natural if !matches!(side, Side::Left) || found.iter().any(|f| !f.is_left) => {
                return Err(plan_datafusion_err!(
                    "NATURAL RIGHT and FULL JOIN merge columns that cannot be told here: name them with USING (…)"
                ));
            }
            _ => continue,
        };
        for column in columns.iter().filter_map(last_part) {
            if found.iter().any(|merged| !merged.is_left && same(&merged.column, column)) {
                return Err(plan_datafusion_err!(
                    "`{column}` is merged again after a RIGHT or FULL JOIN: write ON with COALESCE of the columns that are meant"
                ));
            }
            let left = found.iter().find(|merged| same(&merged.column, column));
            let (of_left, of_right) = (name_of(&from.relation), name_of(&join.relation));
            let mut tables = left.map_or_else(Vec::new, |merged| merged.tables.clone());
            if at == 0 {
                tables.extend(of_left.clone());
            }
            let is_known = !tables.is_empty();
            tables.extend(of_right.clone());
            let part = |name: Option<Ident>| {
                let name = name.ok_or_else(without_name)?;
                Ok::<_, DataFusionError>(Expr::CompoundIdentifier(vec![name, column.clone()]))
            };
            let value = match side {
                // Which table has it cannot be told, but DataFusion knows.
                Side::Left if !is_known => continue,
                Side::Left => part(of_left)?,
                Side::Right => part(of_right)?,
                Side::Both if !is_known => {
                    return Err(plan_datafusion_err!(
                        "which table has `{column}` cannot be told: write FULL JOIN … ON, and COALESCE of both columns"
                    ));
                }
                Side::Both => coalesce(part(of_left)?, part(of_right)?),
            };
            found.retain(|merged| !same(&merged.column, column));
            let is_left = matches!(side, Side::Left);
            found.push(Merged { column: column.clone(), value, tables, is_left });
        }
    }
    Ok(())
}

/// Whose value a merged column has.
enum Side {
    Left,
    Right,
    Both,
}

pub(super) fn name_of(relation: &TableFactor) -> Option<Ident> {
    match relation {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => last_part(name).cloned(),
        _ => None,
    }
}

fn without_name() -> DataFusionError {
    plan_datafusion_err!("give each side of JOIN … USING a name: (…) AS name")
}

fn last_part(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

fn coalesce(left: Expr, right: Expr) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(left), argument(right)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Whether two names are one: without quotes capitals do not count.
fn same(one: &Ident, other: &Ident) -> bool {
    let plain = |name: &Ident| match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    };
    plain(one) == plain(other)
}

/// Replaces merged columns in an expression, and tells whether there was one.
fn replace(expr: &mut Expr, merged: &[Merged]) -> Result<bool> {
    let mut replace = Replace { merged, depth: 0, changed: false };
    match expr.visit(&mut replace) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(replace.changed),
    }
}

struct Replace<'a> {
    merged: &'a [Merged],
    /// Subqueries around.
    depth: usize,
    changed: bool,
}

impl VisitorMut for Replace<'_> {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<DataFusionError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<DataFusionError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        let Expr::Identifier(name) = &*expr else { return ControlFlow::Continue(()) };
        let Some(merged) = self.merged.iter().find(|merged| same(&merged.column, name)) else {
            return ControlFlow::Continue(());
        };
        if self.depth > 0 && merged.is_left {
            return ControlFlow::Continue(());
        }
        if self.depth > 0 {
            return ControlFlow::Break(plan_datafusion_err!(
                "`{name}` in a subquery may be the column that RIGHT or FULL JOIN … USING merges, or one of its own: write table.{name}"
            ));
        }
        *expr = merged.value.clone();
        self.changed = true;
        ControlFlow::Continue(())
    }
}
