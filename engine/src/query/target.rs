//! The vector that a query searches with: given, averaged from examples, or that of a stored point.

use super::{Query, QueryVector};
use crate::collection::{Collection, State, check_dense, unknown_vector};
use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::named::named;
use crate::point::Vector;

/// The average of the wanted minus that of the unwanted examples, as the dialect's `average_vector`: `2 * positive - negative`.
pub(super) fn average_vector(
    collection: &Collection,
    state: &State,
    query: &Query,
    positive: &[QueryVector],
    negative: &[QueryVector],
) -> Result<Vector> {
    if positive.is_empty() {
        return Err(Error::invalid(
            "recommend: give at least one positive example",
        ));
    }
    let average = |examples: &[QueryVector]| -> Result<Option<Vec<f32>>> {
        let mut sum: Option<Vec<f32>> = None;
        for example in examples {
            let Vector::Dense(values) = resolve(collection, state, query, example)? else {
                return Err(Error::invalid(
                    "recommend: examples of a sparse vector cannot be averaged; name a dense one in `using`",
                ));
            };
            match &mut sum {
                None => sum = Some(values),
                Some(sum) => sum
                    .iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value),
            }
        }
        Ok(sum.map(|sum| {
            sum.into_iter()
                .map(|value| value / examples.len() as f32)
                .collect()
        }))
    };
    let mut wanted = average(positive)?.unwrap_or_default();
    if let Some(unwanted) = average(negative)? {
        wanted
            .iter_mut()
            .zip(unwanted)
            .for_each(|(wanted, unwanted)| *wanted = 2.0 * *wanted - unwanted);
    }
    checked(&collection.config(), &query.using, wanted).map(Vector::Dense)
}

/// The vector to search with, checked and of unit length where the metric wants it.
pub(super) fn resolve(
    collection: &Collection,
    state: &State,
    query: &Query,
    vector: &QueryVector,
) -> Result<Vector> {
    let config = collection.config();
    match vector {
        QueryVector::Dense(values) => Ok(Vector::Dense(checked(
            &config,
            &query.using,
            values.clone(),
        )?)),
        QueryVector::Sparse(sparse) if named(&config.sparse_vectors, &query.using).is_some() => {
            Ok(Vector::Sparse(sparse.clone()))
        }
        QueryVector::Sparse(_) => Err(unknown_vector(&config, &query.using, "sparse")),
        QueryVector::Point { id, using } => {
            let name = using.as_ref().unwrap_or(&query.using);
            let location = state.ids.get(id).ok_or_else(|| {
                Error::not_found(format!(
                    "Not found: No point with id {id} found in collection {}",
                    collection.name()
                ))
            })?;
            let segment = state.segment(location.uid);
            segment
                .verify_hit(name, location.offset)
                .map_err(|error| error.context(format!("read point {id}")))?;
            segment.vector(name, location.offset).ok_or_else(|| {
                Error::invalid(format!(
                    "point {id} has no vector \"{name}\"; name one that it has in `using`"
                ))
            })
        }
    }
}

fn checked(config: &CollectionConfig, using: &str, mut values: Vec<f32>) -> Result<Vec<f32>> {
    let wanted =
        named(&config.vectors, using).ok_or_else(|| unknown_vector(config, using, "dense"))?;
    check_dense(using, &values, wanted.dim)?;
    if wanted.metric.normalizes() {
        index::normalize(&mut values);
    }
    Ok(values)
}
