//! `embed --neighbours-of IMAGE --among`: searching embeddings that are stored already.

use seedpipe_artifact::ImagesReader;
use serde_json::Value;

use super::RUN;
use super::looking::write_images;

/// What a search prints.
fn found(arguments: &[&str]) -> Vec<Value> {
    RUN.run(&[&["embed"], arguments].concat())
        .succeeded()
        .json_lines()
}

fn refusal(arguments: &[&str]) -> String {
    RUN.run(&[&["embed"], arguments].concat()).refusal()
}

#[test]
fn a_written_file_is_searched_without_its_images_and_gives_what_embedding_them_gives() {
    write_images(&RUN, "stored/images");
    RUN.write(
        "stored/query.png",
        fs_err::read(RUN.path("stored/images/4.png")).unwrap(),
    );
    let query = ["--neighbours-of", "stored/query.png", "-k", "3"];
    let anew = found(&[&["student", "stored/images"], &query[..]].concat());
    found(&["student", "stored/images", "-o", "stored.parquet"]);
    fs_err::remove_dir_all(RUN.path("stored/images")).unwrap();
    let among = ["--among", "stored.parquet"];
    let again = found(&[&["student"], &query[..], &among].concat());
    assert_eq!(again, anew);
    assert_eq!(again[0]["image"], "stored/images/4.png");
    // The exported file is the same network.
    let export = [
        "export",
        "student",
        "--format",
        "safetensors",
        "-o",
        "stored.safetensors",
    ];
    RUN.run(&export).succeeded();
    let by_file = found(&[&["stored.safetensors"], &query[..], &among].concat());
    assert_eq!(by_file, anew);
}

#[test]
fn an_encode_stage_is_searched_and_its_images_are_named() {
    let entries = RUN.cache_entries("");
    let mut parts = entries.iter().filter(|entry| entry.contains("/images/"));
    let folder = parts.next().unwrap().rsplit_once('/').unwrap().0;
    let parts = entries
        .iter()
        .filter(|entry| entry.starts_with(&format!("{folder}/")));
    let parts = parts.map(|entry| RUN.path(".seedpipe/v1").join(entry));
    let images = ImagesReader::open(&parts.collect::<Vec<_>>()).unwrap();
    RUN.write("encoded.png", images.bytes(7).unwrap());
    let search = [
        "student",
        "--neighbours-of",
        "encoded.png",
        "--among",
        "features",
    ];
    let found = found(&search);
    assert_eq!(found.len(), 10);
    assert_eq!(found[0]["image"], images.source(7).unwrap());
    let near = |row: usize| found[row]["similarity"].as_f64().unwrap();
    assert!(near(0) > 0.9999, "{}", near(0)); // stored as f16
    assert!((1..10).all(|row| near(row) <= near(row - 1)));
}

#[test]
fn embeddings_of_another_network_or_of_nothing_known_are_refused() {
    write_images(&RUN, "others");
    found(&["student", "others", "-o", "others.parquet"]);
    found(&["student", "others", "-o", "others.jsonl"]);
    let query = ["--neighbours-of", "others/1.png", "--among"];
    let refused = |network: &str, among: &str| {
        let arguments = [&[network], &query[..], &[among]].concat();
        refusal(&arguments)
    };
    insta::assert_snapshot!(refused("teacher", "others.parquet"), @r"
    error: `others.parquet` holds embeddings of another network: expected network [short], got [short]
    hint: name the network that made them, or embed the images again with this one
    exit code 1
    ");
    insta::assert_snapshot!(refused("teacher", "features"), @r"
    error: stage `features` holds embeddings of another network: expected network [short], got [short]
    hint: name the network that made them, or embed the images again with this one
    exit code 1
    ");
    insta::assert_snapshot!(refused("teacher", "targets"), @r"
    error: stage `targets` holds embeddings of views, expected of whole images
    hint: name an `encode` stage without the input `views`
    exit code 1
    ");
    insta::assert_snapshot!(refused("student", "probe"), @r"
    error: stage `probe` holds no embeddings (kind `probe`)
    hint: name a stage of kind `encode`, or a file that `embed` wrote
    exit code 2
    ");
    insta::assert_snapshot!(refused("student", "absent.parquet"), @r"
    error: `--among absent.parquet`: expected a .parquet file, found nothing
    hint: write it with `seedpipe embed … -o FILE.parquet`, or name an `encode` stage
    exit code 2
    ");
    insta::assert_snapshot!(refused("student", "others.jsonl"), @r"
    error: `--among others.jsonl`: expected a .parquet file, found another
    hint: write it with `seedpipe embed … -o FILE.parquet`, or name an `encode` stage
    exit code 2
    ");
    insta::assert_snapshot!(refused("student", "digits.parquet"), @r"
    error: `digits.parquet`: column `image`: expected text, got Binary
    hint: expected a file that `seedpipe embed` wrote
    exit code 1
    ");
}
