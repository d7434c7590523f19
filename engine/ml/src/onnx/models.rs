//! What each kind of model makes of its columns.

use super::clusters::Centres;
use super::columns::Columns;
use super::graph::{Graph, ML, Value, integers, strings};
use super::linear::{self, NumericWeights};
use super::steps;
use super::trees::Features;
use super::{Export, isolation};
use crate::classifier::Model;
use crate::forest::{Link, NumberTrees, Trees};
use crate::linear::LinearModel;
use crate::multiclass::ClassesModel;
use crate::regressor::NumbersModel;
use crate::{Classifier, ClusterStream, Error, Fitted, KMeans, MultiClassifier, Regressor};

/// The graph of a model, from its inputs to its outputs.
pub(super) fn graph(export: &Export, model: &Fitted) -> Result<Graph, Error> {
    let (steps, last) = match model {
        Fitted::Pipeline(pipeline) => (pipeline.learned().collect(), pipeline.model()),
        model => (Vec::new(), model),
    };
    let outputs: &[&str] = match last {
        Fitted::Classifier(_) | Fitted::MultiClassifier(_) => &["label", "probabilities"],
        Fitted::Regressor(_) => &["variable"],
        Fitted::KMeans(_) | Fitted::ClusterStream(_) | Fitted::IsolationForest(_) => &["label", "scores"],
        Fitted::Pipeline(_) => return Err(Error::CorruptModel("a pipeline in a pipeline")),
    };
    let (mut graph, mut columns) =
        Columns::inputs(model.numeric_names(), model.categorical_names(), outputs)?;
    for (number, (name, names, learned)) in (1..).zip(steps) {
        let in_step = |error| Error::InStep { step: number, name, error: Box::new(error) };
        steps::step(&mut graph, &mut columns, names, learned).map_err(in_step)?;
    }
    let mut drawing = Drawing { graph, columns, export };
    match last {
        Fitted::Classifier(model) => drawing.classifier(model)?,
        Fitted::MultiClassifier(model) => drawing.multi_classifier(model)?,
        Fitted::Regressor(model) => drawing.regressor(model)?,
        Fitted::KMeans(model) => drawing.kmeans(model)?,
        Fitted::ClusterStream(model) => drawing.cluster_stream(model)?,
        Fitted::IsolationForest(model) => isolation::outputs(&mut drawing.graph, &drawing.columns, model)?,
        Fitted::Pipeline(_) => return Err(Error::CorruptModel("a pipeline in a pipeline")),
    }
    Ok(drawing.graph)
}

/// A graph, and the columns that the model takes.
struct Drawing<'a> {
    graph: Graph,
    columns: Columns,
    export: &'a Export,
}

