//! The one field of a file's metadata that changes pixels: orientation, in EXIF or else in XMP.
//!
//! A missing, damaged or impossible field means "upright", as viewers and Pillow treat it; this
//! never fails. A block of EXIF is a TIFF file, so `decode/tiff.rs` asks here for its own fields
//! too.

use memchr::memmem;

/// The tag of the orientation field in the first directory.
const ORIENTATION: u16 = 0x0112;

/// The orientation (1 to 8) of an EXIF block, with or without its `Exif\0\0` prefix; XMP's where
/// EXIF has no such field.
pub(crate) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> u8 {
    let tiff = exif.map(|block| block.strip_prefix(b"Exif\0\0").unwrap_or(block));
    let field = tiff.and_then(|tiff| ExifField::find(tiff, ORIENTATION));
    let value = match field {
        Some(field) => field.number,
        None => xmp.and_then(of_xmp),
    };
    match value {
        Some(value @ 1..=8) => value as u8,
        _ => 1,
    }
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6`: the first of either.
fn of_xmp(xmp: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"tiff:Orientation";
    memmem::find_iter(xmp, NAME).find_map(|place| match &xmp[place + NAME.len()..] {
        [b'=', b'"', digit @ b'0'..=b'9', ..] | [b'>', digit @ b'0'..=b'9', ..] => {
            Some(u32::from(digit - b'0'))
        }
        _ => None,
    })
}

/// An entry of a TIFF block's first directory.
pub(crate) struct ExifField {
    pub tag: u16,
    /// The type of its values, as TIFF numbers them.
    pub kind: u16,
    /// How many values it has.
    pub count: u32,
    /// Where the value, or the offset of several, lies in the block.
    pub place: usize,
    /// One whole number of 16 or 32 bits. Pillow takes no other for an orientation.
    pub number: Option<u32>,
}

impl ExifField {
    /// The last entry of that tag, as in Pillow.
    pub(crate) fn find(tiff: &[u8], tag: u16) -> Option<ExifField> {
        ExifField::all(tiff).filter(|field| field.tag == tag).last()
    }

    /// All entries, or as many as there are bytes of.
    pub(crate) fn all(tiff: &[u8]) -> impl Iterator<Item = ExifField> {
        let order = match tiff.get(..4) {
            Some([b'I', b'I', 42, 0] | [b'I', b'I', 0, 42]) => Some(Order::Little),
            Some([b'M', b'M', 0, 42] | [b'M', b'M', 42, 0]) => Some(Order::Big),
            _ => None,
        };
        let entries = order.and_then(|order| {
            let directory = order.long(tiff, 4)? as usize;
            let entries = usize::from(order.short(tiff, directory)?);
            let starts = (0..entries).map(move |entry| directory + 2 + 12 * entry);
            Some(starts.map_while(move |start| ExifField::at(tiff, order, start)))
        });
        entries.into_iter().flatten()
    }

    fn at(tiff: &[u8], order: Order, start: usize) -> Option<ExifField> {
        let (kind, count) = (order.short(tiff, start + 2)?, order.long(tiff, start + 4)?);
        let place = start + 8;
        let number = match (kind, count) {
            (3 | 8, 1) => order.short(tiff, place).map(u32::from),
            (4 | 9, 1) => order.long(tiff, place),
            _ => None,
        };
        Some(ExifField {
            tag: order.short(tiff, start)?,
            kind,
            count,
            place,
            number,
        })
    }
}

/// The byte order of a TIFF block.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn short(self, bytes: &[u8], start: usize) -> Option<u16> {
        let pair = *bytes.get(start..)?.first_chunk()?;
        Some(match self {
            Order::Little => u16::from_le_bytes(pair),
            Order::Big => u16::from_be_bytes(pair),
        })
    }

    fn long(self, bytes: &[u8], start: usize) -> Option<u32> {
        let four = *bytes.get(start..)?.first_chunk()?;
        Some(match self {
            Order::Little => u32::from_le_bytes(four),
            Order::Big => u32::from_be_bytes(four),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn little_endian(kind: u16, count: u32, value: u32) -> Vec<u8> {
        let mut block = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01".to_vec();
        block.extend(kind.to_le_bytes());
        block.extend(count.to_le_bytes());
        block.extend(value.to_le_bytes());
        block
    }

    fn of_exif(block: &[u8]) -> u8 {
        orientation(Some(block), None)
    }

    #[test]
    fn one_short_or_long_is_read() {
        for (kind, expected) in [(3, 6), (8, 6), (4, 6), (9, 6), (1, 1), (2, 1), (5, 1)] {
            assert_eq!(of_exif(&little_endian(kind, 1, 6)), expected, "kind {kind}");
            assert_eq!(of_exif(&little_endian(kind, 2, 6)), 1, "two of kind {kind}");
        }
    }

    #[test]
    fn impossible_values_and_cut_blocks_mean_upright() {
        assert_eq!(of_exif(&little_endian(3, 1, 9)), 1);
        assert_eq!(of_exif(&little_endian(3, 1, 0)), 1);
        let block = little_endian(3, 1, 6);
        for end in 0..block.len() - 2 {
            assert_eq!(of_exif(&block[..end]), 1, "cut at {end}");
        }
        assert_eq!(of_exif(b"MM\0*\xff\xff\xff\xff"), 1);
        let other = [&block[..8], b"+\0", &block[10..]].concat();
        assert_eq!(of_exif(&other), 1, "BigTIFF's number");
    }

    #[test]
    fn xmp_is_asked_where_exif_has_no_such_field() {
        let attribute = &b"<a xmlns:tiff=\"\" tiff:Orientation=\"6\"/>"[..];
        let element = &b"<tiff:Orientation>8</tiff:Orientation>"[..];
        assert_eq!(orientation(None, Some(attribute)), 6);
        assert_eq!(orientation(None, Some(element)), 8);
        assert_eq!(orientation(Some(b"II*\0"), Some(element)), 8);
        assert_eq!(orientation(Some(&little_endian(3, 1, 3)), Some(element)), 3);
        assert_eq!(orientation(Some(&little_endian(3, 1, 9)), Some(element)), 1);
        assert_eq!(orientation(None, Some(b"tiff:Orientation=")), 1);
    }
}
