use cluster::engine::{Encoding, Metric, VectorConfig};
use serde_json::json;

use super::describe::dialect_config;
use super::*;

fn describe(model: &str, _: &Map<String, Value>) -> ApiResult<(Identity, Kind)> {
    let identity = Identity {
        name: model.to_owned(),
        version: "1".into(),
        checksum: "c".into(),
    };
    match model {
        "vecino/bm25" => Ok((identity, Kind::Sparse { idf: true })),
        "vecino/text" | "vecino/image" => Ok((
            identity,
            Kind::Dense {
                dim: 256,
                metric: embed::Metric::Cosine,
            },
        )),
        _ => Err(ApiError::unprocessable("unknown model")),
    }
}

fn create(json: &str) -> ApiResult<CollectionConfig> {
    crate::http::from_json::<CreateWire>(json.as_bytes())?.config(&describe)
}

#[test]
fn the_multimodal_collection() {
    let config = CreateWire::multimodal().config(&describe).unwrap();
    let same = create("{\"embedders\": \"default\"}").unwrap();
    assert_eq!(config.vectors, same.vectors);
    assert_eq!(config.vectors.keys().collect::<Vec<_>>(), ["image", "text"]);
    assert_eq!(config.vectors["text"].dim, 256);
    assert!(config.sparse_vectors["bm25"].idf);
    assert_eq!(config.embedders["image"].model, "vecino/image");
    assert!(config.media.keep);
    assert!(create("{}").unwrap().vectors.is_empty());
}

#[test]
fn vectors_in_all_forms() {
    let one = create("{\"vectors\": {\"size\": 4, \"distance\": \"Cosine\", \"on_disk\": false, \"datatype\": null}}").unwrap();
    assert_eq!(one.vectors[""], VectorConfig::new(4, Metric::Cosine));
    assert_eq!(
        dialect_config(&one)["params"]["vectors"],
        json!({"size": 4, "distance": "Cosine", "on_disk": false})
    );
    let unnamed = create(
        "{\"vectors\": {\"\": {\"size\": 6, \"distance\": \"Euclid\"}}, \"sparse_vectors\": {}}",
    )
    .unwrap();
    assert_eq!(unnamed.vectors[""].metric, Metric::L2);
    assert_eq!(
        dialect_config(&unnamed)["params"].get("sparse_vectors"),
        None
    );
    let named = create(
        "{\"vectors\": {\"a\": {\"size\": 3, \"distance\": \"Dot\", \"index\": \"flat\"}},
          \"sparse_vectors\": {\"s\": {\"index\": {\"on_disk\": false}, \"modifier\": \"idf\"}, \"t\": {}},
          \"hnsw_config\": {\"m\": 0, \"payload_m\": 16, \"on_disk\": null}, \"shard_number\": null}",
    )
    .unwrap();
    let out = dialect_config(&named);
    assert_eq!(
        out["params"]["vectors"],
        json!({"a": {"size": 3, "distance": "Dot"}})
    );
    assert_eq!(
        out["params"]["sparse_vectors"],
        json!({"s": {"index": {"on_disk": false}, "modifier": "idf"}, "t": {}})
    );
    assert_eq!(
        (&out["hnsw_config"]["m"], &out["hnsw_config"]["payload_m"]),
        (&json!(0), &json!(16))
    );
    assert!(!out.to_string().contains("null"), "{out}");
}

#[test]
fn an_encoding_is_ours_and_a_quantization_is_echoed() {
    let of = |json: &str| create(json).unwrap();
    for encoding in Encoding::ALL {
        let config = of(&format!(
            "{{\"vectors\": {{\"size\": 4, \"distance\": \"Dot\", \"encoding\": \"{encoding}\"}}}}"
        ));
        assert_eq!(config.vectors[""].encoding, Some(encoding));
        let shown = &dialect_config(&config)["params"]["vectors"];
        assert_eq!(*shown, json!({"size": 4, "distance": "Dot"}));
    }
    let config = of(
        "{\"vectors\": {\"size\": 4, \"distance\": \"Dot\", \"quantization_config\": {\"binary\": {}}, \"encoding\": null}}",
    );
    assert_eq!(config.vectors[""].encoding, None);
    let shown = &dialect_config(&config)["params"]["vectors"];
    assert_eq!(shown["quantization_config"], json!({"binary": {}}));
}

#[test]
fn a_patch_is_merged() {
    let mut config = create(
        "{\"vectors\": {\"size\": 4, \"distance\": \"Cosine\"}, \"optimizers_config\": {\"a\": 1}}",
    )
    .unwrap();
    let body = json!({"optimizers_config": {"indexing_threshold": 0}, "params": {"replication_factor": 2},
        "vectors": {"": {"on_disk": true}}, "hnsw_config": null});
    update(&mut config, body.as_object().unwrap().clone()).unwrap();
    let out = dialect_config(&config);
    assert_eq!(out["optimizer_config"]["indexing_threshold"], 0);
    assert_eq!(out["optimizer_config"]["a"], 1);
    assert_eq!(out["params"]["replication_factor"], 2);
    assert_eq!(out["params"]["vectors"]["on_disk"], true);
    let unknown = json!({"vectors": {"b": {}}});
    assert!(update(&mut config, unknown.as_object().unwrap().clone()).is_err());
}

