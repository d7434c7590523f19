//! What a state reads of a batch: a column as texts, whatever it holds and however large it is.

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, LargeStringArray, StringArray, StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::error::Result;

/// The columns of a batch that one column of the state reads.
pub(super) enum Input {
    Max(Int64Array),
    Count(Vec<Texts>),
    Sum(Decimal128Array, Vec<Texts>),
}

/// A column as texts. Those of a column of text are not copied; others are written out, with offsets of 64 bits: a batch may
/// have more than the 2 GiB that offsets of 32 bits reach.
pub(super) enum Texts {
    Small(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

impl Texts {
    /// # Errors
    /// Internal: the column has no form as text.
    pub(super) fn of(column: &ArrayRef) -> Result<Texts> {
        Ok(match column.data_type() {
            DataType::Utf8 => Texts::Small(column.as_string().clone()),
            DataType::Utf8View => Texts::View(column.as_string_view().clone()),
            _ => Texts::Large(cast(column, &DataType::LargeUtf8)?.as_string().clone()),
        })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        match self {
            Texts::Small(texts) => texts.is_null(row),
            Texts::Large(texts) => texts.is_null(row),
            Texts::View(texts) => texts.is_null(row),
        }
    }

    /// The text of a row that is not null.
    pub(super) fn value(&self, row: usize) -> &str {
        match self {
            Texts::Small(texts) => texts.value(row),
            Texts::Large(texts) => texts.value(row),
            Texts::View(texts) => texts.value(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int32Array, StringViewBuilder};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn list(column: &ArrayRef) -> Vec<Option<String>> {
        let texts = Texts::of(column).unwrap();
        let text = |row| (!texts.is_null(row)).then(|| texts.value(row).to_owned());
        (0..column.len()).map(text).collect()
    }

    #[test]
    fn a_column_has_the_same_texts_however_it_is_kept() {
        let texts = [Some("a"), None, Some("of more than twelve bytes"), Some("a"), Some("")];
        let expected = texts.map(|text| text.map(str::to_owned)).to_vec();
        let columns: [ArrayRef; 4] = [
            Arc::new(StringArray::from_iter(texts)),
            Arc::new(LargeStringArray::from_iter(texts)),
            Arc::new(StringViewArray::from_iter(texts)),
            Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>()),
        ];
        for column in columns {
            assert_eq!(list(&column), expected, "{}", column.data_type());
        }
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(-7), None]));
        assert_eq!(list(&numbers), [Some("-7".to_owned()), None]);
    }

    /// 40 times the same 64 MiB: together more than offsets of 32 bits reach, and never copied.
    #[test]
    fn a_column_of_more_than_2_gib_has_its_texts() {
        const LONG: usize = 64 << 20;
        let mut views = StringViewBuilder::new();
        let block = views.append_block("x".repeat(LONG).into_bytes().into());
        for _ in 0..40 {
            views.try_append_view(block, 0, LONG as u32).unwrap();
        }
        let texts = Texts::of(&(Arc::new(views.finish()) as ArrayRef)).unwrap();
        assert_eq!((0..40).map(|row| texts.value(row).len()).sum::<usize>(), 40 * LONG);
    }
}
