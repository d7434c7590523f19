//! Arithmetic that is right or an error: see [`checked`](super::checked) and [`one_nan`](super::one_nan).
//!
//! Sums and products of whole numbers keep their type, and one that it does not hold is an error: DataFusion 55 wraps
//! (apache/datafusion#17539). Literals that stand alone are whole numbers of 64 bits, so that `quantity + 1` is a BIGINT.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF, TryCast,
};
use datafusion::optimizer::AnalyzerRule;

use super::checked::{Checked, Operation};
use super::doubles::is_rounded_twice;
use super::of_its_type::OfItsType;
use super::one_nan::{ONE_NAN, one_nan_scalar};
use super::told::Told;
use crate::sql::outer_tables;

/// Checks arithmetic of whole numbers and decimals, and gives that of floating point numbers one NaN and one zero.
#[derive(Debug)]
pub(super) struct ExactArithmetic;

impl AnalyzerRule for ExactArithmetic {
    fn name(&self) -> &str {
        "exact_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    // The number of a LIMIT has to stay one that can be read off.
    if matches!(plan, LogicalPlan::Limit(_) | LogicalPlan::TableScan(_)) {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let rule = Rewriter { schema: &schema, one_nan: Arc::new(ScalarUDF::from(OfItsType::one_nan())) };
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        Ok(rule.exact(expression, false)?.update_data(|expression| name.restore(expression)))
    })
}

struct Rewriter<'a> {
    schema: &'a DFSchema,
    one_nan: Arc<ScalarUDF>,
}

impl Rewriter<'_> {
    /// Whether an operation is one of numbers: the days between two dates are a number too.
    fn is_of_numbers(&self, expression: &Expr) -> Result<bool> {
        Ok(match expression {
            Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
                left.get_type(self.schema)?.is_numeric() && right.get_type(self.schema)?.is_numeric()
            }
            _ => true,
        })
    }

    /// Whether a number, or a text, becomes a REAL that it may be too large for, or a decimal a double next to it.
    fn is_cast_to_real(&self, expression: &Expr) -> Result<bool> {
        let (given, to) = match expression {
            Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => (expr, field),
            _ => return Ok(false),
        };
        let from = given.get_type(self.schema)?;
        Ok(match to.data_type() {
            DataType::Float32 => from != DataType::Float32 && (from.is_numeric() || from.is_string()),
            DataType::Float64 => is_rounded_twice(&from),
            _ => false,
        })
    }

    /// An expression made right; `inside`: what it is part of gives its result one NaN and one zero.
    fn exact(&self, expression: Expr, inside: bool) -> Result<Transformed<Expr>> {
        if let Expr::Literal(value, metadata) = expression {
            let same = one_nan_scalar(value.clone());
            let changed = same != value;
            return Ok(Transformed::new_transformed(Expr::Literal(same, metadata), changed));
        }
        if let Expr::ScalarFunction(ScalarFunction { func, .. }) = &expression
            && (func.name() == ONE_NAN
                || func.inner().downcast_ref::<Checked>().is_some()
                || func.inner().downcast_ref::<Told>().is_some())
        {
            return Ok(Transformed::no(expression));
        }
        let kind = match makes_numbers(&expression) && self.is_of_numbers(&expression)? {
            true => Some(expression.get_type(self.schema)?),
            false => None,
        };
        let is_floating = kind.as_ref().is_some_and(DataType::is_floating);
        let passes = is_floating && passes_on(&expression);
        let is_real = self.is_cast_to_real(&expression)?;
        let text = match &kind {
            Some(kind) if is_checked(kind) || is_real => {
                outer_tables::shown(expression.human_display().to_string())
            }
            _ => String::new(),
        };
        let made = expression.map_children(|child| self.exact(child, passes))?;
        Ok(match kind {
            Some(kind) if is_real => real(made.data, kind, text),
            Some(_) if is_floating && !inside => Transformed::yes(self.one_nan.call(vec![made.data])),
            Some(kind) if is_checked(&kind) => checked(made, kind, text),
            _ => made,
        })
    }
}

/// The operation in its checked form, if it is one.
fn checked(made: Transformed<Expr>, kind: DataType, text: String) -> Transformed<Expr> {
    if let Expr::ScalarFunction(ScalarFunction { func, args }) = &made.data {
        return match Told::of(func, text) {
            Some(told) => Transformed::yes(ScalarUDF::from(told).call(args.clone())),
            None => made,
        };
    }
    let call = |operation, arguments| {
        Expr::ScalarFunction(ScalarFunction::new_udf(
            Arc::new(ScalarUDF::from(Checked::new(operation, kind, text))),
            arguments,
        ))
    };
    match made.data {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_arithmetic(op) => {
            Transformed::yes(call(Operation::Binary(op), vec![*left, *right]))
        }
        Expr::Negative(value) => Transformed::yes(call(Operation::Negative, vec![*value])),
        other => Transformed::new_transformed(other, made.transformed),
    }
}

/// A cast to REAL or DOUBLE in its checked form.
fn real(cast: Expr, kind: DataType, text: String) -> Transformed<Expr> {
    let (operation, given) = match cast {
        Expr::Cast(Cast { expr, .. }) => (Operation::Narrow, expr),
        Expr::TryCast(TryCast { expr, .. }) => (Operation::TryNarrow, expr),
        other => return Transformed::no(other),
    };
    Transformed::yes(ScalarUDF::from(Checked::new(operation, kind, text)).call(vec![*given]))
}

fn is_arithmetic(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Plus
            | Operator::Minus
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo
            | Operator::BitwiseShiftLeft
            | Operator::BitwiseShiftRight
    )
}

fn is_checked(kind: &DataType) -> bool {
    kind.is_integer() || matches!(kind, DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// Whether the result is a number that no operand was.
fn makes_numbers(expression: &Expr) -> bool {
    match expression {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => is_arithmetic(*op),
        Expr::Negative(_) | Expr::ScalarFunction(_) | Expr::Cast(_) | Expr::TryCast(_) => true,
        _ => false,
    }
}

/// Whether a NaN or zero with a sign in an operand does no harm, as it is gone after the result is mended.
fn passes_on(expression: &Expr) -> bool {
    match expression {
        // x / -0.0 is not x / 0.0.
        Expr::BinaryExpr(BinaryExpr { op, .. }) => *op != Operator::Divide,
        Expr::Negative(_) | Expr::Cast(_) | Expr::TryCast(_) => true,
        _ => false,
    }
}
