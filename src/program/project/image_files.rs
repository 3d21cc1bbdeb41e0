//! Image files as a command line names them: files as they are, folders with everything below them
//! that looks like an image.

use seedpipe_base::Refusal;
use seedpipe_imaging::Format;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// In the order given, a folder's by path.
///
/// # Errors
/// When a path is not there, or there is no image at all.
pub fn image_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in given {
        if path.is_dir() {
            below(path, &mut found)?;
        } else if path.is_file() {
            found.push(path.clone());
        } else {
            return Err(Refusal::new(format!(
                "`{}`: expected an image or a folder, found nothing",
                path.display()
            ))
            .hint("check the path")
            .into());
        }
    }
    if found.is_empty() {
        return Err(Refusal::new("no image in the folders given")
            .hint(format!("images end in {}", Format::ENDINGS.join(", ")))
            .into());
    }
    Ok(found)
}

/// Links to folders are not followed: they may lead in circles.
fn below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = fs_err::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            below(&path, found)?;
        } else if Format::is_ending_of(&path) && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_images_in_order_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir(path("b")).unwrap();
        for name in ["c.PNG", "b/a.jpg", "a.webp", "notes.txt", "png"] {
            fs_err::write(path(name), "x").unwrap();
        }
        let found = image_files(&[path("notes.txt"), folder.path().to_owned()]).unwrap();
        assert_eq!(
            found,
            [
                path("notes.txt"),
                path("a.webp"),
                path("b/a.jpg"),
                path("c.PNG")
            ]
        );
    }

    #[test]
    fn missing_paths_and_empty_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let said = |path: PathBuf| image_files(&[path]).unwrap_err().to_string();
        assert!(said(folder.path().join("none")).contains("found nothing"));
        assert!(said(folder.path().to_owned()).contains("no image"));
    }
}
