//! The names of the fields in a file of JSON, whatever else is wrong with it: what a line is not is told where it is read.

use std::collections::BTreeSet;
use std::fmt;
use std::io::BufRead;
use std::sync::Arc;

use encoding_rs::Encoding;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{InputFile, bytes};
use crate::error::Result;

/// Names of the fields of an object, or of the objects in an array; `a.b` is a field of the object in the field `a`.
#[derive(Debug, Default)]
struct Names(BTreeSet<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Names, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Names, M::Error> {
        let mut names = Names::default();
        while let Some((name, inner)) = map.next_entry::<String, Names>()? {
            names.0.extend(inner.0.iter().map(|inner| format!("{name}.{inner}")));
            names.0.insert(name);
        }
        Ok(names)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> std::result::Result<Names, S::Error> {
        let mut names = Names::default();
        while let Some(item) = items.next_element::<Names>()? {
            names.0.extend(item.0);
        }
        Ok(names)
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<Names, E> {
        Ok(Names::default())
    }

    fn visit_unit<E>(self) -> std::result::Result<Names, E> {
        Ok(Names::default())
    }
}

/// The names of the fields of all objects.
///
/// # Errors
/// Data: the file cannot be read.
pub(super) fn names(file: &InputFile, encoding: &'static Encoding) -> Result<BTreeSet<String>> {
    let open = || bytes::open(&file.path, encoding, Arc::default());
    let bytes::Opened { text, compression } = open()?;
    let (mut names, mut has_others) = (BTreeSet::new(), false);
    for (at, line) in text.split(b'\n').enumerate() {
        let line = line.map_err(|e| bytes::broken(&file.path, compression, at as u64, &e))?;
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        match serde_json::from_slice::<Names>(line) {
            Ok(found) => names.extend(found.0),
            Err(_) => has_others |= !line.iter().all(u8::is_ascii_whitespace),
        }
    }
    if has_others {
        // An object, or an array of them, may be written over several lines.
        let objects = serde_json::Deserializer::from_reader(open()?.text).into_iter::<Names>();
        objects.map_while(std::result::Result::ok).for_each(|found| names.extend(found.0));
    }
    Ok(names)
}
