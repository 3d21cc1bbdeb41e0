//! Numbers that the fixtures give by a formula instead of storing them
//! (`tests/fixtures/README.md`), for the tests of this crate and those beside it.

use rayon::prelude::*;

/// u(i) of each element of the tensor of this name, in [-1, 1).
pub fn units(
    name: &str,
    shape: &[i64],
    salt: u64,
) -> impl IndexedParallelIterator<Item = f64> + use<> {
    let first = (u64::from(crc32(name.as_bytes())) << 32).wrapping_add(salt << 24);
    let count = shape.iter().product::<i64>() as usize;
    (0..count).into_par_iter().map(move |index| {
        let bits = splitmix64(first.wrapping_add(index as u64)) >> 11;
        2.0 * bits as f64 / (1u64 << 53) as f64 - 1.0
    })
}

/// Each element of the weight of this name: a mean and a bound of what u(i) adds, by the name's end
/// and the shape.
pub fn weights(name: &str, shape: &[i64], salt: u64) -> impl IndexedParallelIterator<Item = f64> {
    let (mean, bound) = match name.rsplit('.').next() {
        Some("num_batches_tracked") => (0.0, 0.0),
        Some("running_var") => (1.0, 0.3),
        Some("running_mean") => (0.0, 0.1),
        Some("bias") => (0.0, 0.05),
        _ if shape.len() == 1 => (1.0, 0.1),
        _ => (
            0.0,
            (6.0 / shape[1..].iter().product::<i64>() as f64).sqrt(),
        ),
    };
    units(name, shape, salt).map(move |unit| mean + bound * unit)
}

/// CRC-32 as in zip files.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    })
}

fn splitmix64(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn checksums_are_those_of_the_definitions() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    assert_eq!(splitmix64(0), 0xE220_A839_7B1D_CDAF);
}
