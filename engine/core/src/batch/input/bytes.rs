//! The bytes of a file as UTF-8 text: decompressed, whatever the file is called, and decoded.
//!
//! A compression is recognised by the first bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, ErrorKind as IoKind, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use super::archive::unzip;
use super::members::Members;
use crate::error::nearest;
use crate::error::{Error, Result};
use crate::memory;

/// Bytes decompressed at a time.
pub(super) const BUFFER_BYTES: usize = 1 << 17;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::batch) enum Compression {
    /// Not at all.
    None,
    /// gzip, also of several members.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// An archive of one file.
    Zip,
}

impl Compression {
    fn of(first: &[u8]) -> Compression {
        match first {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            // One without a file begins with its end.
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Compression::Zip,
            _ => Compression::None,
        }
    }

    /// A command that tells whether such a file is whole.
    fn check_command(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("gzip -t"),
            Compression::Zstd => Some("zstd -t"),
            Compression::Bzip2 => Some("bzip2 -t"),
            Compression::Xz => Some("xz -t"),
            Compression::Zip => Some("unzip -t"),
        }
    }
}

/// A file open at its first byte of text.
pub(in crate::batch) struct Opened {
    /// What it holds.
    pub text: Box<dyn BufRead + Send>,
    /// How it is compressed.
    pub compression: Compression,
}

/// The encoding that a job names; UTF-8 where it names none.
///
/// # Errors
/// User: there is none of that name.
pub(in crate::batch) fn encoding(label: Option<&str>) -> Result<&'static Encoding> {
    let Some(label) = label else { return Ok(UTF_8) };
    Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        let known =
            ["utf-8", "windows-1252", "iso-8859-1", "iso-8859-15", "windows-1251", "utf-16le", "shift_jis"];
        let near = nearest(label, known.into_iter()).map(|near| format!("did you mean `{near}`? "));
        Error::user(format!("there is no encoding `{label}`")).hint(format!(
            "{}the names are those of https://encoding.spec.whatwg.org, such as {}",
            near.unwrap_or_default(),
            known.join(", ")
        ))
    })
}

/// Counts what is read of the file itself, for a progress bar.
pub(super) struct Counted {
    pub file: File,
    pub bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Whether a file is compressed; one that cannot be read is not, so far.
pub(in crate::batch) fn is_compressed(path: &Path) -> bool {
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(6).read_to_end(&mut first));
    read.is_ok() && Compression::of(&first) != Compression::None
}

/// Opens a file; `bytes` counts what is read of it.
///
/// # Errors
/// User: it is not there, or a folder; Data: it cannot be read.
pub(in crate::batch) fn open(
    path: &Path,
    encoding: &'static Encoding,
    bytes: Arc<AtomicU64>,
) -> Result<Opened> {
    let file = File::open(path)
        .and_then(|file| if file.metadata()?.is_dir() { Err(IoKind::IsADirectory.into()) } else { Ok(file) });
    let file = file.map_err(|e| cannot_open(path, &e))?;
    let mut file = BufReader::with_capacity(BUFFER_BYTES, Counted { file, bytes });
    let first = file.fill_buf().map_err(|e| broken(path, Compression::None, 0, &e))?;
    let compression = Compression::of(first);
    let unreadable = |e: std::io::Error| broken(path, compression, 0, &e);
    let plain: Box<dyn Read + Send> = match compression {
        Compression::None if encoding == UTF_8 => {
            return Ok(Opened { text: unmarked(Box::new(file), path, compression)?, compression });
        }
        Compression::Zip => {
            // The file in it may be compressed itself.
            let mut inner = BufReader::with_capacity(BUFFER_BYTES, unzip(path, file.into_inner())?);
            match Compression::of(inner.fill_buf().map_err(unreadable)?) {
                Compression::Zip => {
                    return Err(Error::user(format!("{} holds another archive", path.display()))
                        .hint("unpack it, or pack the one file that is meant"));
                }
                compression => unpacked(compression, inner).map_err(unreadable)?,
            }
        }
        _ => unpacked(compression, file).map_err(unreadable)?,
    };
    let text: Box<dyn BufRead + Send> = if encoding == UTF_8 {
        unmarked(Box::new(BufReader::with_capacity(BUFFER_BYTES, plain)), path, compression)?
    } else {
        Box::new(Decoded {
            source: BufReader::with_capacity(BUFFER_BYTES, plain),
            decoder: encoding.new_decoder(),
            encoding,
            text: vec![0; BUFFER_BYTES],
            place: 0..0,
            ended: false,
        })
    };
    Ok(Opened { text, compression })
}

