//! The head of a record batch (Kafka's message format v2), and the checks that it must pass.
//!
//! The broker never looks at records: it keeps a batch as the bytes it came as, of any codec. Only
//! the base offset and the partition leader epoch are set by the broker; both lie before the part
//! that the CRC-32C (Castagnoli) covers, so the producer's checksum stays valid for the consumer.
//!
//! ```text
//!  0 base offset i64 | 8 length i32 | 12 leader epoch i32 | 16 magic i8 | 17 crc u32
//! 21 attributes i16  | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16    | 53 base sequence i32  | 57 record count i32
//! 61 records
//! ```
//!
//! Source: <https://kafka.apache.org/documentation/#recordbatch>.

use kafka_protocol::ResponseError;

/// Bytes of a batch before its records.
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes before and including the length field: what `length` does not count.
pub(crate) const PREFIX_BYTES: usize = 12;
/// Bytes that the broker rewrites: base offset, length (unchanged) and leader epoch.
pub(crate) const PATCHED_BYTES: usize = 16;
/// Where the part begins that the checksum covers.
pub(crate) const CRC_FROM: usize = 21;

const CODEC_MASK: i16 = 0b111;
const CODEC_ZSTD: i16 = 4;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// The fields of a batch's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub base_offset: i64,
    /// Whole size on disk and on the wire, head included, in bytes.
    pub size_bytes: u64,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    /// Milliseconds since the epoch, as the producer says.
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    /// -1: the producer is not idempotent.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl BatchHeader {
    /// Reads a head; `None` if the bytes are too few or the numbers cannot be a batch's.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES {
            return None;
        }
        let length = i32::from_be_bytes(field(bytes, 8));
        let size_bytes = u64::try_from(length).ok()? + PREFIX_BYTES as u64;
        let header = Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            size_bytes,
            magic: i8::from_be_bytes(field(bytes, 16)),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        };
        (size_bytes >= HEADER_BYTES as u64 && header.last_offset_delta >= 0).then_some(header)
    }

    /// The offset of the batch's last record.
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The sequence number of the batch's last record; sequences wrap from `i32::MAX` to 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        wrapping_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// Whether the records are compressed.
    pub(crate) fn is_compressed(&self) -> bool {
        self.attributes & CODEC_MASK != 0
    }
}

/// `sequence + delta` in the numbers 0 to `i32::MAX`.
pub(crate) fn wrapping_sequence(sequence: i32, delta: i32) -> i32 {
    sequence.wrapping_add(delta) & i32::MAX
}

/// Checks what a producer sent for one partition: exactly one whole batch, v2, its checksum right.
///
/// # Errors
/// The protocol's error code, as Apache Kafka answers in the same case.
pub(crate) fn validate(
    records: &[u8],
    produce_version: i16,
    max_bytes: usize,
) -> Result<BatchHeader, ResponseError> {
    if records.len() > max_bytes {
        return Err(ResponseError::MessageTooLarge);
    }
    if records.len() > 16 && records[16] != 2 {
        return Err(ResponseError::InvalidRecord);
    }
    let Some(header) = BatchHeader::parse(records) else {
        return Err(ResponseError::CorruptMessage);
    };
    // Since Produce v3 a partition's data is exactly one batch.
    if header.size_bytes != records.len() as u64 {
        return Err(if header.size_bytes < records.len() as u64 {
            ResponseError::InvalidRecord
        } else {
            ResponseError::CorruptMessage
        });
    }
    if crc32c::crc32c(&records[CRC_FROM..]) != header.crc {
        return Err(ResponseError::CorruptMessage);
    }
    if header.record_count < 1 || header.record_count - 1 != header.last_offset_delta {
        return Err(ResponseError::InvalidRecord);
    }
    let codec = header.attributes & CODEC_MASK;
    if codec > CODEC_ZSTD || header.attributes & CONTROL != 0 {
        return Err(ResponseError::InvalidRecord);
    }
    if codec == CODEC_ZSTD && produce_version < 7 {
        return Err(ResponseError::UnsupportedCompressionType);
    }
    if header.attributes & TRANSACTIONAL != 0 {
        return Err(ResponseError::InvalidTxnState);
    }
    if header.attributes & LOG_APPEND_TIME != 0 {
        return Err(ResponseError::InvalidTimestamp);
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return Err(ResponseError::InvalidRecord);
    }
    Ok(header)
}

/// The first 16 bytes of a batch with the offset and leader epoch that the broker gives it.
pub(crate) fn patched_head(records: &[u8], base_offset: i64) -> [u8; PATCHED_BYTES] {
    let mut head = [0; PATCHED_BYTES];
    head.copy_from_slice(&records[..PATCHED_BYTES]);
    head[..8].copy_from_slice(&base_offset.to_be_bytes());
    head[12..].copy_from_slice(&crate::LEADER_EPOCH.to_be_bytes());
    head
}

/// The exact position of the first record at or after `target_ms` inside an uncompressed batch:
/// offset and timestamp. `None`: compressed, unreadable, or no such record.
pub(crate) fn first_record_at(batch: &[u8], target_ms: i64) -> Option<(i64, i64)> {
    let header = BatchHeader::parse(batch)?;
    if header.is_compressed() {
        return None;
    }
    let mut rest = batch.get(HEADER_BYTES..)?;
    for _ in 0..header.record_count {
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let mut record = rest.get(..length)?;
        rest = &rest[length..];
        record = record.get(1..)?; // attributes, unused by the format
        let timestamp = header.base_timestamp.checked_add(varint(&mut record)?)?;
        let delta = varint(&mut record)?;
        if timestamp >= target_ms {
            return Some((header.base_offset.checked_add(delta)?, timestamp));
        }
    }
    None
}

