//! Rows to the bytes of one Parquet file: the same rows give the same bytes, always.

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::Result;

/// Encodes a batch. Nothing of the process (time, version, host) is in the file.
///
/// # Errors
/// Storage, if a column's type has no Parquet form.
pub fn parquet_bytes(batch: &RecordBatch) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_created_by("tidemill".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn the_same_rows_give_the_same_bytes() {
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from_iter_values(0..5000)) as _),
            ("b", Arc::new(StringArray::from_iter_values((0..5000).map(|i| format!("v{}", i % 7)))) as _),
        ])
        .unwrap();
        assert_eq!(parquet_bytes(&batch).unwrap(), parquet_bytes(&batch).unwrap());
    }
}
