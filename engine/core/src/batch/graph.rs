//! What each SELECT reads, and the order that follows from it.
//!
//! Names are found by DataFusion's parser, so comments, CTEs and subqueries are understood. A bare name is a table or an
//! input of the job; `other_job.table` and `system.table` are tables of the lake as they are when the run begins. A
//! function of rows, such as generate_series, is none.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::parser::Statement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{Statement as Sql, TableFactor, Visit, Visitor};

use crate::error::{Error, Result, suggestion};
use crate::predict;
use crate::project::{BatchJob, BatchModel, SqlFile};
use crate::registry::{At, CHALLENGER, ModelRef};

/// What one SELECT reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Tables of the job, by their place in [`BatchJob::tables`].
    pub tables: BTreeSet<usize>,
    /// Inputs of the job, by their place in [`BatchJob::inputs`].
    pub inputs: BTreeSet<usize>,
    /// Tables of other jobs and of the system, `schema.table`.
    pub others: BTreeSet<String>,
    /// Models of the job whose tables it reads, by their place in [`BatchJob::models`].
    pub models: BTreeSet<usize>,
    /// Those tables.
    pub model_tables: BTreeSet<String>,
    /// Models of the job that it asks, and whose answer is another once they are trained.
    pub asks: BTreeSet<usize>,
}

/// The steps of a job, its tables and then its models, with what they read.
#[derive(Debug, Clone)]
pub struct Graph {
    /// By the place of the step: that of the table in [`BatchJob::tables`], and behind all tables that of the model.
    pub reads: Vec<Reads>,
    /// Places in an order that builds what is read before what reads it.
    pub order: Vec<usize>,
    /// How many steps are tables.
    tables: usize,
}

/// The name of a step: that of the table, or of the model.
pub(super) fn step_name(job: &BatchJob, at: usize) -> &str {
    match job.tables.get(at) {
        Some(table) => &table.file.name,
        None => model_of(job, at).map_or("", BatchModel::name),
    }
}

/// The model that is trained by a step; `None`: it builds a table.
pub(super) fn model_of(job: &BatchJob, at: usize) -> Option<&BatchModel> {
    job.models.get(at.checked_sub(job.tables.len())?)
}

impl Graph {
    /// The graph of a job.
    ///
    /// # Errors
    /// User: a file that is not one SELECT, a name that is neither table nor input (the nearest is named), a cycle (its
    /// path is shown).
    pub fn new(job: &BatchJob) -> Result<Graph> {
        let of_tables = job.tables.iter().map(|table| reads(job, &table.file));
        let of_models = job.models.iter().map(|model| reads(job, &features(model)));
        let reads = of_tables.chain(of_models).collect::<Result<Vec<_>>>()?;
        let mut graph = Graph { reads, order: Vec::new(), tables: job.tables.len() };
        let needs: Vec<BTreeSet<usize>> = graph.reads.iter().map(|reads| graph.steps(reads)).collect();
        graph.order = order(&needs).map_err(|cycle| {
            let names: Vec<&str> = cycle.iter().map(|at| step_name(job, *at)).collect();
            let what = if cycle.iter().any(|at| model_of(job, *at).is_some()) {
                "tables and models"
            } else {
                "tables"
            };
            Error::user(format!("the {what} read each other in a circle: {}", names.join(" reads ")))
                .hint("take one of the names out of its SELECT; who asks a model reads it")
        })?;
        Ok(graph)
    }

    /// The steps that have to be done with before something that reads these.
    pub(super) fn steps(&self, reads: &Reads) -> BTreeSet<usize> {
        let models = reads.models.iter().chain(&reads.asks).map(|model| self.tables + model);
        reads.tables.iter().copied().chain(models).collect()
    }

    /// Whether a step reads what another one makes.
    fn needs(&self, from: usize, to: usize) -> bool {
        self.steps(&self.reads[from]).contains(&to)
    }

