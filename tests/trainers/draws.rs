//! What the program draws at random, for a script that can't know it.

use std::path::PathBuf;

use seedpipe_artifact::ImagesReader;

/// By image the key that a share of the labels is chosen by, those with the smallest.
pub fn label_keys(images: &[PathBuf], seed: u64) -> Vec<String> {
    let is_of_rows = |part: &&PathBuf| {
        part.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("part")
    };
    let parts: Vec<PathBuf> = images.iter().filter(is_of_rows).cloned().collect();
    let images = ImagesReader::open(&parts).unwrap();
    let key = |row| {
        let image = images.image(row);
        let mut hasher = blake3::Hasher::new_derive_key("seedpipe label subset v1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(image.digest);
        hasher.update(&image.occurrence.to_le_bytes());
        hasher.finalize().to_hex().to_string()
    };
    (0..images.rows()).map(key).collect()
}
