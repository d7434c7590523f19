//! The log of one partition: a folder of segments, appended at the end, read anywhere.
//!
//! ```text
//! crimes-0/00000000000000000000.log   batches 0 ..
//!          00000000000000731093.log   batches 731093 ..      <- the last one grows
//! ```
//!
//! Invariants: offsets have no gaps; only the last segment can be torn, because a segment is
//! synced before its successor begins; a reader sees only whole, appended batches, since it never
//! reads past a size that was published under the lock. Reads hold no lock while they touch the
//! disk, and no more memory than they return. Nothing is ever deleted but a whole topic, so the
//! log starts at offset 0.

pub(crate) mod batch;
pub(crate) mod index;
pub(crate) mod segment;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use tracing::error;

use crate::error::{Error, ErrorKind};
use crate::producer::{Decision, Producers};
use crate::storage::sync_dir;
use batch::BatchHeader;
use segment::{Segment, View};

/// The log of one partition.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    dir: PathBuf,
    segment_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Never empty; the last one is `active`.
    segments: Vec<Segment>,
    active: Arc<File>,
    next_offset: i64,
    producers: Producers,
    dirty: bool,
    closed: bool,
}

/// Records read from a log, and its end at that moment.
#[derive(Debug)]
pub(crate) struct ReadRecords {
    pub records: Bytes,
    pub high_watermark: i64,
}

/// An offset found by time; both -1 if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetAt {
    pub offset: i64,
    pub timestamp_ms: i64,
}

impl OffsetAt {
    const NONE: Self = Self { offset: -1, timestamp_ms: -1 };
}

