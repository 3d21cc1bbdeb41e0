//! The numerics class of tensor work: what decides the bits of floating-point sums beside the
//! recipe.
//!
//! On a CPU that is the instruction set that libtorch's own kernels use, what oneDNN dispatches on
//! beyond it, and who made the processor, since MKL chooses its kernels by that; on CUDA the
//! compute capability. Switches in the environment that make any of them choose other kernels are
//! part of it as they stand, and so is an OpenMP that is not libtorch's own, since it deals out the
//! work that sums are made of. Within a class equal recipes give equal content, as far as this is
//! known: a difference within one is always told.

use std::collections::BTreeSet;

use seedpipe_base::Refusal;
use tch::Device;

use crate::torch::device::{device, libtorch_version};
use crate::torch::products;
use crate::torch::shim;

/// Environment variables that make oneDNN choose other kernels or other precisions, under both of
/// its names.
const ONEDNN: [&str; 6] = [
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_CPU_ISA_HINTS",
    "DNNL_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
];
/// Those of MKL, where libtorch has it.
const MKL: [&str; 3] = ["MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DISABLE_FAST_MM"];
/// Those of OpenBLAS, which other builds of libtorch have.
const OPENBLAS: [&str; 2] = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"];
/// Those of cuBLAS and cuDNN.
const CUDA: [&str; 3] = [
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
];

/// Names that libraries of OpenMP begin with.
const OPENMP: [&str; 3] = ["libgomp", "libiomp", "libomp"];
/// The beginnings of the BLAKE3 digests of the OpenMP that PyPI's libtorch 2.11.0 brings: for
/// x86-64, for aarch64.
const OPENMP_OF_LIBTORCH: [&str; 2] = ["88a31b44", "5147986a"];

/// The class of a device by name (`auto` is looked up):
/// `cpu x86_64 amd avx512 vnni bf16, libtorch 2.11.0`, `cuda sm_90, libtorch 2.11.0`.
///
/// Fails when there is no such device.
pub fn class_of(name: &str) -> Result<String, Refusal> {
    Ok(numerics_class(device(name)?))
}

/// The class of a device.
pub(crate) fn numerics_class(device: Device) -> String {
    let hardware = match device {
        Device::Cuda(index) => {
            let mut words = vec!["cuda".to_owned()];
            words.push(match shim::cuda_capability(index) {
                Ok((major, minor)) => format!("sm_{major}{minor}"),
                Err(_) => "sm_unknown".to_owned(),
            });
            words.extend(switches(&CUDA, |variable| std::env::var(variable).ok()));
            words.join(" ")
        }
        _ => cpu(),
    };
    format!("{hardware}, libtorch {}", libtorch_version())
}

fn cpu() -> String {
    let mut words = vec!["cpu".to_owned(), std::env::consts::ARCH.to_owned()];
    let about = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    words.extend(maker(&about));
    words.push(shim::cpu_capability().to_lowercase());
    words.extend(extensions(&about).into_iter().map(str::to_owned));
    words.extend(products::word().map(str::to_owned));
    let environment = |variable: &str| std::env::var(variable).ok();
    words.extend(switches(&ONEDNN, environment));
    words.extend(match shim::has_mkl() {
        true => switches(&MKL, environment),
        false => switches(&OPENBLAS, environment),
    });
    let maps = fs_err::read_to_string("/proc/self/maps").unwrap_or_default();
    words.extend(foreign_openmp(&maps));
    words.join(" ")
}

/// Those of the variables that are set, as `NAME=value`; an empty one counts as not set. No space
/// or comma comes from a value.
fn switches(variables: &[&str], value_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let set = variables.iter().filter_map(|variable| {
        let value = value_of(variable)?;
        let value = value
            .trim()
            .replace(|letter: char| letter.is_whitespace() || letter == ',', "_");
        (!value.is_empty()).then(|| format!("{variable}={value}"))
    });
    set.collect()
}

/// The libraries of OpenMP in this process that are not libtorch's own, as `libgomp=1a2b3c4d`:
/// names and the beginnings of their files' digests.
///
/// - `maps`: /proc/self/maps, empty where there is none
fn foreign_openmp(maps: &str) -> Vec<String> {
    let paths: BTreeSet<&str> = maps
        .lines()
        .filter_map(|line| Some(&line[line.find('/')?..]))
        .collect();
    let found = paths.into_iter().filter_map(|path| {
        let file = path.rsplit('/').next()?;
        let name = OPENMP.iter().find(|name| file.starts_with(**name))?;
        let digest = match fs_err::read(path) {
            Ok(bytes) => blake3::hash(&bytes).to_hex()[..8].to_owned(),
            Err(_) => "unreadable".to_owned(),
        };
        (!OPENMP_OF_LIBTORCH.contains(&digest.as_str())).then(|| format!("{name}={digest}"))
    });
    found.collect()
}

