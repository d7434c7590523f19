//! How much memory there is, and how much of it this process may take.

use std::sync::OnceLock;

use bytesize::ByteSize;

/// The share of what there is: models in training, the system and others need some too.
const SHARE: u64 = 2;
/// Where nobody says how much there is.
const UNKNOWN: u64 = 4 << 30;
/// With less than this nothing runs.
const LEAST: u64 = 64 << 20;

static GIVEN: OnceLock<u64> = OnceLock::new();

/// Says how many bytes of memory this process may take; before anything runs, and once.
pub fn give(bytes: u64) {
    let _ = GIVEN.set(bytes);
}

/// What [`give`] said.
pub fn given() -> Option<u64> {
    GIVEN.get().copied()
}

/// Bytes of memory that this process may take: what [`give`] said, or [`default_limit`].
pub fn limit() -> u64 {
    given().unwrap_or_else(default_limit)
}

/// The memory limit where none is given: half of what the process may have, which is the machine's memory, or less where a
/// control group or a limit of the address space says so.
pub fn default_limit() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let limits = [
        read("/proc/meminfo").as_deref().and_then(machine),
        read("/sys/fs/cgroup/memory.max").as_deref().and_then(number),
        read("/sys/fs/cgroup/memory/memory.limit_in_bytes").as_deref().and_then(number),
        address_space(),
    ];
    (limits.into_iter().flatten().min().unwrap_or(UNKNOWN) / SHARE).max(LEAST)
}

/// Most bytes of a row of a file: a share of the memory, as it is there several times while it is read.
pub(crate) fn longest_row() -> u64 {
    (limit() / 16).clamp(1 << 20, 256 << 20)
}

/// A size in bytes: `512MB` is 512 million, `2GiB` is 2 * 2^30; `None` where it is none, or nothing.
pub fn size_bytes(text: &str) -> Option<u64> {
    match text.trim().parse::<ByteSize>() {
        // What is past the most that fits is taken for that by the library.
        Ok(ByteSize(bytes)) if bytes > 0 && bytes < u64::MAX => Some(bytes),
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    number(line.trim().strip_suffix("kB")?).map(|kilobytes| kilobytes * 1024)
}

/// The limit of this process's address space (`ulimit -v`), where there is one.
pub fn address_space() -> Option<u64> {
    most_addresses(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn most_addresses(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    number(line.split_whitespace().next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_is_read_as_linux_writes_it() {
        assert_eq!(machine("MemTotal:       24653004 kB\nMemFree: 1 kB\n"), Some(24_653_004 * 1024));
        let limits = "Max cpu time  unlimited unlimited seconds\nMax address space         1073741824           unlimited  bytes\n";
        assert_eq!(most_addresses(limits), Some(1 << 30));
        assert_eq!(most_addresses("Max address space         unlimited            unlimited  bytes\n"), None);
        assert_eq!((number("max\n"), number("4096\n")), (None, Some(4096)));
        assert!(default_limit() >= LEAST);
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size_bytes("512MB"), Some(512_000_000));
        assert_eq!(size_bytes("2 GiB"), Some(2 << 30));
        assert_eq!(size_bytes("64m"), Some(64_000_000));
        assert_eq!(size_bytes("1.5GB"), Some(1_500_000_000));
        for wrong in ["", "MB", "0", "-1MB", "12 parsecs", "99999999999999999999GB"] {
            assert_eq!(size_bytes(wrong), None, "{wrong}");
        }
    }
}
