//! Protocol buffers on the wire, as far as ONNX needs them: fields of varints, of 32-bit floats and
//! of bytes.

use seedpipe_base::varint;

/// A message under construction; fields are written in the order of the calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message(Vec<u8>);

const VARINT: u64 = 0;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    fn tag(&mut self, field: u32, wire_type: u64) {
        varint::push(&mut self.0, u64::from(field) << 3 | wire_type);
    }

    /// A negative number takes ten bytes, as in every encoder.
    pub(super) fn integer(&mut self, field: u32, value: i64) {
        self.tag(field, VARINT);
        varint::push(&mut self.0, value as u64);
    }

    pub(super) fn float(&mut self, field: u32, value: f32) {
        self.tag(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, BYTES);
        varint::push(&mut self.0, value.len() as u64);
        self.0.extend(value);
    }

    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    pub(super) fn message(&mut self, field: u32, value: &Message) {
        self.bytes(field, &value.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_protocol_buffers_documentation_are_met() {
        let mut message = Message::default();
        message.integer(1, 150);
        assert_eq!(message.clone().into_bytes(), [0x08, 0x96, 0x01]);
        let mut outer = Message::default();
        outer.text(2, "testing");
        outer.message(3, &message);
        assert_eq!(
            outer.into_bytes(),
            b"\x12\x07testing\x1a\x03\x08\x96\x01".to_vec()
        );
    }

    #[test]
    fn negative_integers_and_floats_keep_their_bits() {
        let mut message = Message::default();
        message.integer(1, -2);
        message.float(2, 1.0);
        let mut expected = vec![0x08, 0xfe];
        expected.extend([0xff; 8]);
        expected.push(0x01);
        expected.extend([0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(message.into_bytes(), expected);
    }
}
