//! What users get wrong: one message naming file, stage and key, expected and got, and the remedy;
//! nothing in the cache.

pub mod cache;
mod checkpoints;
mod images;
mod numbers;
mod odd_folder;
mod pipelines;
mod pretraining;
mod shapes;

use crate::sandbox::Sandbox;

/// Runs, expects a refusal with this exit code that published and left nothing, and gives stderr
/// and exit code.
fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32) -> String {
    let finished = sandbox.run(arguments).exited_with(code);
    assert_eq!(finished.stdout, "");
    for folder in ["artifacts", "drafts", "history"] {
        assert_eq!(sandbox.cache_entries(folder), [""; 0]);
    }
    finished.refusal()
}

/// As [`refused`] with exit code 2, before there even is a cache.
fn refused_at_once(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let message = refused(sandbox, arguments, 2);
    assert!(
        !sandbox.path(".seedpipe").exists(),
        "a bad pipeline must not touch the cache"
    );
    message
}
