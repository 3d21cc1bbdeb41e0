//! Two programs of one source: the light one must not be linked against libtorch, and must find the
//! other.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::sandbox::{LIGHT_PIPELINE, SEEDPIPE, SEEDPIPE_TORCH, Sandbox, WHOLE_PIPELINE, outcomes};

/// The libraries that the loader must find before a program starts.
fn needed_libraries(program: &str) -> Vec<String> {
    let output = Command::new("readelf")
        .args(["-d", program])
        .output()
        .expect("binutils come with the C++ compiler");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| line.contains("(NEEDED)"))
        .map(|line| line.split(['[', ']']).nth(1).unwrap().to_owned())
        .collect()
}

#[test]
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn the_light_binary_is_not_linked_against_libtorch() {
    let is_torch =
        |library: &String| library.starts_with("libtorch") || library.starts_with("libc10");
    assert_eq!(needed_libraries(SEEDPIPE).into_iter().find(is_torch), None);
    assert!(needed_libraries(SEEDPIPE_TORCH).iter().any(is_torch));
}

/// A copy of the light binary alone in a folder, so that the sibling beside it can be chosen.
fn installed_light_binary(sandbox: &Sandbox) -> std::path::PathBuf {
    let binary = sandbox.path("bin/seedpipe");
    fs_err::create_dir_all(binary.parent().unwrap()).unwrap();
    fs_err::copy(SEEDPIPE, &binary).unwrap();
    binary
}

#[test]
fn a_stage_that_needs_tensors_starts_the_sibling_through_symlinks() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let link = sandbox.path("seedpipe-link");
    symlink(SEEDPIPE, &link).unwrap();
    let mut command = sandbox.command(&["run", "teacher", "--json"]);
    let mut linked = Command::new(&link);
    linked
        .args(command.get_args())
        .current_dir(sandbox.path(""))
        .env_remove("SEEDPIPE_CACHE");
    let finished = sandbox.finish(&mut linked).succeeded();
    assert_eq!(
        outcomes(&finished.json_lines()),
        ["images=executed", "views=executed", "teacher=executed"]
    );
    let again = sandbox.finish(&mut command).succeeded();
    assert_eq!(
        outcomes(&again.json_lines()),
        ["images=cached", "views=cached", "teacher=cached"]
    );
}

/// Both, as an installation has them: away from the build, in a folder of their own.
#[test]
fn installed_programs_find_each_other_and_libtorch_from_any_folder() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let light = installed_light_binary(&sandbox);
    let whole = sandbox.path("bin/seedpipe-torch");
    fs_err::copy(SEEDPIPE_TORCH, &whole).unwrap();
    let pipeline = sandbox.path("pipeline.yaml");
    let run = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(["--pipeline", pipeline.to_str().unwrap()])
            .args(arguments)
            .current_dir("/")
            .env_clear();
        sandbox.finish(&mut command).succeeded()
    };
    for program in [&light, &whole] {
        let version = run(program, &["--version"]).stdout;
        assert_eq!(
            version,
            concat!("seedpipe ", env!("CARGO_PKG_VERSION"), "\n")
        );
    }
    let first = run(&light, &["run", "student", "--json"]).json_lines();
    assert!(outcomes(&first).contains(&"student=executed".to_owned()));
    let again = run(&whole, &["run", "student", "--json"]).json_lines();
    assert!(outcomes(&again).contains(&"student=cached".to_owned()));
}

#[test]
fn a_missing_sibling_is_told_with_the_remedy_and_light_stages_still_run() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let binary = installed_light_binary(&sandbox);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command
            .args(arguments)
            .current_dir(sandbox.path(""))
            .env_remove("SEEDPIPE_CACHE");
        sandbox.finish(&mut command)
    };
    insta::assert_snapshot!(run(&["run"]).exited_with(1).refusal(), @r"
    error: `[folder]/bin/seedpipe-torch` is missing: it runs the stages that need libtorch
    hint: run `cargo build`, which makes both programs; when they are installed, both belong in one folder
    exit code 1
    ");
    run(&["run", "views", "--quiet"]).succeeded();
}

#[test]
fn a_sibling_of_another_build_is_refused() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let mut command = Command::new(SEEDPIPE_TORCH);
    command
        .arg("status")
        .current_dir(sandbox.path(""))
        .env("SEEDPIPE_BUILD_STAMP", "of-yesterday");
    let refused = sandbox.finish(&mut command).exited_with(1);
    assert!(
        refused.stderr.contains("are of different builds"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("hint: run `cargo build`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_libtorch_of_another_version_on_the_library_path_is_refused() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.write("torch/lib/libtorch_cpu.so", "");
    sandbox.write("torch/build-version", "1.13.1+cpu\n");
    let mut command = sandbox.command(&["run"]);
    command.env("LD_LIBRARY_PATH", sandbox.path("torch/lib"));
    insta::assert_snapshot!(sandbox.finish(&mut command).exited_with(1).refusal(), @r"
    error: wrong libtorch in `[folder]/torch/lib`: expected version 2.11.0, got 1.13.1+cpu (`[folder]/torch/build-version`)
    hint: run `make setup`, or set LIBTORCH to a libtorch 2.11.0 and build or install again, or name its `lib` folder in LD_LIBRARY_PATH
    exit code 1
    ");
    assert!(!Path::new(&sandbox.path(".seedpipe")).exists());
}
