//! Learning from new rows alone: what the single types learn from batch to batch, and no row of an earlier one.

// The lints' leave for tests ends at `#[test]`, and helpers stand outside of it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod binary;

use ndarray::{Array2, Axis};
use serde_json::json;
use tidemill_ml::preprocess::{Imputer, IqrOutliers, StandardScaler, TargetEncoder};
use tidemill_ml::{
    Algorithm, Cache, Classifier, Error, Estimator, FeatureTable, Fitted, Material, Pipeline, PipelineStep,
    RandomForestParams, Rows, SgdClassifierParams, SupervisedParams, Target,
};

const ROWS: u32 = 300;

/// A batch: two numbers, the first with outliers and the second with gaps, a text, and a label that depends on all.
struct Batch {
    x: Array2<f64>,
    kinds: Vec<Option<String>>,
    labels: Vec<bool>,
}

impl Batch {
    fn of(number: u32) -> Batch {
        let x = |row: u32| if row % 50 == 49 { 5_000.0 } else { f64::from(row * 37 % 101 + number) };
        let y = |row: u32| if row % 9 == 4 { f64::NAN } else { f64::from(row * 53 % 89) };
        let of = |row: u32| row + number * 1_009;
        Batch {
            x: Array2::from_shape_fn((ROWS as usize, 2), |(row, c)| match c {
                0 => x(of(row as u32)),
                _ => y(of(row as u32)),
            }),
            kinds: (0..ROWS)
                .map(|row| (row % 11 != 7).then(|| format!("kind {}", row % 5 + number / 3)))
                .collect(),
            labels: (0..ROWS).map(|row| of(row) * 37 % 101 + 20 * (row % 5) > 85).collect(),
        }
    }

    fn kinds(&self) -> Vec<Option<&str>> {
        self.kinds.iter().map(Option::as_deref).collect()
    }

    /// The numbers, and the text where it is taken.
    fn table(&self, with_text: bool) -> FeatureTable {
        let text = if with_text { vec!["kind".to_owned()] } else { vec![] };
        let mut table = FeatureTable::new(vec!["x".into(), "y".into()], text);
        for c in 0..2 {
            table.push_numeric(c, self.x.column(c).iter().copied());
        }
        if with_text {
            table.push_category(0, self.kinds());
        }
        table.finish_append().unwrap();
        table
    }
}

fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

fn of_columns(names: &[&str], columns: &[Vec<f64>]) -> FeatureTable {
    let mut table = FeatureTable::new(names.iter().map(|name| (*name).to_owned()).collect(), vec![]);
    columns.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
    table.finish_append().unwrap();
    table
}

fn steps(written: serde_json::Value) -> Vec<PipelineStep> {
    PipelineStep::read_all(written.as_array().unwrap()).unwrap()
}

fn sgd() -> SgdClassifierParams {
    SgdClassifierParams::default()
}

#[test]
fn steps_and_the_model_after_them_learn_on_as_each_alone_does() {
    let written = json!(["impute", { "step": "drop", "columns": ["x"] }, "standard"]);
    let online = Estimator::from(Pipeline::new(steps(written), sgd()));
    assert!(online.learns_online());
    let params = SupervisedParams::SgdClassifier(sgd());
    let mut found: Option<Fitted> = None;
    let mut alone: Option<(Imputer, IqrOutliers, StandardScaler, Classifier)> = None;
    for number in 0..4 {
        let batch = Batch::of(number);
        let table = batch.table(false);
        let rows = all(&table);
        let learn = Rows::new(&table, Target::Binary(&batch.labels), &rows);
        found = Some(online.partial_fit(&learn, 7, found.as_ref()).unwrap());

        let before = alone.as_ref();
        let x = batch.x.view();
        let imputer =
            before.map_or_else(|| Imputer::fit(Default::default(), x), |(of, ..)| of.partial_fit(x));
        let imputer = imputer.unwrap();
        let x = imputer.transform(x).unwrap();
        let drop = serde_json::from_value(json!({ "action": "drop" })).unwrap();
        let first = x.select(Axis(1), &[0]);
        let fences = match before {
            Some((_, of, ..)) => of.partial_fit(first.view()),
            None => IqrOutliers::fit(drop, first.view()),
        };
        let fences = fences.unwrap();
        let inliers = fences.inliers(first.view()).unwrap();
        let kept: Vec<usize> = (0..inliers.len()).filter(|&row| inliers[row]).collect();
        assert!(kept.len() < inliers.len() && kept.len() > 280);
        let x = x.select(Axis(0), &kept);
        let scaler = match before {
            Some((_, _, of, _)) => of.partial_fit(x.view()),
            None => StandardScaler::fit(Default::default(), x.view()),
        };
        let scaler = scaler.unwrap();
        let x = scaler.transform(x.view()).unwrap();
        let table = of_columns(&["x", "y"], &[x.column(0).to_vec(), x.column(1).to_vec()]);
        let labels: Vec<bool> = kept.iter().map(|&row| batch.labels[row]).collect();
        let rows = all(&table);
        let model = match before {
            Some((.., of)) => binary::partial_fit(of, &table, &labels, &rows, 7),
            None => binary::fit(&params, &table, &labels, &rows, 7, None),
        };
        alone = Some((imputer, fences, scaler, model.unwrap()));
    }
    let Some(Fitted::Pipeline(found)) = found else { panic!("a pipeline") };
    assert_eq!(found.model(), &Fitted::Classifier(alone.unwrap().3));
}

