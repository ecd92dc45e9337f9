use index::{EARTH_RADIUS_M, GeoIndex, Stats};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(lon: f64, lat: f64) -> GeoPoint {
    GeoPoint::new(lat, lon).unwrap()
}

/// The ring through these corners, longitude first, and back to the first.
fn ring(corners: &[(f64, f64)]) -> Vec<GeoPoint> {
    let closed = corners.iter().chain(&corners[..1]);
    closed.map(|&(lon, lat)| at(lon, lat)).collect()
}

#[test]
fn places_in_payloads() {
    fn check(value: Value, expected: Option<(f64, f64)>) {
        let found = place(&value).map(|place| (place.lon(), place.lat()));
        assert_eq!(found, expected, "{value}");
    }
    check(json!({"lon": 13.4, "lat": 52.5}), Some((13.4, 52.5)));
    check(json!({"lat": -90, "lon": 180}), Some((180.0, -90.0)));
    check(json!({"lon": 1, "lat": 2, "name": "x"}), Some((1.0, 2.0)));
    check(json!({"lon": 180.1, "lat": 0}), None);
    check(json!({"lon": 0, "lat": -90.1}), None);
    check(json!({"lon": 0}), None);
    check(json!({"lat": 0}), None);
    check(json!({"lon": "13.4", "lat": 52.5}), None);
    check(json!({"lon": null, "lat": 52.5}), None);
    check(json!({"lon": [13.4], "lat": 52.5}), None);
    check(json!([13.4, 52.5]), None);
    check(json!("13.4 52.5"), None);
    check(json!(13.4), None);
    check(json!(null), None);
}

#[test]
fn circles() {
    fn check(center: (f64, f64), radius_m: f64, place: (f64, f64), expected: bool) {
        let circle = GeoCircle::new(at(center.0, center.1), radius_m).unwrap();
        let found = circle.contains(at(place.0, place.1));
        assert_eq!(found, expected, "{circle:?} {place:?}");
    }
    let (berlin, paris) = ((13.405, 52.52), (2.3522, 48.8566));
    check(berlin, 877_000.0, paris, false);
    check(berlin, 878_000.0, paris, true);
    let degree_m = EARTH_RADIUS_M.to_radians();
    // Over the date line and over a pole.
    check((179.5, 0.0), 1.001 * degree_m, (-179.5, 0.0), true);
    check((179.5, 0.0), 0.999 * degree_m, (-179.5, 0.0), false);
    check((0.0, 89.5), 1.001 * degree_m, (180.0, 89.5), true);
    check((0.0, 89.5), 0.999 * degree_m, (180.0, 89.5), false);
    // The border belongs to it.
    let exact_m = at(13.405, 52.52).distance_m(at(2.3522, 48.8566));
    check(berlin, exact_m, paris, true);
    check(berlin, exact_m.next_down(), paris, false);
    check(berlin, 0.0, berlin, true);
    check(berlin, 0.0, paris, false);
    check(berlin, 1e300, paris, true);
}

#[test]
fn boxes() {
    fn check(corners: [(f64, f64); 2], place: (f64, f64), expected: bool) {
        let [top_left, bottom_right] = corners.map(|(lon, lat)| at(lon, lat));
        let bounds = GeoBounds::new(top_left, bottom_right).unwrap();
        let found = bounds.contains(at(place.0, place.1));
        assert_eq!(found, expected, "{bounds:?} {place:?}");
    }
    let plain = [(10.0, 50.0), (20.0, 40.0)];
    check(plain, (15.0, 45.0), true);
    check(plain, (10.0, 50.0), true);
    check(plain, (20.0, 40.0), true);
    check(plain, (9.9, 45.0), false);
    check(plain, (20.1, 45.0), false);
    check(plain, (15.0, 50.1), false);
    check(plain, (15.0, 39.9), false);
    let over_date_line = [(170.0, 10.0), (-170.0, -10.0)];
    check(over_date_line, (175.0, 0.0), true);
    check(over_date_line, (-175.0, 0.0), true);
    check(over_date_line, (180.0, 0.0), true);
    check(over_date_line, (-180.0, 0.0), true);
    check(over_date_line, (170.0, 10.0), true);
    check(over_date_line, (-170.0, -10.0), true);
    check(over_date_line, (169.0, 0.0), false);
    check(over_date_line, (-169.0, 0.0), false);
    check(over_date_line, (0.0, 0.0), false);
    check(over_date_line, (175.0, 11.0), false);
    check([(5.0, 5.0), (5.0, 5.0)], (5.0, 5.0), true);
}

