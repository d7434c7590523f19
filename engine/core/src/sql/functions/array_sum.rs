//! `array_sum` of whole numbers as a BIGINT: DataFusion 55 adds them up as doubles, which end at 2^53.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::functions_nested::array_sum::array_sum_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ArraySum {
    doubles: Arc<ScalarUDF>,
    signature: Signature,
}

impl ArraySum {
    pub(super) fn new() -> ArraySum {
        ArraySum { doubles: array_sum_udf(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn element(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Some(field.data_type())
        }
        _ => None,
    }
}

impl ScalarUDFImpl for ArraySum {
    fn name(&self) -> &str {
        self.doubles.name()
    }

    fn aliases(&self) -> &[String] {
        self.doubles.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types.first().and_then(element) {
            Some(whole) if whole.is_integer() => {
                Ok(vec![DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))])
            }
            Some(decimal) if decimal.is_decimal() => {
                plan_err!(
                    "array_sum of {decimal} would be a DOUBLE: cast to one, or take sum of unnest(list)"
                )
            }
            _ => self.doubles.coerce_types(types),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first().and_then(element) {
            Some(DataType::Int64) => Ok(DataType::Int64),
            _ => self.doubles.return_type(types),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(given) =
            args.args.first().filter(|given| element(&given.data_type()) == Some(&DataType::Int64))
        else {
            return self.doubles.invoke_with_args(args);
        };
        let lists = given.to_array(args.number_rows)?;
        let sums = lists.as_list::<i32>().iter().map(|list| {
            let Some(list) = list else { return Ok(None) };
            let whole = list.as_primitive::<Int64Type>();
            if whole.null_count() == whole.len() {
                return Ok(None);
            }
            let sum: i128 = whole.iter().flatten().map(i128::from).sum();
            let sum = i64::try_from(sum);
            sum.map(Some).map_err(|_| {
                exec_datafusion_err!("an array_sum is more than BIGINT holds: cast its numbers to DOUBLE")
            })
        });
        let sums = sums.collect::<Result<Int64Array>>()?;
        Ok(match given {
            ColumnarValue::Scalar(_) if sums.len() == 1 => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&sums, 0)?)
            }
            _ => ColumnarValue::Array(Arc::new(sums)),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doubles.documentation()
    }
}
