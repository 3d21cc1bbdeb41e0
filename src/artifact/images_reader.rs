//! Reading `images/v1`: all columns but the encoded bytes in memory, the bytes by one `pread` each.
//!
//! Memory: about 90 bytes and the source's text for each image, never the encoded bytes. Digest, occurrence, size, label and position
//! need 64 of them; [`ImagesReader::source`] is apart, so that it can move to the disk.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Int32Type, UInt32Type};
use parquet::basic::Compression;
use rayon::prelude::*;

use crate::columns::{binaries, fixed, numbers, texts};
use crate::error::{ArtifactError, Invalid, Result};
use crate::file::PositionedFile;
use crate::images::{BYTES, digest};
use crate::metadata::Metadata;
use crate::part::{Part, Positions};
use crate::parts::Parts;
use crate::schema::IMAGES;

/// All columns but the encoded bytes.
const OTHERS: [usize; 9] = [0, 1, 2, 4, 5, 6, 7, 8, 9];
/// Parts whose file stays open; those beyond are opened for each read.
const OPEN_FILES: usize = 256;

/// What is known of an image without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    pub image_id: u32,
    /// BLAKE3 of the encoded bytes.
    pub digest: &'a [u8; 32],
    pub occurrence: u32,
    /// In pixels, after EXIF orientation.
    pub width: u32,
    pub height: u32,
    pub label: Option<i32>,
    pub label_name: Option<&'a str>,
    pub split: &'a str,
    /// Encoded bytes.
    pub length: u32,
}

/// Where an image's encoded bytes are in its part's file; `None`: only the Parquet decoder knows.
#[derive(Clone, Copy)]
struct Position {
    offset: Option<NonZeroU64>,
    length: u32,
}

/// Reads the images of an output: all columns but the bytes in memory, the bytes on demand.
pub struct ImagesReader {
    parts: Parts,
    files: Vec<PositionedFile>,
    ids: Vec<u32>,
    digests: Vec<[u8; 32]>,
    occurrences: Vec<u32>,
    sizes: Vec<[u32; 2]>,
    labels: Vec<Option<i32>>,
    /// Index into `names`.
    label_names: Vec<Option<u32>>,
    names: Names,
    /// Index into `splits`.
    split_of: Vec<u32>,
    splits: Vec<String>,
    sources: String,
    /// Where each row's source ends in `sources`.
    source_ends: Vec<usize>,
    positions: Vec<Position>,
    classes: BTreeMap<i32, String>,
}

impl ImagesReader {
    /// Opens the parts, given in logical row order. Fails where ids do not ascend, or a label has two names.
    pub fn open(parts: &[PathBuf]) -> Result<Self> {
        let parts = Parts::open(parts, Some(IMAGES), Positions::Load)?;
        let files = parts
            .iter()
            .take(OPEN_FILES)
            .map(|part| PositionedFile::open(part.path()))
            .collect::<Result<_>>()?;
        let positions: Vec<Vec<Position>> = parts
            .iter()
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(positions)
            .collect::<Result<_>>()?;
        let mut reader = Self {
            files,
            ids: Vec::new(),
            digests: Vec::new(),
            occurrences: Vec::new(),
            sizes: Vec::new(),
            labels: Vec::new(),
            label_names: Vec::new(),
            names: Names::default(),
            split_of: Vec::new(),
            splits: Vec::new(),
            sources: String::new(),
            source_ends: Vec::new(),
            positions: positions.concat(),
            classes: BTreeMap::new(),
            parts,
        };
        let mut splits = Names::default();
        for part in 0..reader.parts.iter().count() {
            let part = reader.parts.part(part);
            let path = part.path().to_path_buf();
            for batch in part.batches(0..part.rows(), &OTHERS)? {
                reader
                    .extend(&batch?, &mut splits)
                    .map_err(|invalid| invalid.at(&path))?;
            }
        }
        reader.sort_splits(splits);
        Ok(reader)
    }

