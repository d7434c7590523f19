//! `repeat`, `lpad` and `rpad` as DataFusion has them, but for texts that the memory does not hold: what a function makes is
//! not counted there, and `repeat('x', 2000000000)` took 8 GB.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::functions::string::repeat;
use datafusion::functions::unicode::{lpad, rpad};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::memory;
use crate::sql::RESULT;

/// Most bytes of a text, whatever memory there is.
const LONGEST: u64 = 256 << 20;
/// The share of the memory of what one call makes, of all its rows.
const SHARE: u64 = 4;

/// One of the three.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Filled {
    inner: Arc<ScalarUDF>,
    /// The second argument is how often the first comes, not how many characters the result has.
    repeats: bool,
}

pub(super) fn functions() -> [ScalarUDF; 3] {
    [(repeat(), true), (lpad(), false), (rpad(), false)]
        .map(|(inner, repeats)| ScalarUDF::from(Filled { inner, repeats }))
}

impl ScalarUDFImpl for Filled {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let [text, count, ..] = args.args.as_mut_slice() {
            let is_one = matches!((&*text, &*count), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
            let rows = if is_one { 1 } else { args.number_rows };
            let (texts, counts) = (text.to_array(rows)?, count.to_array(rows)?);
            if let Some(counts) = counts.as_primitive_opt::<Int64Type>() {
                let mut all = 0_u64;
                for row in (0..rows).filter(|row| counts.is_valid(*row) && texts.is_valid(*row)) {
                    let length = if self.repeats { text_bytes(&texts, row) } else { 1 };
                    let bytes = length.saturating_mul(u64::try_from(counts.value(row)).unwrap_or(0));
                    if bytes > LONGEST {
                        return exec_err!(
                            "{} makes a text of {bytes} bytes, and {LONGEST} are the most",
                            self.name()
                        );
                    }
                    all += bytes;
                }
                if all > memory::limit() / SHARE {
                    return Err(DataFusionError::ResourcesExhausted(format!("{all} bytes for {RESULT}")));
                }
                // DataFusion 55 reserves as many bytes as the count says, also where that is negative.
                if counts.values().iter().any(|count| *count < 0) && matches!(count, ColumnarValue::Array(_))
                {
                    let counts = counts.unary::<_, Int64Type>(|count| count.max(0));
                    *count = ColumnarValue::Array(Arc::new(counts));
                }
            }
        }
        self.inner.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

fn text_bytes(texts: &dyn Array, row: usize) -> u64 {
    let bytes = match texts.data_type() {
        DataType::Utf8 => texts.as_string::<i32>().value(row).len(),
        DataType::LargeUtf8 => texts.as_string::<i64>().value(row).len(),
        DataType::Utf8View => texts.as_string_view().value(row).len(),
        _ => 1,
    };
    bytes as u64
}
