//! `array_sum` of whole numbers as a BIGINT, and of decimals as a decimal: DataFusion 55 adds them up as doubles, which end at
//! 2^53.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
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
            Some(
                DataType::Decimal32(_, scale)
                | DataType::Decimal64(_, scale)
                | DataType::Decimal128(_, scale),
            ) => {
                let wide = DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale);
                Ok(vec![DataType::List(Arc::new(Field::new_list_field(wide, true)))])
            }
            _ => self.doubles.coerce_types(types),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first().and_then(element) {
            Some(sum @ (DataType::Int64 | DataType::Decimal128(..))) => Ok(sum.clone()),
            _ => self.doubles.return_type(types),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [given] = args.args.as_slice() else { return self.doubles.invoke_with_args(args) };
        let sums: ArrayRef = match element(&given.data_type()) {
            Some(DataType::Int64) => Arc::new(whole(&given.to_array(args.number_rows)?)?),
            Some(DataType::Decimal128(digits, scale)) => {
                let sums = decimals(&given.to_array(args.number_rows)?, *scale)?;
                Arc::new(sums.with_precision_and_scale(*digits, *scale)?)
            }
            _ => return self.doubles.invoke_with_args(args),
        };
        Ok(match given {
            ColumnarValue::Scalar(_) if sums.len() == 1 => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&sums, 0)?)
            }
            _ => ColumnarValue::Array(sums),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doubles.documentation()
    }
}

fn whole(lists: &ArrayRef) -> Result<Int64Array> {
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
    sums.collect()
}

fn decimals(lists: &ArrayRef, scale: i8) -> Result<Decimal128Array> {
    let too_much = || {
        exec_datafusion_err!(
            "an array_sum is more than DECIMAL({DECIMAL128_MAX_PRECISION},{scale}) holds: cast its numbers to DOUBLE"
        )
    };
    let sums = lists.as_list::<i32>().iter().map(|list| {
        let Some(list) = list else { return Ok(None) };
        let mut sum: Option<i128> = None;
        for value in list.as_primitive::<Decimal128Type>().iter().flatten() {
            sum = Some(sum.unwrap_or(0).checked_add(value).ok_or_else(too_much)?);
        }
        if let Some(sum) = sum {
            Decimal128Type::validate_decimal_precision(sum, DECIMAL128_MAX_PRECISION, scale)
                .map_err(|_| too_much())?;
        }
        Ok(sum)
    });
    sums.collect()
}
