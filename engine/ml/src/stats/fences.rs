//! Tukey's fences (Exploratory Data Analysis, 1977): the one rule for what an outlier is.

/// Interquartile ranges from a quartile to its fence, where nothing else is said.
pub const TUKEY_REACH: f64 = 1.5;

/// The fences of two quartiles: `reach` interquartile ranges below the first, and as many above the third. Of equal
/// quartiles, infinite ones too, they are these.
///
/// ```
/// use tidemill_ml::{TUKEY_REACH, tukey_fences};
///
/// assert_eq!(tukey_fences(10.0, 20.0, TUKEY_REACH), (-5.0, 35.0));
/// assert_eq!(tukey_fences(7.0, 7.0, TUKEY_REACH), (7.0, 7.0));
/// ```
pub fn tukey_fences(q1: f64, q3: f64, reach: f64) -> (f64, f64) {
    let margin = if q1 == q3 { 0.0 } else { reach * (q3 - q1) };
    (q1 - margin, q3 + margin)
}

/// What values of a column are held to: its fences, within f64; `None` where half of the values are one, as any other
/// would then be an outlier.
pub(crate) fn bounds(q1: f64, q3: f64, reach: f64) -> Option<(f64, f64)> {
    (q1 < q3).then(|| {
        let (low, high) = tukey_fences(q1, q3, reach);
        // Of bounds past what a number can be, none is ever crossed.
        (low.max(f64::MIN), high.min(f64::MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_finite_and_a_column_that_is_half_one_value_has_none() {
        assert_eq!(bounds(1.0, 3.0, 1.5), Some((-2.0, 6.0)));
        assert_eq!(bounds(-1e308, 1e308, 1.5), Some((f64::MIN, f64::MAX)));
        assert_eq!([bounds(2.0, 2.0, 1.5), bounds(f64::NAN, 2.0, 1.5)], [None, None]);
        assert_eq!(tukey_fences(f64::INFINITY, f64::INFINITY, 1.5), (f64::INFINITY, f64::INFINITY));
    }
}