#[test]
fn polygons() {
    fn check(exterior: &[(f64, f64)], holes: &[&[(f64, f64)]], place: (f64, f64), expected: bool) {
        let interiors = || holes.iter().map(|hole| ring(hole)).collect();
        let polygon = GeoPolygon::new(ring(exterior), interiors()).unwrap();
        let found = polygon.contains(at(place.0, place.1));
        assert_eq!(found, expected, "{polygon:?} {place:?}");
        let turned: Vec<_> = exterior.iter().rev().copied().collect();
        let polygon = GeoPolygon::new(ring(&turned), interiors()).unwrap();
        let found = polygon.contains(at(place.0, place.1));
        assert_eq!(found, expected, "turned: {polygon:?} {place:?}");
    }
    let square: &[_] = &[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)];
    check(square, &[], (5.0, 5.0), true);
    check(square, &[], (11.0, 5.0), false);
    check(square, &[], (-1.0, 5.0), false);
    check(square, &[], (5.0, 11.0), false);
    check(square, &[], (5.0, -1.0), false);
    for corner in square {
        check(square, &[], *corner, true);
    }
    for middle in [(5.0, 0.0), (10.0, 5.0), (5.0, 10.0), (0.0, 5.0)] {
        check(square, &[], middle, true);
    }
    // On the line of an edge, beyond its ends.
    for beyond in [(-1.0, 0.0), (11.0, 0.0), (-1.0, 10.0), (10.0, 11.0)] {
        check(square, &[], beyond, false);
    }

    let hole: &[_] = &[(4.0, 4.0), (6.0, 4.0), (6.0, 6.0), (4.0, 6.0)];
    let other: &[_] = &[(1.0, 1.0), (2.0, 1.0), (1.0, 2.0)];
    check(square, &[hole, other], (5.0, 5.0), false);
    check(square, &[hole, other], (1.2, 1.2), false);
    check(square, &[hole, other], (3.0, 5.0), true);
    check(square, &[hole, other], (6.0, 5.0), true);
    check(square, &[hole, other], (4.0, 4.0), true);
    check(square, &[hole, other], (11.0, 11.0), false);

    // A ray to the east meets the corners of a diamond, and the notch of an M from below.
    let diamond: &[_] = &[(0.0, -2.0), (2.0, 0.0), (0.0, 2.0), (-2.0, 0.0)];
    check(diamond, &[], (0.0, 0.0), true);
    check(diamond, &[], (-3.0, 0.0), false);
    check(diamond, &[], (-3.0, 2.0), false);
    check(diamond, &[], (-3.0, -2.0), false);
    check(diamond, &[], (1.0, 1.0), true);
    let notched: &[_] = &[(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 2.0), (0.0, 4.0)];
    check(notched, &[], (1.0, 2.0), true);
    check(notched, &[], (3.0, 2.0), true);
    check(notched, &[], (2.0, 2.0), true);
    check(notched, &[], (2.0, 3.0), false);
    check(notched, &[], (-1.0, 2.0), false);

    // An edge goes the long way, not over the date line.
    let wide: &[_] = &[(170.0, -5.0), (170.0, 5.0), (-170.0, 5.0), (-170.0, -5.0)];
    check(wide, &[], (0.0, 0.0), true);
    check(wide, &[], (175.0, 0.0), false);
    let five_points: &[_] = &[
        (0.0, 3.0),
        (2.0, -3.0),
        (-3.0, 1.0),
        (3.0, 1.0),
        (-2.0, -3.0),
    ];
    check(five_points, &[], (0.0, 2.0), true);
    check(five_points, &[], (0.0, 0.0), false);
    // No area: the line itself.
    let flat: &[_] = &[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)];
    check(flat, &[], (1.5, 1.5), true);
    check(flat, &[], (1.5, 1.0), false);
}

#[test]
fn what_is_no_area_is_refused() {
    fn check<T: std::fmt::Debug>(made: Result<T>, part: &str) {
        let error = made.unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(part), "{error}");
    }
    for radius_m in [-1.0, f64::NAN, f64::INFINITY] {
        check(GeoCircle::new(at(0.0, 0.0), radius_m), "0 or more");
    }
    check(
        GeoBounds::new(at(0.0, 1.0), at(1.0, 2.0)),
        "top_left: lat 1 is south of bottom_right, lat 2",
    );
    let triangle = || ring(&[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]);
    let open = || triangle()[..3].to_vec();
    let line = || ring(&[(0.0, 0.0), (1.0, 0.0)]);
    check(
        GeoPolygon::new(Vec::new(), Vec::new()),
        "exterior: it has no points",
    );
    check(
        GeoPolygon::new(open(), Vec::new()),
        "exterior: it begins at lon 0, lat 0 and ends at lon 0, lat 1: end it with its first point",
    );
    check(
        GeoPolygon::new(line(), Vec::new()),
        "exterior: 3 points enclose nothing: give 4 or more",
    );
    check(
        GeoPolygon::new(triangle(), vec![triangle(), line()]),
        "interiors[1]: 3 points",
    );
}

