//! Requests that a client may send again: which have been applied, and what they were answered.
//!
//! A request that names itself is logged with its name: in each partition that it touches, [`crate::Operation::Request`] stands before its
//! operations. Apply notes it in `state`, in the batch of the rows that it covers, and skips it when it comes again. Whether a note still holds
//! follows from the timestamps and indexes of two entries, never from a clock, and from whether the collection exists that the request was about.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::log::{Entry, Outcome};
use crate::storage::record::{RequestList, RequestRecord};
use crate::storage::{Batch, Family, Store, Visit, codec, key};
use crate::{CollectionId, Partition};

/// The longest name of a request, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// How long a request is remembered, by the timestamps of log entries: a day.
pub const REQUEST_MEMORY_MS: u64 = 24 * 60 * 60 * 1000;
/// For how many further entries of its partition a request is remembered at most: what bounds the table. With a batch every 4 ms that touches
/// every partition, five minutes.
pub const REQUEST_MEMORY_ENTRIES: u64 = 65_536;

/// So many bits of a digest are of what the request says; those above are the number of the collection that it is about, 0 if it does not tell.
const BODY_BITS: u32 = 96;
const BODY: u128 = (1 << BODY_BITS) - 1;

/// A request's name, given by the client, and what tells its body from another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestTag {
    id: Arc<str>,
    digest: u128,
}

impl RequestTag {
    /// - `id`: unique to the request, 1 to [`REQUEST_ID_BYTES_MAX`] (64) bytes; a client that counts puts its number in, as in `uuid/17`.
    /// - `digest`: a hash of everything that the request says; see [`Self::about`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` for another length.
    pub fn new(id: &str, digest: u128) -> Result<Self> {
        if id.is_empty() || id.len() > REQUEST_ID_BYTES_MAX {
            return Err(Error::invalid(format!(
                "request id: {} bytes; give 1 to {REQUEST_ID_BYTES_MAX}, for example a UUID",
                id.len()
            )));
        }
        Ok(Self {
            id: id.into(),
            digest,
        })
    }

    /// The same request, which touches this collection only: it is forgotten with it. What it did there was not done to another collection, though
    /// that may have the same name. The upper 32 bits of the digest give way to the collection's number.
    #[must_use]
    pub fn about(self, collection: CollectionId) -> Self {
        let number = u128::from(collection.0) << BODY_BITS;
        let digest = self.digest & BODY | number;
        Self { digest, ..self }
    }

    /// The name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What tells its body from another.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The error for a name that was used with another body.
    pub fn conflict(&self) -> Error {
        Error::new(
            ErrorKind::Conflict,
            format!(
                "request id \"{}\": it came before with another body; give every request an id of its own",
                self.id
            ),
        )
    }
}

/// What is known of a request that came before.
pub(crate) enum Known {
    /// The same one: what its operations were answered.
    Repeated(RequestRecord),
    /// Another one of the same name.
    Other,
}

/// The notes of the store, and those that a batch in the making adds.
#[derive(Default)]
pub(crate) struct Requests {
    pending: HashMap<(Partition, Arc<str>), RequestRecord>,
}

impl Requests {
    /// What is known of the request when an entry of this partition, index and time comes, while these collections `exist`.
    pub fn find(
        &self,
        store: &Store,
        (partition, index, timestamp_ms): (Partition, u64, u64),
        tag: &RequestTag,
        exist: impl Fn(CollectionId) -> bool,
    ) -> Result<Option<Known>> {
        let record = match self.pending.get(&(partition, tag.id.clone())) {
            Some(record) => Some(record.clone()),
            None => match read(store, partition, tag.id.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::Corrupted => {
                    // It came before, but it is not known with what: to apply it twice would be worse than to refuse it, and to stop here
                    // would keep the store from ever applying its log.
                    tracing::error!(%error, request = tag.id(), "refused a request whose note cannot be read");
                    return Ok(Some(Known::Other));
                }
                read => read?,
            },
        };
        let record = record.filter(|record| {
            let until_ms = record.timestamp_ms.saturating_add(REQUEST_MEMORY_MS);
            timestamp_ms < until_ms
                && index.saturating_sub(record.index) < REQUEST_MEMORY_ENTRIES
                && collection_of(record.digest).is_none_or(&exist)
        });
        Ok(
            record.map(|record| match is_same(record.digest, tag.digest) {
                true => Known::Repeated(record),
                false => Known::Other,
            }),
        )
    }

