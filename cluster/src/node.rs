//! The node: its engine, its proposer, and the calls that a server makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use engine::filter::Filter;
use engine::{
    Background, Collection, CollectionConfig, CollectionId, Engine, EngineOptions, Error,
    ErrorKind, Operation, Outcome, Partition, Point, PointId, Precondition, RequestTag, Result,
    Share, StorageStats, Usage,
};
use parking_lot::{Condvar, Mutex};

use crate::layout;
use crate::local_group::LocalGroup;
use crate::placement::{home_of, partition_of};
use crate::proposer::Proposer;
use crate::sweeper::{Sweeper, sweep};

/// How often a delete by filter looks for points that were changed while it went on: one that changes all the time may stay.
const FILTER_ROUNDS_MAX: usize = 16;

/// How to open a node.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// How to open its engine.
    pub engine: EngineOptions,
}

/// What a write answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Receipt {
    /// Grows with every write of the node.
    pub operation_id: u64,
    /// How many points the request wrote or removed.
    pub points: usize,
    /// The points whose condition did not hold, in the order sent: nothing of them was changed.
    pub refused: Vec<Refused>,
}

/// A point whose condition did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    /// Which point.
    pub id: PointId,
    /// The version that it had when the write's turn came; 0 if it was not there.
    pub version: u64,
}

/// One node. All calls may block; share it as `Arc<Node>`.
pub struct Node {
    // Dropped in this order: no loading, no sweeping, no writes, then the store is closed.
    loader: Option<JoinHandle<()>>,
    sweeper: Sweeper,
    proposer: Arc<dyn Proposer>,
    pub(crate) engine: Arc<Engine>,
    /// Held while a snapshot is written.
    pub(crate) snapshotting: Mutex<()>,
    ready: Arc<(Mutex<bool>, Condvar)>,
}

impl Node {
    /// Opens or creates the store in `dir`. Collections load in the background: [`Self::is_ready`] tells.
    ///
    /// # Errors
    ///
    /// As [`Engine::open_unloaded`]; `Unavailable` if the operating system gives no thread.
    pub fn open(dir: &Path, options: NodeOptions) -> Result<Self> {
        let engine = Arc::new(Engine::open_unloaded(dir, options.engine)?);
        // What a crash left of them.
        let _ = std::fs::remove_dir_all(layout::uploads(dir));
        let ready = Arc::new((Mutex::new(false), Condvar::new()));
        let proposer: Arc<dyn Proposer> = Arc::new(LocalGroup::start(engine.clone())?);
        let sweeper = Sweeper::start(engine.clone(), proposer.clone())?;
        let loader = engine::start_thread("loader", {
            let (engine, ready, sweeper) = (engine.clone(), ready.clone(), sweeper.waker());
            move || {
                engine.load();
                sweeper.wake();
                *ready.0.lock() = true;
                ready.1.notify_all();
            }
        })?;
        Ok(Self {
            loader: Some(loader),
            sweeper,
            proposer,
            engine,
            snapshotting: Mutex::new(()),
            ready,
        })
    }

    /// Whether every collection is loaded.
    pub fn is_ready(&self) -> bool {
        *self.ready.0.lock()
    }

    /// Checks that a write would be taken now, however small; that some collections are still loading does not count.
    ///
    /// # Errors
    ///
    /// As [`Engine::ensure_writable`].
    pub fn ensure_writable(&self) -> Result<()> {
        self.engine.ensure_writable()
    }

    /// Waits until [`Self::is_ready`].
    pub fn wait_until_ready(&self) {
        let mut ready = self.ready.0.lock();
        while !*ready {
            self.ready.1.wait(&mut ready);
        }
    }

    /// Names of all collections, ascending.
    pub fn collections(&self) -> Vec<String> {
        self.engine.collections()
    }

    /// The collection of this name.
    ///
    /// # Errors
    ///
    /// As [`Engine::collection`].
    pub fn collection(&self, name: &str) -> Result<Arc<Collection>> {
        self.engine.collection(name)
    }

    /// Creates a collection, durably.
    ///
    /// # Errors
    ///
    /// As [`Engine::create_collection`].
    pub fn create_collection(&self, name: &str, config: CollectionConfig) -> Result<()> {
        self.engine.create_collection(name, config).map(drop)
    }

    /// Changes settings that rows do not depend on, durably.
    ///
    /// # Errors
    ///
    /// As [`Engine::update_collection`].
    pub fn update_collection(
        &self,
        name: &str,
        change: impl FnOnce(&mut CollectionConfig),
    ) -> Result<()> {
        self.engine.update_collection(name, change)
    }

    /// Deletes a collection with everything in it, durably; false if there was none.
    ///
    /// # Errors
    ///
    /// As [`Engine::drop_collection`].
    pub fn drop_collection(&self, name: &str) -> Result<bool> {
        self.engine.drop_collection(name)
    }