/// A patch of a vector's size was shown by the collection, which went on with the old one.
#[test]
fn a_patch_of_what_cannot_change_is_refused() {
    let json = "{\"vectors\": {\"a\": {\"size\": 4, \"distance\": \"Cosine\"}}, \"sparse_vectors\": {\"s\": {}}}";
    let mut config = create(json).unwrap();
    let before = dialect_config(&config);
    for (body, part) in [
        (json!({"vectors": {"a": {"size": 5}}}), "`size`"),
        (json!({"vectors": {"a": {"distance": "Dot"}}}), "`distance`"),
        (json!({"vectors": {"a": {"encoding": "sq4"}}}), "`encoding`"),
        (json!({"vectors": {"a": 5}}), "\"a\""),
        (json!({"vectors": 5}), "vectors"),
        (json!({"vectors": {"s": {}}}), "\"s\""),
        (
            json!({"sparse_vectors": {"s": {"modifier": "idf"}}}),
            "`modifier`",
        ),
        (json!({"params": 5}), "params"),
    ] {
        let error = update(&mut config, body.as_object().unwrap().clone()).unwrap_err();
        assert_eq!(error.status.as_u16(), 400, "{error}");
        assert!(error.message.contains(part), "{body}: {error}");
    }
    assert_eq!(dialect_config(&config), before);
    let body = json!({"vectors": {"a": {"size": null}}, "sparse_vectors": {"s": {"index": {"on_disk": true}}}, "params": null});
    update(&mut config, body.as_object().unwrap().clone()).unwrap();
    let sparse = &dialect_config(&config)["params"]["sparse_vectors"];
    assert_eq!(*sparse, json!({"s": {"index": {"on_disk": true}}}));
}

#[test]
fn what_is_wrong_is_said() {
    let check = |json: &str, status: u16, part: &str| {
        let error = create(json).unwrap_err();
        assert_eq!(error.status.as_u16(), status, "{error}");
        assert!(error.message.contains(part), "{json}: {error}");
    };
    check(
        "{\"vectors\": {\"size\": 4, \"distance\": \"Angle\"}}",
        400,
        "Cosine",
    );
    check(
        "{\"vectors\": {\"a\": {\"size\": 4}}}",
        400,
        "vectors \"a\"",
    );
    check(
        "{\"vectors\": {\"size\": 4, \"distance\": \"Dot\", \"multivector_config\": {}}}",
        501,
        "multi-vector",
    );
    check(
        "{\"vectors\": {\"size\": 4, \"distance\": \"Dot\", \"index\": \"ivf\"}}",
        400,
        "ivf",
    );
    check(
        "{\"vectors\": {\"v\": {\"size\": 4, \"distance\": \"Dot\", \"encoding\": \"pq\"}}}",
        400,
        "vector \"v\": there is no encoding \"pq\"; ask for sq8, sq4, f16, f32 or binary",
    );
    check("{\"vector\": {}}", 400, "unknown setting `vector`");
    check("{\"sharding_method\": \"custom\"}", 501, "sharding_method");
    check(
        "{\"embedders\": {\"text\": {\"model\": \"clip\"}}}",
        422,
        "embedders.text",
    );
    check("{\"embedders\": \"all\"}", 400, "\"all\" is unknown");
    check(
        "{\"vectors\": {\"t\": {\"size\": 4, \"distance\": \"Dot\"}}, \"embedders\": {\"t\": {\"model\": \"vecino/text\"}}}",
        400,
        "dim 4, model vecino/text makes dim 256",
    );
}

#[test]
fn field_types() {
    let read = |json: &str| {
        serde_json::from_str::<FieldIndexWire>(json)
            .unwrap()
            .schema()
    };
    assert_eq!(
        read("{\"field_name\": \"a.b\", \"field_schema\": \"keyword\"}").unwrap(),
        json!({"data_type": "keyword"})
    );
    let full = read(
        "{\"field_name\": \"a\", \"field_schema\": {\"type\": \"keyword\", \"is_tenant\": true, \"on_disk\": null}}",
    );
    assert_eq!(
        full.unwrap(),
        json!({"data_type": "keyword", "params": {"type": "keyword", "is_tenant": true}})
    );
    assert!(
        read("{\"field_name\": \"a\", \"field_schema\": \"tree\"}")
            .unwrap_err()
            .message
            .contains("known are")
    );
    assert!(read("{\"field_name\": \"a\"}").is_err());
}
