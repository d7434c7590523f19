//! `max` and `min` of structs, and `greatest` and `least` of whatever has values in it.
//!
//! A null in a struct is more than any value to DuckDB, as in `<` ([`nested_order`](super::nested_order)). DataFusion 55 has a struct with a
//! null neither before nor behind another, so that `max` is what came last. Here they are compared by their
//! [bytes](arrow::row), in the order of ORDER BY.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{SortOptions, interleave};
use arrow::datatypes::{DataType, FieldRef};
use arrow::row::{OwnedRow, Row, RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    Volatility,
};

/// Values of one type as bytes that are in order, nulls last.
fn converter(kind: &DataType) -> Result<RowConverter> {
    let options = SortOptions { descending: false, nulls_first: false };
    Ok(RowConverter::new(vec![SortField::new_with_options(kind.clone(), options)])?)
}

fn has_struct(kind: &DataType) -> bool {
    match kind {
        DataType::Struct(_) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_struct(item.data_type())
        }
        _ => false,
    }
}

/// `max` or `min`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    way: Way,
    inner: Arc<AggregateUDF>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Most,
    Least,
}

impl Way {
    fn is_better(self, row: Row<'_>, than: Row<'_>) -> bool {
        match self {
            Way::Most => row > than,
            Way::Least => row < than,
        }
    }
}

