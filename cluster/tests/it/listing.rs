//! Listing by id and by a field, where something else changes or restricts what may answer.

use cluster::engine::filter::path::Path;
use cluster::engine::query::{OrderBy, Query, QueryKind, QueryVector, Selection, VectorSelection};
use cluster::engine::{Metric, PointId, Vector};
use serde_json::json;

use crate::{dense, open, point};

/// The points that are first of all by the field are not among those that were prefetched.
#[test]
fn an_order_over_prefetched_points_answers_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    let points = (0..100).map(|id| point(id, &[id as f32], json!({"n": id})));
    node.upsert("c", points.collect()).unwrap();
    let nearest = Query {
        kind: QueryKind::Nearest(QueryVector::Dense(vec![99.0])),
        limit: 3,
        ..Query::default()
    };
    let order = OrderBy {
        key: Path::parse("n").unwrap(),
        descending: false,
        start_from: None,
    };
    let query = Query {
        prefetch: vec![nearest],
        kind: QueryKind::OrderBy(order),
        limit: 2,
        offset: 1,
        ..Query::default()
    };
    let answer = node.collection("c").unwrap().query(&query).unwrap();
    let ids: Vec<PointId> = answer.points.into_iter().map(|point| point.id).collect();
    assert_eq!(ids, [PointId::Num(98), PointId::Num(99)]);
}

#[test]
fn a_listing_during_writes_never_mixes_two_versions_of_a_point() {
    const POINTS: u64 = 400;
    const WRITES: u32 = 60;
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    let write = |n: u32| {
        let points = (0..POINTS).map(|id| point(id, &[n as f32], json!({"n": n})));
        node.upsert("c", points.collect()).unwrap();
    };
    write(0);
    let collection = node.collection("c").unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..WRITES).for_each(write));
        while !writer.is_finished() {
            let page = collection
                .scroll(
                    None,
                    None,
                    usize::MAX,
                    &Selection::All,
                    &VectorSelection::All,
                )
                .unwrap();
            assert_eq!(page.points.len() as u64, POINTS);
            for record in page.points {
                let n = record.payload.unwrap()["n"].as_u64().unwrap();
                let vector = record.vectors.unwrap().remove("");
                assert_eq!(vector, Some(Vector::Dense(vec![n as f32])));
            }
        }
    });
}
