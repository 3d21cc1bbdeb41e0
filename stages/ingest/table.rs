//! Parquet tables with a column of encoded images, or of their paths.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use seedpipe_artifact::{SourceColumns, SourceLabel, SourceRow, SourceTable};
use seedpipe_base::{Refusal, text};
use seedpipe_engine::walk;
use seedpipe_imaging::Format;

use super::Ingest;
use super::candidates::{Candidates, Class, ImageCandidate, Label};
use super::listing::{Advance, ReadCandidate, Taker, digest_of};
use super::names::{composed, some_of};
use super::splits::{self, Said, Splits};
use super::vocabulary::{ClassName, Declared, agreement, class_names};

/// Rows that are hashed before progress is told.
const ADVANCE: usize = 256;
/// A label that means none, as Hugging Face's `datasets` writes it.
const UNLABELLED: i64 = -1;

pub struct Tables {
    tables: Vec<OpenTable>,
    has_split_column: bool,
    /// The classes that the tables name.
    pub declared: Option<Declared>,
    /// What people should know, found while they were opened.
    remarks: Vec<String>,
}

struct OpenTable {
    /// The file below the source, for people.
    name: String,
    /// The split that the file's name says.
    split: String,
    /// Where paths of images begin; none where the source is this table alone.
    folder: Option<PathBuf>,
    /// Names of the label column's numbers.
    classes: Option<Vec<ClassName>>,
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

    /// The file that a row names instead of holding an image.
    fn file(&self, row: &SourceRow) -> Option<(&Path, PathBuf)> {
        let path = row.path.as_ref().filter(|_| row.bytes.is_none())?;
        let folder = self.folder.as_deref()?;
        Some((
            folder,
            Path::new(from_here(folder, path).as_ref()).to_owned(),
        ))
    }

    /// Takes a row's encoded image, or says what there is instead.
    fn image(&self, row: &mut SourceRow) -> Result<Vec<u8>, &'static str> {
        match (row.bytes.take(), &row.path, &self.folder) {
            (Some(bytes), ..) => Ok(bytes),
            (None, None, _) => Err("an empty row"),
            (None, Some(_), None) => Err(
                "only a path, which is followed where `source` is the folder of the table and the images",
            ),
            (None, Some(path), Some(folder)) => image_beside(folder, path),
        }
    }

    /// What a row says of its image's class.
    fn class(&self, row: SourceRow, tables: &Tables, candidates: &mut Candidates) -> Result<Class> {
        let place = format!("{} row {}", self.name, row.row);
        let refuse = |message: String, hint: &str| {
            Refusal::failure(format!("`{place}`: label {message}")).hint(hint)
        };
        let label = match row.label {
            None | Some(SourceLabel::Class(UNLABELLED)) => None,
            Some(SourceLabel::Class(number)) => {
                let class = i32::try_from(number).ok().filter(|number| *number >= 0);
                let class = class.ok_or_else(|| {
                    refuse(
                        format!(
                            "{number} is no class: expected a number from 0 to {}",
                            i32::MAX
                        ),
                        "leave unlabelled images' labels empty (null), or -1",
                    )
                })?;
                Some(match &self.classes {
                    None => Label::Number(class),
                    Some(classes) => {
                        Label::Name(classes.get(class as usize).cloned().ok_or_else(|| {
                            refuse(
                                format!(
                                    "{class} is none of the {} classes that the file names",
                                    classes.len()
                                ),
                                "write the file again with the names of all classes",
                            )
                        })?)
                    }
                })
            }
            Some(SourceLabel::Name(text)) => {
                let label = candidates.named(&text);
                let name = label.name().map(|(name, _)| name.as_str());
                let declared = tables.declared.as_ref().zip(name);
                if let Some(wrong) = declared.and_then(|(all, name)| all.objection(name)) {
                    bail!(refuse(
                        format!("`{text}` {wrong}"),
                        "write the same names in all tables"
                    ));
                }
                Some(label)
            }
        };
        Ok(Class {
            label,
            name: row.label_name.map(|name| composed(&name)),
        })
    }
}

