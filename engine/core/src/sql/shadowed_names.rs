//! WITH parts that are called as one around them.
//!
//! The inner one is meant within its query, the outer one everywhere else, and in the inner one's own SELECT too. DataFusion 55
//! refuses a name that is there already (no issue of its own; its pull request #18956 has the test of it), so the inner one gets a
//! name of its own, and whoever reads it goes on calling it as before.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query, Statement, TableAlias, TableFactor, VisitMut, VisitorMut,
};

use super::order_names::normal;

/// Gives each such part a name of its own.
pub(super) fn rename(statement: &mut Statement) {
    let _: ControlFlow<()> = statement.visit(&mut Queries { around: Vec::new(), made: 0 });
}

struct Queries {
    /// The parts of each query around.
    around: Vec<Vec<String>>,
    made: usize,
}

impl VisitorMut for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        self.around.push(parts.map(|part| normal(&part.alias.name)).collect());
        ControlFlow::Continue(())
    }

    /// The innermost first: what still bears the name is of this query, then.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let own = self.around.pop().unwrap_or_default();
        for (at, name) in own.iter().enumerate() {
            // Twice in one WITH stays an error.
            let is_around = self.around.iter().any(|names| names.contains(name));
            if is_around && !own[..at].contains(name) {
                self.made += 1;
                of_own_name(query, at, name, &format!("__{name}_{}", self.made));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Calls one part of a query by another name, and those who read it too.
fn of_own_name(query: &mut Query, at: usize, name: &str, own: &str) {
    let mut readers = Readers { name, own };
    let Some(with) = &mut query.with else { return };
    // In its own SELECT the outer one is meant, where it does not read itself.
    let first = if with.recursive { at } else { at + 1 };
    let Some(part) = with.cte_tables.get_mut(at) else { return };
    part.alias.name = Ident::with_quote('"', own);
    for part in with.cte_tables.iter_mut().skip(first) {
        let _: ControlFlow<()> = part.query.visit(&mut readers);
    }
    let _: ControlFlow<()> = query.body.visit(&mut readers);
    let _: ControlFlow<()> = query.order_by.visit(&mut readers);
    let _: ControlFlow<()> = query.limit_clause.visit(&mut readers);
}

struct Readers<'a> {
    name: &'a str,
    own: &'a str,
}

impl VisitorMut for Readers<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name: ObjectName(parts), alias, args: None, .. } = factor
            && let [ObjectNamePart::Identifier(name)] = parts.as_mut_slice()
            && normal(name) == self.name
        {
            let called = std::mem::replace(name, Ident::with_quote('"', self.own));
            alias.get_or_insert(TableAlias { explicit: true, name: called, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// The values of DuckDB and PostgreSQL.
    #[tokio::test]
    async fn the_nearest_part_of_a_name_is_meant() {
        let (one, two) = ("w AS (SELECT 1 AS a)", "WITH w AS (SELECT 2 AS a)");
        check(&[
            (&format!("WITH {one} SELECT q.a, w.a AS b FROM ({two} SELECT a FROM w) AS q, w"), &["2|1"] as &[&str]),
            (&format!("WITH {one} SELECT a, ({two} SELECT w.a FROM W) AS b FROM w"), &["1|2"]),
            (&format!("WITH {one} SELECT a FROM w WHERE a + 1 IN ({two} SELECT a FROM w)"), &["1"]),
            (&format!("WITH {one} SELECT a FROM w WHERE EXISTS (WITH w AS (SELECT a AS b FROM w) SELECT 1 FROM w WHERE w.b = 1)"), &["1"]),
            (&format!("WITH {one} SELECT * FROM (WITH w AS (SELECT a + 1 AS a FROM w), v AS (SELECT a * 10 AS b FROM w) SELECT a, b FROM w, v) AS q"), &["2|20"]),
            (&format!("WITH {one}, v AS (WITH w AS (SELECT 3 AS a) SELECT a FROM w) SELECT v.a, w.a AS b FROM v, w"), &["3|1"]),
            (&format!("WITH {one} SELECT a FROM ({two} SELECT x.a FROM w AS x) AS w"), &["2"]),
            (&format!("WITH {one} ({two} SELECT a FROM w) UNION ALL SELECT a FROM w ORDER BY a"), &["1", "2"]),
            (&format!("WITH {one} SELECT a FROM w ORDER BY ({two} SELECT a FROM w)"), &["1"]),
            (&format!("WITH {one} SELECT * FROM ({two} SELECT * FROM (WITH w AS (SELECT a + 5 AS a FROM w) SELECT a FROM w) AS p, w AS o) AS q (x, y), w"), &["7|2|1"]),
            (&format!("WITH {one} SELECT * FROM (WITH w (b, c) AS (SELECT 5, 6) SELECT w.c, b FROM w) AS q, w"), &["6|5|1"]),
            (
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n, \
                 (WITH RECURSIVE r AS (SELECT 10 AS n UNION ALL SELECT r.n + 1 FROM r WHERE r.n < 12) SELECT sum(n) FROM r) FROM r ORDER BY n",
                &["1|33", "2|33", "3|33"],
            ),
            (&format!("WITH \"W\" AS (SELECT 7 AS a), {one} SELECT * FROM ({two} SELECT w.a, \"W\".a AS b FROM w, \"W\") AS q"), &["2|7"]),
        ])
        .await;
        refused(&[
            ("WITH w AS (SELECT 1 AS a), w AS (SELECT 2 AS a) SELECT a FROM w", "specified more than once"),
            ("WITH w AS (SELECT 1 AS a) SELECT * FROM (WITH w AS (SELECT 1 AS a), w AS (SELECT 2 AS a) SELECT a FROM w) AS q", "specified more than once"),
        ])
        .await;
    }
}
