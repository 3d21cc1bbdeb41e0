//! The one EXIF field that changes pixels: orientation.
//!
//! A missing, damaged or impossible field means "upright", as viewers and Pillow treat it; this never fails.

/// The tag of the orientation field in the first directory.
const ORIENTATION: u16 = 0x0112;

/// The orientation (1 to 8) written in an EXIF block, with or without its `Exif\0\0` prefix; else 1.
pub(crate) fn orientation(block: &[u8]) -> u8 {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    match read(tiff) {
        Some(value @ 1..=8) => value as u8,
        _ => 1,
    }
}

fn read(tiff: &[u8]) -> Option<u32> {
    let order = match tiff.get(..2)? {
        b"II" => Order::Little,
        b"MM" => Order::Big,
        _ => return None,
    };
    let directory = order.long(tiff, 4)? as usize;
    let count = order.short(tiff, directory)?;
    for entry in 0..usize::from(count) {
        let start = directory.checked_add(2 + 12 * entry)?;
        if order.short(tiff, start)? == ORIENTATION {
            let value = start + 8;
            return match order.short(tiff, start + 2)? {
                1 => tiff.get(value).copied().map(u32::from),
                3 => order.short(tiff, value).map(u32::from),
                4 => order.long(tiff, value),
                _ => None,
            };
        }
    }
    None
}

/// The byte order of a TIFF block.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn short(self, bytes: &[u8], start: usize) -> Option<u16> {
        let pair = bytes.get(start..start.checked_add(2)?)?.try_into().ok()?;
        Some(match self {
            Order::Little => u16::from_le_bytes(pair),
            Order::Big => u16::from_be_bytes(pair),
        })
    }

    fn long(self, bytes: &[u8], start: usize) -> Option<u32> {
        let four = bytes.get(start..start.checked_add(4)?)?.try_into().ok()?;
        Some(match self {
            Order::Little => u32::from_le_bytes(four),
            Order::Big => u32::from_be_bytes(four),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn little_endian(kind: u16, value: u32) -> Vec<u8> {
        let mut block = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01".to_vec();
        block.extend(kind.to_le_bytes());
        block.extend(1u32.to_le_bytes());
        block.extend(value.to_le_bytes());
        block
    }

    #[test]
    fn a_short_and_a_long_are_both_read() {
        assert_eq!(orientation(&little_endian(3, 6)), 6);
        assert_eq!(orientation(&little_endian(4, 8)), 8);
    }

    #[test]
    fn impossible_values_and_cut_blocks_mean_upright() {
        assert_eq!(orientation(&little_endian(3, 9)), 1);
        assert_eq!(orientation(&little_endian(3, 0)), 1);
        let block = little_endian(3, 6);
        for end in 0..block.len() - 2 {
            assert_eq!(orientation(&block[..end]), 1, "cut at {end}");
        }
        assert_eq!(orientation(b"MM\0*\xff\xff\xff\xff"), 1);
    }
}
