//! Steps of a pipeline: columns in, columns out.

use super::columns::{Columns, Texts};
use super::graph::{Graph, Value};
use crate::Error;
use crate::preprocess::{MinMaxScaler, MinMaxScalerParams, Norm, Preprocessor};

/// What a step makes: columns, by their names.
type Made = Vec<(String, Value)>;

/// Does a step to the columns that it names, and puts what it makes in their place.
///
/// # Errors
///
/// [`Error::NotInOnnx`] and [`Error::UnknownColumn`].
pub(super) fn step(
    graph: &mut Graph,
    columns: &mut Columns,
    names: &[String],
    learned: &[Preprocessor],
) -> Result<(), Error> {
    // A step that leaves rows out does nothing to those that are scored.
    if learned.is_empty() {
        return Ok(());
    }
    let mut made = Made::new();
    for (at, step) in learned.iter().enumerate() {
        match (step, names.get(at)) {
            (Preprocessor::OneHotEncoder(encoder), Some(name)) => {
                if encoder.refuses_unseen() {
                    return Err(Error::NotInOnnx {
                        what: format!("the step one_hot of `{name}` with error_on_unseen = true"),
                        why: "there is no operator that refuses a row; train it with error_on_unseen = false",
                    });
                }
                let (categories, width) = (encoder.categories(), encoder.categories().len());
                let mut table = vec![0.0; (width + 2) * width];
                (0..width).for_each(|at| table[at * width + at] = 1.0);
                let texts = Texts::numbered(name, categories.iter().map(String::as_str))?;
                if width > 0 {
                    let rows = texts.looked_up(graph, columns, &table)?;
                    let each = graph.columns(&rows, width).into_iter();
                    let named = categories.iter().map(|category| format!("{name} = {category}"));
                    made.extend(named.zip(each));
                }
            }
            (Preprocessor::TargetEncoder(encoder), Some(name)) => {
                let (shares, missing, other) = encoder.shares();
                let texts = Texts::numbered(name, shares.iter().map(|(name, _)| *name))?;
                let table: Vec<f64> =
                    shares.iter().map(|(_, share)| *share).chain([missing, other]).collect();
                made.push((name.clone(), texts.looked_up(graph, columns, &table)?));
            }
            (step, _) => made.extend(numbers(graph, columns, names, step)?),
        }
    }
    put(columns, names, made)
}

/// Puts columns in the place of some, as [`FeatureTable`](crate::FeatureTable) does.
fn put(columns: &mut Columns, dropped: &[String], mut made: Made) -> Result<(), Error> {
    let mut numeric = Made::new();
    for (name, value) in columns.numeric.drain(..) {
        match made.iter().position(|(made, _)| *made == name) {
            Some(at) if dropped.contains(&name) => numeric.push(made.remove(at)),
            Some(_) => return Err(Error::RepeatedColumn { column: name }),
            None if dropped.contains(&name) => {}
            None => numeric.push((name, value)),
        }
    }
    numeric.extend(made);
    columns.numeric = numeric;
    columns.texts.retain(|(name, _)| !dropped.contains(name));
    Ok(())
}

/// The columns that a step of numbers makes.
fn numbers(
    graph: &mut Graph,
    columns: &Columns,
    names: &[String],
    step: &Preprocessor,
) -> Result<Made, Error> {
    let taken = names.iter().map(|name| {
        columns.numeric.iter().find(|(known, _)| known == name).map(|(_, value)| value).ok_or_else(|| {
            let known = columns.numeric.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            Error::UnknownColumn { kind: "numeric", column: name.clone(), known }
        })
    });
    let taken: Vec<&Value> = taken.collect::<Result<_, _>>()?;
    if taken.is_empty() {
        return Err(Error::NoFeatures);
    }
    let x = graph.matrix(&taken);
    let (made, width) = match step {
        Preprocessor::Pca(pca) => {
            let (means, components) = (pca.means(), pca.components());
            let (kept, width) = components.dim();
            let means = graph.doubles(&[1, width], means);
            let apart = graph.op("Sub", &[&x, &means]);
            let loadings: Vec<f64> = components.t().iter().copied().collect();
            let loadings = graph.doubles(&[width, kept], &loadings);
            let mut scores = graph.op("MatMul", &[&apart, &loadings]);
            if let Some(units) = pca.units() {
                let units = graph.doubles(&[1, kept], &units);
                scores = graph.op("Div", &[&scores, &units]);
            }
            let named = (0..kept).map(|at| format!("component {at}"));
            return Ok(named.zip(graph.columns(&scores, kept)).collect());
        }
        Preprocessor::Imputer(imputer) => {
            let fills = graph.doubles(&[1, names.len()], &imputer.fills());
            let missing = graph.missing(&x);
            (graph.op("Where", &[&missing, &fills, &x]), names.len())
        }
        Preprocessor::IqrOutliers(outliers) => (held(graph, &x, &outliers.ends()), names.len()),
        Preprocessor::StandardScaler(scaler) => {
            (spread(graph, &x, &scaler.parts(), Way::Direct), names.len())
        }
        Preprocessor::RobustScaler(scaler) => {
            // A distance of two finite values may be past f64; half of it is not.
            let halves = scaler.parts().into_iter().map(|(centre, half)| (centre / 2.0, half));
            (spread(graph, &x, &halves.collect::<Vec<_>>(), Way::Halves), names.len())
        }
        Preprocessor::MinMaxScaler(scaler) => (onto_range(graph, &x, scaler)?, names.len()),
        Preprocessor::Normalizer(normalizer) => (normalised(graph, &x, normalizer.norm), names.len()),
        Preprocessor::ForestLeaves(_) => {
            return Err(Error::NotInOnnx {
                what: "the step forest_leaves".to_owned(),
                why: "the leaves of a forest are not written as columns; train it without that step",
            });
        }
        Preprocessor::StringIndexer(_) | Preprocessor::OneHotEncoder(_) | Preprocessor::TargetEncoder(_) => {
            return Err(Error::CorruptModel("a step of texts over numbers"));
        }
    };
    // A result past the ends of f64 is held at them.
    let made = held(graph, &made, &vec![(f64::MIN, f64::MAX); width]);
    Ok(names.iter().cloned().zip(graph.columns(&made, width)).collect())
}

