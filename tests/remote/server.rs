//! A real S3 server on loopback (crate `s3s-fs`), and a proxy before it that kills it after some
//! bytes.

use std::env;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::requirements::missing;
use crate::sandbox::Sandbox;

pub const ACCESS_KEY: &str = "AKIDTESTEXAMPLE0001";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const BUCKET: &str = "shared";

fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os("SEEDPIPE_S3_SERVER").filter(|named| !named.is_empty()) {
        let path = PathBuf::from(named);
        assert!(
            path.is_file(),
            "SEEDPIPE_S3_SERVER names `{}`, which is no file",
            path.display()
        );
        return Some(path);
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders)
        .map(|folder| folder.join("s3s-fs"))
        .find(|path| path.is_file())
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Waits until something listens.
pub fn await_port(port: u16) {
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing listens on port {port}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// The server and the folder that it serves; both end with it.
pub struct Server {
    program: PathBuf,
    folder: tempfile::TempDir,
    process: Arc<Mutex<Option<Child>>>,
    port: u16,
}

impl Server {
    /// `None`, told of, where there is no such program.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            missing(
                "an S3 server, `s3s-fs` on PATH or named by SEEDPIPE_S3_SERVER",
                "SEEDPIPE_S3_SERVER=\"$(tests/remote/install_s3_server.sh)\"",
            );
            return None;
        };
        let folder = tempfile::Builder::new()
            .prefix("seedpipe-s3-")
            .tempdir()
            .unwrap();
        fs_err::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut server = Self {
            program,
            folder,
            process: Arc::new(Mutex::new(None)),
            port: free_port(),
        };
        server.restart();
        Some(server)
    }

    pub fn restart(&mut self) {
        self.kill();
        let child = Command::new(&self.program)
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        *self.process.lock().unwrap() = Some(child);
        await_port(self.port);
    }

    pub fn kill(&self) {
        kill(&self.process);
    }

    /// The bucket's folder on the server's disk, with the prefix that the tests use.
    pub fn disk(&self) -> PathBuf {
        self.folder.path().join(BUCKET).join("some/prefix")
    }

    /// A command whose remote is this server, reached at `port`.
    pub fn command(&self, sandbox: &Sandbox, arguments: &[&str], port: u16) -> Command {
        let mut command = sandbox.command(arguments);
        command
            .env("SEEDPIPE_REMOTE", format!("s3://{BUCKET}/some/prefix"))
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        command
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A proxy that passes `budget` bytes on, of requests and answers together, and then kills the
    /// server.
    pub fn deadly_proxy(&self, budget: u64) -> DeadlyProxy {
        DeadlyProxy::start(self.port, budget, self.process.clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kill(process: &Mutex<Option<Child>>) {
    if let Some(mut child) = process.lock().unwrap().take() {
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
    }
}

/// Passes bytes on until they are used up.
pub struct DeadlyProxy {
    pub port: u16,
    killed: Arc<AtomicBool>,
}

impl DeadlyProxy {
    fn start(server: u16, budget: u64, process: Arc<Mutex<Option<Child>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (left, killed) = (
            Arc::new(AtomicU64::new(budget)),
            Arc::new(AtomicBool::new(false)),
        );
        let is_killed = killed.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server)))
                else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (left, killed, process) = (left.clone(), killed.clone(), process.clone());
                    thread::spawn(move || pass(from, to, &left, &killed, &process));
                }
            }
        });
        Self {
            port,
            killed: is_killed,
        }
    }

    pub fn has_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }
}

fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    left: &AtomicU64,
    killed: &AtomicBool,
    process: &Mutex<Option<Child>>,
) {
    let mut buffer = [0; 4096];
    while let Ok(count) = from.read(&mut buffer) {
        let allowed = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(count as u64)
        });
        if allowed.is_err() {
            left.store(0, Ordering::SeqCst);
            killed.store(true, Ordering::SeqCst);
            kill(process);
        }
        if count == 0 || allowed.is_err() || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Serves a folder over plain HTTP; `None`, told of, where there is no python3.
pub struct StaticServer {
    process: Child,
    pub port: u16,
}

impl StaticServer {
    pub fn start(folder: &Path) -> Option<Self> {
        let port = free_port();
        let started = Command::new("python3")
            .args([
                "-m",
                "http.server",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--directory",
            ])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(process) => {
                let server = Self { process, port };
                await_port(port);
                Some(server)
            }
            Err(error) => {
                missing(
                    &format!("python3, to serve a folder: {error}"),
                    "apt-get install python3",
                );
                None
            }
        }
    }
}

impl Drop for StaticServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}
