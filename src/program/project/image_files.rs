//! Image files as a command line names them: files as they are, folders with everything below them
//! that looks like an image.

use std::path::PathBuf;

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_engine::walk;
use seedpipe_imaging::Format;
use seedpipe_stages::image_folder::ImageFolder;

use crate::terminal::output;

/// In the order given, a folder's by path; what its folders hold beside them is told.
///
/// # Errors
/// When a path is not there, or there is no image at all.
pub fn image_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in given {
        if path.is_dir() {
            let folder = ImageFolder::open(path)?;
            for remark in folder.remarks() {
                output::error(&format!("warning: `{}`: {remark}", path.display()));
            }
            found.extend(folder.into_files().iter().map(|file| path.join(file)));
        } else if let Err(fault) = walk::check(path)? {
            let got = match path.exists() {
                true => fault,
                false => "nothing",
            };
            return Err(Refusal::new(format!(
                "`{}`: expected an image or a folder, found {got}",
                path.display()
            ))
            .hint("check the path")
            .into());
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        return Err(Refusal::new("no image in the folders given")
            .hint(format!("images end in {}", Format::ENDINGS.join(", ")))
            .into());
    }
    Ok(found)
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
