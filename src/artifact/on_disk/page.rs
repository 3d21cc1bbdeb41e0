//! Parquet data pages without the Parquet decoder: where a page holds nothing but `[n, D]` numbers,
//! plain and uncompressed, they are the page's last bytes. The page's header and its repetition and
//! definition levels are checked to say exactly that; a page that says anything else is left to the
//! decoder, which is right about everything and several times slower.

use seedpipe_base::varint;

/// What a page of version 1 says of itself.
struct PageHeader {
    /// Bytes of the header.
    length: usize,
    /// Bytes of the page after the header, and the same before compression.
    compressed: i64,
    uncompressed: i64,
    /// Numbers in the page.
    values: i64,
    encoding: i64,
    /// 0: a data page of version 1.
    page_type: i64,
}

/// The `rows · dimension` plain values of `width` bytes in a page (header included), or `None`
/// where it is another kind of page.
pub(crate) fn plain_values(
    page: &[u8],
    rows: usize,
    dimension: usize,
    width: usize,
) -> Option<&[u8]> {
    let header = page_header(page)?;
    let count = rows.checked_mul(dimension)?;
    let body = &page[header.length..];
    let plain =
        header.page_type == 0 && header.encoding == 0 && header.compressed == header.uncompressed;
    if !plain || header.values != count as i64 || header.compressed != body.len() as i64 {
        return None;
    }
    let (repetitions, rest) = level_section(body)?;
    let (definitions, values) = level_section(rest)?;
    let sound = values.len() == count.checked_mul(width)?
        && levels_are(repetitions, count, |index| {
            (index % dimension != 0, dimension - index % dimension)
        })
        && levels_are(definitions, count, |_| (true, usize::MAX));
    sound.then_some(values)
}

/// Splits off a section with its length in four bytes before it.
fn level_section(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// Whether run-length and bit-packed levels of one bit are the expected ones. `expected` gives, for
/// an index, its level and how many levels from there to the next row's first.
fn levels_are(mut levels: &[u8], count: usize, expected: impl Fn(usize) -> (bool, usize)) -> bool {
    let mut index = 0;
    while index < count {
        let Some(head) = varint::take(&mut levels) else {
            return false;
        };
        let Ok(length) = usize::try_from(head >> 1) else {
            return false;
        };
        if head & 1 == 0 {
            let Some((value, rest)) = levels.split_first() else {
                return false;
            };
            levels = rest;
            let (level, until) = expected(index);
            // A run of ones ends before the next row begins; a zero stands alone.
            let longest = if level { until } else { 1 };
            if length == 0
                || length > count - index
                || u8::from(level) != *value
                || length > longest
            {
                return false;
            }
            index += length;
        } else {
            let Some((packed, rest)) = levels.split_at_checked(length) else {
                return false;
            };
            levels = rest;
            if packed.is_empty() {
                return false;
            }
            for byte in packed {
                for bit in 0..8.min(count - index) {
                    if (byte >> bit & 1 == 1) != expected(index).0 {
                        return false;
                    }
                    index += 1;
                }
            }
        }
    }
    levels.is_empty()
}

/// Reads a page header in Thrift's compact form.
fn page_header(page: &[u8]) -> Option<PageHeader> {
    let mut rest = page;
    let mut header = PageHeader {
        length: 0,
        compressed: -1,
        uncompressed: -1,
        values: -1,
        encoding: -1,
        page_type: -1,
    };
    let mut field = 0;
    while let Some(kind) = next_field(&mut rest, &mut field)? {
        match (field, kind) {
            (1, INTEGER) => header.page_type = varint::take_signed(&mut rest)?,
            (2, INTEGER) => header.uncompressed = varint::take_signed(&mut rest)?,
            (3, INTEGER) => header.compressed = varint::take_signed(&mut rest)?,
            (5, STRUCT) => data_page_header(&mut rest, &mut header)?,
            _ => skip(&mut rest, kind, 0)?,
        }
    }
    header.length = page.len() - rest.len();
    Some(header)
}

fn data_page_header(rest: &mut &[u8], header: &mut PageHeader) -> Option<()> {
    let mut field = 0;
    while let Some(kind) = next_field(rest, &mut field)? {
        match (field, kind) {
            (1, INTEGER) => header.values = varint::take_signed(rest)?,
            (2, INTEGER) => header.encoding = varint::take_signed(rest)?,
            _ => skip(rest, kind, 0)?,
        }
    }
    Some(())
}

/// Thrift's compact types that occur in page headers.
const INTEGER: u8 = 5;
const STRUCT: u8 = 12;

/// The next field's type, `Some(None)` at a struct's end; `field` becomes its number.
fn next_field(rest: &mut &[u8], field: &mut i64) -> Option<Option<u8>> {
    let (head, after) = rest.split_first()?;
    *rest = after;
    if *head == 0 {
        return Some(None);
    }
    *field = if head >> 4 == 0 {
        varint::take_signed(rest)?
    } else {
        field.checked_add(i64::from(head >> 4))?
    };
    Some(Some(head & 0x0f))
}

fn skip(rest: &mut &[u8], kind: u8, depth: usize) -> Option<()> {
    if depth > 8 {
        return None;
    }
    match kind {
        1 | 2 => {}
        3 => *rest = rest.split_first()?.1,
        4..=6 => {
            varint::take(rest)?;
        }
        7 => *rest = rest.split_at_checked(8)?.1,
        8 => {
            let length = usize::try_from(varint::take(rest)?).ok()?;
            *rest = rest.split_at_checked(length)?.1;
        }
        STRUCT => {
            let mut field = 0;
            while let Some(kind) = next_field(rest, &mut field)? {
                skip(rest, kind, depth + 1)?;
            }
        }
        // Lists, sets and maps do not occur in a page header.
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of_three(levels: &[u8], count: usize) -> bool {
        levels_are(levels, count, |index| (index % 3 != 0, 3 - index % 3))
    }

    #[test]
    fn bit_packed_levels_are_compared_bit_by_bit() {
        // 0 1 1 0 1 1 0 1 | 1: one group of eight and one more, the padding unread.
        assert!(rows_of_three(&[0b101, 0b1011_0110, 0b1], 9));
        assert!(!rows_of_three(&[0b101, 0b1011_0111, 0b1], 9));
        assert!(!rows_of_three(&[0b101, 0b1011_0110], 9));
    }

    #[test]
    fn runs_are_compared_with_the_rows_borders() {
        // 0 | 1 1 | 0 | 1 1
        assert!(rows_of_three(&[2, 0, 4, 1, 2, 0, 4, 1], 6));
        // A run of three ones would make a row of four.
        assert!(!rows_of_three(&[2, 0, 6, 1, 2, 0, 2, 1], 6));
        // Bytes after the last level.
        assert!(!rows_of_three(&[2, 0, 4, 1, 0], 3));
    }

    #[test]
    fn a_damaged_header_is_no_page() {
        assert!(plain_values(&[], 1, 1, 2).is_none());
        assert!(plain_values(&[0x15, 0xff], 1, 1, 2).is_none());
        assert!(plain_values(&[0xff; 64], 1, 1, 2).is_none());
        assert!(plain_values(&[0x1c; 64], 1, 1, 2).is_none());
    }
}
