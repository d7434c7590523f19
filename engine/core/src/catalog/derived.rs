//! Tables that no file holds: the state of a job, as its SELECT shows it, and the job's views.
//!
//! Both are read by the newest committed plan, which has the texts: a lake needs no project to be read. They are made
//! anew for each statement, from the commits of that moment.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::{MemTable, ViewTable};

use tidemill_ml::{
    ClusterSpace, ClusterStream, ClusterStreamParams, ClusterSweep, Estimator, KMeansParams, Material, Rows,
    SilhouetteRows, StreamLearner, Target, Task,
};

use super::answers::{KeyFeatures, no_answers};
use super::schemas::Scope;
use crate::columns::check_names;
use crate::error::{Context, Error, Result};
use crate::lake::Lake;
use crate::learn::{FeatureRows, StateFeatures, outliers_of, tables};
use crate::predict::columns_of;
use crate::project::{ModelSpec, StateSpec};
use crate::records::{Learn, Ledger, ModelOutcome, Plan, RecordList};
use crate::registry::{self, Loaded, load};
use crate::rowwise::RowSql;
use crate::sql;
use crate::state::KeyedState;
use crate::table::publish::readable_path;

/// The state of a job as it was after its newest batch.
pub struct StateView {
    /// What is kept.
    pub state: KeyedState,
    /// The SELECT over it.
    pub select: RowSql,
    /// The plan of that batch.
    pub plan: Plan,
    schema_name: String,
    spec: StateSpec,
    /// The newest that was learned, of this batch or the one before.
    learned: Vec<ModelOutcome>,
}

/// Names of the state's table and the views of a job.
pub(super) fn names(lake: &Lake, schema_name: &str, ledger: &Ledger) -> Result<Vec<String>> {
    let Some((plan, _)) = newest_plan(lake, schema_name, ledger)? else { return Ok(Vec::new()) };
    let state = plan.program.state.map(|spec| spec.config.table);
    Ok(state.into_iter().chain(plan.program.views.into_keys()).collect())
}

/// What a table that no file holds is made of.
pub(crate) enum Derived {
    /// The state of a job.
    State {
        /// The records that it is as of: as long as this is the same, so is the state.
        as_of: String,
    },
    /// A view.
    View {
        /// Its SELECT.
        sql: String,
    },
}

/// What the table of this name is made of, if it is derived.
///
/// # Errors
/// Storage or Corrupt: the checkpoint.
pub(crate) fn derived(lake: &Lake, schema_name: &str, name: &str) -> Result<Option<Derived>> {
    let ledger = Ledger::of(lake, schema_name)?;
    let Some((plan, batches)) = newest_plan(lake, schema_name, &ledger)? else { return Ok(None) };
    if plan.program.state.is_some_and(|spec| spec.config.table == name) {
        // Its clusters are by the models of the newest learn record.
        let learned = ledger.learned();
        let as_of = format!("{} {batches} {learned}", plan.query_id);
        return Ok(Some(Derived::State { as_of }));
    }
    Ok(plan.program.views.get(name).map(|sql| Derived::View { sql: sql.clone() }))
}

/// The table of this name, if it is derived.
pub(super) async fn table(
    scope: &Scope,
    schema_name: &str,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>> {
    let lake = &scope.lake;
    // The one of all tables of the statement.
    let ledger = scope.ledger(schema_name)?;
    let Some((plan, batches)) = newest_plan(lake, schema_name, &ledger)? else { return Ok(None) };
    if let Some(spec) = plan.program.state.clone().filter(|spec| spec.config.table == name) {
        let view = read_state(lake, schema_name, plan, &spec, (batches, ledger.learned())).await?;
        let rows = view.rows(lake).await?;
        return Ok(Some(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)));
    }
    let full = format!("{schema_name}.{name}");
    // A view that reads itself, by whatever way, is not there for itself.
    let Some(sql) = plan.program.views.get(name).filter(|_| !scope.planning.contains(&full)) else {
        return Ok(None);
    };
    let context = super::session(&scope.within(full.clone()))?;
    let state = context.state();
    let plan = sql::deep(sql::plan(&state, sql)).await.context_with(|| format!("view {full}"))?;
    check_names(plan.schema()).context_with(|| format!("view {full}"))?;
    let plan = sql::settled(&state, plan).await.context_with(|| format!("view {full}"))?;
    Ok(Some(Arc::new(ViewTable::new(plan, Some(sql.clone())))))
}