impl PartitionLog {
    /// Opens the log in `dir`, made if absent: walks its batches, rebuilds index and producer
    /// state, and cuts off a torn tail.
    ///
    /// # Errors
    /// Storage; Corrupt if the segments do not follow one another.
    pub(crate) fn open(dir: PathBuf, segment_bytes: u64) -> Result<Self, Error> {
        fs::create_dir_all(&dir).map_err(|e| Error::io("cannot make the folder", &dir, e))?;
        let bases = segment_bases(&dir)?;
        let mut producers = Producers::default();
        let mut segments: Vec<Segment> = Vec::with_capacity(bases.len().max(1));
        let (mut next_offset, mut start_bytes) = (0, 0);
        for (i, &base) in bases.iter().enumerate() {
            if base != next_offset {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{}: offsets {next_offset} to {base} are missing", dir.display()),
                )
                .hint("a segment file was removed; restore it or delete the topic"));
            }
            let path = dir.join(segment::file_name(base));
            let is_last = i + 1 == bases.len();
            let (segment, next) = Segment::open(path, base, start_bytes, is_last, |header| {
                producers.note(header, header.base_offset);
            })?;
            next_offset = next;
            start_bytes += segment.size_bytes;
            segments.push(segment);
        }
        let active = match segments.last() {
            Some(last) => segment::open_append(&last.path)?,
            None => {
                let (segment, file) = Segment::create(&dir, 0, 0)?;
                segments.push(segment);
                sync_dir(&dir)?;
                file
            }
        };
        Ok(Self {
            dir,
            segment_bytes,
            state: Mutex::new(State {
                segments,
                active: Arc::new(active),
                next_offset,
                producers,
                dirty: false,
                closed: false,
            }),
        })
    }

    /// Appends one validated batch and gives its base offset; a duplicate of an idempotent
    /// producer's batch is not appended again and gets the first one's offset.
    ///
    /// # Errors
    /// The protocol's error code.
    pub(crate) fn append(&self, header: &BatchHeader, batch: &[u8]) -> Result<i64, ResponseError> {
        let mut state = self.lock();
        if state.closed {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        if let Decision::Duplicate { base_offset } = state.producers.check(header)? {
            return Ok(base_offset);
        }
        let storage = |what: &str, e: &dyn std::fmt::Display| {
            error!(dir = %self.dir.display(), "{what}: {e}");
            ResponseError::KafkaStorageError
        };
        let size_bytes = batch.len() as u64;
        let is_full = state
            .segments
            .last()
            .is_some_and(|s| s.size_bytes > 0 && s.size_bytes + size_bytes > self.segment_bytes);
        if is_full {
            self.roll(&mut state).map_err(|e| storage("cannot begin a segment", &e))?;
        }
        let base_offset = state.next_offset;
        let head = batch::patched_head(batch, base_offset);
        let active = Arc::clone(&state.active);
        let Some(last) = state.segments.last_mut() else {
            return Err(storage("no segment", &""));
        };
        let position = last.size_bytes;
        if let Err(e) = segment::write_batch(&active, &head, batch) {
            // Back to the last whole batch: appends go on where they were.
            if let Err(e) = active.set_len(position) {
                state.closed = true;
                return Err(storage("cannot take back half an append, log closed", &e));
            }
            return Err(storage("cannot append", &e));
        }
        last.index.note(base_offset, position, header.max_timestamp);
        last.size_bytes += size_bytes;
        state.next_offset = base_offset + i64::from(header.last_offset_delta) + 1;
        state.producers.note(header, base_offset);
        state.dirty = true;
        Ok(base_offset)
    }

    fn roll(&self, state: &mut State) -> Result<(), Error> {
        state.active.sync_data().map_err(|e| Error::io("cannot sync", &self.dir, e))?;
        let start_bytes = state.total_bytes();
        let (segment, file) = Segment::create(&self.dir, state.next_offset, start_bytes)?;
        sync_dir(&self.dir)?;
        state.segments.push(segment);
        state.active = Arc::new(file);
        Ok(())
    }

    /// Reads whole batches from the one that holds `offset` on, at most `max_bytes`; at least one
    /// batch, however large, if `at_least_one`. At the end of the log the records are empty.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `UnknownTopicOrPartition` if the topic was deleted meanwhile.
    pub(crate) fn read(
        &self,
        offset: i64,
        max_bytes: u64,
        at_least_one: bool,
    ) -> Result<ReadRecords, ResponseError> {
        let (view, high_watermark) = self.view(offset)?;
        let records = match view {
            Some(view) => {
                read_batches(&view, offset, max_bytes, at_least_one).map_err(|e| self.read_failed(&e))?
            }
            None => Bytes::new(),
        };
        Ok(ReadRecords { records, high_watermark })
    }

    /// Bytes of the log before the batch that holds `offset`; all of them at its end.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn bytes_before(&self, offset: i64) -> Result<u64, ResponseError> {
        let Some(view) = self.view(offset)?.0 else {
            return Ok(self.total_bytes());
        };
        let position = Segment::locate(&view.file, view.floor, view.size_bytes, offset)
            .map_err(|e| self.read_failed(&e))?;
        Ok(view.start_bytes + position.unwrap_or(view.size_bytes))
    }

    /// Size of the whole log in bytes.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.lock().total_bytes()
    }

    /// The next offset to be given, which is the high watermark: there are no replicas to wait for.
    pub(crate) fn next_offset(&self) -> i64 {
        self.lock().next_offset
    }

    /// Whether the topic was deleted or the broker is stopping.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The first record at or after `target_ms`. Exact in uncompressed batches; of a compressed
    /// one the broker cannot see the records and answers its first offset: never too late.
    ///
    /// # Errors
    /// `KafkaStorageError`.
    pub(crate) fn offset_at_time(&self, target_ms: i64) -> Result<OffsetAt, ResponseError> {
        let found = {
            let state = self.lock();
            let at =
                state.segments.iter().position(|s| s.size_bytes > 0 && s.index.max_timestamp() >= target_ms);
            match at {
                Some(at) => {
                    let floor = state.segments[at].index.floor_by_time(target_ms);
                    Some(state.view(at, floor).map_err(|e| self.read_failed(&e))?)
                }
                None => None,
            }
        };
        let Some(view) = found else {
            return Ok(OffsetAt::NONE);
        };
        let search = || -> io::Result<OffsetAt> {
            let found = Segment::locate_time(&view.file, view.floor, view.size_bytes, target_ms)?;
            let Some((position, header)) = found else {
                return Ok(OffsetAt::NONE);
            };
            let first = OffsetAt { offset: header.base_offset, timestamp_ms: header.base_timestamp };
            if header.base_timestamp >= target_ms || header.is_compressed() {
                return Ok(first);
            }
            let mut batch = vec![0; header.size_bytes as usize];
            segment::read_exact_at(&view.file, &mut batch, position)?;
            Ok(batch::first_record_at(&batch, target_ms)
                .map_or(first, |(offset, timestamp_ms)| OffsetAt { offset, timestamp_ms }))
        };
        search().map_err(|e| self.read_failed(&e))
    }

    /// The batch with the greatest timestamp (ListOffsets -3): that time's first record.
    ///
    /// # Errors
    /// `KafkaStorageError`.
    pub(crate) fn offset_of_max_time(&self) -> Result<OffsetAt, ResponseError> {
        let max = {
            let state = self.lock();
            let times = state.segments.iter().filter(|s| s.size_bytes > 0);
            times.map(|s| s.index.max_timestamp()).max()
        };
        match max {
            Some(max) => self.offset_at_time(max),
            None => Ok(OffsetAt::NONE),
        }
    }

    /// Puts what was appended on the disk; does nothing if nothing was.
    ///
    /// # Errors
    /// Storage; it will be tried again at the next call.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let file = {
            let mut state = self.lock();
            if !state.dirty {
                return Ok(());
            }
            state.dirty = false;
            Arc::clone(&state.active)
        };
        file.sync_data().map_err(|e| {
            self.lock().dirty = true;
            Error::io("cannot sync", &self.dir, e)
        })
    }

    /// Ends appends and reads; those under way end by themselves.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    fn view(&self, offset: i64) -> Result<(Option<View>, i64), ResponseError> {
        let state = self.lock();
        if state.closed {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        if offset < 0 || offset > state.next_offset {
            return Err(ResponseError::OffsetOutOfRange);
        }
        if offset == state.next_offset {
            return Ok((None, state.next_offset));
        }
        let after = state.segments.partition_point(|s| s.base_offset <= offset);
        let at = after.saturating_sub(1);
        let floor = state.segments[at].index.floor(offset);
        let view = state.view(at, floor).map_err(|e| self.read_failed(&e))?;
        Ok((Some(view), state.next_offset))
    }

    fn read_failed(&self, e: &io::Error) -> ResponseError {
        error!(dir = %self.dir.display(), "cannot read: {e}");
        ResponseError::KafkaStorageError
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock cannot leave half a change: sizes are set after the write.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn total_bytes(&self) -> u64 {
        self.segments.last().map_or(0, |s| s.start_bytes + s.size_bytes)
    }

    fn view(&self, at: usize, floor: u64) -> io::Result<View> {
        let segment = &self.segments[at];
        // Full segments are opened when read: one descriptor a partition, however long its log.
        let file = if at + 1 == self.segments.len() {
            Arc::clone(&self.active)
        } else {
            Arc::new(File::open(&segment.path)?)
        };
        Ok(View { file, size_bytes: segment.size_bytes, start_bytes: segment.start_bytes, floor })
    }
}