    /// The steps that `patterns` name, in order: `table`, `table+` (and all that read it), `+table` (and all that it
    /// reads), `+table+`, and models so. Without a pattern, all.
    ///
    /// # Errors
    /// User: there is no such table (the nearest is named).
    pub fn select(&self, job: &BatchJob, patterns: &[String]) -> Result<Vec<usize>> {
        let mut chosen = BTreeSet::new();
        for pattern in patterns {
            let name = pattern.trim_start_matches('+').trim_end_matches('+');
            let at = (0..self.reads.len()).find(|at| step_name(job, *at) == name).ok_or_else(|| {
                let names: Vec<&str> = (0..self.reads.len()).map(|at| step_name(job, at)).collect();
                let what = if job.models.is_empty() { "table" } else { "table or model" };
                let all = if job.models.is_empty() { "tables" } else { "tables and models" };
                Error::user(format!("`{}` has no {what} `{name}`", job.name))
                    .hint(suggestion(name, all, &names))
            })?;
            chosen.insert(at);
            if pattern.starts_with('+') {
                self.spread(at, &mut chosen, |from, to| self.needs(from, to));
            }
            if pattern.ends_with('+') {
                self.spread(at, &mut chosen, |from, to| self.needs(to, from));
            }
        }
        Ok(self.order.iter().copied().filter(|at| patterns.is_empty() || chosen.contains(at)).collect())
    }

    /// Adds what is reached from `start` over `edge`.
    fn spread(&self, start: usize, chosen: &mut BTreeSet<usize>, edge: impl Fn(usize, usize) -> bool) {
        let mut todo = vec![start];
        let mut seen = BTreeSet::from([start]);
        while let Some(from) = todo.pop() {
            for to in 0..self.reads.len() {
                if edge(from, to) && seen.insert(to) {
                    todo.push(to);
                }
            }
        }
        chosen.extend(seen);
    }
}

/// What a file's SELECT reads.
///
/// # Errors
/// User: it is not one SELECT, or a name is not known.
pub fn reads(job: &BatchJob, file: &SqlFile) -> Result<Reads> {
    find(job, file).map_err(|e| e.context(file.path.clone()))
}

fn find(job: &BatchJob, file: &SqlFile) -> Result<Reads> {
    let statement = one_select(&file.sql)?;
    let (references, _) = resolve_table_references(&statement, true)?;
    let functions = functions(&statement);
    let mut reads = Reads::default();
    for reference in references {
        let own = match &reference {
            TableReference::Bare { .. } => true,
            TableReference::Partial { schema, .. } | TableReference::Full { schema, .. } => {
                **schema == job.schema_name
            }
        };
        let name = reference.table();
        if !own {
            let schema = reference.schema().unwrap_or_default();
            reads.others.insert(format!("{schema}.{name}"));
        } else if let Some(at) = job.tables.iter().position(|table| table.file.name == name) {
            reads.tables.insert(at);
        } else if let Some(at) = job.inputs.iter().position(|input| input.name == name) {
            reads.inputs.insert(at);
        } else if let Some(at) = job.models.iter().position(|model| model.tables().iter().any(|t| t == name))
        {
            reads.models.insert(at);
            reads.model_tables.insert(name.to_owned());
        } else if !functions.contains(name) {
            let names: Vec<&str> = job.tables.iter().map(|table| table.file.name.as_str()).collect();
            let inputs = job.inputs.iter().map(|input| input.name.as_str());
            let of_models: Vec<String> = job.models.iter().flat_map(BatchModel::tables).collect();
            let of_models = of_models.iter().map(String::as_str);
            let names: Vec<&str> = names
                .into_iter()
                .chain(inputs)
                .chain(of_models)
                .filter(|known| *known != file.name)
                .collect();
            return Err(Error::user(format!("there is no table or input `{name}`")).hint(suggestion(
                name,
                "tables and inputs",
                &names,
            )));
        }
    }
    for name in predict::calls(&statement).into_iter().flatten() {
        // What is wrong with a name is told where the statement is planned.
        let Ok(ModelRef { job: of, model, at }) = name.parse::<ModelRef>() else { continue };
        if of != job.schema_name {
            continue;
        }
        let Some(place) = job.models.iter().position(|known| known.name() == model) else {
            let names: Vec<&str> = job.models.iter().map(BatchModel::name).collect();
            return Err(Error::unknown("model", &model, &names));
        };
        // Another version than the one in use stays what it is.
        if at == At::Champion || at == At::Alias(CHALLENGER.to_owned()) {
            reads.asks.insert(place);
        }
    }
    Ok(reads)
}

