//! A function that gives back what it is given, and that DataFusion knows nothing of: it hides what is in it.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// `as_it_is(x)`: x.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AsItIs {
    signature: Signature,
}

impl AsItIs {
    pub(super) fn new() -> AsItIs {
        AsItIs { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for AsItIs {
    fn name(&self) -> &str {
        "as_it_is"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(field.clone()),
            fields => internal_err!("as_it_is of {} arguments", fields.len()),
        }
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.pop() {
            Some(value) => Ok(value),
            None => internal_err!("as_it_is of nothing"),
        }
    }
}
