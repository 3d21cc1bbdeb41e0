//! An exponential moving average of weights and of batch norms' statistics, as
//! `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn` and `use_buffers`: it begins
//! as the weights after the first update, then average ← average + (1 − decay) · (weight −
//! average). Counts are taken over as they are.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;
use tch::{Tensor, no_grad};

/// Live tensors and their average.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    live: Vec<(String, Tensor)>,
    /// One for each of `live`; none before the first update.
    averages: Vec<Tensor>,
}

impl Average {
    /// - `live`: the tensors that change with training, kept by reference
    /// - `decay`: what an update keeps of the average, 0 to below 1
    pub fn new(live: Vec<(String, Tensor)>, decay: f64) -> Self {
        Self {
            decay,
            live,
            averages: Vec::new(),
        }
    }

    /// Takes in the live tensors after an update.
    pub fn update(&mut self) {
        no_grad(|| {
            if self.averages.is_empty() {
                let copies = self.live.iter().map(|(_, live)| live.detach().copy());
                self.averages = copies.collect();
                return;
            }
            for (average, (_, live)) in self.averages.iter_mut().zip(&self.live) {
                if average.is_floating_point() {
                    let _ = average.lerp_(live, 1.0 - self.decay);
                } else {
                    average.copy_(live);
                }
            }
        });
    }

    /// The average by the live tensors' names: none before the first update.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let names = self.live.iter().map(|(name, _)| name.clone());
        names
            .zip(self.averages.iter().map(Tensor::shallow_clone))
            .collect()
    }

    /// Takes over a checkpoint's average (copied): that of all tensors, or none at all.
    pub fn load(&mut self, mut stored: BTreeMap<String, Tensor>) -> Result<(), Refusal> {
        if stored.is_empty() {
            self.averages.clear();
            return Ok(());
        }
        let fits = stored.len() == self.live.len()
            && self.live.iter().all(|(name, live)| {
                let tensor = stored.get(name);
                tensor.is_some_and(|tensor| {
                    tensor.size() == live.size() && tensor.kind() == live.kind()
                })
            });
        if !fits {
            let names: Vec<String> = stored.into_keys().collect();
            return Err(Refusal::failure(format!(
                "the average does not fit the network: it holds {names:?}"
            )));
        }
        self.averages.clear();
        no_grad(|| {
            for (name, live) in &self.live {
                let mut average = live.detach().zeros_like();
                if let Some(tensor) = stored.remove(name) {
                    average.copy_(&tensor);
                }
                self.averages.push(average);
            }
        });
        Ok(())
    }

    /// Overwrites the live tensors with the average; before the first update it leaves them alone.
    pub fn write_back(&self) {
        no_grad(|| {
            for ((_, live), average) in self.live.iter().zip(&self.averages) {
                live.detach().copy_(average);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::Fixture;

    fn assert_alike(got: &Tensor, expected: &Tensor) {
        let difference = (got.detach() - expected).abs().max().double_value(&[]);
        assert!(difference <= 1e-6, "{difference:e}");
    }

    #[test]
    fn golden_average_of_pytorch_also_when_it_was_interrupted() {
        let Fixture {
            json: golden,
            tensors: given,
        } = Fixture::of_testdata("optimisers");
        let weight = given["start.fc.weight"].copy().set_requires_grad(true);
        let mean = given["start.fc.bias"].copy();
        let count = Tensor::from(0i64);
        let live = || {
            vec![
                ("weight".to_owned(), weight.shallow_clone()),
                ("mean".to_owned(), mean.shallow_clone()),
                ("count".to_owned(), count.shallow_clone()),
            ]
        };
        let mut average = Average::new(live(), 0.9);
        let rate = golden["rate"].as_f64().unwrap();
        for step in 0..golden["steps"].as_i64().unwrap() {
            let gradient = |name: &str| given[&format!("gradient.fc.{name}")].get(step);
            let _ = weight.detach().g_add_(&(gradient("weight") * -rate));
            let _ = mean.detach().g_add_(&gradient("bias"));
            let _ = count.detach().g_add_scalar_(1);
            average.update();
            let resumed = average.tensors().into_iter().collect();
            average = Average::new(live(), 0.9);
            average.load(resumed).unwrap();
        }
        average.write_back();
        assert_alike(&weight, &given["average.weight"]);
        assert_alike(&mean, &given["average.mean"]);
        assert_eq!(count.int64_value(&[]), 12);
        assert!(weight.requires_grad());
    }

    #[test]
    fn an_average_of_other_tensors_is_refused_and_none_changes_nothing() {
        let live = Tensor::from_slice(&[1.0f32]);
        let mut average = Average::new(vec![("a".into(), live.shallow_clone())], 0.9);
        for (name, tensor) in [
            ("b", Tensor::from(1.0f32).view([1])),
            ("a", Tensor::from(1.0f32)),
        ] {
            assert!(
                average
                    .load(BTreeMap::from([(name.into(), tensor)]))
                    .is_err()
            );
        }
        average.load(BTreeMap::new()).unwrap();
        average.write_back();
        assert_eq!(f32::try_from(&live).unwrap(), 1.0);
    }
}
