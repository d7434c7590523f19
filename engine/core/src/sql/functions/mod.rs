//! SQL functions that DataFusion lacks, known to the statements of a batch job, a test, a view and `tidemill sql`; not to
//! those that work row by row.
//!
//! | function | what it gives |
//! | --- | --- |
//! | `parse_date(text, format, …)` | the time that a text is in the first format that fits; an error if none does |
//! | `haversine_km(latitude, longitude, latitude, longitude)` | kilometres between two points of the Earth |
//! | `iqr_bounds(x)` | aggregate: the bounds beyond which Tukey calls a value an outlier, `{lower, upper}` |
//! | `quantile(x, q)` | `percentile_cont`: exact, interpolated, as numpy does by default |
//! | `median(x)` | the middle value, not cut where it is a half |
//! | `slope(y, x)` | `regr_slope`: of the least-squares line through the points |
//! | `array_sum(list)` | of whole numbers a BIGINT, of decimals a decimal |
//! | `array_has(list, x)`, … | of decimals too (`elements.rs`) |
//!
//! `regr_slope` is DataFusion's own. Its `repeat`, `lpad` and `rpad` are held to the memory (`filled.rs`). Its `median` and `percentile_cont` are replaced: they cut results off.

mod array_sum;
mod elements;
mod filled;
mod haversine;
mod held;
mod parse_date;
mod quantile;
mod ranks;

pub(super) use elements::takes_elements;

use datafusion::execution::context::SessionContext;
use datafusion::functions_aggregate::regr::regr_slope_udaf;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// Makes the functions known to a session.
pub fn register(context: &SessionContext) {
    ranks::ranks().into_iter().for_each(|function| context.register_udwf(function));
    filled::functions().into_iter().for_each(|function| context.register_udf(function));
    context.register_udf(ScalarUDF::from(parse_date::ParseDate::new()));
    context.register_udf(ScalarUDF::from(haversine::HaversineKm::new()));
    context.register_udf(ScalarUDF::from(array_sum::ArraySum::new()));
    elements::register(context);
    context.register_udaf(quantile::iqr_bounds());
    context.register_udaf(quantile::quantile());
    context.register_udaf(quantile::median());
    context.register_udaf(AggregateUDF::clone(&regr_slope_udaf()).with_aliases(["slope"]));
}

#[cfg(test)]
mod tests;
