//! What stands beside a subquery, and keeps it from being asked.
//!
//! `WHERE x = 0 OR 10 / x IN (SELECT …)` divides by no zero, and neither does `CASE WHEN x <> 0 THEN (SELECT … WHERE 10 / o.x = y) END`.
//! DataFusion 55 makes joins of such subqueries, of which the columns are computed for all rows. Here what a subquery has of
//! the row around it, and may fail, is null where the rest of the condition has decided already. In a condition of its own
//! below AND alone there is nothing to do: the join is above what the others keep.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, Spans};
use datafusion::logical_expr::expr::{Exists, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{
    conjunction, disjunction, merge_schema, split_binary_owned, split_conjunction_owned,
};
use datafusion::logical_expr::{
    BinaryExpr, Case, Expr, Filter, LogicalPlan, Operator, Subquery, binary_expr, not, when,
};
use datafusion::optimizer::AnalyzerRule;

use super::cases::risk;
use super::checked::Risk;
use super::{any, has_subquery};

/// Keeps what a subquery has of the row around it from being computed where nobody asks.
#[derive(Debug)]
pub(super) struct GuardedSubqueries;

impl AnalyzerRule for GuardedSubqueries {
    fn name(&self) -> &str {
        "guarded_subqueries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        // What is around comes first: it is no subquery's own then.
        Ok(plan.transform_down_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !any(&plan, has_subquery)? {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let mut search = Search { schema: &schema, changed: false };
    if let LogicalPlan::Filter(filter) = plan {
        let parts = split_conjunction_owned(filter.predicate);
        let parts = parts.into_iter().map(|part| search.walk(part, &[])).collect::<Result<Vec<_>>>()?;
        let changed = search.changed;
        let predicate = conjunction(parts).unwrap_or_default();
        let filter = LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?);
        return Ok(Transformed::new_transformed(filter, changed));
    }
    let names = NamePreserver::new(&plan);
    let made = plan.map_expressions(|expression| {
        let name = names.save(&expression);
        search.changed = false;
        let made = search.walk(expression, &[])?;
        Ok(Transformed::new_transformed(name.restore(made), search.changed))
    })?;
    match made.transformed {
        true => made.map_data(LogicalPlan::recompute_schema),
        false => Ok(made),
    }
}

struct Search<'a> {
    /// Of the rows around.
    schema: &'a DFSchema,
    changed: bool,
}

impl Search<'_> {
    /// An expression that nobody asks for where one of `decided` is true.
    fn walk(&mut self, expression: Expr, decided: &[Expr]) -> Result<Expr> {
        if !has_subquery(&expression) {
            return Ok(expression);
        }
        match expression {
            Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => {
                let parts = split_binary_owned(expression, Operator::Or);
                let parts = self.beside(parts, decided, |part| part)?;
                Ok(disjunction(parts).unwrap_or_default())
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::And, .. }) => {
                let parts = self.beside(split_conjunction_owned(expression), decided, not)?;
                Ok(conjunction(parts).unwrap_or_default())
            }
            Expr::Case(case) => self.case(case, decided),
            Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "coalesce" => {
                let (mut decided, mut made) = (decided.to_vec(), Vec::with_capacity(args.len()));
                for arg in args {
                    let is_there = arg.clone().is_not_null();
                    made.push(self.walk(arg, &decided)?);
                    decided.extend(self.is_test(&is_there)?.then_some(is_there));
                }
                Ok(Expr::ScalarFunction(ScalarFunction { func, args: made }))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let expr = Box::new(self.guarded(*expr, decided)?);
                let subquery = self.subquery(subquery, decided)?;
                Ok(Expr::InSubquery(InSubquery { expr, subquery, negated }))
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let expr = Box::new(self.guarded(*expr, decided)?);
                let subquery = self.subquery(subquery, decided)?;
                Ok(Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }))
            }
            Expr::Exists(Exists { subquery, negated }) => {
                Ok(Expr::Exists(Exists { subquery: self.subquery(subquery, decided)?, negated }))
            }
            Expr::ScalarSubquery(subquery) => Ok(Expr::ScalarSubquery(self.subquery(subquery, decided)?)),
            other => {
                let made = other.map_children(|part| self.walk(part, decided).map(Transformed::yes))?;
                Ok(made.data)
            }
        }
    }

    /// Operands of AND or OR, each of which the others may decide.
    fn beside(
        &mut self,
        parts: Vec<Expr>,
        decided: &[Expr],
        decides: impl Fn(Expr) -> Expr,
    ) -> Result<Vec<Expr>> {
        let mut decided = decided.to_vec();
        for part in &parts {
            if self.is_test(part)? {
                decided.push(decides(part.clone()));
            }
        }
        parts.into_iter().map(|part| self.walk(part, &decided)).collect()
    }

    fn case(&mut self, case: Case, decided: &[Expr]) -> Result<Expr> {
        let Case { expr, when_then_expr, else_expr } = case;
        let mut decided = decided.to_vec();
        let mut made = Vec::with_capacity(when_then_expr.len());
        for (when, then) in when_then_expr {
            let test = match &expr {
                Some(value) => binary_expr((**value).clone(), Operator::Eq, (*when).clone()),
                None => (*when).clone(),
            };
            let is_test = self.is_test(&test)?;
            let when = self.walk(*when, &decided)?;
            let mut of_then = decided.clone();
            if is_test {
                of_then.push(test.clone().is_not_true());
                decided.push(test);
            }
            made.push((Box::new(when), Box::new(self.walk(*then, &of_then)?)));
        }
        let else_expr = match else_expr {
            Some(otherwise) => Some(Box::new(self.walk(*otherwise, &decided)?)),
            None => None,
        };
        let expr = match expr {
            Some(value) => Some(Box::new(self.walk(*value, &[])?)),
            None => None,
        };
        Ok(Expr::Case(Case { expr, when_then_expr: made, else_expr }))
    }

    /// Whether a condition may be asked once more before others: a subquery, and what has no second value of the same
    /// row, may not.
    fn is_test(&self, condition: &Expr) -> Result<bool> {
        let is_of_row = !has_subquery(condition) && !condition.is_volatile() && !condition.contains_outer();
        Ok(is_of_row && !condition.column_refs().is_empty() && risk(condition, self.schema)? < Risk::Any)
    }

    /// The value of an expression that may fail, or null where it is decided.
    fn guarded(&mut self, expression: Expr, decided: &[Expr]) -> Result<Expr> {
        let expression = self.walk(expression, decided)?;
        let of_expression = risk(&expression, self.schema)?;
        let mut tests = Vec::new();
        for test in decided {
            if risk(test, self.schema)? < of_expression {
                tests.push(test.clone());
            }
        }
        match disjunction(tests) {
            Some(test) => {
                self.changed = true;
                when(test.is_not_true(), expression).end()
            }
            None => Ok(expression),
        }
    }

    /// A subquery whose expressions of the row around it are guarded.
    fn subquery(&mut self, subquery: Subquery, decided: &[Expr]) -> Result<Subquery> {
        if decided.is_empty() || subquery.outer_ref_columns.is_empty() {
            return Ok(subquery);
        }
        let mut tests = Vec::new();
        for test in decided {
            let of_test = risk(test, self.schema)?;
            let schema = self.schema;
            let outer = test.clone().transform_up(|part| match part {
                Expr::Column(column) => {
                    let (_, field) = schema.qualified_field_from_column(&column)?;
                    Ok(Transformed::yes(Expr::OuterReferenceColumn(field.clone(), column)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            tests.push((of_test, outer.data));
        }
        let of_node = |plan: LogicalPlan| {
            if !plan.expressions().iter().any(Expr::contains_outer) {
                return Ok(Transformed::no(plan));
            }
            let inside = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expression| {
                let name = names.save(&expression);
                let made = expression.transform_down(|part| of_row_around(part, &inside, &tests))?;
                Ok(made.update_data(|expression| name.restore(expression)))
            })
        };
        let plan = subquery.subquery.as_ref().clone().transform_up(of_node)?;
        if !plan.transformed {
            return Ok(subquery);
        }
        self.changed = true;
        let mut outer_ref_columns = subquery.outer_ref_columns;
        for (_, test) in &tests {
            test.apply(|part| {
                if matches!(part, Expr::OuterReferenceColumn(..)) && !outer_ref_columns.contains(part) {
                    outer_ref_columns.push(part.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let plan = plan.data.recompute_schema()?;
        Ok(Subquery { subquery: plan.into(), outer_ref_columns, spans: Spans::new() })
    }
}

/// The largest expression of a subquery that may fail and reads the row around it, as a CASE.
fn of_row_around(part: Expr, inside: &DFSchema, tests: &[(Risk, Expr)]) -> Result<Transformed<Expr>> {
    let is_value = matches!(part, Expr::ScalarFunction(_) | Expr::Cast(_));
    if !is_value || !part.contains_outer() {
        return Ok(Transformed::no(part));
    }
    let of_part = risk(&part, inside)?;
    let tests = tests.iter().filter(|(of_test, _)| *of_test < of_part).map(|(_, test)| test.clone());
    match disjunction(tests) {
        Some(test) => {
            Ok(Transformed::new(when(test.is_not_true(), part).end()?, true, TreeNodeRecursion::Jump))
        }
        None => Ok(Transformed::no(part)),
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values, of `10 // NULLIF(x, 0)`.
    #[tokio::test]
    async fn what_is_decided_without_a_subquery_is_not_computed_for_it() {
        let a = "(SELECT * FROM (VALUES (0, 'a'), (2, '5'), (5, '7'), (10, '1'), (NULL, NULL)) AS v (x, s) ORDER BY x LIMIT 5) AS a";
        let b = "(SELECT * FROM (VALUES (5, 1), (1, 0)) AS v (y, z) ORDER BY y LIMIT 5) AS b";
        let y = format!("(SELECT y FROM {b})");
        let meets = format!("(SELECT 1 FROM {b} WHERE b.y = 10 / a.x)");
        let value = format!("(SELECT max(y) FROM {b} WHERE b.y = 10 / a.x)");
        for (condition, expected) in [
            (format!("x = 0 OR 10 / x IN {y}"), &["0", "2", "10"] as &[&str]),
            (format!("10 / x IN {y} OR x = 0"), &["0", "2", "10"]),
            (format!("x = 0 OR 10 / x NOT IN {y}"), &["0", "5"]),
            (format!("x = 0 OR NOT (10 / x IN {y})"), &["0", "5"]),
            (format!("x = 5 OR (x <> 0 AND 10 / x IN {y})"), &["2", "5", "10"]),
            (format!("NOT (x = 0 OR 10 / x IN {y})"), &["5"]),
            (format!("x = 0 OR EXISTS {meets}"), &["0", "2", "10"]),
            (format!("x = 0 OR NOT EXISTS {meets}"), &["0", "5", ""]),
            (format!("x = 0 OR {value} > 1"), &["0", "2"]),
            (format!("x = 0 OR {value} IS NULL"), &["0", "5", ""]),
            (format!("x - 5 = 5 OR x = 0 OR 10 / x = (SELECT max(y) FROM {b})"), &["0", "2", "10"]),
            (format!("x = 0 OR 10 / x = ANY {y}"), &["0", "2", "10"]),
            (format!("x = 0 OR 10 / x > ALL {y}"), &["0"]),
            (format!("s = 'a' OR CAST(s AS INT) IN {y}"), &["0", "2", "10"]),
            (format!("x - 2 = -2 OR 10 / x IN {y}"), &["0", "2", "10"]),
            (format!("CASE WHEN x = 0 THEN TRUE ELSE 10 / x IN {y} END"), &["0", "2", "10"]),
            (format!("CASE WHEN x <> 0 THEN EXISTS {meets} END"), &["2", "10"]),
            (format!("CASE x WHEN 0 THEN FALSE WHEN 2 THEN FALSE ELSE 10 / x IN {y} END"), &["10"]),
            (format!("coalesce(NULLIF(x, 0) IS NULL AND NULL, 10 / x IN {y}) OR x = 0"), &["0"]),
            (format!("x <> 0 AND 10 / x IN {y}"), &["2", "10"]),
        ] {
            check(&[(&format!("SELECT x FROM {a} WHERE {condition} ORDER BY x"), expected)]).await;
        }
        for (column, expected) in [
            (
                format!("CASE WHEN x = 0 THEN TRUE ELSE 10 / x IN {y} END"),
                ["true", "true", "false", "true", ""],
            ),
            (format!("x = 0 OR 10 / x IN {y}"), ["true", "true", "false", "true", ""]),
            (format!("x <> 0 AND 10 / x NOT IN {y}"), ["false", "false", "true", "false", ""]),
            (format!("CASE WHEN x <> 0 THEN {value} END"), ["", "5", "", "1", ""]),
            (format!("CASE WHEN x = 0 THEN -1 ELSE {value} END"), ["-1", "5", "", "1", ""]),
            (format!("CASE WHEN x <> 0 THEN EXISTS {meets} END"), ["", "true", "false", "true", ""]),
            (format!("coalesce(CASE WHEN x = 0 THEN 7 END, {value})"), ["7", "5", "", "1", ""]),
        ] {
            check(&[(&format!("SELECT {column} FROM {a} ORDER BY x"), &expected)]).await;
        }
        let joined =
            format!("SELECT x, y FROM {a} JOIN {b} ON b.z = 0 AND (a.x = 0 OR 10 / a.x IN {y}) ORDER BY x");
        check(&[(&joined, &["0|1", "2|1", "10|1"])]).await;
    }
}
