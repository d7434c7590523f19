//! `predict`, `predict_proba`, `cluster_id` and `score` as functions of SQL.
//!
//! ```text
//! predict('job.model', block, hour) ──planned: type of the answer──> … ──analysed: names found──> Bound(model)(hour, block)
//! ```
//!
//! Names of columns are known while a statement is analysed and no later: DataFusion's optimizer gives columns others. So
//! what a statement writes is rewritten there to a function of the model's features, in the model's order.

use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, cast,
};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr as Sql, FunctionArg, FunctionArgExpr, FunctionArguments, Value, visit_expressions,
};

use super::{Ask, Predictor};
use crate::error::Error;
use crate::registry::{Loaded, ModelRef, Models};

/// Makes the functions known to a session, over these models.
///
/// # Errors
/// Internal.
pub(crate) fn register(context: &SessionContext, models: &Models) -> crate::error::Result<()> {
    for ask in Ask::ALL {
        context.register_udf(ScalarUDF::from(Written {
            ask,
            models: models.clone(),
            signature: Signature::variadic_any(Volatility::Immutable),
        }));
    }
    context.state_ref().write().register_function_rewrite(Arc::new(ByNames))?;
    Ok(())
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The function as a statement writes it: the model's name, and columns in any order.
#[derive(Debug)]
struct Written {
    ask: Ask,
    models: Models,
    signature: Signature,
}

impl PartialEq for Written {
    fn eq(&self, other: &Written) -> bool {
        self.ask == other.ask
    }
}

impl Eq for Written {}

impl Hash for Written {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ask.hash(state);
    }
}

impl Written {
    /// The model that the first argument names.
    fn model(&self, name: Option<&ScalarValue>) -> Result<Arc<Loaded>> {
        let name = name.and_then(|name| name.try_as_str().flatten()).ok_or_else(|| {
            let what = format!("the first argument of {} is the name of a model, as a text", self.ask.name());
            external(Error::user(what).hint(format!("{}('job.model', column, …)", self.ask.name())))
        })?;
        let name: ModelRef = name.parse().map_err(external)?;
        self.models.get(&name).map_err(external)
    }
}

impl ScalarUDFImpl for Written {
    fn name(&self) -> &str {
        self.ask.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        datafusion::common::internal_err!("the type depends on the model")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let model = self.model(args.scalar_arguments.first().copied().flatten())?;
        let data_type = self.ask.data_type(&model).map_err(external)?;
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        datafusion::common::internal_err!("{} was not bound to its model", self.name())
    }
}

/// The function of a model's features, in the model's order.
#[derive(Debug)]
struct Bound {
    ask: Ask,
    /// With the model and its version, as EXPLAIN shows it.
    name: String,
    predictor: Predictor,
    features: Arc<Schema>,
    signature: Signature,
}

impl Bound {
    /// Which version it asks.
    fn version(&self) -> (Ask, &str, &str) {
        let entry = &self.predictor.loaded.entry;
        (self.ask, &entry.file.path, &entry.file.xxh3)
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Bound) -> bool {
        self.version() == other.version() && self.features == other.features
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.version().hash(state);
    }
}

impl ScalarUDFImpl for Bound {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        self.ask.data_type(&self.predictor.loaded).map_err(external)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        // All of them constants: one row.
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = RecordBatch::try_new(self.features.clone(), columns)?;
        let answer = self.predictor.answer(self.ask, &rows).map_err(external)?;
        match constant && answer.len() == 1 {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)),
            false => Ok(ColumnarValue::Array(answer)),
        }
    }
}

/// Finds a model's features among the arguments.
#[derive(Debug)]
struct ByNames;