/// The file that a row's path names below its table's folder, or what there is instead. Only what
/// an image folder would be read from too, so that the source's digest covers it.
fn image_beside(folder: &Path, path: &str) -> Result<Vec<u8>, &'static str> {
    let path = from_here(folder, path);
    let relative = Path::new(path.as_ref());
    let is_inside = relative.components().all(|part| match part {
        Component::CurDir => true,
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    });
    if !is_inside {
        return Err("a path that leads out of the table's folder, or to what is hidden there");
    }
    if !Format::is_ending_of(relative) {
        return Err("a path that ends as no image's does");
    }
    match walk::read(&folder.join(relative)) {
        Ok(read) => read.map_err(|fault| match fault {
            walk::DEAD => "a path to nothing, seen from the table's folder",
            fault => fault,
        }),
        Err(_) => Err("a path to a file that can't be read"),
    }
}

/// A path with `\\` as it is written on Windows, as one from here.
fn from_here<'path>(folder: &Path, path: &'path str) -> Cow<'path, str> {
    match path.contains('\\') && !folder.join(path).exists() {
        true => Cow::Owned(path.replace('\\', "/")),
        false => Cow::Borrowed(path),
    }
}

impl Tables {
    /// Opens the tables of a source.
    pub fn open(ingest: &Ingest, source: &Path, files: &[PathBuf]) -> Result<Tables> {
        let columns = SourceColumns {
            image: ingest.image_column.clone(),
            label: ingest.label_column.clone(),
            label_name: ingest.label_name_column.clone(),
            split: ingest.split_column.clone(),
        };
        let is_alone = source.is_file();
        let below: Vec<&Path> = files
            .iter()
            .map(|file| {
                let below = file.strip_prefix(source).ok();
                let below = below.filter(|_| !is_alone);
                below.or(file.file_name().map(Path::new))
            })
            .collect::<Option<_>>()
            .context("BUG: a file without a name")?;
        let (splits, mut remarks) = match (&ingest.split_column, ingest.splits) {
            (None, None | Some(Splits::Folders)) => splits_of(&below),
            _ => (vec!["train".to_owned(); files.len()], Vec::new()),
        };
        let tables = files
            .iter()
            .zip(below)
            .zip(splits)
            .map(|((file, below), split)| {
                let table = SourceTable::open(file, &columns)?;
                Ok(OpenTable {
                    name: text::of_name(below.as_os_str()),
                    split,
                    folder: file.parent().filter(|_| !is_alone).map(Path::to_owned),
                    classes: table.class_names().map(class_names),
                    table,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let lists = tables
            .iter()
            .filter_map(|table| Some((table.name.as_str(), table.classes.as_deref()?)));
        let (declared, remark) = Declared::join(lists)?;
        remarks.extend(remark);
        Ok(Tables {
            tables,
            has_split_column: ingest.split_column.is_some(),
            declared,
            remarks,
        })
    }

    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.table.rows()).sum()
    }

    /// Each table's split and rows, where no column says the splits.
    pub fn rows_by_split(&self) -> impl Iterator<Item = (&str, usize)> {
        let tables = self.tables.iter();
        tables.map(|table| (table.split.as_str(), table.table.rows()))
    }

    /// For people: where a candidate is.
    pub fn source_of(&self, candidate: &ImageCandidate) -> String {
        let (table, row) = candidate.place();
        format!("{} row {row}", self.tables[table].name)
    }

    /// The columns of the first that are not read.
    pub fn unread_columns(&self) -> String {
        let table = self.tables.first();
        table.map_or_else(String::new, |table| table.table.unread_columns())
    }

    pub fn candidates(&self, advance: Advance) -> Result<Candidates> {
        let mut candidates = Candidates::default();
        for name in self.declared.iter().flat_map(Declared::names) {
            candidates.class_names.key(name);
        }
        for (index, table) in self.tables.iter().enumerate() {
            for batch in table.table.batches(0..table.table.rows())? {
                let mut batch = batch?;
                while !batch.is_empty() {
                    let rest = batch.split_off(batch.len().min(ADVANCE));
                    let count = batch.len() as u64;
                    let hashed: Vec<(SourceRow, [u8; 32])> = batch
                        .into_par_iter()
                        .map(|mut row| {
                            let digest = digest_of(&table.image(&mut row));
                            (row, digest)
                        })
                        .collect();
                    advance(count)?;
                    for (row, digest) in hashed {
                        self.push(&mut candidates, (index, table), row, digest)?;
                    }
                    batch = rest;
                }
            }
        }
        candidates.remarks.extend(self.remarks.iter().cloned());
        let agreed = agreement(&candidates, &|candidate| self.source_of(candidate))?;
        candidates.remarks.extend(agreed);
        Ok(candidates)
    }

    fn push(
        &self,
        candidates: &mut Candidates,
        (index, table): (usize, &OpenTable),
        mut row: SourceRow,
        digest: [u8; 32],
    ) -> Result<()> {
        let place = (index, row.row);
        let split = match row.split.take() {
            Some(split) => splits::named(&split).to_owned(),
            None if self.has_split_column => bail!(
                Refusal::failure(format!(
                    "`{}`: the split column is empty",
                    table.source(&row)
                ))
                .hint("fill it, or leave `split_column` out")
            ),
            None => table.split.clone(),
        };
        let class = table.class(row, self, candidates)?;
        candidates.push(place, digest, &class, &split)
    }

    pub fn chunks(&self, candidates: &[ImageCandidate], size: usize, take: Taker) -> Result<()> {
        let mut chunk = Vec::with_capacity(size);
        let mut hand_on = |chunk: Vec<(&_, &OpenTable, SourceRow)>| {
            let read = chunk
                .into_par_iter()
                .map(|(candidate, table, mut row)| ReadCandidate {
                    candidate,
                    source: table.source(&row),
                    file: table.file(&row),
                    bytes: table.image(&mut row),
                });
            take(read.collect())
        };
        let mut rest = candidates.iter().peekable();
        for (index, table) in self.tables.iter().enumerate() {
            for batch in table.table.batches(0..table.table.rows())? {
                for row in batch? {
                    let wanted =
                        |candidate: &&ImageCandidate| candidate.place() == (index, row.row);
                    if let Some(candidate) = rest.next_if(wanted) {
                        chunk.push((candidate, table, row));
                        if chunk.len() == size {
                            hand_on(std::mem::take(&mut chunk))?;
                        }
                    }
                }
            }
        }
        if !chunk.is_empty() {
            hand_on(chunk)?;
        }
        if let Some(candidate) = rest.next() {
            bail!(
                Refusal::failure(format!(
                    "`{}` was gone when it was read again",
                    self.source_of(candidate)
                ))
                .hint("run again when nothing writes to the source")
            );
        }
        Ok(())
    }
}

/// The split of each table, by its path below the source, and what people should know of that.
fn splits_of(files: &[&Path]) -> (Vec<String>, Vec<String>) {
    let said: Vec<Said> = files.iter().map(|file| splits::of_table(file)).collect();
    let any = said
        .iter()
        .any(|said| matches!(said, Said::Split(_) | Said::Several(_)));
    let (mut several, mut without) = (Vec::new(), Vec::new());
    let splits = said.iter().zip(files).map(|(said, file)| match *said {
        Said::Split(split) => split,
        Said::Several(split) => {
            several.push(format!(
                "`{}` as `{split}`",
                text::of_name(file.as_os_str())
            ));
            split
        }
        Said::Name(name) if any => name,
        Said::Nothing if any => {
            without.push(format!("`{}`", text::of_name(file.as_os_str())));
            "train"
        }
        Said::Name(_) | Said::Nothing => "train",
    });
    let splits = splits.map(str::to_owned).collect();
    let mut remarks = Vec::new();
    for (files, what) in [
        (
            several,
            "names with words for several splits are taken by the first",
        ),
        (
            without,
            "names without a word for a split, beside others with one, are taken as `train`",
        ),
    ] {
        if !files.is_empty() {
            remarks.push(format!(
                "{what}: {}\nhint: begin each name with its split's, or name a `split_column`",
                some_of(&files)
            ));
        }
    }
    (splits, remarks)
}
