//! Random operations against a map, with restarts in between.

use std::collections::BTreeMap;

use cluster::engine::query::{Selection, VectorSelection};
use cluster::engine::{Metric, PointId, Vector};
use proptest::prelude::*;
use serde_json::json;

use crate::{dense, open, point};

#[derive(Clone, Debug)]
enum Step {
    Upsert(Vec<(u64, f32)>),
    Delete(Vec<u64>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::vec((0u64..40, -9.0f32..9.0), 0..8).prop_map(Step::Upsert),
        3 => proptest::collection::vec(0u64..40, 0..6).prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_node_holds_what_a_map_would(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let mut node = open(dir.path());
        node.create_collection("c", dense(1, Metric::L2, None)).unwrap();
        let mut map: BTreeMap<u64, f32> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Upsert(rows) => {
                    let points = rows.iter().map(|(id, x)| point(*id, &[*x], json!({"x": x}))).collect();
                    node.upsert("c", points).unwrap();
                    map.extend(rows);
                }
                Step::Delete(ids) => {
                    let ids: Vec<PointId> = ids.into_iter().map(PointId::Num).collect();
                    node.delete("c", &ids).unwrap();
                    map.retain(|id, _| !ids.contains(&PointId::Num(*id)));
                }
                Step::Reopen => {
                    drop(node);
                    node = open(dir.path());
                }
            }
            let collection = node.collection("c").unwrap();
            let page = collection.scroll(None, None, 1000, &Selection::All, &VectorSelection::All).unwrap();
            let held: BTreeMap<u64, f32> = page.points.into_iter().map(|record| {
                let PointId::Num(id) = record.id else { panic!("ids are numbers") };
                let Vector::Dense(values) = &record.vectors.unwrap()[""] else { panic!("vectors are dense") };
                (id, values[0])
            }).collect();
            prop_assert_eq!(&held, &map);
            prop_assert_eq!(collection.count(None).unwrap(), map.len());
            prop_assert_eq!(collection.vector_rows("").unwrap().len(), map.len());
        }
        prop_assert!(node.check().is_empty());
    }
}
