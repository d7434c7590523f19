//! Times in SQL, as PostgreSQL has them, where DataFusion 55 has another answer or none.
//!
//! - TIMESTAMP is in microseconds and reaches from the year 1 to 9999, with a zone or without. DataFusion's are nanoseconds,
//!   which end in 2262.
//! - `now()` is a moment: a TIMESTAMP WITH TIME ZONE, in UTC.
//! - A zoned time is shown, cast, truncated and taken apart in its own zone; `AT TIME ZONE` gives a time without a zone the
//!   zone, and takes it from one that has it. An hour that a clock shows twice is the later of the two, of one that it
//!   leaves out it is what the clock shows after ([`zones`]).
//! - Intervals and differences of times are compared by their length ([`spans`]).
//! - Dates and times are of the years 1 to 9999; what would be beyond is an error ([`calendar`]).
//! - A DATE and an interval make a DATE where the interval is written out in whole days or months; else a TIMESTAMP.

mod calendar;
mod multiples;
mod now;
mod parts;
mod planner;
mod read;
mod rounded;
mod series;
mod spans;
mod zones;

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::ScalarUDF;

use super::beside;
use crate::error::Error;

pub(super) use spans::is_comparison;
pub(super) use zones::expressions_of;

/// Gives a session these times. What the session knows beyond DataFusion's own comes afterwards.
pub(super) fn prepare(context: &SessionContext) {
    let state = context.state();
    let mut rules = state.analyzer().rules.clone();
    // Before types are made equal, for they would be made so wrongly.
    rules.insert(0, Arc::new(spans::ByLength::new()));
    rules.insert(0, Arc::new(beside::OneType));
    rules.insert(0, Arc::new(zones::AtTimeZone::new()));
    rules.insert(0, Arc::new(super::rules::SettledArguments::new()));
    rules.insert(0, Arc::new(super::rules::GroupingKeys));
    rules.push(Arc::new(zones::ZonedCasts::new()));
    rules.push(Arc::new(calendar::Calendar));
    let session_id = state.session_id().to_owned();
    let mut planners = state.expr_planners().to_vec();
    planners.insert(0, Arc::new(planner::Times::new()));
    let state = SessionStateBuilder::new_from_existing(state)
        .with_session_id(session_id)
        .with_type_planner(Arc::new(planner::Microseconds))
        .with_expr_planners(planners)
        .with_analyzer_rules(rules)
        .build();
    *context.state_ref().write() = state;
    context.register_udf(ScalarUDF::from(parts::DatePart::new()));
    context.register_udf(ScalarUDF::from(now::Now::new()));
    context.register_udf(ScalarUDF::from(read::ToTimestamp::new()));
    context.register_udf(ScalarUDF::from(rounded::DateTrunc::new()));
    context.register_udf(ScalarUDF::from(rounded::DateBin::new()));
    for name in ["generate_series", "range"] {
        if let Ok(series) = context.table_function(name) {
            context.register_udtf(name, Arc::new(series::Series(series.function().clone())));
        }
    }
}

/// A statement that says something else than it seems to.
fn refused<T>(message: String, hint: impl Into<String>) -> Result<T> {
    Err(DataFusionError::External(Box::new(Error::user(message).hint(hint))))
}

#[cfg(test)]
mod tests;
