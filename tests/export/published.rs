//! A checkpoint file stands wherever a stage's weights do, and what is not known of it is guessed or
//! asked for.

use insta::assert_snapshot;

use super::looking::write_images;
use super::{RUN, without_metadata};

fn bytes(name: &str) -> Vec<u8> {
    fs_err::read(RUN.path(name)).unwrap()
}

/// The student as a file of that name, with what an export says of it.
fn publish(file: &str) {
    let arguments = ["export", "student", "--format", "safetensors", "-o", file];
    RUN.run(&arguments).succeeded();
}

#[test]
fn a_file_predicts_and_is_exported_as_its_stage_is() {
    write_images(&RUN, "published/images");
    publish("published/student.safetensors");
    let predicted = |network: &str| {
        let arguments = [
            "predict",
            network,
            "published/images",
            "--with-head",
            "probe",
        ];
        RUN.run(&arguments).succeeded().stdout
    };
    assert_eq!(
        predicted("published/student.safetensors"),
        predicted("student")
    );
    let exported = |network: &str, file: &str| {
        let arguments = [
            "export",
            network,
            "--with-head",
            "probe",
            "--format",
            "onnx",
            "-o",
            file,
        ];
        RUN.run(&arguments).succeeded();
        bytes(file)
    };
    let of_file = exported("published/student.safetensors", "published/file.onnx");
    assert!(of_file == exported("student", "published/stage.onnx"));
    let card = String::from_utf8(bytes("published/file.onnx.md")).unwrap();
    let digest = seedpipe_engine::Digest::of(&bytes("published/student.safetensors"));
    for part in [
        "read from `student.safetensors`",
        &format!("BLAKE3 `{digest}`"),
        "| probe | probe version",
        "by the linear classifier of stage `probe`",
    ] {
        assert!(card.contains(part), "{part}: {card}");
    }
}

#[test]
fn a_file_that_does_not_say_its_network_is_taken_for_the_known_one_that_fits() {
    write_images(&RUN, "guessed/images");
    publish("guessed/told.safetensors");
    RUN.write(
        "guessed/plain.safetensors",
        without_metadata(&bytes("guessed/told.safetensors")),
    );
    let said = |arguments: &[&str]| {
        let command = ["embed", "guessed/plain.safetensors", "guessed/images"];
        RUN.run(&[&command, arguments].concat()).succeeded()
    };
    let guessed = said(&[]);
    assert!(
        guessed
            .stderr
            .contains("doesn't say its network; it fits {\"name\":\"resnet18\""),
        "{}",
        guessed.stderr
    );
    // As `network inspect` prints it.
    let named = said(&["--network", "{name: resnet18, stem: cifar}"]);
    assert_eq!(named.stdout, guessed.stdout);
    assert_eq!(named.stderr, "");
    let arguments = [
        "export",
        "guessed/plain.safetensors",
        "--format",
        "torchscript",
        "-o",
    ];
    let exported = RUN.run(&[&arguments[..], &["guessed/plain.pt"]].concat());
    assert!(exported.succeeded().stderr.contains("it fits"));
}

#[test]
fn what_no_file_and_no_network_is_named_by_is_refused_with_the_nearest() {
    publish("refused/student.safetensors");
    let header = r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let mut other = (header.len() as u64).to_le_bytes().to_vec();
    other.extend(header.as_bytes());
    other.extend([0; 8]);
    RUN.write("refused/other.safetensors", other);
    let refusal = |arguments: &[&str]| RUN.run(arguments).refusal();
    assert_snapshot!(refusal(&["export", "refused/none.safetensors", "--format", "onnx"]), @r"
    error: no file `refused/none.safetensors`, and no stage of that name
    hint: name a checkpoint, or a stage of the pipeline (`seedpipe status` lists them)
    exit code 2
    ");
    assert_snapshot!(refusal(&["export", "refused/student.safetensors"]), @r"
    error: `refused/student.safetensors` holds a network, and no format was given
    hint: add `--format safetensors`, `torchscript` or `onnx`
    exit code 2
    ");
    assert_snapshot!(refusal(&["embed", "refused/other.safetensors", "digits.parquet"]), @r"
    error: `refused/other.safetensors`: expected a network that is known, got none that fits
    hint: name its network: `--network`, or `network:` in a pipeline; `seedpipe network inspect refused/other.safetensors` lists its tensors
    exit code 1
    ");
    let unknown = [
        "embed",
        "refused/student.safetensors",
        "digits.parquet",
        "--network",
        "resnt18",
    ];
    let unknown = refusal(&unknown);
    assert!(
        unknown.starts_with("error: --network resnt18: key `name`: expected one of ")
            && unknown.contains("hint: did you mean `resnet18`?"),
        "{unknown}"
    );
    assert_snapshot!(refusal(&["embed", "student", "digits.parquet", "--network", "resnet18"]), @r"
    error: stage `student` knows its network, and `--network` was given
    hint: leave it out: it is for checkpoint files
    exit code 2
    ");
}
