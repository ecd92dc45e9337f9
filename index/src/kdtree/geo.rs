//! Places on the globe: radius, box and nearest by great-circle distance.

use thiserror::Error;

use super::{KdTree, SpatialIndex};
use crate::{
    BitSet, BuildError, Metric, Offset, Rows, SearchError, SearchParams, Stats, VectorIndex,
};

/// The mean radius of the earth in metres (IUGG, R1): distances here are those on a sphere of this size.
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A place: degrees north and east.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GeoPoint {
    /// -90 to 90.
    lat: f64,
    /// -180 to 180.
    lon: f64,
}

/// Coordinates of no place.
#[derive(Copy, Clone, Debug, PartialEq, Error)]
#[error("lat {lat}, lon {lon} is no place: give lat -90 to 90 and lon -180 to 180, in degrees")]
pub struct GeoError {
    lat: f64,
    lon: f64,
}

impl GeoPoint {
    /// The place at these degrees.
    ///
    /// # Errors
    ///
    /// [`GeoError`] if `lat` is not in -90 to 90 or `lon` not in -180 to 180.
    pub fn new(lat: f64, lon: f64) -> Result<Self, GeoError> {
        if (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon) {
            Ok(Self { lat, lon })
        } else {
            Err(GeoError { lat, lon })
        }
    }

    /// Degrees north.
    pub fn lat(self) -> f64 {
        self.lat
    }

    /// Degrees east.
    pub fn lon(self) -> f64 {
        self.lon
    }

    /// The great-circle distance in metres, by the haversine formula (Sinnott, "Virtues of the haversine", 1984).
    pub fn distance_m(self, other: Self) -> f64 {
        let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let cosines = self.lat.to_radians().cos() * other.lat.to_radians().cos();
        let haversine = half(self.lat, other.lat) + cosines * half(self.lon, other.lon);
        2.0 * EARTH_RADIUS_M * haversine.clamp(0.0, 1.0).sqrt().asin()
    }

    /// Where it is on the sphere of radius 1.
    fn on_unit_sphere(self) -> [f32; 3] {
        let (lat, lon) = (self.lat.to_radians(), self.lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()].map(|x| x as f32)
    }
}

/// A box of degrees, its sides included. One whose `west` is larger than its `east` goes over the meridian at 180 degrees.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GeoBox {
    /// The least latitude.
    pub south: f64,
    /// The greatest latitude; a box with less than `south` is empty.
    pub north: f64,
    /// Where it begins, going east.
    pub west: f64,
    /// Where it ends.
    pub east: f64,
}

impl GeoBox {
    /// Whether the place lies in it. Longitudes of -180 and 180 degrees are one meridian, and a pole lies on all.
    pub fn contains(&self, point: GeoPoint) -> bool {
        let is_between = |lon: f64| {
            let (after_west, before_east) = (lon >= self.west, lon <= self.east);
            if self.west <= self.east {
                after_west && before_east
            } else {
                after_west || before_east
            }
        };
        let on_date_line = point.lon.abs() == 180.0;
        let is_pole = point.lat.abs() == 90.0;
        self.south <= point.lat
            && point.lat <= self.north
            && (is_between(point.lon) || (on_date_line && is_between(-point.lon)) || is_pole)
    }

    /// A box in space around its part of the unit sphere; `None` if it is empty or a side is not a number.
    fn in_space(&self) -> Option<[[f32; 3]; 2]> {
        let (south, north) = (self.south.max(-90.0), self.north.min(90.0));
        let sides = [self.south, self.north, self.west, self.east];
        if sides.iter().any(|side| side.is_nan()) || south > north {
            return None;
        }
        let (west, east) = (
            self.west.clamp(-180.0, 180.0),
            self.east.clamp(-180.0, 180.0),
        );
        let east = if self.west <= self.east {
            east
        } else {
            east + 360.0
        };
        let cosine = |degrees: f64| degrees.to_radians().cos();
        let widest = if south <= 0.0 && north >= 0.0 {
            1.0
        } else {
            cosine(south).max(cosine(north))
        };
        let lat = [cosine(south).min(cosine(north)).max(0.0), widest];
        let x = product(lat, cosines(west, east));
        // The sine is the cosine a quarter earlier.
        let y = product(lat, cosines(west - 90.0, east - 90.0));
        let z = [south, north].map(|lat| lat.to_radians().sin());
        let outward = |x: f64, by: f64| (x + by) as f32;
        Some([
            [x, y, z].map(|[low, _]| outward(low, -ROUNDING)),
            [x, y, z].map(|[_, high]| outward(high, ROUNDING)),
        ])
    }
}

/// How far a point of the unit sphere may be off after rounding to f32, with room: about six metres.
const ROUNDING: f64 = 1e-6;

