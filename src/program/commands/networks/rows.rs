//! Where `embed` and `predict` put their rows: JSON lines on stdout, or a file whose name says its
//! form, which is there when it is whole.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use seedpipe_artifact::{Metadata, SeenRow, SeenWriter};
use seedpipe_base::{Refusal, neutral};
use seedpipe_engine::{durable, unique_name};
use serde_json::{Value, json};

use crate::terminal::{figures, output};

/// A file under another name until it is whole; removed when it never is.
pub struct PartialFile {
    draft: PathBuf,
    path: PathBuf,
}

impl PartialFile {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self {
            draft: path.with_file_name(format!(".{name}.{}.part", unique_name())),
            path: path.to_owned(),
        }
    }

    fn keep(self) -> Result<()> {
        Ok(fs_err::rename(&self.draft, &self.path)?)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if self.draft.exists() {
            let _ = fs_err::remove_file(&self.draft); // what went wrong is told already
        }
    }
}

/// Where the rows go.
pub enum RowSink {
    /// JSON on stdout.
    Lines,
    File {
        writer: RowWriter,
        draft: PartialFile,
        is_empty: bool,
    },
}

/// The form of a file.
pub enum RowWriter {
    Json(BufWriter<fs_err::File>),
    Cells(BufWriter<fs_err::File>, Separator),
    Parquet(Box<SeenWriter>),
}

/// Between the cells of a line.
#[derive(Clone, Copy)]
pub enum Separator {
    Comma,
    Tab,
}

const ENDINGS: &str = ".parquet, .csv, .tsv or .jsonl";

impl RowSink {
    /// - `path`: stdout without one, or where it is `-`
    pub fn create(path: Option<&Path>, metadata: &Metadata) -> Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(RowSink::Lines);
        };
        let place = || format!("--output {}", neutral::line(&path.display().to_string()));
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let ending = ending.to_ascii_lowercase();
        if !["parquet", "csv", "tsv", "jsonl", "json"].contains(&ending.as_str()) {
            let got = format!("expected a name that ends in {ENDINGS}");
            let hint = "leave it out for JSON lines on stdout";
            return Err(Refusal::new(got).place(place()).hint(hint).into());
        }
        // Told before the work is done, not after it.
        if path.is_dir() {
            let got = "expected the name of a file, got a folder";
            return Err(Refusal::new(got).place(place()).into());
        }
        if !durable::folder_of(path).is_dir() {
            let got = "expected a name in a folder that is there, got none";
            let hint = format!("make `{}` first", durable::folder_of(path).display());
            return Err(Refusal::new(got).place(place()).hint(hint).into());
        }
        let draft = PartialFile::of(path);
        let file = || fs_err::File::create(&draft.draft).map(BufWriter::new);
        let writer = match ending.as_str() {
            "parquet" => RowWriter::Parquet(Box::new(SeenWriter::create(&draft.draft, metadata))),
            "csv" => RowWriter::Cells(file()?, Separator::Comma),
            "tsv" => RowWriter::Cells(file()?, Separator::Tab),
            _ => RowWriter::Json(file()?),
        };
        Ok(RowSink::File {
            writer,
            draft,
            is_empty: true,
        })
    }

    pub fn write(&mut self, row: SeenRow) -> Result<()> {
        let RowSink::File {
            writer, is_empty, ..
        } = self
        else {
            return output::print_json_text(&line(&row).to_string());
        };
        match writer {
            RowWriter::Json(writer) => writeln!(writer, "{}", line(&row))?,
            RowWriter::Cells(writer, separator) => {
                if *is_empty {
                    separator.write(writer, headings(&row))?;
                }
                separator.write(writer, cells(&row))?;
            }
            RowWriter::Parquet(writer) => writer.write(row)?,
        }
        *is_empty = false;
        Ok(())
    }

    pub fn finish(self) -> Result<()> {
        let RowSink::File {
            writer,
            draft,
            is_empty,
        } = self
        else {
            return Ok(());
        };
        if is_empty {
            bail!(
                "no image could be read, so `{}` was not written",
                figures::path(&draft.path)
            );
        }
        match writer {
            RowWriter::Json(mut writer) | RowWriter::Cells(mut writer, _) => {
                writer.flush()?;
                writer.get_ref().sync_all()?;
            }
            RowWriter::Parquet(writer) => {
                writer.finish()?;
            }
        }
        draft.keep()
    }
}

impl Separator {
    fn write(self, writer: &mut impl Write, cells: Vec<String>) -> Result<()> {
        let cells = cells.iter().map(|cell| match self {
            Separator::Comma => neutral::csv(cell),
            Separator::Tab => neutral::tsv(cell),
        });
        let cells: Vec<String> = cells.collect();
        let between = match self {
            Separator::Comma => ",",
            Separator::Tab => "\t",
        };
        Ok(writeln!(writer, "{}", cells.join(between))?)
    }
}

