//! The same claims over a store in memory, which has conditional writes, and over a folder, which
//! has a lock instead.

use std::io::{self, Cursor, Write};
use std::path::Path;

use object_store::memory::InMemory;

use super::*;

fn in_memory() -> Objects {
    let connection = StoreRoot {
        store: Arc::new(InMemory::new()),
        prefix: "some/prefix".to_owned(),
        folder: None,
    };
    let patience = Patience(Duration::from_secs(60));
    Objects::over(
        connection,
        "memory".to_owned(),
        Secrets::default(),
        patience,
    )
    .unwrap()
}

fn in_folder(path: &Path) -> Objects {
    let address = Address::parse(path.to_str().unwrap(), Path::new("")).unwrap();
    Objects::open(&address, true).unwrap()
}

/// Something for each sort of store.
fn for_both(check: impl Fn(&Objects)) {
    check(&in_memory());
    let folder = tempfile::tempdir().unwrap();
    check(&in_folder(&folder.path().join("a remote")));
}

fn fetched(objects: &Objects, key: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let is_there = objects.fetch(key, &mut |piece| {
        bytes.extend_from_slice(piece);
        true
    });
    is_there.unwrap().then_some(bytes)
}

/// Gives some bytes, then fails.
struct Broken(u64);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::other("not what it should be"));
        }
        let count = buffer.len().min(self.0 as usize);
        buffer[..count].fill(1);
        self.0 -= count as u64;
        Ok(count)
    }
}

#[test]
fn small_and_large_objects_come_back_as_they_were() {
    for_both(|objects| {
        for length in [
            0,
            5,
            MULTIPART_FROM_BYTES as usize,
            2 * PART_BYTES + 3,
            3 * PART_BYTES,
        ] {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 7 / 5) as u8).collect();
            let mut source = Cursor::new(&bytes);
            objects.write("a/b", length as u64, &mut source).unwrap();
            assert_eq!(objects.length("a/b").unwrap(), Some(length as u64));
            assert!(fetched(objects, "a/b").unwrap() == bytes, "{length}");
        }
    });
}

#[test]
fn what_is_not_there_is_none() {
    for_both(|objects| {
        assert_eq!(objects.length("a/b").unwrap(), None);
        assert_eq!(objects.read("a/b", 9).unwrap(), None);
        assert_eq!(fetched(objects, "a/b"), None);
    });
}

#[test]
fn a_source_that_fails_leaves_no_object() {
    for_both(|objects| {
        for length in [100, MULTIPART_FROM_BYTES + PART_BYTES as u64] {
            let error = objects
                .write("a/b", length, &mut Broken(length - 50))
                .unwrap_err();
            assert!(error.message.contains("not what it should be"), "{error}");
            assert_eq!(objects.length("a/b").unwrap(), None);
            assert_eq!(objects.names("a").unwrap_or_default(), [""; 0]);
        }
    });
}

#[test]
fn an_object_that_is_too_large_is_not_read() {
    for_both(|objects| {
        objects.write("a/b", 10, &mut Cursor::new([7; 10])).unwrap();
        assert_eq!(objects.read("a/b", 10).unwrap(), Some(vec![7; 10]));
        let error = objects.read("a/b", 9).unwrap_err();
        assert_eq!(error.message, "expected at most 9 bytes, got 10");
        assert_eq!(error.action, "reading `a/b`");
    });
}

#[test]
fn a_reader_that_stops_gets_no_more() {
    for_both(|objects| {
        let bytes = vec![7; 3 << 20];
        objects
            .write("a/b", bytes.len() as u64, &mut Cursor::new(&bytes))
            .unwrap();
        let mut calls = 0;
        objects
            .fetch("a/b", &mut |_| {
                calls += 1;
                false
            })
            .unwrap();
        assert_eq!(calls, 1);
    });
}

#[test]
fn changes_of_several_at_once_lose_nothing() {
    for_both(|objects| {
        std::thread::scope(|scope| {
            for writer in 0..6_u8 {
                scope.spawn(move || {
                    for number in 0..4_u8 {
                        let mine = writer * 10 + number;
                        objects
                            .change("a/list", 100, &mut |old| {
                                let mut list = old.unwrap_or_default();
                                list.push(mine);
                                Some(list)
                            })
                            .unwrap();
                    }
                });
            }
        });
        let mut list = objects.read("a/list", 100).unwrap().unwrap();
        list.sort_unstable();
        let mut expected: Vec<u8> = (0..6)
            .flat_map(|writer| (0..4).map(move |number| writer * 10 + number))
            .collect();
        expected.sort_unstable();
        assert_eq!(list, expected);
    });
}

