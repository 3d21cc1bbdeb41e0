//! Whether the libtorch that `seedpipe-torch` would load is there and of the right version, so that the user reads a
//! remedy rather than the dynamic loader's message.
//!
//! Looks where the loader looks: `LD_LIBRARY_PATH`, then the folder in the binary's rpath (that of `LIBTORCH` when it was built).

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The version that the bindings are made for.
pub const VERSION: &str = "2.11.0";

/// `LIBTORCH` at build time.
const BUILT_WITH: &str = env!("SEEDPIPE_LIBTORCH");

const LIBRARY: &str = "libtorch_cpu.so";
const VERSION_FILE: &str = "build-version";

/// Makes sure that the loader will find libtorch 2.11.0.
///
/// # Errors
/// When there is none, or its version file says another version. A libtorch without a version file is trusted.
pub fn check() -> Result<()> {
    find().map(drop)
}

/// A libtorch that the loader will find.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Where its libraries lie.
    pub folder: PathBuf,
    /// As its version file says; `None` where there is none.
    pub version: Option<String>,
}

impl Found {
    /// Whether the half that runs on a GPU lies there too.
    pub fn has_cuda(&self) -> bool {
        self.folder.join("libtorch_cuda.so").exists()
    }
}

/// The libtorch that the loader will find.
///
/// # Errors
/// As [`check`].
pub fn find() -> Result<Found> {
    find_in(
        env::var_os("LD_LIBRARY_PATH").as_deref(),
        Path::new(BUILT_WITH),
    )
}

fn find_in(library_path: Option<&OsStr>, built_with: &Path) -> Result<Found> {
    let built_in = built_with.join("lib");
    let folders = library_path
        .map(env::split_paths)
        .into_iter()
        .flatten()
        .chain([built_in.clone()]);
    let Some(folder) = folders
        .into_iter()
        .find(|folder| folder.join(LIBRARY).exists())
    else {
        bail!(
            "libtorch is missing: no `{LIBRARY}` in `{}`\nhint: {}",
            built_in.display(),
            remedy()
        );
    };
    let version_file = version_file(&folder);
    if !version_file.exists() {
        return Ok(Found {
            folder,
            version: None,
        });
    }
    let found = fs_err::read_to_string(&version_file)?;
    if found.trim().split('+').next() != Some(VERSION) {
        bail!(
            "wrong libtorch in `{}`: expected version {VERSION}, got {} (`{}`)\nhint: {}",
            folder.display(),
            found.trim(),
            version_file.display(),
            remedy()
        );
    }
    Ok(Found {
        folder,
        version: Some(found.trim().to_owned()),
    })
}

fn version_file(library_folder: &Path) -> PathBuf {
    library_folder
        .parent()
        .unwrap_or(library_folder)
        .join(VERSION_FILE)
}

fn remedy() -> String {
    format!(
        "run `make setup`, or set LIBTORCH to a libtorch {VERSION} and run `cargo build`, or name its `lib` folder in LD_LIBRARY_PATH"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a libtorch.
    fn libtorch(version: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("lib")).unwrap();
        fs_err::write(folder.path().join("lib").join(LIBRARY), "").unwrap();
        if let Some(version) = version {
            fs_err::write(folder.path().join(VERSION_FILE), version).unwrap();
        }
        folder
    }

    #[test]
    fn the_right_version_passes_with_and_without_a_build_suffix() {
        for version in [Some("2.11.0\n"), Some("2.11.0+cpu\n"), None] {
            let folder = libtorch(version);
            let found = find_in(None, folder.path()).unwrap();
            assert_eq!(found.version.as_deref(), version.map(str::trim));
            assert!(!found.has_cuda());
        }
    }

    #[test]
    fn a_missing_library_is_refused_with_the_remedy() {
        let empty = tempfile::tempdir().unwrap();
        let message = find_in(None, empty.path()).unwrap_err().to_string();
        assert!(message.contains("no `libtorch_cpu.so` in"), "{message}");
        assert!(message.contains("make setup"), "{message}");
    }

    #[test]
    fn the_library_path_comes_first_and_its_version_counts() {
        let (right, wrong) = (libtorch(Some("2.11.0")), libtorch(Some("2.4.1")));
        let wrong_library = wrong.path().join("lib");
        let message = find_in(Some(wrong_library.as_os_str()), right.path())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("expected version 2.11.0, got 2.4.1"),
            "{message}"
        );
        let right_library = right.path().join("lib");
        find_in(Some(right_library.as_os_str()), wrong.path()).unwrap();
    }
}
