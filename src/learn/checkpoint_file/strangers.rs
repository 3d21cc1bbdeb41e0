//! What a file is that is no checkpoint, told by how it begins, and what to do about it.

use seedpipe_base::Refusal;

use super::{DAMAGED, NOT_A_CHECKPOINT, malformed};

/// Bytes of a file's start that are looked at: a tar archive says itself at 257.
pub(super) const START: usize = 512;

const UNPACK: &str = "unpack it, and name the checkpoint that is in it";
const FETCH: &str =
    "the link led to a page and not to the file: fetch it again from its own address";
const IMAGE: &str = "name the network first and the images after it";
const TABLE: &str = "weights are no table: name what `torch.save` or safetensors wrote";
const ONNX: &str = "an ONNX file can't be read back: take the checkpoint that it was made from";

/// Beginnings of files, in lower case where they are text.
const BEGINNINGS: [(&[u8], &str, &str); 24] = [
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, which stands for the file",
        "fetch the file itself by `git lfs pull`",
    ),
    (b"<!doctype html", "a web page", FETCH),
    (b"<html", "a web page", FETCH),
    (b"<?xml", "XML", FETCH),
    (b"\x1f\x8b", "packed by gzip", UNPACK),
    (b"BZh", "packed by bzip2", UNPACK),
    (b"\xfd7zXZ\0", "packed by xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"PAR1", "a Parquet table", TABLE),
    (b"\x89PNG", "a PNG image", IMAGE),
    (b"\xff\xd8\xff", "a JPEG image", IMAGE),
    (b"GIF8", "a GIF image", IMAGE),
    (b"BM", "a BMP image", IMAGE),
    (b"II*\0", "a TIFF image", IMAGE),
    (b"MM\0*", "a TIFF image", IMAGE),
    (b"RIFF", "a RIFF file, as WebP images are", IMAGE),
    (
        b"\x89HDF\r\n\x1a\n",
        "HDF5, as Keras writes it",
        "convert it in Python, and write it with `safetensors.torch.save_file`",
    ),
    (
        b"\x93NUMPY",
        "an array of NumPy",
        "write the tensors with `safetensors.torch.save_file`",
    ),
    (
        b"GGUF",
        "GGUF, a format of quantised language models",
        NOT_A_CHECKPOINT,
    ),
    (b"%PDF", "a PDF document", NOT_A_CHECKPOINT),
    (b"{", "JSON", "the weights lie in another file beside it"),
    (b"#!", "a script", NOT_A_CHECKPOINT),
];

/// - `start`: the first [`START`] bytes
/// - `length`: of the whole file
pub(super) fn stranger(start: &[u8], length: u64) -> Refusal {
    if length == 0 {
        return malformed("the file is empty", DAMAGED);
    }
    if start.iter().all(|byte| *byte == 0) {
        return malformed("the file begins with nothing but zeros", DAMAGED);
    }
    if start.get(257..262) == Some(b"ustar") {
        return malformed("a tar archive", UNPACK);
    }
    let text = start.trim_ascii_start().to_ascii_lowercase();
    // Its first field is the number of its format, the second its producer.
    let is_onnx = matches!(start, [0x08, 0x01..=0x20, 0x12, ..]);
    let known = BEGINNINGS.iter().find(|(beginning, ..)| {
        let is_text = beginning
            .first()
            .is_some_and(|first| b"v<{".contains(first));
        match is_text {
            true => text.starts_with(beginning),
            false => start.starts_with(beginning),
        }
    });
    let (what, hint) = match known {
        Some((_, what, hint)) => (*what, *hint),
        None if is_onnx => ("an ONNX model", ONNX),
        None => {
            return malformed(
                format!(
                    "not a checkpoint that is known: it begins with {}",
                    printable(start)
                ),
                NOT_A_CHECKPOINT,
            );
        }
    };
    malformed(format!("expected a checkpoint, got {what}"), hint)
}

/// The first bytes, as text where they are such.
fn printable(start: &[u8]) -> String {
    let start = &start[..start.len().min(16)];
    match start
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
    {
        true => format!("`{}`", String::from_utf8_lossy(start).escape_debug()),
        false => {
            let bytes = start.iter().take(8).map(|byte| format!("{byte:02x}"));
            format!("the bytes {}", bytes.collect::<Vec<_>>().join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_as_what_it_is_with_the_remedy() {
        let mut tar = vec![b'a'; START];
        tar[257..262].copy_from_slice(b"ustar");
        for (start, what, hint) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\noid"[..],
                "Git LFS",
                "git lfs pull",
            ),
            (
                b"\n  <!DOCTYPE HTML><title>404",
                "a web page",
                "fetch it again",
            ),
            (b"<HTML>", "a web page", "fetch it again"),
            (b"\x1f\x8b\x08", "gzip", "unpack"),
            (&tar, "a tar archive", "unpack"),
            (b"PAR1....", "Parquet", "no table"),
            (b"\xff\xd8\xff\xe0", "JPEG", "the images after it"),
            (b"\x08\x08\x12\x07pytorch", "ONNX", "made from"),
            (b"{\"architectures\": []}", "JSON", "another file"),
            (b"\0\0\0\0", "zeros", "fetch it again"),
            (b"", "empty", "fetch it again"),
            (
                b"hello there, a text of words",
                "begins with `hello there, a t`",
                "safetensors",
            ),
            (b"\x01\x02\xff", "the bytes 01 02 ff", "safetensors"),
        ] {
            let message = stranger(start, start.len() as u64).to_string();
            assert!(
                message.contains(what) && message.contains(hint),
                "{message}"
            );
        }
    }
}
