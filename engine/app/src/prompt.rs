//! The prompt of `tidemill sql`: statements that end with `;`, over as many lines as they take, and a few dot commands.
//!
//! Ctrl-C clears the line or cancels the running statement, Ctrl-D ends. The session is opened anew for each
//! statement, so that batches committed meanwhile are seen.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};
use tidemill_core::lake::Lake;
use tidemill_core::{Error, batch, catalog};

use crate::commands::sql::execute;
use crate::exit::{Done, Failure, Outcome, describe, print_line};
use crate::notes::note;
use crate::output::{Format, Room, write_rows};
use crate::{statements, style};

/// Rows shown in a table before the rest is only counted.
const SHOWN_ROWS: usize = 100;

const HELP: &str = "\
  SELECT …;        run a statement (over several lines, up to its ;)
  .tables          the tables of the lake
  .schema TABLE    the columns of a table
  .help            this
  .quit            leave (as does Ctrl-D)
  Tab completes, the arrow keys bring earlier statements back, Ctrl-C clears the line or cancels the statement.";

const KEYWORDS: &str = "ALL AND AS ASC AVG BETWEEN BY CASE CAST COUNT CROSS DESC DISTINCT ELSE END EXCEPT EXISTS EXPLAIN \
     FALSE FROM FULL GROUP HAVING IN INNER INTERSECT IS JOIN LEFT LIKE LIMIT MAX MIN NOT NULL OFFSET ON OR ORDER OVER \
     PARTITION RIGHT SELECT SUM THEN TRUE UNION USING VALUES WHEN WHERE WITH";

/// Reads and runs until the end of input.
pub(crate) async fn run(lake: &Lake, format: Format, verify: bool) -> Done {
    // Says at once where there is no lake.
    let _ = catalog::open_session(lake).await?;
    let mut editor: Editor<SqlHelper, FileHistory> =
        Editor::with_config(Config::builder().auto_add_history(true).build())
            .map_err(|e| terminal_error(&e))?;
    let words = KEYWORDS.split_whitespace().map(String::from);
    let mut names = catalog::table_names(lake)?;
    names.extend(names.clone().iter().filter_map(|name| Some(name.split_once('.')?.1.to_string())));
    editor.set_helper(Some(SqlHelper { words: words.chain(names).collect() }));
    let history = history_file();
    if let Some(file) = &history {
        // A first start has no history, and one that cannot be read is no reason to refuse the prompt.
        let _ = editor.load_history(file);
    }
    note(format_args!(
        "Tidemill SQL on the lake {}. Statements end with ;  .help lists the rest.",
        style::folder(lake.root())
    ));
    let end = loop {
        match editor.readline("tidemill> ") {
            Ok(line) => match run_line(lake, &line, format, verify).await {
                Ok(true) => {}
                Ok(false) => break Ok(Outcome::Done),
                Err(Failure::Engine(error)) => note(describe(&error, style::stderr_color())),
                Err(Failure::OutputClosed) => break Err(Failure::OutputClosed),
            },
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break Ok(Outcome::Done),
            Err(error) => break Err(terminal_error(&error).into()),
        }
    };
    if let Some(file) = &history {
        let saved = file.parent().map_or(Ok(()), std::fs::create_dir_all).is_ok()
            && editor.save_history(file).is_ok();
        if !saved {
            note(format_args!("note: the history could not be kept in {}", file.display()));
        }
    }
    end
}

fn terminal_error(error: &ReadlineError) -> Error {
    Error::internal(format!("cannot read from the terminal: {error}"))
}

/// `$XDG_STATE_HOME/tidemill/history`, by default under `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("tidemill/history"))
}

/// Runs what was entered; `false` means leave.
async fn run_line(lake: &Lake, line: &str, format: Format, verify: bool) -> Done<bool> {
    match line.trim().strip_prefix('.') {
        Some(command) => dot_command(lake, command, format).await,
        None => {
            let room = Room { max_rows: Some(SHOWN_ROWS), ..Room::of_stdout() };
            for statement in statements::split(line) {
                let session = batch::open_session_with_files(lake, std::slice::from_ref(&statement)).await?;
                if verify {
                    catalog::verify_files(&session);
                }
                tokio::select! {
                    done = execute(&session, lake, &statement, format, room) => done?,
                    _ = tokio::signal::ctrl_c() => {
                        note("cancelled");
                        break;
                    }
                }
            }
            Ok(true)
        }
    }
}

