//! Keys of an order that are computed: `ORDER BY upper(s) > 'M'`, `PARTITION BY length(s) > 3`.
//!
//! DataFusion 55 looks for what is known of the order of such a key. In a comparison of something whose least and greatest
//! value it does not know, most functions say, it finds an error and takes it for no order at all, so that it refuses the
//! plan that it has made (`does not satisfy order requirements`). Neither has it a plan for a subquery that reads the row around
//! it, or for IN and EXISTS, as a key or within an aggregate or a window. Such keys and arguments are columns of a projection
//! below here; one that is a column, or computed otherwise, stays where it is.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr::{AggregateFunction, Sort as Key};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, LogicalPlan, Operator, Projection, Sort, Window,
};
use datafusion::optimizer::AnalyzerRule;

use super::has_subquery;

/// Computes keys that compare something below the node that sorts by them.
#[derive(Debug)]
pub(super) struct ComputedKeys;

impl AnalyzerRule for ComputedKeys {
    fn name(&self) -> &str {
        "computed_keys"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(Sort { expr, input, fetch }) => {
            let mut columns = Columns::above(&input);
            let keys = columns.of_order(expr);
            let schema = input.schema().clone();
            match columns.below(input)? {
                (input, false) => Ok(Transformed::no(LogicalPlan::Sort(Sort { expr: keys, input, fetch }))),
                (input, true) => {
                    let sorted = Arc::new(LogicalPlan::Sort(Sort { expr: keys, input, fetch }));
                    let all = schema.iter().map(|field| Expr::Column(Column::from(field))).collect();
                    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(all, sorted)?)))
                }
            }
        }
        LogicalPlan::Window(window) => {
            let plan = LogicalPlan::Window(window);
            let names = NamePreserver::new(&plan);
            let LogicalPlan::Window(Window { input, window_expr, schema }) = plan else {
                return Ok(Transformed::no(plan));
            };
            let mut columns = Columns::above(&input);
            let mut made = Vec::with_capacity(window_expr.len());
            for expression in &window_expr {
                let name = names.save(expression);
                made.push(name.restore(columns.of_functions(expression.clone())?));
            }
            match columns.below(input)? {
                (input, false) => {
                    Ok(Transformed::no(LogicalPlan::Window(Window { input, window_expr, schema })))
                }
                (input, true) => {
                    let windows = Arc::new(LogicalPlan::Window(Window::try_new(made, input)?));
                    let all = schema.iter().map(|field| Expr::Column(Column::from(field))).collect();
                    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(all, windows)?)))
                }
            }
        }
        LogicalPlan::Aggregate(aggregate) => {
            let plan = LogicalPlan::Aggregate(aggregate);
            let names = NamePreserver::new(&plan);
            let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(Transformed::no(plan)) };
            let mut columns = Columns::above(&aggregate.input);
            let mut made = Vec::with_capacity(aggregate.aggr_expr.len());
            for expression in &aggregate.aggr_expr {
                let name = names.save(expression);
                made.push(name.restore(columns.of_functions(expression.clone())?));
            }
            match columns.below(aggregate.input.clone())? {
                (_, false) => Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
                (input, true) => Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(
                    input,
                    aggregate.group_expr,
                    made,
                )?))),
            }
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            let mut columns = Columns::above(&on.input);
            on.on_expr = on.on_expr.into_iter().map(|key| columns.of_key(key)).collect();
            on.sort_expr = on.sort_expr.map(|keys| columns.of_order(keys));
            let (input, changed) = columns.below(on.input)?;
            on.input = input;
            Ok(Transformed::new_transformed(LogicalPlan::Distinct(Distinct::On(on)), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Keys that are columns below, and the names of those.
struct Columns {
    keys: Vec<Expr>,
    /// The number of the first: no column of the input is called by it, or by a later one.
    first: u64,
}

impl Columns {
    fn above(input: &LogicalPlan) -> Columns {
        let numbers = input.schema().fields().iter().filter_map(|field| {
            let number = field.name().to_ascii_lowercase();
            number.strip_prefix(NAME)?.parse::<u32>().ok()
        });
        Columns { keys: Vec::new(), first: numbers.max().map_or(0, |most| u64::from(most) + 1) }
    }

    /// The name of one.
    fn name(&self, at: usize) -> String {
        format!("{NAME}{}", self.first + at as u64)
    }

    fn of_order(&mut self, keys: Vec<Key>) -> Vec<Key> {
        keys.into_iter().map(|key| Key { expr: self.of_key(key.expr), ..key }).collect()
    }

    fn of_key(&mut self, key: Expr) -> Expr {
        if compares(&key) || has_subquery(&key) { self.column(key) } else { key }
    }

    /// A subquery that is one value for all rows stays: that of `quantile(x, (SELECT 0.9))` has to be a constant.
    fn of_argument(&mut self, argument: &mut Expr) {
        if is_of_the_row(argument) {
            *argument = self.column(std::mem::take(argument));
        }
    }

    /// DISTINCT values are in an order of themselves: what is a column in the order is the same one among them.
    fn of_distinct(&self, argument: Expr) -> Result<Expr> {
        let made = argument.transform_down(|part| {
            Ok(match self.keys.iter().position(|known| *known == part) {
                Some(at) => {
                    let column = Expr::Column(Column::new_unqualified(self.name(at)));
                    Transformed::new(column, true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(part),
            })
        })?;
        Ok(made.data)
    }

    /// What is of the row around a subquery cannot be moved.
    fn column(&mut self, key: Expr) -> Expr {
        if key.contains_outer() {
            return key;
        }
        let at = self.keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        Expr::Column(Column::new_unqualified(self.name(at)))
    }

    /// The keys of windows and of aggregates with an order.
    fn of_functions(&mut self, expression: Expr) -> Result<Expr> {
        let made = expression.transform_up(|part| {
            Ok(match part {
                Expr::WindowFunction(mut function) => {
                    let params = &mut function.params;
                    let partition = std::mem::take(&mut params.partition_by);
                    params.partition_by = partition.into_iter().map(|key| self.of_key(key)).collect();
                    params.order_by = self.of_order(std::mem::take(&mut params.order_by));
                    let arguments = params.args.iter_mut().chain(params.filter.as_deref_mut());
                    arguments.for_each(|argument| self.of_argument(argument));
                    Transformed::yes(Expr::WindowFunction(function))
                }
                Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
                    params.order_by = self.of_order(params.order_by);
                    if params.distinct && !params.order_by.is_empty() {
                        let arguments = std::mem::take(&mut params.args).into_iter();
                        params.args =
                            arguments.map(|argument| self.of_distinct(argument)).collect::<Result<_>>()?;
                    }
                    let arguments = params.args.iter_mut().chain(params.filter.as_deref_mut());
                    arguments.for_each(|argument| self.of_argument(argument));
                    Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }))
                }
                other => Transformed::no(other),
            })
        })?;
        Ok(made.data)
    }

    /// The input with these columns behind its own, and whether there are any.
    fn below(self, input: Arc<LogicalPlan>) -> Result<(Arc<LogicalPlan>, bool)> {
        if self.keys.is_empty() {
            return Ok((input, false));
        }
        let own = input.schema().iter().map(|field| Expr::Column(Column::from(field)));
        let keys = self.keys.iter().enumerate().map(|(at, key)| key.clone().alias(self.name(at)));
        let all = own.chain(keys).collect();
        Ok((Arc::new(LogicalPlan::Projection(Projection::try_new(all, input)?)), true))
    }
}

