//! A model of a batch job: all rows of its SELECT are there at once, and each version is trained on them from nothing.
//!
//! ```text
//! rows, by key ─┬─ without a label: predicted, not learned
//!               ├─ held out (a hash of what the row is): never trained on ──> holdout, and what a gate compares on
//!               └─ the others ──> train ──> model
//!                       └─ fold by fold: trained on the others of them, scored on the fold ──> folds
//! ```
//!
//! The version in use, gates and pins are those of a stream ([`super::champions`]), with the number of the model's step where
//! a stream has that of its batch. A gate does not ask a version in use that would be scored on rows that it has learned, as
//! they are held out since, nor one that the tables cannot ask any more: the new one is taken up as a first one is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use tidemill_ml::{Cache, FeatureTable, Fitted, Material, Rows, Task};

use super::champions::{Champion, Champions, told};
use super::labels::Labels;
use super::learner::Learned;
use super::lesson::{Anew, Begins, Lesson, Step, Train};
use super::{split, steps};
use crate::error::{Error, Result};
use crate::features::FeatureColumns;
use crate::lake::Lake;
use crate::project::{ModelSpec, Over};
use crate::records::{Before, Evaluation, Learn, ModelOutcome, ModelStatus};
use crate::registry::{Aliases, At, Registry};

/// Rows as features, labels, and sides of the split.
pub(crate) struct WholeRows {
    /// Columns of the SELECT.
    schema: SchemaRef,
    pub(super) features: FeatureTable,
    pub(super) labels: Labels,
    /// Of each row of the SELECT: whether it is held out, and its fold. Both of rows that have a label, where one is wanted.
    pub(crate) sides: Vec<Option<Side>>,
    pub(super) training: Vec<u32>,
    holdout: Vec<u32>,
    /// By fold: rows of `features`.
    pub(super) folds: Vec<Vec<u32>>,
}

/// The side of the split that a row is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// No model is trained on it.
    HeldOut,
    /// It is trained on; of folds its number.
    Training(u32),
}

/// The columns of a model's rows.
struct WholeColumns {
    features: FeatureColumns,
    label: Option<usize>,
    holdout_key: Vec<usize>,
}

impl WholeColumns {
    /// Finds them among those of the features SELECT; `key` are no features.
    ///
    /// # Errors
    /// User: one is not there, or of a type that it cannot be.
    fn new(schema: &Schema, spec: &ModelSpec, key: &[String]) -> Result<WholeColumns> {
        for name in key {
            split::column(schema, name).map_err(|error| error.context("key"))?;
        }
        let config = &spec.config;
        let label = config.label.as_deref().map(|name| split::column(schema, name)).transpose()?;
        let holdout_key = match config.evaluate.holdout_key.as_slice() {
            names if names == key => split::places(schema, names)?,
            names => split::places(schema, names).map_err(|error| error.context("evaluate.holdout_key"))?,
        };
        let is_feature =
            |at: usize, name: &str| Some(at) != label && !key.iter().any(|column| column == name);
        let features = match config.task() {
            // Steps may make numbers of texts.
            Task::Cluster if config.steps.is_empty() => FeatureColumns::of_numbers(schema, is_feature)?,
            _ => FeatureColumns::of(schema, is_feature)?,
        };
        Ok(WholeColumns { features, label, holdout_key })
    }
}

impl WholeRows {
    /// Takes in all rows, which are in the order of their key.
    ///
    /// # Errors
    /// User: a label that cannot be one, a column that a step names and that is not there; Data: no row has a label, or one
    /// cannot be learned.
    pub(crate) fn new(
        rows: &RecordBatch,
        spec: &ModelSpec,
        key: &[String],
        folds: Option<u32>,
    ) -> Result<WholeRows> {
        let schema = rows.schema();
        let columns = WholeColumns::new(&schema, spec, key)?;
        steps::check(spec, &columns.features.table())?;
        let config = &spec.config;
        if rows.num_rows() == 0 {
            return Err(Error::data("there is no row to learn from"));
        }
        let (labels, keep) = match columns.label {
            None => (Labels::None, None),
            Some(label) => {
                let field = schema.field(label);
                let name = field.name();
                let form = config.target_form().ok_or_else(|| Error::internal("a label without a form"))?;
                let mut labels = Labels::new(name, field.data_type(), &form)?;
                let (keep, counts) = labels.take(rows.column(label))?;
                if let Some(refusal) = counts.refusal(name) {
                    return Err(Error::data(refusal));
                }
                if keep.true_count() == 0 {
                    let what = format!("the label `{name}` is null in all of {} rows", rows.num_rows());
                    return Err(Error::data(what));
                }
                (labels, Some(keep))
            }
        };
        let mut features = columns.features.table();
        match &keep {
            Some(keep) if keep.true_count() < rows.num_rows() => {
                columns.features.append(&filter_record_batch(rows, keep)?, &mut features)?;
            }
            _ => columns.features.append(rows, &mut features)?,
        }
        let hashes = split::hashes(rows, &columns.holdout_key)?;
        let classes = labels.numbers();
        let sides = sides(&hashes, keep.as_ref(), config.evaluate.holdout, folds, &classes);
        let mut all = WholeRows {
            schema,
            features,
            labels,
            training: Vec::new(),
            holdout: Vec::new(),
            folds: vec![Vec::new(); folds.map_or(0, |folds| folds as usize)],
            sides,
        };
        for (row, side) in (0u32..).zip(all.sides.iter().flatten()) {
            match side {
                Side::HeldOut => all.holdout.push(row),
                Side::Training(fold) => {
                    all.training.push(row);
                    if let Some(fold) = all.folds.get_mut(*fold as usize) {
                        fold.push(row);
                    }
                }
            }
        }
        all.labels.settle(&all.training);
        Ok(all)
    }

