//! What queries answer, on growing and sealed segments.

use cluster::engine::filter::path::Path;
use cluster::engine::filter::{Condition, Filter, Match, Range, Scalar};
use cluster::engine::query::{
    Fusion, OrderBy, Query, QueryKind, QueryVector, SearchParams, Selection, VectorSelection,
};
use cluster::engine::{
    Collection, ErrorKind, IndexKind, Media, MediaKind, Metric, PointId, Vector,
};
use serde_json::json;

use crate::{Random, dense, eventually, hybrid, open, point, sparse};

fn nearest(values: &[f32], limit: usize) -> Query {
    Query {
        kind: QueryKind::Nearest(QueryVector::Dense(values.to_vec())),
        limit,
        ..Query::default()
    }
}

fn ids(collection: &Collection, query: &Query) -> Vec<u64> {
    let points = collection.query(query).unwrap().points;
    points
        .into_iter()
        .map(|point| match point.id {
            PointId::Num(number) => number,
            other => panic!("{other} is no number"),
        })
        .collect()
}

fn field(key: &str, value: &str) -> Filter {
    let key = Path::parse(key).unwrap();
    Filter::one(Condition::Match {
        key,
        value: Match::Value(Scalar::Keyword(value.into())),
    })
}

#[test]
fn every_structure_answers_what_a_scan_of_all_rows_would() {
    let check = |metric: Metric, dim: usize, forced: Option<IndexKind>, expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let node = open(dir.path());
        node.create_collection("c", dense(dim, metric, forced))
            .unwrap();
        let mut random = Random(7);
        let mut rows: Vec<(u64, Vec<f32>)> = (0..3000)
            .map(|id| (id, (0..dim).map(|_| random.unit() - 0.5).collect()))
            .collect();
        // Duplicates, and a zero row.
        rows[10].1 = rows[11].1.clone();
        rows[12].1 = vec![0.0; dim];
        for chunk in rows.chunks(500) {
            let points = chunk
                .iter()
                .map(|(id, values)| point(*id, values, json!({})))
                .collect();
            node.upsert("c", points).unwrap();
        }
        let collection = node.collection("c").unwrap();
        eventually("sealing", || collection.info().indexed_rows == 3000);
        // Some more in a growing segment, some deleted, some replaced.
        node.delete("c", &[PointId::Num(3), PointId::Num(4)])
            .unwrap();
        node.upsert(
            "c",
            vec![
                point(5, &rows[6].1, json!({})),
                point(9000, &rows[7].1, json!({})),
            ],
        )
        .unwrap();
        rows[5].1 = rows[6].1.clone();
        rows.push((9000, rows[7].1.clone()));
        rows.retain(|(id, _)| *id != 3 && *id != 4);
        if metric.normalizes() {
            rows.iter_mut()
                .for_each(|(_, values)| index_normalize(values));
        }
        let mut met = 0;
        for _ in 0..20 {
            let mut query: Vec<f32> = (0..dim).map(|_| random.unit() - 0.5).collect();
            let asked = nearest(&query, 10);
            let exact = Query {
                params: SearchParams {
                    exact: true,
                    ..SearchParams::default()
                },
                ..asked.clone()
            };
            if metric.normalizes() {
                index_normalize(&mut query);
            }
            let mut truth: Vec<(f32, u64)> = rows
                .iter()
                .map(|(id, values)| (metric.distance(&query, values), *id))
                .collect();
            truth.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let truth: Vec<u64> = truth[..10].iter().map(|(_, id)| *id).collect();
            assert_eq!(ids(&collection, &exact), truth, "{metric:?} {dim}");
            let found = ids(&collection, &asked);
            met += found.iter().filter(|id| truth.contains(id)).count();
            if expected != "graph" {
                assert_eq!(found, truth, "{metric:?} {dim}");
            }
        }
        assert!(met >= 190, "{met} of 200, {metric:?} {dim}");
        let explained = Query {
            params: SearchParams {
                explain: true,
                ..SearchParams::default()
            },
            ..nearest(&rows[0].1, 1)
        };
        let explain = collection.query(&explained).unwrap().explain.unwrap();
        assert!(
            explain
                .segments
                .iter()
                .any(|s| s.state == "sealed" && s.index == expected),
            "{explain:?}"
        );
        assert!(explain.visited > 0);
    };
    check(Metric::L2, 3, None, "kdtree");
    check(Metric::L1, 3, None, "kdtree");
    check(Metric::LInf, 2, None, "kdtree");
    check(Metric::L2, 3, Some(IndexKind::Flat), "flat");
    check(Metric::L1, 40, None, "flat");
    check(Metric::L2, 40, None, "graph");
    check(Metric::Cosine, 3, None, "graph");
    check(Metric::Dot, 17, None, "graph");
    check(Metric::Dot, 17, Some(IndexKind::Flat), "flat");
}

