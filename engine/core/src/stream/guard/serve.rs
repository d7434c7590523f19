//! The child: messages come in, rows go out. Of files it reads the models that the transform asks, and writes none.

use std::io::{BufReader, BufWriter, Write, stdin, stdout};
use std::sync::mpsc::{Receiver, channel};

use arrow::record_batch::RecordBatch;

use super::wire::{self, Fault, Stage, Told, Work};
use crate::decode::{DeadLetters, Decoded, Decoder};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::predict::transform;
use crate::source::kafka::Room;
use crate::stream::bounds::Steps;
use crate::stream::rows::transformed;

/// Decodes and transforms what comes in by stdin, for the driver that has called this program so, and ends with it.
///
/// # Errors
/// What cannot be told to the driver, which has then gone.
pub async fn serve() -> Result<()> {
    let mut out = BufWriter::new(stdout());
    match made(&mut out).await {
        Ok(()) => Ok(()),
        Err(error) => wire::write(&mut out, &Told::Failed(error), &[]),
    }
}

async fn made(out: &mut impl Write) -> Result<()> {
    let mut input = BufReader::new(stdin());
    let Some((work, _)) = wire::read::<Work>(&mut input)? else { return Ok(()) };
    let ranges = receive(input);
    let decoder = Decoder::of_program(&work.program)?;
    let lake = Lake::new(work.lake);
    let sql = transform(work.program.transform_sql.as_deref(), &decoder, &lake, &work.asked)
        .await?
        .keeping(&work.kept);
    // Its threads are there from now on: none has to be made for a message.
    rayon::current_num_threads();
    let none = decoder.decode(&[], work.batch_id, &work.topic)?;
    transformed(&sql, work.now, &[], &none.rows, &mut DeadLetters::default()).await?;
    wire::write(out, &Told::Ready, &[])?;
    let multiplies = sql.multiplies();
    let mut steps = Steps::new(multiplies, Room { bytes: work.step_bytes, per_message: 0 });
    while let Ok(range) = ranges.recv() {
        let (range, mut at) = (range?, 0);
        while at < range.num_rows() {
            let step = range.slice(at, steps.rows().min(range.num_rows() - at));
            let (raw, messages) = (wire::raw_rows(&step), step.num_rows());
            let Decoded { rows, mut dead } = decoder.decode(&raw, work.batch_id, &work.topic)?;
            wire::write(out, &Told::Decoded, &[])?;
            let rows = transformed(&sql, work.now, &raw, &rows, &mut dead).await?;
            let faults = dead.faults().map(|(partition, offset, stage, error)| Fault {
                partition,
                offset,
                stage: Stage::of(stage),
                error: error.to_owned(),
            });
            wire::write(out, &Told::Made { messages, faults: faults.collect() }, &rows)?;
            at += messages;
            if multiplies {
                let bytes = rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
                steps.saw(messages, bytes as u64);
            }
        }
    }
    Ok(())
}

/// Takes the messages off the line as they come, so that its end is noticed at once: then the driver is gone or wants to be,
/// and this process ends, whatever it has in hand.
fn receive(mut input: BufReader<std::io::Stdin>) -> Receiver<Result<RecordBatch>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        loop {
            let batch = match wire::read::<()>(&mut input) {
                Ok(Some(((), mut rows))) => {
                    rows.pop().ok_or_else(|| Error::internal("a range without messages"))
                }
                Ok(None) => std::process::exit(0),
                Err(error) => Err(error),
            };
            let has_failed = batch.is_err();
            if sender.send(batch).is_err() || has_failed {
                return;
            }
        }
    });
    receiver
}
