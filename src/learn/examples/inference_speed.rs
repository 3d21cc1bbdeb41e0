//! Measures the forward pass for `tests/peers/inference.py`: reads lines
//! `NETWORK PATH BATCH SIZE SECONDS` and answers each with images per second, of the median batch
//! and (on one thread, Linux) per second of processor time. PATH is `plain_f32`, `plain_bf16`,
//! `folded_f32` or `folded_bf16`.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::inference::Inference;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::random;
use seedpipe_learn::tch::{Device, Tensor, no_grad};

fn main() -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, path, batch, size, seconds] = words[..] else {
            bail!("expected `NETWORK PATH BATCH SIZE SECONDS`, got `{line}`");
        };
        let (batch, size) = (
            batch.parse().context("BATCH")?,
            size.parse().context("SIZE")?,
        );
        let duration = Duration::from_secs_f64(seconds.parse().context("SECONDS")?);
        // On a thread of the pool, so that with one thread its time is all of the time.
        let (median, processor) = rayon::scope(|_| measure(name, path, batch, size, duration))?;
        println!("{median:.3} {processor:.3}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Images per second: of the median batch, and per second of processor time.
fn measure(
    name: &str,
    path: &str,
    batch: i64,
    size: i64,
    duration: Duration,
) -> Result<(f64, f64)> {
    let architecture = Architecture {
        classes: Some(1000),
        ..Architecture::named(name)
    };
    let key = |name: &str| ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes());
    let network = Network::initialise(&architecture, key, Device::Cpu)?;
    network.freeze();
    let images = random::normal(&[batch, 3, size, size], &mut key("images"));
    let precision = if path.ends_with("bf16") {
        Precision::Bf16
    } else {
        Precision::F32
    };
    let inference = Inference::new(&network, precision);
    let forward: Box<dyn Fn() -> Tensor> = match path {
        "plain_f32" | "plain_bf16" => {
            Box::new(|| no_grad(|| network.forward(&images, Mode::Eval, precision)).features)
        }
        "folded_f32" | "folded_bf16" => Box::new(|| inference.forward(&images).features),
        other => bail!("no path `{other}`"),
    };
    for _ in 0..2 {
        let _ = forward();
    }
    let processor_begin = processor_seconds();
    let begin = Instant::now();
    let mut seconds = vec![];
    while seconds.len() < 3 || begin.elapsed() < duration {
        let start = Instant::now();
        let _ = forward();
        seconds.push(start.elapsed().as_secs_f64());
    }
    let processor = processor_seconds() - processor_begin;
    let images = batch as f64 * seconds.len() as f64;
    seconds.sort_by(f64::total_cmp);
    Ok((
        batch as f64 / seconds[seconds.len() / 2],
        images / processor,
    ))
}

/// Seconds that this thread has run on a processor (Linux; elsewhere no number).
fn processor_seconds() -> f64 {
    fs_err::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(f64::NAN, |nanoseconds| nanoseconds / 1e9)
}
