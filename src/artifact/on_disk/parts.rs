//! The parts of one output as one run of rows: they must agree in kind, schema and metadata.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::on_disk::apart::{Apart, is_apart};
use crate::on_disk::part::{Part, Positions};
use crate::schema::failure::{self, Result};
use crate::schema::metadata::Metadata;
use crate::schema::table::Table;

pub(crate) struct PartList {
    parts: Vec<Part>,
    /// First row of each part, and the number of rows at the end.
    starts: Vec<usize>,
}

impl PartList {
    /// Opens `paths`, which are in logical row order, with the files of cells that lie apart among
    /// them. No part at all is an error: nothing would say what the output is.
    pub fn open(paths: &[PathBuf], kinds: &[&'static Table], positions: Positions) -> Result<Self> {
        let (apart, paths): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.iter().cloned().partition(|path| is_apart(path));
        let apart = Arc::new(Apart::new(apart));
        let parts: Vec<Part> = paths
            .par_iter()
            .map(|path| Part::open(path, kinds, positions, &apart))
            .collect::<Result<_>>()?;
        let Some(first) = parts.first() else {
            return Err(failure::unexpected(
                Path::new(""),
                "parts of an output",
                "at least one",
                "none",
            ));
        };
        for part in &parts[1..] {
            if part.kind() != first.kind() || part.metadata() != first.metadata() {
                return Err(failure::unexpected(
                    part.path(),
                    "kind and metadata",
                    format!("those of the first part, `{}`", first.path().display()),
                    "others",
                ));
            }
        }
        let mut starts = vec![0usize];
        for part in &parts {
            let end = starts[starts.len() - 1].checked_add(part.rows());
            starts.push(end.ok_or_else(|| {
                failure::unexpected(part.path(), "rows", "a number of rows", part.rows())
            })?);
        }
        Ok(Self { parts, starts })
    }

    pub fn first(&self) -> &Part {
        &self.parts[0]
    }

    pub fn metadata(&self) -> &Metadata {
        self.first().metadata()
    }

    pub fn rows(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    pub fn part(&self, index: usize) -> &Part {
        &self.parts[index]
    }

    /// First row of a part.
    pub fn start(&self, index: usize) -> usize {
        self.starts[index]
    }

    /// The part that holds `row`, and the row's number within it.
    pub fn locate(&self, row: usize) -> (usize, usize) {
        let part = self.starts.partition_point(|start| *start <= row) - 1;
        (part, row - self.starts[part])
    }

    /// `rows` cut at the parts' borders: the part's index and the rows within it, in order.
    pub fn spans(&self, rows: Range<usize>) -> Result<Vec<(usize, Range<usize>)>> {
        if rows.start > rows.end || rows.end > self.rows() {
            return Err(failure::unexpected(
                self.first().path(),
                "rows asked for",
                format!("a range within 0..{}", self.rows()),
                format!("{}..{}", rows.start, rows.end),
            ));
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.locate(rows.start).0;
        let last = self.starts.partition_point(|start| *start < rows.end);
        Ok((first..last)
            .map(|part| {
                let begin = self.starts[part];
                let within =
                    rows.start.max(begin) - begin..rows.end.min(self.starts[part + 1]) - begin;
                (part, within)
            })
            .filter(|(_, within)| !within.is_empty())
            .collect())
    }
}
