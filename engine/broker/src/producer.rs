//! Idempotent producers of one partition: what was last seen of each, and what to do with a batch.
//!
//! An idempotent producer numbers its records per partition. The broker keeps the last five
//! batches of each producer, as many as a client may have in flight, and decides:
//!
//! | the batch | the decision |
//! | --- | --- |
//! | has no producer id | append |
//! | of a producer not known here | append (its state may be older than the log; KIP-360) |
//! | of an older epoch | `InvalidProducerEpoch` |
//! | of a newer epoch, sequence 0 | append |
//! | of a newer epoch, sequence not 0 | `OutOfOrderSequenceNumber` |
//! | equal to one of the last five | duplicate: answer the first one's offset, append nothing |
//! | follows the last one | append |
//! | anything else | `OutOfOrderSequenceNumber` |
//!
//! The state is a pure function of the log, from which it is rebuilt on start.

use std::collections::{HashMap, VecDeque};

use kafka_protocol::ResponseError;

use crate::log::batch::{BatchHeader, wrapping_sequence};

const KEPT_BATCHES: usize = 5;
/// Producers remembered a partition; past it the one that was longest silent is forgotten.
const KEPT_PRODUCERS: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Seen {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    batches: VecDeque<Seen>,
}

/// What to do with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Append,
    /// It is in the log already, at this offset.
    Duplicate {
        base_offset: i64,
    },
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    known: HashMap<i64, Producer>,
}

impl Producers {
    /// Decides as the module's table says.
    ///
    /// # Errors
    /// The protocol's error code for a batch that must not be appended.
    pub(crate) fn check(&self, batch: &BatchHeader) -> Result<Decision, ResponseError> {
        if batch.producer_id < 0 {
            return Ok(Decision::Append);
        }
        let Some(producer) = self.known.get(&batch.producer_id) else {
            return Ok(Decision::Append);
        };
        if batch.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if batch.producer_epoch > producer.epoch {
            return if batch.base_sequence == 0 {
                Ok(Decision::Append)
            } else {
                Err(ResponseError::OutOfOrderSequenceNumber)
            };
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        let same = |seen: &&Seen| (seen.first_sequence, seen.last_sequence) == (first, last);
        if let Some(seen) = producer.batches.iter().find(same) {
            return Ok(Decision::Duplicate { base_offset: seen.base_offset });
        }
        match producer.batches.back() {
            Some(seen) if wrapping_sequence(seen.last_sequence, 1) != first => {
                Err(ResponseError::OutOfOrderSequenceNumber)
            }
            _ => Ok(Decision::Append),
        }
    }

    /// Notes a batch that is in the log at `base_offset`.
    pub(crate) fn note(&mut self, batch: &BatchHeader, base_offset: i64) {
        if batch.producer_id < 0 {
            return;
        }
        if self.known.len() >= KEPT_PRODUCERS && !self.known.contains_key(&batch.producer_id) {
            self.forget_one();
        }
        let producer = self.known.entry(batch.producer_id).or_insert(Producer {
            epoch: batch.producer_epoch,
            batches: VecDeque::with_capacity(KEPT_BATCHES),
        });
        if producer.epoch != batch.producer_epoch {
            producer.epoch = batch.producer_epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == KEPT_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Seen {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
        });
    }

    fn forget_one(&mut self) {
        let last_offset = |p: &Producer| p.batches.back().map_or(-1, |seen| seen.base_offset);
        let silent = self.known.iter().min_by_key(|(_, p)| last_offset(p));
        if let Some(id) = silent.map(|(id, _)| *id) {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::tests::batch;

    fn header(id: i64, epoch: i16, sequence: i32, records: usize) -> BatchHeader {
        BatchHeader::parse(&batch((id, epoch, sequence), &vec![1; records])).unwrap()
    }

    #[test]
    fn the_table_holds() {
        let mut producers = Producers::default();
        let check = |p: &Producers, id, epoch, sequence, n| p.check(&header(id, epoch, sequence, n));
        assert_eq!(check(&producers, -1, -1, -1, 3), Ok(Decision::Append));
        assert_eq!(check(&producers, 7, 0, 12, 3), Ok(Decision::Append), "unknown producer");
        for i in 0..7 {
            producers.note(&header(7, 1, i * 10, 10), i64::from(i) * 100);
        }
        assert_eq!(check(&producers, 7, 0, 70, 1), Err(ResponseError::InvalidProducerEpoch));
        assert_eq!(check(&producers, 7, 2, 0, 1), Ok(Decision::Append));
        assert_eq!(check(&producers, 7, 2, 70, 1), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(check(&producers, 7, 1, 20, 10), Ok(Decision::Duplicate { base_offset: 200 }));
        assert_eq!(check(&producers, 7, 1, 60, 10), Ok(Decision::Duplicate { base_offset: 600 }));
        assert_eq!(
            check(&producers, 7, 1, 10, 10),
            Err(ResponseError::OutOfOrderSequenceNumber),
            "only five batches are kept"
        );
        assert_eq!(check(&producers, 7, 1, 70, 1), Ok(Decision::Append));
        assert_eq!(check(&producers, 7, 1, 71, 1), Err(ResponseError::OutOfOrderSequenceNumber));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.note(&header(7, 0, i32::MAX - 1, 2), 0);
        assert_eq!(producers.check(&header(7, 0, 0, 1)), Ok(Decision::Append));
        assert_eq!(producers.check(&header(7, 0, 1, 1)), Err(ResponseError::OutOfOrderSequenceNumber));
    }

    #[test]
    fn memory_is_bounded() {
        let mut producers = Producers::default();
        for id in 0..KEPT_PRODUCERS as i64 + 10 {
            producers.note(&header(id, 0, 0, 1), id);
        }
        assert_eq!(producers.known.len(), KEPT_PRODUCERS);
        assert!(!producers.known.contains_key(&0));
    }
}
