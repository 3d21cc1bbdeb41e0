//! Where tensors are computed: device names, threads, libtorch's version.
//!
//! One build serves CPU and GPU: the CUDA half of libtorch is loaded at run time when it lies
//! beside the CPU half.

use std::sync::OnceLock;

use seedpipe_base::Refusal;
use tch::{Cuda, Device};

use crate::torch::shim;

/// Whether the CUDA half was found and loaded. Must come before anything asks libtorch about CUDA,
/// because libtorch remembers the answer.
fn cuda_library() -> &'static Result<bool, String> {
    static LOADED: OnceLock<Result<bool, String>> = OnceLock::new();
    LOADED.get_or_init(shim::load_cuda)
}

/// The device of a name: `auto` (the first CUDA device that can be used, else the CPU), `cpu`,
/// `cuda` or `cuda:N`.
///
/// With `auto`, a CUDA half that is present but does not load is said once on stderr, and the CPU
/// used. Choosing a CUDA device turns deterministic algorithms on.
pub fn device(name: &str) -> Result<Device, Refusal> {
    let library = cuda_library();
    let wanted = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => {
            if let Err(reason) = library {
                static SAID: OnceLock<()> = OnceLock::new();
                SAID.get_or_init(|| {
                    eprintln!("warning: `libtorch_cuda.so` could not be loaded, computing on the CPU: {reason}")
                });
            }
            if !matches!(library, Ok(true)) || !Cuda::is_available() {
                return Ok(Device::Cpu);
            }
            0
        }
        "cuda" => 0,
        _ => name
            .strip_prefix("cuda:")
            .and_then(|number| number.parse::<usize>().ok())
            .ok_or_else(|| {
                Refusal::failure(format!(
                    "device `{name}` is unknown, expected `auto`, `cpu`, `cuda` or `cuda:N`"
                ))
            })?,
    };
    match library {
        Err(reason) => {
            return Err(Refusal::failure(format!(
                "device `{name}`: `libtorch_cuda.so` could not be loaded: {reason}"
            ))
            .hint(
                "run `make setup CUDA=1` for the full set of CUDA libraries, or use `device: cpu`",
            ));
        }
        Ok(false) => {
            return Err(Refusal::failure(format!(
                "device `{name}` was asked for, but this libtorch has no CUDA half"
            ))
            .hint("run `make setup CUDA=1`, or use `device: cpu`"));
        }
        Ok(true) => {}
    }
    let found = if Cuda::is_available() {
        Cuda::device_count()
    } else {
        0
    };
    if wanted as i64 >= found {
        return Err(
            Refusal::failure(format!("device `{name}`: found {found} CUDA devices"))
                .hint("check `nvidia-smi`, or use `device: cpu`"),
        );
    }
    set_deterministic(true);
    Ok(Device::Cuda(wanted))
}

/// Threads that one libtorch operation may use. libtorch's sums depend on it.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
}

/// Runs `work` with that many threads, then restores the number, also when `work` panics: what
/// comes after must not depend on it.
pub fn with_threads<T>(threads: usize, work: impl FnOnce() -> T) -> T {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_threads(self.0);
        }
    }
    let _restore = Restore(self::threads());
    set_threads(threads);
    work()
}

pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}

/// Only algorithms whose result does not depend on the order in which threads finish; matters on
/// CUDA.
pub(crate) fn set_deterministic(on: bool) {
    shim::set_deterministic(on)
        .unwrap_or_else(|error| panic!("BUG: deterministic algorithms could not be set: {error}"));
}

pub(crate) fn libtorch_version() -> String {
    shim::libtorch_version()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(device("cpu"), Ok(Device::Cpu));
        assert!(device("auto").is_ok());
        for name in ["gpu", "cuda:x"] {
            let message = device(name).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("device `{name}` is unknown, expected `auto`, `cpu`, `cuda` or `cuda:N`")
            );
        }
        assert!(device("cuda:999").is_err());
    }
}
