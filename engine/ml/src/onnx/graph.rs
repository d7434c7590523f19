//! A graph while it is put together: operators whose results are values with a name, and constants.
//!
//! All numbers are doubles; columns have the shape rows × 1. Names of values are counted, so that the same model is the
//! same bytes.

use super::proto::{
    self, Attribute, Dimension, Model, Node, OperatorSet, Shape, Tensor, TensorType, Type, ValueInfo,
    attribute_type, data_type,
};
use super::{IR_VERSION, ML_OPSET, OPSET};
use crate::Error;
use prost::Message;

/// The domain of operators for classical models.
pub(super) const ML: &str = "ai.onnx.ml";
/// The name of the dimension of rows.
const ROWS: &str = "rows";
/// Bytes that a message of protobuf can have.
const MOST_BYTES: usize = i32::MAX as usize;

/// What an operator makes, by its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value(String);

/// Operators so far, in an order in which they can be computed.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
    inputs: Vec<ValueInfo>,
    outputs: Vec<ValueInfo>,
    /// Before the numbers of values; no input begins with it.
    prefix: String,
    values: usize,
}

impl Graph {
    /// A graph with inputs of these names, which no value will have.
    pub(super) fn new(names: &[&str]) -> Graph {
        let mut prefix = "value_".to_owned();
        while names.iter().any(|name| name.starts_with(&prefix)) {
            prefix.insert(0, '_');
        }
        Graph { prefix, ..Graph::default() }
    }

    fn named(&mut self) -> Value {
        self.values += 1;
        Value(format!("{}{}", self.prefix, self.values))
    }

    /// A column that the caller gives, of doubles or of strings.
    pub(super) fn input(&mut self, name: &str, of_text: bool) -> Value {
        let element = if of_text { data_type::STRING } else { data_type::DOUBLE };
        self.inputs.push(value_info(name, element, Some(1)));
        Value(name.to_owned())
    }

    /// A vector of integers that the graph gives.
    pub(super) fn output_labels(&mut self, name: &str, value: Value) {
        self.output(name, value, value_info(name, data_type::INT64, None));
    }

    /// A vector of strings that the graph gives.
    pub(super) fn output_texts(&mut self, name: &str, value: Value) {
        self.output(name, value, value_info(name, data_type::STRING, None));
    }

    /// A matrix of doubles that the graph gives.
    pub(super) fn output_numbers(&mut self, name: &str, value: Value, columns: usize) {
        self.output(name, value, value_info(name, data_type::DOUBLE, Some(columns)));
    }

    fn output(&mut self, name: &str, value: Value, info: ValueInfo) {
        self.outputs.push(info);
        self.push("Identity", "", vec![value.0], vec![name.to_owned()], Vec::new());
    }

    fn push(
        &mut self,
        op: &str,
        domain: &str,
        input: Vec<String>,
        output: Vec<String>,
        attribute: Vec<Attribute>,
    ) {
        let name = Some(format!("{op}_{}", self.nodes.len()));
        let (op_type, domain) = (Some(op.to_owned()), Some(domain.to_owned()).filter(|d| !d.is_empty()));
        self.nodes.push(Node { input, output, name, op_type, attribute, domain });
    }

    /// What an operator makes of values.
    pub(super) fn op(&mut self, op: &str, inputs: &[&Value]) -> Value {
        self.op_with(op, "", inputs, Vec::new())
    }

    /// The same of an operator of a domain, with attributes.
    pub(super) fn op_with(
        &mut self,
        op: &str,
        domain: &str,
        inputs: &[&Value],
        attributes: Vec<Attribute>,
    ) -> Value {
        let value = self.named();
        let inputs = inputs.iter().map(|value| value.0.clone()).collect();
        self.push(op, domain, inputs, vec![value.0.clone()], attributes);
        value
    }

