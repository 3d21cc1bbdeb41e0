//! What users get wrong: one message naming file, stage and key, expected and got, and the remedy; nothing in the cache.

mod cache;
mod checkpoints;
mod images;
mod pipelines;

use crate::sandbox::{Finished, Sandbox};

/// Runs, expects a refusal with this exit code that published nothing, and gives exit code and stderr.
fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32) -> String {
    let finished = sandbox.run(arguments);
    check_refusal(sandbox, finished, code)
}

fn check_refusal(sandbox: &Sandbox, finished: Finished, code: i32) -> String {
    let finished = finished.exited_with(code);
    assert_eq!(finished.stdout, "");
    assert_eq!(sandbox.cache_entries("artifacts"), [""; 0]);
    assert_eq!(sandbox.cache_entries("drafts"), [""; 0]);
    if code == 2 {
        assert!(
            !sandbox.path(".seedpipe").exists(),
            "a bad pipeline must not touch the cache"
        );
    }
    finished.refusal()
}