/// Each column held between two values.
fn held(graph: &mut Graph, x: &Value, ends: &[(f64, f64)]) -> Value {
    let low = graph.doubles(&[1, ends.len()], &ends.iter().map(|of| of.0).collect::<Vec<_>>());
    let high = graph.doubles(&[1, ends.len()], &ends.iter().map(|of| of.1).collect::<Vec<_>>());
    graph.clip(x, &low, &high)
}

/// Whether values are divided as they are, or by halves of both sides.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Direct,
    Halves,
}

/// (x - centre) / width of each column; by halves (x / 2 - centre) / width.
fn spread(graph: &mut Graph, x: &Value, parts: &[(f64, f64)], way: Way) -> Value {
    let centres = graph.doubles(&[1, parts.len()], &parts.iter().map(|of| of.0).collect::<Vec<_>>());
    let widths = graph.doubles(&[1, parts.len()], &parts.iter().map(|of| of.1).collect::<Vec<_>>());
    let apart = if way == Way::Halves {
        let half = graph.double(0.5);
        let halves = graph.op("Mul", &[x, &half]);
        graph.op("Sub", &[&halves, &centres])
    } else {
        graph.op("Sub", &[x, &centres])
    };
    graph.op("Div", &[&apart, &widths])
}

/// A range of each column onto another.
fn onto_range(graph: &mut Graph, x: &Value, scaler: &MinMaxScaler) -> Result<Value, Error> {
    let MinMaxScalerParams { min, max, clip } = scaler.params();
    if !(max - min).is_finite() {
        return Err(Error::NotInOnnx {
            what: format!("the step min_max onto {min} to {max}"),
            why: "the distance is past what a double holds; train it with a narrower range",
        });
    }
    // From, and onto: a column of one value, or of none, has no width.
    let part = |&(low, high): &(f64, f64)| match low >= high {
        true if low == high && !clip => ((low, 1.0), 1.0),
        true => ((0.0, 1.0), 0.0),
        false => ((low, high - low), max - min),
    };
    let (from, onto): (Vec<(f64, f64)>, Vec<f64>) = scaler.columns().iter().map(part).unzip();
    let mut shares = if from.iter().all(|(_, width)| width.is_finite()) {
        spread(graph, x, &from, Way::Direct)
    } else {
        let halves = from.iter().zip(scaler.columns()).map(|((centre, width), (low, high))| {
            (centre / 2.0, if width.is_finite() { width / 2.0 } else { high / 2.0 - low / 2.0 })
        });
        spread(graph, x, &halves.collect::<Vec<_>>(), Way::Halves)
    };
    if clip {
        let (zero, one) = (graph.double(0.0), graph.double(1.0));
        shares = graph.clip(&shares, &zero, &one);
    }
    let (onto, min) = (graph.doubles(&[1, onto.len()], &onto), graph.double(min));
    let wide = graph.op("Mul", &[&shares, &onto]);
    Ok(graph.op("Add", &[&wide, &min]))
}

/// Rows of length 1, missing values left out.
fn normalised(graph: &mut Graph, x: &Value, norm: Norm) -> Value {
    let (zero, one) = (graph.double(0.0), graph.double(1.0));
    let missing = graph.missing(x);
    let known = graph.op("Where", &[&missing, &zero, x]);
    let sizes = graph.op("Abs", &[&known]);
    let unit = |graph: &mut Graph, length: &Value| {
        let some = graph.op("Greater", &[length, &zero]);
        graph.op("Where", &[&some, length, &one])
    };
    // Shares of the largest value first: squares may be past both ends of f64.
    let largest = graph.reduced("ReduceMax", &sizes, 1, true);
    let largest = unit(graph, &largest);
    let shares = graph.op("Div", &[&sizes, &largest]);
    let length = match norm {
        Norm::L1 => graph.reduced("ReduceSum", &shares, 1, true),
        Norm::L2 => {
            let squares = graph.op("Mul", &[&shares, &shares]);
            let sum = graph.reduced("ReduceSum", &squares, 1, true);
            graph.op("Sqrt", &[&sum])
        }
        Norm::Max => graph.reduced("ReduceMax", &shares, 1, true),
    };
    let length = unit(graph, &length);
    let shares = graph.op("Div", &[x, &largest]);
    graph.op("Div", &[&shares, &length])
}
