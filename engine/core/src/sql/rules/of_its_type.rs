//! Functions of one argument whose result is of the argument's type. Rules put them into plans; no statement names them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

type Compute = Arc<dyn Fn(ColumnarValue) -> Result<ColumnarValue> + Send + Sync>;

/// A function, which is the same as another if its name and text are.
#[derive(Clone)]
pub(crate) struct OfItsType {
    name: &'static str,
    /// What tells it from others of its name.
    text: String,
    may_be_null: bool,
    signature: Signature,
    compute: Compute,
}

impl OfItsType {
    pub(crate) fn new(
        name: &'static str,
        compute: impl Fn(ColumnarValue) -> Result<ColumnarValue> + Send + Sync + 'static,
    ) -> OfItsType {
        let signature = Signature::any(1, Volatility::Immutable);
        OfItsType { name, text: String::new(), may_be_null: false, signature, compute: Arc::new(compute) }
    }

    /// `as_it_is(x)`: x, of which DataFusion knows nothing then.
    pub(crate) fn as_it_is() -> OfItsType {
        OfItsType::new("as_it_is", Ok)
    }

    /// `maybe_null(x)`: x, of a type that may be null. Volatile, as a constant in its place would never be null again.
    pub(super) fn maybe_null() -> OfItsType {
        let signature = Signature::any(1, Volatility::Volatile);
        OfItsType { may_be_null: true, signature, ..OfItsType::new("maybe_null", Ok) }
    }

    pub(crate) fn with_text(self, text: String) -> OfItsType {
        OfItsType { text, ..self }
    }

    pub(crate) fn call(self, argument: Expr) -> Expr {
        ScalarUDF::from(self).call(vec![argument])
    }
}

impl fmt::Debug for OfItsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("text", &self.text).finish_non_exhaustive()
    }
}

impl PartialEq for OfItsType {
    fn eq(&self, other: &OfItsType) -> bool {
        (self.name, &self.text) == (other.name, &other.text)
    }
}

impl Eq for OfItsType {}

impl Hash for OfItsType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, &self.text).hash(state);
    }
}

impl ScalarUDFImpl for OfItsType {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields {
            [field] if self.may_be_null => Ok(Arc::new(Field::clone(field).with_nullable(true))),
            [field] => Ok(field.clone()),
            fields => internal_err!("{} of {} arguments", self.name, fields.len()),
        }
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.pop() else { return internal_err!("{} of nothing", self.name) };
        // The only owner of its values may change them in place.
        drop(args);
        (self.compute)(value)
    }
}
