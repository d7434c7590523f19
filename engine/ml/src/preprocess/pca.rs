//! Principal components, from the covariance of the columns.
//!
//! Means and products of columns are summed block by block (Chan, Golub, LeVeque 1979), so that rows can be added, and
//! the covariance is decomposed by linfa-linalg's symmetric eigensolver. linfa-reduction's PCA iterates on all rows
//! (LOBPCG), cannot take rows later, divides its explained variance by the number of components rather than of rows
//! (0.8.1), and brings five crates more.

use super::{check_columns, check_fit};
use crate::Error;
use crate::file::MOST_ROWS;
use linfa_linalg::eigh::EighInto;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows whose products are summed at once.
const BLOCK: usize = 1024;

/// Settings of a principal component analysis.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct PcaParams {
    /// Components kept, 1 to the number of columns.
    pub components: usize,
    /// Whether each component's scores are divided by their standard deviation.
    pub whiten: bool,
}

impl Default for PcaParams {
    fn default() -> Self {
        PcaParams { components: 2, whiten: false }
    }
}

/// The directions in which rows differ most, orthogonal to each other, and the variance of each. The largest loading of a
/// component is positive, which fixes its sign. A direction whose variance is below 1e-12 of the first one's is rounding:
/// scale columns of very different units before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    params: PcaParams,
    sums: Sums,
    /// Components × columns.
    components: Array2<f64>,
    variances: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sums {
    rows: u64,
    means: Array1<f64>,
    /// Of the products of distances to the means.
    products: Array2<f64>,
}

impl Sums {
    fn of(x: ArrayView2<'_, f64>) -> Sums {
        let means = x.sum_axis(Axis(0)) / (x.nrows() as f64).max(1.0);
        let centred = &x - &means;
        Sums { rows: x.nrows() as u64, products: centred.t().dot(&centred), means }
    }

    fn merge(self, other: Sums) -> Sums {
        let rows = self.rows + other.rows;
        let share = if rows == 0 { 0.0 } else { other.rows as f64 / rows as f64 };
        let apart = &other.means - &self.means;
        let column = apart.view().insert_axis(Axis(1));
        let between = column.dot(&column.t()) * (share * self.rows as f64);
        Sums { rows, products: self.products + other.products + between, means: self.means + apart * share }
    }
}

impl Pca {
    /// Learns from rows. Shape: rows × columns, without missing values.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewRows`] (below two), [`Error::NoRows`], [`Error::NoFeatures`], [`Error::MissingValue`] (NaN or an
    /// infinity), [`Error::Overflow`]; [`Error::BadParameter`] for more components than columns.
    pub fn fit(params: PcaParams, x: ArrayView2<'_, f64>) -> Result<Pca, Error> {
        check_fit(&x)?;
        if !(1..=x.ncols()).contains(&params.components) {
            let expected = "from 1 to the number of columns";
            let value = format!("{} with {} columns", params.components, x.ncols());
            return Err(Error::BadParameter { name: "components", value, expected });
        }
        let empty = Sums {
            rows: 0,
            means: Array1::zeros(x.ncols()),
            products: Array2::zeros((x.ncols(), x.ncols())),
        };
        Pca::from_sums(params, add_rows(empty, x)?)
    }

    /// The components after more rows: to rounding those of all rows at once.
    ///
    /// # Errors
    ///
    /// Those of [`fit`](Pca::fit), and [`Error::LengthMismatch`] for another number of columns.
    pub fn partial_fit(&self, x: ArrayView2<'_, f64>) -> Result<Pca, Error> {
        check_fit(&x)?;
        check_columns(self.sums.means.len(), &x)?;
        Pca::from_sums(self.params, add_rows(self.sums.clone(), x)?)
    }

