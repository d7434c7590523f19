//! Functions that stand for something longer.

use datafusion::sql::sqlparser::ast::{
    CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    helpers::attached_token::AttachedToken,
};

/// Whether it is `nvl2(x, a, b)`.
pub(super) fn is_nvl2(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if is_plain(function, "nvl2"))
}

/// Makes `nvl2(x, a, b)` a CASE: DataFusion 55 wants all three to be of one type, though x is only looked at.
pub(super) fn nvl2_as_case(expr: &mut Expr) {
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

fn is_plain(function: &Function, name: &str) -> bool {
    let plain = function.over.is_none() && function.filter.is_none() && function.within_group.is_empty();
    plain && function.name.to_string().eq_ignore_ascii_case(name)
}