/// A zigzag varint, as records use it.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An uncompressed batch with one byte a record; `timestamps` gives the number of records.
    pub(crate) fn batch(producer: (i64, i16, i32), timestamps: &[i64]) -> Vec<u8> {
        let base = timestamps[0];
        let mut out = vec![0; HEADER_BYTES];
        for (delta, timestamp) in timestamps.iter().enumerate() {
            let mut record = vec![0];
            put_varint(&mut record, timestamp - base);
            put_varint(&mut record, delta as i64);
            put_varint(&mut record, -1);
            put_varint(&mut record, 1);
            record.push(b'x');
            put_varint(&mut record, 0);
            put_varint(&mut out, record.len() as i64);
            out.extend(record);
        }
        let count = timestamps.len() as i32;
        let length = (out.len() - PREFIX_BYTES) as i32;
        out[8..12].copy_from_slice(&length.to_be_bytes());
        out[12..16].copy_from_slice(&(-1i32).to_be_bytes());
        out[16] = 2;
        out[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        out[27..35].copy_from_slice(&base.to_be_bytes());
        let max = timestamps.iter().max().unwrap();
        out[35..43].copy_from_slice(&max.to_be_bytes());
        out[43..51].copy_from_slice(&producer.0.to_be_bytes());
        out[51..53].copy_from_slice(&producer.1.to_be_bytes());
        out[53..57].copy_from_slice(&producer.2.to_be_bytes());
        out[57..61].copy_from_slice(&count.to_be_bytes());
        seal(&mut out);
        out
    }

    pub(crate) fn seal(batch: &mut [u8]) {
        let crc = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }

    fn put_varint(out: &mut Vec<u8>, value: i64) {
        let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
        while zigzag >= 0x80 {
            out.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        out.push(zigzag as u8);
    }

    const PLAIN: (i64, i16, i32) = (-1, -1, -1);

    #[test]
    fn a_good_batch_passes_and_keeps_its_checksum_when_patched() {
        let mut bytes = batch(PLAIN, &[5, 6, 7]);
        let header = validate(&bytes, 9, 1 << 20).unwrap();
        assert_eq!((header.record_count, header.max_timestamp), (3, 7));
        let head = patched_head(&bytes, 42);
        bytes[..PATCHED_BYTES].copy_from_slice(&head);
        assert_eq!(validate(&bytes, 9, 1 << 20).unwrap().base_offset, 42);
        assert_eq!(BatchHeader::parse(&bytes).unwrap().last_offset(), 44);
    }

    #[test]
    fn each_fault_has_its_code() {
        let good = batch(PLAIN, &[5, 6]);
        let check = |bytes: &[u8]| validate(bytes, 9, 1 << 20).unwrap_err();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            if at >= CRC_FROM {
                seal(&mut bytes);
            }
            bytes
        };
        assert_eq!(check(&with(16, 1)), ResponseError::InvalidRecord, "magic");
        assert_eq!(check(&with(17, good[17] ^ 1)), ResponseError::CorruptMessage, "crc");
        assert_eq!(check(&good[..good.len() - 1]), ResponseError::CorruptMessage, "cut");
        assert_eq!(check(&[]), ResponseError::CorruptMessage, "empty");
        assert_eq!(check(&[good.clone(), good.clone()].concat()), ResponseError::InvalidRecord, "two");
        assert_eq!(check(&with(60, 9)), ResponseError::InvalidRecord, "count");
        assert_eq!(check(&with(22, 7)), ResponseError::InvalidRecord, "codec");
        assert_eq!(check(&with(22, 0x10)), ResponseError::InvalidTxnState, "transaction");
        assert_eq!(check(&with(22, 0x08)), ResponseError::InvalidTimestamp, "append time");
        assert_eq!(validate(&good, 9, 10).unwrap_err(), ResponseError::MessageTooLarge);
        assert_eq!(
            validate(&with(22, 4), 6, 1 << 20).unwrap_err(),
            ResponseError::UnsupportedCompressionType
        );
    }

    #[test]
    fn a_record_is_found_by_time_inside_an_uncompressed_batch() {
        let bytes = batch(PLAIN, &[100, 90, 200]);
        assert_eq!(first_record_at(&bytes, 101), Some((2, 200)));
        assert_eq!(first_record_at(&bytes, 100), Some((0, 100)));
        assert_eq!(first_record_at(&bytes, 201), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), target: i64) {
            let _ = validate(&bytes, 9, 1 << 20);
            let _ = first_record_at(&bytes, target);
        }

        #[test]
        fn a_damaged_batch_makes_no_panic(at in 0usize..80, byte: u8, target: i64) {
            let mut bytes = batch(PLAIN, &[1, 2, 3]);
            let at = at % bytes.len();
            bytes[at] = byte;
            seal(&mut bytes);
            let _ = validate(&bytes, 9, 1 << 20);
            let _ = first_record_at(&bytes, target);
        }
    }
}
