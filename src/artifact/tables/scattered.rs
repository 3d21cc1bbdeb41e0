//! Single vectors out of all of an output's rows, as a shuffled training asks for them: read where
//! they lie in the file, nothing kept in memory but where each page's values begin.

use std::ops::Range;

use crate::on_disk::file::PositionedFile;
use crate::schema::failure::{self, Result};
use crate::tables::embeddings::{EmbeddingsReader, vectors, widen};

/// Where the vectors of a range of rows lie.
pub struct Places {
    rows: Range<usize>,
    /// In the order of their rows.
    pages: Vec<PagePlace>,
}

/// A page of vectors.
struct PagePlace {
    /// Over all parts.
    first: usize,
    part: usize,
    /// Where its values begin in the part's file; `None` where they are not plain, and the Parquet
    /// decoder has to read them.
    values: Option<u64>,
}

impl Places {
    fn of(&self, row: usize) -> &PagePlace {
        &self.pages[self.pages.partition_point(|page| page.first <= row) - 1]
    }
}

impl EmbeddingsReader {
    /// Looks where the vectors of a range of rows lie. Reads them all, in order, which also brings
    /// them into the system's cache.
    pub fn locate(&self, rows: Range<usize>) -> Result<Places> {
        let mut pages = Vec::new();
        for (part, within) in self.parts.spans(rows.clone())? {
            let begin = self.parts.start(part);
            vectors(self.parts.part(part), &self.header).locate(within, |page, values| {
                pages.push(PagePlace {
                    first: begin + page.start,
                    part,
                    values,
                });
            })?;
        }
        Ok(Places { rows, pages })
    }

    /// Reads single rows in any order, each as often as it is asked for. Fails for a row that is
    /// not in `places`.
    ///
    /// # Shapes
    /// - returns `[rows, D]`, row-major; f16 is widened exactly
    pub fn gather(&self, places: &Places, rows: &[usize]) -> Result<Vec<f32>> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_unstable_by_key(|index| rows[*index]);
        let (dimension, precision) = (self.header.dimension, self.header.precision);
        let bytes = dimension * precision.width();
        let mut gathered = vec![0f32; rows.len() * dimension];
        let (mut buffer, mut vector) = (Vec::new(), Vec::new());
        let mut open: Option<(usize, PositionedFile)> = None;
        for index in order {
            let row = rows[index];
            if !places.rows.contains(&row) {
                let path = self.parts.first().path();
                let expected = format!("one of {}..{}", places.rows.start, places.rows.end);
                return Err(failure::unexpected(path, "row", expected, row));
            }
            let place = places.of(row);
            vector.clear();
            match place.values {
                Some(values) => {
                    let path = self.parts.part(place.part).path();
                    let file = match &mut open {
                        Some((part, file)) if *part == place.part => file,
                        slot => &slot.insert((place.part, PositionedFile::open(path)?)).1,
                    };
                    let start = values + ((row - place.first) * bytes) as u64;
                    file.read_into(start, bytes, &mut buffer)
                        .map_err(|error| failure::io(path, "cannot read", error))?;
                    widen(&buffer, precision, &mut vector);
                }
                None => vector = self.read(row..row + 1)?.values,
            }
            self.header
                .check(&[row as u64], &vector)
                .map_err(|wrong| failure::of(self.parts.part(place.part).path(), wrong))?;
            gathered[index * dimension..][..dimension].copy_from_slice(&vector);
        }
        Ok(gathered)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::tables::embeddings::EmbeddingsWriter;
    use crate::tables::embeddings::header::{EmbeddingsHeader, Of, Precision};

    fn written(
        folder: &std::path::Path,
        precision: Precision,
        lengths: &[usize],
    ) -> EmbeddingsReader {
        let header = EmbeddingsHeader {
            of: Of::Views,
            precision,
            dimension: 7,
            normalised: false,
            network: String::new(),
            extra: BTreeMap::new(),
        };
        let mut first = 0u64;
        let parts: Vec<PathBuf> = lengths
            .iter()
            .enumerate()
            .map(|(part, length)| {
                let path = folder.join(format!("part-{part}"));
                let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
                let ids: Vec<u64> = (first..first + *length as u64).collect();
                let values: Vec<f32> = (0..7 * length)
                    .map(|value| (first as usize * 7 + value) as f32 % 2048.0)
                    .collect();
                writer.write(&ids, &values).unwrap();
                writer.finish().unwrap();
                first += *length as u64;
                path
            })
            .collect();
        EmbeddingsReader::open(&parts).unwrap()
    }

    #[test]
    fn gathered_rows_are_those_that_reading_in_order_gives() {
        for precision in [Precision::F16, Precision::F32] {
            let folder = tempfile::tempdir().unwrap();
            // Several row groups and pages in a part, and a part of few rows.
            let reader = written(folder.path(), precision, &[150_000, 3, 90_000]);
            let all = reader.read(0..reader.rows()).unwrap().values;
            let places = reader.locate(5..reader.rows()).unwrap();
            assert!(places.pages.len() > 3, "{} pages", places.pages.len());
            assert!(places.pages.iter().all(|page| page.values.is_some()));
            let rows = [
                239_999usize,
                5,
                149_999,
                150_000,
                150_002,
                150_003,
                5,
                77_777,
                200_000,
                65_536,
                74_899,
            ];
            let gathered = reader.gather(&places, &rows).unwrap();
            for (row, vector) in rows.iter().zip(gathered.chunks(7)) {
                assert_eq!(vector, &all[row * 7..][..7], "row {row}");
            }
        }
    }

    #[test]
    fn a_page_that_is_not_plain_is_left_to_the_decoder() {
        let folder = tempfile::tempdir().unwrap();
        let reader = written(folder.path(), Precision::F16, &[1000]);
        let mut places = reader.locate(0..1000).unwrap();
        let rows = [999usize, 0, 500];
        let direct = reader.gather(&places, &rows).unwrap();
        places.pages.iter_mut().for_each(|page| page.values = None);
        assert_eq!(reader.gather(&places, &rows).unwrap(), direct);
    }

    #[test]
    fn a_row_beyond_the_places_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let reader = written(folder.path(), Precision::F16, &[100]);
        let places = reader.locate(10..50).unwrap();
        for row in [9, 50, usize::MAX] {
            let error = reader.gather(&places, &[20, row]).unwrap_err();
            assert!(error.to_string().contains("one of 10..50"), "{error}");
        }
        assert!(reader.locate(0..101).is_err());
    }
}
