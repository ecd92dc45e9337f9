//! The child: opens the node, checks and tells what it holds, then writes with several threads until it is killed or told to stop.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cluster::engine::filter::path::Path as FieldPath;
use cluster::engine::filter::{Condition, Filter, Match, Scalar};
use cluster::engine::query::{Query, QueryKind, QueryVector, Selection, VectorSelection};
use cluster::engine::{
    Collection, Durability, EngineOptions, Env, Media, MediaKind, Metric, Point, PointId, Vector,
};
use cluster::{Node, NodeOptions};
use serde_json::json;

use super::oracle::{
    self, GROUPS, LAZY_INTERVAL_MS, SHARED, State, WRITER_IDS, is_lazy, lazy, own,
};
use super::told::{Action, Operation, Told};
use crate::{Random, dense, object};

pub const WRITERS: u64 = 3;
/// Points of a writer in the shared collection, and in its own.
const SHARED_IDS: u64 = 600;
const OWN_IDS: u64 = 60;
/// Rows after which a segment is sealed: segments are sealed and merged all the time.
const SEAL_ROWS: usize = 150;
/// Bytes from which on vectors stay in the store's files: segments of a few rows do.
const LINKED_BYTES_MIN: usize = 4096;
/// The shared collection has a k-d tree, the others have vectors that go to blob files.
const SHARED_DIM: usize = 4;
const OWN_DIM: usize = 160;

