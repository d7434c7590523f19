//! CASE as a guard: `CASE WHEN b <> 0 THEN x / b > 1 ELSE FALSE END`.
//!
//! DataFusion 55 makes a CASE of truth values `b <> 0 AND x / b > 1 OR …`, and computes the right side for all rows then, as
//! that of an AND after WHEN. Here a CASE of truth values that may fail is one of the numbers 1 and 0, and what may fail after
//! WHEN is such a CASE of what cannot ([`guards`](super::guards) has the same for WHERE).
//!
//! AND and OR as a column compute the right side for all rows too, unless the left one decides for four in five: in a SELECT, an
//! argument or a key `b <> 0 AND x / b > 1` is a CASE of the rows that `b <> 0` leaves open.
//!
//! FILTER is one too: `sum(x / b) FILTER (WHERE b <> 0)`. DataFusion 55 computes the arguments of an aggregate with GROUP BY for all
//! rows and leaves some out afterwards (apache/datafusion#24443, mended behind 55); here they are a CASE of the filter.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction, Sort};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{
    conjunction, disjunction, merge_schema, split_binary, split_binary_owned, split_conjunction_owned,
};
use datafusion::logical_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::checked::{Checked, Divisor, Risk};
use super::guards::is_narrower;
use super::has_subquery;
use super::told::Told;

/// Keeps a CASE from being computed for rows that it leaves out.
#[derive(Debug)]
pub(super) struct LazyCases;

impl AnalyzerRule for LazyCases {
    fn name(&self) -> &str {
        "lazy_cases"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let is_condition = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = cases(expression, &schema)?;
        let made = made.transform_data(|expression| match is_condition {
            true => in_condition(expression, &schema),
            false => expression.transform_down(|part| value(part, &schema)),
        })?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

/// CASE and FILTER as they are above.
fn cases(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expression.transform_up(|part| match part {
        Expr::Case(case) if case.expr.is_none() => lazy(case, schema),
        Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
            let changed = filtered(&mut params.filter, &mut params.args, &mut params.order_by, schema)?;
            let function = Expr::AggregateFunction(AggregateFunction { func, params });
            Ok(Transformed::new_transformed(function, changed))
        }
        Expr::WindowFunction(mut function) => {
            let params = &mut function.params;
            // The order is that of the frame, which has all rows.
            let changed = filtered(&mut params.filter, &mut params.args, &mut [], schema)?;
            Ok(Transformed::new_transformed(Expr::WindowFunction(function), changed))
        }
        other => Ok(Transformed::no(other)),
    })
}

/// What stands in a condition deeper than its own ANDs and ORs, of which [`guards`](super::guards) knows that null is as good as
/// false.
fn in_condition(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) => {
            expression.map_children(|side| in_condition(side, schema))
        }
        other => other.transform_down(|part| value(part, schema)),
    }
}

/// AND and OR as a value: what is likelier to fail than other parts is computed for the rows that these leave open.
fn value(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let op = match &expression {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => *op,
        _ => return Ok(Transformed::no(expression)),
    };
    let is_and = op == Operator::And;
    let parts = split_binary(&expression, op);
    // A subquery stands where a join can answer it, and what gives another value each time is computed once.
    let is_apart = |part: &Expr| part.is_volatile() || has_subquery(part);
    let (mut least, mut most) = (Risk::Any, Risk::No);
    for part in parts.iter().filter(|part| !is_apart(part)) {
        let risk = risk(part, schema)?;
        (least, most) = (least.min(risk), most.max(risk));
    }
    if least >= most {
        return Ok(Transformed::no(expression));
    }
    let (mut tests, mut rest, mut apart) = (Vec::new(), Vec::new(), Vec::new());
    for part in split_binary_owned(expression, op) {
        if is_apart(&part) {
            apart.push(part);
            continue;
        }
        let is_test = risk(&part, schema)? == least;
        let part = part.transform_down(|part| value(part, schema))?.data;
        if is_test { &mut tests } else { &mut rest }.push(part);
    }
    let joined = |parts| if is_and { conjunction(parts) } else { disjunction(parts) };
    let Some(test) = joined(tests) else { return Err(internal_datafusion_err!("no test of a risk")) };
    let Some(rest) = joined(rest) else { return Err(internal_datafusion_err!("no part at risk")) };
    let rest = rest.transform_down(|part| value(part, schema))?.data;
    // Null leaves it open too.
    let is_open = if is_and { test.clone().is_not_false() } else { test.clone().is_not_true() };
    let both = Expr::BinaryExpr(BinaryExpr::new(Box::new(test), op, Box::new(rest)));
    let made = as_number(Case {
        expr: None,
        when_then_expr: vec![(Box::new(is_open), Box::new(both))],
        else_expr: Some(Box::new(lit(!is_and))),
    });
    let all = std::iter::once(made).chain(apart).collect::<Vec<_>>();
    let made = joined(all).ok_or_else(|| internal_datafusion_err!("no part"))?;
    Ok(Transformed::new(made, true, TreeNodeRecursion::Jump))
}