    /// Writes points, all or none: they are durable and every later search sees them when this returns.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names the item ("item 17 of 100 (id 5)"), with nothing written; `StorageFull` of the disk or of the memory budget;
    /// `Unavailable` if rows come faster than they are sealed within that; `NotFound` if the collection was deleted meanwhile.
    pub fn upsert(&self, collection: &str, points: Vec<Point>) -> Result<Receipt> {
        self.upsert_if(collection, points.into_iter().map(|point| (point, None)))
    }

    /// Writes those points whose condition holds when their turn comes; the receipt names the others. Of writers that ask for the same
    /// version at once, one wins.
    ///
    /// # Errors
    ///
    /// As [`Self::upsert`].
    pub fn upsert_if(
        &self,
        collection: &str,
        points: impl IntoIterator<Item = (Point, Option<Precondition>)>,
    ) -> Result<Receipt> {
        self.write_points(collection, points.into_iter().collect(), None)
    }

    /// As [`Self::upsert_if`], for a request that may come again: a repetition changes nothing and is answered as the first was, but for the
    /// operation id. A request is remembered for [`engine::REQUEST_MEMORY_MS`] (a day) or [`engine::REQUEST_MEMORY_ENTRIES`] log entries of a
    /// partition, whichever ends first.
    ///
    /// # Errors
    ///
    /// As [`Self::upsert`]; `Conflict`, with nothing written, if the name was used with another body.
    pub fn upsert_once(
        &self,
        request: RequestTag,
        collection: &str,
        points: impl IntoIterator<Item = (Point, Option<Precondition>)>,
    ) -> Result<Receipt> {
        self.write_points(collection, points.into_iter().collect(), Some(request))
    }

    fn write_points(
        &self,
        collection: &str,
        points: Vec<(Point, Option<Precondition>)>,
        request: Option<RequestTag>,
    ) -> Result<Receipt> {
        self.engine.write_to(collection, |collection| {
            self.write_points_to(collection, points, request)
        })
    }

    fn write_points_to(
        &self,
        collection: &Collection,
        mut points: Vec<(Point, Option<Precondition>)>,
        request: Option<RequestTag>,
    ) -> Result<Receipt> {
        let count = points.len();
        for (at, (point, _)) in points.iter_mut().enumerate() {
            collection.check(point).map_err(|error| {
                let message = format!(
                    "item {} of {count} (id {}): {}",
                    at + 1,
                    point.id,
                    error.message()
                );
                Error::new(error.kind(), message)
            })?;
        }
        // Held until the points are written.
        let room = points.iter().map(|(point, _)| point);
        let _room = self.engine.admit(collection, room)?;
        let id = collection.id();
        let some_end = points
            .iter()
            .any(|(point, _)| point.expires_at_ms.is_some());
        let operations = points.into_iter().map(|(point, condition)| {
            let partition = partition_of(id, &point.id);
            let point = point.into();
            let operation = match condition {
                None => Operation::Upsert {
                    collection: id,
                    point,
                },
                Some(condition) => Operation::UpsertIf {
                    collection: id,
                    point,
                    condition,
                },
            };
            (partition, operation)
        });
        let receipt = self.write(collection, operations.collect(), request)?;
        if some_end {
            self.sweeper.wake();
        }
        Ok(receipt)
    }

    /// Removes those of the points that are there, durably; `points` of the receipt counts them.
    ///
    /// # Errors
    ///
    /// As [`Self::collection`]; `StorageFull`.
    pub fn delete(&self, collection: &str, ids: &[PointId]) -> Result<Receipt> {
        self.engine.write_to(collection, |collection| {
            // An id that is named twice is one point.
            let present: BTreeSet<&PointId> =
                ids.iter().filter(|id| collection.contains(id)).collect();
            let present = present.into_iter().cloned().collect();
            self.write(collection, deletes(collection.id(), present), None)
        })
    }

    /// As [`Self::delete`], for a request that may come again: see [`Self::upsert_once`].
    ///
    /// # Errors
    ///
    /// As [`Self::delete`]; `Conflict`, with nothing removed, if the name was used with another body.
    pub fn delete_once(
        &self,
        request: RequestTag,
        collection: &str,
        ids: &[PointId],
    ) -> Result<Receipt> {
        // Those that are not there too: a repetition has the same operations.
        let ids: BTreeSet<&PointId> = ids.iter().collect();
        let ids = ids.into_iter().cloned().collect();
        self.engine.write_to(collection, |collection| {
            self.write(collection, deletes(collection.id(), ids), Some(request))
        })
    }

