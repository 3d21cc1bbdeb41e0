//! A cache that can't be written: a full disk, a folder without permission.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use insta::assert_snapshot;

use crate::requirements::missing;
use crate::sandbox::{LIGHT_PIPELINE, SEEDPIPE, Sandbox};

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A small file system in memory, unmounted in the end.
pub struct SmallDisk<'a> {
    sandbox: &'a Sandbox,
}

impl<'a> SmallDisk<'a> {
    /// `None`, told of, where this user may not mount.
    pub fn mount(sandbox: &'a Sandbox, size: &str) -> Option<Self> {
        let folder = sandbox.path("disk");
        fs_err::create_dir_all(&folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&folder)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { sandbox });
        }
        missing(
            "the right to mount a small file system",
            "run the tests as root, in a container that may mount",
        );
        None
    }

    /// Gives it more room, keeping what is on it.
    pub fn grow(&self, size: &str) {
        let grown = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(self.sandbox.path("disk"))
            .status();
        assert!(
            grown.is_ok_and(|status| status.success()),
            "the small disk can't grow"
        );
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount")
            .arg(self.sandbox.path("disk"))
            .status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "the small disk can't be unmounted"
        );
    }
}

#[test]
fn a_full_disk() {
    let sandbox = Sandbox::with(&LIGHT_PIPELINE.replace(", take: {train: 60, test: 20}", ""));
    let Some(_disk) = SmallDisk::mount(&sandbox, "256k") else {
        return;
    };
    let mut command = sandbox.command(&["run", "--quiet"]);
    command.env("SEEDPIPE_CACHE", sandbox.path("disk/cache"));
    let full = sandbox.finish(&mut command).exited_with(1);
    assert_snapshot!(full.refusal(), @r"
    error: pipeline.yaml: stage `images`: `[folder]/disk/cache/v1/drafts/[digest]/content/images/bytes-new-00000.parquet`: cannot write: No space left on device (os error 28)
    hint: free space, for example by `seedpipe gc`, and run again: finished shards are kept
    exit code 1
    ");
    assert!(!sandbox.path(".seedpipe").exists());
    let mut command = sandbox.command(&["verify"]);
    command.env("SEEDPIPE_CACHE", sandbox.path("disk/cache"));
    sandbox.finish(&mut command).succeeded();
}

#[test]
fn a_read_only_cache() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    fs_err::create_dir(sandbox.path("cache")).unwrap();
    let mode = |mode: u32| {
        fs_err::set_permissions(sandbox.path("cache"), PermissionsExt::from_mode(mode)).unwrap()
    };
    mode(0o555);
    let mut command = sandbox.command(&["run", "--quiet"]);
    if is_root() {
        // Permissions mean nothing to root: run as nobody, who may not be able to reach the binary
        // where it was built.
        fs_err::set_permissions(sandbox.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        fs_err::copy(SEEDPIPE, sandbox.path("seedpipe")).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command
            .arg(sandbox.path("seedpipe"))
            .args(["run", "--quiet"])
            .current_dir(sandbox.path(""));
    }
    command.env("SEEDPIPE_CACHE", sandbox.path("cache"));
    let refused = sandbox.finish(&mut command);
    mode(0o755);
    assert_snapshot!(refused.refusal(), @r"
    error: cache `[folder]/cache`: expected a folder that can be written, got: failed to create directory `[folder]/cache/v1/artifacts`: Permission denied (os error 13)
    hint: free space or correct its permissions, or name another folder by `cache:` in pipeline.yaml or SEEDPIPE_CACHE; status, explain, show, metrics and verify work without writing
    exit code 1
    ");
    assert_eq!(fs_err::read_dir(sandbox.path("cache")).unwrap().count(), 0);
}