/// Keeps the arguments of an aggregate, and what it puts them in order by, from being computed for rows that its FILTER leaves out.
fn filtered(
    filter: &mut Option<Box<Expr>>,
    arguments: &mut [Expr],
    order: &mut [Sort],
    schema: &DFSchema,
) -> Result<bool> {
    let Some(filter) = filter else { return Ok(false) };
    let mut changed = false;
    if may_fail(filter, schema)? {
        let made = guarded(std::mem::take(&mut **filter), schema)?;
        changed |= made.transformed;
        **filter = made.data;
    }
    if filter.is_volatile() {
        return Ok(changed);
    }
    for argument in arguments.iter_mut().chain(order.iter_mut().map(|key| &mut key.expr)) {
        if may_fail(argument, schema)? {
            let then = Box::new(std::mem::take(argument));
            let when_then_expr = vec![(filter.clone(), then)];
            *argument = Expr::Case(Case { expr: None, when_then_expr, else_expr: None });
            changed = true;
        }
    }
    Ok(changed)
}

fn lazy(mut case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut changed = false;
    for (when, _) in &mut case.when_then_expr {
        if may_fail(when, schema)? {
            let made = guarded(std::mem::take(&mut **when), schema)?;
            changed |= made.transformed;
            **when = made.data;
        }
    }
    let results = case.when_then_expr.iter().map(|(_, then)| &**then).chain(case.else_expr.as_deref());
    let mut is_truth = true;
    let mut fails = false;
    for result in results {
        is_truth &= matches!(result.get_type(schema)?, DataType::Boolean | DataType::Null);
        fails |= may_fail(result, schema)?;
    }
    for (when, _) in case.when_then_expr.iter().skip(1) {
        fails |= may_fail(when, schema)?;
    }
    match is_truth && fails {
        true => Ok(Transformed::yes(as_number(case))),
        false => Ok(Transformed::new_transformed(Expr::Case(case), changed)),
    }
}

/// A CASE of truth values by way of one of numbers.
pub(super) fn as_number(case: Case) -> Expr {
    let number = |value: Expr| Box::new(cast(value, DataType::Int8));
    let Case { expr, when_then_expr, else_expr } = case;
    let when_then_expr = when_then_expr.into_iter().map(|(when, then)| (when, number(*then))).collect();
    let else_expr = else_expr.map(|value| number(*value));
    cast(Expr::Case(Case { expr, when_then_expr, else_expr }), DataType::Boolean)
}

/// A condition that computes what may fail where the rest leaves it open: beside AND where that holds, beside OR where it does
/// not. Null is as good as false after WHEN.
fn guarded(when: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (parts, is_and) = match &when {
        Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => (split_conjunction_owned(when), true),
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
            (split_binary_owned(when, Operator::Or), false)
        }
        _ => return Ok(Transformed::no(when)),
    };
    let mut risks = Vec::with_capacity(parts.len());
    for part in &parts {
        risks.push(risk(part, schema)?);
    }
    // What is likelier to fail than others is computed after them.
    let least = risks.iter().copied().min().unwrap_or(Risk::No);
    let (mut safe, mut others, mut changed) = (Vec::new(), Vec::new(), false);
    for (part, risk) in parts.into_iter().zip(risks) {
        if risk == Risk::No {
            safe.push(part);
            continue;
        }
        let made = guarded(part, schema)?;
        changed |= made.transformed;
        if risk == least { &mut safe } else { &mut others }.push(made.data);
    }
    let joined = |parts| if is_and { conjunction(parts) } else { disjunction(parts) };
    Ok(match (joined(safe), joined(others)) {
        (Some(test), Some(rest)) => {
            let rest = guarded(rest, schema)?.data;
            let (then, otherwise) = if is_and { (rest, lit(false)) } else { (lit(true), rest) };
            Transformed::yes(as_number(Case {
                expr: None,
                when_then_expr: vec![(Box::new(test), Box::new(then))],
                else_expr: Some(Box::new(otherwise)),
            }))
        }
        (Some(one), None) | (None, Some(one)) => Transformed::new_transformed(one, changed),
        (None, None) => Transformed::no(lit(is_and)),
    })
}

/// Whether an expression may be an error for some rows.
pub(super) fn may_fail(expression: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(risk(expression, schema)? > Risk::No)
}