    /// Notes that the request's operations were applied, with these outcomes.
    pub fn put(
        &mut self,
        batch: &mut Batch<'_>,
        entry: &Entry,
        tag: &RequestTag,
        outcomes: &[Outcome],
    ) {
        let refused = (0..)
            .zip(outcomes)
            .filter_map(|(at, outcome)| match outcome {
                Outcome::Refused { version } => Some((at, *version)),
                Outcome::Done | Outcome::Gone | Outcome::Conflict => None,
            });
        let record = RequestRecord {
            index: entry.index(),
            timestamp_ms: entry.timestamp_ms,
            digest: tag.digest,
            refused: refused.collect(),
        };
        let key = key::request(entry.partition(), tag.id.as_bytes());
        batch.put(Family::State, &key, &codec::encode(&record));
        self.pending
            .insert((entry.partition(), tag.id.clone()), record);
    }
}

/// Which collection a request is about, if it tells.
fn collection_of(digest: u128) -> Option<CollectionId> {
    let number = (digest >> BODY_BITS) as u32;
    Some(CollectionId(number)).filter(|id| id.0 != 0)
}

/// Whether a request says what one said that was noted.
fn is_same(noted: u128, digest: u128) -> bool {
    noted == digest || collection_of(noted).is_none() && noted == digest & BODY
}

impl RequestRecord {
    /// What the operation at this position was answered.
    pub fn outcome(&self, at: usize) -> Outcome {
        let refused = self.refused.iter().find(|(of, _)| *of as usize == at);
        refused.map_or(Outcome::Done, |(_, version)| Outcome::Refused {
            version: *version,
        })
    }
}

fn read(store: &Store, partition: Partition, id: &[u8]) -> Result<Option<RequestRecord>> {
    let bytes = store.get(Family::State, &key::request(partition, id))?;
    bytes
        .map(|bytes| codec::decode(&bytes, "note of a request"))
        .transpose()
}

/// Removes the notes that hold for no entry from `index` and `timestamp_ms` on, oldest first.
pub(crate) fn put_purge(
    store: &Store,
    batch: &mut Batch<'_>,
    partition: Partition,
    index: u64,
    timestamp_ms: u64,
) -> Result<()> {
    let prefix = key::request_list_prefix(partition);
    store.scan(Family::State, &prefix, &[], |key, value| {
        let of = key::last_index(key)?;
        let list = match codec::decode::<RequestList>(value, "list of requests") {
            Ok(list) => list,
            Err(error) => {
                tracing::error!(%error, partition = partition.0, "notes of requests stay on disk until a repair");
                batch.delete(Family::State, key);
                return Ok(Visit::Next);
            }
        };
        let forgotten = index.saturating_sub(of) >= REQUEST_MEMORY_ENTRIES
            || timestamp_ms >= list.timestamp_ms.saturating_add(REQUEST_MEMORY_MS);
        if !forgotten {
            return Ok(Visit::Stop);
        }
        for id in list.ids {
            // A later request may have taken the name.
            let record = read(store, partition, &id).unwrap_or_else(|error| {
                tracing::error!(%error, "a note of a request stays on disk until a repair");
                None
            });
            if record.is_some_and(|record| record.index == of) {
                batch.delete(Family::State, &key::request(partition, &id));
            }
        }
        batch.delete(Family::State, key);
        Ok(Visit::Next)
    })
}
