//! `generate_series` and `range` of times: DataFusion's know nanoseconds alone.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, col};

/// The same function, of times in microseconds.
#[derive(Debug)]
pub(super) struct Series(pub Arc<dyn TableFunctionImpl>);

impl TableFunctionImpl for Series {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let is_time = |argument: &Expr| matches!(argument, Expr::Literal(value, _) if matches!(value.data_type(), DataType::Timestamp(..)));
        let exact = args.exprs().iter().map(in_nanoseconds).collect::<Result<Vec<_>>>()?;
        let table = self.0.call_with_args(TableFunctionArgs::new(&exact, args.session()))?;
        if !args.exprs().iter().any(is_time) {
            return Ok(table);
        }
        let zone = match table.schema().field(0).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => return Ok(table),
        };
        let name = table.schema().field(0).name().clone();
        let times = cast(col(&name), DataType::Timestamp(TimeUnit::Microsecond, zone)).alias(&name);
        let plan =
            LogicalPlanBuilder::scan("series", provider_as_source(table), None)?.project([times])?.build()?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

/// A time in the unit that DataFusion's series has; an error where that does not reach.
fn in_nanoseconds(argument: &Expr) -> Result<Expr> {
    match argument {
        Expr::Literal(value, _) => match value.data_type() {
            DataType::Timestamp(unit, zone) if unit != TimeUnit::Nanosecond => {
                let kind = DataType::Timestamp(TimeUnit::Nanosecond, zone);
                Ok(Expr::Literal(value.cast_to(&kind)?, None))
            }
            _ => Ok(argument.clone()),
        },
        _ => Ok(argument.clone()),
    }
}