    /// A version trained on them.
    ///
    /// # Errors
    /// User: the settings; Data: they cannot be learned from.
    pub(crate) fn fitted(&self, spec: &ModelSpec) -> Result<Fitted> {
        let estimator = spec.config.training(Material::Rows)?.estimator;
        Ok(estimator.fit(&self.rows_of_training(&self.training), spec.config.seed)?)
    }

    fn rows<'a>(&'a self, rows: &'a [u32]) -> Rows<'a> {
        Rows::new(&self.features, self.labels.target(), rows)
    }

    /// Rows to train on.
    pub(super) fn rows_of_training<'a>(&'a self, rows: &'a [u32]) -> Rows<'a> {
        Rows::new(&self.features, self.labels.target_of_training(), rows)
    }
}

/// The side of each row. Rows of one hash are on one side, and in one fold; folds have as many hashes each, about, and of each
/// class as many. `classes` are those of the rows that are kept; none where there are no classes.
fn sides(
    hashes: &[u64],
    keep: Option<&BooleanArray>,
    holdout: f64,
    folds: Option<u32>,
    classes: &[u32],
) -> Vec<Option<Side>> {
    let is_kept = |row: usize| keep.is_none_or(|keep| keep.value(row));
    let held_out = |hash: u64| holdout > 0.0 && split::is_held_out(hash, holdout);
    let mut fold_of: HashMap<u64, u32> = HashMap::new();
    if let Some(folds) = folds {
        let kept = (0..hashes.len()).filter(|&row| is_kept(row)).map(|row| hashes[row]);
        let of_class = (0..).map(|at: usize| classes.get(at).copied().unwrap_or_default());
        let mut order: Vec<(u64, u32)> = kept.zip(of_class).filter(|(hash, _)| !held_out(*hash)).collect();
        // Of rows of one hash the least class counts.
        order.sort_unstable();
        order.dedup_by_key(|(hash, _)| *hash);
        // Class by class around the folds: each has its share of the rarest too.
        order.sort_by_key(|&(hash, class)| (class, hash));
        fold_of = order.into_iter().map(|(hash, _)| hash).zip((0..folds).cycle()).collect();
    }
    let side = |row: usize| {
        let hash = hashes[row];
        is_kept(row).then(|| match held_out(hash) {
            true => Side::HeldOut,
            false => Side::Training(fold_of.get(&hash).copied().unwrap_or_default()),
        })
    };
    (0..hashes.len()).map(side).collect()
}

/// A step of a model.
pub(crate) struct Whole<'a> {
    pub(crate) lake: &'a Lake,
    pub(crate) schema_name: &'a str,
    /// Its number, which a version that is trained has too.
    pub(crate) number: u64,
    pub(crate) spec: &'a ModelSpec,
    /// The model after the step before.
    pub(crate) former: Option<&'a ModelOutcome>,
    pub(crate) aliases: &'a Aliases,
    /// Whether a version is trained; else the one in use is only scored again.
    pub(crate) trains: bool,
}

