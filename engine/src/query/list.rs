//! Listing points without a vector: by id, by a payload field, and counting.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use serde_json::Value;

use super::fetch::{fetch, read, select_payload};
use super::matching::{for_each_row, matching};
use super::{OrderBy, ScrollPage, Selection, VectorSelection};
use crate::Partition;
use crate::apply::decode_row;
use crate::collection::Collection;
use crate::error::Result;
use crate::filter::{Filter, Subject, parse_datetime};
use crate::point::{Payload, PointId, Record};
use crate::storage::record::PointRow;
use crate::storage::{Cursor, Family, key};

impl Collection {
    /// Points by ascending id, from `start` on.
    ///
    /// Time O(answers) without a filter; with one, O(rows up to the last answer).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a filter that is nested too deep, `Corrupted` if a row cannot be read.
    pub fn scroll(
        &self,
        filter: Option<&Filter>,
        start: Option<&PointId>,
        limit: usize,
        payload: &Selection,
        vectors: &VectorSelection,
    ) -> Result<ScrollPage> {
        self.told(self.page(filter, start, limit, payload, vectors))
    }

    fn page(
        &self,
        filter: Option<&Filter>,
        start: Option<&PointId>,
        limit: usize,
        payload: &Selection,
        vectors: &VectorSelection,
    ) -> Result<ScrollPage> {
        let filter = filter.filter(|filter| !filter.is_empty());
        if let Some(filter) = filter {
            filter.validate()?;
            if let Some(required) = filter.required_ids() {
                let required = required
                    .into_iter()
                    .filter(|id| start.is_none_or(|start| *id >= start));
                return self.scroll_ids(
                    filter,
                    required.cloned().collect(),
                    limit,
                    payload,
                    vectors,
                );
            }
        }
        let mut page = ScrollPage::default();
        let mut rows = RowsById::new(self, start)?;
        while let Some((id, partition, row)) = rows.next()? {
            if let Some(filter) = filter
                && !row_passes(filter, &id, &row)?
            {
                continue;
            }
            if page.points.len() == limit {
                page.next = Some(id);
                break;
            }
            if *vectors == VectorSelection::None {
                page.points.push(Record {
                    payload: select_payload(&id, &row, payload)?,
                    id,
                    version: row.version,
                    vectors: None,
                    expires_at_ms: row.expires_at_ms,
                });
            } else {
                // The row is as it was when the listing began, and its vectors may be gone: read as it is now, so that payload and vectors
                // are of one write.
                let now = read(self, &[(&id, partition)], payload, vectors)?;
                page.points.extend(now.into_iter().flatten());
            }
        }
        Ok(page)
    }

    /// A scroll whose filter names ids: only these are read.
    fn scroll_ids(
        &self,
        filter: &Filter,
        required: Vec<PointId>,
        limit: usize,
        payload: &Selection,
        vectors: &VectorSelection,
    ) -> Result<ScrollPage> {
        let Some(found) = matching(self, filter)? else {
            return Ok(ScrollPage::default());
        };
        let mut passing: Vec<PointId> = required
            .into_iter()
            .filter(|id| found.ids.contains(id))
            .collect();
        let next = passing.get(limit).cloned();
        passing.truncate(limit);
        Ok(ScrollPage {
            points: self.retrieve(&passing, payload, vectors)?,
            next,
        })
    }

    /// Points by a payload field, each with the value that ordered it. Points without such a value are left out; one with several is answered by
    /// its first in the order.
    ///
    /// # Errors
    ///
    /// As [`Self::scroll`].
    pub fn scroll_ordered(
        &self,
        order: &OrderBy,
        filter: Option<&Filter>,
        limit: usize,
        payload: &Selection,
        vectors: &VectorSelection,
    ) -> Result<Vec<(Record, Value)>> {
        let ordered = self.told(ordered(self, order, filter, limit))?;
        let ids: Vec<PointId> = ordered.iter().map(|(id, _)| id.clone()).collect();
        let located = self.locate(&ids);
        let records = self.told(fetch(self, &located, payload, vectors))?;
        let mut values = ordered.into_iter();
        Ok(records
            .into_iter()
            .flatten()
            .filter_map(|record| {
                let (_, value) = values.find(|(id, _)| *id == record.id)?;
                Some((record, value))
            })
            .collect())
    }