/// The least and largest cosine of the degrees from `from` up to `to`.
fn cosines(from: f64, to: f64) -> [f64; 2] {
    let (a, b) = (from.to_radians().cos(), to.to_radians().cos());
    // Whether a whole number of turns from `degrees` lies in between.
    let meets =
        |degrees: f64| ((to - degrees) / 360.0).floor() >= ((from - degrees) / 360.0).ceil();
    [
        if meets(180.0) { -1.0 } else { a.min(b) },
        if meets(0.0) { 1.0 } else { a.max(b) },
    ]
}

/// The least and largest product of a number from each of two ranges.
fn product(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    let products = [a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]];
    [
        products.iter().copied().fold(f64::INFINITY, f64::min),
        products.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    ]
}

/// One place of an answer.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GeoNeighbor {
    /// Which place.
    pub offset: Offset,
    /// The great-circle distance in metres.
    pub distance_m: f64,
}

/// Places as points of the unit sphere in a k-d tree: the chord between two grows with the angle between them, so the ball around a place
/// holds what is near on the globe, over the poles and the meridian at 180 degrees too.
///
/// The tree brings candidates, with room for its rounding; distance and box are then computed in degrees, in f64. Answers are exact.
pub struct GeoIndex {
    points: Vec<GeoPoint>,
    tree: KdTree<3>,
}

impl GeoIndex {
    /// The index of these places. Time O(n log n).
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the tree refuses them.
    pub fn new(points: Vec<GeoPoint>) -> Result<Self, BuildError> {
        let values = points.iter().flat_map(|point| point.on_unit_sphere());
        let rows = Rows::new(3, values.collect());
        let tree = KdTree::new(Metric::L2, rows)?;
        Ok(Self { points, tree })
    }

    /// The number of places.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no place.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Returns the places that pass the filter and are not farther than `radius_m` metres, in ascending order.
    ///
    /// Time about O(log n + m) for m places.
    ///
    /// # Errors
    ///
    /// [`SearchError::FilterLength`].
    pub fn in_radius(
        &self,
        centre: GeoPoint,
        radius_m: f64,
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Result<Vec<Offset>, SearchError> {
        let near = self.candidates(centre, radius_m, filter, stats)?;
        let mut offsets: Vec<Offset> = near.iter().map(|neighbor| neighbor.offset).collect();
        offsets.sort_unstable();
        Ok(offsets)
    }

    /// Returns the places that pass the filter and lie in the box, in ascending order.
    ///
    /// # Errors
    ///
    /// [`SearchError::FilterLength`].
    pub fn in_box(
        &self,
        area: &GeoBox,
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Result<Vec<Offset>, SearchError> {
        let Some([low, high]) = area.in_space() else {
            return Ok(Vec::new());
        };
        let mut found = self.tree.in_box(&low, &high, filter, stats)?;
        found.retain(|&offset| area.contains(self.points[offset as usize]));
        Ok(found)
    }

    /// Returns the `k` nearest places that pass the filter, nearest first, equal distances by offset.
    ///
    /// # Errors
    ///
    /// [`SearchError::FilterLength`].
    pub fn nearest(
        &self,
        centre: GeoPoint,
        k: usize,
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Result<Vec<GeoNeighbor>, SearchError> {
        let params = SearchParams {
            k,
            filter,
            ..SearchParams::default()
        };
        // Their distances are those of rounded points; what is no farther than the farthest of them holds the true nearest.
        let about = self.tree.search(&centre.on_unit_sphere(), &params, stats)?;
        let distances = about
            .iter()
            .map(|neighbor| self.distance_m(centre, neighbor.offset));
        let Some(farthest) = distances.reduce(f64::max) else {
            return Ok(Vec::new());
        };
        let mut near = self.candidates(centre, farthest, filter, stats)?;
        near.sort_unstable_by(|a, b| {
            let by_distance = a.distance_m.total_cmp(&b.distance_m);
            by_distance.then(a.offset.cmp(&b.offset))
        });
        near.truncate(k);
        Ok(near)
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.points) + size_of_val(self.tree.rows.as_slice()) + self.tree.memory()
    }

    fn distance_m(&self, centre: GeoPoint, offset: Offset) -> f64 {
        centre.distance_m(self.points[offset as usize])
    }

    /// All places within a distance, in no order.
    fn candidates(
        &self,
        centre: GeoPoint,
        radius_m: f64,
        filter: Option<&BitSet>,
        stats: &mut Stats,
    ) -> Result<Vec<GeoNeighbor>, SearchError> {
        let half_angle = (radius_m / EARTH_RADIUS_M / 2.0).min(std::f64::consts::FRAC_PI_2);
        // NaN finds nothing.
        let chord = 2.0 * half_angle.sin() + 2.0 * ROUNDING;
        let squared = if radius_m >= 0.0 { chord * chord } else { -1.0 };
        let found = self
            .tree
            .within(&centre.on_unit_sphere(), squared as f32, filter, stats)?;
        let near = found
            .iter()
            .map(|&crate::Neighbor { offset, .. }| GeoNeighbor {
                offset,
                distance_m: self.distance_m(centre, offset),
            });
        Ok(near
            .filter(|neighbor| neighbor.distance_m <= radius_m)
            .collect())
    }
}