    /// A constant matrix or vector, row-major.
    pub(super) fn doubles(&mut self, shape: &[usize], values: &[f64]) -> Value {
        let name = self.named();
        let tensor = double_tensor(shape, values);
        self.constants.push(Tensor { name: Some(name.0.clone()), ..tensor });
        name
    }

    /// A constant number, for any shape.
    pub(super) fn double(&mut self, value: f64) -> Value {
        self.doubles(&[1], &[value])
    }

    /// A constant vector of integers.
    pub(super) fn integers(&mut self, values: &[i64]) -> Value {
        let name = self.named();
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = tensor(&[values.len()], data_type::INT64, raw);
        self.constants.push(Tensor { name: Some(name.0.clone()), ..tensor });
        name
    }

    /// Columns, of which there is at least one, as one matrix.
    pub(super) fn matrix(&mut self, columns: &[&Value]) -> Value {
        match columns {
            [column] => (*column).clone(),
            columns => self.op_with("Concat", "", columns, vec![integer("axis", 1)]),
        }
    }

    /// The columns of a matrix that has so many.
    pub(super) fn columns(&mut self, matrix: &Value, columns: usize) -> Vec<Value> {
        if columns == 1 {
            return vec![matrix.clone()];
        }
        let widths = self.integers(&vec![1; columns]);
        let values: Vec<Value> = (0..columns).map(|_| self.named()).collect();
        let output = values.iter().map(|value| value.0.clone()).collect();
        self.push("Split", "", vec![matrix.0.clone(), widths.0], output, vec![integer("axis", 1)]);
        values
    }

    /// A matrix of one column as a vector.
    pub(super) fn vector(&mut self, column: &Value) -> Value {
        let shape = self.integers(&[-1]);
        self.op("Reshape", &[column, &shape])
    }

    /// Where numbers are missing.
    pub(super) fn missing(&mut self, values: &Value) -> Value {
        self.op("IsNaN", &[values])
    }

    /// The numbers, held between two that are not missing; missing ones stay so.
    pub(super) fn clip(&mut self, values: &Value, low: &Value, high: &Value) -> Value {
        let missing = self.missing(values);
        let above = self.op("Max", &[values, low]);
        let held = self.op("Min", &[&above, high]);
        let nan = self.double(f64::NAN);
        self.op("Where", &[&missing, &nan, &held])
    }

    /// Yes as 1 and no as 0, as doubles.
    pub(super) fn as_doubles(&mut self, values: &Value) -> Value {
        self.cast(values, data_type::DOUBLE)
    }

    /// Numbers that are whole as integers, yes as 1 and no as 0.
    pub(super) fn as_integers(&mut self, values: &Value) -> Value {
        self.cast(values, data_type::INT64)
    }

    fn cast(&mut self, values: &Value, to: i32) -> Value {
        self.op_with("Cast", "", &[values], vec![integer("to", i64::from(to))])
    }

    /// The number of each text: that of the first list if it is there, else the other one.
    pub(super) fn codes(&mut self, texts: &Value, known: &[(&str, i64)], other: i64) -> Value {
        let attributes = vec![
            integer("default_int64", other),
            strings("keys_strings", known.iter().map(|(name, _)| (*name).to_owned())),
            integers("values_int64s", known.iter().map(|(_, code)| *code).collect()),
        ];
        self.op_with("LabelEncoder", ML, &[texts], attributes)
    }

    /// The row of a constant table at each code, rows × columns; codes are rows × 1.
    pub(super) fn rows_of(&mut self, table: &Value, codes: &Value) -> Value {
        let codes = self.vector(codes);
        self.gathered(table, &codes)
    }

    /// The rows of a constant table at integers of any shape: that shape × columns.
    pub(super) fn gathered(&mut self, table: &Value, places: &Value) -> Value {
        self.op_with("Gather", "", &[table, places], vec![integer("axis", 0)])
    }

