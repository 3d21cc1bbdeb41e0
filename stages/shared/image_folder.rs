//! A folder of image files as people have it: which images are there, and what is told of the rest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use seedpipe_base::text::{NAMED, count, named};
use seedpipe_engine::walk::{Walk, walk};
use seedpipe_imaging::Format;

/// Endings of what lies beside images as a matter of course: texts, tables, and what this program
/// writes. Nobody takes them for images.
const NO_IMAGES: [&str; 36] = [
    "arrow",
    "cfg",
    "css",
    "csv",
    "db",
    "doc",
    "docx",
    "feather",
    "htm",
    "html",
    "ini",
    "ipynb",
    "js",
    "json",
    "jsonl",
    "lock",
    "log",
    "md",
    "md5",
    "ndjson",
    "onnx",
    "parquet",
    "pdf",
    "pq",
    "pt",
    "pth",
    "py",
    "rst",
    "safetensors",
    "sh",
    "toml",
    "tsv",
    "txt",
    "xml",
    "yaml",
    "yml",
];

/// The image files below a folder, by path, and what else is there.
pub struct ImageFolder {
    root: PathBuf,
    walk: Walk,
}

impl ImageFolder {
    /// # Errors
    /// When it can't be opened.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self {
            root: root.to_owned(),
            walk: walk(root, &Format::is_ending_of)?,
        })
    }

    pub fn len(&self) -> usize {
        self.walk.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no image lies in a folder of its own.
    pub fn is_flat(&self) -> bool {
        let mut folders = self.walk.files.iter().filter_map(|file| file.path.parent());
        folders.all(|folder| folder == Path::new(""))
    }

    /// The images, below the root.
    pub fn into_files(self) -> Vec<PathBuf> {
        self.walk.files.into_iter().map(|file| file.path).collect()
    }

    /// What a user should know of what was passed over, and of what was not: a sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let mut endings: BTreeMap<String, u64> = BTreeMap::new();
        for path in &self.walk.others {
            if let Some(ending) = foreign_ending(path) {
                *endings.entry(ending).or_default() += 1;
            }
        }
        if !endings.is_empty() {
            let counted = endings.iter().map(|(ending, files)| match ending.as_str() {
                "" => format!("{} without an ending", count(*files)),
                ending => format!("{} .{ending}", count(*files)),
            });
            remarks.push(format!(
                "passed over, since images end in {}: {}",
                Format::ENDINGS.join(", "),
                counted.collect::<Vec<_>>().join(", ")
            ));
        }
        let loops = self.walk.loops.iter().map(|path| quoted(path));
        remarks.extend(listed(
            "passed over, since they lead back to a folder that they lie in",
            loops.collect(),
        ));
        let elsewhere = self.walk.links.iter().filter_map(|link| {
            let target = fs_err::canonicalize(self.root.join(link)).ok()?;
            let root = fs_err::canonicalize(&self.root).ok()?;
            (!target.starts_with(root)).then(|| format!("{} → {}", quoted(link), quoted(&target)))
        });
        remarks.extend(listed(
            "taken from elsewhere, since linked folders belong to the source",
            elsewhere.collect(),
        ));
        remarks
    }
}

/// The ending, in lower case, of a file that somebody may take for an image; empty where the name
/// has none.
fn foreign_ending(path: &Path) -> Option<String> {
    let lower = |text: &std::ffi::OsStr| text.to_string_lossy().to_lowercase();
    match path.extension() {
        Some(ending) => Some(lower(ending)).filter(|ending| !NO_IMAGES.contains(&ending.as_str())),
        // README, LICENSE, Makefile.
        None => {
            let name = path.file_name()?.to_string_lossy();
            let is_title = name.starts_with(|letter: char| letter.is_ascii_uppercase())
                && name.chars().all(|letter| letter.is_ascii_alphabetic());
            (!is_title).then(String::new)
        }
    }
}

fn listed(what: &str, all: Vec<String>) -> Option<String> {
    let first = &all[..all.len().min(NAMED)];
    (!all.is_empty()).then(|| format!("{what}: {}", named(first, all.len())))
}

fn quoted(path: &Path) -> String {
    format!("`{}`", path.display())
}

/// Whether a link leads to a file, or to a folder that it lies in: it may be anything on the
/// machine, which messages must not quote.
///
/// - `path`: below `root`, whose own path is the user's
pub fn is_linked(root: &Path, path: &Path) -> bool {
    let mut places = path.ancestors().filter(|place| *place != Path::new(""));
    places.any(|place| root.join(place).is_symlink())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_may_be_taken_for_an_image_is_counted_by_ending() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir(path("cat")).unwrap();
        for name in [
            "cat/a.png",
            "cat/B.HEIC",
            "c.heic",
            "d.ppm",
            "cat/00017",
            "README",
            "notes.txt",
            "Thumbs.db",
            "report.html",
            ".e.ppm",
        ] {
            fs_err::write(path(name), "x").unwrap();
        }
        let found = ImageFolder::open(folder.path()).unwrap();
        assert_eq!(
            found.remarks(),
            [
                "passed over, since images end in jpg, jpeg, jpe, jfif, png, webp, bmp, gif, tif, tiff: 1 without an ending, 2 .heic, 1 .ppm"
            ]
        );
        assert_eq!(found.into_files(), [PathBuf::from("cat/a.png")]);
    }

    #[test]
    fn links_to_folders_are_told_where_they_leave_the_folder_or_go_round() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir(path("cat")).unwrap();
        fs_err::write(path("cat/a.png"), "x").unwrap();
        fs_err::write(other.path().join("b.png"), "x").unwrap();
        symlink("cat", path("inside")).unwrap();
        symlink(other.path(), path("cat/away")).unwrap();
        symlink("..", path("cat/up")).unwrap();
        let found = ImageFolder::open(folder.path()).unwrap();
        let target = fs_err::canonicalize(other.path()).unwrap();
        let away = format!(
            "taken from elsewhere, since linked folders belong to the source: `cat/away` → `{0}`, `inside/away` → `{0}`",
            target.display()
        );
        assert_eq!(
            found.remarks(),
            [
                "passed over, since they lead back to a folder that they lie in: `cat/up`, `inside/up`",
                &away
            ]
        );
        let files = [
            "cat/a.png",
            "cat/away/b.png",
            "inside/a.png",
            "inside/away/b.png",
        ];
        assert_eq!(found.into_files(), files.map(PathBuf::from));
        let linked = |name: &str| is_linked(folder.path(), Path::new(name));
        assert!(!linked("cat/a.png"));
        assert!(linked("cat/away/b.png") && linked("inside/a.png"));
    }
}
