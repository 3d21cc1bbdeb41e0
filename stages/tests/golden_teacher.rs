//! The real ResNet-56 on real photographs: our own decoding and resizing, then the network, against
//! PyTorch's features.

#[path = "../../tests/requirements.rs"]
mod requirements;

use std::path::{Path, PathBuf};

use seedpipe_artifact::{SourceColumns, SourceTable};
use seedpipe_imaging::{Layout, Limits, Normalise, Scratch, View, decode, render};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use seedpipe_learn::checkpoint_file::load_network;
use seedpipe_learn::network::{Mode, Precision};
use seedpipe_learn::tensors::{from_slice_f32, to_vec_f32};
use tch::{Device, no_grad};

const SIZE: u32 = 32;

fn fixtures() -> PathBuf {
    let committed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    std::env::var_os("SEEDPIPE_FIXTURES").map_or_else(committed, PathBuf::from)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter()
            .zip(y)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn photographs_decoded_and_resized_by_us_give_the_teachers_golden_features() {
    let facts: serde_json::Value =
        serde_json::from_slice(&fs_err::read(fixtures().join("teacher_resnet56.json")).unwrap())
            .unwrap();
    let files = [
        "data/teachers/resnet56-cifar10.safetensors",
        facts["source"].as_str().unwrap(),
    ];
    let [Some(checkpoint), Some(source)] = files.map(requirements::shared) else {
        return;
    };
    let rows =
        facts["rows"][0].as_u64().unwrap() as usize..facts["rows"][1].as_u64().unwrap() as usize;
    let file = fs_err::read(fixtures().join("teacher_resnet56.safetensors")).unwrap();
    let golden = safetensors::SafeTensors::deserialize(&file).unwrap();
    let golden: Vec<f32> = golden
        .tensor("features")
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();

    let table = SourceTable::open(&source, &SourceColumns::default()).unwrap();
    let Preprocessing { mean, std, .. } = Preprocessing::default();
    let normalise = Normalise { mean, std };
    let mut pixels = Vec::new();
    for row in table
        .batches(rows.clone())
        .unwrap()
        .flat_map(Result::unwrap)
    {
        let image = decode(&row.bytes.unwrap(), &Limits::default()).unwrap();
        let view = View::centre_square(image.width, image.height, SIZE);
        let mut values = vec![0.0; 3 * (SIZE * SIZE) as usize];
        render(
            &image,
            &view,
            &mut Scratch::default(),
            &mut values,
            Layout::Chw,
            Some(&normalise),
        )
        .unwrap();
        pixels.extend(values);
    }
    let architecture = Architecture {
        classes: Some(10),
        ..Architecture::named("cifar_resnet56")
    };
    let (network, _) = load_network(&checkpoint, &architecture, None, Device::Cpu).unwrap();
    let images = from_slice_f32(&[rows.len() as i64, 3, SIZE.into(), SIZE.into()], &pixels);
    let features =
        to_vec_f32(&no_grad(|| network.forward(&images, Mode::Eval, Precision::F32)).features);

    let dimension = features.len() / rows.len();
    assert_eq!(
        golden.len(),
        features.len(),
        "the golden features are of the same rows"
    );
    for (row, (ours, theirs)) in features
        .chunks(dimension)
        .zip(golden.chunks(dimension))
        .enumerate()
    {
        let cosine = cosine(ours, theirs);
        assert!(
            cosine >= 0.999,
            "row {row}: expected a cosine of at least 0.999, got {cosine}"
        );
    }
}
