//! Precisions that this machine's processor has no instructions for: libtorch emulates them there,
//! many times slower than f32.

use seedpipe_base::hinted;
use seedpipe_engine::{Project, StagePrecision, StageState, StageStatus};

use crate::doctor::machine;
use crate::torch::processor::Processor;

/// Measured on 2 cores of an AMD EPYC (Zen 3, AVX2) against f32: networks that look (`encode` of a
/// ResNet-50) and that learn (`pretrain` of a ResNet-20); docs/numerics.md has the figures.
const TIMES_SLOWER: &str = "about 6 times slower where networks look, 10 to 25 where they learn";

/// Stages that are named one by one; of more only some.
const NAMED: usize = 3;

/// Stages whose networks would compute by emulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emulation {
    message: String,
    remedy: String,
}

impl Emulation {
    /// Among the stages that a run would, or might, run.
    ///
    /// - `device`: as asked for on the command line; else the pipeline's
    pub fn ahead(
        project: &Project,
        plan: &[StageStatus],
        device: Option<&str>,
    ) -> Option<Emulation> {
        let waiting: Vec<&str> = plan
            .iter()
            .filter(|stage| stage.state != StageState::Cached)
            .map(|stage| stage.stage.as_str())
            .collect();
        let stages = project.stages().iter().filter_map(|node| {
            let precision = node.precision.as_ref()?;
            (precision.value != "f32" && waiting.contains(&node.name.as_str()))
                .then_some((node.base.as_str(), precision))
        });
        let stages: Vec<(&str, &StagePrecision)> = stages.collect();
        if stages.is_empty() || computes_on_gpu(device.unwrap_or(project.device())) {
            return None;
        }
        Emulation::of(&stages, &Processor::of_this_machine())
    }

    /// - `stages`: names and what they compute in, none of it f32
    fn of(stages: &[(&str, &StagePrecision)], processor: &Processor) -> Option<Emulation> {
        let emulated: Vec<&(&str, &StagePrecision)> = stages
            .iter()
            .filter(|(_, precision)| !processor.computes_in(&precision.value))
            .collect();
        let first = emulated.first()?.1.value.as_str();
        let precisions = match emulated.iter().all(|(_, one)| one.value == first) {
            true => first,
            false => "bf16 and f16",
        };
        let mut names: Vec<&str> = emulated.iter().map(|(name, _)| *name).collect();
        names.dedup();
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let listed: Vec<String> = names
            .iter()
            .take(NAMED)
            .map(|name| format!("`{name}`"))
            .collect();
        let verb = if names.len() == 1 {
            "computes"
        } else {
            "compute"
        };
        let message = format!(
            "{}{more} {verb} in {precisions}, which this processor emulates ({}): {TIMES_SLOWER}",
            listed.join(", "),
            processor.described(),
        );
        // The pipeline's own key reaches all stages that don't say theirs.
        let mut sets: Vec<String> = Vec::new();
        for (name, precision) in &emulated {
            let set = match precision.is_pipelines {
                true => "--set precision=f32".to_owned(),
                false => format!("--set {name}.{}=f32", precision.param),
            };
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        Some(Emulation {
            message,
            remedy: format!("`{}`, or the same in pipeline.yaml", sets.join(" ")),
        })
    }

    /// As `run` tells it.
    pub fn warning(&self) -> String {
        hinted(format!("warning: {}", self.message), &self.remedy)
    }

    /// As `doctor` tells it.
    pub fn parts(self) -> (String, String) {
        (self.message, self.remedy)
    }
}

/// - `device`: `auto`, `cpu`, `cuda` or `cuda:N`
pub fn computes_on_gpu(device: &str) -> bool {
    match device {
        "cpu" => false,
        "auto" => machine::has_gpu(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processor(features: &[&'static str]) -> Processor {
        Processor {
            name: "AMD EPYC".to_owned(),
            threads: 2,
            features: features.to_vec(),
        }
    }

    fn precision(value: &str, is_pipelines: bool) -> StagePrecision {
        StagePrecision {
            param: "training.precision",
            value: value.to_owned(),
            is_pipelines,
        }
    }

    #[test]
    fn what_a_processor_lacks_is_told_with_the_sets_that_mend_it() {
        let (own, pipelines) = (precision("bf16", false), precision("bf16", true));
        let stages = [
            ("teacher", &own),
            ("targets", &pipelines),
            ("student", &pipelines),
            ("alone", &pipelines),
        ];
        let narrow = processor(&["avx2", "fma"]);
        let told = Emulation::of(&stages, &narrow).unwrap().warning();
        assert_eq!(
            told,
            format!(
                "warning: `teacher`, `targets`, `student` and 1 more compute in bf16, which this processor emulates (AMD EPYC: avx2 fma): {TIMES_SLOWER}\n\
                 hint: `--set teacher.training.precision=f32 --set precision=f32`, or the same in pipeline.yaml"
            )
        );
        let wide = processor(&["avx2", "fma", "avx512f", "avx512_bf16"]);
        assert_eq!(Emulation::of(&stages, &wide), None);
        let half = precision("f16", true);
        let told = Emulation::of(&[("student", &half)], &wide).unwrap();
        assert!(
            told.message.starts_with("`student` computes in f16,"),
            "{}",
            told.message
        );
    }
}
