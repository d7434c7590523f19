//! Headings over lines, other line ends, comments.

use std::io::Write;

use encoding_rs::UTF_8;

use super::*;

fn opened<T>(text: &str, options: &CsvOptions, f: impl FnOnce(&mut CsvText<'_>) -> T) -> T {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let delimiter = options.delimiter.unwrap_or(b',');
    f(&mut CsvText::open(file.path(), options, delimiter, UTF_8, Arc::default()).unwrap())
}

fn header(text: &str, options: &CsvOptions) -> Result<(Vec<String>, u64, String)> {
    opened(text, options, |file| {
        let header = file.header()?;
        let mut rest = String::new();
        file.text.read_to_string(&mut rest).unwrap();
        Ok((header.names, header.line, rest))
    })
}

#[test]
fn headings_are_found_behind_whatever_end_of_line() {
    let plain = CsvOptions::default();
    let skipped = CsvOptions { skip_rows: 2, ..CsvOptions::default() };
    let commented = CsvOptions { comment: Some(b'#'), ..CsvOptions::default() };
    for (text, options, line, rest) in [
        ("a,b\n1,2\n", &plain, 1, "1,2\n"),
        ("a,b\r1,2\r", &plain, 1, "1,2\r"),
        ("a,b\r\n1,2\r\n", &plain, 1, "\n1,2\r\n"),
        ("\u{feff}a,b\n1,2", &plain, 1, "1,2"),
        ("\u{feff}\n \n\r\n\ra,b\n1,2", &plain, 5, "1,2"),
        ("\u{feff}x\r\n\r\na,b\n", &skipped, 3, ""),
        ("x \"\ry\ra , b", &skipped, 3, ""),
        ("# x \"\r#\r\na,b\n#\n\"#\n#\",#\r#x", &commented, 3, "\n\"#\n#\",#\r"),
    ] {
        let found = header(text, options).unwrap();
        assert_eq!(found, (vec!["a".to_owned(), "b".to_owned()], line, rest.to_owned()), "{text:?}");
    }
    let found = header("\n\"Unit\nPrice\", \"a \"\"b\"\"\"\r\n1,2", &plain).unwrap();
    assert_eq!(found, (vec!["Unit\nPrice".to_owned(), "\"a \"\"b\"\"\"".to_owned()], 2, "\n1,2".to_owned()));
    for text in ["", "\u{feff}", "\n\r \n", "\0\n1"] {
        assert!(header(text, &plain).is_err(), "{text:?}");
    }
    assert!(header("x\n", &skipped).unwrap_err().to_string().ends_with("is empty"));
}

#[test]
fn many_headings_are_read() {
    let names: Vec<String> = (0..20_000).map(|at| format!("column {at}")).collect();
    let (found, _, rest) = header(&format!("{}\n1", names.join(",")), &CsvOptions::default()).unwrap();
    assert_eq!((found, rest.as_str()), (names, "1"));
}

#[test]
fn the_line_of_a_byte_is_that_of_an_editor() {
    let text = b"a\nb\r\nc\rd\n\ne\r\r\nf";
    for chunk in [1, 2, 3, 100] {
        let mut numbered = Numbered::new(text.as_slice(), Lines::default());
        let mut buffer = vec![0; chunk];
        while numbered.read(&mut buffer).unwrap() > 0 {}
        let places = (b'a'..=b'f').map(|letter| text.iter().position(|byte| *byte == letter).unwrap() as u64);
        let lines: Vec<u64> = places.map(|place| numbered.line_of(place)).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6, 8], "{chunk}");
    }
}
