//! The embedding modules that come with the program.

use std::time::Instant;

use embed::{Input, Purpose};
use serde_json::{Value, json};

use super::{Finding, Status};

/// Loads every built-in embedder and puts one text or picture through it.
pub(super) fn all() -> Vec<Finding> {
    let registry = embed::Registry::builtin();
    let picture = test_picture();
    let check = |name: &str| -> Finding {
        let started = Instant::now();
        let embedder = match registry.get(name, &Value::Null) {
            Ok(embedder) => embedder,
            Err(error) => {
                return Finding::new(Status::Fail, "embedder", format!("{name}: {error}"))
                    .mend("the program file is damaged; install it again");
            }
        };
        let input = if embedder.modalities().contains(&embed::Modality::Text) {
            Input::Text("a green apple")
        } else {
            Input::Image(&picture)
        };
        let batch = embedder.embed(&[input], Purpose::Query);
        let us = started.elapsed().as_micros() as u64;
        match batch.errors().first().and_then(Option::as_ref) {
            None => Finding::new(Status::Ok, "embedder", format!("{name} answers, first vector after {:.1} ms", us as f64 / 1000.0))
                .data(json!({ "model": name, "version": embedder.identity().version, "checksum": embedder.identity().checksum, "first_us": us })),
            Some(error) => Finding::new(Status::Fail, "embedder", format!("{name}: {error}")).mend("this is a fault of ours; please report it"),
        }
    };
    registry.names().into_iter().map(check).collect()
}

/// A BMP of 64 x 64 pixels: a green disc on light grey.
fn test_picture() -> Vec<u8> {
    const SIDE: u32 = 64;
    let bytes = SIDE * SIDE * 3;
    let mut out = b"BM".to_vec();
    for field in [54 + bytes, 0, 54, 40, SIDE, SIDE] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&24u16.to_le_bytes());
    for field in [0, bytes, 2835, 2835, 0, 0] {
        out.extend_from_slice(&u32::to_le_bytes(field));
    }
    for y in 0..SIDE {
        for x in 0..SIDE {
            let inside = (x as i32 - 32).pow(2) + (y as i32 - 32).pow(2) < 400;
            out.extend_from_slice(if inside {
                &[40, 160, 60]
            } else {
                &[240, 240, 240]
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedder_answers() {
        for finding in all() {
            assert_eq!(finding.status, Status::Ok, "{}", finding.detail);
        }
    }
}
