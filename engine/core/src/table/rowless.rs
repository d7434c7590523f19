//! Streams that have read messages and have no row: their table is not there, and whoever asks for it is told why.

use crate::error::Result;
use crate::lake::Lake;
use crate::records::{Commit, RecordList};

/// What to do where a table is missing that may be the one of a stream without rows; `None` where there is no such stream.
pub(crate) fn rowless(lake: &Lake, table: &str) -> Option<String> {
    let asked = table.rsplit_once('.').map(|(schema, _)| schema);
    let names = lake.schema_names().ok()?;
    let mut streams = names.iter().filter(|name| asked.is_none_or(|asked| asked == *name));
    streams.find_map(|name| of_stream(lake, name).ok().flatten())
}

fn of_stream(lake: &Lake, name: &str) -> Result<Option<String>> {
    let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint(name).join("commits"));
    let (mut messages, mut letters) = (0, 0);
    // Of one that has rows the newest commits have some, nearly always.
    for number in commits.numbers()?.rev() {
        let commit = commits.read(number)?;
        if commit.build.is_some() || commit.counts.rows_out > 0 {
            return Ok(None);
        }
        messages += commit.counts.rows_read;
        letters += commit.counts.dead_letters;
    }
    Ok((messages > 0).then(|| {
        format!(
            "the stream `{name}` has no row yet: of {messages} messages {letters} are dead letters, which say why \
             (SELECT error FROM system.dead_letters), the others are none for its WHERE; with the first row its table is there"
        )
    }))
}
