//! Aggregates of pairs: `corr`, `covar_*` and `regr_*`.
//!
//! DataFusion 55 subtracts what leaves a frame, computes `corr` of groups from sums of squares, which of numbers around 1e9
//! leaves no digit (apache/datafusion#24953), and gives NULL for a NaN. Here all of them come from one set of figures, which are never subtracted. As in
//! DuckDB, where a NaN or an infinity goes in, NaN comes out. As in PostgreSQL, `corr` and the slope of a constant x are
//! null, and `regr_r2` of a constant y is 1. Squares that no DOUBLE holds are an error.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};

use super::queue::{Figures, Queue};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Correlation,
    Covariance { sample: bool },
    Slope,
    Intercept,
    Fit,
    MeanX,
    MeanY,
    SquaresX,
    SquaresY,
    Products,
}

/// An aggregate function of pairs with figures of its own.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Pairs {
    kind: Kind,
    inner: Arc<AggregateUDF>,
}

impl Pairs {
    /// `None`: another function.
    pub(super) fn of(inner: &Arc<AggregateUDF>) -> Option<Pairs> {
        let kind = match inner.name() {
            "corr" => Kind::Correlation,
            "covar_samp" => Kind::Covariance { sample: true },
            "covar_pop" => Kind::Covariance { sample: false },
            "regr_slope" => Kind::Slope,
            "regr_intercept" => Kind::Intercept,
            "regr_r2" => Kind::Fit,
            "regr_avgx" => Kind::MeanX,
            "regr_avgy" => Kind::MeanY,
            "regr_sxx" => Kind::SquaresX,
            "regr_syy" => Kind::SquaresY,
            "regr_sxy" => Kind::Products,
            _ => return None,
        };
        Some(Pairs { kind, inner: inner.clone() })
    }
}

impl AggregateUDFImpl for Pairs {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Whole { kind: self.kind, all: Both::NONE }))
    }

    fn create_sliding_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Frame { kind: self.kind, pairs: Queue::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str| {
            Arc::new(Field::new(format_state_name(args.name, name), DataType::Float64, true)) as FieldRef
        };
        Ok(FIGURES.map(field).to_vec())
    }
}

const FIGURES: [&str; 10] = [
    "count",
    "sum_y",
    "sum_x",
    "first_y",
    "first_x",
    "mean_y",
    "mean_x",
    "squares_y",
    "squares_x",
    "products",
];

/// Of some pairs: how many, the sums of both sides, their first values, how far their means are from those, the squares of
/// the distances to the means, and the products of those. Counted from the first value, numbers around 1e9 keep their digits
/// and a constant has no distance at all.
#[derive(Debug, Clone, Copy)]
struct Both {
    count: f64,
    sum_y: f64,
    sum_x: f64,
    first_y: f64,
    first_x: f64,
    mean_y: f64,
    mean_x: f64,
    squares_y: f64,
    squares_x: f64,
    products: f64,
}

impl Figures for Both {
    type Value = (f64, f64);

    const NONE: Both = Both::of_figures([0.0; 10]);

    fn of((y, x): (f64, f64)) -> Both {
        // What is no number has no distance.
        let distance = |value: f64| if value.is_finite() { 0.0 } else { f64::NAN };
        let (squares_y, squares_x) = (distance(y), distance(x));
        Both {
            count: 1.0,
            sum_y: y,
            sum_x: x,
            first_y: y,
            first_x: x,
            mean_y: 0.0,
            mean_x: 0.0,
            squares_y,
            squares_x,
            products: squares_y + squares_x,
        }
    }

    /// After Chan, Golub and LeVeque 1979.
    fn with(self, later: Both) -> Both {
        if self.count == 0.0 {
            return later;
        }
        if later.count == 0.0 {
            return self;
        }
        let count = self.count + later.count;
        let apart_y = later.first_y - self.first_y + later.mean_y - self.mean_y;
        let apart_x = later.first_x - self.first_x + later.mean_x - self.mean_x;
        let (share, weight) = (later.count / count, self.count * later.count / count);
        Both {
            count,
            sum_y: self.sum_y + later.sum_y,
            sum_x: self.sum_x + later.sum_x,
            mean_y: self.mean_y + apart_y * share,
            mean_x: self.mean_x + apart_x * share,
            squares_y: self.squares_y + later.squares_y + apart_y * apart_y * weight,
            squares_x: self.squares_x + later.squares_x + apart_x * apart_x * weight,
            products: self.products + later.products + apart_y * apart_x * weight,
            ..self
        }
    }
}

impl Both {
    const fn of_figures(figures: [f64; 10]) -> Both {
        let [count, sum_y, sum_x, first_y, first_x, mean_y, mean_x, squares_y, squares_x, products] = figures;
        Both { count, sum_y, sum_x, first_y, first_x, mean_y, mean_x, squares_y, squares_x, products }
    }

    fn figures(&self) -> [f64; 10] {
        let Both { count, sum_y, sum_x, first_y, first_x, mean_y, mean_x, squares_y, squares_x, products } =
            *self;
        [count, sum_y, sum_x, first_y, first_x, mean_y, mean_x, squares_y, squares_x, products]
    }