/// The SELECT of a model's features, as a file.
pub(super) fn features(model: &BatchModel) -> SqlFile {
    SqlFile::new(&model.spec.config.features, model.spec.features_sql.clone())
}

/// Functions whose rows a statement reads, as if each was a table.
pub(super) fn functions(statement: &Statement) -> BTreeSet<String> {
    struct Called(BTreeSet<String>);
    impl Visitor for Called {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, args: Some(_), .. } = factor {
                self.0.insert(name.to_string().to_lowercase());
            }
            ControlFlow::Continue(())
        }
    }
    let mut called = Called(BTreeSet::new());
    if let Statement::Statement(statement) = statement {
        // The visitor never breaks off.
        let _ = statement.visit(&mut called);
    }
    called.0
}

/// The one SELECT of a text.
///
/// # Errors
/// User: it is something else, or several.
pub fn one_select(sql: &str) -> Result<Statement> {
    let mut statements = crate::sql::parse(sql)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement @ Statement::Statement(_)), true) if matches!(&statement, Statement::Statement(sql) if matches!(**sql, Sql::Query(_))) => {
            Ok(statement)
        }
        _ => Err(Error::user("a file of a job's SQL is one SELECT")
            .hint("each table is a file of its own, named as the table")),
    }
}

/// Places so that each comes behind what it needs, as the files are sorted where both may; else a cycle, its first
/// place again at the end.
fn order(needs: &[BTreeSet<usize>]) -> std::result::Result<Vec<usize>, Vec<usize>> {
    let mut order = Vec::new();
    while order.len() < needs.len() {
        let next = (0..needs.len())
            .find(|at| !order.contains(at) && needs[*at].iter().all(|read| order.contains(read)));
        let Some(next) = next else { return Err(cycle(needs, &order)) };
        order.push(next);
    }
    Ok(order)
}

