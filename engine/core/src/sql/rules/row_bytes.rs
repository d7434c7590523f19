//! Structs and lists as bytes, equal where they are equal, by which distinct ones are counted.
//!
//! DataFusion 55 keeps each distinct struct or list as an array of one row, which holds on to the batch that it came in: of
//! 50,000 structs 12 GB were counted. It counts bytes as fast as text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// `row_bytes(x)`: null where x is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RowBytes {
    signature: Signature,
}

impl RowBytes {
    /// For values of this type; `None` for those that are counted well as they are.
    pub(super) fn of(kind: &DataType) -> Option<RowBytes> {
        let has_form = || RowConverter::supports_fields(&[SortField::new(kind.clone())]);
        (kind.is_nested() && has_form())
            .then(|| RowBytes { signature: Signature::any(1, Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for RowBytes {
    fn name(&self) -> &str {
        "row_bytes"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return internal_err!("row_bytes of {} arguments", args.args.len());
        };
        Ok(ColumnarValue::Array(bytes(&value.to_array(args.number_rows)?)?))
    }
}

fn bytes(values: &ArrayRef) -> Result<ArrayRef> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let rows = converter.convert_columns(&[Arc::clone(values)])?.try_into_binary()?;
    let (offsets, content, _) = rows.into_parts();
    Ok(Arc::new(BinaryArray::try_new(offsets, content, values.logical_nulls())?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray, StructArray};
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{Field, Fields};

    use super::*;

    #[test]
    fn structs_are_the_same_bytes_where_they_are_equal() {
        let fields =
            Fields::from(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), Some(1), None, None, Some(1), Some(1)])),
            Arc::new(StringArray::from(vec![Some("x"), Some("x"), Some(""), None, Some("y"), Some("x")])),
        ];
        let nulls = NullBuffer::from(vec![true, true, true, true, true, false]);
        let values: ArrayRef = Arc::new(StructArray::new(fields, columns, Some(nulls)));
        let made = bytes(&values).unwrap();
        let made = made.as_binary::<i32>();
        assert_eq!(
            (0..6).map(|at| made.is_null(at)).collect::<Vec<_>>(),
            [false, false, false, false, false, true]
        );
        assert_eq!(made.value(0), made.value(1));
        let mut distinct: Vec<&[u8]> = made.iter().flatten().collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 4);
        // By whatever batch they come in.
        let later = bytes(&values.slice(4, 1)).unwrap();
        assert_eq!(later.as_binary::<i32>().value(0), made.value(4));
    }

    #[test]
    fn what_is_counted_well_stays() {
        assert!(RowBytes::of(&DataType::Utf8).is_none() && RowBytes::of(&DataType::Int64).is_none());
        assert!(RowBytes::of(&DataType::new_list(DataType::Int64, true)).is_some());
    }
}
