//! The artifacts' columns, from the schemas that every file is held against.

use seedpipe_artifact::{ARTIFACT_DESCRIPTIONS, described_columns};

use super::markdown::{code, heading, paragraph, plain, table};

pub fn page() -> String {
    let mut text = heading(1, "Artifacts");
    text += &paragraph(
        "What an output is on disk: Parquet files of one schema, the parts, in the order of their rows. Names, types and nullability are a \
         kind's identity, and a file that differs is refused. `?` marks a column that may be null; `f16[D]` is a list of fixed length. \
         The key `seedpipe` of a file's footer holds the kind and the declared metadata as JSON. `seedpipe show STAGE` prints all of it, \
         and any Parquet reader reads the files under `.seedpipe/`.",
    );
    for (kind, told) in ARTIFACT_DESCRIPTIONS {
        text += &heading(2, kind);
        text += &paragraph(&plain(told));
        let rows: Vec<Vec<String>> = described_columns(kind)
            .into_iter()
            .map(|column| {
                vec![
                    code(&column.name),
                    code(&column.type_name),
                    plain(column.meaning),
                ]
            })
            .collect();
        text += &table(&["column", "type", "meaning"], &rows);
    }
    text
}
