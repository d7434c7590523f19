//! `haversine_km`: the way between two points over the Earth's surface.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// The Earth's mean radius in kilometres (IUGG, (2a + b) / 3 of WGS 84).
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// `haversine_km(latitude_1, longitude_1, latitude_2, longitude_2)`, degrees to kilometres; null if any is null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct HaversineKm {
    signature: Signature,
}

impl HaversineKm {
    pub(super) fn new() -> Self {
        HaversineKm { signature: Signature::exact(vec![DataType::Float64; 4], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for HaversineKm {
    fn name(&self) -> &str {
        "haversine_km"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let columns: Vec<&Float64Array> = arrays.iter().map(|a| a.as_primitive::<Float64Type>()).collect();
        let rows = columns.iter().map(|c| c.len()).min().unwrap_or(0);
        let value = |column: usize, row: usize| {
            columns[column].is_valid(row).then(|| columns[column].value(row).to_radians())
        };
        let distance =
            |row| Some(kilometres((value(0, row)?, value(1, row)?), (value(2, row)?, value(3, row)?)));
        let distances: Float64Array = (0..rows).map(distance).collect();
        Ok(ColumnarValue::Array(Arc::new(distances)))
    }
}

/// Between two points of latitude and longitude in radians (Sinnott, "Virtues of the Haversine", 1984).
fn kilometres(from: (f64, f64), to: (f64, f64)) -> f64 {
    let squared = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = squared(to.0 - from.0) + from.0.cos() * to.0.cos() * squared(to.1 - from.1);
    // Rounding takes antipodes a little past 1, where arcsin has no value. Of a NaN the way is NaN.
    let chord = if chord > 1.0 { 1.0 } else { chord };
    2.0 * EARTH_RADIUS_KM * chord.sqrt().asin()
}
