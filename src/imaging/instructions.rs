//! Which of the processor's vector instructions rendering uses: the widest there are, or fewer
//! where asked.
//!
//! The one place that asks the processor. [`render`](crate::render) decides once a view, by what
//! its [`Scratch`](crate::Scratch) holds; the steps below it are told. All levels give the same
//! bits, so no recipe knows of them.

use std::fmt::{self, Display};
use std::sync::LazyLock;

use seedpipe_base::Refusal;

/// The environment variable that takes less than the processor has.
pub const VARIABLE: &str = "SEEDPIPE_SIMD";

/// A level of vector instructions that this processor has: there is no way to a value of another,
/// so that whoever holds one may call what was compiled for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instructions(Level);

/// From few to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What every processor of the architecture has: on x86-64 SSE2.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// As of Skylake and Zen 4: with the extensions for bytes and words, doublewords and quadwords,
    /// and short vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    #[cfg(target_arch = "x86_64")]
    const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];
    #[cfg(not(target_arch = "x86_64"))]
    const ALL: [Level; 1] = [Level::Portable];

    #[cfg(target_arch = "x86_64")]
    fn is_here(self) -> bool {
        use std::arch::is_x86_feature_detected as has;
        match self {
            Level::Portable => true,
            Level::Avx2 => has!("avx2"),
            Level::Avx512 => {
                let core = has!("avx512f") && has!("avx512vl");
                core && has!("avx512bw") && has!("avx512dq") && has!("avx2")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_here(self) -> bool {
        true
    }

    fn name(self) -> &'static str {
        match self {
            Level::Portable if cfg!(target_arch = "x86_64") => "sse2",
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }
}

const HINT: &str = "unset it, and the widest that the processor has are used";

/// `` `sse2`, `avx2` or `avx512` ``
fn listed(levels: &[Level]) -> String {
    let names: Vec<String> = levels
        .iter()
        .map(|level| format!("`{}`", level.name()))
        .collect();
    match names.split_last() {
        Some((last, [])) => format!("{last} alone"),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

impl Instructions {
    /// What is there on every processor.
    pub(crate) const PORTABLE: Instructions = Instructions(Level::Portable);

    /// All that this processor has, from few to many.
    pub fn available() -> impl Iterator<Item = Instructions> {
        let levels = Level::ALL.into_iter();
        levels.filter(|level| level.is_here()).map(Instructions)
    }

    /// The names of those that this processor lacks.
    pub fn missing() -> impl Iterator<Item = &'static str> {
        let levels = Level::ALL.into_iter();
        levels
            .filter(|level| !level.is_here())
            .map(|level| level.name())
    }

    /// The most that this processor has.
    pub fn widest() -> Instructions {
        Instructions::available().last().unwrap_or(Self::PORTABLE)
    }

    /// What SEEDPIPE_SIMD asks for: the widest where it is not set, or empty. Programs ask at their
    /// start and tell the error; whoever renders without having asked gets the widest.
    ///
    /// # Errors
    /// When it holds no level's name, or that of one that this processor lacks.
    pub fn chosen() -> Result<Instructions, Refusal> {
        static CHOSEN: LazyLock<Result<Instructions, Refusal>> =
            LazyLock::new(|| match std::env::var_os(VARIABLE) {
                Some(value) if !value.is_empty() => Instructions::named(&value.to_string_lossy()),
                _ => Ok(Instructions::widest()),
            });
        CHOSEN.clone()
    }

    /// The level of that name.
    ///
    /// # Errors
    /// When there is none, or this processor lacks it.
    pub fn named(name: &str) -> Result<Instructions, Refusal> {
        match Level::ALL.into_iter().find(|level| level.name() == name) {
            Some(level) if level.is_here() => Ok(Instructions(level)),
            Some(_) => {
                let here: Vec<Level> = Instructions::available().map(|one| one.0).collect();
                let here = listed(&here);
                Err(Refusal::new(format!(
                    "`{name}` is asked for, but this processor has {here}"
                )))
            }
            None => Err(Refusal::expected(listed(&Level::ALL), format!("`{name}`"))),
        }
        .map_err(|refusal| refusal.place(VARIABLE).hint(HINT))
    }

    /// The level as a constant, for what was compiled for it.
    ///
    /// # Safety
    /// The processor must have it.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) const unsafe fn assumed(level: Level) -> Instructions {
        Instructions(level)
    }

    #[inline(always)]
    pub(crate) fn level(self) -> Level {
        self.0
    }
}

/// What the environment asks for.
impl Default for Instructions {
    fn default() -> Instructions {
        Instructions::chosen().unwrap_or_else(|_| Instructions::widest())
    }
}

impl Display for Instructions {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_goes_by_its_name_and_is_refused_where_it_is_missing() {
        for level in Level::ALL {
            let named = Instructions::named(level.name());
            if level.is_here() {
                assert_eq!(named.unwrap().to_string(), level.name());
            } else {
                let message = named.unwrap_err().to_string();
                let expected = format!("SEEDPIPE_SIMD: `{}` is asked for, but", level.name());
                assert!(message.starts_with(&expected), "{message}");
            }
        }
        assert_eq!(
            Instructions::available().next(),
            Some(Instructions::PORTABLE)
        );
    }

    #[test]
    fn another_word_is_an_error_that_tells_the_levels() {
        for word in ["", "AVX2", "neon", "sse2 "] {
            let message = Instructions::named(word).unwrap_err().to_string();
            let expected = if cfg!(target_arch = "x86_64") {
                "`sse2`, `avx2` or `avx512`"
            } else {
                "`portable` alone"
            };
            assert_eq!(
                message,
                format!(
                    "SEEDPIPE_SIMD: expected {expected}, got `{word}`\nhint: unset it, and the widest that the processor has are used"
                )
            );
        }
    }
}