fn index_normalize(values: &mut [f32]) {
    let length = values
        .iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        .sqrt();
    if length > 0.0 {
        values
            .iter_mut()
            .for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}

#[test]
fn a_structure_that_cannot_serve_is_refused_when_the_collection_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    let error = node
        .create_collection("c", dense(384, Metric::L2, Some(IndexKind::KdTree)))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(node.collections().is_empty());
}

#[test]
fn filters_listing_and_counting_agree() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(2, Metric::L2, None))
        .unwrap();
    let points = (0..100)
        .map(|id| {
            point(
                id,
                &[id as f32, 0.0],
                json!({"parity": if id % 2 == 0 { "even" } else { "odd" }, "n": id}),
            )
        })
        .collect();
    node.upsert("c", points).unwrap();
    let collection = node.collection("c").unwrap();

    let odd = field("parity", "odd");
    assert_eq!(
        ids(
            &collection,
            &Query {
                filter: Some(odd.clone()),
                ..nearest(&[10.4, 0.0], 3)
            }
        ),
        [11, 9, 13]
    );
    assert_eq!(collection.count(Some(&odd)).unwrap(), 50);
    assert_eq!(collection.count(None).unwrap(), 100);

    let all = (Selection::All, VectorSelection::All);
    let page = collection
        .scroll(Some(&odd), Some(&PointId::Num(4)), 2, &all.0, &all.1)
        .unwrap();
    let found: Vec<&PointId> = page.points.iter().map(|record| &record.id).collect();
    assert_eq!(found, [&PointId::Num(5), &PointId::Num(7)]);
    assert_eq!(page.next, Some(PointId::Num(9)));
    assert_eq!(page.points[0].payload.as_ref().unwrap()["n"], 5);
    assert_eq!(
        page.points[0].vectors.as_ref().unwrap()[""],
        Vector::Dense(vec![5.0, 0.0])
    );

    let mut seen = Vec::new();
    let mut start = None;
    loop {
        let page = collection
            .scroll(
                None,
                start.as_ref(),
                7,
                &Selection::None,
                &VectorSelection::None,
            )
            .unwrap();
        seen.extend(page.points.into_iter().map(|record| record.id));
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..100).map(PointId::Num).collect::<Vec<_>>());

    let key = Path::parse("n").unwrap();
    let order = OrderBy {
        key: key.clone(),
        descending: true,
        start_from: Some(50.0),
    };
    let ordered = collection
        .scroll_ordered(&order, Some(&odd), 3, &all.0, &VectorSelection::None)
        .unwrap();
    assert_eq!(
        ordered
            .iter()
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>(),
        [json!(49), json!(47), json!(45)]
    );
    let range = Range {
        gte: Some(97.5),
        ..Range::default()
    };
    let top = Filter::one(Condition::Range { key, range });
    assert_eq!(node.delete_by_filter("c", &top).unwrap().points, 2);
    assert_eq!(collection.count(None).unwrap(), 98);
    assert_eq!(ids(&collection, &nearest(&[99.0, 0.0], 1)), [97]);

    let wanted = [PointId::Num(98), PointId::Num(3), PointId::Num(1)];
    let some = collection
        .retrieve(&wanted, &Selection::None, &VectorSelection::None)
        .unwrap();
    assert_eq!(
        some.iter()
            .map(|record| record.id.clone())
            .collect::<Vec<_>>(),
        [PointId::Num(3), PointId::Num(1)]
    );
}

