//! `seedpipe-torch`: the same program as `seedpipe` with the stages that need libtorch.

use std::process::ExitCode;

use seedpipe_engine::Registry;

fn main() -> ExitCode {
    seedpipe_stages::tools::keep_memory();
    let mut works = seedpipe_stages::light_works();
    works.extend(seedpipe_stages::tensor_works());
    seedpipe::main_with(
        Registry::new(seedpipe_stages::declared(), works),
        Some(seedpipe_stages::tools::tensor_tools()),
    )
}