impl Drawing<'_> {
    fn classifier(&mut self, model: &Classifier) -> Result<(), Error> {
        let probability = match model.made() {
            Model::Logistic(model) => {
                let (encoders, weights) = model.parts();
                let sums = linear::sums(&mut self.graph, &self.columns, encoders, &[weights])?;
                sigmoid(&mut self.graph, &sums)
            }
            Model::Sgd(model) => {
                if let Some((column, _)) = self.columns.texts.first() {
                    return Err(Error::NotInOnnx {
                        what: format!("the text column `{column}` of an sgd_classifier"),
                        why: "its categories are hashes, and no operator makes them; train it after a step one_hot",
                    });
                }
                let (scales, (weights, intercept)) = model.parts();
                let (of_scores, of_missing) = weights.split_at(scales.len());
                let of_missing = &of_missing[..scales.len().min(of_missing.len())];
                let numeric = NumericWeights::of_one(scales, of_scores, of_missing, intercept);
                let sums = numeric.sums(&mut self.graph, &self.columns).ok_or(Error::NoFeatures)?;
                sigmoid(&mut self.graph, &sums)
            }
            Model::Forest(model) | Model::Tree(model) => self.probability(&model.trees())?,
            Model::Boosted(model) => self.probability(&model.trees())?,
            Model::Reference(_) => {
                return Err(Error::NotInOnnx {
                    what: "a model of backend = \"smartcore\"".to_owned(),
                    why: "its trees are smartcore's own; train it with backend = \"tidemill\"",
                });
            }
        };
        let graph = &mut self.graph;
        let one = graph.double(1.0);
        let other = graph.op("Sub", &[&one, &probability]);
        let both = graph.matrix(&[&other, &probability]);
        let half = graph.double(0.5);
        let above = graph.op("Greater", &[&probability, &half]);
        let above = graph.vector(&above);
        let label = graph.as_integers(&above);
        self.classes(label, both, 2)
    }

    /// The probability that trees say, rows × 1.
    fn probability(&mut self, of: &Trees<'_>) -> Result<Value, Error> {
        let features = Features::of(&mut self.graph, &self.columns, of.bins, of.rare, self.export)?;
        let sums = features.sums(&mut self.graph, of.trees.iter(), 1, |_| 0, |_, _, value| value)?;
        Ok(match of.link {
            Link::Mean => {
                let count = self.graph.double(of.trees.len() as f64);
                self.graph.op("Div", &[&sums, &count])
            }
            Link::LogOdds(base) => {
                let base = self.graph.double(base);
                let log_odds = self.graph.op("Add", &[&sums, &base]);
                sigmoid(&mut self.graph, &log_odds)
            }
        })
    }

    fn multi_classifier(&mut self, model: &MultiClassifier) -> Result<(), Error> {
        let classes = model.classes() as usize;
        let probabilities = match model.made() {
            ClassesModel::Softmax(model) => {
                let (encoders, weights) = model.parts();
                let sums = linear::sums(&mut self.graph, &self.columns, encoders, &weights)?;
                softmax(&mut self.graph, &sums)
            }
            ClassesModel::Forest(model) | ClassesModel::Tree(model) => {
                let (bins, rare, trees, shares) = model.parts();
                let features = Features::of(&mut self.graph, &self.columns, bins, rare, self.export)?;
                // Trees say which leaf, and the shares of the leaf are looked up.
                let firsts: Vec<usize> = shares
                    .iter()
                    .scan(0, |sum, of_tree| {
                        let first = *sum;
                        *sum += of_tree.len() / classes;
                        Some(first)
                    })
                    .collect();
                let number = |tree: usize, leaf: usize, _: f64| {
                    (firsts.get(tree).copied().unwrap_or_default() + leaf) as f64
                };
                let leaves =
                    features.sums(&mut self.graph, trees.iter(), trees.len(), |tree| tree, number)?;
                let graph = &mut self.graph;
                let leaves = graph.as_integers(&leaves);
                let all = shares.concat();
                let table = graph.doubles(&[all.len() / classes, classes], &all);
                let of_trees = graph.gathered(&table, &leaves);
                let sums = graph.reduced("ReduceSum", &of_trees, 1, false);
                shares_of(graph, &sums)
            }
            ClassesModel::Boosted(model) => {
                let (bins, rare, of_classes) = model.parts();
                let features = Features::of(&mut self.graph, &self.columns, bins, rare, self.export)?;
                let trees = || of_classes.iter().flat_map(|(_, trees)| trees.iter());
                let class_of: Vec<usize> = of_classes
                    .iter()
                    .enumerate()
                    .flat_map(|(class, (_, trees))| std::iter::repeat_n(class, trees.len()))
                    .collect();
                let target = |tree: usize| class_of.get(tree).copied().unwrap_or_default();
                let sums = features.sums(&mut self.graph, trees(), classes, target, |_, _, value| value)?;
                let base: Vec<f64> = of_classes.iter().map(|(base, _)| *base).collect();
                let base = self.graph.doubles(&[1, classes], &base);
                let scores = self.graph.op("Add", &[&sums, &base]);
                softmax(&mut self.graph, &scores)
            }
        };
        let label = self.graph.place_of("ArgMax", &probabilities);
        self.classes(label, probabilities, classes)
    }

    /// The outputs of a classifier.
    fn classes(&mut self, label: Value, probabilities: Value, classes: usize) -> Result<(), Error> {
        let names = &self.export.classes;
        if !names.is_empty() && names.len() != classes {
            return Err(Error::OtherClasses { expected: classes as u32, found: names.len() as u32 });
        }
        if names.is_empty() {
            self.graph.output_labels("label", label);
        } else {
            let attributes = vec![
                integers("keys_int64s", (0..classes as i64).collect()),
                strings("values_strings", names.iter().cloned()),
            ];
            let label = self.graph.op_with("LabelEncoder", ML, &[&label], attributes);
            self.graph.output_texts("label", label);
        }
        self.graph.output_numbers("probabilities", probabilities, classes);
        Ok(())
    }

    fn regressor(&mut self, model: &Regressor) -> Result<(), Error> {
        let numbers = match model.made() {
            NumbersModel::Linear(model) => self.linear(model)?,
            NumbersModel::Forest(model) | NumbersModel::Tree(model) | NumbersModel::Boosted(model) => {
                self.numbers(model)?
            }
        };
        self.graph.output_numbers("variable", numbers, 1);
        Ok(())
    }

    fn linear(&mut self, model: &LinearModel) -> Result<Value, Error> {
        let (encoders, weights, target) = model.parts();
        let scores = linear::sums(&mut self.graph, &self.columns, encoders, &[weights])?;
        let graph = &mut self.graph;
        // A constant target has a scale without a unit.
        let inverse = if target.inverse() == 0.0 { f64::INFINITY } else { target.inverse() };
        let (mean, inverse) = (graph.double(target.mean()), graph.double(inverse));
        let apart = graph.op("Div", &[&scores, &inverse]);
        let values = graph.op("Add", &[&apart, &mean]);
        Ok(finite(graph, &values))
    }

    fn numbers(&mut self, model: &NumberTrees) -> Result<Value, Error> {
        let (bins, rare, trees) = model.parts();
        let features = Features::of(&mut self.graph, &self.columns, bins, rare, self.export)?;
        let sums = features.sums(&mut self.graph, trees.iter(), 1, |_| 0, |_, _, value| value)?;
        let graph = &mut self.graph;
        let [divisor, base, centre, spread] = model.link().map(|value| graph.double(value));
        let mean = graph.op("Div", &[&sums, &divisor]);
        let scaled = graph.op("Add", &[&mean, &base]);
        let apart = graph.op("Mul", &[&scaled, &spread]);
        let half = graph.op("Add", &[&apart, &centre]);
        let two = graph.double(2.0);
        let values = graph.op("Mul", &[&half, &two]);
        Ok(finite(graph, &values))
    }

    fn kmeans(&mut self, model: &KMeans) -> Result<(), Error> {
        let (scales, centres) = model.parts();
        self.clusters(&Centres { scales, bounds: None, centres })
    }

    fn cluster_stream(&mut self, model: &ClusterStream) -> Result<(), Error> {
        let (scales, bounds, centres) = model.parts();
        if centres.is_empty() {
            return Err(Error::NotInOnnx {
                what: "a clustering before its first batch".to_owned(),
                why: "it has no centres yet",
            });
        }
        self.clusters(&Centres { scales: &scales, bounds: Some(&bounds), centres: &centres })
    }

    fn clusters(&mut self, of: &Centres<'_>) -> Result<(), Error> {
        let nearest = of.nearest(&mut self.graph, &self.columns)?;
        self.graph.output_labels("label", nearest.label);
        self.graph.output_numbers("scores", nearest.distances, of.centres.len() / of.scales.len().max(1));
        Ok(())
    }
}

