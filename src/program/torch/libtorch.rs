//! Whether the libtorch that `seedpipe-torch` would load is there and of the right version, so that
//! the user reads a remedy rather than the dynamic loader's message.
//!
//! Looks where the loader looks: `LD_LIBRARY_PATH`, then the folders in the binary's rpath. Those
//! are that of `LIBTORCH` when it was built or, in a wheel, where Python environments keep PyTorch;
//! a wheel's binary also asks the environment's Python. A place that the loader would not find by
//! itself is named to it.

use std::env;
use std::env::consts::ARCH;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use seedpipe_base::Refusal;

use crate::{torch::elf, torch::python_environment};

/// The version that the bindings are made for.
pub const VERSION: &str = "2.11.0";

/// The folders in the binaries' rpath, with colons between; `$ORIGIN/..` is the one above the
/// binary's.
const RPATH: &str = env!("SEEDPIPE_RPATH");

/// Whether this program is a wheel's.
const IN_WHEEL: bool = cfg!(feature = "wheel");

const LIBRARY: &str = "libtorch_cpu.so";
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// A libtorch that the loader will find, if [`Found::show_to_loader`] is called.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Where its libraries lie.
    pub folder: PathBuf,
    /// As its version file says; `None` where there is none.
    pub version: Option<String>,
    /// The loader doesn't look there by itself, or finds another one first.
    hidden: bool,
}

impl Found {
    /// Whether the half that runs on a GPU lies there too.
    pub fn has_cuda(&self) -> bool {
        self.folder.join("libtorch_cuda.so").exists()
    }

    /// Makes a program that is about to be started load this one.
    pub fn show_to_loader(&self, command: &mut Command) {
        if !self.hidden {
            return;
        }
        let before = env::var_os(LIBRARY_PATH);
        let others = before
            .as_deref()
            .map(env::split_paths)
            .into_iter()
            .flatten();
        // A folder with a colon in its name can't be named.
        if let Ok(folders) = env::join_paths([self.folder.clone()].into_iter().chain(others)) {
            command.env(LIBRARY_PATH, folders);
        }
    }
}

/// The libtorch that `seedpipe-torch` will load.
///
/// # Errors
/// When there is none, or its version file says another version. A libtorch without a version file
/// is trusted.
pub fn find() -> Result<Found> {
    let program = env::current_exe()
        .and_then(fs_err::canonicalize)
        .context("this program's own path can't be read")?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    let in_rpath: Vec<PathBuf> = env::split_paths(RPATH)
        .map(|entry| match entry.strip_prefix("$ORIGIN/..") {
            Ok(below) => folder.parent().unwrap_or(folder).join(below),
            Err(_) => entry,
        })
        .collect();
    find_in(
        env::var_os(LIBRARY_PATH).as_deref(),
        &in_rpath,
        || match IN_WHEEL {
            true => python_environment::ask_for_torch(folder),
            false => None,
        },
        &SearchPlace::of(folder),
    )
}

/// How messages name where it was looked for, and the remedy.
struct SearchPlace {
    looked: String,
    remedy: String,
}

impl SearchPlace {
    fn of(program_folder: &Path) -> Self {
        let program_folder = program_folder.display();
        if IN_WHEEL {
            SearchPlace {
                looked: format!("the Python environment of `{program_folder}`"),
                remedy: format!(
                    "run `{program_folder}/python -m pip install torch=={VERSION}`, or name the `lib` folder of a libtorch {VERSION} in {LIBRARY_PATH}"
                ),
            }
        } else {
            SearchPlace {
                looked: format!("`{RPATH}`"),
                remedy: format!(
                    "run `make setup`, or set LIBTORCH to a libtorch {VERSION} and build or install again, or name its `lib` folder in {LIBRARY_PATH}"
                ),
            }
        }
    }
}

/// What to do about a libtorch that is missing or doesn't load.
pub fn remedy() -> String {
    let program = env::current_exe().unwrap_or_default();
    SearchPlace::of(program.parent().unwrap_or(Path::new("/"))).remedy
}

