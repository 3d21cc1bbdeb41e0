//! `verify` and `gc`.

use insta::assert_snapshot;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, contents, outcomes};

/// The largest file of an artifact, relative to the cache's artifacts.
fn largest_part(sandbox: &Sandbox) -> std::path::PathBuf {
    let parts = sandbox
        .cache_entries("artifacts")
        .into_iter()
        .filter(|entry| entry.ends_with(".parquet"));
    let paths = parts.map(|part| sandbox.path(".seedpipe/v1/artifacts").join(part));
    paths
        .max_by_key(|path| fs_err::metadata(path).unwrap().len())
        .unwrap()
}

#[test]
fn verify_finds_one_changed_byte_and_run_makes_the_artifact_again() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let first = sandbox.run_json(&[]);
    let good = sandbox.run(&["verify", "--quiet"]).succeeded();
    assert!(good.stdout.contains("all good"), "{}", good.stdout);

    let part = largest_part(&sandbox);
    let mut bytes = fs_err::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut permissions = fs_err::metadata(&part).unwrap().permissions();
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "a file of the test's own"
    )]
    permissions.set_readonly(false);
    fs_err::set_permissions(&part, permissions).unwrap();
    fs_err::write(&part, bytes).unwrap();

    let bad = sandbox.run(&["verify", "--quiet"]).exited_with(1);
    assert_snapshot!(bad.stable_stdout(), @r"
    images [short]/[digest]: `images/bytes-new-00000.parquet`: expected BLAKE3 [digest], found BLAKE3 [digest]
    2 artifacts, 7 files, [size]: 1 fault
    hint: run again: a damaged artifact is never used and made anew
    ");
    let json = sandbox
        .run(&["verify", "--json", "--quiet"])
        .exited_with(1)
        .json();
    let faults: usize = json["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| artifact["faults"].as_array().unwrap().len())
        .sum();
    assert_eq!(faults, 1, "{json}");

    let again = sandbox.run_json(&[]);
    assert_eq!(outcomes(&again), ["images=executed", "views=cached"]);
    assert_eq!(contents(&again), contents(&first));
    sandbox.run(&["verify", "--quiet"]).succeeded();
}

#[test]
fn verify_says_what_pipeline_lock_names_and_the_cache_lacks() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let nothing = sandbox.run(&["verify", "-q"]).succeeded().stdout;
    assert_eq!(nothing, "0 artifacts, 0 files, 0 B: nothing to verify\n");
    let refused = sandbox.run(&["verify", "-q", "--locked"]).exited_with(2);
    assert!(
        refused.stderr.contains("expected a lock"),
        "{}",
        refused.stderr
    );

    sandbox.run(&["run", "--quiet"]).succeeded();
    sandbox.run(&["verify", "-q", "--locked"]).succeeded();
    let views = sandbox.cache_entries("artifacts").into_iter();
    let views = views
        .filter(|entry| entry.ends_with("/views"))
        .collect::<Vec<_>>();
    let artifact = sandbox.path(".seedpipe/v1/artifacts").join(&views[0]);
    fs_err::remove_dir_all(artifact.parent().unwrap()).unwrap();
    sandbox.run(&["verify", "-q"]).succeeded();
    let locked = sandbox.run(&["verify", "-q", "--locked"]).exited_with(1);
    assert_snapshot!(locked.stable_stdout(), @r"
    1 artifacts, 4 files, [size]: all good
    1 of 2 artifacts of pipeline.lock are here; absent: views
    hint: `seedpipe run` makes them, `seedpipe pull` fetches them
    ");

    fs_err::remove_dir_all(sandbox.path(".seedpipe")).unwrap();
    for (scope, code) in [("--current", 0), ("--repair", 0), ("--locked", 1)] {
        let verified = sandbox
            .run(&["verify", scope, "--json", "-q"])
            .exited_with(code);
        let lock = &verified.json()["lock"];
        assert_eq!(lock["stages"], 2, "{lock}");
        assert_eq!(lock["absent"], serde_json::json!(["images", "views"]));
        let told = sandbox
            .run(&["verify", scope, "-q"])
            .exited_with(code)
            .stdout;
        assert!(!told.contains("all good"), "{told}");
    }
}

#[test]
fn gc_deletes_what_the_pipeline_no_longer_needs() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run_json(&["--set", "views.size=20"]);
    sandbox.run_json(&[]);
    let before = sandbox.cache_entries("artifacts");
    let dry = sandbox
        .run(&["gc", "--dry-run", "--json"])
        .succeeded()
        .json();
    assert_eq!(sandbox.cache_entries("artifacts"), before);
    let real = sandbox.run(&["gc", "--json"]).succeeded().json();
    assert_eq!(dry["items"], real["items"], "{dry}\n{real}");
    assert_eq!(
        outcomes(&sandbox.run_json(&[])),
        ["images=cached", "views=cached"]
    );
}

#[test]
fn a_draft_that_was_just_left_outlives_a_gc() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run_json(&[]);
    // As a run with another value leaves it when it is stopped.
    let draft = format!(".seedpipe/v1/drafts/{}", "ab".repeat(32));
    sandbox.write(&format!("{draft}/content/x"), [0; 2000]);
    sandbox.run(&["gc"]).succeeded();
    assert!(sandbox.path(&draft).exists());
    let told = sandbox.run(&["gc", "--grace", "0"]).succeeded().stdout;
    assert!(
        told.starts_with("draft     abababababab (2.0 kB)\n"),
        "{told}"
    );
    assert!(!sandbox.path(&draft).exists());
}
