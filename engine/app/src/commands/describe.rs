//! `tidemill describe`: the figures of a table's columns.

use tidemill_core::catalog;

use super::lake;
use crate::cli::{DescribeArgs, GlobalArgs};
use crate::exit::{Done, Outcome};
use crate::output::{Room, write_rows};

/// Prints a row a column.
pub(crate) async fn run(global: &GlobalArgs, args: &DescribeArgs) -> Done {
    let lake = lake(global);
    let session = catalog::open_session(&lake).await?;
    let rows = catalog::describe(&session, &lake, &args.table).await?;
    write_rows(
        &mut std::io::stdout().lock(),
        &rows.schema(),
        &[rows],
        args.output.format,
        Room::of_stdout(),
    )?;
    Ok(Outcome::Done)
}
