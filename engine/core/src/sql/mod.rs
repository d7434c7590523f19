//! SQL as a person means it: DataFusion's planner and optimizer with our functions, our times, and the rules that make its
//! plans right. It knows no lake and no file.

pub(crate) mod as_of;
mod bare_names;
mod beside;
mod brackets;
mod coalesces;
mod deep;
mod distinct_on;
mod first_in_lists;
pub mod functions;
mod grouping_sets;
mod input_names;
mod literals;
mod merged_columns;
mod names;
mod nested;
mod order_names;
mod orders;
mod out_of_memory;
mod outer_tables;
mod patterns;
mod relations;
mod rules;
mod same_names;
mod schema_check;
mod settled;
mod shadowed_names;
mod shallow;
mod shorthands;
mod statement;
mod time;
mod unjoined;
mod unplanned;
mod values;

use std::sync::Arc;

use datafusion::execution::context::{SessionConfig, SessionContext};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;

pub(crate) use deep::deep;
pub(crate) use out_of_memory::{Asker, RESULT, explain_memory};
pub(crate) use rules::{OfItsType, one_nan};
pub(crate) use settled::settled;
pub use statement::{collect, frame};
pub(crate) use statement::{execute, frame_at, parse, plan};

/// The functions that ask models (`predict`), which a session knows that has models.
pub(crate) const MODEL_FUNCTIONS: [&str; 4] = ["predict", "predict_proba", "cluster_id", "score"];

/// A session with our functions, and the rules that make DataFusion's plans right. It has no tables yet.
pub fn context(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionContext {
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_optimizer_rules(rules::logical())
        .with_physical_optimizer_rules(rules::physical())
        .build();
    let context = SessionContext::new_with_state(state);
    time::prepare(&context);
    functions::register(&context);
    context.register_udf(input_names::function());
    rules::register(&context);
    context
}

#[cfg(test)]
mod tests;
