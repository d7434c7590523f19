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

use crate::error::{Error, ErrorKind};

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

/// Who asks for the memory of a result.
pub(crate) const RESULT: &str = "ResultRows";

/// What asked for more memory than there was, by the name that DataFusion has for it in its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// An aggregate over all rows: it has no groups that could spill.
    Total,
    /// An aggregate of groups. They spill, but the values of one group have to be in memory together.
    Groups,
    /// The hashed side of a join.
    Join,
    /// The rows that are to be shown.
    Result,
    /// Something else.
    Other,
}

impl Asker {
    pub(super) fn of(error: &Error) -> Asker {
        let text = error.to_string();
        let name =
            text.split_once(" for ").map_or("", |(_, rest)| rest.split(" with ").next().unwrap_or(rest));
        match name {
            name if name.starts_with("AggregateStream") => Asker::Total,
            name if name.contains("Aggregate") => Asker::Groups,
            name if name.contains("Join") => Asker::Join,
            name if name.starts_with(RESULT) => Asker::Result,
            _ => Asker::Other,
        }
    }
}

/// The error of a statement that the limit does not suffice for, in words of ours: DataFusion's name its own parts and
/// settings. Another error is as it was.
pub(crate) fn explain(error: Error, limit_bytes: Option<u64>) -> Error {
    let Some(limit) = limit_bytes.filter(|_| error.kind() == ErrorKind::Memory) else { return error };
    let given = match limit {
        1_000_000.. => format!("{} MB", limit.div_ceil(1_000_000)),
        _ => format!("{} kB", limit.div_ceil(1_000)),
    };
    let more = "give more with --memory-limit";
    let (what, hint) = match Asker::of(&error) {
        Asker::Total | Asker::Groups => (
            "an aggregate: count(DISTINCT), median, quantile, array_agg and their like keep all values of a group in \
             memory",
            format!(
                "{more}; or let a subquery count first: count(DISTINCT a) is count(a) over SELECT DISTINCT g, a"
            ),
        ),
        Asker::Join => (
            "a join: the table of NOT IN, of a condition without `=` and of a cross join has to be in memory",
            format!("{more}; NOT EXISTS in the place of NOT IN spills"),
        ),
        Asker::Result => (
            "the rows of the result, which are in memory together before they are shown",
            format!("{more}, or ask for less: LIMIT, WHERE, fewer columns"),
        ),
        Asker::Other => ("a sort, a join or the groups of an aggregate, though they spill", more.to_owned()),
    };
    Error::new(ErrorKind::Memory, format!("{given} of memory do not suffice for {what}")).hint(hint)
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

    #[test]
    fn who_asked_is_known_by_datafusions_name_for_it() {
        for (name, asker, says) in [
            ("AggregateStream[1]", Asker::Total, "do not suffice for an aggregate"),
            ("FinalHashAggregateStream[0]", Asker::Groups, "do not suffice for an aggregate"),
            ("GroupedHashAggregateStream[0] (sum(x))", Asker::Groups, "do not suffice for an aggregate"),
            ("HashJoinInput", Asker::Join, "do not suffice for a join"),
            ("ResultRows", Asker::Result, "do not suffice for the rows of the result"),
            ("ExternalSorterMerge[1]", Asker::Other, "do not suffice for a sort"),
        ] {
            let text = format!(
                "Resources exhausted: Failed to allocate additional 2.0 MB for {name} with 6.2 MB already allocated \
                 for this reservation - 801.9 KB remain available for the total memory pool: fair(pool_size: 15.3 MB)"
            );
            let error = Error::new(ErrorKind::Memory, text);
            assert_eq!(Asker::of(&error), asker, "{name}");
            let told = explain(error, Some(16_000_000));
            assert!(
                told.to_string().starts_with("16 MB of memory ") && told.to_string().contains(says),
                "{told}"
            );
        }
        assert_eq!(explain(Error::user("x"), Some(1)).to_string(), "x");
    }

    #[test]
    fn the_limit_of_what_is_spilled_is_not_one_of_memory() {
        use datafusion::common::DataFusionError;
        let text = "The used disk space during the spilling process has exceeded the allowable limit of 100.0 GB. \
            Please try increasing the config: `datafusion.runtime.max_temp_directory_size`.";
        let error = Error::from(DataFusionError::ResourcesExhausted(text.to_owned()));
        assert_eq!(error.kind(), ErrorKind::Storage, "a statement is planned again for want of memory");
        let told = explain(error, Some(16_000_000));
        assert!(told.to_string().contains("disk") && !told.to_string().contains("of memory"), "{told}");
        assert!(told.next_step().is_some_and(|hint| hint.contains("--memory-limit")), "{told}");
    }
}
