//! `source.kafka.options`: librdkafka's properties, whose names have points in them.
//!
//! TOML takes `sasl.password` without quotes for a table `sasl` with a `password`, and so do `--set` and the variables
//! that override keys: it is put together again. No value is printed, as it may be a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use toml::{Table, Value};

/// The options by their names as librdkafka writes them. What an override says wins over the same name in quotes.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    // Not what serde says of something else, which quotes it.
    let Value::Table(table) = Value::deserialize(from)? else {
        return Err(de::Error::custom("options are a table: options = { \"security.protocol\" = \"SSL\" }"));
    };
    let mut options = BTreeMap::new();
    flatten("", table, &mut options).map_err(de::Error::custom)?;
    Ok(options)
}

fn flatten(before: &str, table: Table, options: &mut BTreeMap<String, String>) -> Result<(), String> {
    let (tables, values): (Vec<_>, Vec<_>) = table.into_iter().partition(|(_, value)| value.is_table());
    for (name, value) in tables.into_iter().chain(values) {
        let name = format!("{before}{name}");
        let value = match value {
            Value::Table(inner) => {
                flatten(&format!("{name}."), inner, options)?;
                continue;
            }
            Value::String(text) => text,
            // A text of digits as a number may be another text: `1_0`, `+5`.
            Value::Integer(number) if !name.contains("password") => number.to_string(),
            Value::Boolean(flag) if !name.contains("password") => flag.to_string(),
            _ => return Err(format!("the option `{name}` is a text: write its value in quotes")),
        };
        options.entry(name).or_insert(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(deserialize_with = "read")]
        options: BTreeMap<String, String>,
    }

    fn options(text: &str) -> Result<Vec<(String, String)>, String> {
        let file: File = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        Ok(file.options.into_iter().collect())
    }

    #[test]
    fn names_with_points_are_one_name() {
        let all = options(
            "[options]\n\"security.protocol\" = \"SSL\"\nfetch.wait.max.ms = 7\nenable.partition.eof = true\n\
             \"sasl.password\" = \"of the file\"\nsasl.password = \"laid over\"\n",
        );
        let expected = [
            ("enable.partition.eof", "true"),
            ("fetch.wait.max.ms", "7"),
            ("sasl.password", "laid over"),
            ("security.protocol", "SSL"),
        ];
        assert_eq!(all.unwrap(), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_value_that_is_no_text_is_named_and_not_printed() {
        for text in
            ["sasl.password = 1234567", "\"sasl.password\" = [\"1234567\"]", "sasl.password = 1234567e0"]
        {
            let error = options(&format!("[options]\n{text}\n")).unwrap_err();
            assert!(error.contains("`sasl.password`") && !error.contains("1234567"), "{error}");
        }
        let error = options("options = \"1234567\"\n").unwrap_err();
        assert!(error.contains("a table") && !error.contains("1234567"), "{error}");
    }
}
