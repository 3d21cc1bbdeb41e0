//! A Parquet footer looked over before the decoder sees it: how deep its schema nests and how many
//! children a group claims.
//!
//! The decoder descends into the schema by recursion and reserves what is claimed; a stack or
//! memory that runs out ends the process, which nothing can catch. Only the shape of Thrift's
//! compact protocol is read here, nothing of what the fields mean but the schema's.

use std::path::Path;

use seedpipe_base::varint;

use crate::on_disk::file::PositionedFile;
use crate::schema::failure::{self, Result};

/// Groups inside each other; ours have 3.
const MAXIMAL_DEPTH: usize = 64;
/// Structs, lists and maps inside each other in the Thrift text; the format needs fewer than 10.
const MAXIMAL_NESTING: usize = 32;
/// Length of the footer and the magic number at the end of the file.
const TRAILER: usize = 8;
const MAGIC: &[u8] = b"PAR1";
/// Of FileMetaData: the schema, depth first.
const SCHEMA_FIELD: i64 = 2;
/// Of SchemaElement: the number of its children.
const CHILDREN_FIELD: i64 = 5;

/// Types of Thrift's compact protocol.
mod kind {
    pub const TRUE: u8 = 1;
    pub const FALSE: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const I16: u8 = 4;
    pub const I32: u8 = 5;
    pub const I64: u8 = 6;
    pub const DOUBLE: u8 = 7;
    pub const BINARY: u8 = 8;
    pub const LIST: u8 = 9;
    pub const SET: u8 = 10;
    pub const MAP: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const UUID: u8 = 13;
}

