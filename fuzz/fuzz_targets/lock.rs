//! pipeline.lock.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/engine/tests/engine/targets.rs"]
#[allow(dead_code, reason = "other targets use the rest")]
mod targets;

fuzz_target!(|text: &str| targets::lock(text));
