//! How fast the method's own parts are, on one thread:
//! `cargo bench --profile dev -p seedpipe-learn`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::device::set_threads;
use seedpipe_learn::knn::Bank;
use seedpipe_learn::loss::seed::{normalise, seed_loss};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::optimiser::{Optimiser, OptimiserOptions};
use seedpipe_learn::probe::{LbfgsProbe, fit_lbfgs};
use seedpipe_learn::tch::{Device, Kind, Tensor};

/// Rows of length 1 that are the same in every run.
fn rows(count: i64, dimension: i64, phase: f64) -> Tensor {
    let numbers = Tensor::arange(count * dimension, (Kind::Double, Device::Cpu));
    let rows = ((numbers * 12.9898 + phase).sin() * 43758.5453).frac();
    normalise(&rows.to_kind(Kind::Float).reshape([count, dimension]))
}

fn losses(criterion: &mut Criterion) {
    set_threads(1);
    let (student, teacher) = (rows(256, 128, 0.1), rows(256, 128, 0.2));
    let mut group = criterion.benchmark_group("seed_loss");
    for length in [4096, 65_536] {
        let queue = rows(length, 128, 0.3);
        group.throughput(Throughput::Elements(256));
        group.bench_function(format!("256_x_128_queue_{length}"), |bencher| {
            bencher.iter(|| {
                let student = student.copy().set_requires_grad(true);
                seed_loss(&student, &teacher, &queue, 0.2, 0.01).backward();
                black_box(student.grad())
            });
        });
    }
}

fn evaluations(criterion: &mut Criterion) {
    set_threads(1);
    let features = rows(10_000, 256, 0.4);
    let queries = rows(1_000, 256, 0.5);
    let labels: Vec<i64> = (0..10_000).map(|row| row % 10).collect();
    let mut group = criterion.benchmark_group("evaluation");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("nearest_1000_of_10000_x_256", |bencher| {
        bencher.iter(|| Bank::new(&features, &labels, 10).nearest_rows(black_box(&queries), 20));
    });
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("probe_10000_x_256_10_classes", |bencher| {
        bencher.iter(|| fit_lbfgs(black_box(&features), &labels, 10, &LbfgsProbe::default()));
    });
}

fn steps(criterion: &mut Criterion) {
    set_threads(1);
    let images = rows(64, 3 * 32 * 32, 0.6).reshape([64, 3, 32, 32]);
    let labels = Tensor::arange(64, (Kind::Int64, Device::Cpu)).remainder(10);
    let architecture = Architecture {
        classes: Some(10),
        ..Architecture::named("cifar_resnet20")
    };
    let key = |name: &str| ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes());
    let mut group = criterion.benchmark_group("cifar_resnet20_batch_64");
    group.throughput(Throughput::Elements(64)).sample_size(20);
    for (name, precision) in [("f32", Precision::F32), ("bf16", Precision::Bf16)] {
        let mut network =
            Network::initialise(&architecture, key, Device::Cpu).expect("a known network");
        network.set_channels_last(true);
        let mut optimiser = Optimiser::new(network.trainable(), &OptimiserOptions::default());
        group.bench_function(format!("training_step_{name}"), |bencher| {
            bencher.iter(|| {
                optimiser.zero_grad();
                let output = network.forward(&images, Mode::Train, precision);
                let logits = output.logits.expect("BUG: the network has a classifier");
                logits.cross_entropy_for_logits(&labels).backward();
                optimiser.step(0.03);
            });
        });
    }
}

criterion_group!(benches, losses, evaluations, steps);
criterion_main!(benches);
