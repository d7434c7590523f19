//! Tables that no file holds: the state of a job, as its SELECT shows it, and the job's views.
//!
//! Both are read by the newest committed plan, which has the texts: a lake needs no project to be read. They are made
//! anew for each statement, from the commits of that moment.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::{MemTable, ViewTable};

use super::catalog::Scope;
use crate::checkpoint::{Commit, Plan, RecordList};
use crate::decode::Decoder;
use crate::error::{Context, Error, Result};
use crate::lake::Lake;
use crate::project::{StateSpec, parse_schema};
use crate::rowwise::RowSql;
use crate::state::KeyedState;
use crate::stream;

/// The state of a job as it was after its newest batch.
pub struct StateView {
    /// What is kept.
    pub state: KeyedState,
    /// The SELECT over it.
    pub select: RowSql,
    /// The plan of that batch.
    pub plan: Plan,
}

/// Names of the state's table and the views of a job.
pub(super) fn names(lake: &Lake, schema_name: &str) -> Result<Vec<String>> {
    let Some((plan, _)) = newest_plan(lake, schema_name)? else { return Ok(Vec::new()) };
    let state = plan.state.map(|spec| spec.config.table);
    Ok(state.into_iter().chain(plan.views.into_keys()).collect())
}

/// The table of this name, if it is derived.
pub(super) async fn table(
    scope: &Scope,
    schema_name: &str,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let lake = &scope.lake;
    let Some((plan, batches)) = newest_plan(lake, schema_name)? else { return Ok(None) };
    if let Some(spec) = plan.state.clone().filter(|spec| spec.config.table == name) {
        let view = read_state(lake, schema_name, plan, &spec, batches).await?;
        let rows = view.rows().await?;
        return Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)));
    }
    let full = format!("{schema_name}.{name}");
    // A view that reads itself, by whatever way, is not there for itself.
    let Some(sql) = plan.views.get(name).filter(|_| !scope.planning.contains(&full)) else { return Ok(None) };
    let context = super::session(&scope.within(full.clone()))?;
    let plan = context.state().create_logical_plan(sql).await.context_with(|| format!("view {full}"))?;
    Ok(Some(Arc::new(ViewTable::new(plan, Some(sql.clone())))))
}

/// The state of a job; `None` if it keeps none, or has no batch yet.
///
/// # Errors
/// Storage or Corrupt: the checkpoint.
pub async fn state(lake: &Lake, schema_name: &str) -> Result<Option<StateView>> {
    let Some((plan, batches)) = newest_plan(lake, schema_name)? else { return Ok(None) };
    let Some(spec) = plan.state.clone() else { return Ok(None) };
    read_state(lake, schema_name, plan, &spec, batches).await.map(Some)
}

async fn read_state(
    lake: &Lake,
    schema_name: &str,
    plan: Plan,
    spec: &StateSpec,
    batches: u64,
) -> Result<StateView> {
    let decoder = Decoder::new(parse_schema(&plan.schema_sql)?);
    let transform = stream::transform(plan.transform_sql.as_deref(), &decoder).await?;
    let mut state = KeyedState::new(spec, transform.schema())?;
    let commits = RecordList::read_only(lake.checkpoint(schema_name).join("commits"));
    state.restore(lake, &commits, batches)?;
    let select = RowSql::new(&spec.select_sql, &spec.config.table, state.schema(), &[]);
    let select = select.await.map_err(|e| e.context(spec.config.select.clone()))?;
    Ok(StateView { state, select, plan })
}

impl StateView {
    /// All rows, by the SELECT.
    ///
    /// # Errors
    /// Data: a row that the SELECT cannot compute.
    pub async fn rows(&self) -> Result<RecordBatch> {
        let keys: Vec<u32> = (0u32..).take(self.state.len()).collect();
        let rows = self.state.rows(&keys)?;
        let now = stream::parse_now(&self.plan)?;
        self.select.run_strict(&rows, now).await.map_err(|(at, reason)| {
            let key = arrow::util::display::array_value_to_string(rows.column(0), at).unwrap_or_default();
            Error::data(reason).context(format!("the state of key `{key}`"))
        })
    }
}

/// The plan of the newest commit, and the number of batches with it.
fn newest_plan(lake: &Lake, schema_name: &str) -> Result<Option<(Plan, u64)>> {
    let checkpoint = lake.checkpoint(schema_name);
    let commits: RecordList<Commit> = RecordList::read_only(checkpoint.join("commits"));
    let plans: RecordList<Plan> = RecordList::read_only(checkpoint.join("offsets"));
    let (batches, planned) = (commits.numbers()?.end, plans.numbers()?.end);
    // A batch job commits without plans.
    match batches.checked_sub(1) {
        Some(newest) if newest < planned => Ok(Some((plans.read(newest)?, batches))),
        _ => Ok(None),
    }
}
