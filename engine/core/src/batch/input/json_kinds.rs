//! The kinds of the values in files of JSON objects, and the columns that they make.
//!
//! All objects of all files are looked at. Numbers, texts and booleans of a column are of the type that all of them in the
//! first file have, those in a column that is null there of the type in the others; else they are TEXT. Objects, lists and
//! all else do not mix in a column: the second kind is refused with both places or, where the job sets bad rows aside, is a
//! dead letter when it is read.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use encoding_rs::Encoding;

use super::InputFile;
use super::json_records::{FORM, Records};
use super::json_scan::Scan;
use super::open::{added_column, lacking};
use crate::depth::{MOST_TYPE_LEVELS, is_deeper};
use crate::error::{Error, Result};
use crate::exact::words;
use crate::json;
use crate::project::{FileColumns, InputConfig, OnError};

/// The values of one column, field or list.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) shape: Shape,
    /// File, by its place among the input's, and line of the first that is no null.
    pub(super) place: (usize, u64),
    /// Numbers and texts of later files do not change the type.
    is_settled: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) enum Shape {
    #[default]
    Null,
    Scalar {
        /// Which of the scalars there are, by their bits.
        bits: u8,
        first: Scalar,
    },
    List(Box<Node>),
    Object(Fields),
}

/// A value that is neither list nor object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Boolean = 1,
    Whole = 2,
    Number = 4,
    Text = 8,
}

impl Shape {
    /// The kind as it is told.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Shape::Null => "null",
            Shape::Scalar { first: Scalar::Boolean, .. } => "a boolean",
            Shape::Scalar { first: Scalar::Text, .. } => "a text",
            Shape::Scalar { .. } => "a number",
            Shape::List(_) => "a list",
            Shape::Object(_) => "an object",
        }
    }
}

/// The fields of objects, in the order in which they came, those of one object by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) nodes: Vec<(String, Node)>,
    places: HashMap<String, usize>,
}

impl Fields {
    pub(super) fn node(&mut self, name: &str) -> &mut Node {
        let at = match self.places.get(name) {
            Some(at) => *at,
            None => {
                self.places.insert(name.to_owned(), self.nodes.len());
                self.nodes.push((name.to_owned(), Node::default()));
                self.nodes.len() - 1
            }
        };
        &mut self.nodes[at].1
    }

    /// Sorts the fields from a place on: those of one object.
    pub(super) fn sort_from(&mut self, from: usize) {
        if self.nodes.len() > from + 1 {
            self.nodes[from..].sort_by(|a, b| a.0.cmp(&b.0));
            for (at, (name, _)) in self.nodes.iter().enumerate().skip(from) {
                self.places.insert(name.clone(), at);
            }
        }
    }

    pub(super) fn fields(&self) -> Vec<Field> {
        self.nodes.iter().map(|(name, node)| Field::new(name, node.kind(), true)).collect()
    }
}

