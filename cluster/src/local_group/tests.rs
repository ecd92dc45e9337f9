use std::sync::mpsc::channel;

use engine::{
    Collection, CollectionConfig, EngineOptions, Metric, Payload, Point, PointId, Vector,
    VectorConfig,
};

use super::*;

fn opened(dir: &std::path::Path) -> (Arc<Engine>, Arc<Collection>) {
    let engine = Engine::open(dir, EngineOptions::default()).unwrap();
    let mut config = CollectionConfig::default();
    let vector = VectorConfig::new(1, Metric::L2);
    config.vectors.insert(String::new(), vector);
    let collection = engine.create_collection("c", config).unwrap();
    (Arc::new(engine), collection)
}

fn upsert(collection: &Collection, value: f32, payload: Payload) -> Vec<Share> {
    let point = Point {
        id: PointId::Num(1),
        vectors: [(String::new(), Vector::Dense(vec![value]))].into(),
        payload,
        media: Vec::new(),
        expires_at_ms: None,
    };
    let operation = Operation::Upsert {
        collection: collection.id(),
        point: point.into(),
    };
    vec![Share {
        partition: Partition(0),
        operations: vec![operation],
    }]
}

/// S7: one committer; its callbacks come in the order of the proposals, each once, and the last one holds.
#[test]
fn s7_callbacks_come_in_order_and_the_last_write_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, collection) = opened(dir.path());
    let group = LocalGroup::start(engine).unwrap();
    let (sender, receiver) = channel();
    for n in 0..300u32 {
        let sender = sender.clone();
        let done = move |outcome: Result<Committed>| sender.send((n, outcome.unwrap())).unwrap();
        group.propose(
            upsert(&collection, n as f32, Payload::new()),
            Box::new(done),
        );
    }
    drop((sender, group));
    let answers: Vec<(u32, Committed)> = receiver.iter().collect();
    assert!(answers.iter().map(|(n, _)| *n).eq(0..300));
    assert!(
        answers
            .windows(2)
            .all(|pair| pair[0].1.operation_id <= pair[1].1.operation_id)
    );
    assert_eq!(
        collection.vector_rows("").unwrap(),
        [(PointId::Num(1), vec![299.0])]
    );
}

/// Requests that wait together must not become one log entry that is too large to be read back after a crash.
#[test]
fn a_batch_takes_no_further_request_after_so_many_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, collection) = opened(dir.path());
    let proposal = || {
        let text = "x".repeat(BATCH_BYTES_MAX / 2 + 1);
        let payload = [("text".to_owned(), text.into())].into_iter().collect();
        Proposal {
            shares: upsert(&collection, 0.0, payload),
            done: Box::new(drop),
        }
    };
    let (sender, receiver) = channel();
    for _ in 0..3 {
        sender.send(proposal()).unwrap();
    }
    assert_eq!(gather(proposal(), &receiver).len(), 2);
    assert_eq!(receiver.try_iter().count(), 2, "the others wait");
}