fn read_batches(view: &View, offset: i64, max_bytes: u64, at_least_one: bool) -> io::Result<Bytes> {
    let Some(position) = Segment::locate(&view.file, view.floor, view.size_bytes, offset)? else {
        return Ok(Bytes::new());
    };
    let mut head = [0; batch::HEADER_BYTES];
    segment::read_exact_at(&view.file, &mut head, position)?;
    let first_bytes = BatchHeader::parse(&head).map_or(0, |h| h.size_bytes);
    if first_bytes > max_bytes && !at_least_one {
        return Ok(Bytes::new());
    }
    let take = (view.size_bytes - position).min(max_bytes.max(first_bytes));
    let mut records = BytesMut::zeroed(take as usize);
    segment::read_exact_at(&view.file, &mut records, position)?;
    // Only whole batches: a cut one would be read by the client and thrown away.
    let mut whole = 0;
    while let Some(header) = records.get(whole..).and_then(BatchHeader::parse) {
        let end = whole + header.size_bytes as usize;
        if end > records.len() {
            break;
        }
        whole = end;
    }
    records.truncate(whole);
    Ok(records.freeze())
}

fn segment_bases(dir: &Path) -> Result<Vec<i64>, Error> {
    let read = |e| Error::io("cannot read the folder", dir, e);
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        let base = name.to_str().and_then(|n| n.strip_suffix(".log"));
        if let Some(base) = base.and_then(|n| n.parse().ok()) {
            bases.push(base);
        }
    }
    bases.sort_unstable();
    Ok(bases)
}

#[cfg(test)]
mod tests;
