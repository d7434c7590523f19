//! Aggregates of all values of a group at once: `quantile`, `median` and `iqr_bounds` are figures of held values.
//!
//! DataFusion 55's own cut the place between two values to six digits (apache/datafusion#25266), take the mean of two decimals with a division of
//! whole numbers, and sort a NaN by its sign. So these are ours: the values of each group in a list, which a partition
//! hands on as it is, and the figure made of them at the end. A value costs its own bytes; what is held is counted.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::and;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// What is made of the values of a group.
pub(super) trait Figure: Debug + Clone + Send + Sync + 'static {
    /// What a value is.
    type Value: ArrowPrimitiveType<Native: Ordered>;

    /// The figures of groups, one of each.
    fn of(&self, groups: &mut [Vec<Native<Self>>]) -> Result<ArrayRef>;
}

/// How a figure's values are kept in memory.
pub(super) type Native<F> = <<F as Figure>::Value as ArrowPrimitiveType>::Native;

/// A value with an order of all values and bits that tell it from others.
pub(super) trait Ordered: Copy + PartialEq {
    fn order(&self, other: &Self) -> std::cmp::Ordering;
    fn bits(&self) -> i128;
}

impl Ordered for f64 {
    fn order(&self, other: &f64) -> std::cmp::Ordering {
        self.total_cmp(other)
    }

    fn bits(&self) -> i128 {
        i128::from(self.to_bits())
    }
}

impl Ordered for i64 {
    fn order(&self, other: &i64) -> std::cmp::Ordering {
        self.cmp(other)
    }

    fn bits(&self) -> i128 {
        i128::from(*self)
    }
}

impl Ordered for i128 {
    fn order(&self, other: &i128) -> std::cmp::Ordering {
        self.cmp(other)
    }

    fn bits(&self) -> i128 {
        *self
    }
}

/// The field of a partition's state: the list of its values.
pub(super) fn state_field(name: String, value: &DataType) -> FieldRef {
    let values = Field::new_list_field(value.clone(), true);
    Arc::new(Field::new(name, DataType::List(Arc::new(values)), true))
}

/// The values of each group.
#[derive(Debug)]
pub(super) struct Held<F: Figure> {
    figure: F,
    value_type: DataType,
    /// Equal values count once.
    distinct: bool,
    groups: Vec<Vec<Native<F>>>,
    /// Bytes of the lists; their lengths change at every row.
    bytes: usize,
}

impl<F: Figure> Held<F> {
    /// For many groups, or for a single one: of all rows, or of the frames of a window.
    pub(super) fn new(figure: F, value_type: DataType, distinct: bool, single: bool) -> Held<F> {
        let groups = if single { vec![Vec::new()] } else { Vec::new() };
        Held { figure, value_type, distinct, groups, bytes: 0 }
    }

    fn extend(&mut self, group: usize, values: impl IntoIterator<Item = Native<F>>) {
        let list = &mut self.groups[group];
        let before = list.capacity();
        list.extend(values);
        self.bytes += (list.capacity() - before) * size_of::<Native<F>>();
    }

