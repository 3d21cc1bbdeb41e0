//! pipeline.yaml: read, expanded and checked against the toy kinds of the engine's tests.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seedpipe_engine::Registry;

#[path = "../../src/engine/tests/engine/targets.rs"]
#[allow(dead_code, reason = "other targets use the rest")]
mod targets;
#[path = "../../src/engine/tests/engine/toy.rs"]
#[allow(dead_code, reason = "only the declarations are needed")]
mod toy;

static REGISTRY: LazyLock<Registry> = LazyLock::new(toy::registry);

fuzz_target!(|text: &str| targets::spec(text, &REGISTRY));