#[test]
fn names_are_those_right_under_a_folder() {
    for_both(|objects| {
        for key in ["x/b.json", "x/a.json", "x/y/c.json", "z.json"] {
            objects.write(key, 1, &mut Cursor::new([1])).unwrap();
        }
        assert_eq!(objects.names("x").unwrap(), ["a.json", "b.json"]);
    });
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("typo");
    let address = Address::parse(path.to_str().unwrap(), Path::new("")).unwrap();
    let error = Objects::open(&address, false).err().unwrap();
    assert_eq!(error.message, "expected a folder, got none there");
    assert!(!path.exists());
    let deep = Address::parse(path.join("deeper").to_str().unwrap(), Path::new("")).unwrap();
    assert!(
        Objects::open(&deep, true).is_err(),
        "a mount that is missing must not become a folder"
    );
}

#[test]
fn a_server_that_is_gone_is_an_error_without_credentials() {
    let address = Address::parse("http://127.0.0.1:9/x", Path::new("")).unwrap();
    let objects = Objects::open(&address, false).unwrap();
    let error = objects.length("a/b").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("remote `http://127.0.0.1:9/x`: reading `a/b`: "),
        "{error}"
    );
}

/// A server that begins its answer and goes on with a byte now and then, or not at all; over with
/// the test's process.
fn slow_server(pause: Option<Duration>) -> Objects {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/x", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 1024]);
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nLast-Modified: Sat, 01 Mar 2025 12:00:00 GMT\r\n\r\n";
                let mut is_open = stream.write_all(head.as_bytes()).is_ok();
                while let (true, Some(pause)) = (is_open, pause) {
                    std::thread::sleep(pause);
                    is_open = stream.write_all(b"x").is_ok();
                }
                std::thread::sleep(Duration::from_secs(600));
            });
        }
    });
    let mut objects =
        Objects::open(&Address::parse(&address, Path::new("")).unwrap(), false).unwrap();
    objects.patience = Patience(Duration::from_millis(300));
    objects
}

#[test]
fn a_server_that_gives_a_byte_now_and_then_is_given_up() {
    for (pause, said) in [
        (Some(Duration::from_millis(20)), "too slow: "),
        (None, "no answer for 0.3 s"),
    ] {
        let objects = slow_server(pause);
        let fetched = objects.fetch("a/b", &mut |_| true).unwrap_err();
        let read = objects.read("a/b", 1 << 20).unwrap_err();
        for error in [fetched, read] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}

#[test]
fn a_named_pipe_in_a_folder_is_never_opened() {
    let folder = tempfile::tempdir().unwrap();
    let objects = in_folder(folder.path());
    std::fs::create_dir(folder.path().join("a")).unwrap();
    for key in ["a/b", FOLDER_LOCK] {
        let made = std::process::Command::new("mkfifo")
            .arg(folder.path().join(key))
            .status();
        assert!(made.unwrap().success());
    }
    let errors = [
        objects.length("a/b").unwrap_err(),
        objects.read("a/b", 9).unwrap_err(),
        objects.fetch("a/b", &mut |_| true).unwrap_err(),
        objects.change("a/c", 9, &mut |_| None).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.message, "expected a file, got something else");
    }
}

#[test]
fn a_folders_lock_is_not_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut objects = in_folder(folder.path());
    objects.patience = Patience(Duration::from_millis(50));
    let lock = File::create(folder.path().join(FOLDER_LOCK)).unwrap();
    lock.lock().unwrap();
    let error = objects.change("a/b", 9, &mut |_| None).unwrap_err();
    assert!(
        error
            .message
            .contains("another process has held `seedpipe.lock`"),
        "{error}"
    );
    drop(lock);
    objects.change("a/b", 9, &mut |_| Some(vec![1])).unwrap();
    assert_eq!(objects.read("a/b", 9).unwrap(), Some(vec![1]));
}
