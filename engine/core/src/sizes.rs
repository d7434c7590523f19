//! How many bytes the values of rows take, whatever buffers they share with others.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

/// Bytes of the values of all rows.
pub(crate) fn value_bytes(rows: &RecordBatch) -> u64 {
    row_sizes(rows).into_iter().sum()
}

/// Bytes of the values of each row.
pub(crate) fn row_sizes(rows: &RecordBatch) -> Vec<u64> {
    let mut sizes = vec![0; rows.num_rows()];
    rows.columns().iter().for_each(|column| add_sizes(column.as_ref(), &mut sizes));
    sizes
}

fn add_sizes(array: &dyn Array, sizes: &mut [u64]) {
    fn lengths<T: Copy + Into<i64>>(offsets: &[T], sizes: &mut [u64]) {
        for (size, ends) in sizes.iter_mut().zip(offsets.windows(2)) {
            *size += u64::try_from(ends[1].into() - ends[0].into()).unwrap_or(0);
        }
    }
    fn within<T: Copy + Into<i64>>(offsets: &[T], values: &dyn Array, sizes: &mut [u64]) {
        let mut of_values = vec![0; values.len()];
        add_sizes(values, &mut of_values);
        for (size, ends) in sizes.iter_mut().zip(offsets.windows(2)) {
            let [from, to] = [ends[0], ends[1]].map(|end| usize::try_from(end.into()).unwrap_or(0));
            *size += of_values.get(from..to).unwrap_or_default().iter().sum::<u64>();
        }
    }
    /// A view begins with the length of its value.
    fn views(views: &[u128], sizes: &mut [u64]) {
        let each = sizes.iter_mut().zip(views);
        each.for_each(|(size, view)| *size += (view & u128::from(u32::MAX)) as u64);
    }
    match array.data_type() {
        DataType::Utf8 => lengths(array.as_string::<i32>().value_offsets(), sizes),
        DataType::LargeUtf8 => lengths(array.as_string::<i64>().value_offsets(), sizes),
        DataType::Binary => lengths(array.as_binary::<i32>().value_offsets(), sizes),
        DataType::LargeBinary => lengths(array.as_binary::<i64>().value_offsets(), sizes),
        DataType::Utf8View => views(array.as_string_view().views(), sizes),
        DataType::BinaryView => views(array.as_binary_view().views(), sizes),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            within(lists.value_offsets(), lists.values().as_ref(), sizes);
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            within(lists.value_offsets(), lists.values().as_ref(), sizes);
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            within(maps.value_offsets(), maps.entries(), sizes);
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().for_each(|column| add_sizes(column.as_ref(), sizes));
        }
        other => {
            let width = other.primitive_width().unwrap_or(0) as u64;
            sizes.iter_mut().for_each(|size| *size += width);
        }
    }
}
