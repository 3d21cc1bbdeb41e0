//! The book hangs together: its table of contents names every page once, every link of a document
//! leads somewhere, and so does every path of the repository that a comment or a document names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::book::{SUMMARY, book_pages, page_paths};
use crate::sandbox::REPOSITORY;

fn read(path: &str) -> String {
    fs_err::read_to_string(format!("{REPOSITORY}/{path}")).unwrap()
}

/// Targets of links and images outside of code.
fn targets(text: &str) -> Vec<String> {
    static CODE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?ms)^ *```.*?^ *```$|`[^`\n]*`").unwrap());
    static LINK: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"\]\(([^)\s]*)(?: "[^"]*")?\)|(?:src|href|srcset)="([^"]*)""#).unwrap()
    });
    // The text of a link may be code, so code goes out and its place stays.
    let text = CODE.replace_all(text, "`");
    LINK.captures_iter(&text)
        .map(|found| {
            found
                .get(1)
                .or_else(|| found.get(2))
                .unwrap()
                .as_str()
                .to_owned()
        })
        .collect()
}

/// Anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    static FENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?ms)^```.*?^```$").unwrap());
    let text = FENCE.replace_all(text, "");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let plain: String = heading
            .chars()
            .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let before = seen.entry(plain.clone()).or_insert(0);
        anchors.insert(match *before {
            0 => plain,
            number => format!("{plain}-{number}"),
        });
        *before += 1;
    }
    anchors
}

/// A relative path from a page's folder, without `..`, from the repository's root; none where it
/// leaves the repository.
fn resolved(page: &str, target: &str) -> Option<String> {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => path.pop().then_some(())?,
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path.to_str().map(str::to_owned)
}

/// Text files of the repository, without what is built or fetched into it.
fn text_files() -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        for entry in fs_err::read_dir(Path::new(REPOSITORY).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{folder}{name}");
            let is_foreign = name.starts_with('.') && name != ".ci"
                || ["target", "data/raw", "fuzz/target"].contains(&path.as_str());
            if entry.file_type().unwrap().is_dir() {
                if !is_foreign {
                    open.push(path + "/");
                }
            } else if TEXT.iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 300, "{found:?}");
    found
}

/// How the names of files end in which paths are looked for.
const TEXT: [&str; 9] = [
    ".md", ".rs", ".py", ".sh", ".toml", ".yaml", ".txt", "Makefile", "run",
];

#[test]
fn no_path_that_a_comment_or_document_names_is_gone() {
    static PATH: LazyLock<Regex> = LazyLock::new(|| {
        let folders = "(?:docs|tests|src|stages|data|pipelines|fuzz)";
        Regex::new(&format!(
            r"(?:^|[^\w./-])({folders}/[\w./-]+\.(?:md|rs|py|sh|js|yaml|toml))\b"
        ))
        .unwrap()
    });
    let (mut named, mut broken) = (0, Vec::new());
    // This file has paths that are none.
    for file in text_files()
        .iter()
        .filter(|file| *file != "tests/book/links.rs")
    {
        for found in PATH.captures_iter(&read(file)) {
            let near = Path::new(file).parent().unwrap();
            let places = [Path::new(""), near].map(|folder| folder.join(&found[1]));
            named += 1;
            if !places
                .iter()
                .any(|path| Path::new(REPOSITORY).join(path).exists())
            {
                broken.push(format!("{file}: `{}` is nowhere", &found[1]));
            }
        }
    }
    assert_eq!(broken, [""; 0], "{}", broken.join("\n"));
    assert!(named > 100, "{named}");
}

#[test]
fn no_link_is_broken() {
    let mut broken = Vec::new();
    let documents = text_files();
    let documents = documents.iter().filter(|file| file.ends_with(".md"));
    let documents: BTreeSet<&str> = documents.map(String::as_str).collect();
    for page in page_paths() {
        assert!(documents.contains(page.as_str()), "{page}");
    }
    for page in documents {
        let text = read(page);
        for target in targets(&text) {
            if target.starts_with("https://") || target.is_empty() {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = match path {
                "" => Some(page.to_owned()),
                path => resolved(page, path),
            };
            let Some(file) = file.filter(|file| Path::new(REPOSITORY).join(file).exists()) else {
                broken.push(format!("{page}: `{target}` is nowhere"));
                continue;
            };
            if page.starts_with("docs/") && !file.starts_with("docs/") {
                broken.push(format!(
                    "{page}: `{target}` is outside of the book, which has docs/ alone"
                ));
            }
            if !anchor.is_empty() && !anchors(&read(&file)).contains(anchor) {
                broken.push(format!("{page}: `{file}` has no heading `#{anchor}`"));
            }
        }
    }
    assert_eq!(broken, [""; 0], "{}", broken.join("\n"));
}

#[test]
fn the_contents_name_every_page_once() {
    let mut named: Vec<String> = targets(&read(SUMMARY))
        .into_iter()
        .filter(|target| !target.is_empty()) // a chapter to come
        .map(|target| resolved(SUMMARY, &target).unwrap())
        .collect();
    named.sort();
    assert_eq!(
        named,
        book_pages(),
        "left: {SUMMARY}; right: what lies in docs/"
    );
}

#[test]
fn targets_and_anchors_are_found() {
    let text = "[a](b.md#c) `[x](y)` ![p](i.png \"title\")\n```text\n[no](no)\n```\n[`code`](d.md) <img src=\"e.png\">\n";
    assert_eq!(targets(text), ["b.md#c", "i.png", "d.md", "e.png"]);
    let found = anchors("# Two words\n## `kind: sgd`\n## Two words\n```sh\n# no\n```\n");
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        ["kind-sgd", "two-words", "two-words-1"]
    );
    assert_eq!(
        resolved("docs/how-to/a.md", "../b.md").as_deref(),
        Some("docs/b.md")
    );
}