impl Whole<'_> {
    /// Takes the step: the version that is in use after it, and what there is to record. Files are staged.
    ///
    /// # Errors
    /// Data: the rows cannot be learned from; Storage; Corrupt.
    pub(crate) fn learn(&self, rows: &WholeRows) -> Result<(Learned, Arc<Fitted>)> {
        let Whole { lake, number, spec, .. } = *self;
        let specs = std::slice::from_ref(spec);
        let mut champions = Champions::new(self.schema_name);
        if let Some(former) = self.former {
            // The models of a stream are of one record; this one is alone in it.
            let record = Learn {
                batch_id: number,
                query_id: String::new(),
                before: Before::default(),
                steps: Default::default(),
                models: vec![former.clone()],
                added: Vec::new(),
                made_by: None,
            };
            champions.restore(lake, &record)?;
        }
        let promoted = champions.pin(lake, number, specs, self.aliases)?;
        let estimator = spec.config.training(Material::Rows)?.estimator;
        let (evaluation, scored) = match &spec.config.label {
            None if rows.holdout.is_empty() => (Evaluation::Sample, &rows.training),
            _ => (Evaluation::Holdout, &rows.holdout),
        };
        let train = || Train {
            estimator: estimator.clone(),
            rows: rows.rows_of_training(&rows.training),
            classes: rows.labels.classes_of_training(),
            // A version is of these rows alone, whatever was before it.
            begins: Begins::Anew,
            seed: spec.config.seed,
        };
        let lesson = Lesson {
            train: Ok(self.trains.then(train)),
            prequential: None,
            score: (!scored.is_empty()).then(|| (evaluation, rows.rows(scored))),
            space: None,
            train_rows: rows.training.len() as u64,
            classes: rows.labels.classes(),
            rows_cache: None,
        };
        let mut step = lesson.learn(number, spec, champions.known(spec), &mut Cache::new());
        if let Some(reason) = step.reason {
            return Err(Error::data(reason));
        }
        if let Some(champion) = champions.get(&spec.config.name) {
            self.look_at(champion, rows, &mut step)?;
        }
        let (folds, without) = match self.trains && !rows.folds.is_empty() {
            true => rows.cross_validated(&estimator, spec.config.seed)?,
            false => (None, None),
        };
        let mut learned = champions.take_up(lake, number, specs, vec![step], promoted)?;
        for outcome in &mut learned.outcomes {
            outcome.folds = match outcome.status {
                ModelStatus::Trained => {
                    outcome.reason = told([outcome.reason.take(), without.clone()]);
                    folds.clone()
                }
                _ => self.former.filter(|of| of.version == outcome.version).and_then(|of| of.folds.clone()),
            };
        }
        let champion = champions.get(&spec.config.name);
        let model = champion.map(|champion| champion.model.clone());
        Ok((learned, model.ok_or_else(|| Error::internal("a step that leaves no model"))?))
    }

    /// Whether the version in use can be asked about these rows, and be compared on those that are held out now.
    ///
    /// # Errors
    /// Storage or Corrupt: how it was made.
    fn look_at(&self, champion: &Champion, rows: &WholeRows, step: &mut Step) -> Result<()> {
        let Whole { lake, schema_name, spec, .. } = *self;
        let (config, model, version) = (&spec.config, &champion.model, champion.version);
        let (numeric, categorical) = (model.numeric_names(), model.categorical_names());
        if model.task() != config.task() {
            let reason = format!("version {version}, which was in use, is a model of another task");
            step.anew = Some(Anew { why: "task", reason });
        } else if let Err(error) = FeatureColumns::named(&rows.schema, numeric, categorical) {
            let reason = format!("version {version}, which was in use, cannot be asked: {error}");
            step.anew = Some(Anew { why: "features", reason });
        } else if (step.champion_scores.is_some() || step.alone.is_some()) && !rows.holdout.is_empty() {
            let registry = Registry::open(lake, schema_name)?;
            let made = registry.spec(&registry.find(&config.name, &At::Version(version))?)?;
            let (then, now) = (&made.config.evaluate, &config.evaluate);
            if then.holdout_key == now.holdout_key && then.holdout >= now.holdout {
                return Ok(());
            }
            // What it would be worth there is more than on rows that are new to it.
            step.compare_no_more(Evaluation::Holdout);
            let reason = format!(
                "version {version} was trained with another split (holdout {} by {}): it has learned rows that are held out now",
                then.holdout,
                then.holdout_key.join(", ")
            );
            step.incomparable = Some(reason.clone());
            let is_asked = config.gate.as_ref().is_some_and(|gate| gate.over == Over::Champion);
            step.anew = is_asked.then_some(Anew { why: "split", reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_hash_is_on_one_side_and_folds_are_of_a_size() {
        // Spread over all of u64, each there twice.
        let hashes: Vec<u64> = (0..1_000u64).map(|i| (i / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let keep: BooleanArray = (0..1_000).map(|i| Some(i % 10 < 8)).collect();
        let sides = sides(&hashes, Some(&keep), 0.25, Some(5), &[]);
        assert!((0..1_000).all(|row| sides[row].is_some() == keep.value(row)));
        let held_out = sides.iter().filter(|side| **side == Some(Side::HeldOut)).count();
        assert!((150..250).contains(&held_out), "{held_out} of 800");
        let mut by_hash: HashMap<u64, Side> = HashMap::new();
        for (hash, side) in hashes.iter().zip(&sides) {
            if let Some(side) = side {
                assert_eq!(by_hash.insert(*hash, *side).unwrap_or(*side), *side);
            }
        }
        let fold = |of: u32| by_hash.values().filter(|side| **side == Side::Training(of)).count();
        let sizes: Vec<usize> = (0..5).map(fold).collect();
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
    }

    #[test]
    fn each_class_is_in_as_many_folds_as_it_has_hashes() {
        let hashes: Vec<u64> = (0..400u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        // Two rows of class 2, five of class 1.
        let classes: Vec<u32> =
            (0..400).map(|i| if i % 200 == 7 { 2 } else { u32::from(i % 80 == 3) }).collect();
        let sides = sides(&hashes, None, 0.0, Some(5), &classes);
        let folds = |class: u32| {
            let of = sides.iter().zip(&classes).filter(|(_, of)| **of == class);
            let folds = of.map(|(side, _)| match side {
                Some(Side::Training(fold)) => *fold,
                other => panic!("{other:?}"),
            });
            folds.collect::<BTreeSet<u32>>().len()
        };
        assert_eq!([folds(0), folds(1), folds(2)], [5, 5, 2]);
    }
}
