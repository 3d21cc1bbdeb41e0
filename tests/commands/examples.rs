//! The pipelines in pipelines/ keep being sound: each is planned whole, with stand-ins for data
//! that is not in the repository.

use crate::sandbox::{REPOSITORY, Sandbox};

/// What the targets of `make` fetch for the pipelines; a plan looks at names, sizes and digests
/// alone.
const STAND_INS: &[&str] = &[
    "repository/data/raw/cifar10/train/cat/1.png",
    "repository/data/raw/efficientnet-lite0.pth",
    "repository/data/raw/efficientnet-lite2.pth",
    "repository/data/raw/teachers/resnet56-4bfd9763.th",
    "repository/data/raw/grocery/train/Apple/1.jpg",
];

#[test]
fn every_pipeline_of_the_repository_has_a_sound_plan() {
    let sandbox = Sandbox::empty();
    for stand_in in STAND_INS {
        sandbox.write(stand_in, "not read by a plan");
    }
    sandbox.write(
        "repository/data/digits.parquet",
        fs_err::read(format!("{REPOSITORY}/data/digits.parquet")).unwrap(),
    );
    let mut names: Vec<String> = fs_err::read_dir(format!("{REPOSITORY}/pipelines"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.contains(&"cifar10.yaml".to_owned()), "{names:?}");
    for name in names {
        let text = fs_err::read_to_string(format!("{REPOSITORY}/pipelines/{name}")).unwrap();
        let path = format!("repository/pipelines/{name}");
        sandbox.write(&path, text);
        let planned = sandbox.run(&["--pipeline", &path, "run", "--dry-run"]);
        let planned = planned.succeeded();
        assert!(
            planned.stdout.contains("stages cached") || planned.stderr.contains("stages cached"),
            "{name}: {}{}",
            planned.stdout,
            planned.stderr
        );
    }
}
