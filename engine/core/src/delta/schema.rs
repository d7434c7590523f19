//! Columns as Delta has them, or why a table cannot be a Delta table.
//!
//! | a column of the files | in Delta |
//! | --- | --- |
//! | BOOLEAN, TINYINT … BIGINT, REAL, DOUBLE, DECIMAL up to 38 digits | boolean, byte, short, integer, long, float, double, decimal |
//! | TEXT, BYTEA, DATE | string, binary, date |
//! | TIMESTAMP of milliseconds or microseconds | timestamp_ntz, with a zone timestamp |
//! | lists, maps, structs of these | array, map, struct |
//! | unsigned integers, TIMESTAMP of seconds or nanoseconds, and all that is not here | none: the table has no log |
//!
//! Each may be null: columns that come later are, in the rows before. None goes, as the table's rows have it (`table::evolve`),
//! and none moves: new ones stand behind the others.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use serde_json::{Value, json};

/// Characters that Delta has in no name.
const FORBIDDEN: [char; 9] = [' ', ',', ';', '{', '}', '(', ')', '=', '\t'];
/// Names that are Delta's own.
const RESERVED: [&str; 4] = ["_metadata", "_change_type", "_commit_version", "_commit_timestamp"];

/// The columns of a table in their order, with their types as Delta writes them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Columns(Vec<(String, Value)>);

impl Columns {
    /// Those of a file.
    ///
    /// # Errors
    /// In words: which Delta has not, and what to write instead.
    pub(super) fn of(schema: &Schema) -> Result<Columns, String> {
        let columns = Columns(fields(schema.fields())?);
        match columns.0.iter().find(|(name, _)| RESERVED.contains(&name.as_str())) {
            Some((name, _)) => Err(format!("the name `{name}` is Delta's own: {}", rename(name))),
            None => Ok(columns),
        }
    }

    /// Those of a log.
    pub(super) fn parse(schema_string: &str) -> Option<Columns> {
        let schema: Value = serde_json::from_str(schema_string).ok()?;
        let column =
            |field: &Value| Some((field.get("name")?.as_str()?.to_owned(), field.get("type")?.clone()));
        schema.get("fields")?.as_array()?.iter().map(column).collect::<Option<_>>().map(Columns)
    }

    /// These, and behind them those of others that they have not.
    ///
    /// # Errors
    /// In words: one is of another type there, or another one's name but for capitals.
    pub(super) fn with(mut self, others: Columns) -> Result<Columns, String> {
        for (name, kind) in others.0 {
            match self.0.iter().find(|(has, _)| *has == name) {
                Some((_, has)) if *has == kind => {}
                Some((_, has)) => {
                    return Err(format!("the column `{name}` is {has} in some files and {kind} in others"));
                }
                None => self.0.push((name, kind)),
            }
        }
        twins(self.0.iter().map(|(name, _)| name.as_str()))?;
        Ok(self)
    }

    /// As the log has them.
    pub(super) fn schema_string(&self) -> String {
        let fields: Vec<Value> = self.0.iter().map(|(name, kind)| written(name, kind)).collect();
        json!({ "type": "struct", "fields": fields }).to_string()
    }

    /// Whether one is, or holds, a timestamp without a zone.
    pub(super) fn has_ntz(&self) -> bool {
        self.0.iter().any(|(_, kind)| is_or_holds_ntz(kind))
    }
}

fn is_or_holds_ntz(kind: &Value) -> bool {
    match kind {
        Value::String(name) => name == NTZ,
        // Only the types of parts: a field may be called so.
        Value::Object(parts) => parts.iter().any(|(key, part)| match key.as_str() {
            "elementType" | "keyType" | "valueType" => is_or_holds_ntz(part),
            "fields" => part.as_array().is_some_and(|fields| {
                fields.iter().any(|field| field.get("type").is_some_and(is_or_holds_ntz))
            }),
            _ => false,
        }),
        _ => false,
    }
}