/// - `in_rpath`: what the loader looks into after `library_path`
/// - `ask`: for a folder that the loader doesn't know
fn find_in(
    library_path: Option<&OsStr>,
    in_rpath: &[PathBuf],
    ask: impl FnOnce() -> Option<PathBuf>,
    place: &SearchPlace,
) -> Result<Found> {
    let holds = |folder: &PathBuf| folder.join(LIBRARY).exists();
    // The user's word counts, right or wrong.
    let named = library_path.map(env::split_paths).into_iter().flatten();
    if let Some(folder) = named.into_iter().find(holds) {
        return checked(folder, false, place);
    }
    let mut refused = None;
    let known = in_rpath.iter().cloned().map(Some);
    let asked = std::iter::once_with(ask);
    for folder in known.chain(asked).flatten().filter(holds) {
        // The loader takes the first of its own.
        let hidden = refused.is_some() || !in_rpath.contains(&folder);
        match checked(folder, hidden, place) {
            Ok(found) => return Ok(found),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) => Err(error),
        None => bail!(
            Refusal::failure(format!(
                "libtorch is missing: no `{LIBRARY}` in {}",
                place.looked
            ))
            .hint(&place.remedy)
        ),
    }
}

fn checked(folder: PathBuf, hidden: bool, place: &SearchPlace) -> Result<Found> {
    let found = version(&folder)?;
    if let Some((file, version)) = &found
        && version.split('+').next() != Some(VERSION)
    {
        bail!(
            Refusal::failure(format!(
                "wrong libtorch in `{}`: expected version {VERSION}, got {version} (`{}`)",
                folder.display(),
                file.display()
            ))
            .hint(&place.remedy)
        );
    }
    check_machine(&folder, place)?;
    Ok(Found {
        folder,
        version: found.map(|(_, version)| version),
        hidden,
    })
}

/// Refuses a library for another family of processors.
fn check_machine(folder: &Path, place: &SearchPlace) -> Result<()> {
    let library = folder.join(LIBRARY);
    let mismatch = elf::mismatch(&library, ARCH)
        .with_context(|| format!("`{}` can't be read", library.display()))?;
    if let Some(got) = mismatch {
        bail!(
            Refusal::failure(format!(
                "wrong libtorch in `{}`: expected a shared library for {ARCH}, got {got} (`{}`)",
                folder.display(),
                library.display()
            ))
            .hint(&place.remedy)
        );
    }
    Ok(())
}

/// Headers that name the version, below the folder of a libtorch.
const HEADERS: [&str; 2] = [
    "include/torch/headeronly/version.h",
    "include/torch/csrc/api/include/torch/version.h",
];

/// The version, and the file that says it: a libtorch's `build-version`, PyTorch's `version.py`, or
/// a header.
fn version(library_folder: &Path) -> Result<Option<(PathBuf, String)>> {
    let above = library_folder.parent().unwrap_or(library_folder);
    let file = above.join("build-version");
    if file.exists() {
        let text = fs_err::read_to_string(&file)?;
        return Ok(Some((file, text.trim().to_owned())));
    }
    let file = above.join("version.py");
    if !file.exists() {
        return of_header(above);
    }
    let text = fs_err::read_to_string(&file)?;
    let line = text.lines().find(|line| line.starts_with("__version__"));
    let quoted = line.and_then(|line| line.split(['\'', '"']).nth(1));
    Ok(quoted.map(|version| (file, version.to_owned())))
}

