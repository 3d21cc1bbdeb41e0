//! What makes a stage cached: equal recipes in other folders, under other names, after edits that
//! change nothing.

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE, contents, outcomes};

#[test]
fn two_clean_folders_give_equal_digests() {
    let (here, there) = (Sandbox::with(WHOLE_PIPELINE), Sandbox::with(WHOLE_PIPELINE));
    assert_eq!(
        contents(&here.run_json(&[])),
        contents(&there.run_json(&[]))
    );
}

#[test]
fn a_second_run_is_all_cached_and_quick() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let begun = std::time::Instant::now();
    let lines = sandbox.run_json(&[]);
    let seconds = begun.elapsed().as_secs_f64();
    assert!(
        outcomes(&lines)
            .iter()
            .all(|line| line.ends_with("=cached")),
        "{lines:?}"
    );
    assert!(seconds < 5.0, "{seconds} s");
}

#[test]
fn a_comment_and_another_stage_name_change_nothing() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run_json(&[]);
    sandbox.write(
        "pipeline.yaml",
        format!(
            "# a comment\n{}",
            LIGHT_PIPELINE.replace("  views:", "  renamed:")
        ),
    );
    assert_eq!(
        outcomes(&sandbox.run_json(&[])),
        ["images=cached", "renamed=cached"]
    );
}

#[test]
fn a_source_that_changed_is_read_again() {
    let sandbox = Sandbox::with("stages:\n  images: {kind: ingest, params: {source: photos}}\n");
    let sample = |name: &str| {
        fs_err::read(format!(
            "{}/src/imaging/testdata/images/{name}",
            crate::sandbox::REPOSITORY
        ))
        .unwrap()
    };
    sandbox.write("photos/a.png", sample("rgb.png"));
    let first = sandbox.run_json(&[]);
    sandbox.write("photos/b.png", sample("gray.png"));
    let second = sandbox.run_json(&[]);
    assert_eq!(outcomes(&second), ["images=executed"]);
    assert_ne!(contents(&first), contents(&second));
    fs_err::remove_file(sandbox.path("photos/b.png")).unwrap();
    let third = sandbox.run_json(&[]);
    assert_eq!(outcomes(&third), ["images=cached"]);
    assert_eq!(contents(&first), contents(&third));
}

#[test]
fn the_cache_can_be_elsewhere() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox
        .finish(
            sandbox
                .command(&["run", "--quiet"])
                .env("SEEDPIPE_CACHE", sandbox.path("elsewhere")),
        )
        .succeeded();
    assert!(sandbox.path("elsewhere/v1/artifacts").is_dir());
    assert!(!sandbox.path(".seedpipe").exists());
    sandbox.write("pipeline.yaml", format!("cache: own\n{LIGHT_PIPELINE}"));
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert!(sandbox.path("own/v1/artifacts").is_dir());
}