    fn from_sums(params: PcaParams, sums: Sums) -> Result<Pca, Error> {
        if sums.rows < 2 {
            return Err(Error::TooFewRows { rows: 1, needed: 2 });
        }
        let overflowed = |&column: &usize| {
            !(sums.means[column].is_finite() && sums.products.column(column).iter().all(|v| v.is_finite()))
        };
        if let Some(column) = (0..sums.means.len()).find(overflowed) {
            return Err(Error::Overflow { column });
        }
        let covariance = &sums.products / (sums.rows as f64 - 1.0);
        let (values, vectors) = covariance.eigh_into().map_err(|error| Error::Solver(error.to_string()))?;
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        order.truncate(params.components);
        let mut components =
            vectors.select(Axis(1), &order).reversed_axes().as_standard_layout().into_owned();
        for mut component in components.rows_mut() {
            let largest = component
                .iter()
                .fold(0.0f64, |largest, v| if v.abs() > largest.abs() { *v } else { largest });
            if largest < 0.0 {
                component.mapv_inplace(|v| -v);
            }
        }
        if components.iter().any(|v| !v.is_finite()) {
            return Err(Error::Solver("a component is not finite".into()));
        }
        // Rounding may leave the last ones a little below 0.
        let variances = order.iter().map(|&i| values[i].max(0.0)).collect();
        Ok(Pca { params, sums, components, variances })
    }

    /// The components by rows. Shape: components × columns.
    pub fn components(&self) -> ArrayView2<'_, f64> {
        self.components.view()
    }

    /// Variance of the rows along each component (divided by n - 1).
    pub fn explained_variances(&self) -> &[f64] {
        &self.variances
    }

    /// Share of the variance of all columns that each component has; 0 if there is none.
    pub fn explained_variance_ratios(&self) -> Vec<f64> {
        let total = self.sums.products.diag().sum() / (self.sums.rows as f64 - 1.0);
        self.variances.iter().map(|v| if total > 0.0 { v / total } else { 0.0 }).collect()
    }

    /// Rows as scores on the components. Shape: rows × components.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] for another number of columns, [`Error::MissingValue`], and [`Error::Overflow`] for a
    /// value so far out that a score of its row is past what f64 holds.
    pub fn transform(&self, x: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
        check_columns(self.sums.means.len(), &x)?;
        check_known(&x)?;
        let mut scores = (&x - &self.sums.means).dot(&self.components.t());
        if self.params.whiten {
            for (mut column, variance) in scores.columns_mut().into_iter().zip(&self.variances) {
                // A direction in which nothing differs has scores of rounding alone.
                let unit = if *variance > 0.0 { variance.sqrt() } else { 1.0 };
                column.mapv_inplace(|v| v / unit);
            }
        }
        match scores.indexed_iter().find(|(_, score)| !score.is_finite()) {
            None => Ok(scores),
            Some(((row, _), _)) => {
                let apart = |column: &usize| (x[(row, *column)] - self.sums.means[*column]).abs();
                let farthest = (0..x.ncols()).max_by(|a, b| apart(a).total_cmp(&apart(b)));
                Err(Error::Overflow { column: farthest.unwrap_or(0) })
            }
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        let columns = self.sums.means.len();
        (2..=MOST_ROWS).contains(&self.sums.rows)
            && self.sums.products.dim() == (columns, columns)
            && self.components.dim() == (self.params.components, columns)
            && self.variances.len() == self.params.components
            && self
                .sums
                .means
                .iter()
                .chain(&self.sums.products)
                .chain(&self.components)
                .all(|v| v.is_finite())
            && self.variances.iter().all(|v| v.is_finite() && *v >= 0.0)
    }
}

fn check_known(x: &ArrayView2<'_, f64>) -> Result<(), Error> {
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), _)) => Err(Error::MissingValue { row, column }),
        None => Ok(()),
    }
}

fn add_rows(sums: Sums, x: ArrayView2<'_, f64>) -> Result<Sums, Error> {
    check_known(&x)?;
    let blocks: Vec<ArrayView2<'_, f64>> = x.axis_chunks_iter(Axis(0), BLOCK).collect();
    let blocks: Vec<Sums> = blocks.into_par_iter().map(Sums::of).collect();
    Ok(blocks.into_iter().fold(sums, Sums::merge))
}