/// UTF-8 behind its byte order mark, which is no text. One of UTF-16 tells that the job lacks the encoding.
fn unmarked(
    mut text: Box<dyn BufRead + Send>,
    path: &Path,
    compression: Compression,
) -> Result<Box<dyn BufRead + Send>> {
    let unreadable = |e: std::io::Error| broken(path, compression, 0, &e);
    // A member of gzip may end within the mark.
    let is_short = text.fill_buf().map_err(unreadable)?.len() < MARK.len();
    if is_short {
        let mut first = Vec::new();
        text.by_ref().take(MARK.len() as u64).read_to_end(&mut first).map_err(unreadable)?;
        text = Box::new(Cursor::new(first).chain(text));
    }
    match text.fill_buf().map_err(unreadable)? {
        first if first.starts_with(MARK) => text.consume(MARK.len()),
        [0xff, 0xfe, ..] => return Err(is_utf_16(path, "utf-16le")),
        [0xfe, 0xff, ..] => return Err(is_utf_16(path, "utf-16be")),
        _ => {}
    }
    Ok(text)
}

/// The byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

fn is_utf_16(path: &Path, label: &str) -> Error {
    Error::data(format!("{} is UTF-16, not UTF-8", path.display()))
        .hint(format!("the job says the encoding: encoding = \"{label}\""))
}

/// What a stream holds; an archive is [`unzip`]'s, and stays as it is.
fn unpacked<R: Read + Send + 'static>(
    compression: Compression,
    packed: BufReader<R>,
) -> std::io::Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::None | Compression::Zip => Box::new(packed),
        Compression::Gzip => Box::new(Members::gzip(packed)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
        Compression::Bzip2 => Box::new(Members::bzip2(packed)),
        Compression::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(packed)),
    })
}

/// Text of another encoding as UTF-8.
struct Decoded<R> {
    source: BufReader<R>,
    decoder: Decoder,
    encoding: &'static Encoding,
    text: Vec<u8>,
    /// What of `text` is still to be read.
    place: Range<usize>,
    ended: bool,
}

impl<R: Read> BufRead for Decoded<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        while self.place.is_empty() && !self.ended {
            let raw = self.source.fill_buf()?;
            let last = raw.is_empty();
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, last);
            self.source.consume(read);
            if let DecoderResult::Malformed(..) = result {
                let what = format!("a byte that {} does not have", self.encoding.name());
                return Err(std::io::Error::new(IoKind::InvalidData, what));
            }
            self.ended = last && result == DecoderResult::InputEmpty;
            self.place = 0..written;
        }
        Ok(&self.text[self.place.clone()])
    }

    fn consume(&mut self, read: usize) {
        self.place.start = (self.place.start + read).min(self.place.end);
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

fn cannot_open(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        IoKind::NotFound => Error::user(format!("there is no file {}", path.display()))
            .hint("--input names another (of a job of several inputs: --input NAME=FILE); data/README.md says where the real sets are had"),
        IoKind::IsADirectory => {
            Error::user(format!("{} is a folder", path.display())).hint("--input names a file")
        }
        _ => Error::user(format!("cannot open {}: {error}", path.display())),
    }
}