/// Numbers held at the ends of f64.
fn finite(graph: &mut Graph, values: &Value) -> Value {
    let (low, high) = (graph.double(f64::MIN), graph.double(f64::MAX));
    graph.clip(values, &low, &high)
}

/// 1 / (1 + e^-z). Not by the operator Sigmoid, which onnxruntime 1.32 computes as 1 less the other probability where that is
/// near 1: 4e-8 off at z = -20, and 0 at -40.
fn sigmoid(graph: &mut Graph, log_odds: &Value) -> Value {
    let negative = graph.op("Neg", &[log_odds]);
    let odds = graph.op("Exp", &[&negative]);
    let one = graph.double(1.0);
    let sum = graph.op("Add", &[&odds, &one]);
    graph.op("Div", &[&one, &sum])
}

/// e^z of each class over that of all.
fn softmax(graph: &mut Graph, scores: &Value) -> Value {
    let largest = graph.reduced("ReduceMax", scores, 1, true);
    let apart = graph.op("Sub", &[scores, &largest]);
    let odds = graph.op("Exp", &[&apart]);
    shares_of(graph, &odds)
}

/// Each over the sum of its row.
fn shares_of(graph: &mut Graph, values: &Value) -> Value {
    let all = graph.reduced("ReduceSum", values, 1, true);
    graph.op("Div", &[values, &all])
}
