//! Places in payloads, and the areas that conditions compare them with.
//!
//! A place is an object with the numbers `lon` (degrees east, -180 to 180) and `lat` (degrees north, -90 to 90), whatever else it
//! holds. Circle and box are those of `index::GeoIndex`: true on the globe. A polygon is planar, as in the API dialect. The borders
//! of all three belong to them.
//!
//! Serialized, a place is `[lon, lat]`. Values from outside the ranges are refused there too.

use index::GeoBox;
pub use index::GeoPoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// The fewest points of a ring: a triangle, and its first corner once more.
const RING_POINTS_MIN: usize = 4;

/// The place that a value of a payload names; `None` if it names none.
pub(super) fn place(value: &Value) -> Option<GeoPoint> {
    let degrees = |name| value.get(name).and_then(Value::as_f64);
    GeoPoint::new(degrees("lat")?, degrees("lon")?).ok()
}

/// The places no farther from a centre than a radius.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CircleRecord", into = "CircleRecord")]
pub struct GeoCircle {
    center: GeoPoint,
    /// Finite, not negative.
    radius_m: f64,
}

impl GeoCircle {
    /// The circle of this radius in metres, measured along the globe.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the radius is negative or not finite.
    pub fn new(center: GeoPoint, radius_m: f64) -> Result<Self> {
        if radius_m.is_finite() && radius_m >= 0.0 {
            Ok(Self { center, radius_m })
        } else {
            Err(Error::invalid(format!(
                "radius: {radius_m} is no distance: give metres, 0 or more"
            )))
        }
    }

    /// Whether the place lies within, by the great-circle distance. Time O(1).
    pub fn contains(&self, place: GeoPoint) -> bool {
        self.center.distance_m(place) <= self.radius_m
    }
}

/// The places between two latitudes and two longitudes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BoundsRecord", into = "BoundsRecord")]
pub struct GeoBounds {
    /// Its sides are degrees of places, `south` at most `north`.
    area: GeoBox,
}

impl GeoBounds {
    /// The box that goes east and south from one corner to the other. It crosses the date line, the meridian at 180 degrees, if `top_left` lies
    /// east of `bottom_right`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `top_left` lies south of `bottom_right`.
    pub fn new(top_left: GeoPoint, bottom_right: GeoPoint) -> Result<Self> {
        let (north, south) = (top_left.lat(), bottom_right.lat());
        if north < south {
            return Err(Error::invalid(format!(
                "top_left: lat {north} is south of bottom_right, lat {south}: exchange the two latitudes"
            )));
        }
        let (west, east) = (top_left.lon(), bottom_right.lon());
        let area = GeoBox {
            south,
            north,
            west,
            east,
        };
        Ok(Self { area })
    }

    /// Whether the place lies within. Time O(1).
    pub fn contains(&self, place: GeoPoint) -> bool {
        self.area.contains(place)
    }
}

/// The places within a ring that lie in none of the holes in it.
///
/// Longitude and latitude are taken for coordinates of a plane: an edge is a straight line there, not a great circle, and never
/// crosses the date line. An area that does is written as two polygons that meet at it. Of a ring that crosses itself, the
/// inside is what a line from afar reaches after an odd number of crossings.
///
/// Edges belong to the polygon, those of its holes too. On a corner, or on an edge along a meridian or parallel, that is
/// exact; on a slanted edge as far as f64 tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PolygonRecord", into = "PolygonRecord")]
pub struct GeoPolygon {
    exterior: Ring,
    interiors: Vec<Ring>,
}

impl GeoPolygon {
    /// The polygon with these corners, in either direction, and these holes. Each ring ends with its first point.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names the ring if one has fewer than four points, or ends elsewhere than it begins.
    pub fn new(exterior: Vec<GeoPoint>, interiors: Vec<Vec<GeoPoint>>) -> Result<Self> {
        let interiors = interiors.into_iter().enumerate();
        Ok(Self {
            exterior: Ring::new(exterior, "exterior")?,
            interiors: interiors
                .map(|(position, points)| Ring::new(points, &format!("interiors[{position}]")))
                .collect::<Result<_>>()?,
        })
    }

    /// Whether the place lies within. Time O(points).
    pub fn contains(&self, place: GeoPoint) -> bool {
        self.exterior.side(place) != Side::Outside
            && self
                .interiors
                .iter()
                .all(|hole| hole.side(place) != Side::Inside)
    }
}