    /// A sum or the like along one axis, which stays as an axis of length 1 or goes.
    pub(super) fn reduced(&mut self, op: &str, values: &Value, axis: i64, keep: bool) -> Value {
        let axes = self.integers(&[axis]);
        self.op_with(op, "", &[values, &axes], vec![integer("keepdims", i64::from(keep))])
    }

    /// Where the least or the greatest number of each row is, the first of equals.
    pub(super) fn place_of(&mut self, op: &str, values: &Value) -> Value {
        self.op_with(op, "", &[values], vec![integer("axis", 1), integer("keepdims", 0)])
    }

    /// The file.
    ///
    /// # Errors
    ///
    /// [`Error::NotInOnnx`] beyond 2 GiB.
    pub(super) fn file(self, name: &str, doc: &str) -> Result<Vec<u8>, Error> {
        let set =
            |domain: &str, version| OperatorSet { domain: Some(domain.to_owned()), version: Some(version) };
        let model = Model {
            ir_version: Some(IR_VERSION),
            producer_name: Some("tidemill".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            doc_string: Some(doc.to_owned()),
            graph: Some(proto::Graph {
                node: self.nodes,
                name: Some(name.to_owned()),
                initializer: self.constants,
                input: self.inputs,
                output: self.outputs,
            }),
            opset_import: vec![set("", OPSET), set(ML, ML_OPSET)],
        };
        if model.encoded_len() > MOST_BYTES {
            return Err(Error::NotInOnnx {
                what: format!("a model of {} bytes", model.encoded_len()),
                why: "a file of ONNX has at most 2 GiB; fewer or shallower trees are smaller",
            });
        }
        Ok(model.encode_to_vec())
    }
}

fn value_info(name: &str, element: i32, columns: Option<usize>) -> ValueInfo {
    let rows = Dimension { value: None, param: Some(ROWS.to_owned()) };
    let columns = columns.map(|columns| Dimension { value: Some(columns as i64), param: None });
    let shape = Shape { dim: [rows].into_iter().chain(columns).collect() };
    let tensor_type = Some(TensorType { elem_type: Some(element), shape: Some(shape) });
    ValueInfo { name: Some(name.to_owned()), kind: Some(Type { tensor_type }) }
}

fn tensor(shape: &[usize], of: i32, raw: Vec<u8>) -> Tensor {
    let dims = shape.iter().map(|length| *length as i64).collect();
    Tensor { dims, data_type: Some(of), name: None, raw_data: Some(raw) }
}

fn double_tensor(shape: &[usize], values: &[f64]) -> Tensor {
    tensor(shape, data_type::DOUBLE, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn attribute(name: &str, kind: i32) -> Attribute {
    Attribute { name: Some(name.to_owned()), kind: Some(kind), ..Attribute::default() }
}

/// An attribute of one integer.
pub(super) fn integer(name: &str, value: i64) -> Attribute {
    Attribute { i: Some(value), ..attribute(name, attribute_type::INT) }
}

/// An attribute of integers.
pub(super) fn integers(name: &str, values: Vec<i64>) -> Attribute {
    Attribute { ints: values, ..attribute(name, attribute_type::INTS) }
}

/// An attribute of texts.
pub(super) fn strings(name: &str, values: impl Iterator<Item = String>) -> Attribute {
    let strings = values.map(String::into_bytes).collect();
    Attribute { strings, ..attribute(name, attribute_type::STRINGS) }
}

/// An attribute of doubles.
pub(super) fn vector_of_doubles(name: &str, values: &[f64]) -> Attribute {
    let held = Tensor { name: Some(name.to_owned()), ..double_tensor(&[values.len()], values) };
    Attribute { t: Some(held), ..attribute(name, attribute_type::TENSOR) }
}

/// An attribute of bytes.
pub(super) fn vector_of_bytes(name: &str, values: Vec<u8>) -> Attribute {
    let held = Tensor { name: Some(name.to_owned()), ..tensor(&[values.len()], data_type::UINT8, values) };
    Attribute { t: Some(held), ..attribute(name, attribute_type::TENSOR) }
}
