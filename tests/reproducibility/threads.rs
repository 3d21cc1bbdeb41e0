//! How many threads there are doesn't change content.

use crate::reproducibility::every_kind::with_every_kind;
use crate::sandbox::{AVX2, Sandbox, contents};

/// The stages' contents of a run with so many threads and these variables, in a cache of its own.
fn contents_with(
    sandbox: &Sandbox,
    threads: &str,
    switches: &[(&str, &str)],
) -> Vec<(String, String)> {
    let mut command = sandbox.command(&["run", "--json", "--quiet"]);
    command
        .env("SEEDPIPE_CACHE", sandbox.path(&format!("cache-{threads}")))
        .env("RAYON_NUM_THREADS", threads)
        .env("OMP_NUM_THREADS", threads)
        .envs(switches.iter().copied());
    contents(&sandbox.finish(&mut command).succeeded().json_lines())
}

#[test]
fn one_thread_and_two_give_equal_content_for_every_kind() {
    let sandbox = with_every_kind();
    let one = contents_with(&sandbox, "1", &[]);
    assert_eq!(one.len(), 23);
    assert_eq!(one, contents_with(&sandbox, "2", &[]));
}

/// There oneDNN deals a convolution out by its number of threads, so that two thread counts gave 16
/// of 1,000 rows other bits.
#[test]
fn nor_does_it_where_libtorch_knows_avx2_alone() {
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/data/digits.parquet");
    let sandbox = Sandbox::with(&format!(
        "stages:\n\
         \x20 images: {{kind: ingest, params: {{source: {digits}, label_column: label, split_column: split}}}}\n\
         \x20 seen:\n\
         \x20   kind: encode\n\
         \x20   inputs: {{images: images}}\n\
         \x20   params:\n\
         \x20     network: {{name: cifar_resnet20, head: {{hidden: [256], out: 64}}}}\n\
         \x20     preprocessing: {{size: 20, crop_ratio: 1.0}}\n\
         \x20     splits: [test]\n\
         \x20     store: f32\n"
    ));
    let one = contents_with(&sandbox, "1", &AVX2);
    assert_eq!(one.len(), 2);
    assert_eq!(one, contents_with(&sandbox, "2", &AVX2));
}
