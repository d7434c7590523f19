//! Tables, values, weights and settings at their ends, and threads.

use proptest::prelude::*;
use std::sync::OnceLock;
use tidemill_ml::{
    Categories, ClassWeight, DecisionTreeParams, FeatureTable, GradientBoostingParams, LearningRate,
    LinearCategories, LogisticBackend, LogisticRegressionParams, RandomForestParams, SgdClassifierParams,
    SgdPenalty, SupervisedParams,
};

pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

pub fn all(table: &FeatureTable) -> Vec<u32> {
    (0..table.rows() as u32).collect()
}

pub fn numeric_table(columns: &[Vec<f64>]) -> FeatureTable {
    let mut table = FeatureTable::new(names("x", columns.len()), vec![]);
    columns.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
    table.finish_append().unwrap();
    table
}

/// What a case is about.
#[derive(Debug, Clone)]
pub struct Case {
    pub numeric: Vec<Vec<f64>>,
    pub categorical: Vec<Vec<Option<u16>>>,
    pub labels: Vec<bool>,
    pub weights: Option<Vec<f64>>,
    /// Every so many-th row is learned from.
    pub step: usize,
}

impl Case {
    pub fn table(&self) -> FeatureTable {
        let mut table = FeatureTable::new(names("x", self.numeric.len()), names("c", self.categorical.len()));
        self.numeric.iter().enumerate().for_each(|(c, column)| table.push_numeric(c, column.iter().copied()));
        for (c, column) in self.categorical.iter().enumerate() {
            let text: Vec<Option<String>> = column.iter().map(|v| v.map(|v| v.to_string())).collect();
            table.push_category(c, text.iter().map(Option::as_deref));
        }
        table.finish_append().unwrap();
        table
    }

    /// Rows of the same columns that no case learns from: ends, missing values, categories never seen.
    pub fn elsewhere(&self) -> FeatureTable {
        let values = [f64::MAX, f64::MIN, f64::NAN, 5e-324, f64::INFINITY, 0.0];
        let mut table = FeatureTable::new(names("x", self.numeric.len()), names("c", self.categorical.len()));
        (0..self.numeric.len())
            .for_each(|c| table.push_numeric(c, values.iter().cycle().skip(c).take(6).copied()));
        let text = [Some("never seen"), None, Some(""), Some("0"), Some("new"), Some("1")];
        (0..self.categorical.len()).for_each(|c| table.push_category(c, text));
        table.finish_append().unwrap();
        table
    }
}

/// Numbers of every kind: small and equal ones mostly, missing ones, and those at both ends of f64.
pub fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        10 => (-4i32..5).prop_map(f64::from),
        2 => Just(f64::NAN),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
        2 => prop_oneof![Just(1e308), Just(-1e308), Just(f64::MAX), Just(f64::MIN)],
        2 => prop_oneof![Just(5e-324), Just(-5e-324), Just(1e-310), Just(f64::MIN_POSITIVE), Just(-0.0)],
        2 => -1e3f64..1e3,
        1 => any::<f64>(),
    ]
}

/// A column of them, or of one of them, or of two.
pub fn column(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        4 => prop::collection::vec(value(), rows),
        1 => value().prop_map(move |v| vec![v; rows]),
        1 => (value(), value()).prop_map(move |(a, b)| (0..rows).map(|i| if i % 3 == 0 { a } else { b }).collect()),
    ]
}

fn categories(rows: usize) -> impl Strategy<Value = Vec<Option<u16>>> {
    prop_oneof![
        3 => prop::collection::vec(prop::option::of(0u16..5), rows),
        1 => prop::collection::vec(prop::option::weighted(0.9, any::<u16>()), rows),
        1 => prop::option::of(0u16..3).prop_map(move |v| vec![v; rows]),
        1 => Just((0..rows as u16).map(Some).collect()),
    ]
}

pub fn weight() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0u32..4).prop_map(f64::from),
        2 => prop_oneof![Just(5e-324), Just(1e-300), Just(1e300), Just(f64::MAX)],
        2 => 0.0f64..10.0,
    ]
}

/// Labels of one class, of two, or of all but one row.
fn labels(rows: usize) -> impl Strategy<Value = Vec<bool>> {
    prop_oneof![
        4 => prop::collection::vec(any::<bool>(), rows),
        1 => any::<bool>().prop_map(move |label| vec![label; rows]),
        1 => (any::<bool>(), 0usize..50).prop_map(move |(label, at)| (0..rows).map(|i| label ^ (i == at)).collect()),
    ]
}

