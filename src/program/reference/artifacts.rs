//! The artifacts' columns, from the schemas that every file is held against.

use seedpipe_artifact::described;

use super::markdown::{code, heading, paragraph, plain, table};

pub fn page() -> String {
    let mut text = heading(1, "Artifacts");
    text += &paragraph(
        "What an output is on disk: Parquet files of one schema, the parts, in the order of their rows. Names, types and nullability are a \
         kind's identity, and a file that differs is refused. `?` marks a column that may be null; `f16[D]` is a list of fixed length. \
         The key `seedpipe` of a file's footer holds the kind and the declared metadata as JSON. `seedpipe show STAGE` prints all of it, \
         and any Parquet reader reads the files under `.seedpipe/`.",
    );
    for kind in described() {
        text += &heading(2, kind.kind);
        text += &paragraph(&plain(&kind.holds));
        let rows: Vec<Vec<String>> = kind
            .columns
            .iter()
            .map(|column| {
                vec![
                    code(&column.name),
                    code(&column.type_name),
                    plain(&column.meaning),
                ]
            })
            .collect();
        text += &table(&["column", "type", "meaning"], &rows);
    }
    text
}
