//! The API key: given, made or none.

use std::net::SocketAddr;

use axum::http::{HeaderMap, header};
use uuid::Uuid;

/// The key of a server.
#[derive(Clone, Debug)]
pub struct Auth {
    key: Option<String>,
    generated: bool,
}

impl Auth {
    /// The key given; else none on loopback and a new one anywhere else. An empty key counts as none given.
    pub fn new(given: Option<String>, listen: SocketAddr) -> Self {
        let given = given.filter(|key| !key.is_empty());
        if given.is_none() && !listen.ip().is_loopback() {
            let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            return Self {
                key: Some(key),
                generated: true,
            };
        }
        Self {
            key: given,
            generated: false,
        }
    }

    /// The key that requests must carry.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether the key was made here, so that it must be shown once.
    pub fn generated(&self) -> bool {
        self.generated
    }

    /// Whether these headers carry the key, as `api-key: KEY` or `Authorization: Bearer KEY`.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.key else { return true };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim().as_bytes());
        let given = headers
            .get("api-key")
            .map(|value| value.as_bytes())
            .or(bearer);
        given.is_some_and(|given| equal_in_constant_time(given, key.as_bytes()))
    }
}

/// Compares without telling by its duration where two keys of equal length differ.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a
        .iter()
        .zip(b)
        .fold(0_u8, |sum, (x, y)| std::hint::black_box(sum | (x ^ y)));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_key_is_taken_in_both_ways() {
        let auth = Auth::new(Some("secret".into()), ([127, 0, 0, 1], 1).into());
        assert!(auth.admits(&headers("api-key", "secret")));
        assert!(auth.admits(&headers("authorization", "Bearer secret")));
        assert!(auth.admits(&headers("authorization", "bearer secret")));
        assert!(!auth.admits(&headers("authorization", "Basic secret")));
        assert!(!auth.admits(&headers("api-key", "secreT")));
        assert!(!auth.admits(&headers("api-key", "")));
        assert!(!auth.admits(&HeaderMap::new()));
    }

    #[test]
    fn only_listening_wider_makes_a_key() {
        assert!(Auth::new(None, ([127, 0, 0, 1], 1).into()).key().is_none());
        assert!(
            Auth::new(Some(String::new()), ([127, 0, 0, 1], 1).into())
                .key()
                .is_none()
        );
        let wide = Auth::new(None, ([0, 0, 0, 0], 1).into());
        assert!(wide.generated);
        assert_eq!(wide.key().map(str::len), Some(64));
        assert_eq!(
            Auth::new(Some("k".into()), ([0, 0, 0, 0], 1).into()).key(),
            Some("k")
        );
    }
}
