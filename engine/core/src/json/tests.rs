use proptest::prelude::*;

use super::*;

/// Names and values of an object, or what is wrong with it.
fn fields(json: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let value = |value: Value<'_>| match value {
        Value::Text(text) => format!("{:?}", text.meant()),
        Value::Number(number) => number.to_owned(),
        other => format!("{other:?}"),
    };
    object(json, |name, of| found.push((name.meant().into_owned(), value(of)))).map_err(|e| e.to_string())?;
    Ok(found)
}

#[test]
fn objects_are_read_field_by_field() {
    let json = r#" { "a" : -1.50e+3 , "b\u0041":"x\"\\\/\b\f\n\r\t\u00e9\ud83c\udf0ay","":null,
        "l":[1,[],[{}],{"x":[true,{"y":"]}"}]}],"o":{"a":{},"b":[ ]},"t":true,"f":false,"a":0}"#;
    let found = fields(json).unwrap();
    let found: Vec<(&str, &str)> =
        found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let text = "\"x\\\"\\\\/\\u{8}\\u{c}\\n\\r\\té🌊y\"";
    assert_eq!(
        found,
        [
            ("a", "-1.50e+3"),
            ("bA", text),
            ("", "Null"),
            ("l", "List"),
            ("o", "Object"),
            ("t", "True"),
            ("f", "False"),
            ("a", "0")
        ]
    );
    assert_eq!(fields("{}").unwrap(), []);
    assert_eq!(
        string(r#" "{\"a\":\"\\n\"}" "#).map(|text| text.meant().into_owned()),
        Ok(r#"{"a":"\n"}"#.into())
    );
}

/// What Python's `json.loads` (with `parse_constant` refusing NaN and Infinity) and DuckDB's `json_valid` refuse.
const INVALID: &[&str] = &[
    r#"{"a":1 "b":2}"#,
    r#"{"a":1,,"b":2}"#,
    r#"{,"a":1}"#,
    r#"{"a":1,}"#,
    r#"{"a" 1}"#,
    r#"{"a"::1}"#,
    r#"{"a":}"#,
    r#"{"a"}"#,
    r#"{a:1}"#,
    r#"{'a':1}"#,
    r#"{"a":'x'}"#,
    r#"{1:1}"#,
    r#"{null:1}"#,
    r#"{"a":[1 2]}"#,
    r#"{"a":[1,]}"#,
    r#"{"a":[,1]}"#,
    r#"{"a":[1,,2]}"#,
    r#"{"a":[1}}"#,
    r#"{"a":{"b":1]}"#,
    r#"{"a":{"b":1 "c":2}}"#,
    r#"{"a":{"b" 1}}"#,
    r#"{"a":{"b":1,}}"#,
    r#"{"a":{[]:1}}"#,
    r#"{"a":[:]}"#,
    r#"{"a":01}"#,
    r#"{"a":00}"#,
    r#"{"a":-01}"#,
    r#"{"a":+1}"#,
    r#"{"a":-}"#,
    r#"{"a":1.}"#,
    r#"{"a":.5}"#,
    r#"{"a":1.e5}"#,
    r#"{"a":1e}"#,
    r#"{"a":1e+}"#,
    r#"{"a":1.5.5}"#,
    r#"{"a":--1}"#,
    r#"{"a":1-2}"#,
    r#"{"a":555-1234}"#,
    r#"{"a":0x10}"#,
    r#"{"a":1_000}"#,
    r#"{"a":1,5"b":1}"#,
    r#"{"a":NaN}"#,
    r#"{"a":Infinity}"#,
    r#"{"a":-Infinity}"#,
    r#"{"a":True}"#,
    r#"{"a":tru}"#,
    r#"{"a":truex}"#,
    r#"{"a":nul}"#,
    r#"{"a":nullnull}"#,
    r#"{"a":undefined}"#,
    "{\"a\":\"x\ny\"}",
    "{\"a\":\"x\ty\"}",
    "{\"a\":\"\u{0}\"}",
    "{\"a\u{1f}\":1}",
    r#"{"a":"\x41"}"#,
    r#"{"a":"\'"}"#,
    r#"{"a":"\a"}"#,
    r#"{"a":"\U0041"}"#,
    r#"{"a":"\u004"}"#,
    r#"{"a":"\u00g1"}"#,
    r#"{"a":"\u+041"}"#,
    r#"{"a":"\u 041"}"#,
    r#"{"a":1}}"#,
    r#"{"a":1}]"#,
    r#"{"a":1},"#,
    r#"{"a":1}x"#,
    r#"{"a":1} {"b":2}"#,
    r#"{"a":1}{"b":2}"#,
    "{\"a\":1}\u{0}",
    "{\"a\":1}\u{a0}",
    "{\"a\":1}\u{b}",
    "{\u{c}\"a\":1}",
    "\u{feff}{\"a\":1}",
    r#"{"a":1"#,
    r#"{"a":[1"#,
    r#"{"a":"x"#,
    r#"{"a":"x\"#,
    r#"{"a":"\u00"#,
    r#"{"a"#,
    r#"{"#,
    r#"{"a":1 // one
    }"#,
    r#"{/* one */"a":1}"#,
    "",
    "   ",
    "nonsense",
    "[1]",
    "1",
    "null",
    "\"a\"",
];