impl FunctionRewrite for ByNames {
    fn name(&self) -> &str {
        "predict_by_names"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
        let Some(written) = call.func.inner().downcast_ref::<Written>() else {
            return Ok(Transformed::no(expr));
        };
        let name = match call.args.first() {
            Some(Expr::Literal(name, _)) => Some(name),
            _ => None,
        };
        let model = written.model(name)?;
        let mut named: Vec<(String, Expr)> = Vec::new();
        for argument in call.args.iter().skip(1) {
            named_by(written.ask, argument, &mut named)?;
        }
        let types = named.iter().map(|(_, value)| value.get_type(schema)).collect::<Result<Vec<_>>>()?;
        let given = named.iter().zip(types).map(|((name, _), of)| Field::new(name, of, true));
        let given = Schema::new(given.collect::<Vec<_>>());
        // Refused here, where the names are those of the statement.
        Predictor::new(model.clone(), &given).map_err(external)?;
        let wanted = model.model.numeric_names().iter().chain(model.model.categorical_names());
        let places = wanted.map(|name| given.index_of(name)).collect::<std::result::Result<Vec<_>, _>>()?;
        // As the model takes them: what an expression is of is settled later.
        let numbers = model.model.numeric_names().len();
        let of = |at: usize| if at < numbers { DataType::Float64 } else { DataType::Utf8 };
        let fields = places.iter().enumerate().map(|(slot, &at)| Field::new(&named[at].0, of(slot), true));
        let features = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let args = places.iter().enumerate().map(|(slot, &at)| cast(named[at].1.clone(), of(slot))).collect();
        let predictor = Predictor::new(model, &features).map_err(external)?;
        let signature = Signature::variadic_any(Volatility::Immutable);
        let entry = &predictor.loaded.entry;
        let name = format!("{}[{}.{}@{}]", written.ask.name(), entry.job, entry.outcome.name, entry.version);
        let bound = Bound { ask: written.ask, name, predictor, features, signature };
        let func = Arc::new(ScalarUDF::from(bound));
        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
    }
}

/// An argument by its name: a column by its own, the fields of a struct that is written out by theirs.
fn named_by(ask: Ask, argument: &Expr, named: &mut Vec<(String, Expr)>) -> Result<()> {
    match argument {
        Expr::Column(column) => named.push((column.name.clone(), argument.clone())),
        Expr::Alias(alias) => named.push((alias.name.clone(), argument.clone())),
        Expr::ScalarFunction(call) if call.func.name() == "named_struct" => {
            for pair in call.args.chunks(2) {
                if let [Expr::Literal(name, _), value] = pair
                    && let Some(name) = name.try_as_str().flatten()
                {
                    named.push((name.to_owned(), value.clone()));
                }
            }
        }
        Expr::OuterReferenceColumn(_, column) => {
            let what =
                format!("{} in a subquery is given `{column}`, a column of the query around it", ask.name());
            return Err(external(Error::user(what).hint(format!(
                "ask {} in the query around it, or join its table into the subquery",
                ask.name()
            ))));
        }
        other => {
            let what = format!("{} knows its arguments by their names, and `{other}` has none", ask.name());
            return Err(external(
                Error::user(what)
                    .hint(format!("name it by a struct: {}('job.model', {{feature: {other}}})", ask.name())),
            ));
        }
    }
    let twice =
        named.iter().enumerate().find(|(at, (name, _))| named[..*at].iter().any(|(other, _)| other == name));
    match twice {
        Some((_, (name, _))) => Err(external(
            Error::user(format!("{} is given `{name}` twice", ask.name())).hint("name each feature once"),
        )),
        None => Ok(()),
    }
}

/// The models that a statement names in calls of these functions; `None` where one is named otherwise than by a text alone.
pub(crate) fn calls(statement: &Statement) -> Option<Vec<String>> {
    let mut names = Some(Vec::new());
    let Statement::Statement(statement) = statement else { return names };
    let _ = visit_expressions(&**statement, |expression| {
        if let Sql::Function(function) = expression
            && let Some(name) = function.name.0.last().and_then(|part| part.as_ident())
            && Ask::ALL.iter().any(|ask| name.value.eq_ignore_ascii_case(ask.name()))
        {
            match (named_model(&function.args), &mut names) {
                (Some(model), Some(names)) => names.push(model),
                _ => names = None,
            }
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

/// The text that is the first argument.
fn named_model(arguments: &FunctionArguments) -> Option<String> {
    let FunctionArguments::List(list) = arguments else { return None };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Sql::Value(value)))) = list.args.first() else {
        return None;
    };
    match &value.value {
        Value::SingleQuotedString(model) => Some(model.clone()),
        Value::DollarQuotedString(model) => Some(model.value.clone()),
        _ => None,
    }
}