/// `#define TORCH_VERSION_MAJOR 2` and so on.
fn of_header(above: &Path) -> Result<Option<(PathBuf, String)>> {
    for header in HEADERS {
        let file = above.join(header);
        if !file.exists() {
            continue;
        }
        let text = fs_err::read_to_string(&file)?;
        let number = |part: &str| {
            let name = format!("TORCH_VERSION_{part}");
            let mut lines = text.lines().map(|line| line.split_whitespace());
            lines.find_map(|mut words| {
                (words.nth(1) == Some(name.as_str())).then(|| words.next().map(str::to_owned))?
            })
        };
        let numbers: Option<Vec<String>> = ["MAJOR", "MINOR", "PATCH"]
            .map(number)
            .into_iter()
            .collect();
        if let Some(numbers) = numbers {
            return Ok(Some((file, numbers.join("."))));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a libtorch, or like PyTorch where the file is `version.py`.
    fn libtorch(version: Option<(&str, &str)>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("lib")).unwrap();
        let library = folder.path().join("lib").join(LIBRARY);
        fs_err::write(library, elf::own_header()).unwrap();
        if let Some((file, version)) = version {
            fs_err::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
            fs_err::write(folder.path().join(file), version).unwrap();
        }
        folder
    }

    fn of_version(version: &str) -> tempfile::TempDir {
        libtorch(Some(("build-version", version)))
    }

    fn place() -> SearchPlace {
        SearchPlace {
            looked: "`here`".to_owned(),
            remedy: "run `make setup`".to_owned(),
        }
    }

    fn lib(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("lib")
    }

    fn find_among(in_rpath: &[PathBuf], asked: Option<PathBuf>) -> Result<Found> {
        find_in(None, in_rpath, || asked, &place())
    }

    #[test]
    fn the_right_version_passes_with_and_without_a_build_suffix() {
        for (file, expected) in [
            (Some(("build-version", "2.11.0\n")), Some("2.11.0")),
            (Some(("build-version", "2.11.0+cpu\n")), Some("2.11.0+cpu")),
            (
                Some(("version.py", "a = 1\n__version__ = '2.11.0+cu130'\n")),
                Some("2.11.0+cu130"),
            ),
            (
                Some((
                    HEADERS[0],
                    "/// Of 2.4.\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n",
                )),
                Some("2.11.0"),
            ),
            (None, None),
        ] {
            let folder = libtorch(file);
            let found = find_among(&[lib(&folder)], None).unwrap();
            assert_eq!(found.version.as_deref(), expected);
            assert!(!found.has_cuda());
        }
    }

    #[test]
    fn a_missing_library_is_refused_with_the_remedy() {
        let empty = tempfile::tempdir().unwrap();
        let message = find_among(&[lib(&empty)], None).unwrap_err().to_string();
        assert_eq!(
            message,
            "libtorch is missing: no `libtorch_cpu.so` in `here`\nhint: run `make setup`"
        );
    }

    #[test]
    fn a_library_of_another_processor_family_is_refused() {
        for (content, got) in [
            (elf::header(3), "one for ELF machine 3"),
            (elf::header(8), "one for ELF machine 8"),
            (b"GROUP ( libtorch.a )".to_vec(), "no ELF file"),
            (Vec::new(), "no ELF file"),
        ] {
            let folder = of_version("2.11.0");
            fs_err::write(lib(&folder).join(LIBRARY), content).unwrap();
            let message = find_among(&[lib(&folder)], None).unwrap_err().to_string();
            let expected = format!(
                "expected a shared library for {ARCH}, got {got} (`{}`)\nhint: run `make setup`",
                lib(&folder).join(LIBRARY).display()
            );
            assert!(message.ends_with(&expected), "{message}");
        }
    }

    #[test]
    fn the_library_path_comes_first_and_its_version_counts() {
        let (right, wrong) = (of_version("2.11.0"), of_version("2.4.1"));
        let find = |named: &tempfile::TempDir, built_in: &tempfile::TempDir| {
            let named = lib(named);
            find_in(Some(named.as_os_str()), &[lib(built_in)], || None, &place())
        };
        let message = find(&wrong, &right).unwrap_err().to_string();
        assert!(
            message.contains("expected version 2.11.0, got 2.4.1"),
            "{message}"
        );
        find(&right, &wrong).unwrap();
    }

    /// The `LD_LIBRARY_PATH` that a program is started with, if one is set for it.
    fn shown(found: &Found) -> Option<String> {
        let mut command = Command::new("true");
        found.show_to_loader(&mut command);
        let (_, value) = command.get_envs().find(|(name, _)| *name == LIBRARY_PATH)?;
        Some(value.unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn the_loader_is_told_of_what_it_would_not_find() {
        let (right, wrong) = (of_version("2.11.0"), of_version("2.4.1"));
        let is_shown = |found: &Found| {
            shown(found).is_some_and(|folders| folders.starts_with(lib(&right).to_str().unwrap()))
        };
        // The loader's own first one.
        let found = find_among(&[lib(&right), lib(&wrong)], None).unwrap();
        assert_eq!(shown(&found), None);
        // Behind a wrong one, and outside of what it knows.
        let found = find_among(&[lib(&wrong), lib(&right)], None).unwrap();
        assert!(is_shown(&found));
        let found = find_among(&[lib(&wrong)], Some(lib(&right))).unwrap();
        assert!(is_shown(&found));
        // Of several wrong ones the first is told.
        let message = find_among(&[lib(&wrong)], Some(lib(&wrong))).unwrap_err();
        assert!(message.to_string().contains("got 2.4.1"), "{message}");
    }
}
