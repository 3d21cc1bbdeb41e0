//! What the processor offers for networks, asked of the system: no libtorch needed.

use std::thread;

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
            features: features(&flags(&about)),
        }
    }

    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(&feature)
    }

    /// Whether bf16 is multiplied by instructions of its own, and is faster than f32.
    pub fn has_bf16(&self) -> bool {
        self.has("avx512_bf16") || self.has("amx_bf16") || self.has("bf16")
    }

    /// Whether the renderer and libtorch find the vector instructions that they have fast code for.
    pub fn is_wide(&self) -> bool {
        !cfg!(target_arch = "x86_64") || (self.has("avx2") && self.has("fma"))
    }
}

/// What libtorch and oneDNN choose their kernels by, in the kernel's spelling; of x86 and of ARM.
const KNOWN: [&str; 12] = [
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "asimd",
    "sve",
    "bf16",
    "i8mm",
];

fn features(flags: &[&str]) -> Vec<&'static str> {
    let known = KNOWN.into_iter();
    known.filter(|name| flags.contains(name)).collect()
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
            features: features(&flags(about)),
        };
        assert_eq!(processor.name, "AMD EPYC 9V74");
        assert_eq!(
            processor.features,
            ["avx2", "fma", "avx512f", "avx512_bf16"]
        );
        assert!(processor.has_bf16());
        assert!(flags("").is_empty());
    }
}
