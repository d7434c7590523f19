//! Statements that the memory limit does not suffice for, in words of ours: DataFusion's name its own parts and settings.

use crate::error::{Error, ErrorKind};

/// Who asks for the memory of a result.
pub(crate) const RESULT: &str = "ResultRows";

/// What asked for more memory than there was, by the name that DataFusion has for it in its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
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
    pub(crate) fn of(error: &Error) -> Asker {
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
pub(crate) fn explain_memory(error: Error, limit_bytes: Option<u64>) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let told = explain_memory(error, Some(16_000_000));
            assert!(
                told.to_string().starts_with("16 MB of memory ") && told.to_string().contains(says),
                "{told}"
            );
        }
        assert_eq!(explain_memory(Error::user("x"), Some(1)).to_string(), "x");
    }

    #[test]
    fn the_limit_of_what_is_spilled_is_not_one_of_memory() {
        use datafusion::common::DataFusionError;
        let text = "The used disk space during the spilling process has exceeded the allowable limit of 100.0 GB. \
            Please try increasing the config: `datafusion.runtime.max_temp_directory_size`.";
        let error = Error::from(DataFusionError::ResourcesExhausted(text.to_owned()));
        assert_eq!(error.kind(), ErrorKind::Storage, "a statement is planned again for want of memory");
        let told = explain_memory(error, Some(16_000_000));
        assert!(told.to_string().contains("disk") && !told.to_string().contains("of memory"), "{told}");
        assert!(told.next_step().is_some_and(|hint| hint.contains("--memory-limit")), "{told}");
    }
}
