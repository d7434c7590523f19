//! `tidemill sql`: statements from the command line, a file or stdin, or the prompt.

use std::io::{IsTerminal, Read};
use std::time::Instant;

use arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use tidemill_core::files::text;
use tidemill_core::lake::Lake;
use tidemill_core::{Error, batch, catalog};

use super::lake;
use crate::cli::{GlobalArgs, SqlArgs};
use crate::exit::{Done, Outcome};
use crate::notes::note;
use crate::output::{Format, Room, write_rows};
use crate::{prompt, statements, style};

/// Runs each statement in order; the first that fails ends the command.
pub(crate) async fn run(global: &GlobalArgs, args: &SqlArgs) -> Done {
    let mut lake = lake(global);
    if let (Some(batch), Some(job)) = (args.as_of_batch, &args.job) {
        lake = catalog::lake_after(&lake, &job.replace('-', "_"), batch)?;
    }
    let text = match (&args.statement, &args.file) {
        (Some(statement), _) => statement.clone(),
        (None, Some(file)) => std::fs::read(file)
            .map_err(|e| e.to_string())
            .and_then(text)
            .map_err(|e| Error::user(format!("cannot read {}: {e}", file.display())))?,
        (None, None) if std::io::stdin().is_terminal() => {
            return prompt::run(&lake, args.output.format, args.verify).await;
        }
        (None, None) => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().read_to_end(&mut bytes).map_err(|e| e.to_string());
            read.and_then(|_| text(bytes))
                .map_err(|e| Error::user(format!("cannot read statements from stdin: {e}")))?
        }
    };
    let statements = statements::split(&text);
    if statements.is_empty() {
        return Err(Error::user("there is no SQL statement to run")
            .hint("tidemill sql \"SELECT * FROM system.metrics\", or without an argument for a prompt")
            .into());
    }
    let session = batch::open_session_with_files(&lake, &statements).await?;
    if args.verify {
        catalog::verify_files(&session);
    }
    for statement in &statements {
        execute(&session, &lake, statement, args.output.format, Room::of_stdout()).await?;
    }
    Ok(Outcome::Done)
}

/// Runs one statement, prints its rows on stdout and how long it took on stderr.
pub(crate) async fn execute(
    session: &SessionContext,
    lake: &Lake,
    statement: &str,
    format: Format,
    room: Room,
) -> Done<()> {
    let start = Instant::now();
    let batches = catalog::query(session, lake, statement).await?;
    let elapsed = style::elapsed_ms(start);
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let Some(schema) = batches.first().map(RecordBatch::schema) else {
        return Err(Error::internal("a statement was answered without a schema").into());
    };
    write_rows(&mut std::io::stdout().lock(), &schema, &batches, format, room)?;
    let rows = style::rows(u64::try_from(rows).unwrap_or(u64::MAX));
    note(format_args!("{rows} in {}", style::duration_ms(elapsed)));
    Ok(())
}