/// The value of the first line of /proc/cpuinfo with that key.
fn value_of<'about>(about: &'about str, key: &str) -> Option<&'about str> {
    let mut lines = about.lines().filter_map(|line| line.split_once(':'));
    lines.find_map(|(name, value)| (name.trim() == key).then(|| value.trim()))
}

/// `intel`, `amd`, or the vendor's own name; on ARM the numbers of the implementer and of the core,
/// as `0x41-0xd4f`; `None` where the system doesn't tell.
///
/// - `about`: /proc/cpuinfo, empty where there is none
fn maker(about: &str) -> Option<String> {
    if let Some(implementer) = value_of(about, "CPU implementer") {
        let part = value_of(about, "CPU part").unwrap_or_default();
        return Some(format!("{implementer}-{part}"));
    }
    match value_of(about, "vendor_id")? {
        "GenuineIntel" => Some("intel".to_owned()),
        "AuthenticAMD" => Some("amd".to_owned()),
        other => Some(other.to_lowercase().replace(' ', "_")),
    }
}

/// What oneDNN uses beyond AVX2 and AVX-512 themselves.
#[cfg(target_arch = "x86_64")]
fn extensions(about: &str) -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    let flags = about.lines().find(|line| line.starts_with("flags"));
    // Not known to the standard library's stable detection.
    let flag =
        |name: &str| flags.is_some_and(|flags| flags.split_whitespace().any(|one| one == name));
    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    [
        (has!("avx2") && has!("fma"), "fma"),
        (avx512, "avx512_core"),
        (avx512 && has!("avx512vnni"), "vnni"),
        (avx512 && has!("avx512bf16"), "bf16"),
        (avx512 && flag("avx512_fp16"), "fp16"),
        (flag("amx_tile") && flag("amx_bf16"), "amx"),
    ]
    .into_iter()
    .filter_map(|(is_there, name)| is_there.then_some(name))
    .collect()
}

/// What oneDNN, the Compute Library and OpenBLAS use beyond ARMv8 itself.
#[cfg(not(target_arch = "x86_64"))]
fn extensions(about: &str) -> Vec<&'static str> {
    let features = value_of(about, "Features").unwrap_or_default();
    let known = ["asimdhp", "asimddp", "sve", "sve2", "bf16", "i8mm", "sme"];
    let here = |name: &&str| features.split_whitespace().any(|feature| feature == *name);
    known.into_iter().filter(here).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_names_architecture_instruction_set_and_version() {
        let class = class_of("cpu").unwrap();
        let expected = format!("cpu {} ", std::env::consts::ARCH);
        assert!(class.starts_with(&expected), "{class}");
        let version = format!(", libtorch {}", libtorch_version());
        assert!(class.ends_with(&version), "{class}");
        let instructions = shim::cpu_capability().to_lowercase();
        assert!(
            class.split([' ', ',']).any(|word| word == instructions),
            "{class}"
        );
    }

    #[test]
    fn makers_are_named_on_both_architectures() {
        let of = |about: &str| maker(about);
        assert_eq!(of("vendor_id\t: AuthenticAMD\n").as_deref(), Some("amd"));
        assert_eq!(
            of("CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n").as_deref(),
            Some("0x41-0xd4f")
        );
        assert_eq!(of(""), None);
    }

    #[test]
    fn switches_are_words_of_the_class() {
        let value_of = |variable: &str| match variable {
            "ONEDNN_MAX_CPU_ISA" => Some("AVX2".to_owned()),
            "ONEDNN_DEFAULT_FPMATH_MODE" => Some(" BF16, any ".to_owned()),
            "DNNL_MAX_CPU_ISA" => Some(String::new()),
            _ => None,
        };
        assert_eq!(
            switches(&ONEDNN, value_of),
            [
                "ONEDNN_MAX_CPU_ISA=AVX2",
                "ONEDNN_DEFAULT_FPMATH_MODE=BF16__any"
            ]
        );
    }

    #[test]
    fn an_openmp_of_another_make_is_named_once_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libgomp.so.1.0.0");
        fs_err::write(&path, "another").unwrap();
        let line = |at: u32| {
            format!(
                "{at:x}-{:x} r-xp 00000000 fe:00 17    {}",
                at + 1,
                path.display()
            )
        };
        let maps = format!(
            "{}\n{}\n7f00-7f01 rw-p 00000000 00:00 0    [heap]\n",
            line(16),
            line(32)
        );
        let digest = &blake3::hash(b"another").to_hex()[..8];
        assert_eq!(foreign_openmp(&maps), [format!("libgomp={digest}")]);
        let own = fs_err::read_to_string("/proc/self/maps").unwrap();
        assert!(own.contains("libgomp"), "libtorch's OpenMP is loaded");
    }

    #[test]
    fn a_device_that_is_not_there_has_no_class() {
        assert!(class_of("cuda:999").is_err());
        let message = class_of("gpu").unwrap_err().to_string();
        assert!(message.starts_with("device `gpu` is unknown"), "{message}");
    }
}