async fn dot_command(lake: &Lake, command: &str, format: Format) -> Done<bool> {
    let mut words = command.trim_end_matches(';').split_whitespace();
    match (words.next().unwrap_or(""), words.next()) {
        ("quit" | "exit" | "q", _) => return Ok(false),
        ("help" | "h", _) => print_line(HELP)?,
        ("tables", _) => {
            let names = catalog::table_names(lake)?;
            let (schemas, tables) =
                names.iter().filter_map(|name| name.split_once('.')).unzip::<_, _, Vec<_>, Vec<_>>();
            print_columns(&[("schema", schemas.into()), ("table", tables.into())], format)?;
        }
        ("schema", Some(table)) => {
            let session = catalog::open_session(lake).await?;
            let found =
                session.table(table).await.map_err(|e| Error::from(e).hint(".tables lists what there is"))?;
            let fields = found.schema().fields();
            let nullable = |yes| if yes { "yes" } else { "no" };
            print_columns(
                &[
                    ("column", fields.iter().map(|f| Some(f.name().clone())).collect()),
                    ("type", fields.iter().map(|f| Some(f.data_type().to_string())).collect()),
                    (
                        "nullable",
                        fields.iter().map(|f| Some(nullable(f.is_nullable()).to_string())).collect(),
                    ),
                ],
                format,
            )?;
        }
        ("schema", None) => {
            return Err(Error::user(".schema wants a table").hint(".tables lists them").into());
        }
        (other, _) => {
            return Err(Error::user(format!("unknown command .{other}")).hint(".help lists them").into());
        }
    }
    Ok(true)
}

fn print_columns(columns: &[(&str, StringArray)], format: Format) -> Done<()> {
    let columns = columns.iter().map(|(name, column)| (*name, Arc::new(column.clone()) as ArrayRef));
    let rows = RecordBatch::try_from_iter(columns).map_err(Error::from)?;
    write_rows(
        &mut std::io::stdout().lock(),
        &rows.schema(),
        std::slice::from_ref(&rows),
        format,
        Room::of_stdout(),
    )
}

/// What rustyline asks while a line is edited.
struct SqlHelper {
    /// Keywords and table names.
    words: Vec<String>,
}

impl Helper for SqlHelper {}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Highlighter for SqlHelper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, default: bool) -> Cow<'b, str> {
        let _ = default;
        Cow::Owned(style::bold(prompt, style::stdout_color()))
    }
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let complete = text.trim_start().starts_with('.') || statements::is_complete(text);
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.words, line, at))
    }
}

/// Where the word before the cursor starts, and the words that it may become.
fn complete(words: &[String], line: &str, at: usize) -> (usize, Vec<String>) {
    let before = line.get(..at).unwrap_or(line);
    let start = before
        .char_indices()
        .rev()
        .find(|(_, c)| !(c.is_alphanumeric() || matches!(c, '_' | '.')))
        .map_or(0, |(place, c)| place + c.len_utf8());
    let typed = before.get(start..).unwrap_or_default();
    let candidates = if typed.is_empty() {
        Vec::new()
    } else if start == 0 && typed.starts_with('.') {
        [".tables", ".schema ", ".help", ".quit"]
            .into_iter()
            .filter(|c| c.starts_with(typed))
            .map(String::from)
            .collect()
    } else {
        let lower = typed.to_lowercase();
        let mut found: Vec<_> =
            words.iter().filter(|w| w.to_lowercase().starts_with(&lower)).cloned().collect();
        found.sort();
        found.dedup();
        found
    };
    (start, candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_completed_from_where_it_starts() {
        let words = ["SELECT", "crimes", "chicago_arrests.crimes"].map(String::from);
        assert_eq!(complete(&words, "sel", 3), (0, vec!["SELECT".to_string()]));
        assert_eq!(
            complete(&words, "SELECT * FROM c", 15),
            (14, vec!["chicago_arrests.crimes".to_string(), "crimes".to_string()])
        );
        assert_eq!(complete(&words, "SELECT 'é' FROM cri", 20), (17, vec!["crimes".to_string()]));
        assert_eq!(complete(&words, ".ta", 3), (0, vec![".tables".to_string()]));
        assert_eq!(complete(&words, "SELECT ", 7), (7, vec![]));
    }
}
