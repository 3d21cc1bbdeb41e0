//! How long the method's parts take: SEED's loss beside the paper's formula by autograd, kNN,
//! linear classifiers.
//!
//! `cargo run -p seedpipe-learn --example method_speed`

use std::ops::ControlFlow;
use std::time::Instant;

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use seedpipe_learn::knn::Bank;
use seedpipe_learn::loss::seed::{barycentre, normalise, seed_loss, seed_loss_from_barycentre};
use seedpipe_learn::probe::{LbfgsProbe, SgdProbe, fit_lbfgs, fit_sgd};
use seedpipe_learn::random::normal;
use seedpipe_learn::tch::{Device, Kind, Tensor};

fn main() {
    let device = Device::cuda_if_available();
    println!(
        "{device:?}, {} threads",
        seedpipe_learn::tch::get_num_threads()
    );
    losses(device);
    neighbours();
    classifiers();
}

/// Forward and backward, batch 256, queue 65,536, dimension 128; alternated, so that all meet the
/// same conditions.
fn losses(device: Device) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut unit = |rows| normalise(&normal(&[rows, 128], &mut rng)).to_device(device);
    let (student, teacher, queue) = (unit(256).set_requires_grad(true), unit(256), unit(65_536));
    let ahead = barycentre(&teacher, &queue, 0.01);
    let forms: [(&str, &dyn Fn() -> Tensor); 3] = [
        ("exact rewriting", &|| {
            seed_loss(&student, &teacher, &queue, 0.2, 0.01)
        }),
        ("exact rewriting, barycentre known", &|| {
            seed_loss_from_barycentre(&student, &teacher, &ahead, &queue, 0.2)
        }),
        ("paper's formula by autograd", &|| {
            direct_loss(&student, &teacher, &queue, 0.2, 0.01)
        }),
    ];
    let mut seconds = vec![vec![]; forms.len()];
    for _ in 0..11 {
        for ((_, loss), seconds) in forms.iter().zip(&mut seconds) {
            let start = Instant::now();
            loss().backward();
            // Reading a value waits for the device.
            let _ = student.grad().double_value(&[0, 0]);
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    for ((name, _), seconds) in forms.iter().zip(&mut seconds) {
        seconds.sort_by(f64::total_cmp);
        println!(
            "SEED loss, {name}: median {:.1} ms, least {:.1} ms",
            seconds[5] * 1e3,
            seconds[0] * 1e3
        );
    }
}

fn direct_loss(
    student: &Tensor,
    teacher: &Tensor,
    queue: &Tensor,
    tau_student: f64,
    tau_teacher: f64,
) -> Tensor {
    let student = normalise(student);
    let logits = |rows: &Tensor| {
        let own = (rows * teacher).sum_dim_intlist(1, true, None);
        Tensor::cat(&[own, rows.matmul(&queue.tr())], 1)
    };
    let target = (logits(teacher) / tau_teacher).softmax(1, None);
    let log_student = (logits(&student) / tau_student).log_softmax(1, None);
    -(target * log_student)
        .sum_dim_intlist(1, false, None)
        .mean(Kind::Float)
}

fn neighbours() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (train, queries) = (
        normal(&[20_000, 64], &mut rng),
        normal(&[10_000, 64], &mut rng),
    );
    let labels: Vec<i64> = (0..20_000).map(|row| row % 10).collect();
    let start = Instant::now();
    let found = Bank::new(&train, &labels, 10).classify(&queries, &[10, 20, 200], 0.07);
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "kNN, {} queries, 20,000 rows of 64, three k: {seconds:.2} s",
        found[0].weighted.len()
    );
}

fn classifiers() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let labels: Vec<i64> = (0..20_000).map(|row| row % 10).collect();
    let centres = normal(&[10, 64], &mut rng).index_select(0, &Tensor::from_slice(&labels));
    let features = centres + normal(&[20_000, 64], &mut rng) * 3.0;
    let start = Instant::now();
    let fit = fit_lbfgs(&features, &labels, 10, &LbfgsProbe::default()).expect("finite features");
    let (seconds, iterations) = (start.elapsed().as_secs_f64(), fit.iterations);
    println!(
        "L-BFGS, 20,000 samples of 64, 10 classes: {seconds:.2} s, {iterations} iterations, converged {}",
        fit.converged
    );
    let start = Instant::now();
    let options = SgdProbe {
        learning_rate: 0.3,
        ..SgdProbe::default()
    };
    let mut same = |_| Ok(features.shallow_clone());
    let fit = fit_sgd(&mut same, &labels, 10, &options, &mut rng, &mut |_, _| {
        ControlFlow::Continue(())
    });
    let loss = fit.expect("a rate that does not diverge").train_loss;
    println!(
        "SGD, 100 epochs of the same: {:.2} s, loss {loss:.4}",
        start.elapsed().as_secs_f64()
    );
}
