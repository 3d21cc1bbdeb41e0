//! `knn` and `probe` against the published algorithms in PyTorch (tests/reference/heads.py): on this
//! machine's instructions and on AVX2's; against what PyTorch gives now, where there is a Python,
//! and what it gave once (tests/fixtures/heads). What a wrong algorithm gives must be noticed.
//!
//! Features are the images' pixels, the same bits on every processor, so that classes differ by
//! the rounding of these stages' own sums alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use super::numbers::{Numbers, Run, Tolerances, deviations};
use crate::requirements;
use crate::sandbox::{AVX2, REPOSITORY};

/// Set to anything, what PyTorch gives is written to tests/fixtures/heads.
const RECORD: &str = "SEEDPIPE_RECORD_TRAINERS";

/// A network whose features are an image's pixels (tests/reference/pixels_network.py).
pub const PIXELS: (&str, &[u8]) = ("pixels.pt", include_bytes!("../fixtures/heads/pixels.pt"));

pub const IMAGES: &str = "\
seed: 5
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 160, test: 80}}}
  features: {kind: encode, inputs: {images: images}, params: {torchscript: pixels.pt, preprocessing: {size: 8, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}, store: f32, batch: 32}}
";
pub const SEED: u64 = 5;
pub const TRAIN: usize = 160;
pub const CLASSES: i64 = 10;
pub const PIXELS_OF_AN_IMAGE: i64 = 64;

/// What the script gives of a stage.
#[derive(Deserialize)]
struct Reference {
    published: Numbers,
    mistakes: BTreeMap<String, Numbers>,
}

/// - `plan`: what the script reads, by stage
pub fn compare(kind: &str, pipeline: &str, tolerances: Tolerances, plan: impl Fn(&Run) -> Value) {
    let pipeline = format!("{IMAGES}{pipeline}");
    let run = |switches: &[(&str, &str)]| Run::of(&pipeline, &[PIXELS], switches);
    let runs = [("this machine", run(&[])), ("AVX2", run(&AVX2))];
    let plan = plan(&runs[0].1);
    let path = Path::new(REPOSITORY).join(format!("tests/fixtures/heads/{kind}.json"));
    let computed = computed(&runs[0].1, &plan);
    if let (Some(computed), Some(_)) = (&computed, std::env::var_os(RECORD)) {
        let published = computed
            .iter()
            .map(|(stage, reference)| (stage, &reference.published));
        let published: BTreeMap<_, _> = published.collect();
        fs_err::write(&path, serde_json::to_vec(&published).unwrap()).unwrap();
    }
    let recorded: BTreeMap<String, Numbers> =
        serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    for stage in plan.as_object().unwrap().keys() {
        for (name, run) in &runs {
            let ours = run.numbers(stage);
            let unlike = |numbers: &Numbers| deviations(&ours, numbers, tolerances);
            let check = |source: &str, numbers: &Numbers| {
                let off = unlike(numbers).join("\n");
                assert!(
                    off.is_empty(),
                    "`{stage}` on {name} beside what PyTorch {source}:\n{off}"
                );
            };
            check("gave once", &recorded[stage]);
            let Some(reference) = computed.as_ref().map(|computed| &computed[stage]) else {
                continue;
            };
            check("gives", &reference.published);
            assert!(!reference.mistakes.is_empty());
            for (mistake, wrong) in &reference.mistakes {
                assert!(
                    !unlike(wrong).is_empty(),
                    "`{stage}`: `{mistake}` is not noticed"
                );
            }
        }
    }
}

/// What PyTorch gives now; none without it.
fn computed(run: &Run, plan: &Value) -> Option<BTreeMap<String, Reference>> {
    let python = requirements::python("torch, numpy, pyarrow, PIL")?;
    let [read, written] = ["plan.json", "out.json"].map(|name| run.sandbox().path(name));
    fs_err::write(&read, plan.to_string()).unwrap();
    let script = Path::new(REPOSITORY).join("tests/reference/heads.py");
    let mut command = Command::new(python);
    let finished = command
        .arg(script)
        .args([&read, &written])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{said}");
    Some(serde_json::from_slice(&fs_err::read(written).unwrap()).unwrap())
}
