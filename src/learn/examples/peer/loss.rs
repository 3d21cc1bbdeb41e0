//! SEED's loss, forward and backward, on `student`, `teacher` (`[B, D]`) and `queue` (`[K, D]`);
//! sizes B K D.
//!
//! Lines: `time` (wall and processor seconds), `peak` (bytes), `gradient` (the loss; writes
//! `gradient.f32`).

use anyhow::{Result, bail};
use seedpipe_learn::loss::seed::seed_loss;
use seedpipe_learn::tch::Tensor;

use super::Answers;
use super::arrays::Folder;
use super::process::{peak_bytes, timed};

const TEMPERATURES: (f64, f64) = (0.2, 0.01);

pub fn answers(folder: &Folder, sizes: &[i64]) -> Result<Answers> {
    let &[batch, length, dimension] = sizes else {
        bail!("expected B K D, got {sizes:?}");
    };
    let student = folder.floats("student", &[batch, dimension])?;
    let teacher = folder.floats("teacher", &[batch, dimension])?;
    let queue = folder.floats("queue", &[length, dimension])?;
    let folder = folder.clone();
    let step = move |queue: &Tensor| {
        let student = student.copy().set_requires_grad(true);
        let loss = seed_loss(&student, &teacher, queue, TEMPERATURES.0, TEMPERATURES.1);
        loss.backward();
        (loss.double_value(&[]), student.grad())
    };
    // Code is loaded from the disk before anything is measured.
    let _ = step(&queue.narrow(0, 0, 1024.min(length)));
    Ok(Box::new(move |line| {
        Ok(match line {
            "time" => timed(|| step(&queue)).1,
            "peak" => peak_bytes(|| drop(step(&queue))).to_string(),
            "gradient" => {
                let (loss, gradient) = step(&queue);
                folder.write_floats("gradient", &gradient)?;
                loss.to_string()
            }
            other => bail!("expected time, peak or gradient, got `{other}`"),
        })
    }))
}
