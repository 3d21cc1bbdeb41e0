//! What tests need beyond Rust, and what becomes of one whose need isn't there: it ends early and
//! is told of, or fails.
//!
//! With `SEEDPIPE_REQUIRE=all`, as CI has it, nothing may be missing. Without, each skipped test
//! says why on the terminal, past the harness, and leaves a line in `target/tmp/skipped-tests.tsv`,
//! which tests/skipped.sh sums up as the last words of `make test`.
//!
//! Test binaries of other packages include this file by its path; none uses all of it.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to `all`, a missing requirement is a failure.
const VARIABLE: &str = "SEEDPIPE_REQUIRE";
/// Lines of what is missing, the remedy and the test, with tabs between; `make test` begins with
/// none.
const RECORD: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/skipped-tests.tsv");

/// Says that this test ends early, since `what` is not there; fails where everything is required.
pub fn missing(what: &str, remedy: &str) {
    let is_required = match std::env::var_os(VARIABLE) {
        None => false,
        Some(value) if value == "all" => true,
        Some(value) => panic!("{VARIABLE}: expected `all`, got {value:?}"),
    };
    assert!(
        !is_required,
        "{VARIABLE} is `all`, and this is missing: {what}\nhint: {remedy}"
    );
    left_out(what, remedy);
}

/// Says that a part of this test can't be done on this machine, which is no fault even where
/// everything is required.
pub fn left_out(what: &str, remedy: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not `eprintln`, which the harness keeps to itself where a test passes.
    let mut terminal = std::io::stderr();
    writeln!(terminal, "skipped: {test}: {what}\nhint: {remedy}").unwrap();
    fs_err::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let record = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(RECORD);
    let plain = |text: &str| text.replace(['\t', '\n'], " ");
    let mut line = String::new();
    writeln!(line, "{}\t{}\t{}", plain(what), plain(remedy), plain(test)).unwrap();
    // One write a line: other tests append as well.
    record.unwrap().write_all(line.as_bytes()).unwrap();
}

/// The Python that `SEEDPIPE_PYTHON` names, where it has these modules.
pub fn python(modules: &str) -> Option<String> {
    let remedy = "SEEDPIPE_PYTHON=\"$(tests/reference/install_python.sh)\"";
    let Ok(python) = std::env::var("SEEDPIPE_PYTHON") else {
        missing(
            "a Python with PyTorch and others, named by SEEDPIPE_PYTHON",
            remedy,
        );
        return None;
    };
    let import = ["-c", &format!("import {modules}")];
    let tried = Command::new(&python).args(import).output();
    let tried = tried.unwrap_or_else(|error| panic!("SEEDPIPE_PYTHON: `{python}`: {error}"));
    if tried.status.success() {
        return Some(python);
    }
    let reason = String::from_utf8_lossy(&tried.stderr);
    let reason = reason.trim().lines().last().unwrap_or("no reason");
    missing(&format!("modules of `{python}`: {reason}"), remedy);
    None
}

/// A file or folder of `shared/`, which lies beside the repository.
pub fn shared(name: &str) -> Option<PathBuf> {
    // The package may lie deeper than the repository's root.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = package
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file())
        .expect("the package lies in a workspace");
    let path = repository.join("../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    missing(
        &format!("`{}`", path.display()),
        "put the published teachers and photographs there; they are not part of the repository",
    );
    None
}
