//! Every instruction set of this CPU against the scalar kernels: all lengths, any alignment, the extreme values.

use half::f16;

use super::*;

/// Bytes that look random and are the same every time, with the extremes among them; from an odd address on.
struct Bytes(Vec<u8>);

impl Bytes {
    fn new(seed: u64, len: usize) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match state >> 60 {
                0 => 0,
                1 => 255,
                2 => 128,
                _ => (state >> 32) as u8,
            }
        };
        Self((0..=len).map(|_| next()).collect())
    }

    fn get(&self) -> &[u8] {
        &self.0[1..]
    }

    fn signed(&self) -> Vec<i8> {
        self.get().iter().map(|&byte| byte as i8).collect()
    }
}

/// What all kernels on bytes answer, for one pair of rows and for four.
struct OnBytes<'a> {
    a: &'a [u8],
    signed: &'a [i8],
    rows: [&'a [u8]; 4],
}

impl Job for OnBytes<'_> {
    type Output = Vec<i64>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<i64> {
        let Self { a, signed, rows } = self;
        let mut values: Vec<i64> = Vec::new();
        values.extend(simd.l2_u8_four(a, rows).map(i64::from));
        values.extend(simd.dot_u8_four(signed, rows).map(i64::from));
        for row in rows {
            values.push(simd.l2_u8(a, row).into());
            values.push(simd.dot_u8(signed, row).into());
            values.push(simd.l2_u4(a, row).into());
            values.push(simd.dot_u4(signed, signed, row).into());
            values.push(simd.hamming(a, row).into());
        }
        values
    }
}

#[test]
fn bytes_of_every_length_and_the_extremes() {
    let fill = |value: u8| move |len: usize| Bytes(vec![value; len + 1]);
    let makers: [Box<dyn Fn(usize) -> Bytes>; 4] = [
        Box::new(|len| Bytes::new(len as u64 + 7, len)),
        Box::new(fill(0)),
        Box::new(fill(255)),
        Box::new(fill(128)),
    ];
    for len in (0..=67).chain([127, 128, 129, 384, 1000, 65_536]) {
        for a in &makers {
            let a = a(len);
            let rows: Vec<Bytes> = makers.iter().map(|make| make(len)).collect();
            let signed = a.signed();
            let job = || OnBytes {
                a: a.get(),
                signed: &signed,
                rows: std::array::from_fn(|i| rows[i].get()),
            };
            let expected = job().run(Scalar);
            for set in InstructionSet::available() {
                assert_eq!(set.run(job()), expected, "{} len {len}", set.name());
            }
        }
    }
}

/// The definition itself, by hand.
#[test]
fn scalar_by_hand() {
    assert_eq!(Scalar.l2_u8(&[0, 255, 3], &[255, 0, 5]), 2 * 65_025 + 4);
    assert_eq!(Scalar.dot_u8(&[-128, 127], &[255, 2]), -128 * 255 + 254);
    assert_eq!(Scalar.l2_u4(&[0xf1], &[0x04]), 225 + 9);
    assert_eq!(Scalar.dot_u4(&[-2], &[3], &[0x54]), -8 + 15);
    assert_eq!(Scalar.hamming(&[0xff; 9], &[0; 9]), 72);
    assert_eq!(Scalar.hamming(&[0xff; 9], &[0; 8]), 64);
    assert_eq!(Scalar.l2_f16(&[1.0, 2.0], &[0x00, 0x3c, 0x00, 0x44]), 4.0);
    assert_eq!(Scalar.dot_f16(&[3.0, 2.0], &[0x00, 0x3c, 0x00, 0x44]), 11.0);
    assert_eq!(Scalar.dot_f32(&[3.0], &2f32.to_le_bytes()), 6.0);
    assert_eq!(Scalar.l2_f32(&[3.0], &1f32.to_le_bytes()), 4.0);
    assert_eq!(Scalar.below(&[7; LANES], 8), 0xffff);
    assert_eq!(Scalar.below(&[u32::MAX; LANES], u32::MAX), 0);
}

struct OnFloats<'a> {
    query: &'a [f32],
    half: &'a [u8],
    full: &'a [u8],
}

impl Job for OnFloats<'_> {
    type Output = [f32; 4];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [f32; 4] {
        [
            simd.l2_f16(self.query, self.half),
            simd.dot_f16(self.query, self.half),
            simd.l2_f32(self.query, self.full),
            simd.dot_f32(self.query, self.full),
        ]
    }
}

