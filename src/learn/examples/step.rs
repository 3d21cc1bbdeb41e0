//! Measures training steps: CIFAR ResNet-20, batch 64, 32 pixels, SGD with momentum, in each memory
//! layout and precision; then each optimiser's step alone, and the gradients' norm.
//!
//!     cargo run -p seedpipe-learn --example step [-- SECONDS [THREADS]]
//!
//! Prints images per second of the median and the best step (two threads unless told), and per
//! second of processor time when there is one thread: the figure to trust on a busy machine.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::device::{set_threads, threads};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::optimiser::{Optimiser, OptimiserOptions};
use seedpipe_learn::tch::{Device, Kind, Tensor, no_grad};

const BATCH: i64 = 64;

fn network(channels_last: bool) -> anyhow::Result<Network> {
    let architecture = Architecture {
        classes: Some(10),
        ..Architecture::named("cifar_resnet20")
    };
    let key = |name: &str| ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes());
    let mut network = Network::initialise(&architecture, key, Device::Cpu)?;
    network.set_channels_last(channels_last);
    Ok(network)
}

fn measure(name: &str, duration: Duration, mut step: impl FnMut()) {
    for _ in 0..5 {
        step();
    }
    let begin = Instant::now();
    let processor_begin = processor_seconds();
    let mut seconds = vec![];
    while begin.elapsed() < duration {
        let start = Instant::now();
        step();
        seconds.push(start.elapsed().as_secs_f64());
    }
    let rate = |seconds: f64| BATCH as f64 / seconds;
    let processor = match (processor_begin, processor_seconds()) {
        (Some(begin), Some(end)) if threads() == 1 => {
            let rate = BATCH as f64 * seconds.len() as f64 / (end - begin);
            format!(", per processor second {rate:.0}")
        }
        _ => String::new(),
    };
    seconds.sort_by(f64::total_cmp);
    println!(
        "{name}: median {:.0} images/s, best {:.0}{processor}",
        rate(seconds[seconds.len() / 2]),
        rate(seconds[0])
    );
}

/// Seconds that this thread has run on a processor (Linux).
fn processor_seconds() -> Option<f64> {
    let statistics = fs_err::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = statistics.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e9)
}

fn main() -> anyhow::Result<()> {
    let seconds = std::env::args()
        .nth(1)
        .map_or(Ok(6.0), |text| text.parse())?;
    let duration = Duration::from_secs_f64(seconds);
    set_threads(std::env::args().nth(2).map_or(Ok(2), |text| text.parse())?);
    let images = Tensor::linspace(-2.0, 2.0, BATCH * 3 * 32 * 32, (Kind::Float, Device::Cpu))
        .sin()
        .reshape([BATCH, 3, 32, 32]);
    let labels = Tensor::arange(BATCH, (Kind::Int64, Device::Cpu)).remainder(10);
    let variants = [
        ("f32", false, Precision::F32),
        ("f32 channels-last", true, Precision::F32),
        ("bf16 channels-last", true, Precision::Bf16),
    ];
    for (name, channels_last, precision) in variants {
        let network = network(channels_last)?;
        let mut optimiser = Optimiser::new(network.trainable(), &OptimiserOptions::default());
        measure(&format!("train {name}"), duration, || {
            optimiser.zero_grad();
            let output = network.forward(&images, Mode::Train, precision);
            let logits = output.logits.expect("BUG: the network has a classifier");
            logits.cross_entropy_for_logits(&labels).backward();
            // As the training loop does before each step.
            assert!(optimiser.gradient_norm().is_finite());
            optimiser.step(0.03);
        });
        measure(&format!("infer {name}"), duration, || {
            no_grad(|| network.forward(&images, Mode::Eval, precision));
        });
    }
    for name in ["cifar_resnet20", "resnet50"] {
        measure_optimisers(name, duration.as_secs_f64() / 4.0)?;
    }
    Ok(())
}

fn measure_optimisers(name: &str, seconds: f64) -> anyhow::Result<()> {
    let key = |name: &str| ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes());
    let network = Network::initialise(&Architecture::named(name), key, Device::Cpu)?;
    for (_, tensor) in network.trainable() {
        (&tensor * &tensor).sum(Kind::Float).backward();
    }
    let time = |name: &str, mut work: Box<dyn FnMut()>| {
        work();
        let (begun, mut count, mut best) = (Instant::now(), 0, f64::INFINITY);
        while count < 3 || begun.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            work();
            best = best.min(start.elapsed().as_secs_f64());
            count += 1;
        }
        println!("  {name}: best {:.3} ms", best * 1e3);
    };
    println!("{name}:");
    let rules = [
        ("SGD", OptimiserOptions::default()),
        ("AdamW", OptimiserOptions::AdamW(Default::default())),
        ("LARS", OptimiserOptions::Lars(Default::default())),
    ];
    for (rule, options) in rules {
        let mut optimiser = Optimiser::new(network.trainable(), &options);
        time(rule, Box::new(move || optimiser.step(1e-6)));
    }
    let optimiser = Optimiser::new(network.trainable(), &OptimiserOptions::default());
    let norm = Box::new(move || assert!(optimiser.gradient_norm().is_finite()));
    time("norm of the gradients", norm);
    Ok(())
}
