//! A program with a kind and networks of its own (`program.rs`, an example of the root package):
//! its kind is cached, shown, checked and described as the others are, and docs/extending.md shows
//! its code.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::sandbox::{Finished, LIGHT_PIPELINE, REPOSITORY, SEEDPIPE, Sandbox, outcomes};

/// The program, built as the binaries were; cargo has done it already unless it was told to build
/// one test target alone.
static EXTENDED: LazyLock<PathBuf> = LazyLock::new(|| {
    let profile = Path::new(SEEDPIPE).parent().unwrap();
    let name = profile.file_name().unwrap().to_str().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--workspace", "--quiet", "--example", "extended"])
        .args(["--profile", if name == "debug" { "dev" } else { name }])
        .arg("--target-dir")
        .arg(profile.parent().unwrap())
        .current_dir(REPOSITORY)
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    profile.join("examples/extended")
});

fn extended(sandbox: &Sandbox, arguments: &[&str]) -> Finished {
    let mut command = Command::new(&*EXTENDED);
    command
        .args(arguments)
        .current_dir(sandbox.path(""))
        .env_remove("SEEDPIPE_CACHE")
        .env_remove("SEEDPIPE_REMOTE");
    sandbox.finish(&mut command)
}

/// A black and a white picture, and a stage of the kind that only the program knows.
fn black_and_white(params: &str) -> Sandbox {
    let sandbox = Sandbox::with(&format!(
        "stages:\n  images: {{kind: ingest, params: {{source: photos}}}}\n  light: {{kind: brightness, inputs: {{images: images}}, params: {{{params}}}}}\n"
    ));
    fs_err::create_dir(sandbox.path("photos")).unwrap();
    for (name, sample) in [("black.png", 0), ("white.png", 255)] {
        let picture = image::RgbImage::from_pixel(4, 3, image::Rgb([sample; 3]));
        picture.save(sandbox.path("photos").join(name)).unwrap();
    }
    sandbox
}

