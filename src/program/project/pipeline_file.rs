//! Finds `pipeline.yaml`: as named by `--pipeline`, else here or in the nearest folder above, as
//! cargo finds its manifest.

use std::env;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use seedpipe_base::Refusal;

const FILE_NAME: &str = "pipeline.yaml";

/// The pipeline's path, relative to the current folder where it isn't named: messages stay short.
///
/// - `named`: a file, or a folder that holds a `pipeline.yaml`
///
/// # Errors
/// [`Refusal`] when there is no such file.
pub fn find(named: Option<&Path>) -> Result<PathBuf> {
    let Some(named) = named else {
        let here = env::current_dir().context("the current folder can't be read")?;
        return above(&here);
    };
    let path = if named.is_dir() {
        named.join(FILE_NAME)
    } else {
        named.to_owned()
    };
    if !path.exists() {
        return Err(Refusal::new(format!("no pipeline at `{}`", path.display()))
            .hint("name the file, or the folder that holds `pipeline.yaml`, with `--pipeline PATH`")
            .into());
    }
    Ok(path)
}

/// `pipeline.yaml`, `../pipeline.yaml`, …: the first that is there, seen from `here`.
fn above(here: &Path) -> Result<PathBuf> {
    let up = here
        .ancestors()
        .position(|folder| folder.join(FILE_NAME).is_file());
    let Some(up) = up else {
        return Err(Refusal::new(format!(
            "no `{FILE_NAME}` in `{}` or any folder above it",
            here.display()
        ))
        .hint("go to the folder that holds one, or name it with `--pipeline PATH`")
        .into());
    };
    Ok(iter::repeat_n("..", up)
        .collect::<PathBuf>()
        .join(FILE_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_pipeline_above_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let nested = folder.path().join("a/b");
        fs_err::create_dir_all(&nested).unwrap();
        fs_err::write(folder.path().join("pipeline.yaml"), "").unwrap();
        assert_eq!(above(&nested).unwrap(), Path::new("../../pipeline.yaml"));
        fs_err::write(folder.path().join("a/pipeline.yaml"), "").unwrap();
        assert_eq!(above(&nested).unwrap(), Path::new("../pipeline.yaml"));
        assert_eq!(above(folder.path()).unwrap(), Path::new("pipeline.yaml"));
    }
}
