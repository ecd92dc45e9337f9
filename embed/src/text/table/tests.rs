use super::*;
use proptest::prelude::*;

fn rows() -> Vec<TableRow> {
    ["a", "##a", "in vitro", "é", "##ation"]
        .into_iter()
        .enumerate()
        .map(|(i, entry)| TableRow {
            entry: entry.to_owned(),
            scale: 0.5,
            codes: vec![i as i8 - 2, 127, -128],
        })
        .collect()
}

fn file() -> Vec<u8> {
    Table::encode("7", 3, 1.5, &rows()).unwrap()
}

/// A file with a changed body and the checksum that belongs to it.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Table, TableError> {
    let mut bytes = file();
    change(&mut bytes);
    let checksum = xxh3_64(&bytes[HEADER_BYTES..]);
    bytes[48..56].copy_from_slice(&checksum.to_le_bytes());
    Table::from_bytes(bytes)
}

#[test]
fn what_is_written_is_read() {
    let table = Table::from_bytes(file()).unwrap();
    assert_eq!(
        (
            table.rows(),
            table.dim(),
            table.version(),
            table.unknown_weight()
        ),
        (5, 3, "7", 1.5)
    );
    assert_eq!(table.whole_row("in vitro"), Some(2));
    assert_eq!(
        (table.whole_row("a"), table.piece_row("a")),
        (Some(0), Some(1))
    );
    assert_eq!(
        (table.whole_row("ation"), table.piece_row("ation")),
        (None, Some(4))
    );
    assert_eq!((table.whole_row(""), table.piece_row("")), (None, None));
    assert_eq!(
        (0..5).map(|row| table.entry(row)).collect::<Vec<_>>(),
        ["a", "##a", "in vitro", "é", "##ation"]
    );
    let mut sum = vec![1.0; 3];
    table.add_row(4, &mut sum);
    assert_eq!(sum, [2.0, 64.5, -63.0]);
}

/// The bytes of this file never change: a table that was written once must open forever.
#[test]
fn the_bytes_are_pinned() {
    let rows = [TableRow {
        entry: "ab".to_owned(),
        scale: 1.0,
        codes: vec![1, -1],
    }];
    let bytes = Table::encode("1", 2, 2.0, &rows).unwrap();
    let body = [
        &[0, 0, 0, 0, 2, 0, 0, 0][..],
        &1_f32.to_le_bytes(),
        &[1, 255],
        b"ab",
    ]
    .concat();
    let mut wanted = b"VECINOTT\x01\0\0\0\x01\0\0\0\x02\0\0\0\x02\0\0\0\0\0\0\x401\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    wanted.extend(xxh3_64(&body).to_le_bytes());
    wanted.extend([0; 8]);
    wanted.extend(body);
    assert_eq!(bytes, wanted);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = file();
    for length in 0..bytes.len() {
        assert!(
            Table::from_bytes(bytes[..length].to_vec()).is_err(),
            "{length} bytes"
        );
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(
        Table::from_bytes(longer),
        Err(TableError::Length { .. })
    ));
}

#[test]
fn damage_is_named() {
    let check = |change: fn(&mut Vec<u8>), expected: TableError| {
        assert_eq!(changed(change).unwrap_err(), expected)
    };
    check(|bytes| bytes[0] = b'v', TableError::Magic);
    check(|bytes| bytes[8] = 2, TableError::Version(2));
    check(
        |bytes| bytes[12..16].fill(0),
        TableError::Damaged("number of rows or dim out of range"),
    );
    check(
        |bytes| bytes[12..16].fill(255),
        TableError::Damaged("number of rows or dim out of range"),
    );
    check(
        |bytes| bytes[16..20].fill(255),
        TableError::Damaged("number of rows or dim out of range"),
    );
    check(
        |bytes| bytes[24..28].fill(255),
        TableError::Damaged("weight of unknown words out of range"),
    );
    check(
        |bytes| bytes[28] = 200,
        TableError::Damaged("model version is not printable ASCII"),
    );
    check(
        |bytes| bytes[28] = 0,
        TableError::Damaged("model version is not printable ASCII"),
    );
    check(
        |bytes| bytes[64] = 1,
        TableError::Damaged("entries do not span the vocabulary"),
    );
    check(
        |bytes| bytes[68] = 0,
        TableError::Damaged("ends of entries do not grow"),
    );
    check(
        |bytes| bytes[71] = 255,
        TableError::Damaged("ends of entries do not grow"),
    );
    check(
        |bytes| bytes[88..92].fill(255),
        TableError::Damaged("scale out of range"),
    );
    check(
        |bytes| *bytes.last_mut().unwrap() = 255,
        TableError::Damaged("vocabulary is not UTF-8"),
    );
    // The vocabulary is `a##ain vitroé##ation`: the fourth entry now ends in the middle of é.
    check(
        |bytes| bytes[64 + 4 * 4] -= 1,
        TableError::Damaged("entry begins inside a character"),
    );
    check(
        |bytes| bytes[20] = bytes[20].wrapping_add(1),
        TableError::Length {
            wanted: 145,
            got: 144,
        },
    );
}

#[test]
fn entries_must_differ() {
    let mut twice = rows();
    twice.push(twice[2].clone());
    assert_eq!(
        Table::encode("1", 3, 1.0, &twice),
        Err(TableError::Damaged("entry occurs twice"))
    );
    let mut bare = rows();
    bare[1].entry = "##".to_owned();
    assert_eq!(
        Table::encode("1", 3, 1.0, &bare),
        Err(TableError::Damaged("piece without characters"))
    );
}

#[test]
fn a_flipped_bit_is_found_by_the_checksum() {
    let mut bytes = file();
    let at = bytes.len() - 30;
    bytes[at] ^= 1;
    assert!(matches!(
        Table::from_bytes(bytes),
        Err(TableError::Checksum { .. })
    ));
}

proptest! {
    /// Whatever the bytes are, opening answers; what opens can be used.
    #[test]
    fn any_bytes(changes in prop::collection::vec((0_usize..144, any::<u8>()), 1..6)) {
        let opened = changed(|bytes| for (at, byte) in changes { bytes[at] = byte; });
        if let Ok(table) = opened {
            let mut sum = vec![0.0; table.dim()];
            for row in 0..table.rows() as u32 {
                table.add_row(row, &mut sum);
                let entry = table.entry(row);
                let found = match entry.strip_prefix(PIECE) {
                    Some(piece) => table.piece_row(piece),
                    None => table.whole_row(entry),
                };
                prop_assert_eq!(found, Some(row));
            }
            prop_assert!(sum.iter().all(|x| x.is_finite()));
        }
    }
}
