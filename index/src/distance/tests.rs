//! Every instruction set of this CPU against a sum in `f64`, and its two forms against each other.

use super::*;

/// What a kernel should give, in `f64`, and the sum of the sizes of its terms, by which rounding errors are measured.
type Reference = fn(&[f32], &[f32]) -> (f64, f64);

fn terms(a: &[f32], b: &[f32], term: fn(f64, f64) -> f64) -> (f64, f64) {
    let terms = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| term(f64::from(a), f64::from(b)));
    (terms.clone().sum(), terms.map(f64::abs).sum())
}

type Pick = fn(&Kernels) -> &Kernel;

const MEASURES: [(&str, Pick, Reference); 4] = [
    (
        "dot",
        |kernels| &kernels.dot,
        |a, b| terms(a, b, |a, b| a * b),
    ),
    (
        "l2",
        |kernels| &kernels.l2,
        |a, b| terms(a, b, |a, b| (a - b).powi(2)),
    ),
    (
        "l1",
        |kernels| &kernels.l1,
        |a, b| terms(a, b, |a, b| (a - b).abs()),
    ),
    (
        "linf",
        |kernels| &kernels.linf,
        |a, b| {
            let largest = a
                .iter()
                .zip(b)
                .map(|(&a, &b)| f64::from((a - b).abs()))
                .fold(0.0, f64::max);
            (largest, largest)
        },
    ),
];

/// Numbers between -1 and 1 that look random and are the same every time.
fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / (u32::MAX / 2) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn every_length_and_alignment() {
    const ROWS: usize = 11;
    for kernels in Kernels::available() {
        for (name, pick, reference) in MEASURES {
            let kernel = pick(kernels);
            for dim in (0..=67).chain([127, 128, 129, 384]) {
                for shift in [0, 1, 3] {
                    let query = &noise(1, dim + shift)[shift..];
                    let rows = &noise(2, ROWS * dim + shift)[shift..];
                    let mut out = [f32::NAN; ROWS];
                    kernel.rows(query, rows, &mut out);
                    for (i, &value) in out.iter().enumerate() {
                        let row = &rows[i * dim..(i + 1) * dim];
                        let case =
                            format!("{} {name} dim {dim} shift {shift} row {i}", kernels.name);
                        assert_eq!(
                            value.to_bits(),
                            kernel.one(query, row).to_bits(),
                            "{case}: one and rows differ"
                        );
                        // One byte further than a `f32` may lie.
                        let mut bytes = vec![0xff];
                        bytes.extend(row.iter().flat_map(|x| x.to_le_bytes()));
                        assert_eq!(
                            value.to_bits(),
                            kernel.bytes(query, &bytes[1..]).to_bits(),
                            "{case}: one and bytes differ"
                        );
                        let (expected, size) = reference(query, row);
                        let error = (f64::from(value) - expected).abs();
                        assert!(
                            error <= size * 1e-6,
                            "{case}: {value} instead of {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn not_a_number_and_infinity_at_every_place() {
    for kernels in Kernels::available() {
        for (name, pick, _) in MEASURES {
            let kernel = pick(kernels);
            for dim in 1..=67 {
                for place in 0..dim {
                    let case = format!("{} {name} dim {dim} place {place}", kernels.name);
                    let mut a = vec![1.0; dim];
                    let b = vec![0.5; dim];
                    a[place] = f32::NAN;
                    assert!(kernel.one(&a, &b).is_nan(), "{case}: NaN is lost");
                    assert!(kernel.one(&b, &a).is_nan(), "{case}: NaN is lost");
                    let mut out = [0.0; 5];
                    kernel.rows(&b, &[&*b, &b, &a, &b, &a].concat(), &mut out);
                    assert_eq!(
                        out.map(f32::is_nan),
                        [false, false, true, false, true],
                        "{case}: NaN in the wrong row"
                    );
                    a[place] = f32::NEG_INFINITY;
                    let infinite = if name == "dot" {
                        f32::NEG_INFINITY
                    } else {
                        f32::INFINITY
                    };
                    assert_eq!(kernel.one(&a, &b), infinite, "{case}");
                }
            }
        }
    }
}

#[test]
fn short_vectors_have_the_same_bits_everywhere() {
    for dim in 0..=SHORT_DIM_MAX {
        let (a, b) = (noise(3, dim), noise(4, dim));
        for (name, pick, _) in MEASURES {
            let values: Vec<u32> = Kernels::available()
                .iter()
                .map(|kernels| pick(kernels).one(&a, &b).to_bits())
                .collect();
            assert!(
                values.iter().all(|&value| value == values[0]),
                "{name} dim {dim}: {values:?}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "different dim")]
fn different_lengths_are_refused() {
    kernels().dot.one(&[1.0], &[1.0, 2.0]);
}

#[test]
#[should_panic(expected = "not 2 rows of dim 3")]
fn incomplete_rows_are_refused() {
    kernels().l2.rows(&[0.0; 3], &[0.0; 5], &mut [0.0; 2]);
}