    /// Removes the points that pass the filter, durably: a point that is changed between being found and the turn of its delete is looked at
    /// again, and stays if it passes no more.
    ///
    /// # Errors
    ///
    /// As [`Self::delete`], and for a filter that cannot be evaluated.
    pub fn delete_by_filter(&self, collection: &str, filter: &Filter) -> Result<Receipt> {
        self.engine.write_to(collection, |collection| {
            self.delete_by_filter_from(collection, filter)
        })
    }

    fn delete_by_filter_from(&self, collection: &Collection, filter: &Filter) -> Result<Receipt> {
        let none = (
            engine::query::Selection::None,
            engine::query::VectorSelection::None,
        );
        let mut points = 0;
        for _ in 0..FILTER_ROUNDS_MAX {
            let page = collection.scroll(Some(filter), None, usize::MAX, &none.0, &none.1)?;
            let found = page.points.into_iter();
            let found: Vec<_> = found.map(|record| (record.id, record.version)).collect();
            let receipt = self.delete_versions(collection, found)?;
            points += receipt.points;
            if receipt.refused.is_empty() {
                return Ok(Receipt { points, ..receipt });
            }
        }
        Ok(Receipt {
            operation_id: self.engine.sequence(),
            points,
            refused: Vec::new(),
        })
    }

    /// Removes those of the points that are still of the version at which they were found.
    fn delete_versions(
        &self,
        collection: &Collection,
        found: Vec<(PointId, u64)>,
    ) -> Result<Receipt> {
        let id_of_collection = collection.id();
        let delete = |(id, version)| {
            let partition = partition_of(id_of_collection, &id);
            let operation = Operation::DeleteIf {
                collection: id_of_collection,
                id,
                condition: Precondition::Version(version),
            };
            (partition, operation)
        };
        let operations = found.into_iter().map(delete);
        self.write(collection, operations.collect(), None)
    }

    /// Proposes operations on points of one collection, all of them upserts or all of them deletes.
    fn write(
        &self,
        collection: &Collection,
        operations: Vec<(Partition, Operation)>,
        request: Option<RequestTag>,
    ) -> Result<Receipt> {
        let points = operations.len();
        let (mut shares, order) = split(operations);
        if shares.is_empty() {
            return Ok(Receipt {
                operation_id: self.engine.sequence(),
                ..Receipt::default()
            });
        }
        let request = request.map(|tag| tag.about(collection.id()));
        if let Some(tag) = &request {
            put_tag(&mut shares, tag);
        }
        let shares = shares.into_iter().map(|(partition, operations)| Share {
            partition,
            operations,
        });
        let committed = self.proposer.propose_and_wait(shares.collect())?;
        let exceptions = committed.exceptions;
        let (unchanged, refused) = refusals(collection, exceptions, &order, request)?;
        Ok(Receipt {
            operation_id: committed.operation_id,
            points: points - unchanged,
            refused,
        })
    }

    /// Drops the points whose time has come, durably, and answers how many; a thread of the node's own does it within a minute. They
    /// are hidden already.
    ///
    /// # Errors
    ///
    /// As [`Engine::append`] and [`Engine::apply`].
    pub fn drop_expired(&self) -> Result<usize> {
        sweep(&self.engine, &*self.proposer)
    }

    /// Milliseconds since 1970 by the node's clock.
    pub fn now_ms(&self) -> u64 {
        self.engine.now_ms()
    }

    /// Bytes on disk and in memory.
    pub fn storage_stats(&self) -> StorageStats {
        self.engine.storage_stats()
    }

    /// What memory and disk are used for, by part.
    ///
    /// # Errors
    ///
    /// As [`Engine::usage`].
    pub fn usage(&self) -> Result<Usage> {
        self.engine.usage()
    }

    /// Work in the background of the node.
    pub fn background(&self) -> Background {
        self.engine.background()
    }

    /// Reads everything and answers what is wrong; empty if nothing is.
    pub fn check(&self) -> Vec<String> {
        self.engine.check()
    }
}

/// The points of each partition's operations, with their positions in the request; none if none can be refused.
type Order = BTreeMap<Partition, Vec<(usize, PointId)>>;

/// The operations of each partition, in their order, and whose they are.
fn split(operations: Vec<(Partition, Operation)>) -> (BTreeMap<Partition, Vec<Operation>>, Order) {
    let mut shares: BTreeMap<Partition, Vec<Operation>> = BTreeMap::new();
    let mut order = Order::new();
    // Only what can be refused need be found again.
    let refusable = operations.iter().any(|(_, operation)| {
        matches!(
            operation,
            Operation::UpsertIf { .. } | Operation::DeleteIf { .. }
        )
    });
    for (at, (partition, operation)) in operations.into_iter().enumerate() {
        if refusable && let Some(id) = operation.point_id() {
            let named = (at, id.clone());
            order.entry(partition).or_default().push(named);
        }
        shares.entry(partition).or_default().push(operation);
    }
    (shares, order)
}

