//! The types of an input's cells, for rows of a file that are to be as those that a model was trained on.

use arrow::datatypes::DataType;

use crate::lake::Lake;
use crate::project::{BatchJob, parse_schema};
use crate::records::{Commit, RecordList};

/// The columns of an input of this name, and their types: as the job says them or, by `types = "auto"`, as the newest build
/// has found them. None where there is no such input, or nothing is known.
pub fn input_types(lake: &Lake, job: &BatchJob, name: &str) -> Vec<(String, DataType)> {
    let Some(input) = job.inputs.iter().find(|input| input.name == name) else { return Vec::new() };
    let mut types: Vec<(String, DataType)> = found(lake, &job.schema_name, name).unwrap_or_default();
    types.retain(|(column, _)| !input.types.contains_key(column));
    types.extend(input.types.iter().map(|(column, of)| (column.clone(), of.clone())));
    types
}

/// As the newest build has found them.
fn found(lake: &Lake, schema_name: &str, name: &str) -> Option<Vec<(String, DataType)>> {
    let commits: RecordList<Commit> = RecordList::read_only(lake.checkpoint(schema_name).join("commits"));
    for number in commits.numbers().ok()?.rev() {
        let inputs = commits.read(number).ok()?.build.map(|build| build.inputs).unwrap_or_default();
        if let Some(found) = inputs.into_iter().find(|of| of.input == name).and_then(|of| of.found_types) {
            let schema = parse_schema(&format!("CREATE TABLE found ({found})")).ok()?;
            let fields = schema.fields().iter();
            return Some(fields.map(|field| (field.name().clone(), field.data_type().clone())).collect());
        }
    }
    None
}
