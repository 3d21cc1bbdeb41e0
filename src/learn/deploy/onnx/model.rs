//! ONNX's messages: nodes, initializers, inputs, outputs and metadata, by the field numbers of
//! onnx.proto.

use super::wire::Message;

/// Opset 17 has LayerNormalization; runtimes since 2022 know it.
pub(super) const OPSET: i64 = 17;
/// Of the ONNX release that brought opset 17.
const IR_VERSION: i64 = 8;

/// Element types with their numbers in onnx.proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    I32 = 6,
    I64 = 7,
    F16 = 10,
}

pub(super) enum Attribute<'value> {
    Float(f32),
    Integer(i64),
    Integers(&'value [i64]),
}

/// One dimension of an input or output.
pub(super) enum Dimension {
    /// Of any length, called `batch`.
    Batch,
    Length(i64),
}

/// The graph of a model, written down node by node.
#[derive(Default)]
pub(super) struct GraphMessage(Message);

impl GraphMessage {
    pub(super) fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) {
        let mut node = Message::default();
        for input in inputs {
            node.text(1, input);
        }
        for output in outputs {
            node.text(2, output);
        }
        node.text(3, name);
        node.text(4, operator);
        for (name, value) in attributes {
            node.message(5, &attribute(name, value));
        }
        self.0.message(1, &node);
    }

    /// `bytes` little-endian and row-major.
    pub(super) fn initializer(
        &mut self,
        name: &str,
        element: DataType,
        shape: &[i64],
        bytes: &[u8],
    ) {
        let mut tensor = Message::default();
        for &length in shape {
            tensor.integer(1, length);
        }
        tensor.integer(2, element as i64);
        tensor.text(8, name);
        tensor.bytes(9, bytes);
        self.0.message(5, &tensor);
    }

    pub(super) fn input(&mut self, name: &str, shape: &[Dimension]) {
        self.0.message(11, &value_info(name, shape));
    }

    pub(super) fn output(&mut self, name: &str, shape: &[Dimension]) {
        self.0.message(12, &value_info(name, shape));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The whole model's bytes.
    pub(super) fn finish(mut self, name: &str, metadata: &[(String, String)]) -> Vec<u8> {
        self.0.text(2, name);
        let mut model = Message::default();
        model.integer(1, IR_VERSION);
        model.text(2, "seedpipe");
        model.text(3, env!("CARGO_PKG_VERSION"));
        model.message(7, &self.0);
        let mut opset = Message::default();
        opset.text(1, "");
        opset.integer(2, OPSET);
        model.message(8, &opset);
        for (key, value) in metadata {
            let mut entry = Message::default();
            entry.text(1, key);
            entry.text(2, value);
            model.message(14, &entry);
        }
        model.into_bytes()
    }
}

fn attribute(name: &str, value: &Attribute) -> Message {
    const FLOAT: i64 = 1;
    const INTEGER: i64 = 2;
    const INTEGERS: i64 = 7;
    let mut message = Message::default();
    message.text(1, name);
    match value {
        Attribute::Float(value) => {
            message.float(2, *value);
            message.integer(20, FLOAT);
        }
        Attribute::Integer(value) => {
            message.integer(3, *value);
            message.integer(20, INTEGER);
        }
        Attribute::Integers(values) => {
            for value in *values {
                message.integer(8, *value);
            }
            message.integer(20, INTEGERS);
        }
    }
    message
}

/// Of an f32 tensor.
fn value_info(name: &str, dimensions: &[Dimension]) -> Message {
    let mut shape = Message::default();
    for dimension in dimensions {
        let mut message = Message::default();
        match dimension {
            Dimension::Batch => message.text(2, "batch"),
            Dimension::Length(length) => message.integer(1, *length),
        }
        shape.message(1, &message);
    }
    let mut tensor = Message::default();
    tensor.integer(1, DataType::F32 as i64);
    tensor.message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut info = Message::default();
    info.text(1, name);
    info.message(2, &kind);
    info
}
