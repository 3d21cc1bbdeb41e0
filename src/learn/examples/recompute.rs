//! Measures what recomputing activations saves: ResNet-50 at 224 pixels, batch 16, one training
//! step after a first one.
//!
//!     cargo run -p seedpipe-learn --example recompute -- plain|recompute [NETWORK [SIDE [BATCH]]]
//!
//! Prints the seconds of the step and the process's greatest resident memory (Linux), so each way
//! needs a process of its own.

use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::device::set_threads;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::optimiser::{Optimiser, OptimiserOptions};
use seedpipe_learn::recompute::Recomputing;
use seedpipe_learn::tch::{Device, Kind, Tensor};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| {
        let given = arguments.get(index).map(String::as_str);
        given.unwrap_or(default).to_owned()
    };
    let again = argument(0, "plain") == "recompute";
    let architecture = Architecture {
        classes: Some(10),
        ..Architecture::named(&argument(1, "resnet50"))
    };
    let (side, batch): (i64, i64) = (argument(2, "224").parse()?, argument(3, "16").parse()?);
    set_threads(2);
    let key = |name: &str| ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes());
    let network = Network::initialise(&architecture, key, Device::Cpu)?;
    let mut optimiser = Optimiser::new(network.trainable(), &OptimiserOptions::default());
    let images = Tensor::linspace(
        -2.0,
        2.0,
        batch * 3 * side * side,
        (Kind::Float, Device::Cpu),
    )
    .sin()
    .reshape([batch, 3, side, side]);
    let labels = Tensor::arange(batch, (Kind::Int64, Device::Cpu)).remainder(10);
    println!("{} MB before the first step", peak_megabytes()?);
    for _ in 0..2 {
        let begun = Instant::now();
        optimiser.zero_grad();
        let recomputing = again.then(Recomputing::begin);
        let output = network.forward(&images, Mode::Train, Precision::F32);
        let logits = output.logits.expect("BUG: the network has a classifier");
        let loss = logits.cross_entropy_for_logits(&labels);
        match recomputing {
            Some(recomputing) => recomputing.backward(&loss),
            None => loss.backward(),
        }
        let norm = optimiser.gradient_norm();
        optimiser.step(0.03);
        println!(
            "{:.1} s, gradient {norm}, at most {} MB",
            begun.elapsed().as_secs_f64(),
            peak_megabytes()?
        );
    }
    Ok(())
}

/// The process's greatest resident memory until now.
fn peak_megabytes() -> anyhow::Result<u64> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.unwrap_or("0").parse::<u64>()? / 1024)
}
