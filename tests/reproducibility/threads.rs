//! How many threads there are doesn't change content.

use crate::reproducibility::every_kind::with_every_kind;
use crate::sandbox::contents;

#[test]
fn one_thread_and_two_give_equal_content_for_every_kind() {
    let sandbox = with_every_kind();
    let run = |threads: &str| {
        let mut command = sandbox.command(&["run", "--json", "--quiet"]);
        command
            .env("SEEDPIPE_CACHE", sandbox.path(&format!("cache-{threads}")))
            .env("RAYON_NUM_THREADS", threads)
            .env("OMP_NUM_THREADS", threads);
        contents(&sandbox.finish(&mut command).succeeded().json_lines())
    };
    let (one, two) = (run("1"), run("2"));
    assert_eq!(one.len(), 18);
    assert_eq!(one, two);
}
