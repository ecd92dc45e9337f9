//! Points that end: hidden from every way of reading at once, dropped later, by a clock of the test's own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster::engine::filter::{Condition, Filter, Match, Scalar, path};
use cluster::engine::query::{OrderBy, Query, QueryKind, QueryVector, Selection, VectorSelection};
use cluster::engine::{Collection, EngineOptions, Env, Media, MediaKind, Metric, Point, PointId};
use cluster::{Node, NodeOptions};
use serde_json::json;

use crate::{dense, eventually, point};

/// A clock that is set by hand.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn set(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }

    fn open(&self, dir: &Path) -> Node {
        let clock = self.clone();
        let env = Env::new(move || clock.0.load(Ordering::Relaxed), 1);
        let engine = EngineOptions {
            env,
            ..EngineOptions::default()
        };
        let node = Node::open(dir, NodeOptions { engine }).unwrap();
        node.wait_until_ready();
        node
    }
}

fn ending(id: u64, expires_at_ms: Option<u64>) -> Point {
    Point {
        expires_at_ms,
        media: vec![Media {
            kind: MediaKind::Text,
            content_type: "text/plain".into(),
            bytes: b"source"[..].into(),
        }],
        ..point(id, &[id as f32], json!({"n": id, "all": true}))
    }
}

fn all() -> Filter {
    Filter::one(Condition::Match {
        key: path::Path::parse("all").unwrap(),
        value: Match::Value(Scalar::Bool(true)),
    })
}

fn answers(collection: &Collection, kind: QueryKind, filter: Option<Filter>) -> Vec<u64> {
    let query = Query {
        kind,
        filter,
        limit: 100,
        ..Query::default()
    };
    let mut ids: Vec<u64> = collection
        .query(&query)
        .unwrap()
        .points
        .into_iter()
        .map(|scored| number(&scored.id))
        .collect();
    ids.sort_unstable();
    ids
}

fn number(id: &PointId) -> u64 {
    match id {
        PointId::Num(number) => *number,
        other => panic!("{other} is no number"),
    }
}

/// Every way of reading shows these points and no other.
fn check_shown(collection: &Collection, expected: &[u64]) {
    let nearest = || QueryKind::Nearest(QueryVector::Dense(vec![0.0]));
    let order = OrderBy {
        key: path::Path::parse("n").unwrap(),
        descending: false,
        start_from: None,
    };
    let kinds = [
        nearest(),
        QueryKind::Id,
        QueryKind::Sample,
        QueryKind::OrderBy(order.clone()),
    ];
    for kind in kinds {
        assert_eq!(
            answers(collection, kind.clone(), None),
            expected,
            "{kind:?}"
        );
        assert_eq!(answers(collection, kind, Some(all())), expected);
    }
    let none = (Selection::None, VectorSelection::None);
    for filter in [None, Some(all())] {
        for vectors in [VectorSelection::None, VectorSelection::All] {
            let page = collection
                .scroll(filter.as_ref(), None, 100, &none.0, &vectors)
                .unwrap();
            let ids: Vec<u64> = page
                .points
                .iter()
                .map(|record| number(&record.id))
                .collect();
            assert_eq!(ids, expected);
        }
        assert_eq!(collection.count(filter.as_ref()).unwrap(), expected.len());
    }
    let ordered = collection.scroll_ordered(&order, None, 100, &none.0, &none.1);
    assert_eq!(ordered.unwrap().len(), expected.len());
    let ids: Vec<PointId> = (0..10).map(PointId::Num).collect();
    let records = collection.retrieve(&ids, &none.0, &none.1).unwrap();
    let found: Vec<u64> = records.iter().map(|record| number(&record.id)).collect();
    assert_eq!(found, expected);
    assert_eq!(collection.info().points, expected.len());
    assert_eq!(collection.vector_rows("").unwrap().len(), expected.len());
    for id in &ids {
        let shown = expected.contains(&number(id));
        assert_eq!(collection.contains(id), shown);
        assert_eq!(collection.media(id, MediaKind::Text).is_ok(), shown);
        assert_eq!(collection.media_kinds(id).is_ok(), shown);
        let positive = vec![QueryVector::Point {
            id: id.clone(),
            using: None,
        }];
        let recommend = Query {
            kind: QueryKind::Recommend {
                positive,
                negative: Vec::new(),
            },
            limit: 100,
            ..Query::default()
        };
        match collection.query(&recommend) {
            Ok(answer) => {
                assert!(shown, "recommended by {id}, which is hidden");
                assert_eq!(answer.points.len(), expected.len() - 1);
            }
            Err(_) => assert!(!shown),
        }
    }
}

#[test]
fn a_point_is_hidden_at_its_time_and_dropped_later() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    clock.set(1000);
    let node = clock.open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    let points = vec![
        ending(1, None),
        ending(2, Some(2000)),
        ending(3, Some(3000)),
        ending(4, Some(500)),
        ending(5, Some(2000)),
        ending(6, Some(2000)),
    ];
    node.upsert("c", points).unwrap();
    let collection = node.collection("c").unwrap();
    check_shown(&collection, &[1, 2, 3, 5, 6]);
    clock.set(1999);
    check_shown(&collection, &[1, 2, 3, 5, 6]);
    let record = collection.retrieve(&[PointId::Num(3)], &Selection::None, &VectorSelection::None);
    assert_eq!(record.unwrap()[0].expires_at_ms, Some(3000));
    // A later write decides: it stays, or ends at another time.
    node.upsert("c", vec![ending(5, None), ending(6, Some(2500))])
        .unwrap();
    clock.set(2000);
    check_shown(&collection, &[1, 3, 5, 6]);
    clock.set(1500);
    check_shown(&collection, &[1, 3, 5, 6]);
    drop((collection, node));

    // A restart neither brings back what was hidden nor forgets what is to end.
    clock.set(2000);
    let node = clock.open(dir.path());
    let collection = node.collection("c").unwrap();
    check_shown(&collection, &[1, 3, 5, 6]);
    clock.set(2500);
    check_shown(&collection, &[1, 3, 5]);
    assert!(node.check().is_empty());
    // What is hidden is not there to be deleted, and may be written again before it is dropped.
    assert_eq!(node.delete("c", &[PointId::Num(6)]).unwrap().points, 0);
    node.upsert("c", vec![ending(2, None)]).unwrap();
    check_shown(&collection, &[1, 2, 3, 5]);
    eventually("dropping points 4 and 6", || {
        collection.expired().is_empty()
    });
    check_shown(&collection, &[1, 2, 3, 5]);
    clock.set(3000);
    assert_eq!(node.delete_by_filter("c", &all()).unwrap().points, 3);
    check_shown(&collection, &[]);
    assert_eq!(node.drop_expired().unwrap(), 1);
    assert_eq!(node.drop_expired().unwrap(), 0);
    drop((collection, node));

    // With the clock set back, only what was dropped stays away.
    clock.set(0);
    let node = clock.open(dir.path());
    check_shown(&node.collection("c").unwrap(), &[]);
    node.drop_collection("c").unwrap();
}
