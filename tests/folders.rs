//! Folders as people have them: what `init` and `ingest` take of them, what they pass over, and what
//! they say of it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use seedpipe_artifact::{Metadata, SeenRow, SeenWriter};

use crate::sandbox::{Finished, REPOSITORY, Sandbox, outcomes};

const PIPELINE: &str =
    "stages:\n  images: {kind: ingest, params: {source: photos, max_bad_fraction: 0.5}}\n";

/// A picture of 12 × 10 pixels, for each number another.
pub fn png(number: u8) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(12, 10, |x, y| {
        image::Rgb([x as u8 * 3 + number, y as u8 * 7, number.wrapping_mul(13)])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// 24 pictures in two classes below `folder`.
fn write_pictures(sandbox: &Sandbox, folder: &str) {
    for number in 0..24u8 {
        let class = ["cat", "dog"][usize::from(number % 2)];
        sandbox.write(&format!("{folder}/{class}/{number:02}.png"), png(number));
    }
}

fn with_pictures(pipeline: &str) -> Sandbox {
    let sandbox = Sandbox::with(pipeline);
    write_pictures(&sandbox, "photos");
    sandbox
}

fn make_pipe(sandbox: &Sandbox, path: &str) {
    let path = sandbox.path(path);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
}

/// What a run of `images` told, and how many images it took and refused.
fn ingested(sandbox: &Sandbox) -> (String, u64, u64) {
    let run = sandbox.run(&["run", "--quiet", "images"]).succeeded();
    let shown = sandbox
        .run(&["show", "images", "--json"])
        .succeeded()
        .json();
    let rows = |output: &str| shown["outputs"][output]["rows"].as_u64().unwrap();
    (run.stderr, rows("images"), rows("rejected"))
}

/// What `init` told of photos.
fn surveyed(sandbox: &Sandbox) -> Finished {
    let _ = fs_err::remove_file(sandbox.path("init.yaml"));
    sandbox.run(&["--pipeline", "init.yaml", "init", "--from", "photos"])
}

fn outcome(sandbox: &Sandbox) -> Vec<String> {
    outcomes(&sandbox.run_json(&["images"]))
}

#[test]
fn a_folder_of_images_may_be_the_pipelines_own() {
    let sandbox = Sandbox::empty();
    write_pictures(&sandbox, ".");
    let told = sandbox.run(&["init", "--from", "."]).succeeded().stdout;
    assert!(
        told.starts_with("found 24 images: 24 png; 24 train; 2 classes;"),
        "{told}"
    );
    assert!(told.contains("preview views -o ../views.png\n"), "{told}");
    assert_eq!(outcome(&sandbox), ["images=executed"]);
    // What the program writes there is no input.
    sandbox
        .run(&["report", "--partial", "-o", "report.html"])
        .succeeded();
    sandbox.write("nohup.out", "written meanwhile");
    assert_eq!(outcome(&sandbox), ["images=cached"]);
    let refused = sandbox.run(&["preview", "images"]).exited_with(2);
    assert_eq!(
        refused.stderr,
        "error: `images.png` lies in the source `.`, and would be one of its images\nhint: name a place outside by `-o`, such as `-o ../sheet.png`\n"
    );
    assert!(!sandbox.path("images.png").exists());
}

#[test]
fn a_cache_in_the_source_is_no_input_wherever_it_lies() {
    for cache in [
        "photos/.cache",
        "photos/cache",
        "photos/cat/made",
        "photos",
        ".",
    ] {
        let sandbox = with_pictures(&format!("cache: {cache}\n{PIPELINE}"));
        assert_eq!(outcome(&sandbox), ["images=executed"], "{cache}");
        assert_eq!(outcome(&sandbox), ["images=cached"], "{cache}");
        let told = surveyed(&sandbox).succeeded().stdout;
        assert!(told.starts_with("found 24 images: "), "{cache}: {told}");
    }
}

#[test]
fn what_is_no_image_and_no_file_is_passed_over() {
    let sandbox = with_pictures(PIPELINE);
    assert_eq!(outcome(&sandbox), ["images=executed"]);
    make_pipe(&sandbox, "photos/control");
    let _socket = UnixListener::bind(sandbox.path("photos/cat/socket")).unwrap();
    symlink("/nowhere/notes.txt", sandbox.path("photos/cat/notes.txt")).unwrap();
    symlink("/dev/zero", sandbox.path("photos/zero")).unwrap();
    symlink("itself", sandbox.path("photos/itself")).unwrap();
    // Nothing that hides, and no text, makes the stage run again.
    sandbox.write("photos/.DS_Store", "x");
    sandbox.write("photos/cat/._00.png", "x");
    sandbox.write("photos/.trash/old.png", png(200));
    sandbox.write("photos/Thumbs.db", "x");
    sandbox.write("photos/labels.csv", "x");
    assert_eq!(outcome(&sandbox), ["images=cached"]);
    let told = surveyed(&sandbox).succeeded().stdout;
    assert!(told.starts_with("found 24 images: 24 png;"), "{told}");
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn what_should_be_an_image_and_can_not_be_read_is_a_rejected_row() {
    let sandbox = with_pictures(PIPELINE);
    make_pipe(&sandbox, "photos/cat/pipe.png");
    let _socket = UnixListener::bind(sandbox.path("photos/dog/socket.JPG")).unwrap();
    symlink("/nowhere/x.png", sandbox.path("photos/cat/dead.png")).unwrap();
    symlink("turns.png", sandbox.path("photos/dog/turns.png")).unwrap();
    let (told, images, rejected) = ingested(&sandbox);
    assert_eq!((images, rejected), (24, 4), "{told}");
    for part in [
        "4 of 28 images cannot be read and are left out",
        "  cat/dead.png: expected an image, got a link that leads to nothing\n",
        "  cat/pipe.png: expected an image, got a named pipe\n",
        "  dog/socket.JPG: expected an image, got a socket\n",
        "  dog/turns.png: expected an image, got a link that leads to itself\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let init = surveyed(&sandbox).succeeded().stdout;
    assert!(init.starts_with("found 24 images"), "{init}");
    assert!(
        init.contains("warning: 4 can't be read and will be left out\n"),
        "{init}"
    );
    // They are part of the recipe, and of the share that may be bad.
    fs_err::remove_file(sandbox.path("photos/cat/dead.png")).unwrap();
    let told = sandbox.run(&["explain", "images"]).succeeded().stdout;
    assert!(
        told.contains("sources.photos: `cat/dead.png` removed"),
        "{told}"
    );
    let refused = sandbox.run(&["run", "--quiet", "--set", "images.max_bad_fraction=0.1"]);
    assert!(
        refused
            .stderr
            .contains("3 of 27 images cannot be read, expected at most a share of 0.1"),
        "{}",
        refused.stderr
    );
}

#[test]
fn linked_folders_are_named_and_loops_are_cut() {
    let sandbox = with_pictures(PIPELINE);
    sandbox.write("elsewhere/far.png", png(100));
    symlink("../../elsewhere", sandbox.path("photos/cat/away")).unwrap();
    symlink("..", sandbox.path("photos/dog/up")).unwrap();
    let (told, images, rejected) = ingested(&sandbox);
    assert_eq!((images, rejected), (25, 0), "{told}");
    assert!(
        told.contains(
            "taken from elsewhere, since linked folders belong to the source: `cat/away` → `"
        ),
        "{told}"
    );
    assert!(
        told.contains("passed over, since they lead back to a folder that they lie in: `dog/up`\n"),
        "{told}"
    );
    let init = surveyed(&sandbox).succeeded().stdout;
    assert!(
        init.starts_with("found 25 images") && init.contains("`dog/up`"),
        "{init}"
    );
}

#[test]
fn a_link_out_of_the_folder_leads_no_text_into_messages_or_artifacts() {
    let sandbox = with_pictures(PIPELINE);
    sandbox.write("secret", "root:x:0:0:secret");
    sandbox.write("private/key.png", "BEGIN PRIVATE KEY");
    sandbox.write("photos/cat/inside.png", "<!DOCTYPE html>");
    symlink("../../secret", sandbox.path("photos/cat/out.png")).unwrap();
    symlink("../private", sandbox.path("photos/linked")).unwrap();
    let (told, ..) = ingested(&sandbox);
    let rows = sandbox
        .run(&["show", "images.rejected", "--json"])
        .succeeded()
        .stdout;
    let init = surveyed(&sandbox).succeeded().stdout;
    for text in [&told, &rows, &init] {
        assert!(
            text.contains("cat/out.png") && text.contains("got something else"),
            "{text}"
        );
        assert!(text.contains("<!DOCTYPE html>"), "{text}");
        assert!(
            !text.contains("root:x") && !text.contains("PRIVATE"),
            "{text}"
        );
    }
}

#[test]
fn endings_that_are_not_read_are_counted() {
    let sandbox = with_pictures(PIPELINE);
    for (number, name) in [
        "a.HEIC",
        "b.heic",
        "cat/c.ppm",
        "cat/17",
        "scans.zip",
        "README",
    ]
    .iter()
    .enumerate()
    {
        sandbox.write(&format!("photos/{name}"), format!("{number}"));
    }
    sandbox.write("photos/owl/d.jfif", png(90));
    let counted = ": 1 without an ending, 2 .heic, 1 .ppm, 1 .zip\n";
    let (told, images, _) = ingested(&sandbox);
    assert_eq!(images, 25);
    assert!(told.contains(counted), "{told}");
    let init = surveyed(&sandbox).succeeded().stdout;
    assert!(init.contains(counted), "{init}");
    // Where there is nothing else, they are what is wrong.
    sandbox.write("scans/1.ppm", "P6");
    let refused = sandbox.run(&["--pipeline", "scans.yaml", "init", "--from", "scans"]);
    assert!(
        refused.stderr.contains("got none (passed over"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains(": 1 .ppm)"), "{}", refused.stderr);
}

/// A table as `embed -o` writes it, which has no images.
fn write_embeddings(sandbox: &Sandbox, path: &str) {
    let mut writer = SeenWriter::create(&sandbox.path(path), &Metadata::new());
    writer
        .write(SeenRow::Embedding {
            image: "cat/00.png".to_owned(),
            embedding: vec![1.0, 2.0],
        })
        .unwrap();
    assert!(writer.finish().unwrap());
}

#[test]
fn tables_without_images_leave_a_folder_of_images_what_it_is() {
    let sandbox = with_pictures(PIPELINE);
    write_embeddings(&sandbox, "photos/metadata.parquet");
    sandbox.write("photos/broken.parquet", "PAR1");
    make_pipe(&sandbox, "photos/pipe.parquet");
    let (told, images, _) = ingested(&sandbox);
    assert_eq!(images, 24);
    let init = surveyed(&sandbox).succeeded().stdout;
    for text in [&told, &init] {
        for part in [
            "passed over: `metadata.parquet` has no image column\n",
            "passed over: `broken.parquet`: not Parquet, or damaged",
            "passed over: `pipe.parquet`: expected a Parquet file, got a named pipe\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn tables_with_images_count_before_what_lies_beside_them() {
    let sandbox = Sandbox::with(
        "stages:\n  images: {kind: ingest, params: {source: photos, take: {train: 50}}}\n",
    );
    sandbox.write("photos/cover.png", png(1));
    let digits = fs_err::read(format!("{REPOSITORY}/data/digits.parquet")).unwrap();
    sandbox.write("photos/digits.parquet", digits);
    write_embeddings(&sandbox, "photos/embedded.parquet");
    let (told, images, _) = ingested(&sandbox);
    assert_eq!(images, 50);
    for part in [
        "passed over: `embedded.parquet` has no image column\n",
        "passed over, but for those that a row names: 1 image files beside the tables\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // A part of the tables that can't be read is not lost unnoticed.
    symlink("/nowhere", sandbox.path("photos/more.parquet")).unwrap();
    let refused = sandbox.run(&["run", "--quiet"]).exited_with(1);
    assert!(
        refused.stderr.contains("`./photos/more.parquet`: expected a Parquet file, got a link that leads to nothing\nhint: repair or remove it"),
        "{}",
        refused.stderr
    );
}

#[test]
fn images_that_are_there_twice_are_told_by_every_command() {
    let sandbox = Sandbox::with("stages:\n  images: {kind: ingest, params: {source: photos}}\n");
    for number in 0..20u8 {
        let class = ["cat", "dog"][usize::from(number % 2)];
        sandbox.write(
            &format!("photos/train/{class}/{number:02}.png"),
            png(number),
        );
        sandbox.write(
            &format!("photos/test/{class}/{number:02}.png"),
            png(100 + number),
        );
    }
    sandbox.write("photos/train/cat/dog.png", png(1));
    sandbox.write("photos/test/cat/seen.png", png(2));
    let linked = sandbox.path("photos/train/cat/00.png");
    symlink(&linked, sandbox.path("photos/train/cat/link.png")).unwrap();
    fs_err::hard_link(&linked, sandbox.path("photos/train/cat/other.png")).unwrap();
    let (ingest, images, _) = ingested(&sandbox);
    assert_eq!(images, 44);
    let init = surveyed(&sandbox).succeeded().stdout;
    sandbox.run(&["report", "-o", "page.html"]).succeeded();
    let page = fs_err::read_to_string(sandbox.path("page.html")).unwrap();
    for text in [&ingest, &init, &page] {
        for part in [
            "1 image lies in more than one class, byte for byte the same: `train/cat/dog.png` (cat) = `train/dog/01.png` (dog)",
            "1 image lies in more than one split, byte for byte the same: `test/cat/seen.png` (test) = `train/cat/02.png` (train)",
            "1 image lies in more than one place, byte for byte the same: `train/cat/00.png` = `train/cat/link.png`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn what_may_not_be_read_is_a_rejected_row() {
    let sandbox = with_pictures(PIPELINE);
    for (path, mode) in [("photos/cat/00.png", 0o000), ("photos/dog", 0o000)] {
        let mode = std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(sandbox.path(path), mode).unwrap();
    }
    if fs_err::read(sandbox.path("photos/cat/00.png")).is_ok() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let (told, images, rejected) = ingested(&sandbox);
    let open = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(sandbox.path("photos/dog"), open).unwrap();
    assert_eq!((images, rejected), (11, 2), "{told}");
    for part in [
        "cat/00.png: expected an image, got a file that may not be read",
        "dog: expected an image, got a folder that can't be opened",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
