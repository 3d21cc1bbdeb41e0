//! TFRecord framing: length, masked CRC-32C of the length, bytes, masked CRC-32C of the bytes;
//! numbers little-endian (tensorflow/core/lib/io/record_writer.h).

const POLYNOMIAL: u32 = 0x82f6_3b78; // Castagnoli's, bits reversed
const TABLE: [u32; 256] = table();
const HEADER: usize = 12;
const CHECKSUM: usize = 4;

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 {
                rest >> 1 ^ POLYNOMIAL
            } else {
                rest >> 1
            };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
}

fn crc32c(bytes: &[u8]) -> u32 {
    let rest = bytes.iter().fold(u32::MAX, |rest, byte| {
        TABLE[usize::from(rest as u8 ^ byte)] ^ rest >> 8
    });
    !rest
}

/// So that a checksum of bytes that hold checksums is none of them.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Appends one record.
pub fn push(file: &mut Vec<u8>, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_le_bytes();
    file.extend(length);
    file.extend(masked(&length).to_le_bytes());
    file.extend(bytes);
    file.extend(masked(bytes).to_le_bytes());
}

/// The first record and the number of its bytes in the file; none where the rest is no whole, sound
/// record.
pub fn first(file: &[u8]) -> Option<(&[u8], usize)> {
    let (header, rest) = file.split_at_checked(HEADER)?;
    let (length, checksum) = header.split_at(8);
    if masked(length).to_le_bytes() != checksum {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    let checksum = rest.get(..CHECKSUM)?;
    (masked(bytes).to_le_bytes() == checksum).then_some((bytes, HEADER + length + CHECKSUM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn what_is_framed_is_found_and_what_is_torn_or_changed_is_not() {
        let mut file = Vec::new();
        push(&mut file, b"one");
        let end = file.len();
        push(&mut file, b"");
        assert_eq!(first(&file), Some((&b"one"[..], end)));
        assert_eq!(first(&file[end..]), Some((&b""[..], file.len() - end)));
        for torn in 0..end {
            assert_eq!(first(&file[..torn]), None);
        }
        for place in 0..end {
            let mut changed = file.clone();
            changed[place] ^= 1;
            assert_eq!(first(&changed), None, "byte {place}");
        }
    }
}
