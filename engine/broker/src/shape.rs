//! Walks a request's bytes before the codec decodes them, and refuses counts that lie.
//!
//! The codec reserves memory for as many array elements as a count claims, before it has seen one:
//! eight bytes could ask for hundreds of gigabytes, and a failed allocation ends the process. The
//! walk follows the same layout but allocates nothing and stops at the first element that is not
//! there, so a request that passes it holds every element it claims.
//!
//! Layouts: <https://github.com/apache/kafka/tree/trunk/clients/src/main/resources/common/message>.

use kafka_protocol::messages::ApiKey;

/// A request that does not hold what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

type Walked = Result<(), Malformed>;

struct Walk<'a> {
    rest: &'a [u8],
    /// Lengths are varints, structures end in tagged fields.
    flexible: bool,
}

impl Walk<'_> {
    fn skip(&mut self, bytes: usize) -> Walked {
        self.rest = self.rest.get(bytes..).ok_or(Malformed)?;
        Ok(())
    }

    fn int<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut value = 0usize;
        for shift in (0..35).step_by(7) {
            let [byte] = self.int()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A string, null counted as empty.
    fn string(&mut self) -> Walked {
        let length = if self.flexible {
            self.varint()?.saturating_sub(1)
        } else {
            usize::try_from(i16::from_be_bytes(self.int()?)).unwrap_or(0)
        };
        self.skip(length)
    }

    fn long_length(&mut self) -> Result<usize, Malformed> {
        if self.flexible {
            return Ok(self.varint()?.saturating_sub(1));
        }
        Ok(usize::try_from(i32::from_be_bytes(self.int()?)).unwrap_or(0))
    }

    fn bytes(&mut self) -> Walked {
        let length = self.long_length()?;
        self.skip(length)
    }

    /// An array of structures; an element always has at least one byte.
    fn structs(&mut self, element: impl Fn(&mut Self) -> Walked) -> Walked {
        let count = self.long_length()?;
        for _ in 0..count {
            if self.rest.is_empty() {
                return Err(Malformed);
            }
            element(self)?;
            self.tags()?;
        }
        Ok(())
    }

    fn ints32(&mut self) -> Walked {
        let count = self.long_length()?;
        self.skip(count.checked_mul(4).ok_or(Malformed)?)
    }

    fn strings(&mut self) -> Walked {
        for _ in 0..self.long_length()? {
            self.string()?;
        }
        Ok(())
    }

    fn tags(&mut self) -> Walked {
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()?;
                self.skip(length)?;
            }
        }
        Ok(())
    }
}

/// Checks the body of a request (what follows its header) of an API that the broker serves.
///
/// # Errors
/// The body ends before what it claims.
pub(crate) fn check(api: ApiKey, version: i16, body: &[u8]) -> Walked {
    let flexible_from = match api {
        ApiKey::Produce => 9,
        ApiKey::Fetch => 12,
        ApiKey::ListOffsets | ApiKey::OffsetFetch => 6,
        ApiKey::Metadata => 9,
        ApiKey::OffsetCommit => 8,
        ApiKey::FindCoordinator | ApiKey::ApiVersions => 3,
        ApiKey::CreateTopics => 5,
        ApiKey::DeleteTopics | ApiKey::DescribeConfigs => 4,
        ApiKey::CreatePartitions | ApiKey::InitProducerId => 2,
        _ => 0,
    };
    let mut walk = Walk { rest: body, flexible: version >= flexible_from };
    let w = &mut walk;
    match api {
        ApiKey::Produce => produce(w),
        ApiKey::Fetch => fetch(w, version),
        ApiKey::ListOffsets => list_offsets(w, version),
        ApiKey::Metadata => metadata(w, version),
        ApiKey::OffsetCommit => offset_commit(w, version),
        ApiKey::OffsetFetch => offset_fetch(w, version),
        ApiKey::FindCoordinator => find_coordinator(w, version),
        ApiKey::CreateTopics => create_topics(w),
        ApiKey::DeleteTopics => delete_topics(w, version),
        ApiKey::CreatePartitions => create_partitions(w),
        ApiKey::DescribeConfigs => describe_configs(w, version),
        // No arrays in these.
        _ => Ok(()),
    }?;
    match api {
        ApiKey::ApiVersions | ApiKey::InitProducerId | ApiKey::DescribeCluster => Ok(()),
        _ => walk.tags(),
    }
}

