//! Casts in VALUES.
//!
//! DataFusion 55 casts the values of a column to one type as soon as it reads them, and by then its casts cannot be told from
//! those that were written. So a written one is doubled: whoever takes off the outermost cast of a value has what was written
//! ([`beside`](super::beside)).

use datafusion::sql::sqlparser::ast::{CastKind, Expr, SetExpr};

/// Doubles the casts that are values.
pub(super) fn double_casts(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            double_casts(left);
            double_casts(right);
        }
        SetExpr::Values(values) if values.rows.len() > 1 => {
            values.rows.iter_mut().flat_map(|row| row.iter_mut()).for_each(double);
        }
        _ => {}
    }
}

fn double(value: &mut Expr) {
    let data_type = match &*value {
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, data_type, array: false, .. } => {
            data_type.clone()
        }
        Expr::TypedString(text) => text.data_type.clone(),
        Expr::Nested(inner) => match &**inner {
            Expr::Cast { data_type, .. } => data_type.clone(),
            Expr::TypedString(text) => text.data_type.clone(),
            _ => return,
        },
        _ => return,
    };
    let inner = Box::new(std::mem::replace(value, super::shallow::nothing()));
    *value = Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
}
