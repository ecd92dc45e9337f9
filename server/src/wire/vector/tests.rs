use super::*;

fn read(json: &str) -> Result<VectorInput, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn inference(json: &str) -> InferenceObject {
    match read(json).unwrap() {
        VectorInput::Inference(object) => object,
        other => panic!("{json} is {}", other.form()),
    }
}

#[test]
fn plain_forms() {
    assert_eq!(
        read("[1, 2.5, -3]").unwrap(),
        VectorInput::Dense(vec![1.0, 2.5, -3.0])
    );
    assert_eq!(read("[]").unwrap(), VectorInput::Dense(vec![]));
    assert_eq!(read("[[1, 2], [3]]").unwrap(), VectorInput::Multi);
    let sparse = SparseVector::new(vec![3, 4_294_967_295], vec![0.5, 1.0]).unwrap();
    assert_eq!(
        read("{\"values\": [1, 0.5], \"indices\": [4294967295, 3]}").unwrap(),
        VectorInput::Sparse(sparse)
    );
    assert_eq!(read("7").unwrap(), VectorInput::Id(PointId::Num(7)));
    assert_eq!(
        read("\"a\"").unwrap(),
        VectorInput::Id(PointId::Str("a".into()))
    );
}

#[test]
fn names_and_inference_objects_are_told_apart() {
    let VectorInput::Named(named) = read(
        "{\"\": [1], \"text\": {\"text\": \"a\"}, \"image\": [2], \"object\": [3], \"model\": [4], \"s\": {\"indices\": [], \"values\": []}}",
    )
    .unwrap() else {
        panic!("named vectors")
    };
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["", "text", "image", "model", "s", "object"]);
    assert!(matches!(&named[1].1, VectorInput::Inference(object) if object.model.is_none()));

    let text = inference("{\"text\": \"a cat\", \"model\": \"m\", \"options\": {\"k\": 1}}");
    assert_eq!(text.source, Source::Text("a cat".into()));
    assert_eq!((text.model.as_deref(), text.options.len()), (Some("m"), 1));
    assert_eq!(
        inference("{\"image\": \"aGk=\"}").source,
        Source::Image("aGk=".into())
    );
    assert!(matches!(
        inference("{\"object\": [1], \"model\": \"m\"}").source,
        Source::Object(_)
    ));
    assert!(matches!(
        inference("{\"object\": \"x\"}").source,
        Source::Object(_)
    ));
    // What a client leaves open may be written as null.
    let null =
        inference("{\"image\": \"aGk=\", \"text\": null, \"model\": null, \"options\": null}");
    assert_eq!(null.source, Source::Image("aGk=".into()));
    assert_eq!(null.model, None);
}

#[test]
fn what_is_wrong_is_said() {
    let check = |json: &str, part: &str| {
        let error = read(json).unwrap_err();
        assert!(error.contains(part), "{json}: {error}");
    };
    check("[1, null]", "null");
    check("[null]", "null");
    check("[1, \"2\"]", "a finite number");
    check("[1e39]", "does not fit a 32-bit float");
    check("[1e999]", "out of range");
    check("{\"indices\": [1, 1], \"values\": [1, 2]}", "stands twice");
    check(
        "{\"indices\": [1], \"values\": [1, 2]}",
        "1 indices but 2 values",
    );
    check("{\"indices\": [-1], \"values\": [1]}", "u32");
    check("{\"indices\": [1]}", "`indices` and `values`");
    check("{\"a\": {\"b\": [1]}}", "inside another");
    check("{\"a\": \"b\"}", "a string is no vector");
    check("{\"a\": null}", "null is no vector");
    check(
        "{\"text\": \"a\", \"color\": [1]}",
        "`color` stands beside `text`",
    );
    check(
        "{\"text\": \"a\", \"object\": {\"text\": \"b\"}}",
        "`object` stands beside `text`",
    );
    check("-3", "unsigned");
    check("true", "a vector");
}

#[test]
fn stored_vectors_are_written() {
    let mut vectors = BTreeMap::from([(String::new(), Vector::Dense(vec![0.25, 1.0]))]);
    assert_eq!(
        serde_json::to_string(&VectorsOut(&vectors)).unwrap(),
        "[0.25,1.0]"
    );
    let sparse = SparseVector::new(vec![7], vec![0.5]).unwrap();
    vectors.insert("s".into(), Vector::Sparse(sparse));
    assert_eq!(
        serde_json::to_string(&VectorsOut(&vectors)).unwrap(),
        "{\"\":[0.25,1.0],\"s\":{\"indices\":[7],\"values\":[0.5]}}"
    );
}
