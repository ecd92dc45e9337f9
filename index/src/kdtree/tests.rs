//! The tree must answer what a scan answers, bit for bit, whatever the rows.

use proptest::prelude::*;

use super::*;
use crate::{BitSet, build, scan};

const METRICS: [Metric; 3] = [Metric::L2, Metric::L1, Metric::LInf];

fn check(rows: &Rows, query: &[f32], params: &SearchParams<'_>) {
    for metric in METRICS {
        let tree = build(IndexKind::KdTree, metric, rows.clone()).unwrap();
        let answer = tree.search(query, params, &mut Stats::default()).unwrap();
        let expected = scan(
            metric,
            query,
            rows.as_slice(),
            rows.dim(),
            params,
            &mut Stats::default(),
        );
        assert_eq!(
            answer,
            expected,
            "{metric:?}, dim {}, n {}, {query:?}, k {}",
            rows.dim(),
            rows.len(),
            params.k
        );
    }
}

/// Coordinates with many ties, or over the whole range of sizes.
fn coordinate() -> impl Strategy<Value = f32> {
    let grid = (-4i8..4).prop_map(f32::from);
    let sized = (-1f32..1.0, -45i32..39).prop_map(|(x, exponent)| x * 10f32.powi(exponent));
    let odd = prop::sample::select(vec![
        0.0,
        -0.0,
        f32::MAX,
        -f32::MAX,
        1e30,
        1e19,
        1e-30,
        1e-45,
    ]);
    prop_oneof![20 => grid, 10 => -1f32..1.0, 2 => sized.prop_filter("finite", |x| x.is_finite()), 1 => odd]
}

fn tame_coordinate() -> impl Strategy<Value = f32> {
    prop_oneof![1 => (-4i8..4).prop_map(f32::from), 1 => -1f32..1.0, 1 => (-1000i16..1000).prop_map(|x| f32::from(x) * 1e-21)]
}

fn case(coordinate: impl Strategy<Value = f32> + Clone) -> impl Strategy<Value = (Rows, Vec<f32>)> {
    case_of(1..=8, coordinate)
}

fn case_of(
    dims: std::ops::RangeInclusive<usize>,
    coordinate: impl Strategy<Value = f32> + Clone,
) -> impl Strategy<Value = (Rows, Vec<f32>)> {
    (dims, 1usize..400).prop_flat_map(move |(dim, n)| {
        let rows = prop::collection::vec(coordinate.clone(), dim * n)
            .prop_map(move |values| Rows::new(dim, values));
        (rows, prop::collection::vec(coordinate.clone(), dim))
    })
}

/// A box around the query, thin along some axes and open along others.
fn check_in_box(rows: &Rows, query: &[f32], seed: u64, filter: Option<&BitSet>) {
    let mut random = crate::random::Random::new(seed);
    let mut half = || match random.below(4) {
        0 => f32::INFINITY,
        1 => 0.0,
        2 => random.signed_unit().abs() * 0.1,
        _ => random.signed_unit() * 4.0 + 2.0,
    };
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for x in query {
        low.push(x - half());
        high.push(x + half());
    }
    let expected: Vec<Offset> = (0..rows.len() as Offset)
        .filter(|&offset| filter.is_none_or(|filter| filter.contains(offset)))
        .filter(|&offset| {
            let row = rows.row(offset).iter();
            row.zip(low.iter().zip(&high))
                .all(|(x, (low, high))| low <= x && x <= high)
        })
        .collect();
    for metric in METRICS {
        let tree = crate::build_spatial(metric, rows.clone()).unwrap();
        let found = tree
            .in_box(&low, &high, filter, &mut Stats::default())
            .unwrap();
        assert_eq!(found, expected, "{metric:?} {low:?} {high:?}");
    }
}

/// The radius query of every metric, from no row to all of them.
fn check_within(rows: &Rows, query: &[f32], filter: Option<&BitSet>) {
    for metric in METRICS {
        let tree = crate::build_spatial(metric, rows.clone()).unwrap();
        let all = SearchParams {
            k: usize::MAX,
            filter,
            ..SearchParams::default()
        };
        let sorted = scan(
            metric,
            query,
            rows.as_slice(),
            rows.dim(),
            &all,
            &mut Stats::default(),
        );
        for most in [0, 1, 5, 50, sorted.len()] {
            let Some(radius) = sorted.get(most.min(sorted.len().wrapping_sub(1))) else {
                continue;
            };
            let found = tree
                .within(query, radius.distance, filter, &mut Stats::default())
                .unwrap();
            let expected = sorted.partition_point(|neighbor| neighbor.distance <= radius.distance);
            assert_eq!(
                found,
                sorted[..expected],
                "{metric:?} within {}",
                radius.distance
            );
        }
    }
}

