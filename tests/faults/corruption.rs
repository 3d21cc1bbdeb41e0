//! Every file of every artifact, damaged in four ways: `verify` names it, `status` and `run` never
//! believe it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::REDUCED_PIPELINE;
use crate::sandbox::{Sandbox, contents, outcomes};

const DAMAGES: [&str; 4] = ["flipped", "truncated", "deleted", "emptied"];

fn damage(path: &Path, how: &str) {
    let mut bytes = fs_err::read(path).unwrap();
    match how {
        "flipped" => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        "truncated" => bytes.truncate(bytes.len() - 1),
        "emptied" => bytes.clear(),
        _ => return fs_err::remove_file(path).unwrap(),
    }
    fs_err::write(path, bytes).unwrap();
}

/// Files of artifacts, `<fingerprint>/<content>/<file>`.
fn files(sandbox: &Sandbox) -> Vec<String> {
    let mut files = sandbox.cache_entries("artifacts");
    files.retain(|entry| sandbox.path(".seedpipe/v1/artifacts").join(entry).is_file());
    files
}

/// Stage by fingerprint.
fn stages(lines: &[Value]) -> BTreeMap<String, String> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    lines
        .iter()
        .map(|line| (text(line, "fingerprint"), text(line, "stage")))
        .collect()
}

#[test]
fn every_damage_to_every_file_is_named_by_verify_and_not_believed_by_status() {
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    let stages = stages(&sandbox.run_json(&[]));
    sandbox.run_json(&[]); // sealed, as far as files of this age are
    let files = files(&sandbox);
    assert!(files.len() > 2 * stages.len(), "{files:?}");
    let (mut tried, mut found) = (0, 0);
    for name in &files {
        let path = sandbox.path(".seedpipe/v1/artifacts").join(name);
        let whole = fs_err::read(&path).unwrap();
        let parts: Vec<&str> = name.splitn(3, '/').collect();
        let (fingerprint, file) = (parts[0], parts[2]);
        for how in DAMAGES {
            tried += 1;
            damage(&path, how);
            let status = sandbox.run(&["status", "--json"]).succeeded().json();
            let stage = status
                .as_array()
                .unwrap()
                .iter()
                .find(|stage| stage["stage"] == stages[fingerprint].as_str())
                .unwrap();
            assert_eq!(stage["state"], "will_run", "{how} {name}: {stage}");
            assert!(
                stage["reasons"].to_string().contains("damaged: `"),
                "{how} {name}: {stage}"
            );
            let report = sandbox
                .run(&["verify", "--json", "--quiet"])
                .exited_with(1)
                .json();
            let faults: Vec<(&Value, &Value)> = report["artifacts"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|artifact| {
                    let faults = artifact["faults"].as_array().unwrap();
                    faults.iter().map(move |fault| (artifact, fault))
                })
                .collect();
            let [(artifact, fault)] = faults[..] else {
                panic!("{how} {name}: {faults:?}")
            };
            assert_eq!(artifact["fingerprint"], fingerprint, "{how} {name}");
            assert_eq!(fault["file"], file, "{how} {name}");
            for side in ["expected", "found"] {
                assert!(
                    !fault[side].as_str().unwrap().is_empty(),
                    "{how} {name}: {fault}"
                );
            }
            assert_ne!(fault["expected"], fault["found"]);
            found += 1;
            fs_err::write(&path, &whole).unwrap();
        }
    }
    sandbox.run(&["verify", "--quiet"]).succeeded();
    println!("{} files, {tried} damages, {found} found", files.len());
}

/// One kind of damage to one file of every artifact at once: another file in each round.
#[test]
fn a_run_makes_every_damaged_artifact_again_with_equal_content() {
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    let first = sandbox.run_json(&[]);
    let mut damaged = 0;
    for (round, how) in DAMAGES.iter().enumerate() {
        let mut by_artifact: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in files(&sandbox) {
            let artifact = file.split('/').next().unwrap().to_owned();
            by_artifact.entry(artifact).or_default().push(file);
        }
        assert_eq!(by_artifact.len(), first.len());
        for files in by_artifact.values() {
            let file = &files[round % files.len()];
            damage(&sandbox.path(".seedpipe/v1/artifacts").join(file), how);
            damaged += 1;
        }
        let lines = sandbox.run_json(&[]);
        assert!(
            outcomes(&lines)
                .iter()
                .all(|outcome| outcome.ends_with("=executed")),
            "{how}: {lines:?}"
        );
        assert_eq!(contents(&lines), contents(&first), "{how}");
        sandbox.run(&["verify", "--quiet"]).succeeded();
    }
    println!("{damaged} artifacts damaged and made again");
}