    fn value(&self, kind: Kind) -> Result<ScalarValue> {
        let Both { count, squares_y, squares_x, products, .. } = *self;
        if count == 0.0 {
            return Ok(ScalarValue::Float64(None));
        }
        if !matches!(kind, Kind::MeanX | Kind::MeanY)
            && [squares_y, squares_x, products].iter().any(|sum| sum.is_infinite())
        {
            return exec_err!(
                "the squares of the values of corr, covar or regr are more than DOUBLE holds: divide them by a power of ten"
            );
        }
        let is_number = !products.is_nan();
        let value = match kind {
            Kind::Correlation if is_number && (squares_y == 0.0 || squares_x == 0.0) => None,
            Kind::Correlation => {
                // The root of the product is exact for y = x, where the product is.
                let product = squares_y * squares_x;
                let root = match product.is_normal() {
                    true => product.sqrt(),
                    false => squares_y.sqrt() * squares_x.sqrt(),
                };
                Some((products / root).clamp(-1.0, 1.0))
            }
            Kind::Covariance { sample: true } => (count > 1.0).then(|| products / (count - 1.0)),
            Kind::Covariance { sample: false } => Some(products / count),
            Kind::Slope | Kind::Intercept | Kind::Fit if is_number && squares_x == 0.0 => None,
            Kind::Slope => Some(products / squares_x),
            Kind::Intercept => {
                let (mean_y, mean_x) = (self.first_y + self.mean_y, self.first_x + self.mean_x);
                Some(mean_y - products / squares_x * mean_x)
            }
            Kind::Fit if is_number && squares_y == 0.0 => Some(1.0),
            Kind::Fit => Some((products / squares_x) * (products / squares_y)),
            Kind::MeanX => Some(self.sum_x / count),
            Kind::MeanY => Some(self.sum_y / count),
            Kind::SquaresX => Some(squares_x),
            Kind::SquaresY => Some(squares_y),
            Kind::Products => Some(products),
        };
        Ok(ScalarValue::Float64(value))
    }
}

/// The pairs of two columns of which neither is null.
fn pairs(columns: &[ArrayRef]) -> Result<impl Iterator<Item = (f64, f64)>> {
    let [y, x] = columns else { return internal_err!("pairs of {} columns", columns.len()) };
    let (y, x) = (y.as_primitive::<Float64Type>(), x.as_primitive::<Float64Type>());
    Ok(y.iter().zip(x.iter()).filter_map(|(y, x)| Some((y?, x?))))
}

/// All pairs of a group.
#[derive(Debug)]
struct Whole {
    kind: Kind,
    all: Both,
}

impl Accumulator for Whole {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.all = pairs(columns)?.fold(self.all, |all, pair| all.with(Both::of(pair)));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.all.value(self.kind)
    }

    fn size(&self) -> usize {
        size_of::<Whole>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.all.figures().map(ScalarValue::from).to_vec())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(rows) = states.first().filter(|_| states.len() == FIGURES.len()) else {
            return internal_err!("a state of {} figures", states.len());
        };
        for row in 0..rows.len() {
            let mut figures = [0.0; FIGURES.len()];
            for (figure, column) in figures.iter_mut().zip(states) {
                *figure = column.as_primitive::<Float64Type>().value(row);
            }
            self.all = self.all.with(Both::of_figures(figures));
        }
        Ok(())
    }
}

/// The pairs of a frame that moves.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    pairs: Queue<Both>,
}

impl Accumulator for Frame {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        pairs(columns)?.for_each(|pair| self.pairs.push(pair));
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        // They leave in the order in which they came.
        pairs(columns)?.try_for_each(|_| self.pairs.pop())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.pairs.all().value(self.kind)
    }

    fn size(&self) -> usize {
        size_of::<Frame>() + self.pairs.bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a frame is never a part of another")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        internal_err!("a frame is never a part of another")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind, pairs: &[(f64, f64)]) -> Option<f64> {
        let all = pairs.iter().fold(Both::NONE, |all, pair| all.with(Both::of(*pair)));
        match all.value(kind).unwrap() {
            ScalarValue::Float64(value) => value,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn large_numbers_keep_their_digits() {
        // numpy: corrcoef, cov and polyfit of these.
        let far: Vec<(f64, f64)> = [(1.0, 2.0), (2.0, 4.0), (3.0, 5.0), (4.0, 4.0), (5.0, 5.0)]
            .map(|(y, x)| (y + 1e9, x + 1e9))
            .to_vec();
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-9;
        assert!(near(value(Kind::Correlation, &far), 0.774_596_669_241_483_4));
        assert!(near(value(Kind::Covariance { sample: true }, &far), 1.5));
        assert!(near(value(Kind::Slope, &far), 1.0));
        assert_eq!(
            value(Kind::Correlation, &far.iter().map(|(y, _)| (*y, *y)).collect::<Vec<_>>()),
            Some(1.0)
        );
    }

    #[test]
    fn constants_and_what_is_no_number() {
        let kinds = [Kind::Correlation, Kind::Slope, Kind::Intercept, Kind::Fit];
        let of = |pairs: &[(f64, f64)]| kinds.map(|kind| value(kind, pairs));
        // PostgreSQL 16.
        assert_eq!(of(&[]), [None; 4]);
        assert_eq!(of(&[(1.0, 2.0)]), [None; 4]);
        assert_eq!(of(&[(1.0, 2.0), (3.0, 2.0)]), [None; 4]);
        assert_eq!(of(&[(0.1, 2.0), (0.1, 3.0), (0.1, 7.0)]), [None, Some(0.0), Some(0.1), Some(1.0)]);
        for odd in [f64::NAN, f64::INFINITY] {
            for pairs in [[(odd, 1.0), (1.0, 1.0)], [(1.0, odd), (1.0, 1.0)]] {
                assert!(of(&pairs).iter().all(|value| value.is_some_and(f64::is_nan)), "{pairs:?}");
            }
        }
        assert_eq!(value(Kind::MeanY, &[(f64::INFINITY, 1.0), (1.0, 1.0)]), Some(f64::INFINITY));
        let beyond = [(1e200, 1.0), (-1e200, 2.0)].map(Both::of);
        assert!(beyond[0].with(beyond[1]).value(Kind::Correlation).is_err());
    }
}
