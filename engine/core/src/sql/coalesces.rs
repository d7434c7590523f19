//! COALESCE in COALESCE.
//!
//! DataFusion 55 doubles the work at each level, so that many are made one. A few stay as they are written, for GROUP BY may
//! have one of them.

use datafusion::sql::sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

/// How many COALESCEs may stand in each other as they are.
const MOST: usize = 4;

/// Makes `coalesce(coalesce(a, b), c)` `coalesce(a, b, c)` where there are many.
pub(super) fn flat(expr: &mut Expr) {
    if depth(expr) <= MOST {
        return;
    }
    let Expr::Function(function) = expr else { return };
    let FunctionArguments::List(list) = &mut function.args else { return };
    let mut todo: Vec<FunctionArg> = std::mem::take(&mut list.args).into_iter().rev().collect();
    while let Some(next) = todo.pop() {
        match next {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(mut inner))) if is_coalesce(&inner) => {
                if let FunctionArguments::List(inner) = &mut inner.args {
                    todo.extend(std::mem::take(&mut inner.args).into_iter().rev());
                }
            }
            other => list.args.push(other),
        }
    }
}

/// How many COALESCEs stand in each other.
fn depth(expr: &Expr) -> usize {
    let (mut deepest, mut todo) = (0, vec![(expr, 0)]);
    while let Some((expr, depth)) = todo.pop() {
        let Expr::Function(function) = expr else { continue };
        if !is_coalesce(function) {
            continue;
        }
        deepest = deepest.max(depth + 1);
        if let FunctionArguments::List(list) = &function.args {
            todo.extend(list.args.iter().filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(inner)) => Some((inner, depth + 1)),
                _ => None,
            }));
        }
    }
    deepest
}

fn is_coalesce(function: &Function) -> bool {
    let plain = function.over.is_none() && function.filter.is_none() && function.within_group.is_empty();
    plain
        && function.name.to_string().eq_ignore_ascii_case("coalesce")
        && matches!(&function.args, FunctionArguments::List(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none())
}
