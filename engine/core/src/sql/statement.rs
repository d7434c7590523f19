//! A statement from its text to DataFusion's plan.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use datafusion::common::{DataFusionError, Result, plan_datafusion_err};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::{SQLOptions, SessionContext, SessionState};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{self, ExecutionPlan};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DescribeAlias, Expr, Query, Select, Statement as Sql, UnaryOperator, VisitMut, VisitorMut,
};
use futures::StreamExt;

use super::deep::deep;
use super::settled::described;
use super::shallow::{flatten, flatten_unions, nothing};
use super::{
    as_of, bare_names, brackets, coalesces, distinct_on, first_in_lists, grouping_sets, input_names,
    literals, merged_columns, names, nested, order_names, orders, outer_tables, patterns, relations,
    same_names, schema_check, shadowed_names, shorthands, unjoined, unplanned, values,
};
use crate::error::Error;
use crate::panics::{self, Guard, caught_in};
use crate::sizes::value_bytes;
use crate::sql::RESULT;

/// The plan of one statement.
///
/// # Errors
/// Plan: not a statement, or one that DataFusion would get wrong; from the tables that it reads.
pub(crate) async fn plan(state: &SessionState, sql: &str) -> Result<LogicalPlan> {
    let sql = without_mark(sql);
    nested::check_text(sql)?;
    let dialect = state.config_options().sql_parser.dialect;
    let parsed = || read(sql, |sql| state.sql_to_statement(sql, &dialect));
    let error = match planned(state, parsed()?).await {
        Err(error) => error,
        made => return made,
    };
    let text = error.strip_backtrace();
    let is_ordered = text.contains("Column in ORDER BY must be in GROUP BY")
        || text.contains("must appear in select list");
    if is_ordered && let Statement::Statement(inner) = settled(parsed()?)? {
        let made = planned(state, Statement::Statement(Box::new(orders::named(*inner)))).await;
        return made.map_err(|error| unplanned::told(&error.strip_backtrace(), sql).unwrap_or(error));
    }
    if text.contains("Unary operator '-' only supports signed") {
        let made = Error::user(
            "a number that is never negative, a count say, has no negative: its type has no sign",
        );
        return Err(external(made.hint("cast it: -CAST(x AS BIGINT)")));
    }
    if text.contains(outer_tables::NO_FIELD)
        && let Statement::Statement(mut inner) = parsed()?
    {
        outer_tables::rename(&mut inner);
        return planned(state, Statement::Statement(inner)).await.map_err(|_| error);
    }
    if let Some(name) = bare_names::untold(&text) {
        let mut statement = parsed()?;
        bare_names::of_natural(&mut statement, name);
        return planned(state, statement).await.map_err(|_| error);
    }
    let told = |error| unplanned::told(&text, sql).unwrap_or(error);
    if !is_one_name_twice(&error) {
        return Err(told(error));
    }
    // Told apart they may be two names.
    let mut statement = parsed()?;
    if let Statement::Statement(inner) = &mut statement {
        names::tell_casts(inner);
    }
    planned(state, statement).await.map_err(|error| {
        if !is_one_name_twice(&error) {
            return error;
        }
        let made = Error::user(format!("{text}: a column is there twice"));
        told(external(made.hint("give each a name of its own: SELECT max(x) AS a, max(y) AS b")))
    })
}

async fn planned(state: &SessionState, statement: Statement) -> Result<LogicalPlan> {
    let (mut statement, describes) = bare_query(settled(statement)?);
    order_names::mark(&mut statement, &|name| state.aggregate_functions().contains_key(name))?;
    let bare_names = bare_names::of(&statement);
    // Tables are found here, by the footers of their files.
    let plan = caught_in(state.statement_to_plan(statement)).await.map_err(external)??;
    outer_tables::check(&plan)?;
    let plan = input_names::found(plan)?;
    bare_names::check(&bare_names, &plan)?;
    nested::check(&plan)?;
    names::check_keys(&plan)?;
    match describes {
        true => described(state, plan).await,
        false => Ok(plan),
    }
}

/// The query of DESCRIBE SELECT …, and whether there is one.
fn bare_query(statement: Statement) -> (Statement, bool) {
    match statement {
        Statement::Statement(inner) => match *inner {
            Sql::Explain {
                describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, statement, ..
            } if matches!(*statement, Sql::Query(_)) => (Statement::Statement(statement), true),
            other => (Statement::Statement(Box::new(other)), false),
        },
        other => (other, false),
    }
}

