//! What git shall leave alone in the pipeline's folder: the cache, and pages that a run writes.

use std::path::Path;

use anyhow::{Context, Result};
use fs_err as fs;
use seedpipe_engine::durable;

const NAME: &str = ".gitignore";

/// Adds the lines that are not there; what others wrote stays. Whether anything was written.
///
/// - `page`: the report's file
///
/// # Errors
/// When a `.gitignore` can't be read or written.
pub fn extend(folder: &Path, page: &str) -> Result<bool> {
    let path = folder.join(NAME);
    let found = match fs::read_to_string(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let wanted = [".seedpipe/".to_owned(), format!("/{page}")];
    let is_there = |wanted: &str| {
        let bare = wanted.trim_matches('/');
        found
            .lines()
            .any(|line| line.trim().trim_matches('/') == bare)
    };
    let missing = wanted.iter().filter(|wanted| !is_there(wanted));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(false);
    }
    let gap = match found.is_empty() || found.ends_with('\n') {
        true => "",
        false => "\n",
    };
    let text = format!("{found}{gap}{}\n", missing.join("\n"));
    durable::write(&path, text.as_bytes())
        .with_context(|| format!("`{}` can't be written", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_and_nothing_is_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        assert!(extend(folder.path(), "report.html").unwrap());
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(first, ".seedpipe/\n/report.html\n");
        fs::write(&path, "*.pth\n/.seedpipe").unwrap();
        assert!(extend(folder.path(), "report.html").unwrap());
        let second = fs::read_to_string(&path).unwrap();
        assert_eq!(second, "*.pth\n/.seedpipe\n/report.html\n");
        assert!(!extend(folder.path(), "report.html").unwrap());
    }
}
