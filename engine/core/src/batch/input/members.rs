//! gzip and bzip2 as their tools read them: members one after another, and zeros behind one.
//!
//! `cat a.gz b.gz` makes several members. Tapes, disks and some programs fill the last block with zeros, which are no part
//! of the data. Anything else behind a member is an error: whether rows were in it, nobody knows.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;

/// The decoder of one member.
enum Member<R> {
    Gzip(Box<GzDecoder<R>>),
    Bzip2(BzDecoder<R>),
}

impl<R: BufRead> Member<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Member::Gzip(decoder) => decoder.read(buffer),
            Member::Bzip2(decoder) => decoder.read(buffer),
        }
    }

    /// The member behind this one, if any.
    fn next(self) -> Result<Option<Member<R>>> {
        let is_gzip = matches!(self, Member::Gzip(_));
        let mut source = match self {
            Member::Gzip(decoder) => decoder.into_inner(),
            Member::Bzip2(decoder) => decoder.into_inner(),
        };
        loop {
            let behind = source.fill_buf()?;
            let Some(first) = behind.first() else { return Ok(None) };
            if *first != 0 {
                break;
            }
            let zeros = behind.iter().take_while(|byte| **byte == 0).count();
            source.consume(zeros);
        }
        match (is_gzip, source.fill_buf()?.first()) {
            (true, Some(0x1f)) => Ok(Some(Member::Gzip(Box::new(GzDecoder::new(source))))),
            (false, Some(b'B')) => Ok(Some(Member::Bzip2(BzDecoder::new(source)))),
            _ => Err(Error::new(ErrorKind::InvalidData, "bytes that are none of it are behind its end")),
        }
    }
}

/// The text of all members.
pub(super) struct Members<R> {
    /// None behind the last.
    member: Option<Member<R>>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn gzip(source: R) -> Members<R> {
        Members { member: Some(Member::Gzip(Box::new(GzDecoder::new(source)))) }
    }

    pub(super) fn bzip2(source: R) -> Members<R> {
        Members { member: Some(Member::Bzip2(BzDecoder::new(source))) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.member = match self.member.take() {
                Some(ended) => ended.next()?,
                None => None,
            };
        }
        Ok(0)
    }
}
