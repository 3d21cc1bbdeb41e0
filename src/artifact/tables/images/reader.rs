//! Reading `images/v1`: an index of the images in memory, their encoded bytes by one `pread` each,
//! their sources from the disk.
//!
//! Memory: 64 bytes for each image (digest 32; id, length, file and combination of labels and split
//! 4 each; size and offset 8 each), and 4 more where any image occurs twice. Pages' positions are
//! read, turned into offsets and let go.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use rayon::prelude::*;
use seedpipe_base::Refusal;

use crate::on_disk::apart::{CELL, CellFiles, Cells, KEY, Place, digests, indexed};
use crate::on_disk::distinct::Distinct;
use crate::on_disk::part::{Part, Positions};
use crate::on_disk::parts::PartList;
use crate::on_disk::row::StoredRow;
use crate::schema::column::column;
use crate::schema::failure::{self, Result};
use crate::schema::metadata::Metadata;
use crate::tables::images::ImageRow;

/// The columns that are held in memory.
const HELD: [&str; 8] = [
    "image_id",
    "digest",
    "occurrence",
    "width",
    "height",
    "label",
    "label_name",
    "split",
];

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

/// Where an image's encoded bytes are; without an offset only the Parquet decoder knows.
#[derive(Clone, Copy, Debug)]
struct Position {
    file: u32,
    offset: Option<NonZeroU64>,
    length: u32,
}

/// What few combinations of are shared by many images.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Attributes {
    label: Option<i32>,
    /// Index into the names of labels.
    name: Option<u32>,
    /// Index into the splits.
    split: u32,
}

/// Reads the images of an output: what finds and describes them is in memory, bytes and sources are
/// read on demand.
pub struct ImagesReader {
    parts: PartList,
    /// The parts, then the files of bytes that lie apart.
    files: CellFiles,
    ids: Vec<u32>,
    digests: Vec<[u8; 32]>,
    /// Empty where all are 0.
    occurrences: Vec<u32>,
    sizes: Vec<[u32; 2]>,
    /// Index into `attributes`.
    attributes_of: Vec<u32>,
    attributes: Vec<Attributes>,
    names: Vec<String>,
    splits: Vec<String>,
    files_of: Vec<u32>,
    offsets: Vec<Option<NonZeroU64>>,
    lengths: Vec<u32>,
    classes: BTreeMap<i32, String>,
}