/// Two kinds of values in one column.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) column: String,
    pub(super) here: (&'static str, (usize, u64)),
    pub(super) known: (&'static str, (usize, u64)),
}

impl Node {
    fn kind(&self) -> DataType {
        match &self.shape {
            Shape::Null => DataType::Null,
            Shape::Scalar { bits, .. } => {
                let only =
                    |scalars: &[Scalar]| bits & !scalars.iter().fold(0, |all, one| all | *one as u8) == 0;
                match () {
                    () if only(&[Scalar::Boolean]) => DataType::Boolean,
                    () if only(&[Scalar::Whole]) => DataType::Int64,
                    () if only(&[Scalar::Whole, Scalar::Number]) => DataType::Float64,
                    () => DataType::Utf8,
                }
            }
            Shape::List(item) => DataType::List(Arc::new(Field::new_list_field(item.kind(), true))),
            Shape::Object(fields) => DataType::Struct(fields.fields().into()),
        }
    }

    /// The types of the first file stay.
    fn settle(&mut self) {
        match &mut self.shape {
            Shape::Null => {}
            Shape::Scalar { .. } => self.is_settled = true,
            Shape::List(item) => item.settle(),
            Shape::Object(fields) => fields.nodes.iter_mut().for_each(|(_, node)| node.settle()),
        }
    }

    /// Takes in what a later file has; fields that are not known only where they are to be added.
    fn merge(&mut self, later: Node, adds: bool, path: &str, mix: &mut Option<Mix>) {
        match (&mut self.shape, later.shape) {
            (_, Shape::Null) => {}
            (own @ Shape::Null, shape) => (*own, self.place) = (shape, later.place),
            (Shape::Scalar { bits, .. }, Shape::Scalar { bits: more, .. }) => {
                if !self.is_settled {
                    *bits |= more;
                }
            }
            (Shape::List(own), Shape::List(item)) => own.merge(*item, adds, &format!("{path}[]"), mix),
            (Shape::Object(own), Shape::Object(fields)) => own.merge(fields, adds, path, mix),
            (own, shape) => {
                mix.get_or_insert_with(|| Mix {
                    column: path.to_owned(),
                    here: (shape.words(), later.place),
                    known: (own.words(), self.place),
                });
            }
        }
    }
}

impl Fields {
    fn merge(&mut self, later: Fields, adds: bool, path: &str, mix: &mut Option<Mix>) {
        for (name, node) in later.nodes {
            if adds || self.places.contains_key(&name) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                self.node(&name).merge(node, adds, &path, mix);
            }
        }
    }
}

/// The columns of some files.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    files: Vec<PathBuf>,
    columns: Fields,
}

impl Kinds {
    /// Looks at a file: its objects that can be read. The others are for the reader to set aside where the job says so.
    ///
    /// # Errors
    /// Data: it holds something else, or two kinds of values in a column; User: the first holds nothing, or a later one has
    /// a column that the job does not say what to do with.
    pub(super) fn add(
        &mut self,
        config: &InputConfig,
        file: &mut InputFile,
        encoding: &'static Encoding,
    ) -> Result<()> {
        let at = self.files.len();
        self.files.push(file.path.clone());
        let (mut found, mut mix) = (Fields::default(), None);
        let (mut rows, mut record) = (0_u64, Vec::new());
        let mut records = Records::open(&file.path, encoding, Arc::default())?;
        while let Some(line) = records.next(&mut record)? {
            if let Err(error) = json::check(&record) {
                if config.on_error == OnError::Fail {
                    let place = format!("{}, line {line}", file.path.display());
                    let hint = format!("{FORM}; mend or remove the line, or on_error = \"dead_letter\"");
                    return Err(Error::data(format!("no JSON object: {error}")).context(place).hint(hint));
                }
                file.is_checked = true;
                continue;
            }
            rows += 1;
            let mut scan = Scan::of(&record, (at, line), &mut mix);
            match is_deeper(&record, MOST_TYPE_LEVELS) {
                // Which columns there are is known, and the values are for who reads them to tell.
                true => names(&record).iter().for_each(|name| _ = found.node(name)),
                false => scan.object(Some(&mut found), &config.types),
            }
        }
        file.is_strict = !file.is_checked;
        self.refuse(config, mix)?;
        if at == 0 && rows == 0 {
            return Err(Error::user(format!("{} is empty", file.path.display())).hint(FORM));
        }
        if at == 0 {
            found.nodes.iter_mut().for_each(|(_, node)| node.settle());
            self.columns = found;
            return Ok(());
        }
        let added = lacking(&self.columns.fields(), &found.fields());
        let mut mix = None;
        self.columns.merge(found, config.columns == Some(FileColumns::Union), "", &mut mix);
        self.refuse(config, mix)?;
        match added.filter(|_| config.columns.is_none()) {
            Some(added) => Err(added_column(&added, &self.files[0], file)),
            None => Ok(()),
        }
    }