const NTZ: &str = "timestamp_ntz";

fn written(name: &str, kind: &Value) -> Value {
    json!({ "name": name, "type": kind, "nullable": true, "metadata": {} })
}

fn rename(name: &str) -> String {
    format!("give the column another, `\"{name}\" AS …`")
}

/// Names and types of fields that stand together.
fn fields(fields: &Fields) -> Result<Vec<(String, Value)>, String> {
    let mut found = Vec::new();
    for field in fields {
        let name = field.name();
        let forbidden = |c: char| FORBIDDEN.contains(&c) || c == '\n';
        if name.is_empty() || name.contains(forbidden) {
            let what =
                format!("the name `{name}` is empty or holds one of ` ,;{{}}()=`, a tab or a line's end");
            return Err(format!("{what}: {}", rename(name)));
        }
        found.push((name.clone(), kind(field)?));
    }
    twins(found.iter().map(|(name, _)| name.as_str()))?;
    Ok(found)
}

/// Delta reads names without regard to capitals.
fn twins<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            return Err(format!("`{other}` and `{name}` differ by capitals alone: {}", rename(name)));
        }
    }
    Ok(())
}

/// A type as Delta writes it.
fn kind(field: &Field) -> Result<Value, String> {
    let name = match field.data_type() {
        DataType::Boolean => "boolean",
        DataType::Int8 => "byte",
        DataType::Int16 => "short",
        DataType::Int32 => "integer",
        DataType::Int64 => "long",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary"
        }
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, None) => NTZ,
        DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, Some(_)) => "timestamp",
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
            if u8::try_from(*scale).is_ok_and(|scale| scale <= *digits) =>
        {
            return Ok(Value::from(format!("decimal({digits},{scale})")));
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return Ok(json!({ "type": "array", "elementType": kind(item)?, "containsNull": true }));
        }
        DataType::Struct(parts) => {
            let parts: Vec<Value> = fields(parts)?.iter().map(|(name, kind)| written(name, kind)).collect();
            return Ok(json!({ "type": "struct", "fields": parts }));
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(parts) = entries.data_type() else { return Err(unknown(field)) };
            let [key, value] = parts.as_ref() else { return Err(unknown(field)) };
            return Ok(json!({
                "type": "map", "keyType": kind(key)?, "valueType": kind(value)?, "valueContainsNull": true,
            }));
        }
        DataType::Dictionary(_, value) => {
            return kind(&Field::new(field.name(), value.as_ref().clone(), true));
        }
        _ => return Err(unknown(field)),
    };
    Ok(Value::from(name))
}

