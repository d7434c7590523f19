//! One object of JSON, looked at for the kinds of its values; nothing is made of them, so that a number may be beyond every
//! double.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use super::json_kinds::{Fields, Mix, Node, Scalar, Shape};

/// One object being looked at. It is JSON: whoever asks has seen to that.
pub(super) struct Scan<'a> {
    json: &'a [u8],
    at: usize,
    place: (usize, u64),
    /// Where the names are of the fields that the value is in; an empty one for an item of a list.
    path: Vec<(usize, usize)>,
    mix: &'a mut Option<Mix>,
}

impl<'a> Scan<'a> {
    /// An object at a place, the file by its number and the line, at its bracket.
    pub(super) fn of(json: &'a [u8], place: (usize, u64), mix: &'a mut Option<Mix>) -> Scan<'a> {
        let mut scan = Scan { json, at: 0, place, path: Vec::new(), mix };
        scan.peek();
        scan
    }

    fn peek(&mut self) -> u8 {
        while self.json.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.json.get(self.at).copied().unwrap_or(b'}')
    }

    /// The next value, to its end; with no node it is only passed.
    fn value(&mut self, node: Option<&mut Node>) {
        match self.peek() {
            b'{' => {
                let fields = node.and_then(|node| match self.shape(node, Shape::Object(Fields::default())) {
                    Some(Shape::Object(fields)) => Some(fields),
                    _ => None,
                });
                self.object(fields, &BTreeMap::new());
            }
            b'[' => {
                let mut item = node.and_then(|node| match self.shape(node, Shape::List(Box::default())) {
                    Some(Shape::List(item)) => Some(item),
                    _ => None,
                });
                self.at += 1;
                self.path.push((0, 0));
                while self.at < self.json.len() && self.peek() != b']' {
                    if self.peek() == b',' {
                        self.at += 1;
                    }
                    self.value(item.as_deref_mut().map(Box::as_mut));
                }
                self.path.pop();
                self.at += 1;
            }
            b'"' => {
                self.text();
                self.scalar(node, Scalar::Text);
            }
            _ => {
                let start = self.at;
                let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
                let length = self.json[start..].iter().position(is_end).unwrap_or(self.json.len() - start);
                // One that cannot go on would never end.
                self.at = start + length.max(1);
                match &self.json[start..start + length] {
                    b"null" => {}
                    b"true" | b"false" => self.scalar(node, Scalar::Boolean),
                    // -0 is no whole number.
                    number => {
                        match std::str::from_utf8(number).ok().and_then(|text| text.parse::<i64>().ok()) {
                            Some(_) if number != b"-0" => self.scalar(node, Scalar::Whole),
                            _ => self.scalar(node, Scalar::Number),
                        }
                    }
                }
            }
        }
    }

    /// An object, to its end. Columns that are given a type are not looked into.
    pub(super) fn object(&mut self, mut fields: Option<&mut Fields>, given: &BTreeMap<String, DataType>) {
        let from = fields.as_ref().map_or(0, |fields| fields.nodes.len());
        self.at += 1;
        while self.at < self.json.len() && self.peek() != b'}' {
            if self.peek() == b',' {
                self.at += 1;
                self.peek();
            }
            let start = self.at;
            self.text();
            self.path.push((start, self.at));
            let name = fields.as_ref().map(|_| name_of(&self.json[start..self.at]));
            if self.peek() == b':' {
                self.at += 1;
            }
            let is_given = name.as_ref().is_some_and(|name| given.contains_key(name.as_ref()));
            let node = fields.as_deref_mut().zip(name).map(|(fields, name)| fields.node(&name));
            self.value(node.filter(|_| !is_given));
            self.path.pop();
        }
        self.at += 1;
        if let Some(fields) = fields {
            fields.sort_from(from);
        }
    }

    /// A text, to behind its quote.
    fn text(&mut self) {
        self.at += 1;
        while let Some(byte) = self.json.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.json.len());
    }

    fn scalar(&mut self, node: Option<&mut Node>, scalar: Scalar) {
        let shape = Shape::Scalar { bits: 0, first: scalar };
        if let Some(Shape::Scalar { bits, .. }) = node.and_then(|node| self.shape(node, shape)) {
            *bits |= scalar as u8;
        }
    }

    /// What the node knows of such values; `None` where it is of another kind.
    fn shape<'n>(&mut self, node: &'n mut Node, seen: Shape) -> Option<&'n mut Shape> {
        if matches!(node.shape, Shape::Null) {
            (node.shape, node.place) = (seen, self.place);
        } else if std::mem::discriminant(&node.shape) != std::mem::discriminant(&seen) {
            if self.mix.is_none() {
                *self.mix = Some(Mix {
                    column: self.column(),
                    here: (seen.words(), self.place),
                    known: (node.shape.words(), node.place),
                });
            }
            return None;
        }
        Some(&mut node.shape)
    }

    fn column(&self) -> String {
        let mut column = String::new();
        for (from, to) in &self.path {
            match from == to {
                true => column.push_str("[]"),
                false if column.is_empty() => column.push_str(&name_of(&self.json[*from..*to])),
                false => column.extend([".", &name_of(&self.json[*from..*to])]),
            }
        }
        column
    }
}

