//! Vectors of few components: no vector register is filled by one of them, so rows are what runs in parallel.
//!
//! The code is plain Rust, compiled once per instruction set by inlining it into that set's functions: the compiler then
//! spreads consecutive rows over the lanes. The order of additions inside a row is fixed, so the bits are the same in
//! every set.

/// Vectors up to this long are summed from left to right, on every CPU alike.
pub const SHORT_DIM_MAX: usize = 8;

/// A measure that is put together from one component after another.
pub(super) trait Fold {
    /// Adds what the components `a` and `b` contribute.
    fn add(sum: f32, a: f32, b: f32) -> f32;
}

pub(super) struct Dot;
pub(super) struct L2;
pub(super) struct L1;
pub(super) struct LInf;

impl Fold for Dot {
    #[inline(always)]
    fn add(sum: f32, a: f32, b: f32) -> f32 {
        sum + a * b
    }
}

impl Fold for L2 {
    #[inline(always)]
    fn add(sum: f32, a: f32, b: f32) -> f32 {
        sum + (a - b) * (a - b)
    }
}

impl Fold for L1 {
    #[inline(always)]
    fn add(sum: f32, a: f32, b: f32) -> f32 {
        sum + (a - b).abs()
    }
}

impl Fold for LInf {
    /// Compares bit patterns: those of numbers that are not negative sort as the numbers do, with NaN after infinity.
    #[inline(always)]
    fn add(sum: f32, a: f32, b: f32) -> f32 {
        f32::from_bits(sum.to_bits().max((a - b).abs().to_bits()))
    }
}

/// A component of a row as it lies in memory.
pub(super) trait Component: Copy {
    fn value(self) -> f32;
}

impl Component for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
}

/// Little-endian bytes, which may lie at any address.
impl Component for [u8; 4] {
    #[inline(always)]
    fn value(self) -> f32 {
        f32::from_le_bytes(self)
    }
}

/// The value for two vectors of equal length, from left to right.
#[inline(always)]
pub(super) fn one<F: Fold, C: Component>(a: &[f32], b: &[C]) -> f32 {
    a.iter()
        .zip(b)
        .fold(0.0, |sum, (&a, &b)| F::add(sum, a, b.value()))
}

/// The values of a query of at most [`SHORT_DIM_MAX`] components with consecutive rows.
#[inline(always)]
pub(super) fn rows<F: Fold>(query: &[f32], rows: &[f32], out: &mut [f32]) {
    match query.len() {
        1 => rows_of_dim::<F, 1>(query, rows, out),
        2 => rows_of_dim::<F, 2>(query, rows, out),
        3 => rows_of_dim::<F, 3>(query, rows, out),
        4 => rows_of_dim::<F, 4>(query, rows, out),
        5 => rows_of_dim::<F, 5>(query, rows, out),
        6 => rows_of_dim::<F, 6>(query, rows, out),
        7 => rows_of_dim::<F, 7>(query, rows, out),
        8 => rows_of_dim::<F, 8>(query, rows, out),
        _ => out.fill(0.0),
    }
}

#[inline(always)]
fn rows_of_dim<F: Fold, const DIM: usize>(query: &[f32], rows: &[f32], out: &mut [f32]) {
    let (Some(query), (rows, _)) = (query.first_chunk::<DIM>(), rows.as_chunks::<DIM>()) else {
        return;
    };
    for (out, row) in out.iter_mut().zip(rows) {
        let mut sum = 0.0;
        for i in 0..DIM {
            sum = F::add(sum, query[i], row[i]);
        }
        *out = sum;
    }
}
