//! The door to the guard file for a fuzzer.

use super::{Extent, SLOT_BYTES, Slot, last_slot, read_slot, slot_bytes};

/// The file as it is, and its slots under right checksums.
pub(crate) fn guard(bytes: &[u8]) {
    let Some(last) = last_slot(bytes) else {
        mended(bytes);
        return;
    };
    let highest = bytes.chunks(SLOT_BYTES).filter_map(read_slot);
    assert!(highest.into_iter().all(|slot| slot.serial <= last.serial));
    assert_eq!(read_slot(&slot_bytes(last)), Some(last));
    mended(bytes);
}

fn mended(bytes: &[u8]) {
    for slot in bytes.chunks(SLOT_BYTES - 4) {
        let mut slot = slot.to_vec();
        slot.resize(SLOT_BYTES - 4, 0);
        slot.extend_from_slice(&crc32fast::hash(&slot).to_le_bytes());
        if let Some(read) = read_slot(&slot) {
            assert_eq!(read_slot(&slot_bytes(read)), Some(read));
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let slots = [(1, 0), (2, 500), (u64::MAX, u64::MAX)].map(|(serial, floor)| Slot {
        serial,
        floor,
        catalog: Extent {
            number: serial,
            bytes: floor,
        },
    });
    let both = [slot_bytes(slots[1]), slot_bytes(slots[0])].concat();
    vec![both, slot_bytes(slots[2]), vec![1, 251, 0, 2, 7]]
}
