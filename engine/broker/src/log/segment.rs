//! One segment file of a partition's log: whole record batches, one after another, nothing else.
//!
//! Invariant: the first `size_bytes` of the file are whole batches whose offsets follow one
//! another without a gap. What lies behind (a write that a crash or a full disk cut short) is cut
//! off when the segment is opened as the last of its log; in an earlier segment, which was synced
//! before its successor began, it is corruption and an error.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use super::batch::{BatchHeader, CRC_FROM, HEADER_BYTES, PATCHED_BYTES};
use super::index::SparseIndex;
use crate::error::{Error, ErrorKind};

/// Bytes read at once when walking batch heads.
const SCAN_BYTES: usize = 64 * 1024;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Segment {
    pub base_offset: i64,
    pub path: PathBuf,
    pub size_bytes: u64,
    /// Bytes of the log before this segment.
    pub start_bytes: u64,
    pub index: SparseIndex,
}

/// The name of the segment that begins at `base_offset`, as Apache Kafka names it.
pub(crate) fn file_name(base_offset: i64) -> String {
    format!("{base_offset:020}.log")
}

impl Segment {
    /// A new, empty segment.
    ///
    /// # Errors
    /// Storage: the file cannot be made.
    pub(crate) fn create(dir: &Path, base_offset: i64, start_bytes: u64) -> Result<(Self, File), Error> {
        let path = dir.join(file_name(base_offset));
        let file = open_append(&path)?;
        let segment = Self { base_offset, path, size_bytes: 0, start_bytes, index: SparseIndex::new() };
        Ok((segment, file))
    }

    /// Opens a segment and walks its batches, each handed to `seen`. In the last segment of a log
    /// the checksums are checked too and a torn tail is cut off. Gives the next offset.
    ///
    /// # Errors
    /// Storage; Corrupt if a segment that is not the last one is damaged.
    pub(crate) fn open(
        path: PathBuf,
        base_offset: i64,
        start_bytes: u64,
        is_last: bool,
        mut seen: impl FnMut(&BatchHeader),
    ) -> Result<(Self, i64), Error> {
        let file = File::open(&path).map_err(|e| Error::io("cannot open", &path, e))?;
        let read = |e| Error::io("cannot read", &path, e);
        let file_bytes = file.metadata().map_err(read)?.len();
        let mut index = SparseIndex::new();
        let mut next_offset = base_offset;
        let mut heads = Heads::new(&file, 0, file_bytes);
        let good_bytes = loop {
            let Some((position, header)) = heads.next().map_err(read)? else {
                break heads.position;
            };
            let whole = header.magic == 2
                && header.base_offset == next_offset
                && position + header.size_bytes <= file_bytes;
            if !whole || (is_last && !checksum_holds(&file, position, &header).map_err(read)?) {
                break position;
            }
            index.note(header.base_offset, position, header.max_timestamp);
            seen(&header);
            next_offset = header.last_offset() + 1;
        };
        if good_bytes < file_bytes {
            if !is_last {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{} is damaged at byte {good_bytes}", path.display()),
                )
                .hint("delete the topic's folders and the topic in meta.json, or restore them"));
            }
            warn!(path = %path.display(), good_bytes, file_bytes, "cut off a torn tail");
            let cut = || -> io::Result<()> {
                let file = File::options().write(true).open(&path)?;
                file.set_len(good_bytes)?;
                file.sync_all()
            };
            cut().map_err(|e| Error::io("cannot cut off the torn tail of", &path, e))?;
        }
        let segment = Self { base_offset, path, size_bytes: good_bytes, start_bytes, index };
        Ok((segment, next_offset))
    }

    /// Where the batch lies that holds `offset`, if the segment has it.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn locate(file: &File, from: u64, end: u64, offset: i64) -> io::Result<Option<u64>> {
        let mut heads = Heads::new(file, from, end);
        while let Some((position, header)) = heads.next()? {
            if header.last_offset() >= offset {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// The first batch with a record at or after `target_ms`.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn locate_time(
        file: &File,
        from: u64,
        end: u64,
        target_ms: i64,
    ) -> io::Result<Option<(u64, BatchHeader)>> {
        let mut heads = Heads::new(file, from, end);
        while let Some((position, header)) = heads.next()? {
            if header.max_timestamp >= target_ms {
                return Ok(Some((position, header)));
            }
        }
        Ok(None)
    }
}

/// Opens a segment for appending and reading.
pub(crate) fn open_append(path: &Path) -> Result<File, Error> {
    File::options()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(|e| Error::io("cannot open", path, e))
}

/// Appends a batch with its new head: two slices, one write, no copy.
pub(crate) fn write_batch(mut file: &File, head: &[u8; PATCHED_BYTES], batch: &[u8]) -> io::Result<()> {
    let (mut head, mut rest) = (&head[..], &batch[PATCHED_BYTES..]);
    while !head.is_empty() || !rest.is_empty() {
        let written = match file.write_vectored(&[IoSlice::new(head), IoSlice::new(rest)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let of_head = written.min(head.len());
        head = &head[of_head..];
        rest = &rest[written - of_head..];
    }
    Ok(())
}

/// Reads exactly `buffer` at `position` without moving a cursor: many readers share one file.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, buffer, position)
    }
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < buffer.len() {
            let at = position + done as u64;
            match std::os::windows::fs::FileExt::seek_read(file, &mut buffer[done..], at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(())
    }
}

fn checksum_holds(file: &File, position: u64, header: &BatchHeader) -> io::Result<bool> {
    let mut buffer = vec![0; SCAN_BYTES];
    let mut at = position + CRC_FROM as u64;
    let end = position + header.size_bytes;
    let mut crc = 0;
    while at < end {
        let take = (end - at).min(SCAN_BYTES as u64) as usize;
        read_exact_at(file, &mut buffer[..take], at)?;
        crc = crc32c::crc32c_append(crc, &buffer[..take]);
        at += take as u64;
    }
    Ok(crc == header.crc)
}

/// Walks batch heads from a position to `end`; stops at the first bytes that are no head.
struct Heads<'a> {
    file: &'a File,
    /// Where the next head is.
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'a> Heads<'a> {
    fn new(file: &'a File, position: u64, end: u64) -> Self {
        Self { file, position, end, buffer: Vec::new(), buffer_at: position }
    }

    fn next(&mut self) -> io::Result<Option<(u64, BatchHeader)>> {
        let position = self.position;
        if self.end.saturating_sub(position) < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let buffered_to = self.buffer_at + self.buffer.len() as u64;
        if position < self.buffer_at || position + HEADER_BYTES as u64 > buffered_to {
            let take = (self.end - position).min(SCAN_BYTES as u64) as usize;
            self.buffer.resize(take, 0);
            read_exact_at(self.file, &mut self.buffer, position)?;
            self.buffer_at = position;
        }
        let at = (position - self.buffer_at) as usize;
        let Some(header) = BatchHeader::parse(&self.buffer[at..]) else {
            return Ok(None);
        };
        self.position = position.saturating_add(header.size_bytes);
        Ok(Some((position, header)))
    }
}

/// What a reader needs of a segment after the log's lock is let go.
#[derive(Debug)]
pub(crate) struct View {
    pub file: Arc<File>,
    pub size_bytes: u64,
    pub start_bytes: u64,
    /// A position at or before what is looked for.
    pub floor: u64,
}
