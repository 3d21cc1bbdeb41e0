//! Parquet tables with a column of encoded images.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use seedpipe_artifact::{SourceColumns, SourceLabel, SourceRow, SourceTable};
use seedpipe_base::Refusal;
use seedpipe_engine::walk;

use super::Ingest;
use super::candidates::{Candidates, Class, ImageCandidate};
use super::listing::{Advance, ReadCandidate, Taker};

/// Rows that are hashed before progress is told.
const ADVANCE: usize = 256;

pub struct Tables {
    tables: Vec<OpenTable>,
    has_split_column: bool,
}

struct OpenTable {
    /// The file's name, for people.
    name: String,
    /// The split that the file's name says.
    split: String,
    table: SourceTable,
}

impl OpenTable {
    /// For people: where a row is.
    fn source(&self, row: &SourceRow) -> String {
        match &row.path {
            Some(path) => format!("{} row {} ({path})", self.name, row.row),
            None => format!("{} row {}", self.name, row.row),
        }
    }
}

impl Tables {
    pub fn open(ingest: &Ingest, files: Vec<PathBuf>) -> Result<Tables> {
        let columns = SourceColumns {
            image: ingest.image_column.clone(),
            label: ingest.label_column.clone(),
            label_name: ingest.label_name_column.clone(),
            split: ingest.split_column.clone(),
        };
        let tables = files
            .into_iter()
            .map(|file| {
                let name = file
                    .file_name()
                    .context("BUG: a file without a name")?
                    .to_string_lossy()
                    .into_owned();
                let table = SourceTable::open(&file, &columns)?;
                Ok(OpenTable {
                    split: split_of_name(&name).to_owned(),
                    name,
                    table,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Tables {
            tables,
            has_split_column: ingest.split_column.is_some(),
        })
    }

    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.table.rows()).sum()
    }

    /// For people: where a candidate is.
    pub fn source(&self, candidate: &ImageCandidate) -> String {
        let (index, row) = candidate.place();
        format!("{} row {row}", self.tables[index].name)
    }

    pub fn class_names(&self) -> Option<Vec<String>> {
        self.tables
            .first()?
            .table
            .class_names()
            .map(<[String]>::to_vec)
    }

    pub fn candidates(&self, advance: Advance) -> Result<Candidates> {
        let mut candidates = Candidates::default();
        for (index, table) in self.tables.iter().enumerate() {
            for batch in table.table.batches(0..table.table.rows())? {
                for rows in batch?.chunks(ADVANCE) {
                    for row in rows {
                        self.push(&mut candidates, (index, table), row)?;
                    }
                    advance(rows.len() as u64)?;
                }
            }
        }
        Ok(candidates)
    }

    fn push(
        &self,
        candidates: &mut Candidates,
        (index, table): (usize, &OpenTable),
        row: &SourceRow,
    ) -> Result<()> {
        let source = || table.source(row);
        let (label, named) = match &row.label {
            None => (None, false),
            Some(SourceLabel::Class(number)) => {
                let number = i32::try_from(*number)
                    .ok()
                    .filter(|number| *number >= 0)
                    .ok_or_else(|| {
                        Refusal::failure(format!(
                            "`{}`: label {number} is no class: expected a number from 0 to {}",
                            source(),
                            i32::MAX
                        ))
                        .hint("leave unlabelled images' labels empty (null)")
                    })?;
                (Some(number.to_string()), false)
            }
            Some(SourceLabel::Name(name)) => (Some(name.clone()), true),
        };
        let declared = || {
            table
                .table
                .class_names()
                .and_then(|names| names.get(label.as_ref()?.parse::<usize>().ok()?).cloned())
        };
        let label_name = row
            .label_name
            .clone()
            .or_else(|| if named { label.clone() } else { declared() });
        let split = match (&row.split, self.has_split_column) {
            (Some(split), _) => split,
            (None, true) => bail!(
                Refusal::failure(format!("`{}`: the split column is empty", source()))
                    .hint("fill it, or leave `split_column` out")
            ),
            (None, false) => &table.split,
        };
        let digest = *blake3::hash(row.bytes.as_deref().unwrap_or_default()).as_bytes();
        let class = Class {
            label,
            named,
            label_name,
        };
        candidates.push((index, row.row), digest, &class, split)
    }

    pub fn chunks(&self, candidates: &[ImageCandidate], size: usize, take: Taker) -> Result<()> {
        let mut chunk = Vec::with_capacity(size);
        let mut rest = candidates.iter().peekable();
        for (index, table) in self.tables.iter().enumerate() {
            for batch in table.table.batches(0..table.table.rows())? {
                for row in batch? {
                    if rest
                        .next_if(|candidate| candidate.place() == (index, row.row))
                        .is_some_and(|candidate| {
                            chunk.push(ReadCandidate {
                                candidate,
                                source: table.source(&row),
                                bytes: Ok(row.bytes.unwrap_or_default()),
                            });
                            chunk.len() == size
                        })
                    {
                        take(std::mem::take(&mut chunk))?;
                    }
                }
            }
        }
        if !chunk.is_empty() {
            take(chunk)?;
        }
        if let Some(candidate) = rest.next() {
            bail!(
                Refusal::failure(format!(
                    "`{}` was gone when it was read again",
                    self.source(candidate)
                ))
                .hint("run again when nothing writes to the source")
            );
        }
        Ok(())
    }
}

/// Whether a file's name says that it is a table.
pub fn is_table(file: &Path) -> bool {
    let ending = file.extension().unwrap_or_default();
    ["parquet", "pq"]
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

/// The tables at a path: itself, or those in the folder; none when it isn't Parquet.
pub(super) fn parquet_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(Vec::from_iter(is_table(path).then(|| path.to_owned())));
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(path)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(walk::is_hidden);
        if is_table(&path) && !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `test-00000-of-00002.parquet` holds the split `test`.
fn split_of_name(name: &str) -> &'static str {
    let stem = name
        .split(['-', '.', '_'])
        .next()
        .unwrap_or_default()
        .to_lowercase();
    match stem.as_str() {
        "test" => "test",
        "val" | "valid" | "validation" => "val",
        _ => "train",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_its_split() {
        assert_eq!(split_of_name("test-00000-of-00002.parquet"), "test");
        assert_eq!(split_of_name("validation.parquet"), "val");
        assert_eq!(split_of_name("digits.parquet"), "train");
    }
}
