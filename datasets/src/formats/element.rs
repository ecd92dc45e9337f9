//! Numbers as they lie in binary files.

use half::f16;

/// The type of one number in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    F32,
    F64,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl Element {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Element::I8 | Element::U8 => 1,
            Element::F16 | Element::I16 | Element::U16 => 2,
            Element::F32 | Element::I32 | Element::U32 => 4,
            Element::F64 | Element::I64 | Element::U64 => 8,
        }
    }

    /// Appends the numbers in `bytes` to `out`. Integers beyond 2^53 are rounded.
    ///
    /// # Panics
    ///
    /// If `bytes` holds a part of a number.
    pub fn decode(self, order: ByteOrder, bytes: &[u8], out: &mut Vec<f64>) {
        match self {
            Element::I8 => out.extend(bytes.iter().map(|&byte| f64::from(byte.cast_signed()))),
            Element::U8 => out.extend(bytes.iter().map(|&byte| f64::from(byte))),
            Element::F16 => each(order, bytes, out, |b| f16::from_le_bytes(b).to_f64()),
            Element::F32 => each(order, bytes, out, |b| f64::from(f32::from_le_bytes(b))),
            Element::F64 => each(order, bytes, out, f64::from_le_bytes),
            Element::I16 => each(order, bytes, out, |b| f64::from(i16::from_le_bytes(b))),
            Element::U16 => each(order, bytes, out, |b| f64::from(u16::from_le_bytes(b))),
            Element::I32 => each(order, bytes, out, |b| f64::from(i32::from_le_bytes(b))),
            Element::U32 => each(order, bytes, out, |b| f64::from(u32::from_le_bytes(b))),
            Element::I64 => each(order, bytes, out, |b| i64::from_le_bytes(b) as f64),
            Element::U64 => each(order, bytes, out, |b| u64::from_le_bytes(b) as f64),
        }
    }
}

fn each<const N: usize>(
    order: ByteOrder,
    bytes: &[u8],
    out: &mut Vec<f64>,
    number: impl Fn([u8; N]) -> f64,
) {
    let (numbers, rest) = bytes.as_chunks::<N>();
    assert!(
        rest.is_empty(),
        "{} bytes are no whole numbers of {N}",
        bytes.len()
    );
    out.extend(numbers.iter().map(|&(mut b)| {
        if order == ByteOrder::Big {
            b.reverse();
        }
        number(b)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(element: Element, little: &[u8], expected: f64) {
        let mut got = Vec::new();
        element.decode(ByteOrder::Little, little, &mut got);
        let big: Vec<u8> = little.iter().rev().copied().collect();
        element.decode(ByteOrder::Big, &big, &mut got);
        assert_eq!(got, [expected, expected], "{element:?}");
        assert_eq!(element.bytes(), little.len());
    }

    #[test]
    fn decodes() {
        check(Element::I8, &[0xff], -1.0);
        check(Element::U8, &[0xff], 255.0);
        check(Element::F16, &[0x00, 0xbc], -1.0);
        check(Element::F32, &1.5f32.to_le_bytes(), 1.5);
        check(Element::F64, &(-2.5f64).to_le_bytes(), -2.5);
        check(Element::I16, &(-300i16).to_le_bytes(), -300.0);
        check(Element::U16, &65_000u16.to_le_bytes(), 65_000.0);
        check(Element::I32, &i32::MIN.to_le_bytes(), f64::from(i32::MIN));
        check(Element::U32, &u32::MAX.to_le_bytes(), f64::from(u32::MAX));
        check(Element::I64, &(-5i64).to_le_bytes(), -5.0);
        check(Element::U64, &7u64.to_le_bytes(), 7.0);
    }
}