fn unknown(field: &Field) -> String {
    let (name, kind) = (field.name(), field.data_type());
    let cast = match kind {
        kind if kind.is_unsigned_integer() => "BIGINT",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Date64 => "DATE",
        _ => "TEXT",
    };
    format!(
        "the column `{name}` is {kind}, which Delta has not: CAST(… AS {cast}) AS {name} is one, in a new lake: a table that has rows keeps its types"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn of(fields: &[(&str, DataType)]) -> Result<Columns, String> {
        let fields = fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false));
        Columns::of(&Schema::new(fields.collect::<Vec<_>>()))
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("item", item, true)))
    }

    #[test]
    fn types_are_those_of_the_protocol() {
        let utc = Some("+00:00".into());
        let cases = [
            (DataType::Int8, json!("byte")),
            (DataType::Int16, json!("short")),
            (DataType::Int32, json!("integer")),
            (DataType::Int64, json!("long")),
            (DataType::Float32, json!("float")),
            (DataType::Utf8View, json!("string")),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), json!("string")),
            (DataType::Decimal128(38, 3), json!("decimal(38,3)")),
            (DataType::Timestamp(TimeUnit::Millisecond, None), json!("timestamp_ntz")),
            (DataType::Timestamp(TimeUnit::Microsecond, utc), json!("timestamp")),
            (list(DataType::Date32), json!({"type": "array", "elementType": "date", "containsNull": true})),
            (
                DataType::Struct(vec![Field::new("x", DataType::Boolean, false)].into()),
                json!({"type": "struct", "fields": [{"name": "x", "type": "boolean", "nullable": true, "metadata": {}}]}),
            ),
        ];
        for (kind, expected) in cases {
            let columns = of(&[("c", kind)]).unwrap();
            let schema: Value = serde_json::from_str(&columns.schema_string()).unwrap();
            assert_eq!(
                schema["fields"][0],
                json!({"name": "c", "type": expected, "nullable": true, "metadata": {}})
            );
            assert_eq!(Columns::parse(&columns.schema_string()), Some(columns));
        }
    }

    #[test]
    fn what_delta_has_not_is_told_with_what_to_write() {
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let cases = [
            ("c", DataType::UInt16, "CAST(… AS BIGINT) AS c"),
            ("c", nanoseconds.clone(), "CAST(… AS TIMESTAMP) AS c"),
            ("c", list(nanoseconds), "CAST(… AS TIMESTAMP)"),
            ("c", DataType::Timestamp(TimeUnit::Second, Some("UTC".into())), "TIMESTAMP WITH TIME ZONE"),
            ("c", DataType::Date64, "CAST(… AS DATE)"),
            ("c", DataType::Time64(TimeUnit::Microsecond), "CAST(… AS TEXT)"),
            ("c", DataType::Null, "CAST(… AS TEXT)"),
            ("c", DataType::Decimal128(5, -2), "CAST(… AS TEXT)"),
            ("c", DataType::Decimal128(3, 5), "CAST(… AS TEXT)"),
            ("a b", DataType::Int64, "`\"a b\" AS …`"),
            ("a=b", DataType::Int64, "`\"a=b\" AS …`"),
            ("_commit_version", DataType::Int64, "Delta's own"),
            ("c", DataType::Struct(vec![Field::new("x(", DataType::Int64, true)].into()), "`x(`"),
        ];
        for (name, kind, says) in cases {
            let error = of(&[(name, kind.clone())]).unwrap_err();
            assert!(error.contains(says), "{kind}: {error}");
        }
        let twins = of(&[("Name", DataType::Int64), ("name", DataType::Int64)]).unwrap_err();
        assert!(twins.contains("`Name` and `name` differ by capitals alone"), "{twins}");
    }

    #[test]
    fn new_columns_stand_behind_and_none_moves_or_changes() {
        let first = of(&[("a", DataType::Int64), ("b", DataType::Utf8)]).unwrap();
        let more = of(&[("c", DataType::Int64), ("b", DataType::Utf8View), ("a", DataType::Int64)]).unwrap();
        let names = |columns: &Columns| columns.0.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let both = first.clone().with(more).unwrap();
        assert_eq!(names(&both), ["a", "b", "c"]);
        assert_eq!(both.clone().with(first.clone()).unwrap(), both);
        assert!(first.clone().with(of(&[("a", DataType::Utf8)]).unwrap()).is_err());
        assert!(first.with(of(&[("B", DataType::Utf8)]).unwrap()).unwrap_err().contains("capitals"));
    }

    #[test]
    fn timestamps_without_a_zone_are_found_wherever_they_are() {
        let ntz = DataType::Timestamp(TimeUnit::Microsecond, None);
        let called = Field::new("timestamp_ntz", DataType::Int64, true);
        assert!(of(&[("a", list(ntz.clone()))]).unwrap().has_ntz());
        assert!(of(&[("a", DataType::Struct(vec![Field::new("x", ntz, true)].into()))]).unwrap().has_ntz());
        assert!(!of(&[("timestamp_ntz", DataType::Struct(vec![called].into()))]).unwrap().has_ntz());
    }
}
