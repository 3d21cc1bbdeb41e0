//! `seedpipe` with a kind and two networks more: a program of one's own, shown in
//! docs/extending.md.

mod brightness;
mod plain_net;

use std::process::ExitCode;

use brightness::Brightness;
use plain_net::PlainNet;
use seedpipe_learn::families;

fn main() -> ExitCode {
    families::add("plain2", &PlainNet { layers: 2 });
    families::add("plain3", &PlainNet { layers: 3 });
    let registry = seedpipe_stages::whole_registry().with::<Brightness>();
    let tools = seedpipe_stages::tools::tensor_tools();
    seedpipe::main_with(registry, Some(tools))
}