/// What an expression may be an error for.
pub(super) fn risk(expression: &Expr, schema: &DFSchema) -> Result<Risk> {
    let mut found = Risk::No;
    expression.apply(|part| {
        found = found.max(match part {
            Expr::ScalarFunction(ScalarFunction { func, args }) => of_function(func, divisor(args)),
            Expr::Cast(Cast { expr, field }) if is_narrower(&expr.get_type(schema)?, field.data_type()) => {
                Risk::Any
            }
            _ => Risk::No,
        });
        Ok(if found == Risk::Any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// What is known of the second of two operands.
pub(super) fn divisor(operands: &[Expr]) -> Divisor {
    let Some(second) = operands.get(1) else { return Divisor::Any };
    match second {
        Expr::Literal(value, _) => Divisor::of(value),
        // A whole number stays what it is, or is an error of the cast.
        Expr::Cast(Cast { expr, field }) if field.data_type().is_numeric() => match &**expr {
            Expr::Literal(value, _) if value.data_type().is_integer() => Divisor::of(value),
            _ => Divisor::Any,
        },
        // NULLIF(x, 0)
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => match args.get(1) {
            Some(Expr::Literal(value, _)) if is_zero(value) => Divisor::NotZero,
            _ => Divisor::Any,
        },
        _ => Divisor::Any,
    }
}

/// Whether a number is zero.
pub(super) fn is_zero(value: &ScalarValue) -> bool {
    let kind = value.data_type();
    kind.is_numeric() && ScalarValue::new_zero(&kind).is_ok_and(|zero| zero == *value)
}

/// What a function may be an error for, with what is known of its second operand.
pub(super) fn of_function(function: &ScalarUDF, second: Divisor) -> Risk {
    match function.inner().downcast_ref::<Checked>() {
        Some(checked) => checked.risk(second),
        None if function.inner().is::<Told>() => Risk::TooLarge,
        None if function.name() == "parse_date" => Risk::Any,
        None => Risk::No,
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// Values are DuckDB's.
    #[tokio::test]
    async fn a_case_computes_what_it_gives() {
        let rows = "FROM (SELECT * FROM (VALUES (1, 0, 'a'), (4, 2, '7'), (9, NULL, '8')) AS v (x, b, s) ORDER BY x LIMIT 5) AS v";
        for (column, expected) in [
            ("CASE WHEN b <> 0 THEN x / b > 1 ELSE FALSE END", &["false", "true", "false"] as &[&str]),
            ("CASE WHEN b <> 0 AND x / b > 1 THEN 1 ELSE 0 END", &["0", "1", "0"]),
            ("CASE WHEN x / b > 1 AND b <> 0 THEN TRUE END", &["", "true", ""]),
            ("CASE WHEN b = 0 OR x / b > 1 THEN 1 ELSE 0 END", &["1", "1", "0"]),
            ("CASE WHEN x / b > 1 OR b = 0 OR b IS NULL THEN 1 END", &["1", "1", "1"]),
            ("CASE WHEN s = 'a' OR CAST(s AS INT) > 7 THEN 1 ELSE 0 END", &["1", "0", "1"]),
            ("CASE WHEN b - 2 <> 0 AND 8 / (b - 2) < 0 THEN 1 ELSE 0 END", &["1", "0", "0"]),
            ("CASE WHEN 8 / (b - 2) > 0 OR b - 2 = 0 OR x = 1 THEN 1 ELSE 0 END", &["1", "1", "0"]),
            ("CASE WHEN x < 9 AND (b = 0 OR x / b > 1) THEN 1 ELSE 0 END", &["1", "1", "0"]),
            ("CASE WHEN b = 0 THEN NULL WHEN x / b > 1 THEN TRUE ELSE FALSE END", &["", "true", "false"]),
            ("CASE WHEN s <> 'a' THEN CAST(s AS INT) = 7 END", &["", "true", "false"]),
            ("sum(CASE WHEN b <> 0 AND x % b = 0 THEN 1 ELSE 0 END) OVER ()", &["1", "1", "1"]),
        ] {
            check(&[(&format!("SELECT {column} {rows} ORDER BY x"), expected)]).await;
        }
        check(&[(
            &format!("SELECT x {rows} WHERE CASE WHEN b <> 0 THEN x / b > 1 ELSE x > 5 END ORDER BY x"),
            &["4", "9"],
        )])
        .await;
    }

    /// Values are DuckDB's.
    #[tokio::test]
    async fn a_column_computes_what_the_rest_leaves_open() {
        let rows = "FROM (SELECT * FROM (VALUES (1, 0, 'a'), (4, 2, '7'), (9, NULL, '8')) AS v (x, b, s) ORDER BY x LIMIT 5) AS v";
        for (column, expected) in [
            ("b <> 0 AND x / b > 1", &["false", "true", ""] as &[&str]),
            ("x / b > 1 AND b <> 0", &["false", "true", ""]),
            ("b = 0 OR x / b > 1", &["true", "true", ""]),
            ("x / b > 5 OR b = 0 OR x > 8", &["true", "false", "true"]),
            ("NOT (b <> 0 AND x / b > 1)", &["true", "false", ""]),
            ("(b <> 0 AND x / b > 1) IS NULL", &["false", "false", "true"]),
            ("b <> 0 AND x / b > 1 AND x > 100", &["false", "false", "false"]),
            ("x < 100 AND (b = 0 OR x / b > 1)", &["true", "true", ""]),
            ("b <> 0 AND (s = 'a' OR CAST(s AS INT) / b > 2)", &["false", "true", ""]),
            ("s <> 'a' AND CAST(s AS INT) = 7 AND x / CAST(s AS INT) = 0", &["false", "true", "false"]),
            ("count(*) FILTER (WHERE x > 0) OVER () > 0 AND b <> 0 AND x / b > 1", &["false", "true", ""]),
            ("CASE WHEN x > 0 THEN b <> 0 AND x / b > 1 END", &["false", "true", ""]),
            (
                "b <> 0 AND x / b > 1 AND EXISTS (SELECT 1 FROM (VALUES (1), (4), (9)) AS u (k) WHERE u.k = v.x)",
                &["false", "true", ""],
            ),
        ] {
            check(&[(&format!("SELECT {column} {rows} ORDER BY x"), expected)]).await;
        }
        check(&[
            (
                &format!(
                    "SELECT x {rows} WHERE (b <> 0 AND x / b > 1) IS NOT TRUE ORDER BY b = 0 OR x / b > 9, x"
                ),
                &["1", "9"],
            ),
            (
                &format!(
                    "SELECT b <> 0 AND x / b > 1 AS big, count(*) {rows} GROUP BY 1 ORDER BY 1 NULLS LAST"
                ),
                &["false|1", "true|1", "|1"],
            ),
            (&format!("SELECT bool_or(b <> 0 AND x / b > 1), count(b = 0 OR x / b > 1) {rows}"), &["true|2"]),
        ])
        .await;
    }

    /// Values are PostgreSQL's; DuckDB 2.0 divides by zero too.
    #[tokio::test]
    async fn a_filter_computes_what_it_keeps() {
        let rows = "FROM (SELECT * FROM (VALUES ('p', 10, 0, 'a'), ('p', 20, 2, '7'), ('q', 9, NULL, '8'), ('q', 30, 5, '-1'), ('p', 21, 7, 'b')) \
                    AS v (k, x, b, s) ORDER BY x LIMIT 9) AS v";
        let b = "FILTER (WHERE b <> 0)";
        for (columns, expected) in [
            (format!("sum(x / b) {b}"), &["p|13", "q|6"] as &[&str]),
            (format!("max(x / b) {b}, min(x % b) {b}, count(x / b) {b}"), &["p|10|0|2", "q|6|0|1"]),
            (format!("avg(x / b) {b}, median(x / b) {b}"), &["p|6.5|6.5", "q|6.0|6.0"]),
            (
                format!("count(DISTINCT x / b) {b}, array_agg(x / b ORDER BY x / b) {b}"),
                &["p|2|[3, 10]", "q|1|[6]"],
            ),
            (format!("string_agg(s, ',' ORDER BY x / b) {b}"), &["p|b,7", "q|-1"]),
            ("sum(CAST(s AS INT)) FILTER (WHERE s NOT IN ('a', 'b'))".to_owned(), &["p|7", "q|7"]),
            ("count(*) FILTER (WHERE b <> 0 AND x / b > 4)".to_owned(), &["p|1", "q|1"]),
            ("sum(x / b) FILTER (WHERE x / b > 4 AND b <> 0)".to_owned(), &["p|10", "q|6"]),
            (format!("sum(x / b) {b}, sum(x / (b - 7)) FILTER (WHERE b <> 7)"), &["p|13|-5", "q|6|-15"]),
            (
                format!("sum(1000000000 * x * b) FILTER (WHERE b < 3), corr(x / b, b) {b}"),
                &["p|40000000000|-1.0", "q||"],
            ),
        ] {
            check(&[(&format!("SELECT k, {columns} {rows} GROUP BY k ORDER BY k"), expected)]).await;
        }
        check(&[
            (
                &format!("SELECT k, sum(x / b) {b} {rows} GROUP BY ROLLUP (k) ORDER BY k"),
                &["p|13", "q|6", "|19"] as &[&str],
            ),
            (&format!("SELECT k {rows} GROUP BY k HAVING sum(x / b) {b} > 9"), &["p"]),
            (
                &format!("SELECT x, sum(x / b) {b} OVER (PARTITION BY k ORDER BY x) {rows} ORDER BY x"),
                &["9|", "10|", "20|10", "21|13", "30|6"],
            ),
            (&format!("SELECT DISTINCT max(x / b) {b} OVER () {rows}"), &["10"]),
        ])
        .await;
    }
}
