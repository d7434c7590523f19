//! What DataFusion's plans get wrong, made right: rules that every session has.
//!
//! | rule | what it mends |
//! | --- | --- |
//! | [`arithmetic`] | whole numbers and decimals that wrap, quotients of decimals that are cut off, NaN and zero with a sign |
//! | [`aggregates`] | `sum` that wraps, `avg` of decimals that is cut off, `min` and `max` of a group with a NaN |
//! | [`null_membership`] | `IN` and `NOT IN` over a subquery with nulls |
//! | [`set_comparisons`] | `= ANY`, `> ALL` and the like of a subquery as columns, which have no plan |
//! | [`subquery_columns`] | `IN` and `EXISTS` as columns, which have no plan |
//! | [`counted_sets`] | `EXCEPT ALL` and `INTERSECT ALL`, which lose how often a row is there |
//! | [`one_row`] | aggregates without GROUP BY as tables and in EXISTS, and subqueries as values that have no row |
//! | [`sort_keys`] | a key that is twice in the ORDER BY of an aggregate |
//! | [`in_list`] | a list whose values are computed row by row |
//! | [`many_conditions`] | thousands of conditions, which take the stack or minutes |
//! | [`unordered_casts`] | rows that are lost to statistics of casts that keep no order |
//!
//! | [`filter_pushdown`] | rows that are lost where a filter takes one column for another of the same name |
//!
//! All but the last two are rules of the analyzer: they see the statement as it was written, once its types are settled.

mod aggregates;
mod arithmetic;
mod checked;
mod counted_sets;
mod doubles;
mod filter_pushdown;
mod in_list;
mod many_conditions;
mod moving;
mod null_membership;
mod of_its_type;
mod one_nan;
mod one_row;
mod ordered;
mod pairs;
mod queue;
mod set_comparisons;
mod shifts;
mod sort_keys;
mod subquery_columns;
mod told;
mod unordered_casts;

use std::sync::Arc;

use datafusion::execution::context::SessionContext;

pub(crate) use of_its_type::OfItsType;
pub(crate) use one_nan::one_nan;

pub(super) use filter_pushdown::physical_rules as physical;

/// Adds the rules for logical plans to a session.
pub(super) fn register(context: &SessionContext) {
    context.add_analyzer_rule(Arc::new(set_comparisons::SetComparisons));
    context.add_analyzer_rule(Arc::new(arithmetic::ExactArithmetic));
    context.add_analyzer_rule(Arc::new(aggregates::ExactAggregates));
    context.add_analyzer_rule(Arc::new(sort_keys::SortKeysOnce));
    context.add_analyzer_rule(Arc::new(one_row::OneRow));
    context.add_analyzer_rule(Arc::new(null_membership::NullMembership));
    context.add_analyzer_rule(Arc::new(subquery_columns::SubqueryColumns));
    context.add_analyzer_rule(Arc::new(counted_sets::CountedSets));
    context.add_analyzer_rule(Arc::new(in_list::ComputedLists));
    // Last, as it hides conditions from the others.
    context.add_analyzer_rule(Arc::new(many_conditions::ManyConditions));
    context.add_optimizer_rule(Arc::new(unordered_casts::HideUnorderedCasts::new()));
}
