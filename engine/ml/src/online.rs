//! Learning from new rows alone: what was learned from goes, and what was learned stays.
//!
//! ```text
//! rows of a batch ──Estimator::partial_fit──> Fitted ──┐
//!                         ▲ the one before ────────────┘   no other rows are kept
//! ```

use crate::cluster::StreamLearner;
use crate::{Algorithm, Error, Estimator, Fitted, Rows, SupervisedParams};

impl Estimator {
    /// Which algorithm it is; that of a pipeline is the one after its steps.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Estimator::Supervised(params) => params.algorithm(),
            Estimator::KMeans(_) => Algorithm::Kmeans,
            Estimator::ClusterStream(params) => match params.learner {
                StreamLearner::Kmeans(_) => Algorithm::Kmeans,
                StreamLearner::MinibatchKmeans(_) => Algorithm::MinibatchKmeans,
                StreamLearner::OnlineKmeans(_) => Algorithm::OnlineKmeans,
            },
            Estimator::IsolationForest(_) => Algorithm::IsolationForest,
            Estimator::Pipeline(pipeline) => pipeline.estimator().algorithm(),
        }
    }

    /// Whether it can learn from new rows alone. A pipeline can where all of its steps and what is after them can.
    ///
    /// ```
    /// use tidemill_ml::{Estimator, RandomForestParams, SgdClassifierParams};
    ///
    /// assert!(Estimator::from(SgdClassifierParams::default()).learns_online());
    /// assert!(!Estimator::from(RandomForestParams::default()).learns_online());
    /// ```
    pub fn learns_online(&self) -> bool {
        self.check_online().is_ok()
    }

    /// Why it cannot learn from new rows alone.
    pub(crate) fn check_online(&self) -> Result<(), Error> {
        if let Estimator::Pipeline(pipeline) = self {
            return pipeline.check_online();
        }
        let info = self.algorithm().info();
        match info.learns_online {
            true => Ok(()),
            false => Err(Error::NoPartialFit { what: info.name, why: "fit it on all rows" }),
        }
    }

    /// Learns these rows on top of what `before` has learned, none of which are needed again; without it, or where it is of
    /// other settings or columns, begins with them. Only `sgd_classifier` and clusters of batches can, and pipelines of
    /// steps that can: a step learns the rows, and does to them what it then knows. But for `target`, which encodes them by
    /// the rows before them: no row sees its own label.
    ///
    /// ```
    /// use tidemill_ml::{Estimator, FeatureTable, Pipeline, Rows, SgdClassifierParams, Target, Transform};
    ///
    /// let steps = [Transform::Robust(Default::default()).into()];
    /// let online = Estimator::from(Pipeline::new(steps, SgdClassifierParams::default()));
    /// let mut model = None;
    /// for batch in 0..5 {
    ///     let mut table = FeatureTable::new(vec!["x".into()], vec![]);
    ///     table.push_numeric(0, (0..100).map(|row| f64::from((row * 37 + batch) % 101)));
    ///     table.finish_append()?;
    ///     let labels: Vec<bool> = (0..100).map(|row| (row * 37 + batch) % 101 > 50).collect();
    ///     let rows: Vec<u32> = (0..100).collect();
    ///     model = Some(online.partial_fit(&Rows::new(&table, Target::Binary(&labels), &rows), 42, model.as_ref())?);
    /// }
    /// assert_eq!(model.map(|model| model.training_rows()), Some(500));
    /// # Ok::<(), tidemill_ml::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoPartialFit`] where it cannot; those of [`fit`](Estimator::fit) and [`Fitted::partial_fit`].
    pub fn partial_fit(&self, rows: &Rows<'_>, seed: u64, before: Option<&Fitted>) -> Result<Fitted, Error> {
        self.check_online()?;
        match before.filter(|model| self.goes_on(model, rows)) {
            Some(model) => model.partial_fit(rows, seed),
            None => self.fit(rows, seed),
        }
    }

    /// Whether a model of these rows' columns is of these settings.
    pub(crate) fn goes_on(&self, model: &Fitted, rows: &Rows<'_>) -> bool {
        self.made(model)
            && model.numeric_names() == rows.table.numeric_names()
            && model.categorical_names() == rows.table.categorical_names()
    }

    /// Whether a model that learns on is of these settings.
    pub(crate) fn made(&self, model: &Fitted) -> bool {
        match (self, model) {
            (Estimator::Supervised(SupervisedParams::SgdClassifier(params)), Fitted::Classifier(model)) => {
                model.sgd_params() == Some(params)
            }
            (Estimator::ClusterStream(params), Fitted::ClusterStream(model)) => model.params() == params,
            (Estimator::Pipeline(pipeline), Fitted::Pipeline(fitted)) => pipeline.made(fitted),
            _ => false,
        }
    }
}
