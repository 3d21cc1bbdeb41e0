//! The numerics class of tensor work: what decides the bits of floating-point sums beside the recipe.
//!
//! On a CPU that is the instruction set that libtorch's own kernels use, what oneDNN dispatches on beyond it, and who made the
//! processor, since MKL chooses its kernels by that; on CUDA the compute capability. Within a class equal recipes give equal
//! content, as far as this is known: a difference within one is always told.

use tch::Device;

use crate::device::{DeviceError, device, libtorch_version};
use crate::shim;

/// Environment variables that make oneDNN or MKL choose other kernels.
const OVERRIDES: [&str; 3] = ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_CBWR"];

/// The class of a device by name (`auto` is looked up): `cpu x86_64 amd avx512 vnni bf16, libtorch 2.11.0`, `cuda sm_90, libtorch 2.11.0`.
///
/// Fails when there is no such device.
pub fn class_of(name: &str) -> Result<String, DeviceError> {
    Ok(numerics_class(device(name)?))
}

/// The class of a device.
pub fn numerics_class(device: Device) -> String {
    let hardware = match device {
        Device::Cuda(index) => match shim::cuda_capability(index) {
            Ok((major, minor)) => format!("cuda sm_{major}{minor}"),
            Err(_) => "cuda sm_unknown".to_owned(),
        },
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
    for variable in OVERRIDES {
        if let Ok(value) = std::env::var(variable) {
            words.push(format!("{variable}={value}"));
        }
    }
    words.join(" ")
}

/// `intel`, `amd`, or the vendor's own name; `None` where the system doesn't tell.
///
/// - `about`: /proc/cpuinfo, empty where there is none
fn maker(about: &str) -> Option<String> {
    let line = about.lines().find(|line| line.starts_with("vendor_id"))?;
    match line.split_once(':')?.1.trim() {
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

#[cfg(not(target_arch = "x86_64"))]
fn extensions(_about: &str) -> Vec<&'static str> {
    Vec::new()
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
    fn a_device_that_is_not_there_has_no_class() {
        assert!(class_of("cuda:999").is_err());
        assert_eq!(class_of("gpu"), Err(DeviceError::Unknown("gpu".to_owned())));
    }
}
