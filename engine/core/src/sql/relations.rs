//! How many tables a statement reads once its WITH parts are put in where they are named.
//!
//! DataFusion plans a part again wherever it is named: of 24 parts that each name the one before twice it would plan 2^24
//! tables. So they are counted first, in the statement as it is written.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Statement, Visit, Visitor};

/// The most tables of a statement.
const MOST: u64 = 1000;

/// Refuses a statement that reads too many.
///
/// # Errors
/// Plan: more than 1,000.
pub(super) fn check(statement: &Statement) -> Result<()> {
    let mut count = Count { queries: Vec::new(), most: 0, named: String::new() };
    let _: ControlFlow<()> = statement.visit(&mut count);
    match count.most {
        0..=MOST => Ok(()),
        _ if count.named.is_empty() => plan_err!(
            "the statement reads more than {MOST} tables: make tables of parts of it, and read those"
        ),
        _ => plan_err!(
            "the statement reads more than {MOST} tables, as its WITH parts name each other many times (`{}` among them): make a table of a part, or name it once",
            count.named
        ),
    }
}

/// A query that is being read.
#[derive(Default)]
struct Reading {
    /// Names of its WITH parts whose queries come next.
    next: VecDeque<String>,
    /// The tables of those that have been read.
    parts: HashMap<String, u64>,
    tables: u64,
}

struct Count {
    queries: Vec<Reading>,
    most: u64,
    /// The first that was too many.
    named: String,
}

impl Visitor for Count {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        let next = parts.map(|part| part.alias.name.value.to_lowercase()).collect();
        self.queries.push(Reading { next, ..Reading::default() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        let Some(done) = self.queries.pop() else { return ControlFlow::Continue(()) };
        let part = self.queries.last_mut().and_then(|outer| outer.next.pop_front());
        if done.tables > MOST && self.most <= MOST {
            self.named = part.clone().unwrap_or_default();
        }
        self.most = self.most.max(done.tables);
        if let Some(outer) = self.queries.last_mut() {
            match part {
                Some(name) => {
                    outer.parts.insert(name, done.tables);
                }
                None => outer.tables = outer.tables.saturating_add(done.tables),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let name = name.to_string().trim_matches('"').to_lowercase();
        let tables = self.queries.iter().rev().find_map(|query| query.parts.get(&name)).copied();
        if let Some(query) = self.queries.last_mut() {
            query.tables = query.tables.saturating_add(tables.unwrap_or(1).max(1));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn is_fine(sql: &str) -> bool {
        let statement = Parser::parse_sql(&GenericDialect {}, sql).unwrap().remove(0);
        check(&statement).is_ok()
    }

    #[test]
    fn parts_that_double_each_other_are_counted() {
        let doubled = |levels: usize| {
            let parts: Vec<String> =
                (1..=levels).map(|at| format!("a{at} AS (SELECT * FROM a{}, a{})", at - 1, at - 1)).collect();
            format!("WITH a0 AS (SELECT 1), {} SELECT * FROM A{levels}", parts.join(", "))
        };
        assert!(is_fine(&doubled(9)));
        assert!(!is_fine(&doubled(10)));
        assert!(!is_fine(&doubled(70)));
        assert!(!is_fine(&format!("SELECT (SELECT count(*) FROM ({}))", doubled(24))));
        let inner = "WITH b AS (WITH c AS (SELECT * FROM a, a) SELECT * FROM c, c) SELECT * FROM b, b";
        assert!(is_fine(&format!("WITH a AS (SELECT * FROM t) {}", inner.replacen("WITH", ",", 1))));
        let many = vec!["SELECT * FROM t"; 500].join(" UNION ALL ");
        assert!(is_fine(&many));
        assert!(!is_fine(&format!("WITH a AS ({many}) SELECT * FROM a, a, a")));
    }
}