impl ImagesReader {
    /// Opens the parts, given in logical row order. Fails where ids do not ascend, or a label has
    /// two names.
    pub fn open(parts: &[PathBuf]) -> Result<Self> {
        let parts = PartList::open(parts, &[ImageRow::TABLE], Positions::Skip)?;
        let mut files = CellFiles::default();
        for part in parts.iter() {
            files.add(part.path())?;
        }
        let own = files.len() as u32;
        let mut cells = Cells::default();
        for path in parts
            .iter()
            .find_map(Part::apart)
            .map_or(&[][..], |apart| apart.paths())
        {
            files.add(path)?;
            cells.add(path, None)?;
        }
        let positions: Vec<Vec<Position>> = parts
            .iter()
            .enumerate()
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|(file, part)| match part.apart() {
                Some(_) => positions_apart(part, own, &cells),
                None => positions(part, file as u32),
            })
            .collect::<Result<_>>()?;
        drop(cells);
        // The pages were found, so there are this many rows.
        let rows = positions.iter().map(Vec::len).sum();
        let mut files_of = Vec::with_capacity(rows);
        let (mut offsets, mut lengths) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for position in positions.into_iter().flatten() {
            files_of.push(position.file);
            offsets.push(position.offset);
            lengths.push(position.length);
        }
        let mut reader = Self {
            files,
            ids: Vec::with_capacity(rows),
            digests: Vec::with_capacity(rows),
            occurrences: Vec::new(),
            sizes: Vec::with_capacity(rows),
            attributes_of: Vec::with_capacity(rows),
            attributes: Vec::new(),
            names: Vec::new(),
            splits: Vec::new(),
            files_of,
            offsets,
            lengths,
            classes: BTreeMap::new(),
            parts,
        };
        let mut texts = Texts::default();
        for part in 0..reader.parts.iter().count() {
            let part = reader.parts.part(part);
            let path = part.path().to_path_buf();
            let held = HELD.map(|name| part.column(name));
            for batch in part.batches(0..part.rows(), &held)? {
                reader
                    .extend(&batch?, &mut texts)
                    .map_err(|wrong| failure::of(&path, wrong))?;
            }
        }
        reader.names = texts.labels.into_values();
        reader.attributes = texts.attributes.into_values();
        reader.sort_splits(texts.splits.values());
        Ok(reader)
    }

    fn extend(
        &mut self,
        batch: &RecordBatch,
        found: &mut Texts,
    ) -> std::result::Result<(), Refusal> {
        let integers = |name: &str| column::<u32>(batch, name).values();
        let (ids, occurrences) = (integers("image_id"), integers("occurrence"));
        let (widths, heights) = (integers("width"), integers("height"));
        let digests = column::<[u8; 32]>(batch, "digest");
        let labels = column::<Option<i32>>(batch, "label");
        let names = column::<Option<String>>(batch, "label_name");
        let splits = column::<String>(batch, "split");
        for row in 0..batch.num_rows() {
            let id = ids[row];
            if let Some(last) = self.ids.last().filter(|last| **last >= id) {
                let expected = format!("an image_id above {last}");
                return Err(Refusal::expected(expected, id).place("order of rows"));
            }
            let label = labels.is_valid(row).then(|| labels.value(row));
            let name = names.is_valid(row).then(|| names.value(row));
            if let Some(label) = label {
                self.name_class(label, name)?;
            }
            self.ids.push(id);
            let mut digest = [0; 32];
            digest.copy_from_slice(digests.value(row));
            self.digests.push(digest);
            let occurrence = occurrences[row];
            if occurrence > 0 && self.occurrences.is_empty() {
                self.occurrences.reserve_exact(self.lengths.len());
                self.occurrences.resize(self.ids.len() - 1, 0);
            }
            if occurrence > 0 || !self.occurrences.is_empty() {
                self.occurrences.push(occurrence);
            }
            self.sizes.push([widths[row], heights[row]]);
            let attributes = Attributes {
                label,
                name: name.map(|name| found.labels.index(name)),
                split: found.splits.index(splits.value(row)),
            };
            self.attributes_of.push(found.attributes.index(&attributes));
        }
        Ok(())
    }

    fn name_class(&mut self, label: i32, name: Option<&str>) -> std::result::Result<(), Refusal> {
        let number = label.to_string();
        let class = self
            .classes
            .entry(label)
            .or_insert_with(|| name.unwrap_or(&number).to_string());
        match name {
            Some(name) if name != class && *class == number => *class = name.to_string(),
            Some(name) if name != class => {
                let wrong = Refusal::expected(format!("`{class}`"), format!("`{name}`"));
                return Err(wrong.place(format!("name of label {label}")));
            }
            _ => {}
        }
        Ok(())
    }

    fn sort_splits(&mut self, found: &[String]) {
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|left, right| found[*left].cmp(&found[*right]));
        let mut rank = vec![0u32; order.len()];
        for (place, index) in (0..).zip(&order) {
            rank[*index] = place;
        }
        for attributes in &mut self.attributes {
            attributes.split = rank[attributes.split as usize];
        }
        self.splits = order
            .into_iter()
            .map(|index| found[index].clone())
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
        let attributes = self.attributes_of(row);
        Image {
            image_id: self.ids[row],
            digest: &self.digests[row],
            occurrence: self.occurrences.get(row).copied().unwrap_or(0),
            width,
            height,
            label: attributes.label,
            label_name: attributes
                .name
                .map(|name| self.names[name as usize].as_str()),
            split: &self.splits[attributes.split as usize],
            length: self.lengths[row],
        }
    }

    fn attributes_of(&self, row: usize) -> Attributes {
        self.attributes[self.attributes_of[row] as usize]
    }

    pub fn row_of(&self, image_id: u32) -> Option<usize> {
        self.ids.binary_search(&image_id).ok()
    }

    /// Where the image came from. Reads its row group's sources from the disk: for messages and
    /// short lists. Panics where `row` is not below [`Self::rows`].
    pub fn source(&self, row: usize) -> Result<String> {
        let (index, within) = self.parts.locate(row);
        let batch = one_row(self.parts.part(index), within, "source")?;
        Ok(column::<String>(&batch, "source").value(0).to_string())
    }

    /// The encoded bytes, checked against their digest. One read; may be called from any thread.
    /// Panics where `row` is not below [`Self::rows`].
    pub fn bytes(&self, row: usize) -> Result<Vec<u8>> {
        let (file, length) = (self.files_of[row], self.lengths[row]);
        let bytes = match self.offsets[row] {
            Some(offset) => self.files.read(Place {
                file,
                offset,
                length,
            })?,
            None => {
                let (index, within) = self.parts.locate(row);
                column::<Vec<u8>>(&one_row(self.parts.part(index), within, CELL)?, CELL)
                    .value(0)
                    .to_vec()
            }
        };
        if *blake3::hash(&bytes).as_bytes() != self.digests[row] {
            let what = format!("bytes of image {}", self.ids[row]);
            return Err(failure::unexpected(
                self.files.path(file),
                what,
                "those of its digest",
                "others: the file is damaged",
            ));
        }
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
            .filter(|row| self.attributes_of(*row).split as usize == wanted)
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

/// What is told apart while the rows are read.
#[derive(Default)]
struct Texts {
    labels: Distinct<String>,
    splits: Distinct<String>,
    attributes: Distinct<Attributes>,
}

/// Where the images of a part are, by its offset index; by decoding where that does not say it.
fn positions(part: &Part, file: u32) -> Result<Vec<Position>> {
    // The index takes 32 bytes a page, and goes with this reader.
    let part = &Part::open(
        part.path(),
        &[ImageRow::TABLE],
        Positions::Load,
        &Arc::default(),
    )?;
    let cell = part.column(CELL);
    let mut positions = Vec::new();
    for (group, bounds) in part.row_group_starts().windows(2).enumerate() {
        match indexed(part.parquet(), group, cell, bounds[1] - bounds[0]) {
            Some(found) => positions.extend(found.into_iter().map(|(offset, length)| Position {
                file,
                offset: Some(offset),
                length,
            })),
            None => {
                for batch in part.batches(bounds[0]..bounds[1], &[cell])? {
                    let batch = batch?;
                    let lengths = column::<Vec<u8>>(&batch, CELL).offsets().lengths();
                    positions.extend(lengths.map(|length| Position {
                        file,
                        offset: None,
                        length: length as u32,
                    }));
                }
            }
        }
    }
    Ok(positions)
}

/// The same for bytes that lie apart, in the files from number `first` on. An image without any is
/// missed when it is read.
fn positions_apart(part: &Part, first: u32, cells: &Cells) -> Result<Vec<Position>> {
    let mut positions = Vec::new();
    for batch in part.batches(0..part.rows(), &[part.column(KEY)])? {
        let batch = batch?;
        let places = digests(column::<[u8; 32]>(&batch, KEY)).map(|digest| cells.place(&digest));
        positions.extend(places.map(|place| match place {
            Some(place) => Position {
                file: first + place.file,
                offset: Some(place.offset),
                length: place.length,
            },
            None => Position {
                file: 0,
                offset: None,
                length: 0,
            },
        }));
    }
    Ok(positions)
}

/// A row of one column.
fn one_row(part: &Part, row: usize, column: &str) -> Result<RecordBatch> {
    let columns = [part.column(column)];
    let batch = part.batches(row..row + 1, &columns)?.next().transpose()?;
    let batch = batch.filter(|batch| batch.num_rows() == 1);
    batch.ok_or_else(|| failure::unexpected(part.path(), "rows in the pages", "one", "none"))
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