/// Whether two columns have one name, by what DataFusion 55 says.
fn is_one_name_twice(error: &DataFusionError) -> bool {
    let text = error.to_string();
    text.contains("duplicate unqualified field name") || text.contains("require unique expression names")
}

/// One reading statement, ready to run.
///
/// # Errors
/// Plan: not a statement, one that DataFusion would get wrong, or one that writes; from the tables that it reads.
pub async fn frame(context: &SessionContext, sql: &str) -> Result<DataFrame> {
    frame_of(context.state(), sql).await
}

/// [`frame`], with this moment for its `now()`.
///
/// # Errors
/// As there.
pub(crate) async fn frame_at(context: &SessionContext, sql: &str, now: DateTime<Utc>) -> Result<DataFrame> {
    let mut state = context.state();
    state.execution_props_mut().query_execution_start_time = Some(now);
    frame_of(state, sql).await
}

async fn frame_of(state: SessionState, sql: &str) -> Result<DataFrame> {
    let plan = deep(plan(&state, sql)).await?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)?;
    Ok(DataFrame::new(state, plan))
}

/// The share of the memory that the rows of a result may take: whoever shows them has them a second time, as text.
const RESULT_SHARE: u64 = 4;

/// The rows of a statement.
///
/// # Errors
/// From planning and running it; ResourcesExhausted: there are more than fit into memory.
pub async fn collect(frame: DataFrame) -> Result<Vec<RecordBatch>> {
    let limit = match frame.task_ctx().memory_pool().memory_limit() {
        MemoryLimit::Finite(bytes) => bytes as u64 / RESULT_SHARE,
        _ => u64::MAX,
    };
    let mut stream = execute(frame).await?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = stream.next().await.transpose()? {
        bytes += value_bytes(&batch);
        if bytes > limit {
            return Err(DataFusionError::ResourcesExhausted(format!("{bytes} bytes for {RESULT}")));
        }
        batches.push(batch);
    }
    Ok(batches)
}

