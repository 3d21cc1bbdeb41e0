//! Products of rows in f32 by AVX2 and FMA: each row against a panel of sixteen others, which stand
//! in the lanes of vectors.
//!
//! For processors without AVX-512. What oneDNN computes block by block, and others look through
//! afterwards, is here made and used while it lies in registers or the first-level cache: kNN
//! (`knn`) and the softmax over a queue (`loss/candidates.rs`) are built on it. Each product of two
//! rows is one chain of fused multiply-adds in the order of their dimensions, so its bits depend on
//! the two rows alone.

use std::arch::x86_64::*;
use std::sync::LazyLock;

use tch::{Device, Kind, Tensor};

/// Rows that a panel holds.
pub(crate) const LANES: usize = 16;
/// Rows that meet a panel at once: with it they fill the sixteen vectors that there are.
pub(crate) const GROUP: usize = 6;

/// One value for each row of a panel, in two vectors.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub [f32; LANES]);

impl Lanes {
    pub const ZERO: Lanes = Lanes([0.0; LANES]);
}

/// Shown by who may call what is compiled for AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Whether the processor has both.
    pub fn of_this_machine() -> Option<Avx2> {
        let is_here = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        is_here.then_some(Avx2(()))
    }

    /// Whether work is to be done by panels: where oneDNN has no wider vectors.
    /// `SEEDPIPE_SIMD=avx2` makes another processor do as one without AVX-512, and
    /// `SEEDPIPE_SIMD=sse2` leaves all to libtorch.
    pub fn chosen() -> Option<Avx2> {
        static CHOSEN: LazyLock<Option<Avx2>> = LazyLock::new(|| {
            let is_wanted = match std::env::var("SEEDPIPE_SIMD").as_deref() {
                Ok("avx2") => true,
                Ok("sse2") => false,
                _ => !is_x86_feature_detected!("avx512f"),
            };
            Avx2::of_this_machine().filter(|_| is_wanted)
        });
        *CHOSEN
    }
}

/// Whether rows can meet others in panels: numbers in f32 on the CPU, of rows one at least.
pub(crate) fn suit_panels(rows: &Tensor, others: &[&Tensor]) -> bool {
    let fits = |tensor: &Tensor| tensor.kind() == Kind::Float && tensor.device() == Device::Cpu;
    fits(rows) && others.iter().all(|other| fits(other)) && rows.numel() > 0
}

/// Up to sixteen rows, dimension by dimension; the lanes behind the last row are 0.
#[derive(Debug)]
pub(crate) struct Panel(Vec<Lanes>);

impl Panel {
    /// # Shapes
    /// - `rows`: `[1 to LANES, width]`
    pub fn of(rows: &[f32], width: usize) -> Panel {
        let mut values = vec![Lanes::ZERO; width];
        for (lane, row) in rows.chunks_exact(width).enumerate() {
            for (values, &value) in values.iter_mut().zip(row) {
                values.0[lane] = value;
            }
        }
        Panel(values)
    }

    /// `[width]`
    pub fn values(&self) -> &[Lanes] {
        &self.0
    }
}

/// One value for each lane, for each number of a group.
pub(crate) type Sums = [[__m256; 2]; GROUP];

/// Sums of nothing.
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn nothing() -> Sums {
    [[_mm256_setzero_ps(); 2]; GROUP]
}

/// Adds to `sums` each lane of `values` times the group's numbers for it: number `index` at
/// `place(index)`.
///
/// # Safety
/// The processor has AVX2 and FMA, and a number lies at each place.
#[inline(always)]
unsafe fn add_products(sums: &mut Sums, lanes: &Lanes, place: impl Fn(usize) -> *const f32) {
    // SAFETY: as the caller promises.
    unsafe {
        let low = _mm256_load_ps(lanes.0.as_ptr());
        let high = _mm256_load_ps(lanes.0.as_ptr().add(LANES / 2));
        for (index, sums) in sums.iter_mut().enumerate() {
            let number = _mm256_broadcast_ss(&*place(index));
            sums[0] = _mm256_fmadd_ps(number, low, sums[0]);
            sums[1] = _mm256_fmadd_ps(number, high, sums[1]);
        }
    }
}