    /// How many points pass the filter.
    ///
    /// # Errors
    ///
    /// As [`Self::scroll`].
    pub fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        let found = match filter {
            Some(filter) => self.told(matching(self, filter))?,
            None => None,
        };
        Ok(found.map_or_else(|| self.state().ids.len(), |found| found.ids.len()))
    }
}

/// Whether a stored row passes.
pub(crate) fn row_passes(filter: &Filter, id: &PointId, row: &PointRow) -> Result<bool> {
    let payload = select_payload(id, row, &Selection::All)?.unwrap_or_default();
    let has_vector = |name: &str| row.vectors.iter().any(|reference| reference.name == name);
    Ok(filter.matches(&Subject {
        id,
        payload: &payload,
        has_vector: &has_vector,
    }))
}

/// The first `limit` points in the order, with the values that ordered them.
pub(super) fn ordered(
    collection: &Collection,
    order: &OrderBy,
    filter: Option<&Filter>,
    limit: usize,
) -> Result<Vec<(PointId, Value)>> {
    let found = match filter {
        Some(filter) => matching(collection, filter)?,
        None => None,
    };
    let mut first: BinaryHeap<Ordered> = BinaryHeap::new();
    for_each_row(collection, |id, _, payload| {
        if found.as_ref().is_some_and(|found| !found.ids.contains(&id)) {
            return;
        }
        if let Some((sort_key, value)) = first_value(order, payload) {
            first.push(Ordered {
                sort_key,
                id,
                value,
            });
            if first.len() > limit {
                first.pop();
            }
        }
    })?;
    Ok(first
        .into_sorted_vec()
        .into_iter()
        .map(|ordered| (ordered.id, ordered.value))
        .collect())
}

/// The value of the payload that comes first in the order, with its sort key: ascending is first.
fn first_value(order: &OrderBy, payload: &Payload) -> Option<(f64, Value)> {
    let sign = if order.descending { -1.0 } else { 1.0 };
    order
        .key
        .values(payload)
        .into_iter()
        .filter_map(|value| {
            let number = match value {
                Value::Number(number) => number.as_f64()?,
                Value::String(text) => parse_datetime(text)? as f64,
                _ => return None,
            };
            let sort_key = sign * number;
            order
                .start_from
                .is_none_or(|start| sort_key >= sign * start)
                .then(|| (sort_key, value.clone()))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Ordered by sort key, then id.
struct Ordered {
    sort_key: f64,
    id: PointId,
    value: Value,
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort_key
            .total_cmp(&other.sort_key)
            .then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

/// All rows by ascending id: a merge of the partitions, each of which is in order.
struct RowsById<'a> {
    now_ms: u64,
    cursors: Vec<Cursor<'a>>,
    heads: BinaryHeap<Reverse<(PointId, usize)>>,
}

impl<'a> RowsById<'a> {
    fn new(collection: &'a Collection, start: Option<&PointId>) -> Result<Self> {
        let mut rows = Self {
            now_ms: collection.env.now_ms(),
            cursors: Vec::new(),
            heads: BinaryHeap::new(),
        };
        for partition in Partition::all() {
            let prefix = key::collection_prefix(partition, collection.id());
            let from = match start {
                Some(id) => key::point(partition, collection.id(), id),
                None => prefix.clone(),
            };
            rows.cursors
                .push(collection.store.cursor(Family::Points, &prefix, &from));
            rows.push_head(usize::from(partition.0))?;
        }
        Ok(rows)
    }

    fn push_head(&mut self, at: usize) -> Result<()> {
        if let Some((key, _)) = self.cursors[at].item()? {
            self.heads.push(Reverse((
                PointId::decode(&key[key::POINT_PREFIX_BYTES..])?,
                at,
            )));
        }
        Ok(())
    }

    /// The next row whose time has not come.
    fn next(&mut self) -> Result<Option<(PointId, Partition, PointRow)>> {
        loop {
            match self.next_stored()? {
                Some((_, _, row)) if row.is_expired(self.now_ms) => {}
                next => return Ok(next),
            }
        }
    }

    fn next_stored(&mut self) -> Result<Option<(PointId, Partition, PointRow)>> {
        let Some(Reverse((id, at))) = self.heads.pop() else {
            return Ok(None);
        };
        let cursor = &mut self.cursors[at];
        let row = match cursor.item()? {
            Some((_, value)) => decode_row(&id, value)?,
            None => return Ok(None),
        };
        cursor.advance();
        self.push_head(at)?;
        Ok(Some((id, Partition(at as u16), row)))
    }
}