    fn refuse(&self, config: &InputConfig, mix: Option<Mix>) -> Result<()> {
        let Some(mix) = mix.filter(|_| config.on_error == OnError::Fail) else { return Ok(()) };
        let (here, (file, line)) = mix.here;
        let (known, (first, at)) = mix.known;
        let of = if first == file { String::new() } else { format!("{}, ", self.files[first].display()) };
        Err(Error::data(format!("the column `{}` is {here} here, {known} in {of}line {at}", mix.column))
            .context(format!("{}, line {line}", self.files[file].display()))
            .hint(
                "a column of JSON holds values of one kind: write them alike, or under two names; \
                 on_error = \"dead_letter\" sets those aside that are not as the first",
            ))
    }

    /// The columns of the files so far; none where no file was looked at.
    pub(super) fn fields(&self, config: &InputConfig) -> Option<Vec<Field>> {
        let kind = |field: &Field| config.types.get(field.name()).unwrap_or(field.data_type()).clone();
        let fields = self.columns.fields();
        (!self.files.is_empty())
            .then(|| fields.iter().map(|field| Field::new(field.name(), kind(field), true)).collect())
    }
}

/// The names of an object's fields.
fn names(record: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let add = |name: json::Text<'_>, _: json::Value<'_>| names.push(name.meant().into_owned());
    // It has been checked by now.
    json::text(record).and_then(|text| json::object(text, add)).map_or_else(|_| Vec::new(), |()| names)
}

/// The column of the first value of an object that is no such kind as its type, and what is wrong with it.
pub(super) fn misfit(record: &[u8], schema: &Schema) -> Option<(String, String)> {
    if json::check(record).is_err() || is_deeper(record, MOST_TYPE_LEVELS) {
        return None;
    }
    let (mut found, mut mix) = (Fields::default(), None);
    Scan::of(record, (0, 1), &mut mix).object(Some(&mut found), &BTreeMap::new());
    schema.fields().iter().find_map(|field| {
        let at = found.places.get(field.name())?;
        let (path, is, kind) = other_kind(field.name(), &found.nodes[*at].1, field.data_type())?;
        Some((field.name().clone(), format!("`{path}` is {is}, and no {kind}")))
    })
}

fn other_kind(path: &str, node: &Node, kind: &DataType) -> Option<(String, &'static str, String)> {
    match (&node.shape, kind) {
        (Shape::Null, _) => None,
        (Shape::Object(own), DataType::Struct(fields)) => fields.iter().find_map(|field| {
            let at = own.places.get(field.name())?;
            other_kind(&format!("{path}.{}", field.name()), &own.nodes[*at].1, field.data_type())
        }),
        (Shape::List(own), DataType::List(item)) => other_kind(&format!("{path}[]"), own, item.data_type()),
        (Shape::Scalar { .. }, kind) if !kind.is_nested() => None,
        (shape, DataType::Struct(_)) => Some((path.to_owned(), shape.words(), "object".to_owned())),
        (shape, DataType::List(_)) => Some((path.to_owned(), shape.words(), "list".to_owned())),
        (shape, kind) => Some((path.to_owned(), shape.words(), words(kind))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_kind_than_its_type_is_told() {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
        let object = DataType::Struct(vec![Field::new("x", DataType::Utf8, true)].into());
        let schema = Schema::new(vec![Field::new("l", list, true), Field::new("o", object, true)]);
        let told =
            |json: &str| misfit(json.as_bytes(), &schema).map(|(column, what)| format!("{column}: {what}"));
        assert_eq!(told(r#"{"l":[1],"o":{"x":"a","y":[]},"z":{}}"#), None);
        assert_eq!(told(r#"{"l":1}"#).unwrap(), "l: `l` is a number, and no list");
        assert_eq!(told(r#"{"l":[[1]]}"#).unwrap(), "l: `l[]` is a list, and no BIGINT");
        assert_eq!(told(r#"{"o":{"x":[]}}"#).unwrap(), "o: `o.x` is a list, and no TEXT");
        assert_eq!(told(r#"{"o":true}"#).unwrap(), "o: `o` is a boolean, and no object");
    }
}