/// The rows of a statement as they come.
///
/// # Errors
/// From planning it.
pub(crate) async fn execute(frame: DataFrame) -> Result<SendableRecordBatchStream> {
    let context = Arc::new(frame.task_ctx());
    let guard = Guard::new();
    let stream = async {
        let plan = physical(frame).await?;
        physical_plan::execute_stream(plan, context)
    };
    let stream = caught_in(stream).await.map_err(external)??;
    let schema = stream.schema();
    let rows = AssertUnwindSafe(stream).catch_unwind().map(move |rows| {
        let _held = &guard;
        rows.unwrap_or_else(|panic| Err(external(panics::error(&*panic)))).map_err(unjoined::of_frame)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The plan as it is run.
async fn physical(frame: DataFrame) -> Result<Arc<dyn ExecutionPlan>> {
    let (state, plan) = frame.into_parts();
    schema_check::physical(state, &plan).await.map_err(|error| unjoined::told(error, &plan))
}

/// The statements of a text, of little depth.
///
/// # Errors
/// SQL: not SQL; Plan: too much of something side by side.
pub(crate) fn parse(sql: &str) -> Result<Vec<Statement>> {
    let sql = without_mark(sql);
    nested::check_text(sql)?;
    let statements = read(sql, |sql| DFParser::parse_sql(sql))?;
    statements.into_iter().map(settled).collect()
}

/// What a text says, by `parse`; what that cannot read is written another way, or said as it was.
fn read<T>(sql: &str, parse: impl Fn(&str) -> Result<T>) -> Result<T> {
    let made = parse(sql);
    if made.is_ok() {
        return made;
    }
    let named = as_of::as_names(sql).map_err(external)?;
    let (text, made) = match &named {
        Some(text) => (text.as_str(), parse(text)),
        None => (sql, made),
    };
    match first_in_lists::as_case(text).filter(|_| made.is_err()).map(|sql| parse(&sql)) {
        Some(Ok(other)) => Ok(other),
        _ => made,
    }
}

/// A text without the mark of UTF-8 that editors of Windows put before it.
fn without_mark(sql: &str) -> &str {
    sql.strip_prefix('\u{feff}').unwrap_or(sql)
}

/// The statement in a form that can be planned.
fn settled(mut statement: Statement) -> Result<Statement> {
    let inner = match &mut statement {
        Statement::Statement(inner) => inner,
        Statement::Explain(explain) => match explain.statement.as_mut() {
            Statement::Statement(inner) => inner,
            _ => return Ok(statement),
        },
        _ => return Ok(statement),
    };
    match settle(inner)
        .map(|()| shadowed_names::rename(inner))
        .and_then(|()| relations::check(inner))
        .and_then(|()| same_names::check(inner))
        .and_then(|()| as_of::check(inner))
        .and_then(|()| orders::check(inner))
    {
        Ok(()) => Ok(statement),
        Err(error) => {
            // Taking a tree of such depth apart would need as deep a recursion.
            std::mem::forget(statement);
            Err(error)
        }
    }
}

/// Makes a parsed statement shallow, and its columns those that SQL means.
///
/// # Errors
/// Plan, as [`parse`].
fn settle(statement: &mut Sql) -> Result<()> {
    match statement.visit(&mut Settle) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Settle;

impl VisitorMut for Settle {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        patterns::fetch_as_limit(query);
        let made = brackets::open(query)
            .and_then(|()| flatten_unions(&mut query.body))
            .and_then(|()| distinct_on::ordered(query))
            .and_then(|()| merged_columns::of_query(query));
        if let Err(error) = made {
            return ControlFlow::Break(error);
        }
        literals::mark_values(&mut query.body);
        values::double_casts(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        shorthands::from_alone(select);
        names::of_select(select);
        literals::mark_columns(select);
        match merged_columns::of_select(select).and_then(|()| grouping_sets::of_select(select)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        not_last(expr);
        if let Err(error) = literals::exact(expr) {
            return ControlFlow::Break(error);
        }
        literals::mark_doubles(expr);
        coalesces::flat(expr);
        shorthands::nvl2_as_case(expr);
        shorthands::interval_of_text(expr);
        match patterns::with_backslash(expr).and_then(|()| whole_operand(expr)).and_then(|()| flatten(expr)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Reads `NOT EXISTS (…) IS NULL` as NOT (EXISTS (…) IS NULL): sqlparser takes NOT EXISTS for one word.
fn not_last(expr: &mut Expr) {
    let operand = match expr {
        Expr::BinaryOp { left, op, .. }
            if !matches!(op, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor) =>
        {
            left
        }
        Expr::IsNull(operand)
        | Expr::IsNotNull(operand)
        | Expr::IsTrue(operand)
        | Expr::IsNotTrue(operand)
        | Expr::IsFalse(operand)
        | Expr::IsNotFalse(operand)
        | Expr::IsUnknown(operand)
        | Expr::IsNotUnknown(operand)
        | Expr::IsDistinctFrom(operand, _)
        | Expr::IsNotDistinctFrom(operand, _) => operand,
        _ => return,
    };
    if let Expr::Exists { negated: negated @ true, .. } = operand.as_mut() {
        *negated = false;
        let inner = std::mem::replace(expr, nothing());
        *expr = Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(inner) };
    }
}

/// Refuses `a IS DISTINCT FROM b AND c`, which sqlparser 0.62 reads as `a IS DISTINCT FROM (b AND c)`, and SIMILAR TO, which
/// DataFusion 55 takes for a search by a regular expression.
fn whole_operand(expr: &Expr) -> Result<()> {
    if matches!(expr, Expr::BinaryOp { op: BinaryOperator::BitwiseXor, .. }) {
        return Err(plan_datafusion_err!("`^` is a power to some and XOR to others: write power(a, b)"));
    }
    if matches!(expr, Expr::SimilarTo { .. }) {
        return Err(plan_datafusion_err!(
            "SIMILAR TO is no pattern of SQL here: write LIKE, or a regular expression, s ~ '^(a|b).*$'"
        ));
    }
    let (Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right)) = expr else { return Ok(()) };
    match right.as_ref() {
        Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor, .. } => {
            Err(plan_datafusion_err!(
                "write parentheses around IS DISTINCT FROM with AND or OR beside it: (a IS DISTINCT FROM b) AND c"
            ))
        }
        _ => Ok(()),
    }
}