#[test]
fn a_kind_of_ones_own_is_run_once_and_then_cached() {
    let sandbox = black_and_white("");
    let run = || {
        let finished = extended(&sandbox, &["run", "--json"]).succeeded();
        outcomes(&finished.json_lines())
    };
    assert_eq!(run(), ["images=executed", "light=executed"]);
    assert_eq!(run(), ["images=cached", "light=cached"]);
    assert_snapshot!(extended(&sandbox, &["status"]).succeeded().stable_stdout(), @r"
    stage   kind        state   fingerprint   why
    images  ingest      cached  [short]  made [date]
    light   brightness  cached  [short]  made [date]
    2 of 2 stages cached
    ");
    assert_snapshot!(extended(&sandbox, &["metrics"]).succeeded().stdout, @r"
    stage  split  name              value
    light  train  brightness_dark  0.5000
    light  train  brightness_mean  0.5000
    ");
    // What the kind declares as headline stands in the lock, the rest doesn't.
    let lock = fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap();
    assert!(lock.contains("train/brightness_mean: 0.5"), "{lock}");
    assert!(!lock.contains("brightness_dark"), "{lock}");

    fs_err::remove_file(sandbox.path("photos/black.png")).unwrap();
    assert_eq!(run(), ["images=executed", "light=executed"]);
}

#[test]
fn a_kind_of_ones_own_refuses_wrong_params_as_the_others_do() {
    let refusal = |params: &str| {
        let refused = extended(&black_and_white(params), &["status"]).exited_with(2);
        refused.refusal()
    };
    assert_snapshot!(refusal("dark_bellow: 0.1"), @r"
    error: pipeline.yaml: stage `light`: key `params.dark_bellow`: unknown key of kind `brightness`
    hint: did you mean `dark_below`?
    exit code 2
    ");
    assert_snapshot!(refusal("dark_below: 60"), @r"
    error: pipeline.yaml: stage `light`: key `params.dark_below`: expected a number from 0 to 1, got 60
    hint: divide by 255
    exit code 2
    ");
    assert_snapshot!(extended(&black_and_white("split: test"), &["run", "--quiet"]).exited_with(1).refusal(), @r#"
    error: pipeline.yaml: stage `light`: key `split`: expected one of ["train"], got `test`
    hint: name one of those, or let `ingest` make the split
    exit code 1
    "#);
    // The plain program doesn't know the kind.
    let refused = black_and_white("").run(&["status"]).exited_with(2);
    assert!(
        refused.stderr.contains(
            "stage `light`: key `kind`: expected the name of a kind, got `brightness`, which is unknown"
        ),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_kind_of_ones_own_is_in_the_schema() {
    let schema = extended(&Sandbox::empty(), &["schema"]).succeeded().json();
    let rules = schema["definitions"]["stage"]["allOf"].as_array().unwrap();
    let rule = rules
        .iter()
        .find(|rule| rule["if"]["properties"]["kind"]["const"] == "brightness");
    let properties = &rule.unwrap()["then"]["properties"];
    assert_eq!(properties["inputs"]["required"], json!(["images"]));
    let dark_below = &properties["params"]["properties"]["dark_below"];
    assert_eq!(dark_below["default"], json!(0.25));
    assert_eq!(
        dark_below["description"],
        "An image counts as dark when its mean is below this: 0 is black, 1 is white. Default: `0.25`."
    );
}

#[test]
fn a_network_of_ones_own_is_trained_listed_and_read_back() {
    let sandbox = Sandbox::with(&format!(
        "{LIGHT_PIPELINE}  net:
    kind: pretrain
    inputs: {{images: images, views: views}}
    params: {{network: {{name: plain3, width: 0.5}}, queue: 64, training: {{epochs: 1, batch: 16}}}}
  features: {{kind: encode, inputs: {{images: images, weights: net}}, params: {{batch: 32}}}}
  neighbours: {{kind: knn, inputs: {{images: images, features: features}}, params: {{k: [5]}}}}
"
    ));
    extended(&sandbox, &["run", "--quiet"]).succeeded();
    let list = extended(&sandbox, &["network", "list", "--json"])
        .succeeded()
        .json();
    let listed = |name: &str| -> Value {
        let networks = list.as_array().unwrap().iter();
        let found = networks.clone().find(|network| network["name"] == name);
        found.unwrap().clone()
    };
    // 3·16 + 16·32 + 32·64 kernels of 9, two numbers a channel for each norm, a classifier of 1000.
    assert_eq!(
        listed("plain3")["parameters"],
        9 * (3 * 16 + 16 * 32 + 32 * 64) + 2 * (16 + 32 + 64) + 65 * 1000
    );
    assert_eq!(listed("plain2")["features"], 32);

    extended(&sandbox, &["export", "net", "--format", "safetensors"]).succeeded();
    let inspected = extended(&sandbox, &["network", "inspect", "net.safetensors"]).succeeded();
    assert!(inspected.stdout.contains("plain3"), "{}", inspected.stdout);

    let text = fs_err::read_to_string(sandbox.path("pipeline.yaml")).unwrap();
    sandbox.write("pipeline.yaml", text.replace("plain3", "plain4"));
    let refused = extended(&sandbox, &["status"]).exited_with(2);
    assert!(
        refused.stderr.contains("did you mean `plain"),
        "{}",
        refused.stderr
    );
    sandbox.write(
        "pipeline.yaml",
        text.replace("name: plain3", "name: plain3, stem: cifar"),
    );
    let refused = extended(&sandbox, &["status"]).exited_with(2);
    assert!(
        refused
            .stderr
            .contains("hint: `plain3` has one stem; leave `stem` out"),
        "{}",
        refused.stderr
    );
}

/// The page's blocks that follow a comment with a file's path.
fn shown(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for piece in page.split("<!-- file: ").skip(1) {
        let (path, rest) = piece.split_once(" -->\n").unwrap();
        let (_, rest) = rest.split_once("```rust\n").unwrap();
        let (code, _) = rest.split_once("```\n").unwrap();
        found.push((path.to_owned(), code.to_owned()));
    }
    found
}

#[test]
fn the_page_shows_the_code_that_is_tested() {
    let read = |path: &str| fs_err::read_to_string(format!("{REPOSITORY}/{path}")).unwrap();
    let blocks = shown(&read("docs/extending.md"));
    let paths: Vec<&str> = blocks.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "tests/extending/brightness.rs",
            "tests/extending/program.rs",
            "tests/extending/plain_net.rs"
        ]
    );
    for (path, code) in &blocks {
        assert_eq!(
            *code,
            read(path),
            "docs/extending.md shows other code than {path}"
        );
    }
}