#[test]
fn what_is_read_back_is_checked() {
    fn check<T: std::fmt::Debug + serde::de::DeserializeOwned>(json: Value, part: &str) {
        let error = serde_json::from_value::<T>(json).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    check::<GeoCircle>(json!({"center": [0, 0], "radius_m": -1}), "0 or more");
    check::<GeoCircle>(json!({"center": [0, 91], "radius_m": 1}), "lat 91");
    check::<GeoCircle>(json!({"center": [0], "radius_m": 1}), "invalid length 1");
    check::<GeoCircle>(json!({"center": [0, "x"], "radius_m": 1}), "invalid type");
    check::<GeoBounds>(
        json!({"top_left": [0, 0], "bottom_right": [0, 1]}),
        "south of",
    );
    check::<GeoPolygon>(
        json!({"exterior": [[0, 0], [0, 1], [1]]}),
        "invalid length 1",
    );
    check::<GeoPolygon>(json!({"exterior": [[0, 0], [1, 1]]}), "end it with");
}

fn any_place() -> impl Strategy<Value = GeoPoint> {
    prop_oneof![
        // Many equal coordinates, so that borders are met, poles and date line too.
        (-12i32..=12, -6i32..=6)
            .prop_map(|(lon, lat)| at(f64::from(lon) * 15.0, f64::from(lat) * 15.0)),
        (-180.0..=180.0, -90.0..=90.0).prop_map(|(lon, lat)| at(lon, lat)),
    ]
}

fn on_grid() -> impl Strategy<Value = GeoPoint> {
    (-6i32..=6, -6i32..=6).prop_map(|(lon, lat)| at(f64::from(lon), f64::from(lat)))
}

fn offsets(places: &[GeoPoint], test: impl Fn(GeoPoint) -> bool) -> Vec<u32> {
    let passing = (0u32..).zip(places).filter(|(_, place)| test(**place));
    passing.map(|(offset, _)| offset).collect()
}

proptest! {
    #[test]
    fn circles_agree_with_the_index(
        places in proptest::collection::vec(any_place(), 1..100),
        center in any_place(),
        radius_m in prop_oneof![0.0..3e7, 0.0..1e6],
        exactly: bool,
    ) {
        let radius_m = if exactly { center.distance_m(places[0]) } else { radius_m };
        let circle = GeoCircle::new(center, radius_m).unwrap();
        let index = GeoIndex::new(places.clone()).unwrap();
        let expected = index.in_radius(center, radius_m, None, &mut Stats::default()).unwrap();
        prop_assert_eq!(offsets(&places, |place| circle.contains(place)), expected);
    }

    #[test]
    fn boxes_agree_with_the_index(
        places in proptest::collection::vec(any_place(), 1..100),
        [a, b] in [any_place(), any_place()],
    ) {
        let (north, south) = (a.lat().max(b.lat()), a.lat().min(b.lat()));
        let bounds = GeoBounds::new(at(a.lon(), north), at(b.lon(), south)).unwrap();
        let area = GeoBox { south, north, west: a.lon(), east: b.lon() };
        let index = GeoIndex::new(places.clone()).unwrap();
        let expected = index.in_box(&area, None, &mut Stats::default()).unwrap();
        prop_assert_eq!(offsets(&places, |place| bounds.contains(place)), expected);
    }

    #[test]
    fn a_rectangle_is_a_box(place in on_grid(), [a, b] in [on_grid(), on_grid()]) {
        let (north, south) = (a.lat().max(b.lat()), a.lat().min(b.lat()));
        let (west, east) = (a.lon().min(b.lon()), a.lon().max(b.lon()));
        let bounds = GeoBounds::new(at(west, north), at(east, south)).unwrap();
        // A plane knows nothing of the other names of poles and date line.
        prop_assume!(place.lat().abs() < 90.0 && place.lon().abs() < 180.0);
        let corners = [(west, south), (west, north), (east, north), (east, south)];
        let polygon = GeoPolygon::new(ring(&corners), Vec::new()).unwrap();
        prop_assert_eq!(polygon.contains(place), bounds.contains(place));
    }

    /// On a grid, sides of lines are exact.
    #[test]
    fn a_triangle_is_what_lies_on_one_side_of_its_edges(place in on_grid(), corners in [on_grid(), on_grid(), on_grid()]) {
        let left = |from: GeoPoint, to: GeoPoint, of: GeoPoint| {
            (to.lon() - from.lon()) * (of.lat() - from.lat()) - (to.lat() - from.lat()) * (of.lon() - from.lon())
        };
        let [a, b, c] = corners;
        prop_assume!(left(a, b, c) != 0.0);
        let sides = [left(a, b, place), left(b, c, place), left(c, a, place)];
        let expected = sides.iter().all(|&side| side >= 0.0) || sides.iter().all(|&side| side <= 0.0);
        let polygon = GeoPolygon::new(vec![a, b, c, a], Vec::new()).unwrap();
        prop_assert_eq!(polygon.contains(place), expected);
    }

    #[test]
    fn areas_are_read_back_exactly(places in proptest::collection::vec(any_place(), 3..20), radius_m in 0.0..3e7) {
        fn check<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(area: &T) {
            let json = serde_json::to_string(area).unwrap();
            assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), area, "{json}");
        }
        check(&GeoCircle::new(places[0], radius_m).unwrap());
        let (north, south) = (places[0].lat().max(places[1].lat()), places[0].lat().min(places[1].lat()));
        check(&GeoBounds::new(at(places[0].lon(), north), at(places[1].lon(), south)).unwrap());
        let mut closed = places.clone();
        closed.push(places[0]);
        check(&GeoPolygon::new(closed.clone(), Vec::new()).unwrap());
        check(&GeoPolygon::new(closed.clone(), vec![closed]).unwrap());
    }
}