#[test]
fn floats_of_every_length_and_alignment() {
    for len in (0..=67).chain([127, 128, 129, 384]) {
        let value = |byte: &u8| f32::from(*byte) / 64.0 - 2.0;
        let query: Vec<f32> = Bytes::new(1, len).get().iter().map(value).collect();
        let row: Vec<f32> = Bytes::new(2, len).get().iter().map(value).collect();
        let mut half = vec![0];
        half.extend(row.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()));
        let mut full = vec![0];
        full.extend(row.iter().flat_map(|x| x.to_le_bytes()));
        let job = || OnFloats {
            query: &query,
            half: &half[1..],
            full: &full[1..],
        };
        let expected = job().run(Scalar);
        for set in InstructionSet::available() {
            for (value, expected) in set.run(job()).into_iter().zip(expected) {
                // Terms of at most 16.
                let error = (value - expected).abs();
                assert!(
                    error <= 1e-6 * 16.0 * (len as f32 + 1.0),
                    "{} len {len}: {value} instead of {expected}",
                    set.name()
                );
            }
        }
    }
}

#[test]
fn floats_that_are_extreme() {
    for set in InstructionSet::available() {
        for len in 1..=67 {
            for (extreme, expected) in [
                (f32::NAN, f32::is_nan as fn(f32) -> bool),
                (f32::INFINITY, f32::is_infinite),
            ] {
                let mut row = vec![0.5; len];
                row[len - 1] = extreme;
                let half: Vec<u8> = row
                    .iter()
                    .flat_map(|&x| f16::from_f32(x).to_le_bytes())
                    .collect();
                let full: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
                let query = vec![1.0; len];
                let values = set.run(OnFloats {
                    query: &query,
                    half: &half,
                    full: &full,
                });
                assert!(
                    values.into_iter().all(expected),
                    "{} len {len}: {values:?} of {extreme}",
                    set.name()
                );
            }
        }
    }
}

struct Tile<'a> {
    rows: [&'a [u8]; TILE_ROWS],
    norms: [u32; TILE_ROWS],
    packed: &'a Packed,
}

impl Job for Tile<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<u32> {
        let mut out = vec![0; TILE_ROWS * self.packed.width()];
        simd.tile(self.rows, self.norms, self.packed, &mut out);
        out
    }
}

#[test]
fn tiles_are_squared_distances() {
    for len in [4, 8, 64, 132, 384, 4096] {
        for count in [1, 15, 16, 17, 64, 70, 133] {
            let packed_rows: Vec<Bytes> = (0..count)
                .map(|i| match i {
                    3 => Bytes(vec![255; len + 1]),
                    5 => Bytes(vec![0; len + 1]),
                    _ => Bytes::new(i as u64 + 1, len),
                })
                .collect();
            let rows = [0, 1, 2, 3].map(|i| match i {
                1 => Bytes(vec![0; len + 1]),
                2 => Bytes(vec![255; len + 1]),
                _ => Bytes::new(i + 900, len),
            });
            let mut packed = Packed::default();
            packed.fill(len, count, |i| {
                let row = packed_rows[i].get();
                (row, RowSums::of(row))
            });
            let flipped = rows.each_ref().map(|row| {
                row.get()
                    .iter()
                    .map(|byte| byte ^ 0x80)
                    .collect::<Vec<u8>>()
            });
            for set in InstructionSet::available() {
                let out = set.run(Tile {
                    rows: flipped.each_ref().map(Vec::as_slice),
                    norms: rows.each_ref().map(|row| RowSums::of(row.get()).squares),
                    packed: &packed,
                });
                for (r, row) in rows.iter().enumerate() {
                    let line = &out[r * packed.width()..][..packed.width()];
                    for (i, other) in packed_rows.iter().enumerate() {
                        assert_eq!(
                            line[i],
                            Scalar.l2_u8(row.get(), other.get()),
                            "{} len {len}: row {r} with {i} of {count}",
                            set.name()
                        );
                    }
                    assert!(line[count..].iter().all(|&far| far >= i32::MAX as u32));
                }
            }
        }
    }
}

struct Below<'a>(&'a [u32; LANES], u32);

impl Job for Below<'_> {
    type Output = [u32; 2];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [u32; 2] {
        let signed = self.0.map(|value| value as i32);
        [
            simd.below(self.0, self.1),
            simd.greater(&signed, &[self.1 as i32; LANES]),
        ]
    }
}

#[test]
fn below_compares_unsigned_numbers() {
    let odd = [0, 1, 7, i32::MAX as u32, 1 << 31, u32::MAX - 1, u32::MAX, 8];
    let values: [u32; LANES] =
        std::array::from_fn(|i| odd[i % odd.len()].wrapping_add(i as u32 / 8));
    for limit in values {
        let expected = Below(&values, limit).run(Scalar);
        for set in InstructionSet::available() {
            assert_eq!(set.run(Below(&values, limit)), expected, "{}", set.name());
        }
    }
}
