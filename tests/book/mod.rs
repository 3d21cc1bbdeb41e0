//! The documents: README.md and docs/, an mdBook. Its commands are run from the pages themselves,
//! its links lead somewhere, its reference is the code's.

mod cells;
mod commands;
mod links;
mod page;
mod reference;
mod session;
mod shown;
mod starts;

use std::path::Path;

use page::Page;

use crate::sandbox::REPOSITORY;

const BOOK: &str = "docs";
pub const SUMMARY: &str = "docs/SUMMARY.md";

/// Pages of the book, from the repository's root, sorted.
pub fn book_pages() -> Vec<String> {
    let mut found = Vec::new();
    markdown(BOOK, &mut found);
    found.retain(|path| path != SUMMARY);
    found.sort();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The README and the pages of the book.
pub fn page_paths() -> Vec<String> {
    let mut paths = book_pages();
    paths.insert(0, "README.md".to_owned());
    paths
}

/// All of them, parsed.
pub fn pages() -> Vec<Page> {
    let parsed = page_paths().into_iter().map(|path| {
        let text = fs_err::read_to_string(format!("{REPOSITORY}/{path}")).unwrap();
        Page::parse(&path, &text)
    });
    let parsed: Vec<Result<Page, String>> = parsed.collect();
    let faults: Vec<&String> = parsed
        .iter()
        .filter_map(|page| page.as_ref().err())
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    parsed.into_iter().flatten().collect()
}

#[test]
fn every_command_of_the_book_is_run_or_says_why_not() {
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| &page.blocks);
    let shells = blocks.filter(|block| block.is_shell()).count();
    assert!(shells > 20, "{shells}");
}

fn markdown(folder: &str, found: &mut Vec<String>) {
    for entry in fs_err::read_dir(Path::new(REPOSITORY).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{folder}/{name}");
        if entry.path().is_dir() {
            markdown(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}
