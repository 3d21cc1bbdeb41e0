//! libtorch, GPU and processor.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use seedpipe_engine::child;

use super::Finding;
use crate::torch::processor::Processor;
use crate::{terminal::figures, torch::libtorch, torch::sibling};

/// The oldest NVIDIA driver that libtorch 2.11's CUDA 13 runs on.
const OLDEST_DRIVER: u32 = 580;
/// For programs that are asked: a driver that hangs keeps its tool for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the kernel's module tells of itself.
const DRIVER_FILE: &str = "/proc/driver/nvidia/version";

/// Whether the program with the tensors is there, finds a libtorch of the right version, and
/// starts.
pub fn tensors() -> Finding {
    let subject = "libtorch";
    let found = match sibling::program().and_then(|program| Ok((program, libtorch::find()?))) {
        Ok(found) => found,
        Err(error) => return Finding::of_error(subject, &error),
    };
    let (program, libtorch) = found;
    // The loader may lack what libtorch itself needs.
    let mut command = Command::new(&program);
    libtorch.show_to_loader(&mut command);
    match child::output(command.arg("--version"), PATIENCE) {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().next().unwrap_or("no message").to_owned();
            return Finding::fault(
                subject,
                format!("`{}` doesn't start: {line}", program.display()),
                libtorch::remedy(),
            );
        }
        Err(error) => {
            return Finding::fault(
                subject,
                format!("`{}` can't be started: {error}", program.display()),
                "check the file's permissions, or run `cargo build`",
            );
        }
    }
    let version = match &libtorch.version {
        Some(version) => format!("version {version}"),
        None => format!(
            "expected to be version {}: it has no version file",
            libtorch::VERSION
        ),
    };
    let halves = if libtorch.has_cuda() {
        "for CPU and CUDA"
    } else {
        "for the CPU"
    };
    Finding::ok(
        subject,
        format!(
            "{version}, {halves}, in `{}`",
            figures::path(&libtorch.folder)
        ),
    )
}

/// CUDA's variable that says which GPUs a process sees.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// A GPU as the driver's own tool tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gpu {
    name: String,
    driver: String,
    memory: String,
}

/// GPUs and their driver, against the device that the pipeline asks for.
///
/// - `device`: `auto`, `cpu`, `cuda` or `cuda:N`
pub fn gpu(device: &str) -> Finding {
    let mut asked = Command::new("nvidia-smi");
    asked.args([
        "--query-gpu=name,driver_version,memory.total",
        "--format=csv,noheader",
    ]);
    let told = child::output(&mut asked, PATIENCE)
        .ok()
        .filter(|output| output.status.success());
    let gpus = told.map(|output| gpus(&String::from_utf8_lossy(&output.stdout)));
    let visible = std::env::var(VISIBLE).ok();
    let gpus = gpus.map(|gpus| only_visible(gpus, visible.as_deref()));
    let module = fs_err::read_to_string(DRIVER_FILE).is_ok();
    let has_cuda = libtorch::find().is_ok_and(|found| found.has_cuda());
    judge_gpus(device, gpus.as_deref(), module, has_cuda)
}

/// Whether networks can run on a GPU here.
pub fn has_gpu() -> bool {
    let finding = gpu("cuda");
    finding.severity == super::Severity::Ok
}

/// The GPUs that CUDA shows to a process: those that the variable names, up to the first that isn't
/// there.
fn only_visible(gpus: Vec<Gpu>, variable: Option<&str>) -> Vec<Gpu> {
    let Some(variable) = variable else {
        return gpus;
    };
    let names = variable.split(',').map(str::trim);
    let known = names.map_while(|name| match name.parse::<usize>() {
        Ok(number) => gpus.get(number).cloned(),
        // By identity, which is not asked for here: one of them.
        Err(_) if name.starts_with("GPU-") || name.starts_with("MIG-") => gpus.first().cloned(),
        Err(_) => None,
    });
    known.collect()
}

/// Lines of `name, driver, memory`.
fn gpus(text: &str) -> Vec<Gpu> {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.rsplitn(3, ',').map(|part| part.trim().to_owned());
        let (memory, driver) = (parts.next()?, parts.next()?);
        Some(Gpu {
            name: parts.next()?,
            driver,
            memory,
        })
    });
    lines.collect()
}

/// - `gpus`: `None` where the driver's tool is not there or fails
/// - `module`: whether the kernel has the driver
/// - `has_cuda`: whether libtorch has its CUDA half
fn judge_gpus(device: &str, gpus: Option<&[Gpu]>, module: bool, has_cuda: bool) -> Finding {
    let subject = "gpu";
    let wants = device.starts_with("cuda");
    let number: usize = device
        .strip_prefix("cuda:")
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    let gpus = match gpus {
        Some(gpus) if !gpus.is_empty() => gpus,
        _ if wants => {
            return Finding::fault(
                subject,
                format!("the pipeline asks for `device: {device}`, and no GPU is found"),
                "check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or run with `--device cpu`",
            );
        }
        _ if module => {
            return Finding::warning(
                subject,
                "the kernel has NVIDIA's driver, and no GPU is found",
                "check `nvidia-smi` and CUDA_VISIBLE_DEVICES; in a container, start it with the GPU",
            );
        }
        _ => return Finding::ok(subject, "none: networks run on the CPU"),
    };
    if wants && number >= gpus.len() {
        return Finding::fault(
            subject,
            format!(
                "the pipeline asks for `device: {device}`, and there are {} GPUs, counted from 0",
                gpus.len()
            ),
            "name one that is there",
        );
    }
    let first = &gpus[number.min(gpus.len() - 1)];
    let told = format!(
        "{} GPU: {}, {}, driver {}",
        gpus.len(),
        first.name,
        first.memory,
        first.driver
    );
    let driver: Option<u32> = first
        .driver
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if driver.is_some_and(|driver| driver < OLDEST_DRIVER) {
        let message = format!("{told}: older than {OLDEST_DRIVER}, which CUDA 13 needs");
        return Finding::warning(
            subject,
            message,
            format!("install driver {OLDEST_DRIVER} or newer"),
        );
    }
    if !has_cuda {
        let (message, remedy) = (
            format!("{told}; libtorch lacks its CUDA half, so networks run on the CPU"),
            "run `make setup CUDA=1`",
        );
        return match wants {
            true => Finding::fault(subject, message, remedy),
            false => Finding::warning(subject, message, remedy),
        };
    }
    Finding::ok(subject, told)
}