/// A row, or an object, that has no end as far as the memory reaches.
pub(in crate::batch) fn too_long(path: &Path, line: u64) -> Error {
    let most = memory::longest_row().div_ceil(1_000_000);
    Error::data(format!("a row of more than {most} MB")).context(format!("{}, line {line}", path.display())).hint(
        "is a quote or bracket not closed, or a line without an end? A row may be a sixteenth of the memory: more with \
         --memory-limit",
    )
}

/// A file that cannot be read on behind a line.
pub(in crate::batch) fn broken(
    path: &Path,
    compression: Compression,
    line: u64,
    reason: &std::io::Error,
) -> Error {
    let error = Error::data(format!("cannot read {} after line {line}: {reason}", path.display()));
    if reason.kind() == IoKind::InvalidData && compression == Compression::None {
        return error.hint("the job says the encoding: encoding = \"windows-1252\", say");
    }
    match compression.check_command() {
        None => error,
        Some(check) => error.hint(format!(
            "the file is cut off or damaged: `{check} {}` checks it; fetch it again",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8], label: Option<&str>) -> Result<(String, Compression)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut opened = open(file.path(), encoding(label)?, Arc::default())?;
        let mut text = String::new();
        opened.text.read_to_string(&mut text).map_err(|e| broken(file.path(), opened.compression, 0, &e))?;
        Ok((text, opened.compression))
    }

    fn packed(compression: Compression, text: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => text.to_owned(),
            Compression::Gzip => {
                // Two members, as `cat a.gz b.gz` makes.
                let (a, b) = text.split_at(text.len() / 2);
                let pack = |part: &[u8]| {
                    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    encoder.write_all(part).unwrap();
                    encoder.finish().unwrap()
                };
                [pack(a), pack(b)].concat()
            }
            Compression::Zstd => zstd::encode_all(text, 1).unwrap(),
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zip => {
                let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
                let options = zip::write::SimpleFileOptions::default()
                    .compression_method(zip::CompressionMethod::Deflated);
                writer.start_file("a/b.csv", options).unwrap();
                writer.write_all(text).unwrap();
                writer.start_file("__MACOSX/a/._b.csv", options).unwrap();
                writer.finish().unwrap().into_inner()
            }
        }
    }

    #[test]
    fn every_compression_is_recognised_and_one_that_is_cut_off_is_an_error() {
        let text: String = (0..5_000).map(|n| format!("{n},{}\n", n * n)).collect();
        use Compression::{Bzip2, Gzip, None, Xz, Zip, Zstd};
        for compression in [None, Gzip, Zstd, Bzip2, Xz, Zip] {
            let bytes = packed(compression, text.as_bytes());
            assert_eq!(read(&bytes, Option::None).unwrap(), (text.clone(), compression));
            if compression != None {
                let error = read(&bytes[..bytes.len() * 2 / 3], Option::None).unwrap_err();
                assert!(error.next_step().unwrap().contains("-t "), "{compression:?}: {error}");
            }
        }
    }

    /// An archive of these files, not compressed.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in files {
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn an_archive_is_of_one_file_that_may_be_compressed_itself() {
        let text = b"a,b\n1,2\n";
        let added: [(&str, &[u8]); 3] =
            [(".DS_Store", b"x"), ("a/.DS_Store", b"x"), ("a/__MACOSX/._b", b"x")];
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz] {
            let inner = packed(compression, text);
            let bytes = archive(&[&added[..], &[("a/b.csv", &inner[..])]].concat());
            assert_eq!(read(&bytes, None).unwrap().0.as_bytes(), text, "{compression:?}");
        }
        let twice = archive(&[("b.zip", &packed(Compression::Zip, text))]);
        for (bytes, reason) in [
            (archive(&added), "holds 0 files"),
            (archive(&[]), "holds 0 files"),
            (archive(&[("a.csv", text), ("b.csv", text)]), "holds 2 files"),
            (twice, "holds another archive"),
        ] {
            let error = read(&bytes, None).unwrap_err();
            assert!(error.to_string().contains(reason) && error.next_step().is_some(), "{error}");
        }
    }

    #[test]
    fn an_encrypted_archive_is_said_to_be() {
        let mut bytes = archive(&[("a.csv", b"a\n")]);
        // The flag of the file's own header, and of its entry in the list at the end.
        let entry = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
        bytes[6] |= 1;
        bytes[entry + 8] |= 1;
        let error = read(&bytes, None).unwrap_err();
        assert!(error.to_string().contains("is encrypted"), "{error}");
        assert!(error.next_step().unwrap().contains("password"), "{error}");
    }

    #[test]
    fn zeros_behind_the_end_are_nothing_and_anything_else_is_an_error() {
        let text = b"a,b\n1,2\n";
        for compression in [Compression::Gzip, Compression::Bzip2] {
            let whole = packed(compression, text);
            let zeros = [whole.clone(), vec![0; 200_000]].concat();
            assert_eq!(read(&zeros, None).unwrap().0.as_bytes(), text, "{compression:?}");
            let twice = [whole.clone(), vec![0; 3], whole.clone(), vec![0]].concat();
            assert_eq!(read(&twice, None).unwrap().0.as_bytes(), text.repeat(2), "{compression:?}");
            for garbage in [&b"x"[..], b"\0\0x", b"\x1f", b"B", &whole[..9]] {
                let error = read(&[&whole[..], garbage].concat(), None).unwrap_err();
                assert!(error.next_step().is_some(), "{compression:?}: {error}");
            }
        }
        // Frames of zstd and streams of xz follow one another; xz pads by fours, and zstd -t takes no zeros.
        for compression in [Compression::Zstd, Compression::Xz] {
            let twice = packed(compression, text).repeat(2);
            assert_eq!(read(&twice, None).unwrap().0.as_bytes(), text.repeat(2), "{compression:?}");
            assert!(read(&[twice, b"xxxx".to_vec()].concat(), None).is_err(), "{compression:?}");
        }
        let padded = [packed(Compression::Xz, text), vec![0; 8]].concat();
        assert_eq!(read(&padded, None).unwrap().0.as_bytes(), text);
        assert!(read(&[packed(Compression::Zstd, text), vec![0; 8]].concat(), None).is_err());
    }

    #[test]
    fn a_byte_order_mark_is_no_text_and_one_of_utf_16_is_told() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zip] {
            assert_eq!(read(&packed(compression, b"\xef\xbb\xbfa\n"), None).unwrap().0, "a\n");
        }
        for (bytes, label) in [(&b"\xff\xfea\0"[..], "utf-16le"), (b"\xfe\xff\0a", "utf-16be")] {
            let error = read(bytes, None).unwrap_err();
            assert!(error.next_step().unwrap().contains(label), "{error}");
            assert_eq!(read(bytes, Some(label)).unwrap().0, "a");
        }
    }

    #[test]
    fn a_changed_byte_in_a_zip_is_seen() {
        let mut bytes = packed(Compression::Zip, "x,y\n".repeat(500).as_bytes());
        // In the data, behind the header of 30 bytes and the name of 7.
        bytes[42] ^= 4;
        assert!(read(&bytes, None).is_err());
    }

    #[test]
    fn other_encodings_become_utf_8_and_what_they_lack_is_an_error() {
        assert_eq!(read(b"caf\xe9 \x80", Some("windows-1252")).unwrap().0, "café €");
        assert_eq!(read(b"\xff\xfea\0\xe9\0", Some("utf-16le")).unwrap().0, "aé");
        let long = [b"\xe9".repeat(300_000), b"x".to_vec()].concat();
        assert_eq!(read(&long, Some("latin1")).unwrap().0, "é".repeat(300_000) + "x");
        let error = read(b"a\x81\xff", Some("shift_jis")).unwrap_err();
        assert!(error.to_string().contains("Shift_JIS"), "{error}");
        let error = read(b"", Some("window-1252")).unwrap_err();
        assert!(error.next_step().unwrap().contains("`windows-1252`"), "{error}");
    }
}
