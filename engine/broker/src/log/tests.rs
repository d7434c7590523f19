//! The log without a network: segments, torn tails, reads, times.

use super::batch::tests::batch;
use super::*;

const PLAIN: (i64, i16, i32) = (-1, -1, -1);

fn append(log: &PartitionLog, bytes: &[u8]) -> Result<i64, ResponseError> {
    let header = batch::validate(bytes, 9, 1 << 20)?;
    log.append(&header, bytes)
}

fn offsets(log: &PartitionLog, from: i64, max_bytes: u64) -> Vec<i64> {
    let read = log.read(from, max_bytes, true).unwrap();
    let (mut at, mut out) = (0, Vec::new());
    while at < read.records.len() {
        let header = BatchHeader::parse(&read.records[at..]).unwrap();
        out.push(header.base_offset);
        at += header.size_bytes as usize;
    }
    out
}

#[test]
fn appends_roll_segments_and_reads_find_every_offset_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let log = PartitionLog::open(dir.path().to_owned(), 1000).unwrap();
    for i in 0..50 {
        let bytes = batch(PLAIN, &[i, i + 1, i + 2]);
        assert_eq!(append(&log, &bytes).unwrap(), i * 3);
    }
    assert!(fs::read_dir(dir.path()).unwrap().count() > 3, "several segments");
    for log in [log, PartitionLog::open(dir.path().to_owned(), 1000).unwrap()] {
        assert_eq!(log.next_offset(), 150);
        for offset in 0..150 {
            assert_eq!(offsets(&log, offset, 1), [offset / 3 * 3]);
        }
        assert_eq!(offsets(&log, 150, 1 << 20), [] as [i64; 0]);
        let all = log.total_bytes();
        assert_eq!((log.bytes_before(0), log.bytes_before(150)), (Ok(0), Ok(all)));
        assert_eq!(log.bytes_before(76), Ok(all / 2));
        for outside in [-1, 151] {
            let got = log.read(outside, 100, true).map(|_| ());
            assert_eq!(got, Err(ResponseError::OffsetOutOfRange));
        }
    }
}

#[test]
fn reads_return_whole_batches_within_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let log = PartitionLog::open(dir.path().to_owned(), 1 << 20).unwrap();
    let bytes = batch(PLAIN, &[1]);
    for _ in 0..10 {
        append(&log, &bytes).unwrap();
    }
    let size = bytes.len() as u64;
    assert_eq!(offsets(&log, 2, size * 3 + 5), [2, 3, 4]);
    assert!(log.read(2, size - 1, false).unwrap().records.is_empty());
}

#[test]
fn a_torn_tail_is_cut_off_and_appends_go_on() {
    let bytes = batch((9, 0, 0), &[1, 2]);
    type Harm = fn(&Path, u64);
    let cut: Harm = |path, size| {
        File::options().write(true).open(path).unwrap().set_len(size - 3).unwrap();
    };
    let flip: Harm = |path, size| {
        let mut all = fs::read(path).unwrap();
        all[size as usize - 1] ^= 0xff;
        fs::write(path, all).unwrap();
    };
    let garbage: Harm = |path, _| {
        let mut all = fs::read(path).unwrap();
        let keep = all.len() * 9 / 10;
        all.truncate(keep);
        all.extend([0xff; 300]);
        fs::write(path, all).unwrap();
    };
    for harm in [cut, flip, garbage] {
        let dir = tempfile::tempdir().unwrap();
        let log = PartitionLog::open(dir.path().to_owned(), 1 << 20).unwrap();
        for i in 0..10 {
            append(&log, &batch((9, 0, i * 2), &[1, 2])).unwrap();
        }
        drop(log);
        harm(&dir.path().join(segment::file_name(0)), bytes.len() as u64 * 10);
        let log = PartitionLog::open(dir.path().to_owned(), 1 << 20).unwrap();
        assert_eq!(log.next_offset(), 18);
        assert_eq!(offsets(&log, 0, 1 << 20), (0..9).map(|i| i * 2).collect::<Vec<_>>());
        // The producer's last batch was lost with the tail: its repeat is taken, not refused.
        assert_eq!(append(&log, &batch((9, 0, 16), &[1, 2])), Ok(16), "still a duplicate");
        assert_eq!(append(&log, &batch((9, 0, 18), &[1, 2])), Ok(18));
        assert_eq!(log.next_offset(), 20);
    }
}

#[test]
fn damage_before_the_last_segment_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = PartitionLog::open(dir.path().to_owned(), 200).unwrap();
    for _ in 0..20 {
        append(&log, &batch(PLAIN, &[1])).unwrap();
    }
    let first = dir.path().join(segment::file_name(0));
    let size = fs::metadata(&first).unwrap().len();
    File::options().write(true).open(&first).unwrap().set_len(size - 1).unwrap();
    let error = PartitionLog::open(dir.path().to_owned(), 200).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    fs::remove_file(first).unwrap();
    let error = PartitionLog::open(dir.path().to_owned(), 200).unwrap_err();
    assert!(error.to_string().contains("are missing"), "{error}");
}

#[test]
fn duplicates_keep_their_offset_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = PartitionLog::open(dir.path().to_owned(), 200).unwrap();
    for i in 0..8 {
        append(&log, &batch((5, 0, i), &[1])).unwrap();
    }
    for log in [log, PartitionLog::open(dir.path().to_owned(), 200).unwrap()] {
        assert_eq!(append(&log, &batch((5, 0, 4), &[1])), Ok(4));
        assert_eq!(append(&log, &batch((5, 0, 9), &[1])), Err(ResponseError::OutOfOrderSequenceNumber));
        assert_eq!(log.next_offset(), 8, "nothing was appended");
    }
}

#[test]
fn offsets_are_found_by_time_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = PartitionLog::open(dir.path().to_owned(), 300).unwrap();
    for i in 0..100 {
        append(&log, &batch(PLAIN, &[i * 10, i * 10 + 5])).unwrap();
    }
    let at = |target| {
        let found = log.offset_at_time(target).unwrap();
        (found.offset, found.timestamp_ms)
    };
    assert_eq!(at(0), (0, 0));
    assert_eq!(at(1), (1, 5));
    assert_eq!(at(500), (100, 500));
    assert_eq!(at(501), (101, 505));
    assert_eq!(at(996), (-1, -1));
    assert_eq!(log.offset_of_max_time().unwrap().offset, 199);
}

#[test]
fn a_time_inside_a_compressed_batch_gives_its_first_offset() {
    let dir = tempfile::tempdir().unwrap();
    let log = PartitionLog::open(dir.path().to_owned(), 1 << 20).unwrap();
    for i in 0..3 {
        let mut bytes = batch(PLAIN, &[i * 10, i * 10 + 5]);
        bytes[22] = 3; // said to be lz4: the broker must not read the records
        batch::tests::seal(&mut bytes);
        append(&log, &bytes).unwrap();
    }
    let at = |target| log.offset_at_time(target).unwrap().offset;
    assert_eq!([at(6), at(10), at(12), at(26)], [2, 2, 2, -1]);
}

#[test]
fn a_closed_log_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let log = PartitionLog::open(dir.path().to_owned(), 300).unwrap();
    append(&log, &batch(PLAIN, &[1])).unwrap();
    log.sync().unwrap();
    log.close();
    let gone = Err(ResponseError::UnknownTopicOrPartition);
    assert_eq!(append(&log, &batch(PLAIN, &[1])), gone);
    assert_eq!(log.read(0, 10, true).map(|_| 0), gone);
}