#[test]
fn a_limit_beyond_all_rows_allocates_nothing_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    node.upsert(
        "c",
        vec![point(1, &[1.0], json!({})), point(2, &[2.0], json!({}))],
    )
    .unwrap();
    let collection = node.collection("c").unwrap();
    let query = Query {
        offset: usize::MAX / 2,
        ..nearest(&[0.0], usize::MAX)
    };
    assert!(ids(&collection, &query).is_empty());
    assert_eq!(
        ids(&collection, &nearest(&[0.0], 1_000_000_000_000_000_000)),
        [1, 2]
    );
    let page = collection
        .scroll(
            None,
            None,
            usize::MAX,
            &Selection::None,
            &VectorSelection::None,
        )
        .unwrap();
    assert_eq!(page.points.len(), 2);
}

#[test]
fn dense_and_sparse_lists_are_fused() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", hybrid(2)).unwrap();
    let rows = [
        (1, [1.0, 0.0], sparse(&[7], &[1.0])),
        (2, [0.9, 0.1], sparse(&[7, 8], &[1.0, 1.0])),
        (3, [0.0, 1.0], sparse(&[8, 9], &[1.0, 1.0])),
    ];
    let points = rows
        .into_iter()
        .map(|(id, values, words)| {
            let mut point = point(id, &values, json!({}));
            point.vectors.insert("words".into(), Vector::Sparse(words));
            point
        })
        .collect();
    node.upsert("c", points).unwrap();
    let collection = node.collection("c").unwrap();
    let words = |tokens: &[u32]| Query {
        kind: QueryKind::Nearest(QueryVector::Sparse(sparse(
            tokens,
            &vec![1.0; tokens.len()],
        ))),
        using: "words".into(),
        limit: 10,
        ..Query::default()
    };
    // 9 is rarer than 8, so it weighs more.
    let answer = collection.query(&words(&[8, 9])).unwrap().points;
    let idf = |df: f64| (1.0 + (3.0 - df + 0.5) / (df + 0.5)).ln() as f32;
    assert_eq!(answer.len(), 2);
    assert!((answer[0].score - idf(2.0) - idf(1.0)).abs() < 1e-6);
    assert!((answer[1].score - idf(2.0)).abs() < 1e-6);

    let fused = Query {
        prefetch: vec![nearest(&[1.0, 0.0], 2), words(&[8, 9])],
        kind: QueryKind::Fusion(Fusion::Rrf {
            k: 2.0,
            weights: Vec::new(),
        }),
        limit: 10,
        ..Query::default()
    };
    let answer = collection.query(&fused).unwrap().points;
    let scores: Vec<(u64, f32)> = answer
        .iter()
        .map(|point| match point.id {
            PointId::Num(id) => (id, point.score),
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(scores[0].0, 2, "second in both lists: {scores:?}");
    assert!((scores[0].1 - 2.0 / 3.0).abs() < 1e-6, "{scores:?}");
    assert_eq!(answer[0].score_parts.len(), 2);
    // A filter of the whole query holds in the lists.
    let only = Filter::one(Condition::HasId([PointId::Num(3)].into()));
    assert_eq!(
        ids(
            &collection,
            &Query {
                filter: Some(only),
                ..fused
            }
        ),
        [3]
    );
}

#[test]
fn points_can_lack_vectors_and_stand_for_their_vector() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", hybrid(2)).unwrap();
    let mut bare = point(1, &[1.0, 0.0], json!({}));
    bare.vectors.clear();
    node.upsert(
        "c",
        vec![
            bare,
            point(2, &[1.0, 0.0], json!({})),
            point(3, &[0.8, 0.6], json!({})),
        ],
    )
    .unwrap();
    let collection = node.collection("c").unwrap();
    assert_eq!(ids(&collection, &nearest(&[1.0, 0.0], 10)), [2, 3]);
    let like = |id| Query {
        kind: QueryKind::Nearest(QueryVector::Point {
            id: PointId::Num(id),
            using: None,
        }),
        limit: 10,
        ..Query::default()
    };
    assert_eq!(ids(&collection, &like(2)), [3]);
    assert_eq!(
        collection.query(&like(1)).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        collection.query(&like(99)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let has = Filter::one(Condition::HasVector(String::new()));
    assert_eq!(collection.count(Some(&has)).unwrap(), 2);
}

#[test]
fn bad_points_are_refused_whole_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(2, Metric::L2, None))
        .unwrap();
    let check = |bad: Vec<f32>, expected: &str| {
        let points = vec![point(1, &[0.0, 0.0], json!({})), point(7, &bad, json!({}))];
        let error = node.upsert("c", points).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("item 2 of 2 (id 7)"), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(
            node.collection("c").unwrap().count(None).unwrap(),
            0,
            "the good one was not stored either"
        );
    };
    check(vec![1.0], "expected dim: 2, got 1");
    check(vec![1.0, f32::NAN], "position 1 is NaN");
    check(vec![f32::INFINITY, 0.0], "position 0 is inf");
    assert_eq!(
        node.upsert("nowhere", Vec::new()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(
        node.collection("nowhere")
            .err()
            .unwrap()
            .to_string()
            .contains("doesn't exist")
    );
}

#[test]
fn media_are_kept_with_their_point() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    let mut with = point(1, &[1.0], json!({}));
    let picture: Vec<u8> = (0..5000u32).map(|n| (n * 7) as u8).collect();
    with.media = vec![
        Media {
            kind: MediaKind::Text,
            content_type: "text/plain".into(),
            bytes: b"a pear".as_slice().into(),
        },
        Media {
            kind: MediaKind::Image,
            content_type: "image/png".into(),
            bytes: picture.into(),
        },
    ];
    let expected = with.media.clone();
    node.upsert("c", vec![with, point(2, &[1.0], json!({}))])
        .unwrap();
    drop(node);
    let node = open(dir.path());
    let collection = node.collection("c").unwrap();
    let (text, image) = (MediaKind::Text, MediaKind::Image);
    let kinds = |id| collection.media_kinds(&PointId::Num(id));
    let media = |id, kind| collection.media(&PointId::Num(id), kind);
    assert_eq!(kinds(1).unwrap(), [text, image]);
    assert_eq!(kinds(2).unwrap(), []);
    assert_eq!(kinds(3).unwrap_err().kind(), ErrorKind::NotFound);
    for medium in expected {
        let kind = medium.kind;
        assert_eq!(media(1, kind).unwrap(), Some(medium));
        assert_eq!(media(2, kind).unwrap(), None);
        assert_eq!(media(3, kind).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn a_sample_is_of_living_points_without_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path());
    node.create_collection("c", dense(1, Metric::L2, None))
        .unwrap();
    node.upsert(
        "c",
        (0..50).map(|id| point(id, &[0.0], json!({}))).collect(),
    )
    .unwrap();
    node.delete("c", &[PointId::Num(7)]).unwrap();
    let collection = node.collection("c").unwrap();
    let query = |limit| Query {
        kind: QueryKind::Sample,
        limit,
        ..Query::default()
    };
    let mut all = ids(&collection, &query(100));
    all.sort_unstable();
    assert_eq!(all, (0..50).filter(|id| *id != 7).collect::<Vec<_>>());
    assert_eq!(ids(&collection, &query(5)).len(), 5);
}