/// Threads and vector instructions.
///
/// - `threads`: the most that a stage's `training.threads` asks for; `None` without a pipeline
pub fn processor(threads: Option<u64>) -> Vec<Finding> {
    let processor = Processor::of_this_machine();
    vec![
        judge_threads(&processor, threads),
        judge_features(&processor),
    ]
}

fn judge_threads(processor: &Processor, wanted: Option<u64>) -> Finding {
    let subject = "threads";
    let told = format!("{} may run at once", processor.threads);
    match wanted.filter(|wanted| *wanted > processor.threads as u64) {
        Some(wanted) => Finding::warning(
            subject,
            format!("{told}; the pipeline asks for `training.threads: {wanted}`"),
            format!("`--set STAGE.training.threads={}`", processor.threads),
        ),
        None => Finding::ok(subject, told),
    }
}

fn judge_features(processor: &Processor) -> Finding {
    let subject = "processor";
    let told = processor.described();
    if !processor.is_wide() {
        let remedy = "another machine is the only remedy: x86-64 processors since 2015 have them";
        return Finding::warning(subject, processor.narrowness(), remedy);
    }
    Finding::ok(subject, told)
}

/// Reads a pipeline's params for the most threads that a stage trains with.
pub fn most_threads<'a>(params: impl Iterator<Item = &'a serde_json::Value>) -> Option<u64> {
    params
        .filter_map(|params| params["training"]["threads"].as_u64())
        .max()
}

/// An error as a finding.
pub fn or_fault(subject: &'static str, finding: Result<Finding>) -> Finding {
    finding.unwrap_or_else(|error| Finding::of_error(subject, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn a_process_sees_the_gpus_that_cuda_shows_it() {
        let names = |variable: Option<&str>| -> Vec<String> {
            let both = gpus("A, 580.1, 1 MiB\nB, 580.1, 1 MiB");
            let seen = only_visible(both, variable).into_iter();
            seen.map(|gpu| gpu.name).collect()
        };
        assert_eq!(names(None), ["A", "B"]);
        assert_eq!(names(Some("1, 0")), ["B", "A"]);
        assert_eq!(names(Some("1,7,0")), ["B"]);
        assert_eq!(names(Some("GPU-8932f937")), ["A"]);
        for none in ["", "-1", "none"] {
            assert_eq!(names(Some(none)), [""; 0], "{none}");
        }
    }

    #[test]
    fn gpus_are_held_against_the_device_that_is_asked_for() {
        let h100 = gpus("NVIDIA H100 80GB HBM3, 580.65.06, 81559 MiB\n");
        let old = gpus("Tesla T4, 535.1, 15360 MiB\nTesla T4, 535.1, 15360 MiB");
        assert_eq!(h100[0].driver, "580.65.06");
        for (device, gpus, has_cuda, severity, part) in [
            ("auto", None, false, Severity::Ok, "networks run on the CPU"),
            ("cuda", None, true, Severity::Fault, "no GPU is found"),
            ("auto", Some(&h100), true, Severity::Ok, "H100"),
            (
                "auto",
                Some(&h100),
                false,
                Severity::Warning,
                "lacks its CUDA half",
            ),
            (
                "cuda:0",
                Some(&h100),
                false,
                Severity::Fault,
                "lacks its CUDA half",
            ),
            (
                "cuda:1",
                Some(&h100),
                true,
                Severity::Fault,
                "there are 1 GPUs",
            ),
            (
                "auto",
                Some(&old),
                true,
                Severity::Warning,
                "older than 580",
            ),
        ] {
            let finding = judge_gpus(device, gpus.map(Vec::as_slice), false, has_cuda);
            assert_eq!(finding.severity, severity, "{device}: {finding:?}");
            assert!(finding.message.contains(part), "{device}: {finding:?}");
            assert_eq!(finding.remedy.is_none(), severity == Severity::Ok);
        }
    }

    #[test]
    fn more_threads_than_there_are_is_a_warning() {
        let processor = Processor {
            name: String::new(),
            threads: 2,
            features: vec!["avx2", "fma"],
        };
        assert_eq!(judge_threads(&processor, Some(2)).severity, Severity::Ok);
        let finding = judge_threads(&processor, Some(8));
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding
                .remedy
                .is_some_and(|remedy| remedy.contains("training.threads=2"))
        );
        assert_eq!(judge_features(&processor).severity, Severity::Ok);
    }
}
