//! Folders in which the commands of a page begin. Each page says in words what its reader has;
//! these are the same, made by the test.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use seedpipe_artifact::{SourceColumns, SourceLabel, SourceTable, guessed_columns};

use crate::book::session::Session;
use crate::sandbox::{REPOSITORY, Sandbox};

const FIRST_RUN: &str = "seedpipe run --quiet
git init --quiet
printf '.seedpipe/\\n*.html\\n' > .gitignore
git add .
git commit --quiet -m first";
/// Digits of each class.
const DIGITS: usize = 40;

/// Makes the folders; what takes long is made once.
#[derive(Default)]
pub struct Starts {
    finished: OnceLock<Result<Sandbox, String>>,
}

impl Starts {
    /// A folder for a page.
    ///
    /// # Errors
    /// When no start has the name, or it could not be made.
    pub fn folder(&self, name: Option<&str>) -> Result<Sandbox, String> {
        match name {
            None => Ok(Sandbox::empty()),
            Some("photos") => Ok(photos()),
            Some("project") => project(),
            Some("finished") => self.copy_of_finished(),
            Some("clone") => Ok(clone()),
            Some(other) => Err(format!(
                "expected `photos`, `project`, `finished` or `clone` as the start, got `{other}`"
            )),
        }
    }

    /// `project` after its first run, committed.
    fn copy_of_finished(&self) -> Result<Sandbox, String> {
        let finished = self.finished.get_or_init(|| {
            let sandbox = project()?;
            prepare(&sandbox, FIRST_RUN)?;
            Ok(sandbox)
        });
        let finished = finished.as_ref().map_err(String::clone)?;
        let sandbox = Sandbox::empty();
        let status = Command::new("cp")
            .arg("-a")
            .arg(finished.path("."))
            .arg(sandbox.path(""))
            .status()
            .map_err(|error| format!("cp: {error}"))?;
        if !status.success() {
            return Err("cp: the finished project can't be copied".to_owned());
        }
        // What ran last is remembered for each place by itself.
        prepare(&sandbox, "seedpipe run --quiet")?;
        Ok(sandbox)
    }
}

/// `photos/CLASS/*.png`: 400 digits of the repository.
fn photos() -> Sandbox {
    let sandbox = Sandbox::empty();
    let path = Path::new(REPOSITORY).join("data/digits.parquet");
    let columns: SourceColumns = guessed_columns(&path).unwrap();
    let table = SourceTable::open(&path, &columns).unwrap();
    let mut written = [0; 10];
    for batch in table.batches(0..table.rows()).unwrap() {
        for row in batch.unwrap() {
            let Some(SourceLabel::Class(class)) = row.label else {
                panic!("a digit without a class");
            };
            let count = &mut written[class as usize];
            if *count < DIGITS {
                sandbox.write(
                    &format!("photos/{class}/{count:03}.png"),
                    row.bytes.unwrap(),
                );
                *count += 1;
            }
        }
    }
    assert_eq!(written, [DIGITS; 10]);
    sandbox
}

/// `photos` with the pipeline.yaml that the tutorial has: by `init`, with fewer epochs. Nothing has
/// run.
fn project() -> Result<Sandbox, String> {
    let sandbox = photos();
    prepare(
        &sandbox,
        "seedpipe init --from photos\nsed -i 's/epochs: [0-9]*/epochs: 20/' pipeline.yaml",
    )?;
    Ok(sandbox)
}

/// The parts of the repository that users run: the default pipeline, its data, and the larger ones.
fn clone() -> Sandbox {
    let sandbox = Sandbox::empty();
    for path in ["pipeline.yaml", "pipeline.lock", "data/digits.parquet"] {
        let bytes = fs_err::read(format!("{REPOSITORY}/{path}")).unwrap();
        sandbox.write(path, bytes);
    }
    sandbox
}

fn prepare(sandbox: &Sandbox, script: &str) -> Result<(), String> {
    let session = Session::new(sandbox.path(""));
    session.run(script, 0).map(|_| ())
}