/// Runs until it is killed, or until stdin ends: then it stops cleanly.
pub fn run(folder: &Path, serial: u64, is_lazy_only: bool) {
    tell_warnings();
    let env = Env::system()
        .with_seal_rows(if is_lazy_only { usize::MAX } else { SEAL_ROWS })
        .with_linked_bytes_min(LINKED_BYTES_MIN);
    let options = NodeOptions {
        engine: EngineOptions {
            env,
            ..EngineOptions::default()
        },
    };
    let node = Node::open(folder, options).unwrap();
    node.wait_until_ready();
    let held = tell_held(&node);
    Told::Ready.tell();
    let serials = AtomicU64::new(serial);
    if !held.contains_key(SHARED) {
        let serial = serials.fetch_add(1, Ordering::Relaxed);
        perform(&node, operation(0, serial, SHARED, Action::Create));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let mut writer = Writer {
                node: &node,
                number,
                random: Random(serial * WRITERS + number),
                mine: oracle::mine(&held, number),
                is_lazy_only,
                sealed: Vec::new(),
            };
            writer.mine.entry(SHARED.into()).or_default();
            let (serials, stop) = (&serials, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    writer.step(serials.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest).unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    tell_held(&node);
    Told::Stopped.tell();
}

fn operation(writer: u64, serial: u64, collection: &str, action: Action) -> Operation {
    let collection = collection.to_owned();
    Operation {
        writer,
        serial,
        collection,
        action,
    }
}

fn perform(node: &Node, operation: Operation) {
    Told::Begin(operation.clone()).tell();
    let Operation {
        writer,
        serial,
        collection,
        action,
    } = operation;
    let dim = dim_of(&collection);
    match action {
        Action::Create => {
            let mut config = dense(dim, Metric::L2, None);
            if is_lazy(&collection) {
                config.durability = Durability::IntervalMs(LAZY_INTERVAL_MS);
            }
            node.create_collection(&collection, config).unwrap();
        }
        Action::Drop => assert!(node.drop_collection(&collection).unwrap()),
        Action::Upsert(ids) => {
            let points = ids
                .iter()
                .map(|id| point(writer, *id, serial, dim))
                .collect();
            node.upsert(&collection, points).unwrap();
        }
        Action::Delete(ids) => {
            let ids: Vec<PointId> = ids.into_iter().map(PointId::Num).collect();
            node.delete(&collection, &ids).unwrap();
        }
        Action::DeleteGroup(group) => {
            let is = |field: &str, number: u64| Condition::Match {
                key: FieldPath::parse(field).unwrap(),
                value: Match::Value(Scalar::Integer(number as i64)),
            };
            let filter = Filter {
                must: vec![is("writer", writer), is("group", group)],
                ..Filter::default()
            };
            node.delete_by_filter(&collection, &filter).unwrap();
        }
    }
    Told::Done(writer, Env::system().now_ms()).tell();
}

fn dim_of(collection: &str) -> usize {
    if collection == SHARED || is_lazy(collection) {
        SHARED_DIM
    } else {
        OWN_DIM
    }
}

/// Different for every id and serial, and exact in f32.
fn values(id: u64, serial: u64, dim: usize) -> Vec<f32> {
    let mut values: Vec<f32> = (0..dim as u64)
        .map(|at| ((serial + 7 * at) % 1009) as f32)
        .collect();
    values[0] = serial as f32;
    values[1] = id as f32;
    values
}

fn point(writer: u64, id: u64, serial: u64, dim: usize) -> Point {
    let filler = "x".repeat((serial * 37 % 400) as usize);
    let payload =
        json!({"serial": serial, "writer": writer, "group": serial % GROUPS, "filler": filler});
    let text = Media {
        kind: MediaKind::Text,
        content_type: "text/plain".into(),
        bytes: text_of(id, serial).into_bytes().into(),
    };
    Point {
        id: PointId::Num(id),
        vectors: BTreeMap::from([(String::new(), Vector::Dense(values(id, serial, dim)))]),
        payload: object(payload),
        expires_at_ms: None,
        media: if dim == OWN_DIM {
            vec![text]
        } else {
            Vec::new()
        },
    }
}

fn text_of(id: u64, serial: u64) -> String {
    format!("text of {id} as of {serial} ").repeat(40)
}

/// One thread, which owns its points: it knows at any moment what must be there.
struct Writer<'a> {
    node: &'a Node,
    number: u64,
    random: Random,
    mine: State,
    is_lazy_only: bool,
    /// Rows of the shared collection's sealed segments when it last looked.
    sealed: Vec<usize>,
}

impl Writer<'_> {
    fn step(&mut self, serial: u64) {
        let operation = self.draw(serial);
        oracle::apply(&mut self.mine, &operation);
        perform(self.node, operation);
        if self.random.below(20) == 0 {
            self.look();
        }
    }

    fn draw(&mut self, serial: u64) -> Operation {
        let (name, lazy) = (own(self.number), lazy(self.number));
        let chance = self.random.below(100);
        if self.is_lazy_only || chance >= 90 {
            let action = match self.random.below(4) {
                _ if !self.mine.contains_key(&lazy) => Action::Create,
                0 => Action::Delete(self.some_ids(OWN_IDS, 10)),
                _ => Action::Upsert(self.some_ids(OWN_IDS, 15)),
            };
            return operation(self.number, serial, &lazy, action);
        }
        let first = self.random.below(SHARED_IDS);
        let has_own = self.mine.contains_key(&name);
        let (collection, action) = match chance {
            0..15 => (SHARED, Action::Upsert(self.ids(first, 300, SHARED_IDS))),
            15..40 => (SHARED, Action::Upsert(self.some_ids(SHARED_IDS, 50))),
            40..60 => (SHARED, Action::Upsert(self.some_ids(SHARED_IDS, 1))),
            60..70 => (SHARED, Action::Delete(self.some_ids(SHARED_IDS, 30))),
            70..75 => (SHARED, Action::DeleteGroup(self.random.below(GROUPS))),
            75..77 if has_own => (&*name, Action::Drop),
            77..82 if has_own => (&*name, Action::Delete(self.some_ids(OWN_IDS, 10))),
            _ if has_own => (&*name, Action::Upsert(self.some_ids(OWN_IDS, 15))),
            _ => (&*name, Action::Create),
        };
        operation(self.number, serial, collection, action)
    }

    /// Up to `count` ids in a row of the first `of` that are this writer's.
    fn some_ids(&mut self, of: u64, count: u64) -> Vec<u64> {
        let (first, count) = (self.random.below(of), 1 + self.random.below(count));
        self.ids(first, count, of)
    }

    /// `count` ids from `first` on of the first `of` that are this writer's, the first again after the last.
    fn ids(&self, first: u64, count: u64, of: u64) -> Vec<u64> {
        (first..first + count)
            .map(|id| self.number * WRITER_IDS + id % of)
            .collect()
    }

    /// Compares what searches see now with what this writer has written: merges go on meanwhile.
    fn look(&mut self) {
        for (name, rows) in &self.mine {
            let collection = self.node.collection(name).unwrap();
            if name == SHARED && self.number == 0 {
                let segments = collection.info().segments;
                let sealed = segments.iter().filter(|segment| segment.state == "sealed");
                let sealed: Vec<usize> = sealed.map(|segment| segment.rows).collect();
                if !sealed.is_empty() && sealed != self.sealed {
                    Told::Sealed(1).tell();
                }
                self.sealed = sealed;
            }
            let in_memory: BTreeMap<u64, u64> = memory(&collection)
                .into_iter()
                .filter(|(id, _)| id / WRITER_IDS == self.number)
                .map(|(id, values)| (id, values[0] as u64))
                .collect();
            if in_memory != *rows {
                let wrong: Vec<_> = in_memory
                    .iter()
                    .filter(|(id, serial)| rows.get(id) != Some(serial))
                    .take(3)
                    .collect();
                let text = format!(
                    "{name}: searches see {} points of writer {}, {} were written; wrong are {wrong:?}",
                    in_memory.len(),
                    self.number,
                    rows.len()
                );
                Told::Problem(text).tell();
            }
            if let Some((id, serial)) = rows.iter().nth(self.random.below(100) as usize) {
                find(&collection, *id, *serial);
            }
        }
    }
}

