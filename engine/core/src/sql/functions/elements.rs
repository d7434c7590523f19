//! `array_has(list, x)` and the like, of decimals: DataFusion 55 wants a value to be of the very type of the list's, so that
//! `array_has(prices, 1.5)` has no plan. Here both get a type that holds them.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

/// The functions, and how many values of the list's type they take beside it.
const FUNCTIONS: [(&str, usize); 11] = [
    ("array_has", 1),
    ("array_position", 1),
    ("array_positions", 1),
    ("array_append", 1),
    ("array_prepend", 1),
    ("array_remove", 1),
    ("array_remove_n", 1),
    ("array_remove_all", 1),
    ("array_replace", 2),
    ("array_replace_n", 2),
    ("array_replace_all", 2),
];

/// Whether a function takes values of a list's type.
pub(in crate::sql) fn takes_elements(name: &str) -> bool {
    FUNCTIONS.iter().any(|(function, _)| *function == name)
}

/// Replaces the functions of a session.
pub(super) fn register(context: &SessionContext) {
    for (name, values) in FUNCTIONS {
        if let Ok(inner) = context.udf(name) {
            let signature = Signature::user_defined(Volatility::Immutable);
            context.register_udf(ScalarUDF::from(Elements { inner, values, signature }));
        }
    }
}

/// A function of a list and of values of its type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Elements {
    inner: Arc<ScalarUDF>,
    values: usize,
    signature: Signature,
}

impl Elements {
    /// The types of the arguments where decimals are beside other numbers; `None`: DataFusion's are right.
    ///
    /// # Errors
    /// Plan: two decimals have more digits than one.
    fn with_decimals(&self, types: &[DataType]) -> Result<Option<Vec<DataType>>> {
        let list = types.iter().enumerate().find_map(|(at, kind)| match kind {
            DataType::List(field) => Some((at, field)),
            _ => None,
        });
        let Some((at, field)) = list else { return Ok(None) };
        // Before the list, if it is not the first argument.
        let first = if at == 0 { 1 } else { 0 };
        let values = first..first + self.values;
        let mut one = field.data_type().clone();
        let mut has_decimal = one.is_decimal();
        let mut differs = false;
        let Some(of_values) = types.get(values.clone()) else { return Ok(None) };
        for kind in of_values {
            has_decimal |= kind.is_decimal();
            differs |= *kind != one;
            let Some(common) = both(&one, kind, self.name())? else { return Ok(None) };
            one = common;
        }
        if !has_decimal || !differs {
            return Ok(None);
        }
        let of_list = DataType::List(Arc::new(Field::clone(field).with_data_type(one.clone())));
        let made = types.iter().enumerate().map(|(place, _)| match place {
            place if place == at => of_list.clone(),
            place if values.contains(&place) => one.clone(),
            // An index, or a number of values.
            _ => DataType::Int64,
        });
        Ok(Some(made.collect()))
    }
}

/// A number's type that holds the values of two: a double where one of them is.
///
/// # Errors
/// Plan: both are decimals, and no decimal has the digits of both.
fn both(one: &DataType, other: &DataType, function: &str) -> Result<Option<DataType>> {
    if one == other || other.is_null() {
        return Ok(Some(one.clone()));
    }
    if one.is_null() {
        return Ok(Some(other.clone()));
    }
    if !one.is_numeric() || !other.is_numeric() {
        return Ok(None);
    }
    if one.is_floating() || other.is_floating() {
        return Ok(Some(DataType::Float64));
    }
    let (Some((one_whole, one_scale)), Some((whole, scale))) = (digits(one), digits(other)) else {
        return Ok(None);
    };
    let (whole, scale) = (one_whole.max(whole), one_scale.max(scale));
    let most = i16::from(DECIMAL128_MAX_PRECISION);
    // Of whole numbers few have all the digits that their type has room for.
    if whole + scale > most && one.is_decimal() && other.is_decimal() {
        return plan_err!(
            "{function}: the {whole} digits before the point and the {scale} behind it of {} and {} do not fit a DECIMAL, \
             which has {most}: CAST one of them to fewer",
            decimal(one),
            decimal(other)
        );
    }
    let (Ok(precision), Ok(scale)) = (u8::try_from((whole + scale).min(most)), i8::try_from(scale)) else {
        return Ok(None);
    };
    Ok(Some(DataType::Decimal128(precision, scale)))
}

/// A decimal as it is written in SQL.
fn decimal(kind: &DataType) -> String {
    match kind {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale) => format!("DECIMAL({digits},{scale})"),
        kind => kind.to_string(),
    }
}