/// The state of a job; `None` if it keeps none, or has no batch yet.
///
/// # Errors
/// Storage or Corrupt: the checkpoint.
pub async fn state(lake: &Lake, schema_name: &str) -> Result<Option<StateView>> {
    let ledger = Ledger::of(lake, schema_name)?;
    let Some((plan, batches)) = newest_plan(lake, schema_name, &ledger)? else { return Ok(None) };
    let Some(spec) = plan.program.state.clone() else { return Ok(None) };
    read_state(lake, schema_name, plan, &spec, (batches, ledger.learned())).await.map(Some)
}

/// The state after so many batches, with the models of so many learn records.
async fn read_state(
    lake: &Lake,
    schema_name: &str,
    plan: Plan,
    spec: &StateSpec,
    (batches, learned): (u64, u64),
) -> Result<StateView> {
    let columns = columns_of(lake, schema_name, &plan).await?;
    let mut state = KeyedState::new(spec, &columns)?;
    let commits = RecordList::read_only(lake.checkpoint(schema_name).join("commits"));
    state.restore(lake, &commits, batches)?;
    let select = RowSql::new(&spec.select_sql, &spec.config.table, state.schema(), &[]);
    let select = select.await.map_err(|e| e.context(spec.config.select.clone()))?;
    let learn: RecordList<Learn> = RecordList::read_only(lake.checkpoint(schema_name).join("learn"));
    let learned = learned.checked_sub(1).map(|newest| learn.read(newest)).transpose()?;
    let learned = learned.map_or_else(Vec::new, |record| record.models);
    Ok(StateView { state, select, plan, schema_name: schema_name.to_owned(), spec: spec.clone(), learned })
}