/// Adds the products of a group of rows with a panel's `values`.
///
/// # Safety
/// The processor has AVX2 and FMA. Each of `rows` points to as many numbers as there are `values`.
#[inline(always)]
pub(crate) unsafe fn add_rows(sums: Sums, rows: [*const f32; GROUP], values: &[Lanes]) -> Sums {
    let (mut sums, mut rows) = (sums, rows);
    let (fours, rest) = values.as_chunks::<4>();
    // SAFETY: as the caller promises; pointers go beyond the last number only when nothing is read
    // any more.
    unsafe {
        // Four at a time: else a core is as busy with moving on as with multiplying.
        for four in fours {
            for (offset, lanes) in four.iter().enumerate() {
                add_products(&mut sums, lanes, |index| rows[index].wrapping_add(offset));
            }
            for row in &mut rows {
                *row = row.wrapping_add(4);
            }
        }
        for (offset, lanes) in rest.iter().enumerate() {
            add_products(&mut sums, lanes, |index| rows[index].wrapping_add(offset));
        }
    }
    sums
}

/// Adds the sums over `values` of each times a group of neighbouring numbers: those for the first
/// begin at `numbers`, and each following ones `stride` further on.
///
/// # Safety
/// The processor has AVX2 and FMA. `numbers` points to `stride * (values.len() - 1) + GROUP`
/// numbers.
#[inline(always)]
pub(crate) unsafe fn add_columns(
    sums: Sums,
    numbers: *const f32,
    stride: usize,
    values: &[Lanes],
) -> Sums {
    let (mut sums, mut numbers) = (sums, numbers);
    for lanes in values {
        // SAFETY: as the caller promises; the pointer goes beyond the last number only when nothing
        // is read any more.
        unsafe { add_products(&mut sums, lanes, |index| numbers.wrapping_add(index)) };
        numbers = numbers.wrapping_add(stride);
    }
    sums
}

#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn load(lanes: &Lanes) -> [__m256; 2] {
    let values = lanes.0.as_ptr();
    // SAFETY: sixteen values, aligned.
    unsafe {
        [
            _mm256_load_ps(values),
            _mm256_load_ps(values.add(LANES / 2)),
        ]
    }
}

#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn store(lanes: &mut Lanes, [low, high]: [__m256; 2]) {
    let values = lanes.0.as_mut_ptr();
    // SAFETY: sixteen values, aligned.
    unsafe {
        _mm256_store_ps(values, low);
        _mm256_store_ps(values.add(LANES / 2), high);
    }
}

/// Where each of a group's rows begins, from row `start` on. Where there are fewer, the last one
/// stands for those that are missing.
///
/// # Shapes
/// - `rows`: `[count, stride]`; `start` is below `count`
#[inline(always)]
pub(crate) fn begins(
    rows: &[f32],
    stride: usize,
    count: usize,
    start: usize,
) -> [*const f32; GROUP] {
    let mut begins = [rows.as_ptr(); GROUP];
    for (index, begin) in begins.iter_mut().enumerate() {
        let row = (start + index).min(count - 1);
        *begin = rows[row * stride..].as_ptr();
    }
    begins
}

/// Rows that meet a panel in one call of [`above`].
pub(crate) const ROWS: usize = 60;

/// Dimensions that all rows take before the next ones, so that these of the panel stay in the
/// first-level cache, beside the rows' sums.
const DEPTH: usize = 256;

/// Offers every row's products with a panel that exceed the lane's threshold, row by row, in each
/// row lane by lane.
///
/// # Shapes
/// - `rows`: `[at most ROWS, width]`
/// - `offer(row, lane, product)` returns the lane's new threshold
pub(crate) fn above(
    avx2: Avx2,
    rows: &[f32],
    panel: &Panel,
    thresholds: &mut Lanes,
    offer: &mut impl FnMut(usize, usize, f32) -> f32,
) {
    let Avx2(()) = avx2;
    // SAFETY: an `Avx2` exists only where the processor has both.
    unsafe { above_avx2(rows, panel, thresholds, offer) }
}

