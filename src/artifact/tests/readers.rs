//! Everything that a file goes through, for the tests of damaged files and for the fuzz target in
//! `fuzz/`.

use std::path::Path;

use seedpipe_artifact::*;

/// Reads everything that a kind's reader offers.
pub fn read_all(kind: &str, path: &Path) -> Result<()> {
    let parts = [path.to_path_buf()];
    match kind {
        IMAGES => {
            let reader = ImagesReader::open(&parts)?;
            for row in 0..reader.rows() {
                reader.bytes(row)?;
                reader.source(row)?;
                reader.image(row);
            }
        }
        VIEWS => {
            let reader = ViewsReader::open(&parts)?;
            reader.image_ids()?;
            for view in 0..reader.views() {
                reader.read(view, 0..reader.viewed())?;
            }
        }
        EMBEDDINGS => {
            let reader = EmbeddingsReader::open(&parts)?;
            reader.read(0..reader.rows())?;
        }
        WEIGHTS => drop(WeightsReader::open(&parts)?.read_all()?),
        PREDICTIONS => drop(PredictionsReader::open(&parts)?.read_all()?),
        METRICS => drop(MetricsReader::open(&parts)?.read_all()?),
        FILES => drop(FilesReader::open(&parts)?.read_all()?),
        REJECTED => drop(RejectedReader::open(&parts)?.read_all()?),
        other => panic!("no reader for {other}"),
    }
    digest(kind, &parts)?;
    headline(kind, &parts, &["loss", "top1"])?;
    compare(kind, &parts, &parts, &Default::default())?;
    preview(&parts, 5)?.text()?;
    Ok(())
}

/// Reads a file as a user's own.
pub fn read_as_source(path: &Path) -> Result<()> {
    let table = SourceTable::open(path, &SourceColumns::default())?;
    for batch in table.batches(0..table.rows())? {
        batch?;
    }
    Ok(())
}