/// Any table of few rows and columns, with or without weights (now and then a bad one).
pub fn case() -> impl Strategy<Value = Case> {
    (0usize..4, 0usize..4, prop_oneof![1 => 0usize..3, 3 => 3usize..50]).prop_flat_map(|(n, c, rows)| {
        let rows = if n + c == 0 { 0 } else { rows };
        let weights = prop::collection::vec(prop_oneof![200 => weight(), 1 => any::<f64>()], rows);
        (
            prop::collection::vec(column(rows), n),
            prop::collection::vec(categories(rows), c),
            labels(rows),
            prop_oneof![2 => Just(None), 1 => weights.prop_map(Some)],
            1usize..4,
        )
            .prop_map(|(numeric, categorical, labels, weights, step)| Case {
                numeric,
                categorical,
                labels,
                weights,
                step,
            })
    })
}

/// Every classifier in every form of its own, with what to call it.
pub fn classifiers() -> Vec<(&'static str, SupervisedParams)> {
    let logistic = LogisticRegressionParams::default;
    let forest = || RandomForestParams { trees: 5, ..RandomForestParams::default() };
    let boosting = || GradientBoostingParams { trees: 20, min_samples_leaf: 5, ..Default::default() };
    let sgd = SgdClassifierParams::default;
    let (hot, encoded) = (LinearCategories::OneHot, Categories::TargetEncoded);
    let of_logistic = SupervisedParams::LogisticRegression;
    let mut found = vec![
        ("logistic", of_logistic(logistic())),
        ("logistic, L1", of_logistic(LogisticRegressionParams { l1_ratio: 1.0, ..logistic() })),
        ("logistic, elastic", of_logistic(LogisticRegressionParams { l1_ratio: 0.5, ..logistic() })),
        ("logistic, own units", of_logistic(LogisticRegressionParams { standardise: false, ..logistic() })),
        ("logistic, one-hot", of_logistic(LogisticRegressionParams { categories: hot, ..logistic() })),
        (
            "logistic, one-hot, L1",
            of_logistic(LogisticRegressionParams { categories: hot, l1_ratio: 1.0, ..logistic() }),
        ),
        (
            "logistic, linfa",
            of_logistic(LogisticRegressionParams { backend: LogisticBackend::Linfa, ..logistic() }),
        ),
        ("forest", SupervisedParams::RandomForest(forest())),
        (
            "forest, encoded",
            SupervisedParams::RandomForest(RandomForestParams { categories: encoded, ..forest() }),
        ),
        (
            "forest, balanced",
            SupervisedParams::RandomForest(RandomForestParams {
                class_weight: ClassWeight::Balanced,
                ..forest()
            }),
        ),
        ("tree", SupervisedParams::DecisionTree(DecisionTreeParams::default())),
        (
            "tree, encoded",
            SupervisedParams::DecisionTree(DecisionTreeParams { categories: encoded, ..Default::default() }),
        ),
        ("boosting", SupervisedParams::GradientBoosting(boosting())),
        (
            "boosting, encoded",
            SupervisedParams::GradientBoosting(GradientBoostingParams { categories: encoded, ..boosting() }),
        ),
        ("sgd", SupervisedParams::SgdClassifier(sgd())),
        (
            "sgd, L1, last weights",
            SupervisedParams::SgdClassifier(SgdClassifierParams {
                penalty: SgdPenalty::L1,
                learning_rate: LearningRate::Constant,
                average: false,
                ..sgd()
            }),
        ),
    ];
    found.extend(smartcore());
    found
}

pub fn smartcore() -> Vec<(&'static str, SupervisedParams)> {
    use tidemill_ml::TreeBackend::Smartcore;
    let forest = RandomForestParams { trees: 5, backend: Smartcore, ..RandomForestParams::default() };
    let tree = DecisionTreeParams { backend: Smartcore, ..DecisionTreeParams::default() };
    vec![
        ("smartcore's forest", SupervisedParams::RandomForest(forest)),
        ("smartcore's tree", SupervisedParams::DecisionTree(tree)),
    ]
}

/// The same on one thread and on three.
pub fn on_threads<T: Send>(run: impl Fn() -> T + Send + Sync) -> [T; 2] {
    static POOLS: OnceLock<[rayon::ThreadPool; 2]> = OnceLock::new();
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    POOLS.get_or_init(|| [1, 3].map(pool)).each_ref().map(|pool| pool.install(&run))
}

/// As many cases, or as many as PROPTEST_CASES says.
pub fn cases(usual: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(usual),
    }
}