/// A crash leaves segment files as they must be: that one of them is not as its manifest says is a problem, though its rows are in the store too.
fn tell_warnings() {
    struct Warnings;

    impl tracing::Subscriber for Warnings {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() <= tracing::Level::WARN
                && metadata.target().starts_with("engine::collection")
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut words = String::new();
            event.record(
                &mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                    words.push_str(&format!("{field}: {value:?} "));
                },
            );
            Told::Problem(words.replace('\n', " ")).tell();
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    tracing::subscriber::set_global_default(Warnings).unwrap();
}

/// Vectors in memory by id.
fn memory(collection: &Collection) -> BTreeMap<u64, Vec<f32>> {
    let rows = collection.vector_rows("").unwrap();
    rows.into_iter()
        .map(|(id, values)| (number(&id), values))
        .collect()
}

fn number(id: &PointId) -> u64 {
    match id {
        PointId::Num(id) => *id,
        other => panic!("{other} is no number"),
    }
}

/// A search for a point's own vector must find it.
fn find(collection: &Collection, id: u64, serial: u64) {
    let query = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(values(
            id,
            serial,
            dim_of(collection.name()),
        ))),
        limit: 1,
        ..Query::default()
    };
    let found = collection.query(&query).unwrap().points;
    if found.first().map(|point| number(&point.id)) != Some(id) {
        Told::Problem(format!(
            "{}: a search for {id} finds {found:?}",
            collection.name()
        ))
        .tell();
    }
}

/// Tells every point, after comparing rows, vectors on disk and vectors in memory.
fn tell_held(node: &Node) -> State {
    for problem in node.check() {
        Told::Problem(problem).tell();
    }
    let mut held = State::new();
    for name in node.collections() {
        Told::Held(name.clone()).tell();
        let rows = read(&node.collection(&name).unwrap()).unwrap_or_else(|error| {
            Told::Problem(format!("{name}: {error}")).tell();
            BTreeMap::new()
        });
        for (id, serial) in &rows {
            Told::Row(name.clone(), *id, *serial).tell();
        }
        held.insert(name, rows);
    }
    held
}

/// Serial by id, the same in payload, vector on disk, medium and vector in memory.
fn read(collection: &Collection) -> Result<BTreeMap<u64, u64>, String> {
    let error = |error: cluster::engine::Error| error.to_string();
    let (payload, vectors) = (Selection::All, VectorSelection::All);
    let page = collection
        .scroll(None, None, usize::MAX, &payload, &vectors)
        .map_err(error)?;
    let memory = memory(collection);
    let mut rows = BTreeMap::new();
    for record in page.points {
        let id = number(&record.id);
        let serial = record.payload.unwrap()["serial"].as_u64().unwrap();
        let wanted = values(id, serial, dim_of(collection.name()));
        if record.vectors.unwrap().get("") != Some(&Vector::Dense(wanted.clone())) {
            return Err(format!("payload and vector of {id} differ"));
        }
        if memory.get(&id) != Some(&wanted) {
            return Err(format!("memory and disk of {id} differ"));
        }
        if dim_of(collection.name()) == OWN_DIM {
            let medium = collection
                .media(&record.id, MediaKind::Text)
                .map_err(error)?;
            if medium.is_none_or(|medium| *medium.bytes != *text_of(id, serial).as_bytes()) {
                return Err(format!("payload and text of {id} differ"));
            }
        }
        rows.insert(id, serial);
    }
    let counted = collection.count(None).map_err(error)?;
    if memory.len() != rows.len() || counted != rows.len() {
        return Err(format!(
            "{} rows, {} in memory, {counted} counted",
            rows.len(),
            memory.len()
        ));
    }
    for at in [0, rows.len() / 2, rows.len().saturating_sub(1)] {
        if let Some((id, serial)) = rows.iter().nth(at) {
            find(collection, *id, *serial);
            let none = (Selection::None, VectorSelection::None);
            let got = collection
                .retrieve(&[PointId::Num(*id)], &none.0, &none.1)
                .map_err(error)?;
            if got.len() != 1 {
                return Err(format!("{id} cannot be retrieved"));
            }
        }
    }
    Ok(rows)
}
