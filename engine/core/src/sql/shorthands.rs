//! Functions that stand for something longer.

use datafusion::sql::sqlparser::ast::{
    CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    helpers::attached_token::AttachedToken,
};

/// Writes a function out.
pub(super) fn written_out(expr: &mut Expr) {
    one_coalesce(expr);
    nvl2_as_case(expr);
}

/// Whether it is `nvl2(x, a, b)`.
pub(super) fn is_nvl2(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if is_plain(function, "nvl2"))
}

/// Makes `nvl2(x, a, b)` a CASE: DataFusion 55 wants all three to be of one type, though x is only looked at.
fn nvl2_as_case(expr: &mut Expr) {
    let Expr::Function(function) = &mut *expr else { return };
    if !is_plain(function, "nvl2") {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    let is_value = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(_)));
    if list.args.len() != 3 || !list.args.iter().all(is_value) {
        return;
    }
    let mut values = std::mem::take(&mut list.args).into_iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
        _ => None,
    });
    if let (Some(asked), Some(there), Some(absent)) = (values.next(), values.next(), values.next()) {
        *expr = Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: Expr::IsNotNull(Box::new(asked)), result: there }],
            else_result: Some(Box::new(absent)),
        };
    }
}

/// Makes `coalesce(coalesce(a, b), c)` `coalesce(a, b, c)`: DataFusion doubles the work at each level.
fn one_coalesce(expr: &mut Expr) {
    let Expr::Function(function) = expr else { return };
    if !is_coalesce(function) {
        return;
    }
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

fn is_coalesce(function: &Function) -> bool {
    is_plain(function, "coalesce")
        && matches!(&function.args, FunctionArguments::List(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none())
}

fn is_plain(function: &Function, name: &str) -> bool {
    let plain = function.over.is_none() && function.filter.is_none() && function.within_group.is_empty();
    plain && function.name.to_string().eq_ignore_ascii_case(name)
}
