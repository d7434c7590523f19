//! What a file says of itself, and what has no form in ONNX; what onnxruntime makes of one is in `tests/peers/ml`.

use super::Export;
use super::proto::Model;
use crate::preprocess::{OneHotEncoderParams, TargetEncoderParams};
use crate::{
    Categories, ClusterStream, ClusterStreamParams, DecisionTreeParams, Error, Estimator, FeatureTable,
    Fitted, GradientBoostingParams, IsolationForestParams, KMeansParams, LinearRegressionParams,
    LogisticRegressionParams, Pipeline, RandomForestParams, Rows, SgdClassifierParams, Target, Transform,
};
use prost::Message;

/// `x` with missing values, and `c` with so many categories.
fn table(names: [&str; 2], categories: usize) -> FeatureTable {
    let mut table = FeatureTable::new(vec![names[0].into()], vec![names[1].into()]);
    table.push_numeric(0, (0..900).map(|i| if i % 7 == 3 { f64::NAN } else { f64::from(i % 50) }));
    let texts: Vec<String> = (0..900).map(|i| format!("category {}", i % categories)).collect();
    table.push_category(0, texts.iter().map(|text| Some(text.as_str()).filter(|text| !text.ends_with('9'))));
    table.finish_append().unwrap();
    table
}

fn fit(estimator: impl Into<Estimator>, table: &FeatureTable) -> Fitted {
    let labels: Vec<bool> = (0..900).map(|i| i % 50 > 30 || i % 11 == 0).collect();
    let rows: Vec<u32> = (0..900).collect();
    estimator.into().fit(&Rows::new(table, Target::Binary(&labels), &rows), 42).unwrap()
}

fn refused(export: &Export, model: &Fitted) -> String {
    let error = export.file(model).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::User);
    error.to_string()
}

