//! ROLLUP, CUBE and GROUPING SETS as they are written.
//!
//! DataFusion 55 refuses a column that is twice in ROLLUP or CUBE, several columns in brackets there, and either of them within
//! GROUPING SETS, all of which it has as sets: `ROLLUP (a, b, a)` is `GROUPING SETS ((a, b), (a, b), (a), ())`. A place,
//! `ROLLUP (1, 2)`, which it takes for a constant there, is the column of that place.
//!
//! Of `a NATURAL JOIN b` it takes `k` and `a.k` for one column, and PostgreSQL and DuckDB do not where one of them is in a set and the
//! other one is not: both together are refused.

use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, JoinConstraint,
    JoinOperator, Select, SelectItem, Visit, Visitor,
};

use super::merged_columns::name_of;
use super::order_names::normal;
use super::orders::{folded, number};

/// The most sets that are written out.
const MOST: usize = 1 << 12;

/// Writes out what DataFusion has as sets only.
///
/// # Errors
/// Plan: a column that NATURAL merges is there under two names.
pub(super) fn of_select(select: &mut Select) -> Result<()> {
    let natural =
        select.from.iter().any(|from| from.joins.iter().any(|join| is_natural(&join.join_operator)));
    let first = select.from.first().and_then(|from| name_of(&from.relation));
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(()) };
    if !keys.iter().any(|key| matches!(key, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_))) {
        return Ok(());
    }
    if natural && let Some(first) = first {
        let mut names = Names { table: normal(&first), bare: Vec::new(), of_table: Vec::new() };
        let _: ControlFlow<()> = keys.visit(&mut names);
        if let Some(name) = names.bare.iter().find(|name| names.of_table.contains(name)) {
            return plan_err!(
                "`{name}` and `{first}.{name}` in ROLLUP, CUBE or GROUPING SETS of a NATURAL JOIN, which merges in one what they are: write one of them"
            );
        }
    }
    for key in keys {
        if is_more(key)
            && let Some(sets) = sets_of(key)
        {
            *key = Expr::GroupingSets(sets);
        }
        let (Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets)) = &mut *key else { continue };
        for part in sets.iter_mut().flatten() {
            at_place(part, &select.projection)?;
        }
        if let Expr::GroupingSets(sets) = key {
            sets.iter_mut().for_each(|set| *set = once(std::mem::take(set)));
        }
    }
    Ok(())
}

/// Puts the column of a place where the place is.
fn at_place(part: &mut Expr, columns: &[SelectItem]) -> Result<()> {
    let Some(place) = number(part).and_then(|number| number.parse::<usize>().ok()) else { return Ok(()) };
    match place.checked_sub(1).and_then(|at| columns.get(at)) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
            *part = expr.clone();
            Ok(())
        }
        _ => plan_err!("GROUP BY {place}: no column is written there, write the expression"),
    }
}

/// Whether it is more than DataFusion plans as it is written.
fn is_more(key: &Expr) -> bool {
    match key {
        Expr::Rollup(parts) | Expr::Cube(parts) => {
            let columns: Vec<Expr> = parts.iter().flatten().cloned().collect();
            parts.iter().any(|part| part.len() != 1) || once(columns.clone()).len() < columns.len()
        }
        Expr::GroupingSets(sets) => {
            sets.iter().any(|set| matches!(set.as_slice(), [part] if sets_within(part).is_some()))
        }
        _ => false,
    }
}

/// The sets that a key stands for. `None`: too many.
fn sets_of(key: &Expr) -> Option<Vec<Vec<Expr>>> {
    match key {
        Expr::Rollup(parts) => Some((0..=parts.len()).rev().map(|end| parts[..end].concat()).collect()),
        Expr::Cube(parts) => {
            let all = 1_usize.checked_shl(parts.len().try_into().ok()?).filter(|all| *all <= MOST)?;
            // The first part is in the first half of the sets.
            let chosen = |set: usize| {
                let is_there = |at: usize| set >> (parts.len() - 1 - at) & 1 == 1;
                parts
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| is_there(*at))
                    .flat_map(|(_, part)| part.clone())
                    .collect()
            };
            Some((0..all).rev().map(chosen).collect())
        }
        Expr::GroupingSets(sets) => {
            let mut all = Vec::new();
            for set in sets {
                match set.as_slice() {
                    [part] => match sets_within(part) {
                        Some(within) => all.extend(sets_of(&within)?),
                        None => all.push(set.clone()),
                    },
                    _ => all.push(set.clone()),
                }
            }
            (all.len() <= MOST).then_some(all)
        }
        _ => None,
    }
}

/// A ROLLUP or CUBE within GROUPING SETS, which the parser has for a function.
fn sets_within(part: &Expr) -> Option<Expr> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = part else {
        return None;
    };
    let column = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Tuple(columns))) => Some(columns.clone()),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(column)) => Some(vec![column.clone()]),
        _ => None,
    };
    let parts = || list.args.iter().map(column).collect::<Option<Vec<_>>>();
    match folded(&name.to_string()).as_str() {
        "rollup" => parts().map(Expr::Rollup),
        "cube" => parts().map(Expr::Cube),
        _ => None,
    }
}