    fn extend(
        &mut self,
        batch: &RecordBatch,
        splits: &mut Names,
    ) -> std::result::Result<(), Invalid> {
        let integer = |column: usize| numbers::<UInt32Type>(batch, column).values();
        let (digests, labels) = (fixed(batch, 1), numbers::<Int32Type>(batch, 5));
        let (names, split_names, sources) = (texts(batch, 6), texts(batch, 7), texts(batch, 8));
        for row in 0..batch.num_rows() {
            let id = integer(0)[row];
            if let Some(last) = self.ids.last().filter(|last| **last >= id) {
                return Err(Invalid::new(
                    "order of rows",
                    format!("an image_id above {last}"),
                    id,
                ));
            }
            let label = labels.is_valid(row).then(|| labels.value(row));
            let name = names.is_valid(row).then(|| names.value(row));
            if let Some(label) = label {
                self.name_class(label, name)?;
            }
            self.ids.push(id);
            self.digests.push(digest(digests, row));
            self.occurrences.push(integer(2)[row]);
            self.sizes.push([integer(3)[row], integer(4)[row]]);
            self.labels.push(label);
            self.label_names
                .push(name.map(|name| self.names.index(name)));
            self.split_of.push(splits.index(split_names.value(row)));
            self.sources.push_str(sources.value(row));
            self.source_ends.push(self.sources.len());
        }
        Ok(())
    }

