//! The ranges of a batch in parts of bounded size, in the order of the table: by partition, by offset.
//!
//! ```text
//! first part   all partitions at once; a batch that fits is this part alone
//!              more than fits: the first partitions are given out, what came of the others waits, and they pause
//! then         one partition after the other, each in as many parts as it needs
//! ```
//!
//! Where the parts are cut depends on how messages came in; what they hold, end to end, does not.

use std::collections::{BTreeMap, VecDeque};

use super::{KafkaSource, Pull, Read, Reader, Waiting};
use crate::error::Result;
use crate::project::FailOnDataLoss;
use crate::records::{DataLoss, PartitionRange};
use crate::source::RawRows;

/// What a message that waits takes beside its payload.
const WAITING_BYTES: u64 = 64;
/// A partition may always have this much waiting.
const LEAST_WAITING: u64 = 1 << 16;

/// How much a part may hold. One message is always taken, however large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes of payloads, and for each message `per_message`.
    pub bytes: u64,
    /// What the row of a message takes beside its payload.
    pub per_message: u64,
}

impl Room {
    /// Everything in one part.
    pub const ENDLESS: Room = Room { bytes: u64::MAX, per_message: 0 };
}

/// The ranges of a batch that are still to be read.
#[derive(Debug)]
pub struct Reading {
    left: VecDeque<PartitionRange>,
    in_turn: bool,
    room: Room,
    /// Losses that were told: a range that is put off can meet them again.
    lost: Vec<DataLoss>,
    /// Messages that are still wanted of a partition, where not all of its range.
    most: BTreeMap<i32, u64>,
}

impl Reading {
    /// Nothing is read yet. Ranges that are empty are passed over.
    pub fn new(ranges: &[PartitionRange], room: Room) -> Reading {
        let left = ranges.iter().copied().filter(|range| range.to > range.from).collect();
        Reading { left, in_turn: false, room, lost: Vec::new(), most: BTreeMap::new() }
    }

    /// Ends a range behind so many messages of its partition.
    pub fn at_most(self, most: &BTreeMap<i32, u64>) -> Reading {
        Reading { most: most.clone(), ..self }
    }

    fn pull(&self, range: PartitionRange) -> Pull {
        let most = self.most.get(&range.partition).copied().unwrap_or(u64::MAX);
        Pull { most, ..Pull::new(range) }
    }

    /// One partition after the other from the beginning: then the parts depend on the messages alone.
    pub(super) fn in_turn(self) -> Reading {
        Reading { in_turn: true, ..self }
    }

    /// Whether everything is read.
    pub fn is_done(&self) -> bool {
        self.left.is_empty()
    }
}

/// What is left of the room of a part.
pub(super) struct Budget {
    left: u64,
    per_message: u64,
}

impl Budget {
    fn new(room: Room) -> Budget {
        Budget { left: room.bytes.max(1), per_message: room.per_message }
    }

    pub(super) fn take(&mut self, payload: Option<&[u8]>) {
        let bytes = payload.map_or(0, <[u8]>::len) as u64 + self.per_message;
        self.left = self.left.saturating_sub(bytes);
    }

    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }
}

impl Waiting {
    fn bytes(&self) -> u64 {
        WAITING_BYTES + self.payload.as_ref().map_or(0, Vec::len) as u64
    }
}

impl Reader {
    /// Adds what came beyond the range in hand.
    pub(super) fn wait(&mut self, message: Waiting) {
        self.waiting_bytes += message.bytes();
        self.waiting.push_back(message);
    }

    fn next_waiting(&mut self) -> Option<Waiting> {
        let message = self.waiting.pop_front()?;
        self.waiting_bytes -= message.bytes();
        Some(message)
    }

    /// Puts messages back before those that wait.
    fn put_back(&mut self, rows: &RawRows) {
        for at in (0..rows.len()).rev() {
            let payload = rows.payload(at).map(<[u8]>::to_vec);
            let message = Waiting { offset: rows.offsets[at], timestamp: rows.timestamps[at], payload };
            self.waiting_bytes += message.bytes();
            self.waiting.push_front(message);
        }
    }
}

impl Pull {
    pub(super) fn new(range: PartitionRange) -> Pull {
        Pull {
            range,
            rows: RawRows::new(range.partition),
            seen: range.from,
            sought: false,
            cut_off: None,
            most: u64::MAX,
            planned_to: range.to,
        }
    }

    pub(super) fn take_waiting(&mut self, reader: &mut Reader, budget: &mut Budget) {
        while !budget.is_spent() && !self.done() && reader.waiting.front().is_some() {
            if reader.waiting.front().is_some_and(|message| message.offset >= self.range.to) {
                self.seen = self.range.to;
                return;
            }
            let Some(message) = reader.next_waiting() else { return };
            budget.take(message.payload.as_deref());
            self.push(message.offset, message.timestamp, message.payload.as_deref());
        }
        if reader.waiting.is_empty() {
            // What lies between the last of them and what comes next are gaps.
            self.seen = self.seen.max(reader.next.min(self.range.to));
        }
    }
}

impl KafkaSource {
    /// Whether a partition has so much waiting that it is to pause.
    pub(super) fn is_ahead(&self, partition: i32) -> bool {
        let most = (self.most_waiting_bytes / self.readers.len().max(1) as u64).max(LEAST_WAITING);
        self.readers.get(&partition).is_some_and(|reader| reader.waiting_bytes > most)
    }