/// Each place that is left needs another that is left: following them comes back.
fn cycle(needs: &[BTreeSet<usize>], done: &[usize]) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut at = (0..needs.len()).find(|at| !done.contains(at));
    while let Some(here) = at {
        if let Some(start) = path.iter().position(|seen| *seen == here) {
            path.drain(..start);
            path.push(here);
            return path;
        }
        path.push(here);
        at = needs[here].iter().copied().find(|read| !done.contains(read));
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::project::{InputConfig, TableConfig};

    fn job(tables: &[(&str, &str)]) -> BatchJob {
        let table = |(name, sql): &(&str, &str)| TableConfig {
            file: SqlFile::new(&format!("sql/j/{name}.sql"), sql.to_string()),
            format: Default::default(),
            partition_by: Vec::new(),
            audits: Default::default(),
        };
        let input = InputConfig { name: "orders".into(), ..InputConfig::default() };
        BatchJob {
            name: "my-job".into(),
            schema_name: "my_job".into(),
            description: String::new(),
            sql_folder: "sql/j".into(),
            inputs: vec![input],
            tables: tables.iter().map(table).collect(),
            audits: Vec::new(),
            models: Vec::new(),
        }
    }

    #[test]
    fn names_are_found_wherever_a_select_may_have_them() {
        let job = job(&[
            (
                "a",
                "WITH orders AS (SELECT * FROM orders) SELECT (SELECT max(x) FROM my_job.b) FROM orders -- c",
            ),
            ("b", "SELECT 1 AS x FROM other.t JOIN system.metrics ON true"),
        ]);
        let graph = Graph::new(&job).unwrap();
        assert_eq!(graph.order, [1, 0]);
        assert_eq!((&graph.reads[0].inputs, &graph.reads[0].tables), (&[0].into(), &[1].into()));
        assert_eq!(graph.reads[1].others, ["other.t".to_owned(), "system.metrics".to_owned()].into());
    }

    #[test]
    fn a_cycle_shows_its_path_and_an_unknown_name_the_nearest() {
        let error = Graph::new(&job(&[
            ("a", "SELECT * FROM b"),
            ("b", "SELECT * FROM c"),
            ("c", "SELECT * FROM b, orders"),
        ]));
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with("in a circle: b reads c reads b"), "{error}");
        let error = Graph::new(&job(&[("a", "SELECT * FROM order")])).unwrap_err();
        assert_eq!(error.to_string(), "sql/j/a.sql: there is no table or input `order`");
        assert_eq!(error.next_step(), Some("did you mean `orders`? The tables and inputs are: orders"));
        let error = Graph::new(&job(&[("a", "SELECT * FROM a")])).unwrap_err();
        assert!(error.to_string().ends_with("a reads a"), "{error}");
    }

    #[test]
    fn a_function_of_rows_is_no_table() {
        let sql = "SELECT m.value, count(o.x) FROM Generate_Series(1, 12) AS m LEFT JOIN orders AS o ON true GROUP BY 1";
        let graph = Graph::new(&job(&[("a", sql)])).unwrap();
        assert_eq!(graph.reads[0], Reads { inputs: [0].into(), ..Reads::default() });
        assert!(Graph::new(&job(&[("a", "SELECT * FROM generate_series")])).is_err(), "without arguments");
    }

    #[test]
    fn a_file_is_one_select() {
        for sql in ["SELECT 1; SELECT 2", "DROP TABLE x", "", "CREATE TABLE a AS SELECT 1"] {
            let error = Graph::new(&job(&[("a", sql)])).unwrap_err();
            assert!(error.to_string().starts_with("sql/j/a.sql: "), "{sql}: {error}");
        }
        let error = Graph::new(&job(&[("a", "SELEC 1")])).unwrap_err();
        assert!(error.to_string().starts_with("sql/j/a.sql: not SQL: "), "{error}");
    }

    #[test]
    fn a_plus_takes_what_is_before_or_behind() {
        let job = job(&[
            ("a", "SELECT * FROM orders"),
            ("b", "SELECT * FROM a"),
            ("c", "SELECT * FROM b"),
            ("d", "SELECT * FROM orders"),
        ]);
        let graph = Graph::new(&job).unwrap();
        let chosen = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|p| p.to_string()).collect();
            let places = graph.select(&job, &patterns).unwrap();
            places.iter().map(|at| job.tables[*at].file.name.clone()).collect::<String>()
        };
        assert_eq!(chosen(&[]), "abcd");
        assert_eq!(chosen(&["b"]), "b");
        assert_eq!(chosen(&["+b"]), "ab");
        assert_eq!(chosen(&["b+"]), "bc");
        assert_eq!(chosen(&["+b+", "d"]), "abcd");
        let error = graph.select(&job, &["e+".into()]).unwrap_err();
        assert!(error.next_step().unwrap().contains("a, b, c, d"), "{error}");
    }

    proptest! {
        /// Edges that go from a greater place to a smaller one make no cycle, however the places are called.
        #[test]
        fn what_has_no_cycle_is_ordered(edges in proptest::collection::vec((0usize..12, 0usize..12), 0..40)) {
            let mut needs = vec![BTreeSet::new(); 12];
            for (a, b) in edges {
                if a != b {
                    // Places are scrambled, so that the order of the files is not the answer.
                    needs[a.max(b) * 7 % 12].insert(a.min(b) * 7 % 12);
                }
            }
            let order = order(&needs).unwrap();
            let place = |table: usize| order.iter().position(|at| *at == table).unwrap();
            for (at, read) in needs.iter().enumerate() {
                prop_assert!(read.iter().all(|read| place(*read) < place(at)));
            }
        }
    }
}
