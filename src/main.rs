//! `seedpipe`: everything that needs no tensors. It must never name `tensor_works` or `tensor_tools`, so that the linker leaves libtorch out
//! and the program starts in milliseconds; `run` hands over to `seedpipe-torch` when a stage needs it.

use std::process::ExitCode;

use seedpipe_engine::Registry;

fn main() -> ExitCode {
    seedpipe::main_with(
        Registry::new(seedpipe_stages::declared(), seedpipe_stages::light_works()),
        None,
    )
}
