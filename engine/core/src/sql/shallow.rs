//! Trees of little depth of what a statement has side by side.
//!
//! What is written side by side, 3,000 conditions with OR between them say, is a tree as deep as it is long for the parser,
//! and each step of planning goes down it by recursion. AND, OR and UNION may be put together in any order, so they are made
//! trees of little depth; of anything else only so much may stand side by side. `||` may not: `['a'] || 'b' || 'c'` puts two
//! texts into a list, and `['a'] || ('b' || 'c')` one. Only what is written out is known to be no list.

use datafusion::common::{Result, plan_datafusion_err};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, SetExpr, SetOperator, SetQuantifier, Value, Values,
};

/// How many operators other than AND, OR and UNION may stand side by side.
const MOST_SIDE_BY_SIDE: usize = 500;

fn is_associative(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::And | BinaryOperator::Or)
}

/// Whether it is a row of `||` between values that are written out.
fn is_written_out(mut expr: &Expr) -> bool {
    while let Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } = expr {
        if !matches!(**right, Expr::Value(_)) {
            return false;
        }
        expr = left;
    }
    matches!(expr, Expr::Value(_))
}

/// Makes a row of the same operator, which the parser has as a tree leaning to the left, a balanced one.
pub(super) fn flatten(expr: &mut Expr) -> Result<()> {
    if let Expr::BinaryOp { op, .. } = &*expr
        && (is_associative(op) || is_written_out(expr))
    {
        let op = op.clone();
        let mut operands = Vec::new();
        let mut rest = std::mem::replace(expr, nothing());
        loop {
            match rest {
                Expr::BinaryOp { left, op: other, right } if other == op => {
                    operands.push(*right);
                    rest = *left;
                }
                first => {
                    operands.push(first);
                    break;
                }
            }
        }
        operands.reverse();
        *expr = balanced(operands, &|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: op.clone(),
            right: Box::new(right),
        })
        .unwrap_or_else(nothing);
    }
    let mut length = 0;
    let mut place = &*expr;
    while let Some(left) = left_operand(place) {
        length += 1;
        place = left;
        if length > MOST_SIDE_BY_SIDE {
            return Err(plan_datafusion_err!(
                "more than {MOST_SIDE_BY_SIDE} operators stand side by side: compute parts of it in a WITH before"
            ));
        }
    }
    Ok(())
}

pub(super) fn nothing() -> Expr {
    Expr::Value(Value::Null.into())
}

fn left_operand(expr: &Expr) -> Option<&Expr> {
    Some(match expr {
        // Those that are made shallow when their turn comes do not count.
        Expr::BinaryOp { left, op, .. } if !is_associative(op) => left,
        Expr::Cast { expr, .. }
        | Expr::AtTimeZone { timestamp: expr, .. }
        | Expr::Collate { expr, .. }
        | Expr::IsNull(expr)
        | Expr::IsNotNull(expr)
        | Expr::IsTrue(expr)
        | Expr::IsNotTrue(expr)
        | Expr::IsFalse(expr)
        | Expr::IsNotFalse(expr)
        | Expr::IsUnknown(expr)
        | Expr::IsNotUnknown(expr)
        | Expr::IsDistinctFrom(expr, _)
        | Expr::IsNotDistinctFrom(expr, _)
        | Expr::InList { expr, .. }
        | Expr::InSubquery { expr, .. }
        | Expr::Between { expr, .. }
        | Expr::Like { expr, .. }
        | Expr::ILike { expr, .. }
        | Expr::SimilarTo { expr, .. }
        | Expr::RLike { expr, .. }
        | Expr::CompoundFieldAccess { root: expr, .. } => expr,
        _ => return None,
    })
}

/// The same for UNION and UNION ALL.
pub(super) fn flatten_unions(body: &mut SetExpr) -> Result<()> {
    let of_union = |body: &SetExpr| match body {
        SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, .. }
            if matches!(
                set_quantifier,
                SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None
            ) =>
        {
            Some(*set_quantifier)
        }
        _ => None,
    };
    if let Some(quantifier) = of_union(body) {
        let mut operands = Vec::new();
        let mut rest = std::mem::replace(body, no_rows());
        loop {
            match rest {
                SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right }
                    if set_quantifier == quantifier =>
                {
                    operands.push(*right);
                    rest = *left;
                }
                first => {
                    operands.push(first);
                    break;
                }
            }
        }
        operands.reverse();
        *body = balanced(operands, &|left, right| SetExpr::SetOperation {
            left: Box::new(left),
            op: SetOperator::Union,
            set_quantifier: quantifier,
            right: Box::new(right),
        })
        .unwrap_or_else(no_rows);
    }
    let mut length = 0;
    let mut place = &*body;
    while let SetExpr::SetOperation { left, .. } = place {
        length += 1;
        place = left;
        if length > MOST_SIDE_BY_SIDE {
            return Err(plan_datafusion_err!(
                "more than {MOST_SIDE_BY_SIDE} SELECTs stand side by side with EXCEPT or INTERSECT between them: compute parts of it in a WITH before"
            ));
        }
    }
    Ok(())
}

pub(super) fn no_rows() -> SetExpr {
    SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() })
}

/// A tree over the operands in their order; `None` of none.
pub(super) fn balanced<T>(mut level: Vec<T>, join: &impl Fn(T, T) -> T) -> Option<T> {
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        let mut operands = level.into_iter();
        while let Some(left) = operands.next() {
            next.push(match operands.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        level = next;
    }
    level.pop()
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// DuckDB's values.
    #[tokio::test]
    async fn texts_are_put_into_a_list_one_by_one() {
        check(&[
            ("SELECT ['a'] || 'b' || 'c' || 'd'", &["[a, b, c, d]"] as &[&str]),
            ("SELECT 'a' || 'b' || ['c']", &["[ab, c]"]),
            (
                "SELECT 'a' || k || 'c' || NULL IS NULL, 'a' || k || 'c' FROM (VALUES (1)) AS t (k)",
                &["true|a1c"],
            ),
        ])
        .await;
        let many = vec!["'x'"; 300].join(" || ");
        check(&[(&format!("SELECT length({many})"), &["300"])]).await;
        check(&[(&format!("SELECT length('x'{})", " || 'x'".repeat(3000)), &["3001"])]).await;
        let row = format!("SELECT k{} FROM (VALUES ('x')) AS t (k)", " || 'x'".repeat(3000));
        refused(&[(&row, "stand side by side")]).await;
    }
}
