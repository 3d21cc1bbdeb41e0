//! Which files of a source are Parquet tables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use seedpipe_base::Refusal;
use seedpipe_engine::walk;

use super::splits::{self, Said};

/// Endings of Parquet files, in small or capital letters.
const ENDINGS: [&str; 2] = ["parquet", "pq"];

/// Whether a file's name says that it is Parquet.
pub fn is_table(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| {
        ENDINGS
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    })
}

/// The Parquet files at a path, sorted: itself, or those in the folder; none when it isn't Parquet.
pub fn tables_at(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(Vec::from_iter(is_table(path).then(|| path.to_owned())));
    }
    let (tables, _) = entries(path)?;
    Ok(tables)
}

/// Those of a repository as on Hugging Face, in the folders below: `data/train-00000-of-00001.parquet`,
/// `default/train/0000.parquet`.
///
/// # Errors
/// Where there are several data sets (configurations).
pub fn tables_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in entries(root)?.1 {
        let (tables, inner) = entries(&folder)?;
        found.extend(tables);
        for folder in inner {
            found.extend(entries(&folder)?.0);
        }
    }
    found.sort();
    let mut sets = BTreeSet::new();
    for folder in found.iter().filter_map(|table| table.parent()) {
        let name = folder.file_name().map(Path::new);
        let is_split = name.is_some_and(|name| matches!(splits::of_table(name), Said::Split(_)));
        let set = if is_split {
            folder.parent()
        } else {
            Some(folder)
        };
        sets.extend(set.map(Path::to_owned));
    }
    if sets.len() > 1 {
        let sets: Vec<String> = sets
            .iter()
            .map(|set| format!("`{}`", set.display()))
            .collect();
        bail!(
            Refusal::failure(format!(
                "`{}`: expected the Parquet files of one data set, got those in {}",
                root.display(),
                sets.join(", ")
            ))
            .hint("point `source` at one of those folders")
        );
    }
    Ok(found)
}

/// Tables in a folder, and folders in it, both sorted; hidden ones are passed over.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut tables, mut folders) = (Vec::new(), Vec::new());
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if walk::is_hidden(&entry.file_name()) {
            continue;
        }
        // Asking the file itself takes long in a folder of many.
        let kind = entry.file_type()?;
        if kind.is_dir() || kind.is_symlink() && path.is_dir() {
            folders.push(path);
        } else if is_table(&path) {
            tables.push(path);
        }
    }
    tables.sort();
    folders.sort();
    Ok((tables, folders))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(files: &[&str]) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, b"").unwrap();
        }
        let relative = |path: &PathBuf| {
            let path = path.strip_prefix(folder.path()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let found = match tables_at(folder.path())? {
            found if found.is_empty() => tables_below(folder.path())?,
            found => found,
        };
        Ok(found.iter().map(relative).collect())
    }

    #[test]
    fn tables_are_found_in_a_folder_and_in_repositories() {
        for (files, found) in [
            (
                &[
                    "b.PQ",
                    "a.parquet",
                    "notes.txt",
                    "._a.parquet",
                    "deep/c.parquet",
                ][..],
                &["a.parquet", "b.PQ"][..],
            ),
            (
                &[
                    "README.md",
                    ".git/x.parquet",
                    "data/train-0.parquet",
                    "data/test-0.parquet",
                ],
                &["data/test-0.parquet", "data/train-0.parquet"],
            ),
            (
                &["default/train/0000.parquet", "default/test/0000.parquet"],
                &["default/test/0000.parquet", "default/train/0000.parquet"],
            ),
            (
                &["train/0.parquet", "test/0.parquet"],
                &["test/0.parquet", "train/0.parquet"],
            ),
            (&["notes.txt"], &[]),
        ] {
            assert_eq!(below(files).unwrap(), found, "{files:?}");
        }
        for files in [
            ["coarse/train-0.parquet", "fine/train-0.parquet"],
            ["a/train/0.parquet", "b/train/0.parquet"],
        ] {
            let message = below(&files).unwrap_err().to_string();
            assert!(
                message.contains("expected the Parquet files of one data set"),
                "{message}"
            );
        }
    }
}