#[test]
fn a_file_says_who_made_it_and_of_what() {
    let export = Export { name: "job.model".into(), doc: "of a test".into(), ..Export::default() };
    let of = fit(RandomForestParams::default(), &table(["x", "c"], 5));
    let bytes = export.file(&of).unwrap();
    assert_eq!(bytes, export.file(&Fitted::from_bytes(&of.to_bytes().unwrap()).unwrap()).unwrap());
    let model = Model::decode(&*bytes).unwrap();
    assert_eq!(model.producer_name.as_deref(), Some("tidemill"));
    assert_eq!(model.producer_version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(model.doc_string.as_deref(), Some("of a test"));
    let sets: Vec<_> = model.opset_import.iter().map(|of| (of.domain.clone().unwrap(), of.version)).collect();
    assert_eq!(sets, [(String::new(), Some(18)), ("ai.onnx.ml".to_owned(), Some(5))]);
    let graph = model.graph.unwrap();
    let shapes = |of: &[super::proto::ValueInfo]| {
        let shape = |of: &super::proto::ValueInfo| {
            let tensor = of.kind.clone().unwrap().tensor_type.unwrap();
            let columns = tensor.shape.unwrap().dim.get(1).and_then(|dim| dim.value);
            (of.name.clone().unwrap(), tensor.elem_type.unwrap(), columns)
        };
        of.iter().map(shape).collect::<Vec<_>>()
    };
    assert_eq!(shapes(&graph.input), [("x".into(), 11, Some(1)), ("c".into(), 8, Some(1))]);
    assert_eq!(shapes(&graph.output), [("label".into(), 7, None), ("probabilities".into(), 11, Some(2))]);
    // Each value is made before it is taken.
    let mut known: Vec<&str> = graph.input.iter().filter_map(|of| of.name.as_deref()).collect();
    known.extend(graph.initializer.iter().filter_map(|of| of.name.as_deref()));
    for node in &graph.node {
        assert!(node.input.iter().all(|name| known.contains(&name.as_str())), "{node:?}");
        assert!(node.output.iter().all(|name| !known.contains(&name.as_str())), "{node:?}");
        known.extend(node.output.iter().map(String::as_str));
    }
}

#[test]
fn names_of_classes_are_as_many_as_classes() {
    let of = fit(LogisticRegressionParams::default(), &table(["x", "c"], 5));
    let named = |classes: &[&str]| Export {
        classes: classes.iter().map(|name| (*name).to_owned()).collect(),
        ..Export::default()
    };
    let model = Model::decode(&*named(&["no", "yes"]).file(&of).unwrap()).unwrap();
    let label = model.graph.unwrap().output.swap_remove(0).kind.unwrap().tensor_type.unwrap();
    assert_eq!(label.elem_type, Some(8), "a text");
    let error = named(&["no", "maybe", "yes"]).file(&of).unwrap_err();
    assert_eq!(error, Error::OtherClasses { expected: 2, found: 3 });
}

#[test]
fn what_has_no_form_is_told_with_what_to_do() {
    let (export, plain) = (Export::default(), table(["x", "c"], 5));
    let text = refused(&export, &fit(SgdClassifierParams::default(), &plain));
    assert!(text.contains("the text column `c` of an sgd_classifier") && text.contains("one_hot"), "{text}");
    let strict = OneHotEncoderParams { error_on_unseen: true, ..OneHotEncoderParams::default() };
    let pipeline = Pipeline::new([Transform::OneHot(strict).into()], SgdClassifierParams::default());
    let text = refused(&export, &fit(pipeline, &plain));
    assert!(text.contains("step 1") && text.contains("error_on_unseen"), "{text}");

    let text = refused(&export, &fit(DecisionTreeParams::default(), &table(["label", "c"], 5)));
    assert!(text.contains("the feature `label`") && text.contains("name of an output"), "{text}");
    let mut empty = FeatureTable::new(vec![], vec!["c".into()]);
    empty.push_category(0, (0..900).map(|i| [Some(""), Some("a"), None][i % 3]));
    empty.finish_append().unwrap();
    for estimator in [
        Estimator::from(LogisticRegressionParams::default()),
        DecisionTreeParams::default().into(),
        Pipeline::new(
            [Transform::Target(TargetEncoderParams::default()).into()],
            DecisionTreeParams::default(),
        )
        .into(),
    ] {
        let text = refused(&export, &fit(estimator, &empty));
        assert!(text.contains("the empty text") && text.contains("NULLIF"), "{text}");
    }
    let stream = ClusterStream::new(ClusterStreamParams::default(), vec!["x".into()]).unwrap();
    let text = refused(&export, &Fitted::ClusterStream(stream));
    assert!(text.contains("before its first batch"), "{text}");
}

#[test]
fn rare_categories_are_looked_up_by_their_hashes() {
    let table = table(["x", "c"], 300);
    let categories = Categories::Native;
    for estimator in [
        Estimator::from(DecisionTreeParams { categories, ..DecisionTreeParams::default() }),
        RandomForestParams { categories, ..RandomForestParams::default() }.into(),
        GradientBoostingParams { categories, ..GradientBoostingParams::default() }.into(),
    ] {
        let of = fit(estimator, &table);
        // Of 300 categories 30 end with 9 and are missing, and 254 have bins.
        let text = refused(&Export::default(), &of);
        assert!(text.contains("16 of the categories of `c`") && text.contains("target_encoded"), "{text}");
        let known = |most: usize| {
            let texts = (0..most).map(|i| format!("category {i}")).chain(["new".into()]).collect();
            Export { categories: [("c".to_owned(), texts)].into(), ..Export::default() }
        };
        assert!(refused(&known(250), &of).contains(" of the categories of `c`"));
        let bytes = known(300).file(&of).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("new"), "what no row had is unseen");
        assert_eq!(known(5_000).file(&of).unwrap(), bytes, "whatever else there is");
    }
}

#[test]
fn every_kind_without_texts_has_a_form() {
    let mut table = FeatureTable::new(vec!["x".into(), "constant".into()], vec![]);
    table.push_numeric(0, (0..900).map(|i| f64::from(i % 50)));
    table.push_numeric(1, vec![7.0; 900]);
    table.finish_append().unwrap();
    let rows: Vec<u32> = (0..900).collect();
    let (labels, numbers): (Vec<u32>, Vec<f64>) = ((0..900).map(|i| i % 50 / 20).collect(), vec![3.5; 900]);
    let classes = Target::Classes { labels: &labels, classes: 3 };
    let export = Export::default();
    for (estimator, target) in [
        (Estimator::from(LogisticRegressionParams::default()), classes),
        (RandomForestParams::default().into(), classes),
        (GradientBoostingParams::default().into(), classes),
        // Trees without a split.
        (DecisionTreeParams::default().into(), Target::Numbers(&numbers)),
        (GradientBoostingParams::default().into(), Target::Numbers(&numbers)),
        (LinearRegressionParams::default().into(), Target::Numbers(&numbers)),
        (KMeansParams { clusters: 2, ..KMeansParams::default() }.into(), Target::None),
        (ClusterStreamParams::default().into(), Target::None),
        (IsolationForestParams::default().into(), Target::None),
    ] {
        let fitted = estimator.fit(&Rows::new(&table, target, &rows), 42).unwrap();
        assert!(Model::decode(&*export.file(&fitted).unwrap()).is_ok(), "{estimator:?}");
    }
}
