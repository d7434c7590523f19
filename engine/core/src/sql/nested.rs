//! How deep things may stand in each other for DataFusion to plan them in bounded time.
//!
//! DataFusion 55 checks the plan of a subquery again for each subquery that it stands in, by two ways, so that each level
//! doubles the time: of 22 IN (SELECT …) in each other a minute. And `x BETWEEN a AND b`, `coalesce(x, y)` and the like are
//! made of x twice, so that of 20 in each other x is there a million times.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// How many brackets and CASEs may stand in each other.
const MOST_NESTED: usize = 45;

/// How often subqueries may be looked at: those of 12 as values in each other.
const MOST_WORK: u64 = 10_000;

/// How many UNIONs may, if there is a filter over each: DataFusion takes each filter down through all of them.
const MOST_UNIONS: usize = 60;

/// How many BETWEENs, COALESCEs and the like may.
const MOST_DOUBLED: usize = 6;

/// Refuses brackets in brackets, and CASE in CASE, beyond what the parser takes: near its limit it tries each level twice. A
/// NOT before a bracket is another level of it.
pub(super) fn check_text(sql: &str) -> Result<()> {
    // What is no token is told by the parser.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    // What is open, with its levels.
    let mut open: Vec<(bool, usize)> = Vec::new();
    let (mut depth, mut after_not) = (0usize, false);
    for token in tokens {
        let keyword = match &token {
            Token::Whitespace(_) => continue,
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        let closed = match (&token, keyword) {
            (Token::LParen, _) => {
                open.push((false, if after_not { 2 } else { 1 }));
                depth += if after_not { 2 } else { 1 };
                false
            }
            (_, Keyword::CASE) => {
                open.push((true, 1));
                depth += 1;
                false
            }
            (Token::RParen, _) => matches!(open.last(), Some((false, _))),
            (_, Keyword::END) => matches!(open.last(), Some((true, _))),
            _ => false,
        };
        if closed && let Some((_, levels)) = open.pop() {
            depth -= levels;
        }
        after_not = keyword == Keyword::NOT;
        if depth > MOST_NESTED {
            return plan_err!(
                "more than {MOST_NESTED} brackets and CASEs stand in each other (a NOT before a bracket counts as one): compute parts of it in a WITH before"
            );
        }
    }
    Ok(())
}

/// Refuses what would take too long.
///
/// # Errors
/// Plan: too many stand in each other.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    if work(plan)? > MOST_WORK {
        return plan_err!(
            "too many subqueries in IN, EXISTS, ANY, ALL and as values stand in each other: join some of them, or make tables of parts"
        );
    }
    if unions(plan, true) > MOST_UNIONS {
        return plan_err!(
            "more than {MOST_UNIONS} UNIONs stand in each other, with a WHERE over each: make tables of parts"
        );
    }
    Ok(())
}

/// How many UNIONs stand in each other, with a filter over each.
fn unions(plan: &LogicalPlan, filtered: bool) -> usize {
    let is_union = matches!(plan, LogicalPlan::Union(_));
    let below = matches!(plan, LogicalPlan::Filter(_)) || filtered && !is_union;
    let most = plan.inputs().into_iter().map(|input| unions(input, below)).max().unwrap_or(0);
    most + usize::from(is_union && filtered)
}

/// How often the checks of a plan look at a subquery.
fn work(plan: &LogicalPlan) -> Result<u64> {
    let mut sum = 1u64;
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            for condition in split_conjunction(&filter.predicate) {
                sum = sum.saturating_add(match condition {
                    Expr::InSubquery(membership) if membership.subquery.outer_ref_columns.is_empty() => {
                        work(&membership.subquery.subquery)?.saturating_mul(2)
                    }
                    other => work_of(other)?,
                });
            }
            return Ok(TreeNodeRecursion::Continue);
        }
        node.apply_expressions(|expression| {
            sum = sum.saturating_add(work_of(expression)?);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(sum)
}

fn work_of(expression: &Expr) -> Result<u64> {
    let (mut sum, mut doubled) = (0u64, 0);
    expression.apply(|part| {
        // IN and ANY are put together from several subqueries.
        let (inner, copies) = match part {
            Expr::ScalarSubquery(subquery) => (subquery, 1),
            Expr::Exists(exists) => (&exists.subquery, 1),
            Expr::InSubquery(membership) => (&membership.subquery, 3),
            Expr::SetComparison(comparison) => (&comparison.subquery, 4),
            part => {
                doubled += usize::from(is_doubled(part));
                return Ok(TreeNodeRecursion::Continue);
            }
        };
        sum = sum.saturating_add(work(&inner.subquery)?.saturating_mul(2 * copies));
        Ok(TreeNodeRecursion::Continue)
    })?;
    // So few cannot stand too deep.
    if doubled > MOST_DOUBLED && depth(expression)? > MOST_DOUBLED {
        return plan_err!(
            "more than {MOST_DOUBLED} of BETWEEN, COALESCE, NVL and IFNULL stand in each other: compute the inner ones in a WITH before"
        );
    }
    Ok(sum)
}

/// Whether its first part is there twice once it is planned.
fn is_doubled(part: &Expr) -> bool {
    match part {
        Expr::Between(_) => true,
        Expr::ScalarFunction(ScalarFunction { func, .. }) => {
            matches!(func.name(), "coalesce" | "nvl" | "ifnull")
        }
        _ => false,
    }
}

/// How many that are doubled stand in each other at most.
fn depth(expression: &Expr) -> Result<usize> {
    let mut most = 0;
    expression.apply_children(|part| {
        most = most.max(depth(part)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(most + usize::from(is_doubled(expression)))
}