/// The name that stands between quotes.
fn name_of(quoted: &[u8]) -> std::borrow::Cow<'_, str> {
    if quoted.contains(&b'\\')
        && let Ok(name) = serde_json::from_slice::<String>(quoted)
    {
        return name.into();
    }
    String::from_utf8_lossy(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[&str]) -> (Vec<String>, Option<String>) {
        let (mut found, mut mix) = (Fields::default(), None);
        for (at, line) in lines.iter().enumerate() {
            crate::json::check(line.as_bytes()).unwrap();
            let place = (0, at as u64 + 1);
            let mut scan = Scan::of(line.as_bytes(), place, &mut mix);
            scan.object(Some(&mut found), &BTreeMap::new());
            assert_eq!(scan.at, line.trim_end().len(), "{line}");
        }
        let told = found.fields().into_iter().map(|field| format!("{} {}", field.name(), field.data_type()));
        (told.collect(), mix.map(|mix| format!("{} {:?} {:?}", mix.column, mix.here, mix.known)))
    }

    #[test]
    fn columns_are_of_the_type_that_all_their_values_have() {
        let kinds = |lines: &[&str]| fields(lines).0;
        assert_eq!(
            kinds(&[
                r#" {"b":true,"a":1,"c":null,"d":"x","e":1.5, "f" : [ ] , "g":{} } "#,
                r#"{"a":-7,"b":false,"e":2,"d":5,"f":[null,[1,2.0]],"g":{"y":1e400,"x":"}\"\\"},"\u00e4\"":-0}"#,
                r#"{}"#,
            ]),
            [
                "a Int64",
                "b Boolean",
                "c Null",
                "d Utf8",
                "e Float64",
                "f List(List(Float64))",
                "g Struct(\"x\": Utf8, \"y\": Float64)",
                "ä\" Float64",
            ]
        );
        assert_eq!(
            kinds(&[r#"{"z":1}"#, r#"{"b":1,"a":9223372036854775808}"#]),
            ["z Int64", "a Float64", "b Int64"]
        );
        assert_eq!(kinds(&[r#"{"a":[{"x":1},{"y":"t"}]}"#]), ["a List(Struct(\"x\": Int64, \"y\": Utf8))"]);
    }

    #[test]
    fn kinds_that_mix_are_told_once_with_both_lines() {
        for (lines, told) in [
            (
                &[r#"{"a":{"x":1}}"#, r#"{"a":2}"#, r#"{"a":[]}"#][..],
                r#"a ("a number", (0, 2)) ("an object", (0, 1))"#,
            ),
            (
                &[r#"{"a":null}"#, r#"{"a":[1]}"#, r#"{"a":"t"}"#],
                r#"a ("a text", (0, 3)) ("a list", (0, 2))"#,
            ),
            (&[r#"{"o":[{"x":[1,{"y":2}]}]}"#], r#"o[].x[] ("an object", (0, 1)) ("a number", (0, 1))"#),
        ] {
            assert_eq!(fields(lines).1.as_deref(), Some(told), "{lines:?}");
        }
    }
}