    fn name_class(&mut self, label: i32, name: Option<&str>) -> std::result::Result<(), Invalid> {
        let number = label.to_string();
        let class = self
            .classes
            .entry(label)
            .or_insert_with(|| name.unwrap_or(&number).to_string());
        match name {
            Some(name) if name != class && *class == number => *class = name.to_string(),
            Some(name) if name != class => {
                return Err(Invalid::new(
                    format!("name of label {label}"),
                    format!("`{class}`"),
                    format!("`{name}`"),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn sort_splits(&mut self, found: Names) {
        let mut order: Vec<usize> = (0..found.names.len()).collect();
        order.sort_by(|left, right| found.names[*left].cmp(&found.names[*right]));
        let mut rank = vec![0u32; order.len()];
        for (place, index) in (0..).zip(&order) {
            rank[*index] = place;
        }
        self.split_of
            .iter_mut()
            .for_each(|split| *split = rank[*split as usize]);
        self.splits = order
            .into_iter()
            .map(|index| found.names[index].clone())
            .collect();
    }

    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// The declared metadata, without the kind.
    pub fn metadata(&self) -> &Metadata {
        self.parts.metadata()
    }

    /// Panics where `row` is not below [`Self::rows`].
    pub fn image(&self, row: usize) -> Image<'_> {
        let [width, height] = self.sizes[row];
        Image {
            image_id: self.ids[row],
            digest: &self.digests[row],
            occurrence: self.occurrences[row],
            width,
            height,
            label: self.labels[row],
            label_name: self.label_names[row].map(|name| self.names.names[name as usize].as_str()),
            split: &self.splits[self.split_of[row] as usize],
            length: self.positions[row].length,
        }
    }

    pub fn row_of(&self, image_id: u32) -> Option<usize> {
        self.ids.binary_search(&image_id).ok()
    }

    /// Where the image came from. Panics where `row` is not below [`Self::rows`].
    pub fn source(&self, row: usize) -> Result<String> {
        let start = if row == 0 {
            0
        } else {
            self.source_ends[row - 1]
        };
        Ok(self.sources[start..self.source_ends[row]].to_string())
    }

    /// The encoded bytes, checked against their digest. One read; may be called from any thread. Panics where `row` is not below
    /// [`Self::rows`].
    pub fn bytes(&self, row: usize) -> Result<Vec<u8>> {
        let (index, within) = self.parts.locate(row);
        let part = self.parts.part(index);
        let position = self.positions[row];
        let bytes = match position.offset {
            Some(offset) => self.read_at(index, offset.get(), position.length)?,
            None => decode(part, within)?,
        };
        if *blake3::hash(&bytes).as_bytes() != self.digests[row] {
            let what = format!("bytes of image {}", self.ids[row]);
            return Err(ArtifactError::unexpected(
                part.path(),
                what,
                "those of its digest",
                "others: the file is damaged",
            ));
        }
        Ok(bytes)
    }

    fn read_at(&self, part: usize, offset: u64, length: u32) -> Result<Vec<u8>> {
        let path = self.parts.part(part).path();
        let opened;
        let file = match self.files.get(part) {
            Some(file) => file,
            None => {
                opened = PositionedFile::open(path)?;
                &opened
            }
        };
        let mut bytes = Vec::new();
        file.read_into(offset, length as usize, &mut bytes)
            .map_err(|error| ArtifactError::io(path, "cannot read", error))?;
        Ok(bytes)
    }

    /// The rows of a split, ascending.
    pub fn rows_in(&self, split: &str) -> Vec<usize> {
        let Ok(wanted) = self
            .splits
            .binary_search_by(|name| name.as_str().cmp(split))
        else {
            return Vec::new();
        };
        (0..self.rows())
            .filter(|row| self.split_of[*row] as usize == wanted)
            .collect()
    }

    /// The splits that occur, sorted.
    pub fn splits(&self) -> &[String] {
        &self.splits
    }

    /// Every label that occurs and its name; the number itself where it has none.
    pub fn classes(&self) -> &BTreeMap<i32, String> {
        &self.classes
    }
}

/// Distinct texts in the order of their first occurrence.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    indices: std::collections::HashMap<String, u32>,
}

impl Names {
    fn index(&mut self, name: &str) -> u32 {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        let index = u32::try_from(self.names.len())
            .expect("BUG: rows are fewer than 2^32, as their ids are");
        self.names.push(name.to_string());
        self.indices.insert(name.to_string(), index);
        index
    }
}

/// Where the images of a part are, by its offset index; by decoding where that does not say it.
fn positions(part: &Part) -> Result<Vec<Position>> {
    let mut positions = Vec::new();
    for (group, bounds) in part.row_group_starts().windows(2).enumerate() {
        match indexed(part, group, bounds[1] - bounds[0]) {
            Some(found) => positions.extend(found),
            None => {
                for batch in part.batches(bounds[0]..bounds[1], &[BYTES])? {
                    let batch = batch?;
                    let lengths = binaries(&batch, 0).offsets().lengths();
                    positions.extend(lengths.map(|length| Position {
                        offset: None,
                        length: length as u32,
                    }));
                }
            }
        }
    }
    Ok(positions)
}

/// The positions of a row group's images where each has its own plain page: an image is the end of its page.
fn indexed(part: &Part, group: usize, rows: usize) -> Option<Vec<Position>> {
    if part.parquet().row_group(group).column(BYTES).compression() != Compression::UNCOMPRESSED {
        return None;
    }
    let index = part.parquet().page_index()?.offset_index(group, BYTES)?;
    let (pages, lengths) = (
        index.page_locations(),
        index.unencoded_byte_array_data_bytes()?,
    );
    if pages.len() != rows || lengths.len() != rows {
        return None;
    }
    let position = |row: usize| {
        let (page, length) = (&pages[row], u32::try_from(lengths[row]).ok()?);
        // The page's header and the value's own length come before it.
        let header = u64::try_from(page.compressed_page_size)
            .ok()?
            .checked_sub(u64::from(length) + 4)?;
        let offset = u64::try_from(page.offset).ok()?.checked_add(header + 4)?;
        let alone = page.first_row_index == row as i64;
        alone.then_some(Position {
            offset: NonZeroU64::new(offset),
            length,
        })
    };
    (0..rows).map(position).collect()
}

fn decode(part: &Part, row: usize) -> Result<Vec<u8>> {
    let batch = part.batches(row..row + 1, &[BYTES])?.next().transpose()?;
    let batch = batch.filter(|batch| batch.num_rows() == 1);
    let batch = batch.ok_or_else(|| {
        ArtifactError::unexpected(part.path(), "rows in the pages", "one", "none")
    })?;
    Ok(binaries(&batch, 0).value(0).to_vec())
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
