//! What a search answers.

use std::sync::Arc;

use cluster::engine::query::{Explain, ScorePart, ScoredPoint};
use cluster::engine::{Collection, ErrorKind, MediaKind, Payload, Result};
use serde::Serialize;

use crate::wire::id::{Id, percent_encode, to_path};
use crate::wire::record::score_parts;

/// Hits whose text and media are looked up; a longer list is for machines, which can ask per point.
const SNIPPETS_MAX: usize = 100;
/// Characters of a hit's text that are answered; all of it stands at `/media?kind=text`.
const SNIPPET_CHARS_MAX: usize = 500;

/// The answer of a search.
#[derive(Serialize)]
pub(super) struct SearchOut {
    /// Best first.
    pub(super) points: Vec<Hit>,
    /// Names of the vectors that were searched.
    pub(super) searched: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explain: Option<Explain>,
}

/// A point that was found, with what a person wants to see of it.
#[derive(Serialize)]
pub(super) struct Hit {
    id: Id,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Arc<Payload>>,
    #[serde(serialize_with = "score_parts")]
    score_parts: Vec<ScorePart>,
}

impl Hit {
    /// Looks up the text and media of the first hits. `single` names the only list searched, which a fusion does not report.
    ///
    /// # Errors
    ///
    /// Of the store; a point whose media are lost is `Corrupted`.
    pub(super) fn new(
        collection: &Collection,
        rank: usize,
        point: ScoredPoint,
        single: Option<&str>,
    ) -> Result<Self> {
        let mut parts = point.score_parts;
        if let Some(using) = single {
            parts = vec![ScorePart {
                using: using.to_owned(),
                rank,
                score: point.score,
            }];
        }
        let mut hit = Self {
            score: point.score,
            text: None,
            media: None,
            thumbnail: None,
            payload: point.payload,
            score_parts: parts,
            id: Id(point.id),
        };
        if rank < SNIPPETS_MAX {
            hit.add_media(collection)?;
        }
        Ok(hit)
    }

    /// Of a picture only its address; of a text its beginning. A point deleted since it was found simply has no media.
    fn add_media(&mut self, collection: &Collection) -> Result<()> {
        let kinds = match collection.media_kinds(&self.id.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            kinds => kinds?,
        };
        if kinds.is_empty() {
            return Ok(());
        }
        let place = format!(
            "/collections/{}/points/{}",
            percent_encode(collection.name()),
            to_path(&self.id.0)
        );
        if kinds.contains(&MediaKind::Image) {
            self.thumbnail = Some(format!("{place}/thumbnail"));
        }
        if kinds.contains(&MediaKind::Text) {
            let text = match collection.media(&self.id.0, MediaKind::Text) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                text => text?,
            };
            self.text = text.map(|text| snippet(&String::from_utf8_lossy(&text.bytes)));
        }
        self.media = Some(format!("{place}/media"));
        Ok(())
    }
}

fn snippet(text: &str) -> String {
    match text.char_indices().nth(SNIPPET_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
