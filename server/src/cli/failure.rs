//! Errors for people: what happened, where, how to mend it.

use std::fmt;

use serde_json::{Value, json};

/// Result of everything that a command does.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Exit code of a command that could not do its work.
pub const EXIT_FAILED: u8 = 1;
/// Exit code of a load that is done, but left rows out.
pub const EXIT_SKIPPED: u8 = 3;

/// Why a command ended: what, where, how to mend.
#[derive(Debug)]
pub struct Failure {
    what: String,
    place: Option<String>,
    mend: Option<String>,
}

impl Failure {
    /// What happened, in one sentence without a full stop.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            place: None,
            mend: None,
        }
    }

    /// What happened.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where: a file, an address, a collection. The first one stays.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place.get_or_insert(place.into());
        self
    }

    /// How to mend it. The first advice stays: whoever is nearer to the fault knows better.
    #[must_use]
    pub fn mend(mut self, advice: impl Into<String>) -> Self {
        self.mend.get_or_insert(advice.into());
        self
    }

    /// As the value of `error` in a command's JSON.
    pub fn to_json(&self) -> Value {
        json!({ "what": self.what, "where": self.place, "mend": self.mend })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(place) = &self.place {
            write!(f, "\n  where: {place}")?;
        }
        if let Some(mend) = &self.mend {
            write!(f, "\n  mend:  {mend}")?;
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

impl From<cluster::engine::Error> for Failure {
    fn from(error: cluster::engine::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// Adds a place to the error of an I/O call.
pub fn io_at(place: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::new(error.to_string()).at(place.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_and_the_nearest_advice() {
        let failure = Failure::new("no server answers")
            .at("http://x")
            .mend("start one")
            .mend("pray");
        assert_eq!(
            failure.to_string(),
            "error: no server answers\n  where: http://x\n  mend:  start one"
        );
        assert_eq!(failure.to_json()["mend"], "start one");
        assert_eq!(Failure::new("x").to_string(), "error: x");
    }
}