fn produce(w: &mut Walk<'_>) -> Walked {
    w.string()?; // transactional id
    w.skip(2 + 4)?; // acks, timeout
    w.structs(|w| {
        w.string()?;
        w.structs(|w| {
            w.skip(4)?;
            w.bytes()
        })
    })
}

fn fetch(w: &mut Walk<'_>, version: i16) -> Walked {
    w.skip(if version <= 14 { 4 } else { 0 })?; // replica id
    w.skip(4 + 4 + 4 + 1)?; // wait, min bytes, max bytes, isolation
    w.skip(if version >= 7 { 8 } else { 0 })?; // session
    let topic = |w: &mut Walk<'_>| match version {
        13.. => w.skip(16),
        _ => w.string(),
    };
    w.structs(|w| {
        topic(w)?;
        w.structs(|w| {
            w.skip(4 + 8 + 4)?; // partition, offset, max bytes
            w.skip(if version >= 9 { 4 } else { 0 })?; // leader epoch
            w.skip(if version >= 12 { 4 } else { 0 })?; // last fetched epoch
            w.skip(if version >= 5 { 8 } else { 0 }) // log start
        })
    })?;
    if version >= 7 {
        w.structs(|w| {
            topic(w)?;
            w.ints32()
        })?;
    }
    if version >= 11 { w.string() } else { Ok(()) }
}

fn list_offsets(w: &mut Walk<'_>, version: i16) -> Walked {
    w.skip(4)?;
    w.skip(if version >= 2 { 1 } else { 0 })?;
    w.structs(|w| {
        w.string()?;
        w.structs(|w| w.skip(4 + if version >= 4 { 4 } else { 0 } + 8))
    })
}

fn metadata(w: &mut Walk<'_>, version: i16) -> Walked {
    w.structs(|w| {
        w.skip(if version >= 10 { 16 } else { 0 })?;
        w.string()
    })?;
    w.skip(if version >= 4 { 1 } else { 0 })?;
    w.skip(if (8..=10).contains(&version) { 1 } else { 0 })?;
    w.skip(if version >= 8 { 1 } else { 0 })
}

fn offset_commit(w: &mut Walk<'_>, version: i16) -> Walked {
    w.string()?;
    w.skip(4)?;
    w.string()?;
    if version >= 7 {
        w.string()?;
    }
    w.skip(if version <= 4 { 8 } else { 0 })?; // retention
    w.structs(|w| {
        w.string()?;
        w.structs(|w| {
            w.skip(4 + 8)?;
            w.skip(if version >= 6 { 4 } else { 0 })?;
            w.string()
        })
    })
}

fn offset_fetch(w: &mut Walk<'_>, version: i16) -> Walked {
    let topics = |w: &mut Walk<'_>| {
        w.structs(|w| {
            w.string()?;
            w.ints32()
        })
    };
    if version <= 7 {
        w.string()?;
        topics(w)?;
    } else {
        w.structs(|w| {
            w.string()?;
            if version >= 9 {
                w.string()?;
                w.skip(4)?;
            }
            topics(w)
        })?;
    }
    w.skip(if version >= 7 { 1 } else { 0 })
}

fn find_coordinator(w: &mut Walk<'_>, version: i16) -> Walked {
    if version <= 3 {
        w.string()?;
    }
    w.skip(if version >= 1 { 1 } else { 0 })?;
    if version >= 4 { w.strings() } else { Ok(()) }
}

fn create_topics(w: &mut Walk<'_>) -> Walked {
    w.structs(|w| {
        w.string()?;
        w.skip(4 + 2)?;
        w.structs(|w| {
            w.skip(4)?;
            w.ints32()
        })?;
        w.structs(|w| {
            w.string()?;
            w.string()
        })
    })?;
    w.skip(4 + 1)
}

fn delete_topics(w: &mut Walk<'_>, version: i16) -> Walked {
    if version >= 6 {
        w.structs(|w| {
            w.string()?;
            w.skip(16)
        })?;
    } else {
        w.strings()?;
    }
    w.skip(4)
}

fn create_partitions(w: &mut Walk<'_>) -> Walked {
    w.structs(|w| {
        w.string()?;
        w.skip(4)?;
        w.structs(|w| w.ints32())
    })?;
    w.skip(4 + 1)
}

fn describe_configs(w: &mut Walk<'_>, version: i16) -> Walked {
    w.structs(|w| {
        w.skip(1)?;
        w.string()?;
        w.strings()
    })?;
    w.skip(if version >= 3 { 2 } else { 1 })
}

#[cfg(test)]
mod tests;
