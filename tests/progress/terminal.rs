//! A program on a pseudo-terminal, and a small emulator that shows what a user sees there.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::wait_until;

pub struct Terminal {
    child: Child,
    ours: File,
    emulator: Arc<Mutex<vt100::Parser>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts the command with all of its streams on a terminal of this size.
    pub fn start(command: &mut Command, rows: u16, columns: u16) -> Self {
        let (ours, theirs) = open(rows, columns);
        command
            .stdin(theirs.try_clone().unwrap())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs);
        // SAFETY: between fork and exec only system calls are made, on a descriptor that is open.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    -1 => Err(std::io::Error::last_os_error()),
                    _ => Ok(()),
                }
            });
        }
        let child = command.spawn().unwrap();
        // Else the command would keep our copies of its end open.
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let emulator = Arc::new(Mutex::new(vt100::Parser::new(
            there_are(rows),
            there_are(columns),
            1000,
        )));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let mut input = ours.try_clone().unwrap();
        let (shown, kept) = (emulator.clone(), bytes.clone());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error is the end: the other side is closed.
            while let Ok(count @ 1..) = input.read(&mut buffer) {
                shown.lock().unwrap().process(&buffer[..count]);
                kept.lock().unwrap().extend(&buffer[..count]);
            }
        });
        Terminal {
            child,
            ours,
            emulator,
            bytes,
            reader: Some(reader),
        }
    }

    /// The lines of the screen, without spaces at their ends.
    pub fn lines(&self) -> Vec<String> {
        let emulator = self.emulator.lock().unwrap();
        let columns = emulator.screen().size().1;
        emulator
            .screen()
            .rows(0, columns.get())
            .map(|row| row.trim_end().to_owned())
            .collect()
    }

    /// The lines, without the empty ones below.
    pub fn text(&self) -> String {
        self.lines().join("\n").trim_end().to_owned()
    }

    /// Row and column of the cursor.
    pub fn cursor(&self) -> (u16, u16) {
        self.emulator.lock().unwrap().screen().cursor_position()
    }

    /// All that was written to it.
    pub fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// What is on the screen once it is as it should be.
    pub fn wait_for(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        wait_until(what, || {
            let text = self.text();
            if is_so(&text) {
                return Some(text);
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended before {what}:\n{text}");
            None
        })
    }

    /// As the user's hand on the window.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.emulator
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(there_are(rows), there_are(columns));
        let size = size(rows, columns);
        // SAFETY: the descriptor is open, and the structure is what this request takes.
        let result = unsafe { libc::ioctl(self.ours.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        assert_eq!(result, 0);
    }

    pub fn press_control_c(&mut self) {
        self.ours.write_all(&[3]).unwrap();
    }

    /// Waits for the end; gives the exit code.
    pub fn end(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        code
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn there_are(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

fn size(rows: u16, columns: u16) -> libc::winsize {
    libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Our end and the program's.
fn open(rows: u16, columns: u16) -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    let size = size(rows, columns);
    // SAFETY: both places are written before they are read, name and settings may be absent.
    let result = unsafe {
        libc::openpty(
            &mut ours,
            &mut theirs,
            std::ptr::null_mut(),
            std::ptr::null(),
            &size,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: both were just opened, and nobody else knows them. The program's side must not
    // inherit ours.
    unsafe {
        libc::fcntl(ours, libc::F_SETFD, libc::FD_CLOEXEC);
        (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}