/// Digits before the point and behind it.
fn digits(kind: &DataType) -> Option<(i16, i16)> {
    match kind {
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale) => {
            let scale = i16::from((*scale).max(0));
            Some((i16::from(*digits) - scale, scale))
        }
        kind if kind.is_integer() => Some((20, 0)),
        _ => None,
    }
}

impl ScalarUDFImpl for Elements {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let Some(made) = self.with_decimals(types)? {
            return Ok(made);
        }
        let fields = types.iter().map(|kind| Arc::new(Field::new("", kind.clone(), true)) as FieldRef);
        let made = fields_with_udf(&fields.collect::<Vec<_>>(), self.inner.as_ref())?;
        Ok(made.iter().map(|field| field.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::tests::{check, refused};

    /// DuckDB's values and types.
    #[tokio::test]
    async fn values_beside_lists_of_decimals_have_their_type() {
        let rows =
            "FROM (SELECT CAST(1.5 AS DECIMAL(3,1)) AS d, 2 AS k, CAST(0.1 AS DOUBLE) + 0.2 AS x) AS t";
        for (call, expected) in [
            ("array_has([d], 1.5)", "true"),
            ("array_has([d], 1.55)", "false"),
            ("array_has([d, 0.5], 0.5)", "true"),
            ("array_has([d], CAST(1.50 AS DECIMAL(5,2)))", "true"),
            ("array_has([d, 0.3], x)", "false"),
            ("array_has([k], d)", "false"),
            ("list_contains([1, 2], CAST(2.0 AS DECIMAL(3,1)))", "true"),
            ("array_has([1.5], d)", "true"),
            ("array_has([d], NULL)", ""),
            ("array_position([0.5, d], 1.5)", "2"),
            ("array_position([d, d], 1.5, 2)", "2"),
            ("array_positions([d, 0.5, d], 1.5)", "[1, 3]"),
            ("array_append([d], 2.55)", "[1.50, 2.55]"),
            ("array_prepend(2.55, [d])", "[2.55, 1.50]"),
            ("array_append([d], k)", "[1.5, 2.0]"),
            ("array_remove([d, 0.5], 0.5)", "[1.5]"),
            ("array_remove_n([d, d, d], 1.5, 2)", "[1.5]"),
            ("array_replace([d], 1.5, 2.25)", "[2.25]"),
            ("arrow_typeof(array_append([d], 2.55))", "List(Decimal128(4, 2))"),
            ("arrow_typeof(array_append([d], x))", "List(Float64)"),
        ] {
            check(&[(&format!("SELECT {call} {rows}"), &[expected])]).await;
        }
        refused(&[(&format!("SELECT array_has([d], 'a') {rows}"), "array_has")]).await;
    }

    #[tokio::test]
    async fn digits_that_no_decimal_has_are_said() {
        let most = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38,0))";
        let part = "the 38 digits before the point and the 10 behind it of DECIMAL(38,0) and DECIMAL(38,10) do not fit";
        refused(&[
            (&format!("SELECT array_has([{most}], CAST(1.5 AS DECIMAL(38,10)))"), part),
            (&format!("SELECT array_append([{most}], CAST(1.5 AS DECIMAL(38,10)))"), part),
        ])
        .await;
        check(&[
            (
                &format!("SELECT array_has([{most}], CAST(CAST(1.5 AS DECIMAL(38,10)) AS DECIMAL(12,0)))"),
                &["false"] as &[&str],
            ),
            ("SELECT array_has([CAST(2 AS DECIMAL(38,20))], CAST(2 AS BIGINT))", &["true"]),
        ])
        .await;
    }

    #[tokio::test]
    async fn a_sum_of_decimals_is_one() {
        check(&[
            (
                "SELECT array_sum([d, 2.5]), list_sum([d, NULL]), arrow_typeof(array_sum([d, 2.55])) FROM (SELECT CAST(1.5 AS DECIMAL(3,1)) AS d) AS t",
                &["4.0|1.5|Decimal128(38, 2)"] as &[&str],
            ),
            ("SELECT array_sum([1.5, 2.5]), array_sum([CAST(NULL AS DECIMAL(3,1))])", &["4.0|"]),
        ])
        .await;
        let most = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38,0))";
        refused(&[(
            &format!("SELECT array_sum([{most}, {most}])"),
            "an array_sum is more than DECIMAL(38,0) holds",
        )])
        .await;
    }
}