impl StateView {
    /// All rows, by the SELECT, and what each model says of them: see `answers.rs`.
    ///
    /// # Errors
    /// Data: a row that the SELECT cannot compute; Storage or Corrupt: a model file.
    pub async fn rows(&self, lake: &Lake) -> Result<RecordBatch> {
        let keys: Vec<u32> = (0u32..).take(self.state.len()).collect();
        let rows = self.state.rows(&keys)?;
        let now = self.plan.moment()?;
        let selected = self.select.run_strict(&rows, now).await.map_err(|(at, reason)| {
            let key = arrow::util::display::array_value_to_string(rows.column(0), at).unwrap_or_default();
            Error::data(reason).context(format!("the state of key `{key}`"))
        })?;
        let key = cast(column(&selected, &self.spec.config.key)?, &DataType::Utf8)?;
        let of_rows = key.as_string::<i32>();
        let mut fields: Vec<Field> = selected.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        let mut columns = selected.columns().to_vec();
        // Models that share their features are given them once.
        let mut features: HashMap<&str, KeyFeatures> = HashMap::new();
        for model in &self.plan.program.models {
            let answers = match self.newest(lake, model)? {
                None => no_answers(model, of_rows.len()),
                Some(loaded) => {
                    let of = match features.entry(model.features_sql.as_str()) {
                        Entry::Occupied(there) => there.into_mut(),
                        Entry::Vacant(place) => {
                            let features = StateFeatures::new(&self.spec, model, &self.state).await?;
                            let rows = features.select(&self.state, &keys, now).await?;
                            let keys = features.keys(&rows)?;
                            place.insert(KeyFeatures::new(rows, &keys))
                        }
                    };
                    of.answers(model, loaded, of_rows)?
                }
            };
            for (field, values) in answers {
                fields.push(field);
                columns.push(values);
            }
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    /// The features of all keys for a model, as it learns from them.
    ///
    /// # Errors
    /// User or Data: the features SELECT.
    async fn features(&self, model: &ModelSpec) -> Result<FeatureRows> {
        let keys: Vec<u32> = (0u32..).take(self.state.len()).collect();
        let features = StateFeatures::new(&self.spec, model, &self.state).await?;
        features.of(&self.state, &keys, self.plan.moment()?).await
    }

    /// K-means of each number of clusters on the features of all keys, capped and standardised by all of them.
    ///
    /// # Errors
    /// User: a model that is no clustering; Data: too few keys.
    pub async fn sweep(&self, model: &ModelSpec, clusters: RangeInclusive<u32>) -> Result<ClusterSweep> {
        let Estimator::ClusterStream(ClusterStreamParams { outliers, .. }) =
            model.config.training(Material::State)?.estimator
        else {
            return Err(Error::user(format!("model `{}` has no clusters", model.config.name)));
        };
        let rows = self.features(model).await?.table;
        let all: Vec<u32> = (0u32..).take(rows.rows()).collect();
        let kmeans = KMeansParams { clusters: *clusters.start(), ..KMeansParams::default() };
        let params = ClusterStreamParams {
            learner: StreamLearner::Kmeans(kmeans),
            outliers,
            ..ClusterStreamParams::default()
        };
        let mut whole = ClusterStream::new(params, rows.numeric_names().to_vec())?;
        whole.partial_fit(&rows, &all, model.config.seed)?;
        Ok(whole.sweep(&rows, &all, clusters, SilhouetteRows::default(), model.config.seed)?)
    }

    /// What the newest model of a clustering is worth on all keys, in the space of these: a row as of `system.metrics`,
    /// evaluation `exact`, or none if it has not learned. The time of the silhouette grows with the square of the keys.
    ///
    /// # Errors
    /// User or Data: the features SELECT; Storage or Corrupt: the model file.
    pub async fn exact_metrics(&self, lake: &Lake, job: &str, model: &ModelSpec) -> Result<RecordBatch> {
        let name = model.config.name.clone();
        let mut scored = Vec::new();
        if let Some(Loaded { model: clusters, entry }) = self.newest(lake, model)?
            && clusters.task() == Task::Cluster
        {
            let rows = self.features(model).await?.table;
            let all: Vec<u32> = (0u32..).take(rows.rows()).collect();
            let space = ClusterSpace::of(&rows, &all, outliers_of(&self.plan.program.models, model)?)?;
            let rows = Rows::new(&rows, Target::None, &all);
            let seed = model.config.seed;
            let scores = tokio::task::block_in_place(|| clusters.score_in(&space, &rows, seed));
            scored.extend(scores.ok().map(|scores| (name, Some(entry.version), scores)));
        }
        tables::exact_metrics(job, self.state.batches().saturating_sub(1), &scored)
    }

    /// The version of a model that is in use, if it has learned.
    fn newest(&self, lake: &Lake, model: &ModelSpec) -> Result<Option<Loaded>> {
        let outcome = self.learned.iter().find(|outcome| outcome.name == model.config.name);
        let Some((outcome, file)) = outcome.and_then(|o| Some((o, o.file.as_ref()?))) else {
            return Ok(None);
        };
        // Fewer versions of a model stay than batches of a state as it was.
        if lake.is_past() && !readable_path(lake, file).is_file() {
            tracing::warn!(
                "model `{}` of {} as it was is gone, {} was removed since: there are no answers of it",
                outcome.name,
                self.schema_name,
                file.path
            );
            return Ok(None);
        }
        // One that another version of Tidemill wrote is trained anew by the next batch.
        let Ok(fitted) = load(lake, &outcome.name, file)? else { return Ok(None) };
        let (job, version) = (self.schema_name.clone(), outcome.version.unwrap_or_default());
        let entry = registry::Entry { job, version, file: file.clone(), outcome: outcome.clone() };
        Ok(Some(Loaded { model: fitted, entry }))
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name)
        .ok_or_else(|| Error::user(format!("the state's SELECT does not give its key `{name}`")))
}

/// The plan of the newest commit, and the number of batches with it.
fn newest_plan(lake: &Lake, schema_name: &str, ledger: &Ledger) -> Result<Option<(Plan, u64)>> {
    let plans: RecordList<Plan> = RecordList::read_only(lake.checkpoint(schema_name).join("offsets"));
    let batches = ledger.commits();
    // A batch job commits without plans.
    match batches.checked_sub(1) {
        Some(newest) if plans.has(newest) => Ok(Some((plans.read(newest)?, batches))),
        _ => Ok(None),
    }
}
