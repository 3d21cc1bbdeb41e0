//! What the processor offers for networks, asked of the system: no libtorch needed.

use std::thread;

use anyhow::{Result, bail};
use seedpipe_base::Refusal;

/// What is asked of a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    /// As the system calls it; empty where it doesn't tell.
    pub name: String,
    /// Threads that this process may use at once, with the limits of its container.
    pub threads: usize,
    /// Extensions that libtorch's kernels use, as `avx512_bf16`.
    pub features: Vec<&'static str>,
}

impl Processor {
    pub fn of_this_machine() -> Processor {
        let about = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Processor {
            name: name(&about),
            threads: thread::available_parallelism().map_or(1, usize::from),
            features: allowed(
                features(&flags(&about), has_itself),
                ONEDNN_LIMITS
                    .iter()
                    .find_map(|name| std::env::var(name).ok())
                    .as_deref(),
            ),
        }
    }

    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(&feature)
    }

    /// Whether networks compute in a precision by instructions of the processor's own.
    ///
    /// - `precision`: `f32`, `bf16` or `f16`
    pub fn computes_in(&self, precision: &str) -> bool {
        match precision {
            "bf16" => self.has("avx512_bf16") || self.has("amx_bf16") || self.has("bf16"),
            "f16" => self.has("avx512_fp16") || self.has("amx_fp16") || self.has("asimdhp"),
            _ => true,
        }
    }

    /// Name and extensions: `AMD EPYC: avx2 fma`.
    pub fn described(&self) -> String {
        let name = match self.name.as_str() {
            "" => std::env::consts::ARCH,
            name => name,
        };
        format!("{name}: {}", self.features.join(" "))
    }

    /// Whether the renderer and libtorch find the vector instructions that they have fast code for.
    pub fn is_wide(&self) -> bool {
        !cfg!(target_arch = "x86_64") || (self.has("avx2") && self.has("fma"))
    }

    /// Refuses a processor on which libtorch would end by an illegal instruction: its builds for
    /// ARM use the atomics of ARMv8.1.
    pub fn check(&self) -> Result<()> {
        let is_told = !self.features.is_empty();
        if cfg!(target_arch = "aarch64") && is_told && !self.has("atomics") {
            bail!(
                Refusal::failure(format!(
                    "libtorch needs a processor of ARMv8.1 or newer (with `atomics`), got {}",
                    self.described()
                ))
                .hint("stages without networks run here; run the others on another machine")
            );
        }
        Ok(())
    }

    /// What is slow on a processor that isn't [wide](Self::is_wide), with what it has.
    pub fn narrowness(&self) -> String {
        format!(
            "AVX2 and FMA are missing, expected for fast pixels and networks; got {}: expect a tenth of the speed",
            self.described()
        )
    }
}

/// What libtorch and oneDNN choose their kernels by, in the kernel's spelling; of x86 and of ARM.
const KNOWN: [&str; 16] = [
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "avx512_fp16",
    "amx_fp16",
    "asimd",
    "atomics",
    "asimdhp",
    "sve",
    "bf16",
    "i8mm",
];

/// Variables that make oneDNN pass over newer instructions, the first that is set counts.
const ONEDNN_LIMITS: [&str; 2] = ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"];

/// What oneDNN may use of the extensions that decide about half precision, under the limit's name
/// in its documentation.
fn allowed(features: Vec<&'static str>, limit: Option<&str>) -> Vec<&'static str> {
    let Some(limit) = limit.map(str::to_uppercase) else {
        return features;
    };
    let narrower = |than: &str| match limit.as_str() {
        "SSE41" | "AVX" | "AVX2" | "AVX2_VNNI" | "AVX2_VNNI_2" | "AVX512_CORE"
        | "AVX512_CORE_VNNI" => true,
        "AVX512_CORE_BF16" => matches!(than, "avx512_fp16" | "amx_bf16" | "amx_fp16"),
        "AVX512_CORE_FP16" => matches!(than, "amx_bf16" | "amx_fp16"),
        "AVX512_CORE_AMX" | "AVX10_1_512_AMX" => than == "amx_fp16",
        _ => false,
    };
    let halves = ["avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16"];
    features
        .into_iter()
        .filter(|feature| !halves.contains(feature) || !narrower(feature))
        .collect()
}

/// - `has_itself`: whether the processor says that it has a feature, where that can be asked of it:
///   what the system lists may be of the machine below an emulator
fn features(flags: &[&str], has_itself: impl Fn(&str) -> Option<bool>) -> Vec<&'static str> {
    let known = KNOWN.into_iter();
    known
        .filter(|name| has_itself(name).unwrap_or_else(|| flags.contains(name)))
        .collect()
}

#[cfg(target_arch = "x86_64")]
fn has_itself(name: &str) -> Option<bool> {
    match name {
        "avx2" => Some(std::arch::is_x86_feature_detected!("avx2")),
        "fma" => Some(std::arch::is_x86_feature_detected!("fma")),
        "avx512f" => Some(std::arch::is_x86_feature_detected!("avx512f")),
        _ => None,
    }
}

#[cfg(target_arch = "aarch64")]
fn has_itself(name: &str) -> Option<bool> {
    use std::arch::is_aarch64_feature_detected;
    Some(match name {
        "asimd" => is_aarch64_feature_detected!("neon"),
        "atomics" => is_aarch64_feature_detected!("lse"),
        "asimdhp" => is_aarch64_feature_detected!("fp16"),
        "sve" => is_aarch64_feature_detected!("sve"),
        "bf16" => is_aarch64_feature_detected!("bf16"),
        "i8mm" => is_aarch64_feature_detected!("i8mm"),
        // Of x86.
        _ => false,
    })
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_itself(_name: &str) -> Option<bool> {
    None
}

/// - `about`: /proc/cpuinfo, empty where there is none
fn flags(about: &str) -> Vec<&str> {
    let line = ["flags", "Features"]
        .iter()
        .find_map(|key| about.lines().find(|line| line.starts_with(key)));
    let values = line.and_then(|line| line.split_once(':'));
    values.map_or_else(Vec::new, |(_, values)| values.split_whitespace().collect())
}

fn name(about: &str) -> String {
    let line = about.lines().find(|line| line.starts_with("model name"));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or_else(String::new, |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_read_off_the_systems_list() {
        let about = "processor\t: 0\nmodel name\t: AMD EPYC 9V74\nflags\t\t: fpu avx2 fma avx512f avx512_bf16\n";
        let processor = Processor {
            name: name(about),
            threads: 1,
            features: features(&flags(about), |_| None),
        };
        assert_eq!(processor.name, "AMD EPYC 9V74");
        assert_eq!(
            processor.features,
            ["avx2", "fma", "avx512f", "avx512_bf16"]
        );
        assert!(processor.computes_in("bf16") && !processor.computes_in("f16"));
        let limited = |limit| allowed(processor.features.clone(), limit);
        assert_eq!(limited(None), processor.features);
        assert_eq!(limited(Some("avx2")), ["avx2", "fma", "avx512f"]);
        assert_eq!(limited(Some("AVX512_CORE_BF16")), processor.features);
        assert!(flags("").is_empty());
    }
}