/// What the cells of a row are: of predictions the best class, then `class_2` and so on.
fn headings(row: &SeenRow) -> Vec<String> {
    let mut headings = vec!["image".to_owned()];
    match row {
        SeenRow::Embedding { embedding, .. } => {
            headings.extend((0..embedding.len()).map(|number| format!("embedding_{number}")));
        }
        SeenRow::Prediction { numbers, names, .. } => {
            let what: &[&str] = match names {
                Some(_) => &["class", "name", "probability"],
                None => &["output", "probability"],
            };
            for place in 1..=numbers.len() {
                headings.extend(what.iter().map(|what| match place {
                    1 => (*what).to_owned(),
                    _ => format!("{what}_{place}"),
                }));
            }
        }
    }
    headings
}

fn cells(row: &SeenRow) -> Vec<String> {
    match row {
        SeenRow::Embedding { image, embedding } => {
            let values = embedding.iter().map(f32::to_string);
            [image.clone()].into_iter().chain(values).collect()
        }
        SeenRow::Prediction {
            image,
            numbers,
            names,
            probabilities,
        } => {
            let mut cells = vec![image.clone()];
            for (place, (number, probability)) in numbers.iter().zip(probabilities).enumerate() {
                cells.push(number.to_string());
                cells.extend(names.iter().map(|names| names[place].clone()));
                cells.push(probability.to_string());
            }
            cells
        }
    }
}

fn line(row: &SeenRow) -> Value {
    match row {
        SeenRow::Embedding { image, embedding } => json!({"image": image, "embedding": embedding}),
        SeenRow::Prediction {
            image,
            numbers,
            names,
            probabilities,
        } => {
            let best = numbers.iter().zip(probabilities).enumerate();
            let best = best.map(|(place, (number, probability))| match names {
                Some(names) => {
                    json!({"class": number, "name": names[place], "probability": probability})
                }
                None => json!({"output": number, "probability": probability}),
            });
            json!({"image": image, "best": best.collect::<Vec<_>>()})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(image: &str) -> SeenRow {
        SeenRow::Prediction {
            image: image.to_owned(),
            numbers: vec![7, 3],
            names: Some(vec!["a, b".to_owned(), "=c\t\"d\"".to_owned()]),
            probabilities: vec![0.75, 0.25],
        }
    }

    fn written(name: &str, rows: Vec<SeenRow>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut sink = RowSink::create(Some(&path), &Metadata::new()).unwrap();
        for row in rows {
            sink.write(row).unwrap();
            assert!(!path.exists(), "half a file is there");
        }
        sink.finish().unwrap();
        let entries = fs_err::read_dir(folder.path()).unwrap().count();
        assert_eq!(entries, 1, "a draft is left");
        fs_err::read_to_string(&path).unwrap()
    }

    #[test]
    fn the_name_says_the_form() {
        let rows = || vec![prediction("x.png"), prediction("y.png")];
        assert_eq!(
            written("p.CSV", rows()),
            "image,class,name,probability,class_2,name_2,probability_2\n\
             x.png,7,\"a, b\",0.75,3,\"'=c\\t\"\"d\"\"\",0.25\n\
             y.png,7,\"a, b\",0.75,3,\"'=c\\t\"\"d\"\"\",0.25\n"
        );
        assert_eq!(
            written("p.tsv", rows()).lines().nth(1).unwrap(),
            "x.png\t7\ta, b\t0.75\t3\t\"'=c\\t\"\"d\"\"\"\t0.25"
        );
        assert_eq!(written("p.jsonl", rows()).lines().count(), 2);
        let embedding = SeenRow::Embedding {
            image: "x.png".to_owned(),
            embedding: vec![0.5, -1.0],
        };
        assert_eq!(
            written("e.csv", vec![embedding]),
            "image,embedding_0,embedding_1\nx.png,0.5,-1\n"
        );
    }

    #[test]
    fn what_can_not_be_written_is_refused_before_the_work_and_nothing_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |name: &str| {
            let path = folder.path().join(name);
            let refused = RowSink::create(Some(&path), &Metadata::new()).err();
            refused.map(|error| error.to_string())
        };
        assert!(refused("x.txt").unwrap().contains(ENDINGS));
        assert!(
            refused("missing/x.csv")
                .unwrap()
                .contains("a folder that is there")
        );
        fs_err::create_dir(folder.path().join("x.csv")).unwrap();
        assert!(refused("x.csv").unwrap().contains("got a folder"));
        for name in ["e.csv", "e.parquet", "e.jsonl"] {
            let path = folder.path().join(name);
            let sink = RowSink::create(Some(&path), &Metadata::new()).unwrap();
            assert!(sink.finish().is_err());
        }
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
        let stdout = RowSink::create(Some(Path::new("-")), &Metadata::new());
        assert!(matches!(stdout.unwrap(), RowSink::Lines));
    }
}
