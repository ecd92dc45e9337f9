//! Kernels without any instruction set of their own: what the others must agree with.
//!
//! Long sums run in [`LANES`] partial sums, as they do in vector registers. It is more accurate than one sum, and it lets
//! the compiler use whatever registers the target surely has.

use super::short::{self, Component, Dot, Fold, L1, L2, LInf, SHORT_DIM_MAX};
use super::{Kernel, Kernels};

/// The number of partial sums.
const LANES: usize = 16;

pub(super) static KERNELS: Kernels = Kernels {
    name: "scalar",
    dot: Kernel {
        one: one::<Dot, f32>,
        bytes: one::<Dot, [u8; 4]>,
        rows: rows::<Dot>,
    },
    l2: Kernel {
        one: one::<L2, f32>,
        bytes: one::<L2, [u8; 4]>,
        rows: rows::<L2>,
    },
    l1: Kernel {
        one: one::<L1, f32>,
        bytes: one::<L1, [u8; 4]>,
        rows: rows::<L1>,
    },
    linf: Kernel {
        one: one::<LInf, f32>,
        bytes: one::<LInf, [u8; 4]>,
        rows: rows::<LInf>,
    },
};

/// How partial values come together.
trait Join: Fold {
    fn join(a: f32, b: f32) -> f32 {
        a + b
    }
}

impl Join for Dot {}
impl Join for L2 {}
impl Join for L1 {}
impl Join for LInf {
    fn join(a: f32, b: f32) -> f32 {
        f32::from_bits(a.to_bits().max(b.to_bits()))
    }
}

fn one<F: Join, C: Component>(a: &[f32], b: &[C]) -> f32 {
    if a.len() <= SHORT_DIM_MAX {
        return short::one::<F, C>(a, b);
    }
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] = F::add(sums[i], a[i], b[i].value());
        }
    }
    for (sum, (&a, &b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum = F::add(*sum, a, b.value());
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] = F::join(sums[i], sums[i + half]);
        }
        half /= 2;
    }
    sums[0]
}

fn rows<F: Join>(query: &[f32], rows: &[f32], out: &mut [f32]) {
    if query.len() <= SHORT_DIM_MAX {
        return short::rows::<F>(query, rows, out);
    }
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
        *out = one::<F, f32>(query, row);
    }
}

/// [`Kernel::bytes`] of [`KERNELS`], for those who need it inlined.
pub(super) fn dot_bytes(query: &[f32], row: &[[u8; 4]]) -> f32 {
    one::<Dot, [u8; 4]>(query, row)
}

/// As [`dot_bytes`].
pub(super) fn l2_bytes(query: &[f32], row: &[[u8; 4]]) -> f32 {
    one::<L2, [u8; 4]>(query, row)
}