#[test]
fn a_target_encoder_knows_the_rows_before_and_not_those_that_it_encodes() {
    let online = Estimator::from(Pipeline::new(steps(json!(["target"])), sgd()));
    let (first, second) = (Batch::of(0), Batch::of(4));
    let (before, table) = (first.table(true), second.table(true));
    let rows = all(&table);
    let model =
        online.partial_fit(&Rows::new(&before, Target::Binary(&first.labels), &rows), 7, None).unwrap();
    let learn = Rows::new(&table, Target::Binary(&second.labels), &rows);
    let found = online.partial_fit(&learn, 8, Some(&model)).unwrap();

    let encoder = TargetEncoder::fit(Default::default(), &first.kinds(), &first.labels).unwrap();
    let encoded = |encoder: &TargetEncoder| {
        let shares = encoder.transform(&second.kinds());
        of_columns(&["x", "y", "kind"], &[second.x.column(0).to_vec(), second.x.column(1).to_vec(), shares])
    };
    let (Fitted::Pipeline(model), Fitted::Pipeline(found)) = (&model, &found) else { panic!("pipelines") };
    let by_before = encoded(&encoder);
    let expected = model.model().partial_fit(&Rows { table: &by_before, ..learn }, 8).unwrap();
    assert_eq!(found.model(), &expected);
    // What is scored has the shares of all rows so far.
    let encoder = encoder.partial_fit(&second.kinds(), &second.labels).unwrap();
    let expected = expected.predict(&encoded(&encoder), &rows).unwrap();
    assert_eq!(Fitted::Pipeline(found.clone()).predict(&table, &rows).unwrap(), expected);
}

#[test]
fn clusters_of_batches_go_on_behind_steps() {
    let clusters = Algorithm::MinibatchKmeans.read(Material::State, json!({ "clusters": 3 })).unwrap();
    let pipeline = Estimator::from(Pipeline::new(steps(json!(["impute", "standard"])), clusters.clone()));
    let (mut online, mut refitted): (Option<Fitted>, Option<Fitted>) = (None, None);
    for number in 0..3 {
        let table = Batch::of(number).table(false);
        let rows = all(&table);
        let learn = Rows::new(&table, Target::None, &rows);
        online = Some(pipeline.partial_fit(&learn, 7, online.as_ref()).unwrap());
        refitted = Some(pipeline.refit(&learn, 7, refitted.as_ref(), &mut Cache::new()).unwrap());
        assert_eq!(online, refitted);
    }
    assert!(online.unwrap().training_rows() > u64::from(2 * ROWS));
    // Clusters see each row once, and so does what is before them.
    let pca = Estimator::from(Pipeline::new(steps(json!(["impute", "pca"])), clusters));
    let error = pca.validate().unwrap_err();
    assert!(error.to_string().starts_with("step 2 (`pca`): pca cannot learn from new rows alone"), "{error}");
}