    /// The next part of a batch. Of what was deleted since the ranges were planned, the loss is told; with
    /// [`FailOnDataLoss::Fail`] it is an error.
    ///
    /// # Errors
    /// Source, if the brokers fall silent; DataLoss, if the topic no longer holds a range.
    pub fn read_part(&mut self, reading: &mut Reading, on_loss: FailOnDataLoss) -> Result<Read> {
        let mut budget = Budget::new(reading.room);
        let mut part = Read::default();
        if !reading.in_turn {
            self.read_together(reading, on_loss, &mut budget, &mut part)?;
        }
        while !budget.is_spent()
            && let Some(range) = reading.left.pop_front()
        {
            let mut pulls = BTreeMap::from([(range.partition, reading.pull(range))]);
            part.lost.extend(self.fill(&mut pulls, on_loss, &mut budget)?);
            if let Some((_, pull)) = pulls.pop_first()
                && let Some(left) = self.give_out(pull, reading, &mut part)
            {
                reading.left.push_front(left);
            }
        }
        part.lost.retain(|loss| !reading.lost.contains(loss));
        reading.lost.extend(part.lost.iter().cloned());
        Ok(part)
    }

    /// Reads all partitions at once, as far as there is room; what came of those behind the first that is not complete
    /// waits for their turn.
    fn read_together(
        &mut self,
        reading: &mut Reading,
        on_loss: FailOnDataLoss,
        budget: &mut Budget,
        part: &mut Read,
    ) -> Result<()> {
        let left = std::mem::take(&mut reading.left);
        let mut pulls: BTreeMap<i32, Pull> =
            left.into_iter().map(|range| (range.partition, reading.pull(range))).collect();
        part.lost = self.fill(&mut pulls, on_loss, budget)?;
        reading.in_turn = true;
        for (partition, pull) in pulls {
            if reading.left.is_empty() {
                let left = self.give_out(pull, reading, part);
                reading.left.extend(left);
                continue;
            }
            if let Some(reader) = self.readers.get_mut(&partition) {
                reader.put_back(&pull.rows);
                reader.position = pull.range.from;
            }
            self.pause(partition)?;
            // One that was cut off ends there at its turn, and what is in flight is of the log before.
            if let Some(end) = pull.cut_off {
                part.ends.insert(partition, end);
                self.stale = true;
            }
            reading
                .left
                .push_back(PartitionRange { to: pull.cut_off.unwrap_or(pull.planned_to), ..pull.range });
        }
        Ok(())
    }

    /// Points the consumer at these ranges where it has not come to all of them by itself.
    fn point_where_needed(&mut self, pulls: &mut BTreeMap<i32, Pull>) -> Result<()> {
        let fits = pulls.iter().all(|(partition, pull)| {
            self.readers.get(partition).is_some_and(|r| r.position == pull.range.from && !r.gone)
        });
        if fits && !self.stale { Ok(()) } else { self.point(pulls) }
    }

    /// Takes what waits for these ranges, then what the broker delivers, until they are complete or the room is full.
    fn fill(
        &mut self,
        pulls: &mut BTreeMap<i32, Pull>,
        on_loss: FailOnDataLoss,
        budget: &mut Budget,
    ) -> Result<Vec<DataLoss>> {
        self.point_where_needed(pulls)?;
        for (partition, pull) in &mut *pulls {
            if let Some(reader) = self.readers.get_mut(partition) {
                pull.take_waiting(reader, budget);
            }
        }
        if budget.is_spent() {
            return Ok(Vec::new());
        }
        self.resume(pulls)?;
        self.pull(pulls, on_loss, budget)
    }

    /// Gives out what was read of a range; what is left of it, if anything is.
    fn give_out(&mut self, pull: Pull, reading: &mut Reading, part: &mut Read) -> Option<PartitionRange> {
        let partition = pull.range.partition;
        part.filled_up.extend(pull.filled_up_at().map(|at| (partition, at)));
        if let Some(most) = reading.most.get_mut(&partition) {
            *most = most.saturating_sub(pull.rows.len() as u64);
        }
        let left = (!pull.done()).then_some(PartitionRange { from: pull.seen, ..pull.range });
        if let Some(reader) = self.readers.get_mut(&pull.range.partition) {
            reader.position = left.map_or(pull.range.to, |left| left.from);
        }
        if let Some(end) = pull.cut_off {
            part.ends.insert(pull.range.partition, end);
            self.stale = true;
        }
        part.rows.push(pull.rows);
        left
    }

    /// Bytes and number of the first messages of these ranges, as far as they fit into the room. They wait to be read.
    ///
    /// # Errors
    /// As [`KafkaSource::read_part`], but that nothing lost is told.
    pub fn look(&mut self, ranges: &[PartitionRange], room: Room) -> Result<(u64, u64)> {
        // All are pointed at together: one after the other would throw away what came of those before.
        self.point_where_needed(
            &mut ranges.iter().map(|&range| (range.partition, Pull::new(range))).collect(),
        )?;
        let mut reading = Reading::new(ranges, room).in_turn();
        let mut found = (0, 0);
        let part = self.read_part(&mut reading, FailOnDataLoss::Ignore)?;
        // What is gone is for the batch to tell: it begins where it would have.
        self.stale |= !part.lost.is_empty();
        for rows in part.rows {
            found = (found.0 + rows.bytes(), found.1 + rows.len() as u64);
            let range = ranges.iter().find(|range| range.partition == rows.partition);
            if let (Some(range), Some(reader)) = (range, self.readers.get_mut(&rows.partition)) {
                reader.put_back(&rows);
                reader.position = range.from;
            }
        }
        Ok(found)
    }
}
