//! Names in the expressions of ORDER BY, as they are written: which of them are columns of the table.
//!
//! [`input_names`](super::input_names) finds them in the plan. What is a selected expression once more is called by its
//! column's name, also as a part of another: in `SELECT k, sum(x) AS x … ORDER BY -sum(x)` that is `-x`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr as Written, Ident, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::input_names::MARK;
use super::names;
use super::orders::folded;

/// Marks names in the expressions of ORDER BY that columns of the result have too.
///
/// # Errors
/// Plan: one stands in an aggregate, and may be of several tables.
pub(super) fn mark(statement: &mut Statement, is_aggregate: &dyn Fn(&str) -> bool) -> Result<()> {
    visit(statement, &mut Queries { is_aggregate })
}

fn visit(statement: &mut Statement, queries: &mut Queries<'_>) -> Result<()> {
    let inner = match statement {
        Statement::Statement(inner) => inner,
        Statement::Explain(explain) => return visit(&mut explain.statement, queries),
        _ => return Ok(()),
    };
    match inner.visit(queries) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(name) => plan_err!(
            "`{name}` in an aggregate in ORDER BY is the column of a table, and there are several tables: write table.{name}"
        ),
    }
}

/// The only table that a SELECT reads from, as its columns are called by.
pub(super) fn table_of(select: &Select) -> Option<Ident> {
    let [TableWithJoins { relation, joins }] = select.from.as_slice() else { return None };
    match relation {
        _ if !joins.is_empty() => None,
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, args: None, .. } => match name.0.last() {
            Some(ObjectNamePart::Identifier(name)) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The columns of a SELECT that have another name than what they are, and those names.
pub(super) fn computed(select: &Select) -> Vec<(&Written, &Ident)> {
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
    computed.collect()
}

/// Whether a key of ORDER BY is a column, or the place of one.
pub(super) fn is_bare(key: &Written) -> bool {
    match key {
        Written::Nested(inner) => is_bare(inner),
        Written::Identifier(_) | Written::CompoundIdentifier(_) | Written::Value(_) => true,
        Written::UnaryOp { expr, .. } => {
            matches!(**expr, Written::Value(ValueWithSpan { value: Value::Number(..), .. }))
        }
        _ => false,
    }
}

/// A name as it is meant.
pub(super) fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

struct Queries<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl VisitorMut for Queries<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        let (SetExpr::Select(select), Some(order_by)) = (query.body.as_ref(), &mut query.order_by) else {
            return ControlFlow::Continue(());
        };
        let OrderByKind::Expressions(sorts) = &mut order_by.kind else { return ControlFlow::Continue(()) };
        let computed = computed(select);
        if computed.is_empty() {
            return ControlFlow::Continue(());
        }
        let names: HashSet<String> = computed.iter().map(|(_, alias)| normal(alias)).collect();
        let selected = computed.iter().map(|(expr, alias)| (folded(&expr.to_string()), *alias)).collect();
        let table = table_of(select);
        let mut marks = Marks {
            names,
            selected,
            table,
            of: self,
            within: 0,
            in_aggregate: 0,
            is_selected: false,
            found: false,
        };
        for sort in sorts {
            let mut bare = &sort.expr;
            while let Written::Nested(inner) = bare {
                bare = inner;
            }
            if is_bare(bare) {
                continue;
            }
            // What is a column once more is that column.
            let same = marks.selected(bare);
            let mut marked = sort.expr.clone();
            marks.found = false;
            marked.visit(&mut marks)?;
            if marks.found {
                sort.expr = same.map_or(marked, Written::Identifier);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Marks names in one expression, but for those in subqueries and in windows, which are the table's. So are those in aggregates,
/// which DataFusion takes for the result's all the same: they get their table.
struct Marks<'a> {
    names: HashSet<String>,
    /// The text of each computed column, and its name.
    selected: Vec<(String, &'a Ident)>,
    table: Option<Ident>,
    of: &'a Queries<'a>,
    /// How many subqueries and windows are around.
    within: usize,
    in_aggregate: usize,
    /// Whether the next name is a column of the result, in place of what it is once more.
    is_selected: bool,
    found: bool,
}

impl Marks<'_> {
    /// The column of the result that an expression is once more.
    fn selected(&self, expr: &Written) -> Option<Ident> {
        let text = folded(&expr.to_string());
        self.selected.iter().find(|(selected, _)| *selected == text).map(|(_, alias)| (*alias).clone())
    }

    fn is_aggregate(&self, expr: &Written) -> bool {
        matches!(expr, Written::Function(function) if function.over.is_none()
            && (self.of.is_aggregate)(&function.name.to_string().to_lowercase()))
    }
}

fn is_window(expr: &Written) -> bool {
    matches!(expr, Written::Function(function) if function.over.is_some())
}

impl VisitorMut for Marks<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<String> {
        self.within += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<String> {
        self.within -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Written) -> ControlFlow<String> {
        let is_name =
            matches!(expr, Written::Identifier(_) | Written::CompoundIdentifier(_) | Written::Value(_));
        if self.within == 0
            && self.in_aggregate == 0
            && !is_name
            && let Some(alias) = self.selected(expr)
        {
            *expr = Written::Identifier(alias);
            (self.found, self.is_selected) = (true, true);
        }
        self.within += usize::from(is_window(expr));
        self.in_aggregate += usize::from(self.is_aggregate(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Written) -> ControlFlow<String> {
        self.within -= usize::from(is_window(expr));
        self.in_aggregate -= usize::from(self.is_aggregate(expr));
        let Written::Identifier(name) = &*expr else { return ControlFlow::Continue(()) };
        let text = normal(name);
        if std::mem::take(&mut self.is_selected) || self.within > 0 || !self.names.contains(&text) {
            return ControlFlow::Continue(());
        }
        self.found = true;
        *expr = match &self.table {
            Some(table) if self.in_aggregate > 0 => {
                Written::CompoundIdentifier(vec![table.clone(), name.clone()])
            }
            None if self.in_aggregate > 0 => return ControlFlow::Break(text),
            _ => names::call(MARK, vec![Written::Identifier(name.clone())]),
        };
        ControlFlow::Continue(())
    }
}
