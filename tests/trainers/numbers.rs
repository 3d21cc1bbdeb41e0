//! What a stage gave and what PyTorch gives, as named lists of numbers, and how far they are apart.

use std::collections::BTreeMap;
use std::path::PathBuf;

use seedpipe_artifact::{Dtype, MetricsReader, PredictionsReader, WeightsReader};
use serde_json::Value;

use crate::sandbox::{Sandbox, outcomes};

pub type Numbers = BTreeMap<String, Vec<f64>>;

/// Beginnings of names, and how far a number of such a list may be off, as a share of the list's
/// largest. The first that fits counts.
pub type Tolerances<'a> = &'a [(&'a str, f64)];

/// A pipeline that was run.
pub struct Run {
    sandbox: Sandbox,
    /// Of each stage's artifact.
    folders: BTreeMap<String, PathBuf>,
}

impl Run {
    pub fn of(pipeline: &str, files: &[(&str, &[u8])], switches: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::with(pipeline);
        for (name, bytes) in files {
            sandbox.write(name, bytes);
        }
        let mut command = sandbox.command(&["run", "--json", "--quiet"]);
        command.envs(switches.iter().copied());
        let stages = sandbox.finish(&mut command).succeeded().json_lines();
        assert!(
            outcomes(&stages)
                .iter()
                .all(|stage| stage.ends_with("=executed"))
        );
        let text = |stage: &Value, key: &str| stage[key].as_str().unwrap().to_owned();
        let folder = |stage: &Value| {
            let (fingerprint, content) = (text(stage, "fingerprint"), text(stage, "content"));
            sandbox.path(&format!(
                ".seedpipe/v1/artifacts/{fingerprint}/{}",
                &content[..16]
            ))
        };
        let folders = stages
            .iter()
            .map(|stage| (text(stage, "stage"), folder(stage)));
        let folders = folders.collect();
        Self { sandbox, folders }
    }

    /// The files of an output; none where the stage has no such.
    pub fn parts(&self, stage: &str, output: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs_err::read_dir(self.folders[stage].join(output)) else {
            return Vec::new();
        };
        let mut parts: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        parts.sort();
        parts
    }

    /// Of metrics, predictions and weights; no intervals, and nothing of single classes.
    pub fn numbers(&self, stage: &str) -> Numbers {
        let mut numbers = Numbers::new();
        let metrics = MetricsReader::open(&self.parts(stage, "metrics")).unwrap();
        for row in metrics.read_all().unwrap() {
            let is_interval = row.name.ends_with("_low") || row.name.ends_with("_high");
            if !is_interval && !row.name.contains('/') {
                let name = format!("{}/{}", row.split, row.name);
                numbers.entry(name).or_default().push(row.value);
            }
        }
        let predictions = PredictionsReader::open(&self.parts(stage, "predictions")).unwrap();
        for row in predictions.read_all().unwrap() {
            let classes = row.classes.iter().map(|&class| f64::from(class));
            numbers
                .entry("classes".to_owned())
                .or_default()
                .extend(classes);
            let shares = row.probabilities.iter().map(|&share| f64::from(share));
            numbers
                .entry("probabilities".to_owned())
                .or_default()
                .extend(shares);
        }
        for output in ["classifier", "weights"] {
            numbers.extend(state(&self.parts(stage, output)));
        }
        numbers
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }
}

/// A network's tensors.
fn state(parts: &[PathBuf]) -> Numbers {
    if parts.is_empty() {
        return Numbers::new();
    }
    let rows = WeightsReader::open(parts).unwrap().read_all().unwrap();
    let values = |dtype: Dtype, data: &[u8]| -> Vec<f64> {
        match dtype {
            Dtype::F32 => {
                let values = data.as_chunks::<4>().0.iter();
                values
                    .map(|bytes| f32::from_le_bytes(*bytes).into())
                    .collect()
            }
            _ => {
                let values = data.as_chunks::<8>().0.iter();
                values
                    .map(|bytes| i64::from_le_bytes(*bytes) as f64)
                    .collect()
            }
        }
    };
    let named = rows
        .into_iter()
        .map(|row| (row.name, values(row.dtype, &row.data)));
    named.collect()
}

/// What of `reference` isn't found within its tolerance, a line each.
pub fn deviations(ours: &Numbers, reference: &Numbers, tolerances: Tolerances) -> Vec<String> {
    let of = |(name, expected): (&String, &Vec<f64>)| {
        let Some(got) = ours.get(name) else {
            return Some(format!("{name}: none"));
        };
        if got.len() != expected.len() {
            return Some(format!(
                "{name}: {} numbers, expected {}",
                got.len(),
                expected.len()
            ));
        }
        let fits = tolerances.iter().find(|(start, _)| name.starts_with(start));
        let tolerance = fits
            .unwrap_or_else(|| panic!("no tolerance for `{name}`"))
            .1;
        let largest = expected
            .iter()
            .fold(0f64, |most, value| most.max(value.abs()));
        let off = got
            .iter()
            .zip(expected)
            .map(|(got, expected)| (got - expected).abs());
        let off = off.fold(
            0f64,
            |most, off| if off.is_nan() { off } else { most.max(off) },
        );
        // NaN is no number that is near enough.
        let is_near = off <= tolerance * largest;
        (!is_near).then(|| {
            format!(
                "{name}: {:e} off, at most {tolerance:e} is to be",
                off / largest
            )
        })
    };
    reference.iter().filter_map(of).collect()
}
