//! `seedpipe-torch`: the same program as `seedpipe` with the stages that need libtorch.

use std::process::ExitCode;

fn main() -> ExitCode {
    seedpipe_stages::tools::keep_memory();
    seedpipe::main_with(
        seedpipe_stages::whole_registry(),
        Some(seedpipe_stages::tools::tensor_tools()),
    )
}