/// A closed line.
#[derive(Clone, Debug, PartialEq)]
struct Ring {
    /// At least [`RING_POINTS_MIN`], the last equal to the first.
    points: Vec<GeoPoint>,
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum Side {
    Inside,
    Edge,
    Outside,
}

impl Ring {
    fn new(points: Vec<GeoPoint>, name: &str) -> Result<Self> {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Err(Error::invalid(format!(
                "{name}: it has no points: give a ring of {RING_POINTS_MIN} or more"
            )));
        };
        if first != last {
            return Err(Error::invalid(format!(
                "{name}: it begins at lon {}, lat {} and ends at lon {}, lat {}: end it with its first point",
                first.lon(),
                first.lat(),
                last.lon(),
                last.lat()
            )));
        }
        if points.len() < RING_POINTS_MIN {
            return Err(Error::invalid(format!(
                "{name}: {} points enclose nothing: give {RING_POINTS_MIN} or more, the last equal to the first",
                points.len()
            )));
        }
        Ok(Self { points })
    }

    /// Counts the edges that a ray from the place to the east crosses (Shimrat, "Algorithm 112", 1962).
    fn side(&self, place: GeoPoint) -> Side {
        let mut is_inside = false;
        for edge in self.points.windows(2) {
            let (from, to) = (edge[0], edge[1]);
            // Positive if the place lies on the left, seen along the edge.
            let left = (to.lon() - from.lon()) * (place.lat() - from.lat())
                - (to.lat() - from.lat()) * (place.lon() - from.lon());
            if left == 0.0
                && lies_between(place.lon(), from.lon(), to.lon())
                && lies_between(place.lat(), from.lat(), to.lat())
            {
                return Side::Edge;
            }
            // An edge has its southern end and not its northern: a corner on the ray counts once where the ring goes on to the other side, else
            // twice or not at all.
            let meets_latitude = (from.lat() > place.lat()) != (to.lat() > place.lat());
            let goes_north = to.lat() > from.lat();
            if meets_latitude && goes_north == (left > 0.0) {
                is_inside = !is_inside;
            }
        }
        if is_inside {
            Side::Inside
        } else {
            Side::Outside
        }
    }
}

fn lies_between(x: f64, a: f64, b: f64) -> bool {
    a.min(b) <= x && x <= a.max(b)
}

/// A place as it is serialized: `[lon, lat]`.
type PlaceRecord = [f64; 2];

fn record(place: GeoPoint) -> PlaceRecord {
    [place.lon(), place.lat()]
}

fn read([lon, lat]: PlaceRecord) -> Result<GeoPoint> {
    GeoPoint::new(lat, lon).map_err(|error| Error::invalid(error.to_string()))
}

#[derive(Serialize, Deserialize)]
struct CircleRecord {
    center: PlaceRecord,
    radius_m: f64,
}

impl From<GeoCircle> for CircleRecord {
    fn from(circle: GeoCircle) -> Self {
        Self {
            center: record(circle.center),
            radius_m: circle.radius_m,
        }
    }
}

impl TryFrom<CircleRecord> for GeoCircle {
    type Error = Error;

    fn try_from(record: CircleRecord) -> Result<Self> {
        Self::new(read(record.center)?, record.radius_m)
    }
}

#[derive(Serialize, Deserialize)]
struct BoundsRecord {
    top_left: PlaceRecord,
    bottom_right: PlaceRecord,
}

impl From<GeoBounds> for BoundsRecord {
    fn from(GeoBounds { area }: GeoBounds) -> Self {
        Self {
            top_left: [area.west, area.north],
            bottom_right: [area.east, area.south],
        }
    }
}

impl TryFrom<BoundsRecord> for GeoBounds {
    type Error = Error;

    fn try_from(record: BoundsRecord) -> Result<Self> {
        Self::new(read(record.top_left)?, read(record.bottom_right)?)
    }
}

#[derive(Serialize, Deserialize)]
struct PolygonRecord {
    exterior: Vec<PlaceRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    interiors: Vec<Vec<PlaceRecord>>,
}

impl From<GeoPolygon> for PolygonRecord {
    fn from(polygon: GeoPolygon) -> Self {
        let ring = |ring: &Ring| ring.points.iter().copied().map(record).collect();
        Self {
            exterior: ring(&polygon.exterior),
            interiors: polygon.interiors.iter().map(ring).collect(),
        }
    }
}

impl TryFrom<PolygonRecord> for GeoPolygon {
    type Error = Error;

    fn try_from(record: PolygonRecord) -> Result<Self> {
        let ring = |places: Vec<PlaceRecord>| places.into_iter().map(read).collect::<Result<_>>();
        let interiors = record.interiors.into_iter().map(ring);
        Self::new(ring(record.exterior)?, interiors.collect::<Result<_>>()?)
    }
}

#[cfg(test)]
mod tests;
