//! What DataFusion's plans get wrong, made right: rules that every session has.
//!
//! | rule | what it mends |
//! | --- | --- |
//! | [`arithmetic`] | whole numbers and decimals that wrap, quotients of decimals that are cut off, NaN and zero with a sign |
//! | [`aggregates`] | `sum` that wraps, `avg` that is cut off or loses digits, `min` and `max` of a group with a NaN; distinct |
//! | | structs and lists, which are counted slowly |
//! | [`null_membership`] | `IN` and `NOT IN` over a subquery with nulls |
//! | [`set_comparisons`] | `= ANY`, `> ALL` and the like of a subquery as columns, which have no plan |
//! | [`guarded_subqueries`] | what stands beside a subquery and keeps it from being asked |
//! | [`subquery_columns`] | `IN` and `EXISTS` as columns, which have no plan |
//! | [`counted_sets`] | `EXCEPT ALL` and `INTERSECT ALL`, which lose how often a row is there |
//! | [`one_row`] | aggregates without GROUP BY as tables and in EXISTS, and subqueries as values that have no row |
//! | [`by_values`] | the same where they read the row around them in HAVING or beside the aggregate |
//! | [`sort_keys`] | a key that is twice in the ORDER BY of an aggregate |
//! | [`computed_keys`] | keys that compare what is computed, and subqueries as keys and in aggregates |
//! | [`outer_rows`] | what a subquery reads of the rows around it: of another type, or of rows that GROUP BY has made one |
//! | [`pulled_up`] | windows and outer joins in subqueries, of all rows instead of those that meet the outer row |
//! | [`met_columns`] | columns of one name by which a subquery meets the outer row |
//! | [`on_subqueries`] | IN and EXISTS in the ON of a join, which have no plan |
//! | [`grouping_keys`] | expressions in ROLLUP, CUBE and GROUPING SETS, which lose their names |
//! | [`grouped_subqueries`] | subqueries in GROUP BY, which have no plan |
//! | [`union_names`] | the names of a UNION of which the first SELECT has no row |
//! | [`decimal_truths`] | casts between decimals and BOOLEAN |
//! | [`lossy_casts`] | comparisons of casts that make one value of several, and of days between dates |
//! | [`arguments`] | `round` of decimals, and `concat` of nothing |
//! | [`in_list`] | a list whose values are computed row by row |
//! | [`many_conditions`] | thousands of conditions, which take the stack or minutes |
//! | [`nested_order`] | nulls in lists and rows that are compared |
//! | [`extremes`] | nulls in structs of which one is the greatest |
//! | [`cases`] | what a CASE leaves out, and is computed all the same |
//! | [`truths`] | `IS TRUE` and the like as keys |
//! | [`unordered_casts`] | rows that are lost to statistics of casts that keep no order |
//! | [`null_joins`] | joins in which null equals null, beside others |
//! | [`guards`] | what a WHERE or an ON keeps away from an expression that may be an error |
//! | [`guarded_keys`] | the same for what a join is by |
//! | [`filter_pushdown`] | rows that are lost where a filter takes one column for another of the same name |
//! | [`null_rows`] | the order of an outer join by what is constant on one side |
//! | [`moved_keys`] | rows that are told apart by another column than the key that they are grouped by |
//! | [`constant_sums`] | sums and distinct values of a constant, over no rows |
//! | [`first_rows`] | the first rows of a UNION of constants, of groups below a window, and groups of NaN |
//!
//! All but the last nine are rules of the analyzer: they see the statement as it was written, once its types are settled.

mod aggregates;
mod arguments;
mod arithmetic;
mod by_values;
mod cases;
mod checked;
mod computed_keys;
mod constant_sums;
mod counted_sets;
mod decimal_truths;
mod doubles;
mod extremes;
mod filter_pushdown;
mod first_rows;
mod grouped_subqueries;
mod grouping_keys;
mod guarded_keys;
mod guarded_subqueries;
mod guards;
mod held;
mod in_list;
mod lossy_casts;
mod many_conditions;
mod met_columns;
mod moved_keys;
mod moving;
mod moving_xor;
mod nested_order;
mod null_joins;
mod null_membership;
mod null_rows;
mod of_its_type;
mod on_subqueries;
mod one_nan;
mod one_row;
mod ordered;
mod outer_rows;
mod pairs;
mod pulled_up;
mod queue;
mod row_bytes;
mod set_comparisons;
mod shifts;
mod sort_keys;
mod subquery_columns;
mod told;
mod truths;
mod union_names;
mod unordered_casts;
mod whole_means;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan, Union};

