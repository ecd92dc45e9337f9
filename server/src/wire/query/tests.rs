use super::*;

fn read(json: &str) -> ApiResult<Query> {
    crate::http::from_json::<QueryWire>(json.as_bytes())?.query(&Limits::default())
}

#[test]
fn every_kind_is_read() {
    let check = |query: &str, expected: &str| {
        let kind = read(&format!("{{\"query\": {query}, \"prefetch\": {{}}}}"))
            .unwrap()
            .kind;
        let got = format!("{kind:?}");
        assert!(got.starts_with(expected), "{query}: {got}");
    };
    check("null", "Id");
    check("[1, 2]", "Nearest(Dense");
    check("7", "Nearest(Point { id: Num(7)");
    check(
        "\"f39c70e620184bc69fa7481538298572\"",
        "Nearest(Point { id: Uuid",
    );
    check("{\"nearest\": [1], \"mmr\": null}", "Nearest(Dense");
    check("{\"indices\": [1], \"values\": [1]}", "Nearest(Sparse");
    check(
        "{\"nearest\": {\"indices\": [1], \"values\": [1]}}",
        "Nearest(Sparse",
    );
    check("{\"nearest\": 7}", "Nearest(Point");
    check(
        "{\"recommend\": {\"positive\": [1, [2]], \"negative\": null}}",
        "Recommend { positive: [Point",
    );
    check(
        "{\"fusion\": \"rrf\"}",
        "Fusion(Rrf { k: 2.0, weights: [] })",
    );
    check("{\"fusion\": \"dbsf\"}", "Fusion(Dbsf)");
    check(
        "{\"rrf\": {\"k\": 60, \"weights\": [3, 1]}}",
        "Fusion(Rrf { k: 60.0, weights: [3.0, 1.0] })",
    );
    check("{\"order_by\": \"a.b\"}", "OrderBy");
    check(
        "{\"order_by\": {\"key\": \"a\", \"direction\": \"desc\", \"start_from\": 3}}",
        "OrderBy",
    );
    check("{\"sample\": \"random\"}", "Sample");
}

#[test]
fn a_field_that_is_not_known_is_refused() {
    let check = |json: &str, parts: &[&str]| {
        let error = read(json).unwrap_err();
        assert!(
            parts.iter().all(|part| error.message.contains(part)),
            "{}",
            error.message
        );
    };
    check("{\"query\": [1], \"fliter\": {}}", &["fliter", "`filter`"]);
    check(
        "{\"query\": [1], \"target_recall\": 0.9}",
        &["target_recall"],
    );
    check(
        "{\"prefetch\": [{\"query\": [1], \"uisng\": \"a\"}]}",
        &["prefetch[0]", "uisng"],
    );
    check(
        "{\"query\": [1], \"params\": {\"target_recal\": 0.9}}",
        &["params", "target_recal", "`target_recall`"],
    );
    check(
        "{\"query\": {\"recommend\": {\"positive\": [1], \"negatve\": [2]}}}",
        &["negatve", "`negative`"],
    );
    check(
        "{\"prefetch\": {\"query\": [1]}, \"query\": {\"rrf\": {\"weigths\": [1]}}}",
        &["weigths", "`weights`"],
    );
    check(
        "{\"query\": {\"order_by\": {\"key\": \"a\", \"direcion\": \"desc\"}}}",
        &["a path, or", "direction"],
    );
    let legacy = |body: &str| crate::http::from_json::<SearchWire>(body.as_bytes());
    let error = legacy("{\"vector\": [1], \"limit\": 1, \"fliter\": {}}").unwrap_err();
    assert!(error.message.contains("fliter"), "{}", error.message);
    assert!(
        legacy("{\"vector\": {\"nmae\": \"a\", \"name\": \"a\", \"vector\": [1]}, \"limit\": 1}")
            .is_err()
    );
    let whole =
        "{\"vector\": {\"name\": \"a\", \"vector\": [1]}, \"limit\": 1, \"shard_key\": \"k\",
        \"params\": {\"indexed_only\": true, \"acorn\": {\"enable\": true}}}";
    legacy(whole).unwrap();
}

