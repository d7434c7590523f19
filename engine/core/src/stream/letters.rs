//! The dead letters of a replay, as Kafka would have given them: by partition, in the order of their offsets, in parts.
//!
//! Where they are is looked up first; what they hold is read as their turn comes, a file at a time, so that a part and a
//! file are in memory, and of each letter where it is ([`LETTER_BYTES`]). A replay takes no more letters at once than a share of
//! the memory holds of these ([`most_letters`]), but for those of one batch.

use std::collections::VecDeque;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::records::{FileEntry, Replay};
use crate::source::RawRows;
use crate::source::kafka::Room;
use crate::table::read::read_rows;

/// The letters of a replay that are still to be fed.
pub(super) struct Letters {
    lake: Lake,
    files: Vec<FileEntry>,
    left: VecDeque<Letter>,
    room: Room,
    /// The file that was read last, by its place in `files`.
    held: Option<(usize, RecordBatch)>,
}

/// Where a letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Letter {
    partition: i32,
    offset: i64,
    file: u32,
    row: u32,
    bytes: u32,
}

/// Bytes that are held of each letter.
const LETTER_BYTES: u64 = size_of::<Letter>() as u64;
/// The share of the memory that they may take.
const LETTERS_SHARE: u64 = 32;

/// How many letters a replay is planned for at most.
pub(super) fn most_letters(memory_limit: u64) -> u64 {
    (memory_limit / LETTERS_SHARE / LETTER_BYTES).max(1)
}

impl Letters {
    /// Looks up the letters in the files that the batches of a replay have committed.
    ///
    /// # Errors
    /// Storage; Corrupt, if they are not as many as the plan says.
    pub(super) fn open(lake: &Lake, files: Vec<FileEntry>, replay: Replay, room: Room) -> Result<Letters> {
        let mut letters = Letters { lake: lake.clone(), files, left: VecDeque::new(), room, held: None };
        let listed: u64 = letters.files.iter().map(|file| file.rows).sum();
        let mut found = Vec::with_capacity(usize::try_from(listed.min(replay.letters)).unwrap_or(0));
        let small = |number: usize| {
            u32::try_from(number).map_err(|_| Error::data("more than 2^32 dead letters in one replay"))
        };
        for file in 0..letters.files.len() {
            let rows = letters.rows(file)?;
            // Of those, as of all others in it, there are fewer.
            small(rows.num_rows())?;
            let file = small(file)?;
            let partitions = rows["partition"].as_primitive::<Int32Type>();
            let offsets = rows["offset"].as_primitive::<Int64Type>();
            let payloads = rows["payload"].as_binary::<i32>();
            found.extend((0..rows.num_rows()).map(|row| Letter {
                partition: partitions.value(row),
                offset: offsets.value(row),
                file,
                row: row as u32,
                bytes: u32::try_from(payloads.value_length(row)).unwrap_or(0),
            }));
        }
        found.sort_unstable();
        found.dedup_by_key(|letter| (letter.partition, letter.offset));
        if found.len() as u64 != replay.letters {
            return Err(Error::corrupt(format!(
                "the plan replays {} dead letters of batches {} to {}, there are {}",
                replay.letters,
                replay.from,
                replay.to - 1,
                found.len()
            ))
            .hint("a file or record was changed by hand: restore the lake folder as a whole"));
        }
        letters.left = found.into();
        Ok(letters)
    }

