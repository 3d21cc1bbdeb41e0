//! Multinomial logistic regression on `features` (`[N, D]`) and `labels`; sizes N D C, then
//! tolerance and l2 as negative powers of ten.
//!
//! Lines: `time` (wall and processor seconds, iterations), `fit` (the mean cross-entropy; writes
//! `weight.f32` and `bias.f32`).

use anyhow::{Result, bail};
use seedpipe_learn::probe::{Fit, LbfgsProbe, fit_lbfgs};

use super::Answers;
use super::arrays::Folder;
use super::process::timed;

pub fn answers(folder: &Folder, sizes: &[i64]) -> Result<Answers> {
    let &[samples, dimension, classes, tolerance, l2] = sizes else {
        bail!("expected N D C TOLERANCE L2, got {sizes:?}");
    };
    let features = folder.floats("features", &[samples, dimension])?;
    let labels = folder.integers("labels")?;
    let folder = folder.clone();
    let options = LbfgsProbe {
        gradient_tolerance: 10f64.powi(-tolerance as i32),
        l2: 10f64.powi(-l2 as i32),
        ..LbfgsProbe::default()
    };
    let fit =
        move || -> Result<Fit> { Ok(fit_lbfgs(&features, &labels, classes as usize, &options)?) };
    Ok(Box::new(move |line| {
        Ok(match line {
            "time" => {
                let (fit, seconds) = timed(&fit);
                format!("{seconds} {}", fit?.iterations)
            }
            "fit" => {
                let fit = fit()?;
                folder.write_floats("weight", &fit.classifier.weight)?;
                folder.write_floats("bias", &fit.classifier.bias)?;
                format!("{} {}", fit.train_loss, fit.converged)
            }
            other => bail!("expected time or fit, got `{other}`"),
        })
    }))
}
