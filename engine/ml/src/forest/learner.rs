//! Trees, forests and boosting as algorithms: what each does with a target of each kind.

use super::{Boosted, BoostedClasses, ClassForest, Forest, KeptCounts, NumberTrees, Reference};
use super::{DecisionTreeParams, GradientBoostingParams, RandomForestParams, TreeBackend};
use crate::classifier::{BinaryModel, Model};
use crate::encode::kept::KeptBins;
use crate::forest::Trees;
use crate::multiclass::{ClassesModel, ManyClasses};
use crate::regressor::{Numbers, NumbersModel};
use crate::supervised::Settings;
use crate::training::{ClassRows, NumberRows};
use crate::{Algorithm, Error, FeatureTable, TrainingRows};

/// Who knows no weights of rows.
fn without_weights(backend: TreeBackend) -> Option<&'static str> {
    (backend == TreeBackend::Smartcore).then_some("smartcore")
}

impl Settings for RandomForestParams {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RandomForest
    }

    fn validate(&self) -> Result<(), Error> {
        self.validate()
    }

    fn without_weights(&self) -> Option<&'static str> {
        without_weights(self.backend)
    }

    fn keeps_counts(&self) -> bool {
        self.backend == TreeBackend::Tidemill
    }

    fn fit_binary(
        &self,
        rows: &TrainingRows<'_>,
        seed: u64,
        before: Option<&Model>,
        counts: Option<&mut KeptCounts>,
    ) -> Result<Model, Error> {
        if self.backend == TreeBackend::Smartcore {
            return Reference::fit(self, rows, seed).map(Model::Reference);
        }
        let before = match before {
            Some(Model::Forest(model)) => Some(model),
            _ => None,
        };
        Ok(Model::Forest(Forest::fit(self, rows, seed, counts, before)))
    }

    fn fit_classes(
        &self,
        rows: &ClassRows<'_>,
        seed: u64,
        _before: Option<&ClassesModel>,
    ) -> Result<ClassesModel, Error> {
        ClassForest::forest(self, rows, seed).map(ClassesModel::Forest)
    }

    fn fit_numbers(
        &self,
        rows: &NumberRows<'_>,
        seed: u64,
        _before: Option<&NumbersModel>,
    ) -> Result<NumbersModel, Error> {
        NumberTrees::forest(self, rows, seed).map(NumbersModel::Forest)
    }
}

impl Settings for DecisionTreeParams {
    fn algorithm(&self) -> Algorithm {
        Algorithm::DecisionTree
    }

    fn validate(&self) -> Result<(), Error> {
        self.validate()
    }

    fn without_weights(&self) -> Option<&'static str> {
        without_weights(self.backend)
    }

    fn keeps_counts(&self) -> bool {
        self.backend == TreeBackend::Tidemill
    }

    fn fit_binary(
        &self,
        rows: &TrainingRows<'_>,
        seed: u64,
        _before: Option<&Model>,
        counts: Option<&mut KeptCounts>,
    ) -> Result<Model, Error> {
        match self.backend {
            TreeBackend::Smartcore => Reference::fit_tree(self, rows, seed).map(Model::Reference),
            TreeBackend::Tidemill => Ok(Model::Tree(Forest::fit_tree(self, rows, seed, counts))),
        }
    }

    fn fit_classes(
        &self,
        rows: &ClassRows<'_>,
        seed: u64,
        _before: Option<&ClassesModel>,
    ) -> Result<ClassesModel, Error> {
        ClassForest::tree(self, rows, seed).map(ClassesModel::Tree)
    }

    fn fit_numbers(
        &self,
        rows: &NumberRows<'_>,
        seed: u64,
        _before: Option<&NumbersModel>,
    ) -> Result<NumbersModel, Error> {
        NumberTrees::tree(self, rows, seed).map(NumbersModel::Tree)
    }
}

impl Settings for GradientBoostingParams {
    fn algorithm(&self) -> Algorithm {
        Algorithm::GradientBoosting
    }

    fn validate(&self) -> Result<(), Error> {
        self.validate()
    }

    fn fit_binary(
        &self,
        rows: &TrainingRows<'_>,
        seed: u64,
        before: Option<&Model>,
        _counts: Option<&mut KeptCounts>,
    ) -> Result<Model, Error> {
        let before = match before {
            Some(Model::Boosted(model)) => Some(model),
            _ => None,
        };
        Ok(Model::Boosted(Boosted::fit(self, rows, seed, before)))
    }

    fn fit_classes(
        &self,
        rows: &ClassRows<'_>,
        seed: u64,
        _before: Option<&ClassesModel>,
    ) -> Result<ClassesModel, Error> {
        BoostedClasses::fit(self, rows, seed).map(ClassesModel::Boosted)
    }

    fn fit_numbers(
        &self,
        rows: &NumberRows<'_>,
        seed: u64,
        _before: Option<&NumbersModel>,
    ) -> Result<NumbersModel, Error> {
        NumberTrees::boosted(self, rows, seed).map(NumbersModel::Boosted)
    }
}

impl BinaryModel for Forest {
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        Ok(self.trees().predict_rows(table, rows, kept))
    }

    fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.is_valid(numeric, categorical)
    }

    fn trees(&self) -> Option<Trees<'_>> {
        Some(self.trees())
    }
}

impl BinaryModel for Boosted {
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        Ok(self.trees().predict_rows(table, rows, kept))
    }

    fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.is_valid(numeric, categorical)
    }

    fn trees(&self) -> Option<Trees<'_>> {
        Some(self.trees())
    }
}

impl BinaryModel for Reference {
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        self.predict(&KeptBins::binned(kept, self.bins(), table, rows))
    }

    fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.is_valid(numeric, categorical)
    }
}

impl ManyClasses for ClassForest {
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        Ok(self.predict_proba(table, rows, kept))
    }

    fn is_valid(&self, numeric: usize, categorical: usize, classes: u32) -> bool {
        self.is_valid(numeric, categorical, classes)
    }

    fn gains(&self) -> &[f64] {
        self.gains()
    }
}

impl ManyClasses for BoostedClasses {
    fn predict_proba(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        Ok(self.predict_proba(table, rows, kept))
    }

    fn is_valid(&self, numeric: usize, categorical: usize, classes: u32) -> bool {
        self.is_valid(numeric, categorical, classes)
    }

    fn gains(&self) -> &[f64] {
        self.gains()
    }
}

impl Numbers for NumberTrees {
    fn predict(
        &self,
        table: &FeatureTable,
        rows: &[u32],
        kept: Option<&KeptBins>,
    ) -> Result<Vec<f64>, Error> {
        Ok(self.predict(table, rows, kept))
    }

    fn is_valid(&self, numeric: usize, categorical: usize) -> bool {
        self.is_valid(numeric, categorical)
    }

    fn gains(&self) -> &[f64] {
        self.gains()
    }
}
