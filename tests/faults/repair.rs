//! `verify --repair`.

use insta::assert_snapshot;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, contents, outcomes};

#[test]
fn repair_removes_what_is_damaged_and_run_makes_it_again() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let first = sandbox.run_json(&[]);
    let entries = sandbox.cache_entries("artifacts");
    let find = |end: &str| {
        let entry = entries.iter().find(|entry| entry.ends_with(end)).unwrap();
        sandbox.path(".seedpipe/v1/artifacts").join(entry)
    };
    let part = find("images/part-00000.parquet");
    let mut bytes = fs_err::read(&part).unwrap();
    bytes[50] ^= 1;
    fs_err::write(&part, bytes).unwrap();
    fs_err::write(find("/views").join("stray.txt"), "x").unwrap();
    let repaired = sandbox.run(&["verify", "--repair", "--quiet"]).succeeded();
    let mut lines: Vec<String> = repaired
        .stable_stdout()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort(); // by digest they come in no order that a reader could foresee
    assert_snapshot!(lines.join("\n"), @r"
    2 artifacts, 7 files, [size]: 2 faults
    hint: run again: a damaged artifact is never used and made anew
    images [short]/[digest]: `images/part-00000.parquet`: expected BLAKE3 [digest], found BLAKE3 [digest]
    images [short]/[digest]: removed; `seedpipe run` makes it again
    views [short]/[digest]: `views/stray.txt`: expected no such file, found a file
    views [short]/[digest]: removed `views/stray.txt`, which its manifest doesn't name
    ");
    sandbox.run(&["verify", "--quiet"]).succeeded();
    let again = sandbox.run_json(&[]);
    assert_eq!(outcomes(&again), ["images=executed", "views=cached"]);
    assert_eq!(contents(&again), contents(&first));
    let nothing = sandbox.run(&["verify", "--repair", "--quiet"]).succeeded();
    assert!(nothing.stdout.contains("all good"), "{}", nothing.stdout);
}
