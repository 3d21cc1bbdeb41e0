//! `network inspect`: which network a file is of, as a pipeline names it.

use super::{RUN, without_metadata};
use crate::sandbox::REPOSITORY;

fn inspected(file: &str) -> String {
    RUN.run(&["network", "inspect", file]).succeeded().stdout
}

/// The line that is pasted into a pipeline.
fn network(text: &str) -> &str {
    let line = text.lines().find(|line| line.starts_with("network: "));
    line.unwrap_or_else(|| panic!("no network in\n{text}"))
}

#[test]
fn a_narrow_network_is_recognised_and_what_is_printed_can_be_pasted() {
    let export = [
        "export",
        "teacher",
        "--format",
        "safetensors",
        "-o",
        "narrow/told.safetensors",
    ];
    RUN.run(&export).succeeded();
    let bytes = fs_err::read(RUN.path("narrow/told.safetensors")).unwrap();
    RUN.write("narrow/plain.safetensors", without_metadata(&bytes));
    let text = inspected("narrow/plain.safetensors");
    assert_eq!(network(&text), "network: {name: cifar_resnet8, width: 0.5}");
    let preprocessing = text
        .lines()
        .find(|line| line.starts_with("preprocessing: "));
    let pipeline = format!(
        "stages:\n  images: {{kind: ingest, params: {{source: ../digits.parquet, take: {{train: 4}}}}}}\n  teacher: {{kind: encode, inputs: \
         {{images: images}}, params: {{checkpoint: plain.safetensors, {}, {}}}}}\n",
        network(&text),
        preprocessing.unwrap()
    );
    RUN.write("narrow/pipeline.yaml", pipeline);
    RUN.run(&["--pipeline", "narrow", "run", "--quiet"])
        .succeeded();
}

#[test]
fn files_of_other_projects_say_layout_network_and_leftovers() {
    for (file, layout, leftover) in [
        (
            "moco_v2.pth.tar",
            "legacy torch.save, MoCo v2, prefix `state_dict.module.encoder_q.`",
            "encoder_k",
        ),
        (
            "model.safetensors.index.json",
            "sharded safetensors, plain names",
            "",
        ),
        (
            "swav.pth.tar",
            "zip torch.save, SwAV, prefix `module.`",
            "projection_head",
        ),
    ] {
        let text = inspected(&format!("{REPOSITORY}/src/learn/testdata/layouts/{file}"));
        // Of 1/32 of a ResNet-18's channels, 2 to 16: this is the shortest factor that gives them.
        let line = network(&text);
        assert!(line.starts_with("network: {name: resnet18, "), "{text}");
        assert!(line.ends_with("width: 0.031}"), "{text}");
        assert!(text.contains(layout), "{text}");
        assert!(
            text.contains("preprocessing: {") && text.contains("size: 224"),
            "{text}"
        );
        assert!(text.contains(leftover), "{text}");
    }
}

#[test]
fn preprocessing_is_printed_as_it_is_written_and_nothing_known_is_said() {
    let text = inspected(&format!("{REPOSITORY}/src/learn/testdata/layouts/ddp.pth"));
    assert!(text.contains("mean: [0.485, 0.456, 0.406]"), "{text}");
    let text = inspected(&format!("{REPOSITORY}/src/learn/testdata/nested_zip.pt"));
    assert!(text.contains("no network that is known\n"), "{text}");
}
