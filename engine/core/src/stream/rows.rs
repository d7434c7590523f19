//! Decoded messages to rows of the table.

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};

use super::batch::Batch;
use super::bounds::room;
use crate::decode::{DeadLetters, Decoder};
use crate::error::Result;
use crate::rowwise::RowSql;
use crate::source::RawRows;
use crate::source::kafka::Room;

impl Batch<'_> {
    /// How much of it is in memory at a time.
    pub(super) fn room(&self, decoder: &Decoder) -> Room {
        let made = self.driver.transform.schema().fields().len();
        room(self.driver.job.memory_limit, decoder.row_schema().fields().len() + made)
    }
}

/// Runs the transform over decoded messages, which are among those of `raw`. What is too much for one column of Arrow
/// (2 GiB) comes in several batches; a row that it cannot compute is dead.
///
/// # Errors
/// As [`RowSql::run`], of one message.
pub(super) async fn transformed(
    sql: &RowSql,
    now: DateTime<Utc>,
    raw: &[RawRows],
    rows: &RecordBatch,
    dead: &mut DeadLetters,
) -> Result<Vec<RecordBatch>> {
    #[cfg(debug_assertions)]
    crate::failpoint::hit("transform", raw);
    let mut made = Vec::new();
    // Depth first and left to right, so that the results come in the order of the rows.
    let mut todo = vec![(0, rows.num_rows())];
    while let Some((start, length)) = todo.pop() {
        let slice = rows.slice(start, length);
        let output = match sql.run(&slice, now).await {
            Ok(output) => output,
            Err(_) if length > 1 => {
                let half = length / 2;
                todo.extend([(start + half, length - half), (start, half)]);
                continue;
            }
            Err(error) => return Err(error),
        };
        for (row, error) in output.failed {
            let partition = slice["_partition"].as_primitive::<Int32Type>().value(row);
            let offset = slice["_offset"].as_primitive::<Int64Type>().value(row);
            dead.push(raw, partition, offset, "transform", error);
        }
        made.push(output.rows);
    }
    Ok(made)
}