/// How many operations have changed nothing, and those of them that were refused by a condition, in the order of the request.
///
/// # Errors
///
/// `NotFound` if the collection went meanwhile, `Conflict` if the request's name was used with another body.
fn refusals(
    collection: &Collection,
    exceptions: Vec<(Partition, usize, Outcome)>,
    order: &Order,
    request: Option<RequestTag>,
) -> Result<(usize, Vec<Refused>)> {
    let tags = usize::from(request.is_some());
    let mut unchanged = 0;
    let mut refused = Vec::new();
    for (partition, at, outcome) in exceptions {
        match outcome {
            Outcome::Done => {}
            Outcome::Gone => {
                return Err(Error::not_found(format!(
                    "Collection `{}` doesn't exist! It was deleted before the write's turn came",
                    collection.name()
                )));
            }
            Outcome::Conflict => {
                return Err(request.map_or_else(
                    || Error::new(ErrorKind::Conflict, "another request"),
                    |tag| tag.conflict(),
                ));
            }
            Outcome::Refused { version } => {
                unchanged += 1;
                if let Some(points) = order.get(&partition) {
                    let (at, id) = points[at - tags].clone();
                    refused.push((at, Refused { id, version }));
                }
            }
        }
    }
    refused.sort_unstable_by_key(|(at, _)| *at);
    let refused = refused.into_iter().map(|(_, refused)| refused);
    Ok((unchanged, refused.collect()))
}

/// Deletes of these points, with the partitions that they fall to.
fn deletes(collection: CollectionId, ids: Vec<PointId>) -> Vec<(Partition, Operation)> {
    let delete = |id| {
        (
            partition_of(collection, &id),
            Operation::Delete { collection, id },
        )
    };
    ids.into_iter().map(delete).collect()
}

/// Puts the request's tag before its operations, and into the home partition of its name: there it is known whatever points it is about.
fn put_tag(shares: &mut BTreeMap<Partition, Vec<Operation>>, tag: &RequestTag) {
    shares.entry(home_of(tag.id())).or_default();
    for operations in shares.values_mut() {
        let count = operations.len();
        let request = Operation::Request {
            tag: tag.clone(),
            operations: count,
        };
        operations.insert(0, request);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(loader) = self.loader.take() {
            let _ = loader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I13: a collection that goes between a request's checks and its turn has taken nothing, and no acknowledgement says otherwise.
    #[test]
    fn i13_a_write_to_a_collection_that_went_is_not_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::open(dir.path(), NodeOptions::default()).unwrap();
        node.wait_until_ready();
        node.create_collection("c", CollectionConfig::default())
            .unwrap();
        let collection = node.collection("c").unwrap();
        node.drop_collection("c").unwrap();
        let write = |tag: Option<&RequestTag>| {
            let operations = deletes(collection.id(), vec![PointId::Num(1)]);
            node.write(&collection, operations, tag.cloned())
        };
        let tag = RequestTag::new("again", 1).unwrap();
        // A repetition is not taken for something that was done.
        for tag in [None, Some(&tag), Some(&tag)] {
            let error = write(tag).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("doesn't exist!"), "{error}");
        }
    }

    /// A point that is changed after a delete by filter has found it is not deleted for what it was.
    #[test]
    fn a_delete_by_filter_deletes_what_it_found() {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::open(dir.path(), NodeOptions::default()).unwrap();
        node.wait_until_ready();
        node.create_collection("c", CollectionConfig::default())
            .unwrap();
        let point = |id| Point {
            id: PointId::Num(id),
            vectors: BTreeMap::new(),
            payload: engine::Payload::new(),
            media: Vec::new(),
            expires_at_ms: None,
        };
        node.upsert("c", vec![point(1), point(2)]).unwrap();
        let collection = node.collection("c").unwrap();
        let none = (
            engine::query::Selection::None,
            engine::query::VectorSelection::None,
        );
        let found = collection
            .scroll(None, None, 9, &none.0, &none.1)
            .unwrap()
            .points;
        node.upsert("c", vec![point(2)]).unwrap();
        let found = found.into_iter().map(|record| (record.id, record.version));
        let receipt = node.delete_versions(&collection, found.collect()).unwrap();
        assert_eq!(receipt.points, 1);
        assert_eq!(receipt.refused[0].id, PointId::Num(2));
        assert_eq!(collection.count(None).unwrap(), 1);
        // Looked at again, it is found anew.
        let filter = Filter::one(engine::filter::Condition::HasId([PointId::Num(2)].into()));
        assert_eq!(node.delete_by_filter("c", &filter).unwrap().points, 1);
        assert_eq!(collection.count(None).unwrap(), 0);
    }
}
