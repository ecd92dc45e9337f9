use proptest::prelude::*;
use serde_json::json;

use super::*;

fn embedder(options: Value) -> Bm25Embedder {
    Bm25Embedder::from_options(&options).unwrap()
}

fn check(options: Value, text: &str, expected: &[&str]) {
    assert_eq!(
        embedder(options.clone()).terms(text, Purpose::Query),
        expected,
        "{text:?} with {options}"
    );
}

#[test]
fn terms_of_english() {
    check(
        json!({}),
        "The running dogs' owner isn't here",
        &["run", "dog", "owner"],
    );
    check(
        json!({}),
        "Parkinson's T-cells, vitamin D",
        &["parkinson", "t", "cell", "vitamin", "d"],
    );
    check(
        json!({}),
        "CAFÉ Ca\u{301}fe ﬁnd №5",
        &["cafe", "cafe", "find", "no5"],
    );
    check(
        json!({"stemmer": "none", "stopwords": "none"}),
        "The dogs",
        &["the", "dogs"],
    );
    check(json!({"stopwords": ["dogs"]}), "The dogs cats", &["cat"]);
    check(
        json!({"stopwords": {"custom": ["Cats"]}}),
        "The dogs cats",
        &["dog"],
    );
    check(
        json!({"language": "none", "lowercase": false, "ascii_folding": false}),
        "The Cafés",
        &["The", "Cafés"],
    );
    check(
        json!({"min_token_len": 4, "max_token_len": 5}),
        "one four fives sixsix",
        &["four", "five"],
    );
}

#[test]
fn terms_of_other_languages() {
    check(
        json!({"language": "german"}),
        "Die Häuser der Straße",
        &["haus", "strass"],
    );
    check(
        json!({"language": "es"}),
        "las canciones del niño",
        &["cancion", "nin"],
    );
    check(
        json!({"language": "fr"}),
        "L'été des forêts",
        &["ete", "foret"],
    );
    check(
        json!({}),
        "東京タワー x 京",
        &["東京", "京タ", "タワ", "ワー", "x", "京"],
    );
    check(
        json!({"language": "russian"}),
        "красивые книги",
        &["красив", "книг"],
    );
}

#[test]
fn other_tokenizers() {
    check(
        json!({"tokenizer": "whitespace", "stemmer": {"type": "none"}}),
        "C++ and c#,",
        &["c++", "c#,"],
    );
    let prefix = embedder(json!({"tokenizer": "prefix", "min_token_len": 2, "max_token_len": 4}));
    assert_eq!(
        prefix.terms("Apples a", Purpose::Document),
        ["ap", "app", "appl"]
    );
    assert_eq!(prefix.terms("Apples app", Purpose::Query), ["appl", "app"]);
}

fn vector(embedder: &Bm25Embedder, text: &str, purpose: Purpose) -> SparseVector {
    embedder.embed_text(text, purpose).unwrap()
}

#[test]
fn weights_are_those_of_bm25() {
    let embedder = embedder(json!({"k": 1.5, "b": 0.5, "avg_len": 4.0}));
    let document = vector(&embedder, "cat cat dog", Purpose::Document);
    let norm = 1.5 * (1.0 - 0.5 + 0.5 * 3.0 / 4.0);
    let mut wanted = vec![
        (token_id("cat"), 2.0 * 2.5 / (2.0 + norm)),
        (token_id("dog"), 2.5 / (1.0 + norm)),
    ];
    wanted.sort_by_key(|&(id, _)| id);
    assert_eq!(document, SparseVector::from_pairs(wanted));
    let query = vector(&embedder, "cat dog cat", Purpose::Query);
    assert_eq!(
        (query.indices, query.values),
        (document.indices, vec![1.0, 1.0])
    );
}

#[test]
fn blank_is_refused_and_stop_words_are_an_empty_vector() {
    let embedder = embedder(json!(null));
    assert_eq!(
        embedder.embed_text(" \n", Purpose::Query),
        Err(EmbedError::Empty {
            modality: Modality::Text
        })
    );
    assert_eq!(
        vector(&embedder, "the and of", Purpose::Query),
        SparseVector::default()
    );
    assert_eq!(
        vector(&embedder, "!?", Purpose::Document),
        SparseVector::default()
    );
    let batch = embedder.embed(&[Input::Image(b"x"), Input::Text("cat")], Purpose::Query);
    assert!(matches!(
        batch.errors(),
        [Some(EmbedError::WrongModality { .. }), None]
    ));
}

#[test]
fn wrong_options_say_what_is_allowed() {
    for (options, word) in [
        (json!({"b": 2}), "from 0 to 1"),
        (json!({"k": -1}), "from 0 to 1000"),
        (json!({"avg_len": 0}), "avg_len"),
        (json!({"k": "x"}), "expected"),
        (json!({"language": "klingon"}), "english"),
        (json!({"tokenizer": "x"}), "whitespace"),
        (json!({"stemmer": 1}), "snowball"),
        (json!({"stemmer": {"type": "porter"}}), "snowball"),
        (
            json!({"stopwords": {"languages": ["xx"]}}),
            "stopwords.languages",
        ),
        (json!({"max_token_len": 0}), "max_token_len"),
        (json!("x"), "object"),
    ] {
        let error = Bm25Embedder::from_options(&options)
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{options}: {error}");
    }
}

/// Collections hold the checksum and refuse another one, so it may only change when the vectors do.
#[test]
fn the_checksum_of_the_defaults_is_pinned() {
    assert_eq!(
        embedder(json!(null)).identity().checksum,
        "06274d710b0ad4c7"
    );
}

#[test]
fn the_identity_tells_options_apart() {
    let checksum = |options| embedder(options).identity().checksum.clone();
    assert_eq!(checksum(json!(null)), checksum(json!({"k": null})));
    assert_ne!(checksum(json!(null)), checksum(json!({"k": 1.0})));
    assert_ne!(checksum(json!(null)), checksum(json!({"stopwords": ["x"]})));
}

proptest! {
    /// Any text, every language and tokenizer: sorted, unique, finite.
    #[test]
    fn any_text(text in any::<String>(), words in "[\\p{L}\\p{M}\\p{N}' ]{0,40}", which in 0_usize..18) {
        let language = Language::names().nth(which).unwrap();
        for tokenizer in ["word", "whitespace", "prefix"] {
            let embedder = embedder(json!({"language": language, "tokenizer": tokenizer}));
            for (text, purpose) in [(&text, Purpose::Document), (&words, Purpose::Document), (&words, Purpose::Query)] {
                if let Ok(vector) = embedder.embed_text(text, purpose) {
                    prop_assert!(vector.indices.is_sorted_by(|a, b| a < b));
                    prop_assert_eq!(vector.indices.len(), vector.values.len());
                    prop_assert!(vector.values.iter().all(|x| x.is_finite() && *x > 0.0));
                }
            }
        }
    }
}