/// Refuses a footer that would bring the decoder down. One that only is no footer is left to the
/// decoder's own message.
pub(crate) fn check(path: &Path, file: &PositionedFile) -> Result<()> {
    let length = file.length();
    let Some(start) = length.checked_sub(TRAILER as u64) else {
        return Ok(());
    };
    let mut trailer = Vec::new();
    let cannot = |error| failure::io(path, "cannot read", error);
    file.read_into(start, TRAILER, &mut trailer)
        .map_err(cannot)?;
    let (size, magic) = trailer.split_at(4);
    let size = size
        .iter()
        .rev()
        .fold(0, |size, byte| size << 8 | u64::from(*byte));
    let Some(start) = start.checked_sub(size).filter(|_| magic == MAGIC) else {
        return Ok(());
    };
    let mut footer = Vec::new();
    file.read_into(start, size as usize, &mut footer)
        .map_err(cannot)?;
    look_over(&footer).map_err(|fault| {
        let what = match fault {
            FooterFault::Deep => format!(
                "schema: expected at most {MAXIMAL_DEPTH} groups inside each other, got more"
            ),
            FooterFault::Claims => {
                "schema: expected as many columns as its groups say, got fewer".to_owned()
            }
            FooterFault::Garbage => {
                "not Parquet, or damaged: expected a footer in Thrift, got something else"
                    .to_owned()
            }
        };
        failure::new(path, what)
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FooterFault {
    Deep,
    Claims,
    Garbage,
}

fn look_over(footer: &[u8]) -> std::result::Result<(), FooterFault> {
    let mut thrift = Thrift { rest: footer };
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field)? {
        if field == SCHEMA_FIELD && kind == kind::LIST {
            check_schema(&thrift.schema()?)?;
        } else {
            thrift.skip(kind, 0)?;
        }
    }
    Ok(())
}

/// Number of children of each element, depth first.
fn check_schema(children: &[u64]) -> std::result::Result<(), FooterFault> {
    let mut open: Vec<u64> = Vec::new(); // children that are still to come, of each group that is open
    for (index, &count) in children.iter().enumerate() {
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if count > (children.len() - index - 1) as u64 {
            return Err(FooterFault::Claims);
        }
        if count > 0 {
            open.push(count);
        }
        if open.len() > MAXIMAL_DEPTH {
            return Err(FooterFault::Deep);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.is_empty() && index + 1 < children.len() {
            return Ok(()); // the decoder says that there are elements too many
        }
    }
    Ok(())
}

/// What is left of a text in the compact protocol.
struct Thrift<'a> {
    rest: &'a [u8],
}

impl Thrift<'_> {
    fn byte(&mut self) -> std::result::Result<u8, FooterFault> {
        let (first, rest) = self.rest.split_first().ok_or(FooterFault::Garbage)?;
        self.rest = rest;
        Ok(*first)
    }

    fn pass(&mut self, count: u64) -> std::result::Result<(), FooterFault> {
        let count = usize::try_from(count).map_err(|_| FooterFault::Garbage)?;
        self.rest = self.rest.get(count..).ok_or(FooterFault::Garbage)?;
        Ok(())
    }

    fn varint(&mut self) -> std::result::Result<u64, FooterFault> {
        varint::take(&mut self.rest).ok_or(FooterFault::Garbage)
    }

    fn zigzag(&mut self) -> std::result::Result<i64, FooterFault> {
        varint::take_signed(&mut self.rest).ok_or(FooterFault::Garbage)
    }

    /// The type of the next field of a struct, whose number is put into `field`; `None` at the end.
    fn field(&mut self, field: &mut i64) -> std::result::Result<Option<u8>, FooterFault> {
        let header = self.byte()?;
        if header == 0 {
            return Ok(None);
        }
        *field = match header >> 4 {
            0 => self.zigzag()?,
            step => field
                .checked_add(i64::from(step))
                .ok_or(FooterFault::Garbage)?,
        };
        Ok(Some(header & 0x0f))
    }

    /// Length and type of a list; every element takes a byte or more.
    fn list(&mut self) -> std::result::Result<(u64, u8), FooterFault> {
        let header = self.byte()?;
        let length = match header >> 4 {
            15 => self.varint()?,
            length => u64::from(length),
        };
        if length > self.rest.len() as u64 {
            return Err(FooterFault::Garbage);
        }
        Ok((length, header & 0x0f))
    }

    fn schema(&mut self) -> std::result::Result<Vec<u64>, FooterFault> {
        let (length, kind) = self.list()?;
        if kind != kind::STRUCT {
            return Err(FooterFault::Garbage);
        }
        let mut all = Vec::new();
        for _ in 0..length {
            let (mut field, mut children) = (0, 0);
            while let Some(kind) = self.field(&mut field)? {
                if field == CHILDREN_FIELD && kind == kind::I32 {
                    children = u64::try_from(self.zigzag()?).map_err(|_| FooterFault::Claims)?;
                } else {
                    self.skip(kind, 0)?;
                }
            }
            all.push(children);
        }
        Ok(all)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> std::result::Result<(), FooterFault> {
        if depth > MAXIMAL_NESTING {
            return Err(FooterFault::Garbage);
        }
        match kind {
            kind::TRUE | kind::FALSE => Ok(()),
            kind::BYTE => self.pass(1),
            kind::I16 | kind::I32 | kind::I64 => self.varint().map(drop),
            kind::DOUBLE => self.pass(8),
            kind::UUID => self.pass(16),
            kind::BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            kind::LIST | kind::SET => {
                let (length, kind) = self.list()?;
                (0..length).try_for_each(|_| self.skip_element(kind, depth + 1))
            }
            kind::MAP => {
                let length = self.varint()?;
                if length > self.rest.len() as u64 {
                    return Err(FooterFault::Garbage);
                }
                let kinds = if length > 0 { self.byte()? } else { 0 };
                (0..length).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth + 1)?;
                    self.skip_element(kinds & 0x0f, depth + 1)
                })
            }
            kind::STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
                Ok(())
            }
            _ => Err(FooterFault::Garbage),
        }
    }

    /// As [`Self::skip`], but a flag has a byte of its own.
    fn skip_element(&mut self, kind: u8, depth: usize) -> std::result::Result<(), FooterFault> {
        match kind {
            kind::TRUE | kind::FALSE => self.pass(1),
            other => self.skip(other, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_may_nest_so_far() {
        let chain = |groups: usize| {
            let mut children = vec![1; groups];
            children.push(0);
            check_schema(&children)
        };
        assert_eq!(chain(MAXIMAL_DEPTH), Ok(()));
        assert_eq!(chain(MAXIMAL_DEPTH + 1), Err(FooterFault::Deep));
        // Wide is not deep: each group is closed when its children are there.
        let mut wide = vec![1_000];
        (0..1_000).for_each(|_| wide.extend([2, 0, 0]));
        wide[0] = 1_000;
        assert_eq!(check_schema(&wide), Ok(()));
    }

    #[test]
    fn a_group_cannot_claim_more_children_than_there_are() {
        assert_eq!(check_schema(&[2, 0, 0]), Ok(()));
        assert_eq!(check_schema(&[3, 0, 0]), Err(FooterFault::Claims));
        assert_eq!(check_schema(&[i32::MAX as u64]), Err(FooterFault::Claims));
        assert_eq!(check_schema(&[]), Ok(()));
    }

    #[test]
    fn numbers_of_the_compact_protocol_are_read() {
        let mut thrift = Thrift {
            rest: &[0x8c, 0x01, 0xff],
        };
        assert_eq!(thrift.zigzag(), Ok(70));
        assert_eq!(thrift.varint(), Err(FooterFault::Garbage));
        assert_eq!(
            Thrift { rest: &[0xff; 20] }.varint(),
            Err(FooterFault::Garbage)
        );
    }

    #[test]
    fn garbage_and_endless_nesting_are_refused() {
        assert_eq!(look_over(&[]), Err(FooterFault::Garbage));
        assert_eq!(look_over(&[0]), Ok(()));
        assert_eq!(look_over(&[0x1c; 100_000]), Err(FooterFault::Garbage));
        assert_eq!(
            look_over(&[&[0x19][..], &[0x19; 100_000]].concat()),
            Err(FooterFault::Garbage)
        );
        assert_eq!(
            look_over(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            Err(FooterFault::Garbage)
        );
    }
}
