//! Views in few bytes: about 30 for a view of a strong recipe, where `Vec<View>` takes 160.
//!
//! A view is a run of bytes: its frame's index and its crop as LEB128 numbers, then each
//! operation's number and amount (f32, little endian; none for those without). What most views
//! share (size, resize, window, filter) is a frame, held once.

use std::collections::HashMap;

use anyhow::{Context, Result};
use seedpipe_imaging::{CropBox, Filter, Operation, View};

/// A position is found by stepping over fewer views than this.
const STRIDE: usize = 16;

/// What of a view is the same in many.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ViewGeometry {
    resize: [u32; 2],
    window: [u32; 2],
    size: u32,
    filter: Filter,
}

/// Views by position.
#[derive(Default)]
pub struct ViewList {
    bytes: Vec<u8>,
    /// Where every 16th view begins.
    starts: Vec<usize>,
    len: usize,
    frames: Vec<ViewGeometry>,
    indices: HashMap<ViewGeometry, u32>,
}

impl ViewList {
    /// Appends a view.
    pub fn push(&mut self, view: &View) {
        if self.len.is_multiple_of(STRIDE) {
            self.starts.push(self.bytes.len());
        }
        self.len += 1;
        let frame = ViewGeometry {
            resize: view.resize,
            window: view.window,
            size: view.size,
            filter: view.filter,
        };
        let next = self.frames.len() as u32; // fewer than the views, which positions in u32 count
        let index = *self.indices.entry(frame).or_insert(next);
        if index == next {
            self.frames.push(frame);
        }
        let CropBox {
            x,
            y,
            width,
            height,
        } = view.crop;
        for number in [index, x, y, width, height, view.operations.len() as u32] {
            write_number(&mut self.bytes, number);
        }
        for operation in &view.operations {
            self.bytes.push(operation.row());
            if operation.has_amount() {
                self.bytes.extend(operation.amount().to_le_bytes());
            }
        }
    }

    /// The view at a position; an error beyond the last.
    pub fn get(&self, position: usize) -> Result<View> {
        anyhow::ensure!(
            position < self.len,
            "BUG: view {position} of {} was asked for",
            self.len
        );
        let mut rest = &self.bytes[self.starts[position / STRIDE]..];
        for _ in 0..position % STRIDE {
            self.read(&mut rest, None).context(DAMAGED)?;
        }
        let mut operations = Vec::new();
        let (frame, crop) = self
            .read(&mut rest, Some(&mut operations))
            .context(DAMAGED)?;
        Ok(View {
            crop,
            resize: frame.resize,
            window: frame.window,
            size: frame.size,
            filter: frame.filter,
            operations,
        })
    }

    /// The view that `rest` begins with, which is stepped over; its operations are appended to
    /// `operations`, if wanted.
    fn read(
        &self,
        rest: &mut &[u8],
        mut operations: Option<&mut Vec<Operation>>,
    ) -> Option<(ViewGeometry, CropBox)> {
        let frame = *self.frames.get(read_number(rest)? as usize)?;
        let crop = CropBox {
            x: read_number(rest)?,
            y: read_number(rest)?,
            width: read_number(rest)?,
            height: read_number(rest)?,
        };
        for _ in 0..read_number(rest)? {
            let operation = read_operation(rest)?;
            if let Some(operations) = &mut operations {
                operations.push(operation);
            }
        }
        Some((frame, crop))
    }
}

const DAMAGED: &str = "BUG: a view's bytes are none";

fn write_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read_operation(rest: &mut &[u8]) -> Option<Operation> {
    let row = *rest.split_off_first()?;
    let without = Operation::of_row(row, 1.0)?;
    if !without.has_amount() {
        return Some(without);
    }
    let amount = rest.split_off(..4)?;
    Operation::of_row(row, f32::from_le_bytes(amount.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(number: u32) -> View {
        let amount = number as f32 / 7.0;
        let all = [
            Operation::Brightness(amount),
            Operation::Contrast(-amount),
            Operation::Grayscale,
            Operation::Saturation(f32::MIN_POSITIVE),
            Operation::Hue(-0.1),
            Operation::Blur(f32::MAX),
            Operation::Flip,
        ];
        View {
            crop: CropBox {
                x: number.wrapping_mul(0x9e37_79b9),
                y: number,
                width: u32::MAX - number,
                height: 127 + number % 2,
            },
            resize: [number % 5, 3],
            window: [0, number % 2],
            size: 32,
            filter: Filter::ALL[number as usize % 4],
            operations: all
                .into_iter()
                .cycle()
                .skip(number as usize)
                .take(number as usize % 9)
                .collect(),
        }
    }

    #[test]
    fn every_view_comes_back_whole_in_any_order() {
        let views: Vec<View> = (0..1000).map(view).collect();
        let mut list = ViewList::default();
        views.iter().for_each(|view| list.push(view));
        for (position, view) in views.iter().enumerate().rev() {
            assert_eq!(list.get(position).unwrap(), *view, "at {position}");
        }
        assert!(list.get(1000).is_err());
        assert!(ViewList::default().get(0).is_err());
    }

    #[test]
    fn a_view_takes_the_bytes_that_its_numbers_need() {
        let mut list = ViewList::default();
        let mut one = View::identity(32);
        one.operations = vec![Operation::Hue(0.5), Operation::Flip];
        for _ in 0..160 {
            list.push(&one);
        }
        // Six small numbers, an operation with an amount, one without.
        assert_eq!(list.bytes.len(), 160 * (6 + 5 + 1));
        assert_eq!((list.starts.len(), list.frames.len()), (10, 1));
    }
}