fn some_of(rows: &Rows, keep: Option<u32>) -> Option<BitSet> {
    let kept = |keep: u32| {
        (0..rows.len() as Offset)
            .filter(move |i| i.wrapping_mul(2_654_435_769) >> 16 < 65_536 / keep)
    };
    keep.map(|keep| BitSet::from_offsets(rows.len(), kept(keep)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn projected_equals_scan((rows, query) in case_of(9..=32, tame_coordinate().boxed()), k in prop_oneof![1usize..20, Just(usize::MAX)], bound in prop::option::of(0f32..50.0), keep in prop::option::of(1u32..20)) {
        let filter = some_of(&rows, keep);
        check(&rows, &query, &SearchParams { k, filter: filter.as_ref(), max_distance: bound, ..SearchParams::default() });
    }

    #[test]
    fn projected_equals_scan_with_huge_and_tiny_numbers((rows, query) in case_of(9..=20, coordinate().boxed()), k in 1usize..20) {
        check(&rows, &query, &SearchParams::new(k));
    }

    #[test]
    fn all_within_a_distance((rows, query) in case_of(1..=12, tame_coordinate().boxed()), keep in prop::option::of(1u32..20)) {
        check_within(&rows, &query, some_of(&rows, keep).as_ref());
    }

    #[test]
    fn all_in_a_box((rows, query) in case_of(1..=12, tame_coordinate().boxed()), seed: u64, keep in prop::option::of(1u32..4)) {
        check_in_box(&rows, &query, seed, some_of(&rows, keep).as_ref());
    }

    #[test]
    fn all_in_a_box_with_huge_and_tiny_numbers((rows, query) in case_of(1..=12, coordinate().boxed()), seed: u64) {
        check_in_box(&rows, &query, seed, None);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn equals_scan((rows, query) in case(tame_coordinate().boxed()), k in prop_oneof![1usize..20, Just(usize::MAX)], bound in prop::option::of(0f32..5.0), keep in prop::option::of(1u32..20)) {
        let filter = keep.map(|keep| BitSet::from_offsets(rows.len(), (0..rows.len() as Offset).filter(|i| i.wrapping_mul(2_654_435_769) >> 16 < 65_536 / keep)));
        check(&rows, &query, &SearchParams { k, filter: filter.as_ref(), max_distance: bound, ..SearchParams::default() });
    }

    #[test]
    fn equals_scan_with_huge_and_tiny_numbers((rows, query) in case(coordinate().boxed()), k in 1usize..20) {
        check(&rows, &query, &SearchParams::new(k));
    }
}

#[test]
fn duplicates_are_ordered_by_offset() {
    for dim in 1..=8 {
        // 5,000 rows at one place, 5,000 at another: far more than a leaf holds.
        let values: Vec<f32> = (0..10_000)
            .flat_map(|i| vec![(i % 2) as f32; dim])
            .collect();
        let rows = Rows::new(dim, values);
        let tree = build(IndexKind::KdTree, Metric::L2, rows.clone()).unwrap();
        let answer = tree
            .search(
                &vec![0.1; dim],
                &SearchParams::new(10),
                &mut Stats::default(),
            )
            .unwrap();
        assert!(
            answer
                .iter()
                .map(|neighbor| neighbor.offset)
                .eq((0..20).step_by(2)),
            "dim {dim}: {answer:?}"
        );
        check(&rows, &vec![0.5; dim], &SearchParams::new(40));
        check(
            &Rows::new(dim, vec![0.0; dim * 10_000]),
            &vec![-0.0; dim],
            &SearchParams::new(10),
        );
    }
}

#[test]
fn one_column_without_spread() {
    let values: Vec<f32> = (0..3_000)
        .flat_map(|i| [7.0, (i % 50) as f32, -0.0])
        .collect();
    check(
        &Rows::new(3, values),
        &[7.0, 11.2, 0.0],
        &SearchParams::new(100),
    );
}

#[test]
fn rare_and_contrary_filters() {
    let n = 20_000u32;
    let values: Vec<f32> = (0..n)
        .flat_map(|i| [(i % 100) as f32, (i / 100) as f32])
        .collect();
    let rows = Rows::new(2, values);
    let check_filter = |keep: &dyn Fn(u32) -> bool| {
        let filter = BitSet::from_offsets(n as usize, (0..n).filter(|&i| keep(i)));
        for k in [1, 10, 1_000] {
            check(
                &rows,
                &[3.0, 3.0],
                &SearchParams {
                    k,
                    filter: Some(&filter),
                    ..SearchParams::default()
                },
            );
        }
    };
    check_filter(&|_| true);
    check_filter(&|_| false);
    check_filter(&|i| i % 2 == 0);
    check_filter(&|i| i % 97 == 0);
    check_filter(&|i| i == 19_999);
    check_filter(&|i| i > n / 2); // none of the near half
}

#[test]
fn nothing_to_find() {
    check(&Rows::new(3, vec![]), &[0.0; 3], &SearchParams::new(5));
    check(
        &Rows::new(3, vec![1.0; 300]),
        &[0.0; 3],
        &SearchParams::new(0),
    );
    check(
        &Rows::new(3, vec![1.0; 300]),
        &[0.0; 3],
        &SearchParams {
            max_distance: Some(-1.0),
            ..SearchParams::new(5)
        },
    );
}

#[test]
fn huge_numbers_are_scanned() {
    let mut values: Vec<f32> = (0..3_000).map(|i| i as f32).collect();
    let visited = |values: &[f32], query: &[f32]| {
        let tree = build(IndexKind::KdTree, Metric::L2, Rows::new(3, values.to_vec())).unwrap();
        let mut stats = Stats::default();
        tree.search(query, &SearchParams::new(10), &mut stats)
            .unwrap();
        stats.visited
    };
    assert!(visited(&values, &[7.0; 3]) < 100);
    assert_eq!(visited(&values, &[7.0, 1e30, 7.0]), 1_000);
    values[100] = -1e30;
    assert_eq!(visited(&values, &[7.0; 3]), 1_000);
}

/// Enough rows that trees are worth it: proptest's cases are small.
#[test]
fn many_rows_by_distance_and_in_boxes() {
    let n = 30_000;
    for dim in [1, 2, 3, 5, 8, 9, 16, 32] {
        let mut random = crate::random::Random::new(dim as u64);
        // A thousand clusters.
        let centres: Vec<f32> = (0..1_000 * dim)
            .map(|_| random.signed_unit() * 10.0)
            .collect();
        let mut values = Vec::new();
        for i in 0..n {
            let centre = &centres[i % 1_000 * dim..][..dim];
            values.extend(centre.iter().map(|x| x + 0.1 * random.signed_unit()));
        }
        let rows = Rows::new(dim, values);
        let query = rows.row(12_345).to_vec();
        for keep in [None, Some(2), Some(300)] {
            let filter = some_of(&rows, keep);
            check_within(&rows, &query, filter.as_ref());
            (0..8).for_each(|seed| check_in_box(&rows, &query, seed, filter.as_ref()));
            let params = SearchParams {
                k: 10,
                filter: filter.as_ref(),
                ..SearchParams::default()
            };
            check(&rows, &query, &params);
        }
        let tree = crate::build_spatial(Metric::L2, rows.clone()).unwrap();
        let visited = |work: &dyn Fn(&mut Stats)| {
            let mut stats = Stats::default();
            work(&mut stats);
            stats.visited
        };
        if dim > 1 {
            let nearest = |stats: &mut Stats| {
                tree.search(&query, &SearchParams::new(10), stats).unwrap();
            };
            assert!(visited(&nearest) < 3_000, "dim {dim}");
            let radius = 0.01 * dim as f32;
            let ball = |stats: &mut Stats| {
                assert!(tree.within(&query, radius, None, stats).unwrap().len() > 5);
            };
            assert!(visited(&ball) < 3_000, "dim {dim}: {}", visited(&ball));
            let [low, high] =
                [-0.2, 0.2].map(|by| query.iter().map(|x| x + by).collect::<Vec<f32>>());
            let square = |stats: &mut Stats| {
                assert!(tree.in_box(&low, &high, None, stats).unwrap().len() >= 30);
            };
            assert!(visited(&square) < 10_000, "dim {dim}: {}", visited(&square));
        }
    }
}

#[test]
fn boxes_that_do_not_fit() {
    use crate::SearchError;
    for dim in [2, 12] {
        let tree = crate::build_spatial(Metric::L2, Rows::new(dim, vec![0.0; dim * 40])).unwrap();
        let in_box =
            |low: &[f32], high: &[f32]| tree.in_box(low, high, None, &mut Stats::default());
        let (zero, one) = (vec![0.0; dim], vec![1.0; dim]);
        let mut nan = one.clone();
        nan[1] = f32::NAN;
        assert_eq!(
            in_box(&zero, &nan),
            Err(SearchError::NotFinite { component: 1 })
        );
        assert_eq!(
            in_box(&nan, &one),
            Err(SearchError::NotFinite { component: 1 })
        );
        let short = Err(SearchError::DimMismatch {
            wanted: dim,
            got: 1,
        });
        assert_eq!(in_box(&zero, &[1.0]), short);
        assert_eq!(in_box(&one, &zero), Ok(vec![]));
        assert_eq!(in_box(&zero, &zero).unwrap().len(), 40);
        let filter = BitSet::full(3);
        let refused = tree.in_box(&zero, &one, Some(&filter), &mut Stats::default());
        assert_eq!(
            refused,
            Err(SearchError::FilterLength { wanted: 40, got: 3 })
        );
    }
}

/// A few thousand places in the Alps and everywhere: poles and the meridian at 180 degrees included.
fn places() -> Vec<crate::GeoPoint> {
    let mut random = crate::random::Random::new(9);
    let mut places = Vec::new();
    for i in 0..6_000 {
        let (mut lat, mut lon) = (random.signed_unit() as f64, random.signed_unit() as f64);
        (lat, lon) = match i % 6 {
            0 => (46.0 + lat, 8.0 + lon),
            1 => (90.0 - 0.5 * lat.abs(), 180.0 * lon),
            2 => (-90.0 + 0.5 * lat.abs(), 180.0 * lon),
            3 => (10.0 * lat, (180.0 - lon.abs()) * lon.signum()),
            4 => ((lat * 18.0).round() * 5.0, (lon * 18.0).round() * 10.0),
            _ => (90.0 * lat, 180.0 * lon),
        };
        places.push(crate::GeoPoint::new(lat, lon).unwrap());
    }
    places
}

#[test]
fn places_by_distance() {
    let places = places();
    let index = crate::GeoIndex::new(places.clone()).unwrap();
    let odd = BitSet::from_offsets(
        places.len(),
        (0..places.len() as Offset).filter(|i| i % 2 == 1),
    );
    let centres = [
        (46.5, 8.2),
        (90.0, 0.0),
        (-89.9, 77.0),
        (0.5, 180.0),
        (0.5, -179.9),
        (20.0, 30.0),
    ];
    for (lat, lon) in centres {
        let centre = crate::GeoPoint::new(lat, lon).unwrap();
        let all: Vec<f64> = places
            .iter()
            .map(|place| centre.distance_m(*place))
            .collect();
        for filter in [None, Some(&odd)] {
            let passes = |offset: &Offset| filter.is_none_or(|filter| filter.contains(*offset));
            let offsets = || (0..places.len() as Offset).filter(passes);
            let stats = &mut Stats::default();
            for radius in [
                -1.0,
                0.0,
                1.0,
                1_000.0,
                50_000.0,
                all[17],
                3e6,
                2.1e7,
                1e9,
                f64::NAN,
            ] {
                let found = index.in_radius(centre, radius, filter, stats).unwrap();
                let expected = offsets().filter(|&i| all[i as usize] <= radius);
                assert!(expected.eq(found.iter().copied()), "{lat} {lon} {radius}");
            }
            for k in [0, 1, 10, 100, 10_000] {
                let found = index.nearest(centre, k, filter, stats).unwrap();
                let mut expected: Vec<(f64, Offset)> =
                    offsets().map(|i| (all[i as usize], i)).collect();
                expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                expected.truncate(k);
                let found = found.iter().map(|near| (near.distance_m, near.offset));
                assert!(found.eq(expected), "{lat} {lon} {k}");
            }
        }
    }
    let mut stats = Stats::default();
    let centre = crate::GeoPoint::new(46.0, 8.0).unwrap();
    index.in_radius(centre, 10_000.0, None, &mut stats).unwrap();
    assert!(stats.visited < 500, "{stats:?}");
}

#[test]
fn places_in_boxes() {
    let places = places();
    let index = crate::GeoIndex::new(places.clone()).unwrap();
    let mut visited = 0;
    let mut check = |[south, north, west, east]: [f64; 4]| {
        let area = crate::GeoBox {
            south,
            north,
            west,
            east,
        };
        let is_inside = |place: &crate::GeoPoint| {
            // The date line has two names, a pole all of them.
            let names: &[f64] = match (place.lat(), place.lon()) {
                (-90.0 | 90.0, _) => &[west],
                (_, -180.0 | 180.0) => &[-180.0, 180.0],
                (_, lon) => &[lon],
            };
            let between = names.iter().any(|&lon| {
                if west <= east {
                    west <= lon && lon <= east
                } else {
                    west <= lon || lon <= east
                }
            });
            between && south <= place.lat() && place.lat() <= north
        };
        let mut stats = Stats::default();
        let found = index.in_box(&area, None, &mut stats).unwrap();
        let expected = (0..).zip(&places).filter(|(_, place)| is_inside(place));
        assert!(
            expected
                .map(|(i, _): (Offset, _)| i)
                .eq(found.iter().copied()),
            "{area:?}"
        );
        visited = stats.visited;
    };
    check([45.5, 46.5, 7.5, 8.5]);
    check([-90.0, 90.0, -180.0, 180.0]);
    check([89.0, 90.0, -180.0, 180.0]);
    check([89.0, 90.0, 170.0, -170.0]);
    check([-90.0, -89.9, 10.0, 20.0]);
    check([-10.0, 10.0, 179.0, -179.0]);
    check([-10.0, 10.0, 20.0, 10.0]);
    check([-10.0, 10.0, -180.0, -180.0]);
    check([-10.0, 10.0, 180.0, 180.0]);
    check([-10.0, 10.0, 170.0, 180.0]);
    check([-90.0, -90.0, 10.0, 20.0]);
    check([45.0, 45.0, -30.0, 30.0]);
    check([50.0, 40.0, -30.0, 30.0]);
    check([f64::NAN, 40.0, -30.0, 30.0]);
    check([-1000.0, 1000.0, -1000.0, 1000.0]);
    let mut random = crate::random::Random::new(4);
    for _ in 0..300 {
        let lats = [0; 2].map(|_| f64::from(random.signed_unit()) * 90.0);
        let lons = [0; 2].map(|_| f64::from(random.signed_unit()) * 180.0);
        check([lats[0].min(lats[1]), lats[0].max(lats[1]), lons[0], lons[1]]);
    }
    check([46.0, 46.1, 8.0, 8.1]);
    assert!(visited < 500, "{visited}");
    assert!(crate::GeoPoint::new(90.1, 0.0).is_err());
    assert!(
        crate::GeoPoint::new(f64::NAN, 0.0)
            .unwrap_err()
            .to_string()
            .contains("-90 to 90")
    );
}

/// Trees over a projection: duplicates, one column without spread, and rows far from zero, where the mean is rounded.
#[test]
fn projected_rows_of_every_kind() {
    let mut random = crate::random::Random::new(11);
    for dim in [9, 17, 32] {
        // A plane in space, and one along two coordinates: the bounds are as large as they may be.
        let turned: Vec<f32> = (0..2 * dim).map(|_| random.signed_unit()).collect();
        for sparse in [false, true] {
            let mut on_plane = |n: usize| {
                let mut values = Vec::new();
                for _ in 0..n {
                    let (x, y) = (random.signed_unit(), random.signed_unit());
                    values.extend((0..dim).map(|i| match i {
                        _ if !sparse => x * turned[i] + y * turned[dim + i],
                        3 => x,
                        7 => y,
                        _ => 0.5,
                    }));
                }
                values
            };
            let (rows, queries) = (Rows::new(dim, on_plane(6_000)), on_plane(20));
            for query in queries.chunks(dim) {
                check(&rows, query, &SearchParams::new(30));
            }
        }
        check(
            &Rows::new(dim, vec![0.5; dim * 3_000]),
            &vec![0.25; dim],
            &SearchParams::new(20),
        );
        let far: Vec<f32> = (0..dim * 3_000)
            .map(|_| 1e6 + random.signed_unit())
            .collect();
        check(
            &Rows::new(dim, far),
            &vec![1e6; dim],
            &SearchParams::new(20),
        );
        let halves = (0..3_000).flat_map(|i| vec![(i % 2) as f32; dim]);
        check(
            &Rows::new(dim, halves.collect()),
            &vec![0.1; dim],
            &SearchParams::new(1_700),
        );
        check(
            &Rows::new(dim, vec![]),
            &vec![0.1; dim],
            &SearchParams::new(3),
        );
        let tiny: Vec<f32> = (0..dim * 3_000)
            .map(|_| random.signed_unit() * 1e-22)
            .collect();
        check(
            &Rows::new(dim, tiny),
            &vec![0.0; dim],
            &SearchParams::new(20),
        );
    }
}