    /// All values that are not null, to the one group.
    fn add(&mut self, values: &dyn Array) {
        let values = values.as_primitive::<F::Value>();
        match values.null_count() {
            0 => self.extend(0, values.values().iter().copied()),
            _ => self.extend(0, values.iter().flatten()),
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Vec<Native<F>>> {
        let mut groups = emit_to.take_needed(&mut self.groups);
        let emitted: usize = groups.iter().map(|list| list.capacity() * size_of::<Native<F>>()).sum();
        self.bytes = self.bytes.saturating_sub(emitted);
        if self.distinct {
            groups.iter_mut().for_each(once);
        }
        groups
    }

    /// Groups as lists.
    fn lists(&self, groups: Vec<Vec<Native<F>>>) -> Result<ListArray> {
        let total: usize = groups.iter().map(Vec::len).sum();
        if i32::try_from(total).is_err() {
            return exec_err!("{total} values of one aggregate are more than a list holds");
        }
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
        let values: Vec<Native<F>> = groups.into_iter().flatten().collect();
        let values =
            PrimitiveArray::<F::Value>::new(values.into(), None).with_data_type(self.value_type.clone());
        let field = Arc::new(Field::new_list_field(self.value_type.clone(), true));
        Ok(ListArray::try_new(field, offsets, Arc::new(values), None)?)
    }

    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes + self.groups.capacity() * size_of::<Vec<Native<F>>>()
    }
}

/// Sorts values and leaves each in once.
fn once<T: Ordered>(values: &mut Vec<T>) {
    values.sort_unstable_by(T::order);
    values.dedup();
}

impl<F: Figure> Accumulator for Held<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0]);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists: &ListArray = states[0].as_list();
        lists.iter().flatten().for_each(|list| self.add(&list));
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let groups = self.take(EmitTo::All);
        self.groups.push(Vec::new());
        Ok(vec![ScalarValue::List(Arc::new(self.lists(groups)?))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        // A window asks again after the next rows: what is held stays.
        let figure = if self.distinct {
            let mut groups = self.groups.clone();
            groups.iter_mut().for_each(once);
            self.figure.of(&mut groups)?
        } else {
            self.figure.of(&mut self.groups)?
        };
        ScalarValue::try_from_array(&figure, 0)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut leaving: HashMap<i128, usize> = HashMap::new();
        for value in values[0].as_primitive::<F::Value>().iter().flatten() {
            *leaving.entry(value.bits()).or_default() += 1;
        }
        self.groups[0].retain(|value| match leaving.get_mut(&value.bits()) {
            Some(times) if *times > 0 => {
                *times -= 1;
                false
            }
            _ => true,
        });
        match leaving.values().all(|times| *times == 0) {
            true => Ok(()),
            false => internal_err!("a value leaves a window that it was not in"),
        }
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn size(&self) -> usize {
        self.held_bytes()
    }
}

impl<F: Figure> GroupsAccumulator for Held<F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Vec::new);
        let values = values[0].as_primitive::<F::Value>();
        let kept = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        if values.null_count() == 0 && filter.is_none() {
            for (group, value) in group_indices.iter().zip(values.values()) {
                self.extend(*group, [*value]);
            }
            return Ok(());
        }
        for (row, group) in group_indices.iter().enumerate() {
            if values.is_valid(row) && kept(row) {
                self.extend(*group, [values.value(row)]);
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Vec::new);
        let lists: &ListArray = states[0].as_list();
        let values = lists.values().as_primitive::<F::Value>().values();
        let offsets = lists.value_offsets();
        for (row, group) in group_indices.iter().enumerate() {
            if lists.is_valid(row) {
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                self.extend(*group, values[range].iter().copied());
            }
        }
        Ok(())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.take(emit_to);
        Ok(vec![Arc::new(self.lists(groups)?)])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut groups = self.take(emit_to);
        self.figure.of(&mut groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let column = &values[0];
        let present = match (column.nulls(), filter) {
            (nulls, None) => nulls.cloned(),
            (None, Some(filter)) => Some(NullBuffer::from_iter(filter.iter().map(|keep| keep == Some(true)))),
            (Some(nulls), Some(filter)) => {
                let valid = BooleanArray::new(nulls.inner().clone(), None);
                Some(NullBuffer::from_iter(and(&valid, filter)?.iter().map(|keep| keep == Some(true))))
            }
        };
        let bare = PrimitiveArray::<F::Value>::new(column.as_primitive::<F::Value>().values().clone(), None)
            .with_data_type(self.value_type.clone());
        let field = Arc::new(Field::new_list_field(self.value_type.clone(), true));
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(1, column.len()));
        Ok(vec![Arc::new(ListArray::try_new(field, offsets, Arc::new(bare), present)?)])
    }

    fn size(&self) -> usize {
        self.held_bytes()
    }
}
