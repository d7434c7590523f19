//! The memory that joins, sorts and aggregates may take, and the most that they took.
//!
//! What DataFusion accounts for is limited: hash tables, sort buffers, groups. What it does not account for comes on top,
//! some 50 MB, and is bounded by itself: readers take a million cells at a time ([`super::input`]), a writer ends its row
//! groups at an eighth of the limit ([`super::output`]). The peak of the whole process is in the report.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::{Result, resources_err};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, UnboundedMemoryPool,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

/// A pool that keeps to its limit and remembers its peak.
///
/// DataFusion's fair pool gives each that can spill its part of the limit, by how many there are at the moment: who comes
/// when another has taken all gets a part of its own on top, and two statements took up to twice the limit. Here who comes
/// then is refused, and [`super::turns`] runs the statement again by itself.
#[derive(Debug)]
pub(super) struct PeakPool {
    inner: Arc<dyn MemoryPool>,
    limit: Option<usize>,
    /// Held while one is let in: what is left is not given twice.
    door: Mutex<()>,
    peak: AtomicUsize,
}

impl PeakPool {
    /// A pool of so many bytes, or without a bound.
    pub(super) fn new(limit_bytes: Option<u64>) -> Arc<PeakPool> {
        let limit = limit_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let inner: Arc<dyn MemoryPool> = match limit {
            Some(bytes) => Arc::new(FairSpillPool::new(bytes)),
            None => Arc::new(UnboundedMemoryPool::default()),
        };
        Arc::new(PeakPool { inner, limit, door: Mutex::new(()), peak: AtomicUsize::new(0) })
    }

    /// The most bytes that were taken at a time.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak.load(Ordering::Relaxed) as u64
    }

    /// What statements run in.
    pub(super) fn runtime(self: &Arc<PeakPool>) -> Result<Arc<RuntimeEnv>> {
        RuntimeEnvBuilder::new().with_memory_pool(self.clone()).build_arc()
    }

    fn look(&self) {
        self.peak.fetch_max(self.inner.reserved(), Ordering::Relaxed);
    }
}

impl fmt::Display for PeakPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl MemoryPool for PeakPool {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
        self.look();
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let _door = self.limit.map(|_| self.door.lock().unwrap_or_else(PoisonError::into_inner));
        let left = self.limit.map(|limit| limit.saturating_sub(self.inner.reserved()));
        if let Some(left) = left.filter(|left| *left < additional) {
            return resources_err!(
                "Failed to allocate additional {additional} B for {} with {} B already allocated for this reservation - \
                 {left} B remain available for the total memory pool: {self}",
                reservation.consumer().name(),
                reservation.size()
            );
        }
        self.inner.try_grow(reservation, additional)?;
        self.look();
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

/// The most memory that this process has had, in bytes; where the system tells it (Linux).
pub(super) fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn who_comes_when_all_is_taken_gets_nothing_on_top() {
        let pool = PeakPool::new(Some(100));
        let memory: Arc<dyn MemoryPool> = pool.clone();
        let spills = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&memory);
        let first = spills("first");
        first.try_grow(90).unwrap();
        // Half of the limit would be its part.
        let second = spills("second");
        let error = Error::from(second.try_grow(40).unwrap_err());
        assert_eq!((error.kind(), memory.reserved()), (ErrorKind::Memory, 90), "{error}");
        second.try_grow(10).unwrap();
        first.shrink(60);
        second.try_grow(40).unwrap();
        assert_eq!((memory.reserved(), pool.peak_bytes()), (80, 100));
    }
}
