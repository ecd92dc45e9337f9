//! `with_payload` and `with_vector`: what of a point to answer.

use cluster::engine::filter::path::Path;
use cluster::engine::query::{Selection, VectorSelection};
use serde::Deserialize;

use crate::error::{ApiError, ApiResult};

/// `true`, `false`, a list of paths, `{"include": []}` or `{"exclude": []}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a boolean, a list of paths, {\"include\": []} or {\"exclude\": []}"
)]
pub enum WithPayload {
    /// All or nothing.
    All(bool),
    /// These paths only.
    Paths(Vec<String>),
    /// By rule.
    Rule(Rule),
}

/// Paths to answer or to leave out.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Rule {
    /// These paths only.
    Include(Vec<String>),
    /// Everything but these.
    Exclude(Vec<String>),
}

impl WithPayload {
    /// The engine's form.
    ///
    /// # Errors
    ///
    /// 400 if a path cannot be read.
    pub fn selection(self) -> ApiResult<Selection> {
        Ok(match self {
            Self::All(true) => Selection::All,
            Self::All(false) => Selection::None,
            Self::Paths(paths) | Self::Rule(Rule::Include(paths)) => {
                Selection::Include(parse(&paths)?)
            }
            Self::Rule(Rule::Exclude(paths)) => Selection::Exclude(parse(&paths)?),
        })
    }
}

fn parse(paths: &[String]) -> ApiResult<Vec<Path>> {
    let parsed = paths.iter().map(|path| Path::parse(path));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| ApiError::from(error).at("with_payload"))
}

/// `true`, `false`, or a list of vector names.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a boolean or a list of vector names")]
pub enum WithVector {
    /// All or nothing.
    All(bool),
    /// These names.
    Names(Vec<String>),
}

impl From<WithVector> for VectorSelection {
    fn from(with: WithVector) -> Self {
        match with {
            WithVector::All(true) => Self::All,
            WithVector::All(false) => Self::None,
            WithVector::Names(names) => Self::Names(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let read = |json: &str| {
            serde_json::from_str::<WithPayload>(json)
                .unwrap()
                .selection()
                .unwrap()
        };
        assert_eq!(read("true"), Selection::All);
        assert_eq!(read("false"), Selection::None);
        assert!(matches!(read("[\"a.b\", \"c\"]"), Selection::Include(paths) if paths.len() == 2));
        assert!(matches!(
            read("{\"include\": [\"a\"]}"),
            Selection::Include(_)
        ));
        assert!(matches!(
            read("{\"exclude\": [\"a\"]}"),
            Selection::Exclude(_)
        ));
        let error = serde_json::from_str::<WithPayload>("7")
            .unwrap_err()
            .to_string();
        assert!(error.contains("a boolean, a list of paths"), "{error}");
        let with: WithVector = serde_json::from_str("[\"\"]").unwrap();
        assert_eq!(
            VectorSelection::from(with),
            VectorSelection::Names(vec![String::new()])
        );
    }
}
