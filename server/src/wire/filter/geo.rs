//! The dialect's areas on the globe. The engine tells what lies in one; here is how they are written.

use cluster::engine::filter::path::Path;
use cluster::engine::filter::{Condition, GeoBounds, GeoCircle, GeoPoint, GeoPolygon};
use serde::Deserialize;

use crate::error::{ApiError, ApiResult};

/// `geo_radius`: places at most `radius` metres from `center`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RadiusWire {
    center: PlaceWire,
    radius: f64,
}

/// `geo_bounding_box`: places east and south of `top_left`, up to `bottom_right`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BoundingBoxWire {
    top_left: PlaceWire,
    bottom_right: PlaceWire,
}

/// `geo_polygon`: places in `exterior` and in none of `interiors`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolygonWire {
    exterior: RingWire,
    interiors: Option<Vec<RingWire>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingWire {
    points: Vec<PlaceWire>,
}

/// Degrees east and north.
#[derive(Copy, Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceWire {
    lon: f64,
    lat: f64,
}

impl RadiusWire {
    pub(super) fn condition(self, key: Path) -> ApiResult<Condition> {
        let circle = self.circle().map_err(at("geo_radius", &key))?;
        Ok(Condition::GeoRadius { key, circle })
    }

    fn circle(self) -> ApiResult<GeoCircle> {
        Ok(GeoCircle::new(self.center.place("center")?, self.radius)?)
    }
}

impl BoundingBoxWire {
    pub(super) fn condition(self, key: Path) -> ApiResult<Condition> {
        let bounds = self.bounds().map_err(at("geo_bounding_box", &key))?;
        Ok(Condition::GeoBoundingBox { key, bounds })
    }

    fn bounds(self) -> ApiResult<GeoBounds> {
        let top_left = self.top_left.place("top_left")?;
        let bottom_right = self.bottom_right.place("bottom_right")?;
        Ok(GeoBounds::new(top_left, bottom_right)?)
    }
}

impl PolygonWire {
    pub(super) fn condition(self, key: Path) -> ApiResult<Condition> {
        let polygon = self.polygon().map_err(at("geo_polygon", &key))?;
        Ok(Condition::GeoPolygon { key, polygon })
    }

    fn polygon(self) -> ApiResult<GeoPolygon> {
        let exterior = self.exterior.places("exterior")?;
        let interiors = self.interiors.unwrap_or_default();
        let interiors = interiors.into_iter().enumerate();
        let interiors = interiors
            .map(|(position, ring)| ring.places(&format!("interiors[{position}]")))
            .collect::<ApiResult<_>>()?;
        Ok(GeoPolygon::new(exterior, interiors)?)
    }
}

impl RingWire {
    fn places(self, name: &str) -> ApiResult<Vec<GeoPoint>> {
        let points = self.points.into_iter().enumerate();
        points
            .map(|(position, point)| point.place(format_args!("{name}.points[{position}]")))
            .collect()
    }
}

impl PlaceWire {
    fn place(self, name: impl std::fmt::Display) -> ApiResult<GeoPoint> {
        GeoPoint::new(self.lat, self.lon)
            .map_err(|error| ApiError::bad_request(error.to_string()).at(name))
    }
}

/// Puts the condition in front of what is wrong with it.
fn at(name: &str, key: &Path) -> impl Fn(ApiError) -> ApiError {
    move |error| error.at(format_args!("{name} of `{key}`"))
}
