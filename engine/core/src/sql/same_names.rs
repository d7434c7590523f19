//! Tables of one name from several schemas.
//!
//! In `FROM t.a JOIN u.a` a column `a.k` may be of either: PostgreSQL and DuckDB refuse it. DataFusion 55 takes that of the first
//! (apache/datafusion#6012).

use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, Statement, TableFactor, TableWithJoins, Visit, Visitor,
};

use super::order_names::normal;

/// Refuses a column of a table of whose name there are several.
///
/// # Errors
/// Plan: there is one.
pub(super) fn check(statement: &Statement) -> Result<()> {
    match statement.visit(&mut Scopes { tables: Vec::new() }) {
        ControlFlow::Break((table, column)) => plan_err!(
            "`{table}.{column}` may be of several tables that are called `{table}`: give each a name, FROM … AS x JOIN … AS y, and write x.{column}"
        ),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Scopes {
    /// What the tables of each SELECT around are called. A query has those of its SELECT, for ORDER BY.
    tables: Vec<Vec<String>>,
}

type Found = ControlFlow<(String, String)>;

impl Scopes {
    fn look(&self, table: &Ident, column: &str) -> Found {
        let table = normal(table);
        let count = |tables: &Vec<String>| tables.iter().filter(|other| **other == table).count();
        match self.tables.iter().rev().map(count).find(|count| *count > 0) {
            Some(2..) => ControlFlow::Break((table, column.to_owned())),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn tables_of(select: &Select) -> Vec<String> {
    let mut names = Vec::new();
    select.from.iter().for_each(|from| add(from, &mut names));
    names
}

fn add(from: &TableWithJoins, names: &mut Vec<String>) {
    let relations = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
    for relation in relations {
        match relation {
            TableFactor::NestedJoin { alias: None, table_with_joins } => add(table_with_joins, names),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. } => names.push(normal(&alias.name)),
            TableFactor::Table { name, .. } => names.extend(last(name).map(normal)),
            _ => {}
        }
    }
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

impl Visitor for Scopes {
    type Break = (String, String);

    fn pre_visit_query(&mut self, query: &Query) -> Found {
        let select = match query.body.as_ref() {
            SetExpr::Select(select) => tables_of(select),
            _ => Vec::new(),
        };
        self.tables.push(select);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> Found {
        self.tables.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Found {
        self.tables.push(tables_of(select));
        for item in &select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
                && let [ObjectNamePart::Identifier(table)] = name.0.as_slice()
            {
                self.look(table, "*")?;
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> Found {
        self.tables.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Found {
        let Expr::CompoundIdentifier(names) = expr else { return ControlFlow::Continue(()) };
        match names.as_slice() {
            [table, column] => self.look(table, &column.value),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::session;
    use crate::sql::{collect, frame};

    /// PostgreSQL and DuckDB refuse what is refused here, and answer the others so.
    #[tokio::test]
    async fn a_column_of_one_of_two_tables_of_a_name_is_asked_for_by_its_schema() {
        let session = session();
        for sql in [
            "CREATE SCHEMA t",
            "CREATE SCHEMA u",
            "CREATE TABLE t.a AS VALUES (1, 10), (2, 20)",
            "CREATE TABLE u.a AS VALUES (1, 30), (2, 5)",
        ] {
            session.sql(sql).await.unwrap().collect().await.unwrap();
        }
        let join = "FROM t.a JOIN u.a ON t.a.column1 = u.a.column1";
        let part = "WITH a AS (SELECT 1 AS column1, 7 AS column2) SELECT";
        for sql in [
            format!("SELECT a.column2 {join}"),
            format!("SELECT a.* {join}"),
            format!("SELECT 1 {join} ORDER BY A.column2"),
            format!("SELECT 1 {join} WHERE a.column2 > 1"),
            format!("SELECT count(*) {join} GROUP BY a.column1"),
            "SELECT 1 FROM t.a JOIN u.a ON a.column1 = 2".to_owned(),
            format!("SELECT (SELECT a.column2) {join}"),
            format!("{part} a.column2 FROM a JOIN t.a ON true"),
        ] {
            let error = frame(&session, &sql).await.map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("may be of several tables that are called `a`"), "{sql}: {error}");
        }
        for (sql, rows) in [
            (format!("SELECT u.a.column2 {join} ORDER BY t.a.column2"), 2),
            ("SELECT a.column2 FROM t.a JOIN u.a AS b ON a.column1 = b.column1".to_owned(), 2),
            (format!("SELECT (SELECT max(a.column2) FROM t.a) {join}"), 2),
            (format!("SELECT t.a.* {join}"), 2),
            (format!("{part} a.column2 FROM a UNION ALL SELECT a.column2 FROM t.a"), 3),
            (
                "SELECT * FROM (SELECT a.column1 FROM t.a) AS x, (SELECT a.column1 FROM u.a) AS y".to_owned(),
                4,
            ),
        ] {
            let made = collect(frame(&session, &sql).await.unwrap()).await.unwrap();
            assert_eq!(made.iter().map(|batch| batch.num_rows()).sum::<usize>(), rows, "{sql}");
        }
    }
}