pub(crate) use of_its_type::OfItsType;
pub(crate) use one_nan::one_nan;

pub(super) use arguments::SettledArguments;
pub(super) use filter_pushdown::physical_rules as physical;
pub(super) use grouping_keys::GroupingKeys;
pub(super) use null_joins::logical_rules as logical;
pub(super) use outer_rows::{is_lateral, looked_up, reads_rows_around};

/// Adds the rules for logical plans to a session.
pub(super) fn register(context: &SessionContext) {
    context.add_analyzer_rule(Arc::new(outer_rows::OuterRows));
    context.add_analyzer_rule(Arc::new(on_subqueries::OnSubqueries));
    context.add_analyzer_rule(Arc::new(grouped_subqueries::GroupedSubqueries));
    context.add_analyzer_rule(Arc::new(computed_keys::ComputedKeys));
    context.add_analyzer_rule(Arc::new(union_names::UnionNames));
    context.add_analyzer_rule(Arc::new(decimal_truths::DecimalTruths));
    context.add_analyzer_rule(Arc::new(lossy_casts::HideLossyCasts::new()));
    context.add_analyzer_rule(Arc::new(set_comparisons::SetComparisons));
    context.add_analyzer_rule(Arc::new(arithmetic::ExactArithmetic));
    context.add_analyzer_rule(Arc::new(aggregates::ExactAggregates));
    context.add_analyzer_rule(Arc::new(sort_keys::SortKeysOnce));
    context.add_analyzer_rule(Arc::new(guarded_subqueries::GuardedSubqueries));
    context.add_analyzer_rule(Arc::new(one_row::OneRow));
    context.add_analyzer_rule(Arc::new(pulled_up::PulledUp));
    context.add_analyzer_rule(Arc::new(null_membership::NullMembership));
    context.add_analyzer_rule(Arc::new(subquery_columns::SubqueryColumns));
    context.add_analyzer_rule(Arc::new(met_columns::MetColumns));
    context.add_analyzer_rule(Arc::new(counted_sets::CountedSets));
    context.add_analyzer_rule(Arc::new(in_list::ComputedLists));
    context.add_analyzer_rule(Arc::new(nested_order::NestedOrder));
    context.add_analyzer_rule(Arc::new(truths::Truths));
    // Once it is known what is checked.
    context.add_analyzer_rule(Arc::new(cases::LazyCases));
    // Last, as it hides conditions from the others.
    context.add_analyzer_rule(Arc::new(many_conditions::ManyConditions));
    context.add_optimizer_rule(Arc::new(guarded_keys::GuardedKeys));
    context.add_optimizer_rule(Arc::new(unordered_casts::HideUnorderedCasts::new()));
}

/// Whether a subquery is part of an expression.
fn has_subquery(expression: &Expr) -> bool {
    let is_one = |part: &Expr| {
        Ok(matches!(
            part,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
        ))
    };
    expression.exists(is_one).unwrap_or(true)
}

/// Whether it is so of an expression of a node.
fn any(plan: &LogicalPlan, is_so: impl Fn(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expression| {
        found |= is_so(expression);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// A node with other parts in its expressions, which are called as they were. It stays as it is if `may_change` of no part.
fn with_parts(
    plan: LogicalPlan,
    may_change: impl Fn(&Expr) -> bool,
    change: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    if !any(&plan, |expression| expression.exists(|part| Ok(may_change(part))).unwrap_or(true))? {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let made = expression.transform_up(|part| change(part, &schema))?;
        Ok(made.update_data(|expression| name.restore(expression)))
    })
}

/// A plan whose nodes know what the ones below them give now.
fn recomputed(plan: LogicalPlan) -> Result<LogicalPlan> {
    let of_node = |plan: LogicalPlan| {
        Ok(Transformed::yes(match plan {
            // By itself it stays as it was.
            LogicalPlan::Union(union) if may_be_null_now(&union) => {
                LogicalPlan::Union(Union::try_new_with_loose_types(union.inputs)?)
            }
            plan => plan.recompute_schema()?,
        }))
    };
    Ok(plan.transform_up_with_subqueries(of_node)?.data)
}

/// Whether a column may be null in a part of a UNION, and not in all of it.
fn may_be_null_now(union: &Union) -> bool {
    union.inputs.iter().any(|input| {
        let mut pairs = union.schema.fields().iter().zip(input.schema().fields());
        pairs.any(|(all, part)| part.is_nullable() && !all.is_nullable())
    })
}
