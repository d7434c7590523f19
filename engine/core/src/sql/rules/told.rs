//! A function whose errors name the expression that it is of.
//!
//! DataFusion 55 says of `abs(x)` that a number overflows, and not where.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Functions of whole numbers and decimals that may have no result of their type.
const MAY_FAIL: [&str; 8] = ["abs", "ceil", "floor", "round", "trunc", "factorial", "gcd", "lcm"];

/// A function, with the expression as the user has written it.
#[derive(Debug)]
pub(super) struct Told {
    inner: Arc<ScalarUDF>,
    text: String,
    signature: Signature,
}

impl Told {
    /// `None`: a function that says enough.
    pub(super) fn of(inner: &Arc<ScalarUDF>, text: String) -> Option<Told> {
        let signature = Signature::variadic_any(inner.signature().volatility);
        MAY_FAIL.contains(&inner.name()).then(|| Told { inner: inner.clone(), text, signature })
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Told) -> bool {
        (&self.inner, &self.text) == (&other.inner, &other.text)
    }
}

impl Eq for Told {}

impl Hash for Told {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.inner.name(), &self.text).hash(state);
    }
}

impl ScalarUDFImpl for Told {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args).map_err(|error| {
            exec_datafusion_err!(
                "`{}` has no result of its type ({}): cast what it is made of to DECIMAL(38,0) or to DOUBLE",
                self.text,
                error.strip_backtrace()
            )
        })
    }
}