#[target_feature(enable = "avx2,fma")]
fn above_avx2(
    rows: &[f32],
    panel: &Panel,
    thresholds: &mut Lanes,
    offer: &mut impl FnMut(usize, usize, f32) -> f32,
) {
    let width = panel.values().len();
    let count = rows.len() / width;
    let mut products = [Lanes::ZERO; ROWS];
    let mut depth = 0;
    for values in panel.values().chunks(DEPTH) {
        let is_last = depth + values.len() == width;
        for start in (0..count).step_by(GROUP) {
            let group = begins(&rows[depth..], width, count, start);
            let places = &mut products[start..start + GROUP];
            let mut sums = nothing();
            if depth > 0 {
                for (sums, place) in sums.iter_mut().zip(&*places) {
                    *sums = load(place);
                }
            }
            // SAFETY: this function asks for both instruction sets; each row has `width` numbers,
            // `depth` of which lie behind.
            let sums = unsafe { add_rows(sums, group, values) };
            if is_last && !any_above(&sums, thresholds) {
                continue;
            }
            for (place, sums) in places.iter_mut().zip(sums) {
                store(place, sums);
            }
            if !is_last {
                continue;
            }
            for (index, products) in places.iter().enumerate().take(count - start) {
                for lane in 0..LANES {
                    if products.0[lane] > thresholds.0[lane] {
                        thresholds.0[lane] = offer(start + index, lane, products.0[lane]);
                    }
                }
            }
        }
        depth += values.len();
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn any_above(sums: &Sums, thresholds: &Lanes) -> bool {
    let least = load(thresholds);
    let mut any = _mm256_setzero_ps();
    for sums in sums {
        for half in 0..2 {
            let is_above = _mm256_cmp_ps::<_CMP_GT_OQ>(sums[half], least[half]);
            any = _mm256_or_ps(any, is_above);
        }
    }
    _mm256_movemask_ps(any) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, salt: usize) -> Vec<f32> {
        (0..count)
            .map(|index| (((index + salt) * 7919) % 1009) as f32 / 500.0 - 1.0)
            .collect()
    }

    #[test]
    fn rows_in_f32_suit_panels_where_there_are_any() {
        let rows = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let none = rows.narrow(0, 0, 0);
        let precise = rows.to_kind(Kind::Double);
        assert!(suit_panels(&rows, &[]) && suit_panels(&rows, &[&rows, &none]));
        assert!(!suit_panels(&none, &[&rows]) && !suit_panels(&rows.narrow(1, 0, 0), &[]));
        assert!(!suit_panels(&precise, &[&rows]) && !suit_panels(&rows, &[&rows, &precise]));
    }

    #[test]
    fn a_product_is_one_chain_of_fused_sums_wherever_its_rows_stand() {
        let Some(avx2) = Avx2::of_this_machine() else {
            println!("not run: this processor has no AVX2 or no FMA");
            return;
        };
        for (count, others, width) in [
            (1, 1, 1),
            (6, 16, 3),
            (7, 5, 40),
            (60, 16, 256),
            (29, 16, 700),
        ] {
            let (rows, panel) = (numbers(count * width, 1), numbers(others * width, 2));
            let mut found = vec![];
            let mut thresholds = Lanes([f32::NEG_INFINITY; LANES]);
            above(
                avx2,
                &rows,
                &Panel::of(&panel, width),
                &mut thresholds,
                &mut |row, lane, product| {
                    found.push((row, lane, product));
                    f32::NEG_INFINITY
                },
            );
            let mut expected = vec![];
            for (row, one) in rows.chunks_exact(width).enumerate() {
                for lane in 0..LANES {
                    let other = panel.chunks_exact(width).nth(lane);
                    let other = other.unwrap_or(&[]).iter().chain(std::iter::repeat(&0.0));
                    let product = one
                        .iter()
                        .zip(other)
                        .fold(0.0f32, |sum, (a, b)| a.mul_add(*b, sum));
                    expected.push((row, lane, product));
                }
            }
            assert_eq!(
                found, expected,
                "{count} rows, {others} in the panel, {width} wide"
            );
        }
    }

    #[test]
    fn only_what_exceeds_the_threshold_is_offered_and_raises_it() {
        let Some(avx2) = Avx2::of_this_machine() else {
            println!("not run: this processor has no AVX2 or no FMA");
            return;
        };
        // Products with lane 0: 3, 1, 2, 4, 4, 5, 0, 6.
        let rows = [3.0f32, 1.0, 2.0, 4.0, 4.0, 5.0, 0.0, 6.0];
        let mut thresholds = Lanes([f32::INFINITY; LANES]);
        thresholds.0[0] = 2.0;
        let mut found = vec![];
        let panel = Panel::of(&[1.0], 1);
        above(
            avx2,
            &rows,
            &panel,
            &mut thresholds,
            &mut |row, lane, product| {
                found.push((row, lane));
                product
            },
        );
        assert_eq!(found, [(0, 0), (3, 0), (5, 0), (7, 0)]);
        assert_eq!(thresholds.0[0], 6.0);
    }
}