#[test]
fn a_whole_query_is_read() {
    let query = read(
        "{\"prefetch\": {\"query\": [1], \"using\": \"a\", \"limit\": 100}, \"query\": {\"fusion\": \"rrf\"}, \"limit\": 1000000000000000000,
          \"offset\": 3, \"score_threshold\": 0.5, \"filter\": {\"must\": []}, \"params\": {\"hnsw_ef\": 128, \"exact\": true, \"quantization\": null},
          \"with_payload\": [\"a\"], \"with_vector\": true, \"shard_key\": null}",
    )
    .unwrap();
    assert_eq!(
        (query.limit, query.offset, query.score_threshold),
        (1_000_000_000_000_000_000, 3, Some(0.5))
    );
    assert_eq!((query.prefetch.len(), query.prefetch[0].limit), (1, 100));
    assert_eq!((query.params.exact, query.params.ef), (true, Some(128)));
    assert!(matches!(query.with_vectors, VectorSelection::All));
}

#[test]
fn media_are_visited_in_order() {
    let mut wire: QueryWire = serde_json::from_str(
        "{\"prefetch\": [{\"query\": {\"text\": \"a\"}, \"using\": \"x\"}, {\"query\": {\"nearest\": {\"text\": \"b\"}}}],
          \"query\": {\"recommend\": {\"positive\": [{\"image\": \"c\"}, 5]}}, \"using\": \"z\"}",
    )
    .unwrap();
    let mut seen = Vec::new();
    wire.for_each_vector(&mut |using, vector| seen.push((using.to_owned(), vector.form())));
    let forms = [
        "an inference object",
        "an inference object",
        "an inference object",
        "an id",
    ];
    let names = ["x", "", "z", "z"];
    assert_eq!(
        seen,
        names
            .map(str::to_owned)
            .into_iter()
            .zip(forms)
            .collect::<Vec<_>>()
    );
}

#[test]
fn the_legacy_search_is_a_query() {
    let check = |json: &str, using: &str| {
        let wire: SearchWire = crate::http::from_json(json.as_bytes()).unwrap();
        let query = QueryWire::from(wire).query(&Limits::default()).unwrap();
        assert_eq!(query.using, using);
        assert!(matches!(
            query.kind,
            QueryKind::Nearest(QueryVector::Dense(_))
        ));
    };
    check("{\"vector\": [1, 2], \"limit\": 4}", "");
    check("{\"vector\": {\"name\": \"a\", \"vector\": [1, 2]}}", "a");
}

#[test]
fn what_is_wrong_is_said() {
    let check = |json: &str, status: u16, part: &str| {
        let error = read(json).unwrap_err();
        assert_eq!(error.status.as_u16(), status, "{error}");
        assert!(error.message.contains(part), "{json}: {error}");
    };
    check(
        "{\"query\": {\"nearest\": [1, null]}}",
        400,
        "query.nearest[1]",
    );
    check("{\"query\": {\"discover\": {}}}", 501, "`discover`");
    check("{\"query\": {\"nearest\": [1], \"mmr\": {}}}", 501, "`mmr`");
    check("{\"query\": {\"mmr\": {}, \"nearest\": [1]}}", 501, "`mmr`");
    check(
        "{\"query\": {\"nearst\": [1]}}",
        400,
        "unknown key `nearst`",
    );
    // The last one counted, silently.
    for two in [
        "{\"nearest\": [1], \"fusion\": \"rrf\"}",
        "{\"fusion\": \"rrf\", \"rrf\": {\"k\": 60}}",
    ] {
        check(&format!("{{\"query\": {two}}}"), 400, "give one");
    }
    check("{\"query\": {}}", 400, "empty");
    check("{\"query\": {\"recommend\": {}}}", 400, "positive");
    check(
        "{\"query\": {\"recommend\": {\"positive\": [1], \"strategy\": \"best_score\"}}}",
        501,
        "best_score",
    );
    check("{\"query\": {\"fusion\": \"rrf\"}}", 400, "`prefetch`");
    check("{\"query\": [[1]]}", 501, "multi-vector");
    check("{\"query\": [1], \"limit\": 0}", 422, "limit");
    check("{\"query\": [1], \"limit\": -1}", 400, "`limit`");
    check(
        "{\"query\": [1], \"params\": {\"index\": \"ivf\"}}",
        400,
        "params.index",
    );
    for target in ["2", "0", "-0.5", "1.0001", "1e99"] {
        let query = format!("{{\"query\": [1], \"params\": {{\"target_recall\": {target}}}}}");
        check(&query, 400, "target_recall");
    }
    check(
        "{\"query\": [1], \"lookup_from\": {\"collection\": \"a\"}}",
        501,
        "lookup_from",
    );
    let deep = format!("{}{{}}{}", "{\"prefetch\": ".repeat(20), "}".repeat(20));
    check(&deep, 400, "prefetch nests more than 8 deep");
}
