//! Numbers as seven bits a byte, the least first (LEB128): of Protocol Buffers and of Thrift's
//! compact protocol.

/// Appends `value`.
pub fn push(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Splits the first number off; none where the bytes end within it, or it is longer than ten bytes.
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Splits off a signed number, whose sign is the lowest bit (zigzag).
pub fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    let value = take(bytes)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_documented_and_read_back() {
        for (value, expected) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (150, &[0x96, 0x01]),
            (
                u64::MAX,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
        ] {
            let mut bytes = Vec::new();
            push(&mut bytes, value);
            assert_eq!(bytes, expected);
            bytes.push(7);
            let mut rest = &bytes[..];
            assert_eq!(take(&mut rest), Some(value));
            assert_eq!(rest, [7]);
        }
        for (byte, expected) in [(0, 0), (1, -1), (2, 1), (3, -2)] {
            assert_eq!(take_signed(&mut &[byte][..]), Some(expected));
        }
        assert_eq!(take(&mut &[0x80; 9][..]), None);
        assert_eq!(take(&mut &[0xff; 20][..]), None);
    }
}