#[test]
fn what_is_no_json_is_refused() {
    for text in INVALID {
        assert!(fields(text).is_err(), "{text}");
        // As the value of a field, where it is one, it is none either.
        assert!(
            fields(&format!(r#"{{"x":{text}}}"#)).is_err()
                || serde_json::from_str::<serde_json::Value>(text).is_ok(),
            "{text}"
        );
    }
    // Python and the grammar of RFC 8259 take halves of surrogate pairs; DuckDB and PostgreSQL do not, and no text has them.
    for text in [
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\udc00x"}"#,
        r#"{"a":"\ud800\u0041"}"#,
        r#"{"\ud83c":1}"#,
        r#"{"a":"\ud800\ud800"}"#,
    ] {
        assert!(fields(text).unwrap_err().contains("surrogate"), "{text}");
    }
    for (bytes, at) in [
        (&b"{\"a\":\"\xff\"}"[..], 7),
        (b"{\"\xed\xa0\x80\":1}", 3),
        (b"{\"a\":\"\xc3\"}", 7),
        (b"\xef\xbb{}", 1),
    ] {
        assert_eq!(check(bytes).unwrap_err().to_string(), format!("no JSON: what is no UTF-8, byte {at}"));
    }
}

#[test]
fn what_is_wrong_is_told_by_its_place() {
    for (text, says) in [
        (r#"{"a":1 "b":2}"#, "no JSON: `,` or `}` is expected, byte 8"),
        (r#"{"a":555-1234}"#, "no JSON: `,` or `}` is expected, byte 9"),
        (r#"{"a":[1 2]}"#, "no JSON: `,` or `]` is expected, byte 9"),
        (r#"{"a":1,}"#, "no JSON: a name in double quotes is expected, byte 8"),
        (r#"{"a":NaN}"#, "no JSON: a value is expected, byte 6"),
        (r#"{"a":1.}"#, "no JSON: a digit is expected, byte 8"),
        ("{\"a\":\"\n\"}", "no JSON: a control character in a string is to be written as an escape, byte 7"),
        (r#"{"a":"\x"}"#, "no JSON: no escape of JSON, byte 7"),
        (r#"{"a":[{"b":tr"#, "the JSON object is cut off"),
        (r#"{"a":1} x"#, "more than one JSON object, or something else behind it"),
        (" [1]", "not a JSON object"),
        (" ", "there is nothing"),
    ] {
        assert_eq!(fields(text).unwrap_err(), says, "{text}");
    }
}

#[test]
fn levels_are_counted_and_brackets_in_texts_are_none() {
    let lists = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert_eq!(check(lists(MOST_LEVELS - 1).as_bytes()), Ok(()));
    for levels in [MOST_LEVELS, 2 * MOST_LEVELS, 1_000_000] {
        assert_eq!(check(lists(levels).as_bytes()), Err(Fault::TooDeep));
    }
    let objects = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    assert_eq!(check(objects(MOST_LEVELS).as_bytes()), Ok(()));
    assert_eq!(check(objects(MOST_LEVELS + 1).as_bytes()), Err(Fault::TooDeep));
    // What never closes is too deep before it is cut off.
    assert_eq!(check("{\"a\":".repeat(110_000).as_bytes()), Err(Fault::TooDeep));
    let text = format!(r#"{{"a":"\"{}","b":[{}{{}}]}}"#, "[".repeat(2_000), "[{}],".repeat(2_000));
    assert_eq!(check(text.as_bytes()), Ok(()));
}

/// Any value, as its text.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |value| value.is_finite())
            .prop_map(|value| format!("{value:?}")),
        any::<String>().prop_map(|value| serde_json::to_string(&value).unwrap()),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        let name = any::<String>().prop_map(|name| serde_json::to_string(&name).unwrap());
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(" , "))),
            proptest::collection::vec((name, inner), 0..6).prop_map(|fields| {
                let fields = fields.into_iter().map(|(name, value)| format!("{name} :{value}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(",\n"))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// With a byte changed, left out or put in, it is JSON here where it is to serde_json, which reads all of it into values
    /// (and so refuses halves of surrogate pairs too, but takes numbers beyond a double for none).
    #[test]
    fn it_is_json_where_others_say_so(
        value in value(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![proptest::sample::select(&b"{}[]\",:\\-+.eE0123456789tfnu \n\x00\x1f\x7f/'"[..]), any::<u8>()],
        how in 0..4,
    ) {
        let json = format!(r#"{{"a":{value},"b":1}}"#);
        prop_assert_eq!(check(json.as_bytes()), Ok(()));
        let mut bytes = json.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => { bytes.remove(at); }
            _ => bytes.truncate(at),
        }
        let theirs = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes);
        let is_too_great = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        prop_assert!(check(&bytes).is_ok() == theirs.is_ok() || is_too_great,
            "{}: {:?}, {:?}", String::from_utf8_lossy(&bytes), check(&bytes), theirs);
    }

    /// A text is what it was before it was written.
    #[test]
    fn a_text_comes_back(text in any::<String>(), is_ascii in any::<bool>()) {
        let written = serde_json::to_string(&text).unwrap();
        let written: String = match is_ascii {
            true => written.encode_utf16().map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04X}"),
            }).collect(),
            false => written,
        };
        prop_assert_eq!(string(&written).map(|text| text.meant().into_owned()), Ok(text));
    }
}