#[test]
fn what_cannot_learn_on_says_so_before_it_learns() {
    let batch = Batch::of(0);
    let (table, with_text) = (batch.table(false), batch.table(true));
    let rows = all(&table);
    let forest = Estimator::from(RandomForestParams::default());
    let binary = Target::Binary(&batch.labels);
    let error = forest.partial_fit(&Rows::new(&table, binary, &rows), 7, None).unwrap_err();
    assert_eq!(error, Error::NoPartialFit { what: "random_forest", why: "fit it on all rows" });
    for (written, number, name) in [
        (json!(["standard", { "step": "impute", "strategy": "most_frequent" }]), 2, "impute"),
        (json!(["one_hot"]), 1, "one_hot"),
        (json!(["impute", "pca"]), 2, "pca"),
        (json!(["isolation_forest"]), 1, "isolation_forest"),
    ] {
        let pipeline = Estimator::from(Pipeline::new(steps(written), sgd()));
        assert!(!pipeline.learns_online());
        let error = pipeline.partial_fit(&Rows::new(&with_text, binary, &rows), 7, None).unwrap_err();
        let begins = format!("step {number} (`{name}`): {name} cannot learn from new rows alone: ");
        assert!(error.to_string().starts_with(&begins), "{error}");
    }
    let of_forest = Estimator::from(Pipeline::new(steps(json!(["standard"])), RandomForestParams::default()));
    assert!(!of_forest.learns_online());
}

#[test]
fn other_settings_and_columns_begin_anew_and_the_same_go_on() {
    let (first, second) = (Batch::of(0), Batch::of(1));
    let (before, table) = (first.table(false), second.table(false));
    let rows = all(&table);
    let old = Rows::new(&before, Target::Binary(&first.labels), &rows);
    let new = Rows::new(&table, Target::Binary(&second.labels), &rows);
    let of = |written, params| Estimator::from(Pipeline::new(steps(written), params));
    let same = of(json!([{ "step": "cap", "reach": 1.5 }]), sgd());
    let model = same.partial_fit(&old, 7, None).unwrap();
    assert_eq!(same.partial_fit(&new, 7, Some(&model)).unwrap(), model.partial_fit(&new, 7).unwrap());
    for other in [
        of(json!([{ "step": "cap", "reach": 2.0 }]), sgd()),
        of(json!([{ "step": "drop", "reach": 1.5 }]), sgd()),
        of(json!([{ "step": "cap", "columns": ["x"] }]), sgd()),
        of(json!(["cap", "standard"]), sgd()),
        of(json!([{ "step": "cap", "reach": 1.5 }]), SgdClassifierParams { epochs: 7, ..sgd() }),
        sgd().into(),
    ] {
        let anew = other.partial_fit(&new, 7, Some(&model)).unwrap();
        assert_eq!(anew, other.fit(&new, 7).unwrap());
        assert!(anew.training_rows() <= u64::from(ROWS));
    }
    // A step that took some columns and now takes all is another one; all of them by their names are the same.
    let of_x = of(json!([{ "step": "cap", "columns": ["x"] }]), sgd());
    let of_all = of(json!(["cap"]), sgd());
    let of_names = of(json!([{ "step": "cap", "columns": old.table.numeric_names() }]), sgd());
    let model_of_x = of_x.partial_fit(&old, 7, None).unwrap();
    assert_eq!(of_all.partial_fit(&new, 7, Some(&model_of_x)).unwrap(), of_all.fit(&new, 7).unwrap());
    let model_of_all = of_all.partial_fit(&old, 7, None).unwrap();
    for same in [&of_all, &of_names] {
        let on = same.partial_fit(&new, 7, Some(&model_of_all)).unwrap();
        assert_eq!(on, model_of_all.partial_fit(&new, 7).unwrap());
    }
    let with_text = second.table(true);
    let more = Rows { table: &with_text, ..new };
    assert_eq!(same.partial_fit(&more, 7, Some(&model)).unwrap(), same.fit(&more, 7).unwrap());
    // Without steps it is the estimator alone; of one class a later batch may be.
    let (bare, alone) = (of(json!([]), sgd()), Estimator::from(sgd()));
    let (bare_model, model) = (bare.fit(&old, 7).unwrap(), alone.fit(&old, 7).unwrap());
    let one_class = vec![true; ROWS as usize];
    let later = Rows { target: Target::Binary(&one_class), ..new };
    let bare_model = bare.partial_fit(&later, 7, Some(&bare_model)).unwrap();
    let Fitted::Pipeline(found) = &bare_model else { panic!("a pipeline") };
    assert_eq!(found.model(), &alone.partial_fit(&later, 7, Some(&model)).unwrap());
    assert!(matches!(alone.partial_fit(&later, 7, None), Err(Error::OneClass { .. })));
}