impl Extreme {
    /// `None`: another function, or values that DataFusion compares as it should.
    pub(super) fn of(inner: &Arc<AggregateUDF>, kind: &DataType) -> Option<Extreme> {
        let way = match inner.name() {
            "max" => Way::Most,
            "min" => Way::Least,
            _ => return None,
        };
        has_struct(kind).then(|| Extreme { way, inner: inner.clone() })
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let kind = args.return_field.data_type().clone();
        Ok(Box::new(Best { way: self.way, converter: converter(&kind)?, kind, best: None }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let kind = args.return_field.data_type().clone();
        let (converter, best) = (converter(&kind)?, VecDeque::new());
        Ok(Box::new(Frame { way: self.way, converter, kind, best, came: 0, left: 0 }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }
}

/// The best of all values so far.
#[derive(Debug)]
struct Best {
    way: Way,
    converter: RowConverter,
    kind: DataType,
    best: Option<OwnedRow>,
}

fn only(columns: &[ArrayRef]) -> Result<&ArrayRef> {
    match columns {
        [column] => Ok(column),
        _ => internal_err!("{} columns for one", columns.len()),
    }
}

fn value_of(converter: &RowConverter, kind: &DataType, row: Option<&OwnedRow>) -> Result<ScalarValue> {
    let Some(row) = row else { return ScalarValue::try_new_null(kind) };
    let columns = converter.convert_rows([row.row()])?;
    ScalarValue::try_from_array(only(&columns)?, 0)
}

impl Accumulator for Best {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let column = only(columns)?;
        let rows = self.converter.convert_columns(columns)?;
        let mut best = None;
        for at in (0..column.len()).filter(|at| column.is_valid(*at)) {
            let row = rows.row(at);
            let than = best.or(self.best.as_ref().map(OwnedRow::row));
            if than.is_none_or(|than| self.way.is_better(row, than)) {
                best = Some(row);
            }
        }
        if let Some(row) = best {
            self.best = Some(row.owned());
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        value_of(&self.converter, &self.kind, self.best.as_ref())
    }

    fn size(&self) -> usize {
        size_of::<Best>() + self.converter.size() + self.best.as_ref().map_or(0, |row| row.as_ref().len())
    }
}

/// The values of a frame that moves which may still be the best: each is worse than those before it.
#[derive(Debug)]
struct Frame {
    way: Way,
    converter: RowConverter,
    kind: DataType,
    /// By their places among all that came.
    best: VecDeque<(u64, OwnedRow)>,
    came: u64,
    left: u64,
}

impl Accumulator for Frame {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let column = only(columns)?;
        let rows = self.converter.convert_columns(columns)?;
        for (at, row) in rows.iter().enumerate() {
            if column.is_valid(at) {
                while self.best.back().is_some_and(|(_, other)| !self.way.is_better(other.row(), row)) {
                    self.best.pop_back();
                }
                self.best.push_back((self.came, row.owned()));
            }
            self.came += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        // They leave in the order in which they came.
        self.left += only(columns)?.len() as u64;
        while self.best.front().is_some_and(|(place, _)| *place < self.left) {
            self.best.pop_front();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        value_of(&self.converter, &self.kind, self.best.front().map(|(_, row)| row))
    }

    fn size(&self) -> usize {
        let rows = self.best.iter().map(|(_, row)| size_of::<(u64, OwnedRow)>() + row.as_ref().len());
        size_of::<Frame>() + self.converter.size() + rows.sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a frame is never a part of another")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        internal_err!("a frame is never a part of another")
    }
}

/// `greatest` or `least` of values of one type; those that are null do not count.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OfSeveral {
    way: Way,
    signature: Signature,
}

impl OfSeveral {
    /// `None`: another function.
    pub(super) fn of(name: &str) -> Option<OfSeveral> {
        let way = match name {
            "greatest" => Way::Most,
            "least" => Way::Least,
            _ => return None,
        };
        Some(OfSeveral { way, signature: Signature::variadic_any(Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for OfSeveral {
    fn name(&self) -> &str {
        match self.way {
            Way::Most => "greatest_of_its_type",
            Way::Least => "least_of_its_type",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(kind) => Ok(kind.clone()),
            None => internal_err!("the best of no values"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(first) = arrays.first() else { return internal_err!("the best of no values") };
        let converter = converter(first.data_type())?;
        let rows = arrays.iter().map(|array| converter.convert_columns(std::slice::from_ref(array)));
        let rows = rows.collect::<std::result::Result<Vec<_>, _>>()?;
        let best = |row: usize| {
            let there = (0..arrays.len()).filter(|at| arrays[*at].is_valid(row));
            let better = |best: usize, at: usize| {
                if self.way.is_better(rows[at].row(row), rows[best].row(row)) { at } else { best }
            };
            (there.reduce(better).unwrap_or(0), row)
        };
        let places: Vec<(usize, usize)> = (0..first.len()).map(best).collect();
        let values: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(interleave(&values, &places)?))
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::check;

    /// DuckDB's values.
    #[tokio::test]
    async fn a_struct_with_a_null_has_its_place() {
        let t = "(VALUES (1, 1, 2), (1, NULL, 5), (1, 1, NULL), (2, 3, 3), (2, 3, 1), (3, NULL, NULL)) AS t (g, a, b)";
        let s = "{'a': a, 'b': b}";
        check(&[
            (&format!("SELECT max({s}), min({s}) FROM {t}"), &["{a: , b: }|{a: 1, b: 2}"] as &[&str]),
            (
                &format!("SELECT g, max({s}), min({s}) FROM {t} GROUP BY g ORDER BY g"),
                &["1|{a: , b: 5}|{a: 1, b: 2}", "2|{a: 3, b: 3}|{a: 3, b: 1}", "3|{a: , b: }|{a: , b: }"],
            ),
            (
                &format!("SELECT max({s}) FILTER (WHERE a IS NOT NULL), max([{s}]) FROM {t} WHERE g < 3"),
                &["{a: 3, b: 3}|[{a: , b: 5}]"],
            ),
            (&format!("SELECT max({s}), count(*) FROM {t} WHERE g > 9"), &["|0"]),
            (
                &format!("SELECT max({s}) OVER (ORDER BY g, b ROWS 1 PRECEDING) FROM {t} ORDER BY g, b"),
                &["{a: 1, b: 2}", "{a: , b: 5}", "{a: , b: 5}", "{a: 3, b: 1}", "{a: 3, b: 3}", "{a: , b: }"],
            ),
            (
                &format!("SELECT min(CASE WHEN b > 1 THEN {s} END) OVER (ORDER BY g, b ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) FROM {t} ORDER BY g, b"),
                &["{a: 1, b: 2}", "{a: , b: 5}", "", "{a: 3, b: 3}", "{a: 3, b: 3}", ""],
            ),
        ])
        .await;
    }

    /// DuckDB's values.
    #[tokio::test]
    async fn the_greatest_is_the_one_that_is_more() {
        let t = "(VALUES (1, 1, 2), (2, NULL, 5), (3, 7, NULL)) AS t (k, a, b)";
        check(&[
            (
                &format!("SELECT greatest([a, b], [1, 3]), least([a, b], [1, 3]) FROM {t} ORDER BY k"),
                &["[1, 3]|[1, 2]", "[, 5]|[1, 3]", "[7, ]|[1, 3]"] as &[&str],
            ),
            (
                &format!("SELECT greatest({{'a': a}}, {{'a': b}}), least({{'a': a}}, {{'a': b}}) FROM {t} ORDER BY k"),
                &["{a: 2}|{a: 1}", "{a: }|{a: 5}", "{a: }|{a: 7}"],
            ),
            ("SELECT greatest(NULL, [1], [2]), least([1, 2], [1], NULL), greatest(1, 2)", &["[2]|[1]|2"]),
        ])
        .await;
    }
}
