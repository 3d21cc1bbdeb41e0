//! `seedpipe`: everything that needs no tensors. It must never name `whole_registry` or
//! `tensor_tools`, so that the linker leaves libtorch out and the program starts in milliseconds;
//! `run` hands over to `seedpipe-torch` when a stage needs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    seedpipe::main_with(seedpipe_stages::light_registry(), None)
}
