//! What the stages gave: the results, and the checkpoint before the last update.

use std::collections::BTreeMap;
use std::path::PathBuf;

use seedpipe_artifact::{MetricsReader, PredictionsReader, WeightsReader};
use seedpipe_learn::tch::{Kind, Tensor};
use seedpipe_learn::tensors;
use seedpipe_learn::training_state::{TrainingState, latest};
use serde_json::Value;

use super::comparing::{Results, figures};
use crate::sandbox::Sandbox;

pub struct Ran {
    /// Those that train, in the pipeline's order.
    pub stages: Vec<RanStage>,
}

pub struct RanStage {
    pub name: String,
    /// Of the manifest: kind, params, seed.
    pub recipe: Value,
    /// Parquet files of each input, of several stages one list each.
    pub inputs: BTreeMap<String, Vec<Vec<PathBuf>>>,
    pub artifact: PathBuf,
    /// Before the last update.
    pub checkpoint: TrainingState,
    pub updates_per_epoch: usize,
    /// That are trained on.
    pub images: usize,
}

impl Ran {
    /// Runs each training until its last update is done, keeps the checkpoint before it, and lets
    /// it end.
    ///
    /// - `images`: that a stage with these params trains on, once its inputs have run
    pub fn of(sandbox: &Sandbox, images: impl Fn(&Value) -> usize) -> Ran {
        let pipeline = fs_err::read_to_string(sandbox.path("pipeline.yaml")).unwrap();
        let mut pipeline: serde_yaml::Value = serde_yaml::from_str(&pipeline).unwrap();
        pipeline.apply_merge().unwrap();
        // In the file's order, in which a stage comes after its inputs.
        let names = pipeline["stages"].as_mapping().unwrap().keys();
        let names: Vec<&str> = names.map(|name| name.as_str().unwrap()).collect();
        let described = serde_json::to_value(&pipeline["stages"]).unwrap();
        let is_training = |stage: &&&str| {
            let kind = described[**stage]["kind"].as_str().unwrap();
            ["pretrain", "distill", "finetune"].contains(&kind)
        };
        let mut checkpoints = BTreeMap::new();
        for &stage in names.iter().filter(is_training) {
            // Inputs first: their updates are no updates of this stage.
            let inputs = described[stage]["inputs"].as_object().unwrap();
            let mut run = vec!["run", "--quiet"];
            run.extend(inputs.values().flat_map(texts));
            sandbox.run(&run).succeeded();
            let params = &described[stage]["params"];
            let images = images(params);
            let number = |key: &str| params["training"][key].as_u64();
            let batch = number("batch").unwrap() * number("accumulate").unwrap_or(1);
            let updates = images as u64 / batch;
            let last = updates * number("epochs").unwrap();
            let mut run = sandbox.command(&["run", "--quiet", stage]);
            let killed =
                sandbox.finish(run.env("SEEDPIPE_FAULT", format!("training.step:{last}=kill")));
            assert_eq!(killed.code, None, "{stage}: {}", killed.stderr);
            for draft in fs_err::read_dir(sandbox.path(".seedpipe/v1/drafts")).unwrap() {
                let folder = draft.unwrap().path().join("checkpoints");
                let mut warn = |message| panic!("{message}");
                let state = latest(&folder, &mut warn).unwrap().unwrap();
                assert_eq!(state.step, last - 1, "{stage}");
                checkpoints.insert(stage.to_owned(), (state, updates as usize, images));
            }
            sandbox.run(&["run", "--quiet", stage]).succeeded();
        }
        let artifacts: BTreeMap<String, PathBuf> = sandbox
            .run_json(&[])
            .iter()
            .map(|line| {
                let text = |key: &str| line[key].as_str().unwrap();
                let (fingerprint, content) = (text("fingerprint"), &text("content")[..16]);
                let folder = format!(".seedpipe/v1/artifacts/{fingerprint}/{content}");
                (text("stage").to_owned(), sandbox.path(&folder))
            })
            .collect();
        let stages = checkpoints
            .into_iter()
            .map(|(name, (checkpoint, updates, images))| {
                let artifact = artifacts[&name].clone();
                let inputs = described[&name]["inputs"].as_object().unwrap();
                let inputs = inputs.iter().map(|(slot, stages)| {
                    let parts = texts(stages).map(|stage| parquet(&artifacts[stage]));
                    (slot.clone(), parts.collect())
                });
                let manifest = fs_err::read_to_string(artifact.join("manifest.json")).unwrap();
                let manifest: Value = serde_json::from_str(&manifest).unwrap();
                RanStage {
                    recipe: manifest["recipe"].clone(),
                    inputs: inputs.collect(),
                    artifact,
                    checkpoint,
                    updates_per_epoch: updates,
                    images,
                    name,
                }
            });
        Ran {
            stages: stages.collect(),
        }
    }
}

impl RanStage {
    pub fn weights(&self) -> WeightsReader {
        WeightsReader::open(&[self.artifact.join("weights/part-00000.parquet")]).unwrap()
    }

    pub fn results(&self) -> Results {
        let rows = self.weights().read_all().unwrap();
        let weights = rows.into_iter().map(|row| {
            let dtype = row.dtype.name().to_uppercase();
            let tensor = tensors::from_bytes(&dtype, &row.shape, &row.data).unwrap();
            (row.name, figures(&values(&tensor)))
        });
        let mut weights: BTreeMap<_, _> = weights.collect();
        let answers = self.artifact.join("predictions/part-00000.parquet");
        if answers.exists() {
            let rows = PredictionsReader::open(&[answers]).unwrap().read_all();
            let shares = rows.unwrap().into_iter().flat_map(|row| row.probabilities);
            weights.insert("answers".to_owned(), figures(&shares.collect::<Vec<_>>()));
        }
        let metrics = [self.artifact.join("metrics/part-00000.parquet")];
        let metrics = MetricsReader::open(&metrics).unwrap().read_all().unwrap();
        let losses = metrics.into_iter().filter(|row| row.name == "loss");
        let kept = self.checkpoint.tensors.iter();
        let scalars = self.checkpoint.scalars.as_object().unwrap().iter();
        Results {
            losses: losses.map(|row| row.value).collect(),
            kept: kept
                .map(|(name, tensor)| (name.clone(), figures(&values(tensor))))
                .collect(),
            queues: scalars
                .filter(|(name, _)| *name != "loop")
                .map(|(name, scalar)| (name.clone(), scalar.clone()))
                .collect(),
            weights,
        }
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensors::to_vec_f32(&tensor.detach().to_kind(Kind::Float))
}

/// A name, or several.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let several = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    several.iter().map(|text| text.as_str().unwrap())
}

/// The Parquet files of an artifact's first output, or of its images.
fn parquet(artifact: &std::path::Path) -> Vec<PathBuf> {
    let outputs = ["images", "views", "embeddings", "weights", "classifier"];
    let output = outputs.iter().map(|output| artifact.join(output));
    let output = output.into_iter().find(|folder| folder.is_dir()).unwrap();
    let files = fs_err::read_dir(output).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}
