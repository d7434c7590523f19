//! Archives of one file: zip.

use std::fs::File;
use std::io::{BufReader, ErrorKind as IoKind, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::DeflateDecoder;
use zip::result::ZipError;

use super::bytes::{BUFFER_BYTES, Compression, Counted, broken};
use crate::error::{Error, Result};

/// The one file of an archive, checked against its checksum at the end.
struct Unzipped<R> {
    inner: R,
    checksum: crc32fast::Hasher,
    expected: u32,
}

impl<R: Read> Read for Unzipped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.checksum.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() && self.checksum.clone().finalize() != self.expected {
            return Err(std::io::Error::new(IoKind::InvalidData, "the checksum is another"));
        }
        Ok(read)
    }
}

/// The one file of an archive, but for what macOS adds.
fn only_file<R: Read + Seek>(path: &Path, archive: &zip::ZipArchive<R>) -> Result<String> {
    let is_added = |name: &str| name.split('/').any(|part| part == "__MACOSX" || part == ".DS_Store");
    let is_file = |name: &&str| !name.ends_with('/') && !is_added(name);
    let names: Vec<&str> = archive.file_names().filter(is_file).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        names => Err(Error::user(format!("{} holds {} files", path.display(), names.len()))
            .hint("unpack it, or pack the one file that is meant")),
    }
}

/// The name of the one file that an archive holds; `None` where it is no archive.
///
/// # Errors
/// User: an archive of several files, or of none.
pub(super) fn zipped_name(path: &Path) -> Result<Option<String>> {
    let archive = File::open(path).ok().and_then(|file| zip::ZipArchive::new(BufReader::new(file)).ok());
    archive.map(|archive| only_file(path, &archive)).transpose()
}

/// The file in an archive, from its first byte.
///
/// # Errors
/// User: several files, an encrypted one; Data: the archive is damaged.
pub(super) fn unzip(path: &Path, counted: Counted) -> Result<Box<dyn Read + Send>> {
    let damaged = |e: String| broken(path, Compression::Zip, 0, &std::io::Error::other(e));
    let Counted { mut file, bytes } = counted;
    let (start, size, expected, method) = {
        let mut archive = zip::ZipArchive::new(&file).map_err(|e| damaged(e.to_string()))?;
        let name = only_file(path, &archive)?;
        let entry = archive.by_name(&name).map_err(|e| match e {
            ZipError::UnsupportedArchive(why)
                if why == ZipError::PASSWORD_REQUIRED || why.contains("encrypted") =>
            {
                Error::user(format!("{} is encrypted", path.display()))
                    .hint("unpack it with its password, and name the file that comes out")
            }
            other => damaged(other.to_string()),
        })?;
        (entry.data_start(), entry.compressed_size(), entry.crc32(), entry.compression())
    };
    file.seek(SeekFrom::Start(start)).map_err(|e| damaged(e.to_string()))?;
    let packed = BufReader::with_capacity(BUFFER_BYTES, Counted { file, bytes }.take(size));
    let checksum = crc32fast::Hasher::new();
    match method {
        zip::CompressionMethod::Stored => Ok(Box::new(Unzipped { inner: packed, checksum, expected })),
        zip::CompressionMethod::Deflated => {
            Ok(Box::new(Unzipped { inner: DeflateDecoder::new(packed), checksum, expected }))
        }
        other => Err(Error::user(format!("{} is packed by {other:?}", path.display()))
            .hint("pack it by deflate, as zip does, or unpack it")),
    }
}
