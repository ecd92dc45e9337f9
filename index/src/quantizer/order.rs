//! A prepared query, and the loops that compare it with codes.

use crate::distance::codes::{Job, Simd, dispatch};

/// The distances of one prepared query from codes: smaller is closer, never negative or NaN, in a scale of its own.
pub(crate) trait Order: Copy {
    /// From one code.
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32;

    /// From four: the same numbers, faster.
    #[inline(always)]
    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [f32; 4] {
        [
            self.one(simd, rows[0]),
            self.one(simd, rows[1]),
            self.one(simd, rows[2]),
            self.one(simd, rows[3]),
        ]
    }
}

/// Work around an order, compiled once per instruction set and order. `run` must be `#[inline(always)]`, see [`Job`].
pub(crate) trait OrderJob {
    /// What comes of it.
    type Output;

    /// Does the work.
    fn run<S: Simd, O: Order>(self, simd: S, order: O) -> Self::Output;
}

/// A query as its quantizer compares it.
#[derive(Clone, Debug)]
pub struct Prepared(pub(super) Form);

#[derive(Clone, Debug)]
pub(super) enum Form {
    L2Bytes(Vec<u8>),
    /// `base` minus the products is half the squared distance.
    DotBytes {
        query: Vec<i8>,
        base: i32,
    },
    L2Nibbles(Vec<u8>),
    DotNibbles {
        low: Vec<i8>,
        high: Vec<i8>,
        base: i32,
    },
    L2Halves(Vec<f32>),
    DotHalves {
        query: Vec<f32>,
        base: f32,
    },
    L2Floats(Vec<f32>),
    DotFloats {
        query: Vec<f32>,
        base: f32,
    },
    Bits(Vec<u8>),
}

impl Prepared {
    /// Runs the work with the fastest instruction set and the order of this query: the one decision per query.
    pub(crate) fn run<J: OrderJob>(&self, job: J) -> J::Output {
        match &self.0 {
            Form::L2Bytes(query) => bound(L2Bytes(query), job),
            Form::DotBytes { query, base } => bound(DotBytes(query, *base), job),
            Form::L2Nibbles(query) => bound(L2Nibbles(query), job),
            Form::DotNibbles { low, high, base } => bound(DotNibbles(low, high, *base), job),
            Form::L2Halves(query) => bound(L2Halves(query), job),
            Form::DotHalves { query, base } => bound(DotHalves(query, *base), job),
            Form::L2Floats(query) => bound(L2Floats(query), job),
            Form::DotFloats { query, base } => bound(DotFloats(query, *base), job),
            Form::Bits(query) => bound(BitsOrder(query), job),
        }
    }
}

/// A job and its order as a job.
struct Bound<O, J>(O, J);

impl<O: Order, J: OrderJob> Job for Bound<O, J> {
    type Output = J::Output;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> J::Output {
        self.1.run(simd, self.0)
    }
}

fn bound<O: Order, J: OrderJob>(order: O, job: J) -> J::Output {
    dispatch(Bound(order, job))
}

#[derive(Copy, Clone)]
struct L2Bytes<'a>(&'a [u8]);

impl Order for L2Bytes<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        simd.l2_u8(self.0, row) as f32
    }

    #[inline(always)]
    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [f32; 4] {
        let [a, b, c, d] = simd.l2_u8_four(self.0, rows);
        [a as f32, b as f32, c as f32, d as f32]
    }
}

/// A whole distance as it is; below 1, which a row brings that is longer than nearly all others, numbers that go on falling and stay above 0.
#[inline(always)]
fn positive(distance: i32) -> f32 {
    if distance >= 1 {
        distance as f32
    } else {
        1.0 / (2.0 - distance as f32)
    }
}

#[derive(Copy, Clone)]
struct DotBytes<'a>(&'a [i8], i32);

impl DotBytes<'_> {
    #[inline(always)]
    fn distance(self, products: i32) -> f32 {
        positive(self.1.saturating_sub(products))
    }
}

impl Order for DotBytes<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        self.distance(simd.dot_u8(self.0, row))
    }

    #[inline(always)]
    fn four<S: Simd>(self, simd: S, rows: [&[u8]; 4]) -> [f32; 4] {
        let [a, b, c, d] = simd.dot_u8_four(self.0, rows);
        [
            self.distance(a),
            self.distance(b),
            self.distance(c),
            self.distance(d),
        ]
    }
}

#[derive(Copy, Clone)]
struct L2Nibbles<'a>(&'a [u8]);

impl Order for L2Nibbles<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        simd.l2_u4(self.0, row) as f32
    }
}

#[derive(Copy, Clone)]
struct DotNibbles<'a>(&'a [i8], &'a [i8], i32);

impl Order for DotNibbles<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        positive(self.2.saturating_sub(simd.dot_u4(self.0, self.1, row)))
    }
}

/// Far if it cannot be told: rows may hold any numbers.
#[inline(always)]
fn comparable(distance: f32) -> f32 {
    if distance.is_nan() {
        f32::MAX
    } else {
        distance.clamp(0.0, f32::MAX)
    }
}

/// As [`positive`], of what is subtracted from `base`.
#[inline(always)]
fn positive_from(base: f32, product: f32) -> f32 {
    /// The share of the base below which distances are bent.
    const BENT: f32 = 1e-6;
    let (distance, bent) = (base - product, base * BENT);
    if distance >= bent {
        comparable(distance)
    } else {
        comparable(bent * (bent / (2.0 * bent - distance)))
    }
}

#[derive(Copy, Clone)]
struct L2Halves<'a>(&'a [f32]);

impl Order for L2Halves<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        comparable(simd.l2_f16(self.0, row))
    }
}

#[derive(Copy, Clone)]
struct DotHalves<'a>(&'a [f32], f32);

impl Order for DotHalves<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        positive_from(self.1, simd.dot_f16(self.0, row))
    }
}

#[derive(Copy, Clone)]
struct L2Floats<'a>(&'a [f32]);

impl Order for L2Floats<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        comparable(simd.l2_f32(self.0, row))
    }
}

#[derive(Copy, Clone)]
struct DotFloats<'a>(&'a [f32], f32);

impl Order for DotFloats<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        positive_from(self.1, simd.dot_f32(self.0, row))
    }
}

#[derive(Copy, Clone)]
struct BitsOrder<'a>(&'a [u8]);

impl Order for BitsOrder<'_> {
    #[inline(always)]
    fn one<S: Simd>(self, simd: S, row: &[u8]) -> f32 {
        simd.hamming(self.0, row) as f32
    }
}

impl Prepared {
    /// A query that is a code of 8 bits a component, compared by squared difference.
    pub(crate) fn bytes(code: Vec<u8>) -> Self {
        Self(Form::L2Bytes(code))
    }
}
