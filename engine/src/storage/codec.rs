//! The one place that knows bincode: a version byte, then bincode's standard encoding.
//!
//! The version byte belongs to the record's shape. A reader meets only versions that it knows: anything else is refused as corrupted,
//! never guessed. Golden bytes in the tests pin the encoding itself.

use bincode::config;
use bincode::{Decode, Encode};

use crate::error::{Error, Result};

const VERSION: u8 = 1;
/// No record claims more memory than this while it is read: eight times the body limit of a request.
const DECODE_BYTES_MAX: usize = 256 << 20;
/// No log entry is larger: twice the body limit of a request.
pub const ENTRY_BYTES_MAX: usize = 64 << 20;
/// Up to here a record's claims stay below the limit whatever it holds: of the list elements, an unnamed vector's reference takes 3 bytes and
/// claims 48, an operation on a point with the shortest id takes 5.
const SMALL_BYTES_MAX: usize = DECODE_BYTES_MAX / 32;
const _: () = assert!(size_of::<super::record::LogOperation>() <= 5 * 32);

/// The record's bytes.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let mut out = vec![VERSION];
    bincode::encode_into_std_write(value, &mut out, config::standard())
        .expect("encoding into memory has no way to fail");
    out
}

/// Whether [`decode`] will accept these bytes of [`encode`]: it refuses what claims too much memory. To be asked before a record is written
/// without which the store does not open. Time O(1) for records of usual size.
pub fn is_readable<T: Decode<()>>(bytes: &[u8]) -> bool {
    bytes.len() <= SMALL_BYTES_MAX || decode::<T>(bytes, "record").is_ok()
}

/// Reads what [`encode`] wrote; `what` names the record in the error.
///
/// # Errors
///
/// `Corrupted` for an unknown version, bytes that do not decode, or bytes left over.
pub fn decode<T: Decode<()>>(bytes: &[u8], what: &str) -> Result<T> {
    let (&version, rest) = bytes
        .split_first()
        .ok_or_else(|| Error::corrupted(format!("{what}: the record is empty")))?;
    if version != VERSION {
        return Err(Error::corrupted(format!(
            "{what}: record version {version}, expected {VERSION}"
        )));
    }
    let (value, used) =
        bincode::decode_from_slice(rest, config::standard().with_limit::<DECODE_BYTES_MAX>())
            .map_err(|error| Error::corrupted(format!("{what}: {error}")))?;
    if used != rest.len() {
        return Err(Error::corrupted(format!(
            "{what}: {} bytes left over",
            rest.len() - used
        )));
    }
    Ok(value)
}