/// A set with each column once.
fn once(columns: Vec<Expr>) -> Vec<Expr> {
    let mut kept: Vec<Expr> = Vec::with_capacity(columns.len());
    for column in columns {
        let text = folded(&column.to_string());
        if !kept.iter().any(|other| folded(&other.to_string()) == text) {
            kept.push(column);
        }
    }
    kept
}

fn is_natural(join: &JoinOperator) -> bool {
    matches!(
        join,
        JoinOperator::Join(JoinConstraint::Natural)
            | JoinOperator::Inner(JoinConstraint::Natural)
            | JoinOperator::Left(JoinConstraint::Natural)
            | JoinOperator::LeftOuter(JoinConstraint::Natural)
    )
}

/// The columns of the first table that are read, by their names alone and with the table's.
struct Names {
    table: String,
    bare: Vec<String>,
    of_table: Vec<String>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => self.bare.push(normal(name)),
            Expr::CompoundIdentifier(names) => {
                if let [table, name] = names.as_slice()
                    && normal(table) == self.table
                {
                    self.of_table.push(normal(name));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    const ROWS: &str = "(VALUES (1, 'a', 1), (1, 'b', 2), (2, NULL, 3), (NULL, 'a', 4)) AS t (k, s, v)";

    /// The rows are DuckDB's.
    #[tokio::test]
    async fn sets_are_as_many_as_are_written() {
        for (columns, keys, expected) in [
            ("k, sum(v)", "ROLLUP (k, k)", &["1|3", "1|3", "2|3", "2|3", "|4", "|4", "|10"] as &[&str]),
            (
                "k, grouping(k), sum(v)",
                "CUBE (k, K)",
                &["1|0|3", "1|0|3", "1|0|3", "2|0|3", "2|0|3", "2|0|3", "|0|4", "|0|4", "|0|4", "|1|10"],
            ),
            ("k + 1, sum(v)", "ROLLUP (k + 1, k + 1)", &["2|3", "2|3", "3|3", "3|3", "|4", "|4", "|10"]),
            (
                "k, s, sum(v)",
                "ROLLUP ((k, s), k)",
                &["1|a|1", "1|a|1", "1|b|2", "1|b|2", "2||3", "2||3", "|a|4", "|a|4", "||10"],
            ),
            (
                "k, s, sum(v)",
                "CUBE ((k, s), s)",
                &[
                    "1|a|1", "1|a|1", "1|b|2", "1|b|2", "2||3", "2||3", "|a|4", "|a|4", "|a|5", "|b|2",
                    "||3", "||10",
                ],
            ),
            (
                "k, s, sum(v)",
                "GROUPING SETS (ROLLUP (k, s), CUBE (s))",
                &[
                    "1|a|1", "1|b|2", "1||3", "2||3", "2||3", "|a|4", "|a|5", "|b|2", "||3", "||4", "||10",
                    "||10",
                ],
            ),
            (
                "k + 1, s, sum(v)",
                "ROLLUP (1, 2)",
                &["2|a|1", "2|b|2", "2||3", "3||3", "3||3", "|a|4", "||4", "||10"],
            ),
            ("k, sum(v)", "GROUPING SETS ((1), (), (k))", &["1|3", "1|3", "2|3", "2|3", "|4", "|4", "|10"]),
            ("k, sum(v)", "k, ROLLUP (k, k)", &["1|3", "1|3", "1|3", "2|3", "2|3", "2|3", "|4", "|4", "|4"]),
        ] {
            let all: Vec<String> =
                (1..=columns.split(", ").count()).map(|at| format!("{at} NULLS LAST")).collect();
            check(&[(
                &format!("SELECT {columns} FROM {ROWS} GROUP BY {keys} ORDER BY {}", all.join(", ")),
                expected,
            )])
            .await;
        }
    }

    #[tokio::test]
    async fn a_place_is_that_of_a_column() {
        refused(&[
            (
                &format!("SELECT k FROM {ROWS} GROUP BY ROLLUP (1, 2)"),
                "GROUP BY 2: no column is written there",
            ),
            (
                &format!("SELECT count(*) FROM {ROWS} GROUP BY ROLLUP (1)"),
                "an aggregate stands where there are no groups yet",
            ),
        ])
        .await;
    }

    #[tokio::test]
    async fn a_merged_column_has_one_name() {
        let joined = format!("{ROWS} NATURAL JOIN (VALUES (1, TRUE), (2, FALSE)) AS u (k, p)");
        check(&[(
            &format!("SELECT k, sum(v) FROM {joined} GROUP BY ROLLUP (k, k) ORDER BY 1 NULLS LAST, 2"),
            &["1|3", "1|3", "2|3", "2|3", "|6"] as &[&str],
        )])
        .await;
        for keys in ["ROLLUP (k, t.k)", "GROUPING SETS ((T.K), (k, s), ())", "k, CUBE (s, t.k)"] {
            let sql = format!("SELECT count(*) FROM {joined} GROUP BY {keys}");
            refused(&[(&sql, "which merges in one what they are: write one of them")]).await;
        }
    }
}
