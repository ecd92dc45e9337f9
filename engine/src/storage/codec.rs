//! The one place that knows bincode: a version byte, then bincode's standard encoding.
//!
//! The version byte belongs to the record's shape. A reader meets only versions that it knows: anything else is refused as corrupted,
//! never guessed. Golden bytes in the tests pin the encoding itself.

use bincode::config;
use bincode::error::DecodeError;
use bincode::{Decode, Encode};

use crate::error::{Error, Result};

/// What every record begins with.
pub const VERSION: u8 = 1;
/// No record claims more memory than this while it is read, beside the shared rows of log entries, which claim nothing: eight times the body limit of
/// a request.
const DECODE_BYTES_MAX: usize = 256 << 20;
/// How many bytes a record claims at most for each that it has, see [`SMALL_BYTES_MAX`]. A damaged length claims more: in a short record it
/// must not get all of the limit.
const CLAIM_FACTOR: usize = 32;
const SHORT_BYTES_MAX: usize = 2 << 10;
const MIDDLE_BYTES_MAX: usize = 128 << 10;
/// No log entry is larger: twice the body limit of a request.
pub const ENTRY_BYTES_MAX: usize = 64 << 20;
/// Up to here a record's claims stay below the limit whatever it holds: of the list elements, an unnamed vector's reference takes 3 bytes and
/// claims 48, an operation on a point with the shortest id takes 5.
const SMALL_BYTES_MAX: usize = DECODE_BYTES_MAX / CLAIM_FACTOR;
const _: () = assert!(size_of::<super::record::LogOperation>() <= 5 * CLAIM_FACTOR);

/// The record's bytes.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Puts the record's bytes in the place of what `out` holds.
pub fn encode_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
    append(value, out);
}

/// Adds the value's bytes without a version: further fields of a record that was begun.
pub fn append<T: Encode>(value: &T, out: &mut Vec<u8>) {
    bincode::encode_into_std_write(value, out, config::standard())
        .expect("encoding into memory has no way to fail");
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
    let decoded = if bytes.len() <= SHORT_BYTES_MAX {
        decode_within::<T, { SHORT_BYTES_MAX * CLAIM_FACTOR }>(rest)
    } else if bytes.len() <= MIDDLE_BYTES_MAX {
        decode_within::<T, { MIDDLE_BYTES_MAX * CLAIM_FACTOR }>(rest)
    } else {
        decode_within::<T, DECODE_BYTES_MAX>(rest)
    };
    let (value, used) = decoded.map_err(|error| Error::corrupted(format!("{what}: {error}")))?;
    if used != rest.len() {
        return Err(Error::corrupted(format!(
            "{what}: {} bytes left over",
            rest.len() - used
        )));
    }
    Ok(value)
}

fn decode_within<T: Decode<()>, const LIMIT: usize>(
    bytes: &[u8],
) -> std::result::Result<(T, usize), DecodeError> {
    bincode::decode_from_slice(bytes, config::standard().with_limit::<LIMIT>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A damaged length: of a few bytes, that say that many follow.
    #[test]
    fn a_short_record_claims_little() {
        let claiming = |count: u32| [&[VERSION, 252][..], &count.to_le_bytes()].concat();
        let check = |count, wanted: &str| {
            let error = decode::<Vec<u64>>(&claiming(count), "numbers").unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        };
        check(1000, "UnexpectedEnd");
        check(10_000, "LimitExceeded");
        check(u32::MAX, "LimitExceeded");
        // What is there may be read, whatever its length.
        for len in [60, 3000, 200_000, 1_000_000] {
            let lists = vec![Vec::<u8>::new(); len];
            assert_eq!(
                decode::<Vec<Vec<u8>>>(&encode(&lists), "lists").unwrap(),
                lists
            );
        }
    }
}