/// What these columns are called, before a number. Each is one of one node alone.
const NAME: &str = "__computed_key_";

/// Whether an argument has a subquery that is another value for each row, or that is no value.
fn is_of_the_row(argument: &Expr) -> bool {
    let found = argument.exists(|part| {
        Ok(match part {
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            _ => false,
        })
    });
    found.unwrap_or(false)
}

/// Whether a key compares something other than columns and constants.
fn compares(key: &Expr) -> bool {
    let is_known = |operand: &Expr| matches!(operand, Expr::Column(_) | Expr::Literal(..));
    let found = key.exists(|part| {
        Ok(match part {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq,
                right,
            }) => !is_known(left) || !is_known(right),
            Expr::Between(between) => {
                [&between.expr, &between.low, &between.high].into_iter().any(|operand| !is_known(operand))
            }
            _ => false,
        })
    });
    found.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    const ROWS: &str = "(SELECT value AS k, CAST(value AS TEXT) AS s, CAST(value AS DOUBLE) AS x, value % 2 = 0 AS b, \
         DATE '2020-01-01' + CAST(value AS INT) AS d FROM generate_series(1, 9000)) AS v WHERE k < 5";

    /// Each as the key of a sort in several parts, which are merged, of a window's parts and order, of an aggregate and of
    /// DISTINCT ON. The keys are false for 1 and 2; values are DuckDB's.
    #[tokio::test]
    async fn keys_that_compare_what_is_computed_are_keys() {
        for key in [
            "upper(s) > '2'",
            "'2' < upper(s)",
            "s || 'a' >= '3'",
            "sqrt(x) > 1.5",
            "CASE WHEN k > 2 THEN 1 ELSE 0 END > 0",
            "d + INTERVAL '1 day' > DATE '2020-01-04'",
            "(k & 3) % 3 = 0 AND k > 2 OR k = 4",
            "make_array(k)[1] > 2",
            "TRY_CAST(s AS INT) > 2",
            "NOT upper(s) <= '2'",
            "upper(s) BETWEEN '3' AND '4'",
            "k > (SELECT 2)",
            "k IN (SELECT value FROM generate_series(3, 4))",
        ] {
            for (statement, expected) in [
                (format!("SELECT k FROM {ROWS} ORDER BY {key} DESC, k"), &["3", "4", "1", "2"] as &[&str]),
                (format!("SELECT k FROM {ROWS} ORDER BY {key}, k DESC LIMIT 3"), &["2", "1", "4"]),
                (
                    format!(
                        "SELECT k, row_number() OVER (PARTITION BY {key} ORDER BY k) FROM {ROWS} ORDER BY k"
                    ),
                    &["1|1", "2|2", "3|1", "4|2"],
                ),
                (
                    format!(
                        "SELECT k, rank() OVER (ORDER BY {key} DESC), count(*) OVER (PARTITION BY b) FROM {ROWS} ORDER BY k"
                    ),
                    &["1|3|2", "2|3|2", "3|1|2", "4|1|2"],
                ),
                (format!("SELECT array_agg(k ORDER BY {key} DESC, k) FROM {ROWS}"), &["[3, 4, 1, 2]"]),
                (format!("SELECT DISTINCT ON ({key}) k FROM {ROWS} ORDER BY {key}, k"), &["1", "3"]),
            ] {
                check(&[(&statement, expected)]).await;
            }
        }
    }

    /// DuckDB's values.
    #[tokio::test]
    async fn subqueries_are_keys_and_arguments() {
        let few = "(SELECT value AS n FROM generate_series(2, 3)) AS f";
        check(&[
            (&format!("SELECT max(k NOT IN (SELECT n FROM {few})), count(*) FILTER (WHERE k IN (SELECT n FROM {few})) FROM {ROWS}"), &["true|2"] as &[&str]),
            (&format!("SELECT b, max(k = ANY (SELECT n FROM {few})) AS m FROM {ROWS} GROUP BY b ORDER BY b"), &["false|true", "true|true"]),
            (&format!("SELECT sum(CASE WHEN EXISTS (SELECT 1 FROM {few} WHERE n = k) THEN k END) FROM {ROWS}"), &["5"]),
            (&format!("SELECT sum((SELECT max(n) FROM {few} WHERE n = k)) FROM {ROWS}"), &["5"]),
            (&format!("SELECT k FROM {ROWS} ORDER BY (SELECT max(n) FROM {few} WHERE n = k) DESC NULLS LAST, k"), &["3", "2", "1", "4"]),
            (&format!("SELECT k FROM {ROWS} ORDER BY EXISTS (SELECT 1 FROM {few} WHERE n = k), k"), &["1", "4", "2", "3"]),
            (
                &format!("SELECT k, count(*) OVER (PARTITION BY (SELECT max(n) FROM {few} WHERE n = k)), max(k > ALL (SELECT n FROM {few})) OVER () FROM {ROWS} ORDER BY k"),
                &["1|2|true", "2|1|true", "3|1|true", "4|2|true"],
            ),
            (&format!("SELECT max(k) FROM {ROWS} HAVING max(1 <> ALL (SELECT n FROM {few}))"), &["4"]),
        ])
        .await;
    }

    /// DuckDB's values.
    #[tokio::test]
    async fn distinct_values_are_in_an_order_of_what_is_computed() {
        let size = "CASE WHEN x * 2 > 5 THEN 'big' ELSE 'small' END";
        check(&[
            (&format!("SELECT array_agg(DISTINCT k + 0 > 3 ORDER BY k + 0 > 3) FROM {ROWS}"), &["[false, true]"] as &[&str]),
            (&format!("SELECT array_agg(DISTINCT sqrt(k) > 1.5 ORDER BY sqrt(k) > 1.5 DESC), count(*) FROM {ROWS}"), &["[true, false]|4"]),
            (&format!("SELECT string_agg(DISTINCT {size}, ',' ORDER BY {size}) FROM {ROWS}"), &["big,small"]),
            (&format!("SELECT b, string_agg(DISTINCT {size}, ',' ORDER BY {size} DESC) FROM {ROWS} GROUP BY b ORDER BY b"), &["false|small,big", "true|small,big"]),
            ("SELECT array_agg(DISTINCT k > 3 ORDER BY k > 3) FROM (VALUES (1), (5)) AS t (k)", &["[false, true]"]),
        ])
        .await;
        refused(&[(
            &format!("SELECT array_agg(DISTINCT k ORDER BY sqrt(k) > 1.5) FROM {ROWS}"),
            "of DISTINCT values there are the values alone",
        )])
        .await;
    }

    /// DuckDB's values.
    #[tokio::test]
    async fn a_subquery_that_is_one_value_is_a_constant_argument() {
        check(&[
            (&format!("SELECT quantile(x, (SELECT 0.9)), percentile_cont((SELECT 0.5)) WITHIN GROUP (ORDER BY k), sum(k * (SELECT 2)) FROM {ROWS}"), &["3.7|2.5|20"] as &[&str]),
            (&format!("SELECT approx_percentile_cont(x, (SELECT 0.5)) BETWEEN 2 AND 3 FROM {ROWS}"), &["true"]),
        ])
        .await;
    }

    #[tokio::test]
    async fn a_column_may_be_called_as_these_are() {
        let rows =
            format!("(SELECT k AS __computed_key_0, s, k % 2 AS \"__COMPUTED_KEY_1\" FROM {ROWS}) AS q");
        check(&[
            (&format!("SELECT __computed_key_0 FROM {rows} ORDER BY upper(s) > '2' DESC, 1"), &["3", "4", "1", "2"] as &[&str]),
            (&format!("SELECT __computed_key_0, rank() OVER (ORDER BY upper(s) > '2') FROM {rows} ORDER BY __computed_key_0"), &["1|1", "2|1", "3|3", "4|3"]),
            (&format!("SELECT array_agg(__computed_key_0 ORDER BY upper(s) > '2' DESC, __computed_key_0) FROM {rows}"), &["[3, 4, 1, 2]"]),
            (&format!("SELECT DISTINCT ON (upper(s) > '2') __computed_key_0 FROM {rows} ORDER BY upper(s) > '2', __computed_key_0"), &["1", "3"]),
        ])
        .await;
    }

    #[tokio::test]
    async fn columns_stay_what_they_are() {
        check(&[
            // Of a join, with a name in both.
            (
                &format!("SELECT * FROM (SELECT k, s FROM {ROWS}) AS a JOIN (SELECT k, s FROM {ROWS}) AS c ON a.k = c.k ORDER BY upper(a.s) > '2' DESC, c.k"),
                &["3|3|3|3", "4|4|4|4", "1|1|1|1", "2|2|2|2"] as &[&str],
            ),
            // In a subquery that reads the row around it.
            (
                &format!("SELECT k, (SELECT max(c.k) FROM (SELECT k, s FROM {ROWS} ORDER BY upper(s) > '2', k LIMIT 3) AS c WHERE c.k = v.k) FROM {ROWS} ORDER BY k"),
                &["1|1", "2|2", "3|3", "4|"],
            ),
            // Windows over each other's rows.
            (
                &format!("SELECT k, sum(n) OVER (PARTITION BY upper(s) > '2') FROM (SELECT k, s, count(*) OVER (PARTITION BY upper(s) > '3') AS n FROM {ROWS}) ORDER BY k"),
                &["1|6", "2|6", "3|4", "4|4"],
            ),
        ])
        .await;
    }
}