    /// Whether all are fed.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// The next part; one letter is always in it, however large it is.
    ///
    /// # Errors
    /// Storage; Corrupt, if a file is not what its record says.
    pub(super) fn read(&mut self) -> Result<Vec<RawRows>> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(letter) = self.left.front() {
            bytes += u64::from(letter.bytes) + self.room.per_message;
            if bytes > self.room.bytes && !part.is_empty() {
                break;
            }
            part.extend(self.left.pop_front());
        }
        // File by file, and then in their order again.
        let mut by_file: Vec<usize> = (0..part.len()).collect();
        by_file.sort_by_key(|&at| {
            (Some(part[at].file as usize) != self.held_file(), part[at].file, part[at].row)
        });
        let mut messages: Vec<(Option<i64>, Option<Vec<u8>>)> = vec![(None, None); part.len()];
        for at in by_file {
            let Letter { file, row, .. } = part[at];
            let (row, rows) = (row as usize, self.rows(file as usize)?);
            let times = rows["timestamp"].as_primitive::<TimestampMillisecondType>();
            // The time of a message that is none of a calendar; older files have it in the other column.
            let number = rows.column_by_name("timestamp_ms").map(|column| column.as_primitive::<Int64Type>());
            let number = number.filter(|numbers| numbers.is_valid(row)).map(|numbers| numbers.value(row));
            let payloads = rows["payload"].as_binary::<i32>();
            messages[at] = (
                times.is_valid(row).then(|| times.value(row)).or(number),
                payloads.is_valid(row).then(|| payloads.value(row).to_vec()),
            );
        }
        let mut raw: Vec<RawRows> = Vec::new();
        for (letter, (timestamp, payload)) in part.iter().zip(messages) {
            if raw.last().is_none_or(|rows| rows.partition != letter.partition) {
                raw.push(RawRows::new(letter.partition));
            }
            if let Some(rows) = raw.last_mut() {
                rows.push(letter.offset, timestamp, payload.as_deref());
            }
        }
        Ok(raw)
    }

    fn held_file(&self) -> Option<usize> {
        self.held.as_ref().map(|(file, _)| *file)
    }

    /// The rows of a file.
    fn rows(&mut self, file: usize) -> Result<RecordBatch> {
        if let Some((held, rows)) = &self.held
            && *held == file
        {
            return Ok(rows.clone());
        }
        // The one before goes first.
        self.held = None;
        let rows = read_rows(&self.lake, &self.files[file])?;
        self.held = Some((file, rows.clone()));
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::DeadLetters;
    use crate::table::publish::{roll_forward, stage};
    use crate::table::write::parquet_bytes;

    /// A file of letters of these places, each with a text of its own.
    fn file(lake: &Lake, number: usize, places: &[(i32, i64)]) -> FileEntry {
        let mut dead = DeadLetters::default();
        for &(partition, offset) in places {
            let mut raw = RawRows::new(partition);
            let text = format!("{partition}/{offset}").repeat(offset as usize % 4);
            raw.push(
                offset,
                (offset % 2 == 0).then_some(offset),
                (offset % 5 > 0).then_some(text.as_bytes()),
            );
            dead.push(&[raw], partition, offset, "decode", "no".to_owned());
        }
        let rows = dead.to_batch("j", number as u64, "t").unwrap();
        let path = format!("system/dead_letters/j/batch-{number:08}.parquet");
        let bytes = parquet_bytes(&rows).unwrap();
        let file = stage(lake, "system.dead_letters", &path, &bytes, rows.num_rows() as u64).unwrap();
        roll_forward(lake, std::slice::from_ref(&file)).unwrap();
        file
    }

    #[test]
    fn parts_hold_every_letter_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::new(folder.path());
        let all: Vec<(i32, i64)> = (0..4).flat_map(|p| (0..25).map(move |at| (p, at * 3))).collect();
        // Three batches: each has some of all partitions, the later ones the later offsets.
        let files: Vec<FileEntry> = (0..3)
            .map(|number| {
                let of_batch = |place: &&(i32, i64)| place.1 / 25 == number as i64;
                file(&lake, number, &all.iter().filter(of_batch).copied().collect::<Vec<_>>())
            })
            .collect();
        let replay = Replay { from: 0, to: 3, letters: all.len() as u64 };
        for (bytes, least_parts) in [(u64::MAX, 1), (200, 5), (1, 100)] {
            let room = Room { bytes, per_message: 5 };
            let mut letters = Letters::open(&lake, files.clone(), replay, room).unwrap();
            let (mut parts, mut fed) = (0, Vec::new());
            while !letters.is_done() {
                let part = letters.read().unwrap();
                let size: u64 = part.iter().map(|rows| rows.bytes() + 5 * rows.len() as u64).sum();
                let count: usize = part.iter().map(RawRows::len).sum();
                assert!(size <= bytes || count == 1, "{size}");
                parts += 1;
                for rows in &part {
                    for at in 0..rows.len() {
                        let (partition, offset) = (rows.partition, rows.offsets[at]);
                        fed.push((partition, offset));
                        assert_eq!(rows.timestamps[at], (offset % 2 == 0).then_some(offset));
                        let text = format!("{partition}/{offset}").repeat(offset as usize % 4);
                        assert_eq!(rows.payload(at), (offset % 5 > 0).then_some(text.as_bytes()));
                    }
                }
            }
            assert_eq!(fed, all);
            assert!(parts >= least_parts, "{parts}");
        }
        assert_eq!((LETTER_BYTES, most_letters(32 * 24 * 7), most_letters(0)), (24, 7, 1));
        let wrong = Replay { letters: 99, ..replay };
        assert!(
            Letters::open(&lake, files, wrong, Room::ENDLESS)
                .err()
                .unwrap()
                .to_string()
                .contains("there are 100")
        );
    }
}
