use proptest::prelude::*;

use super::*;

fn list(higher_is_better: bool, scores: &[(u64, f32)]) -> FusionList {
    let scores = scores
        .iter()
        .map(|&(id, score)| (PointId::Num(id), score))
        .collect();
    FusionList {
        scores,
        higher_is_better,
    }
}

fn check(fusion: &Fusion, lists: &[FusionList], expected: &[(u64, f32)]) {
    let fused = fuse(fusion, lists);
    let ids: Vec<_> = fused.iter().map(|(id, _)| id.clone()).collect();
    let expected_ids: Vec<_> = expected.iter().map(|&(id, _)| PointId::Num(id)).collect();
    assert_eq!(ids, expected_ids, "{fusion:?}: {fused:?}");
    for ((id, score), (_, expected)) in fused.iter().zip(expected) {
        assert!(
            (score - expected).abs() < 1e-6,
            "{fusion:?}, id {id}: {score}, expected {expected}"
        );
    }
}

fn rrf(k: f32, weights: &[f32]) -> Fusion {
    Fusion::Rrf {
        k,
        weights: weights.to_vec(),
    }
}

#[test]
fn reciprocal_rank() {
    let lists = [
        list(true, &[(1, 0.9), (2, 0.8), (3, 0.1)]),
        list(false, &[(3, 1.0), (4, 2.0)]),
    ];
    check(
        &rrf(2.0, &[]),
        &lists,
        &[(3, 0.75), (1, 0.5), (2, 1.0 / 3.0), (4, 1.0 / 3.0)],
    );
    check(
        &rrf(60.0, &[]),
        &lists,
        &[
            (3, 1.0 / 62.0 + 1.0 / 60.0),
            (1, 1.0 / 60.0),
            (2, 1.0 / 61.0),
            (4, 1.0 / 61.0),
        ],
    );
    // Weight 3: 1 / (1/3 + 1), 1 / (2/3 + 1); weight 0 keeps the ids.
    check(
        &rrf(2.0, &[0.0, 3.0]),
        &lists,
        &[(3, 0.75), (4, 0.6), (1, 0.0), (2, 0.0)],
    );
    check(
        &rrf(1.0, &[2.0, 1.0]),
        &lists,
        &[(1, 2.0), (3, 2.0 / 3.0 + 1.0), (2, 1.0), (4, 0.5)],
    );
    check(&rrf(2.0, &[]), &[], &[]);
    check(&rrf(2.0, &[]), &[list(true, &[])], &[]);
}

#[test]
fn distribution_based() {
    let single = list(true, &[(1, 7.0)]);
    check(&Fusion::Dbsf, std::slice::from_ref(&single), &[(1, 0.5)]);
    check(
        &Fusion::Dbsf,
        &[list(true, &[(2, 0.1), (1, 0.1), (3, 0.1)])],
        &[(1, 0.5), (2, 0.5), (3, 0.5)],
    );
    check(
        &Fusion::Dbsf,
        &[list(true, &[]), single.clone()],
        &[(1, 0.5)],
    );
    // Mean 2, sigma 1: from -1 to 5.
    let three = list(true, &[(3, 3.0), (2, 2.0), (1, 1.0)]);
    check(
        &Fusion::Dbsf,
        std::slice::from_ref(&three),
        &[(3, 2.0 / 3.0), (2, 0.5), (1, 1.0 / 3.0)],
    );
    check(
        &Fusion::Dbsf,
        &[three, single],
        &[(1, 5.0 / 6.0), (3, 2.0 / 3.0), (2, 0.5)],
    );
    // Distances: the same scale, turned.
    let distances = list(false, &[(1, 1.0), (2, 2.0), (3, 3.0)]);
    check(
        &Fusion::Dbsf,
        &[distances],
        &[(1, 2.0 / 3.0), (2, 0.5), (3, 1.0 / 3.0)],
    );
}

#[test]
fn from_worst_to_best() {
    let fusion = |weights: &[f32]| Fusion::MinMax {
        weights: weights.to_vec(),
    };
    let lists = [
        list(true, &[(1, 9.0), (2, 3.0), (3, 1.0)]),
        list(false, &[(3, 0.5), (2, 1.0), (4, 1.5)]),
    ];
    check(
        &fusion(&[]),
        &lists,
        &[(1, 1.0), (3, 1.0), (2, 0.75), (4, 0.0)],
    );
    check(
        &fusion(&[1.0, 3.0]),
        &lists,
        &[(3, 3.0), (2, 1.75), (1, 1.0), (4, 0.0)],
    );
    check(&fusion(&[0.5]), &[list(true, &[(1, 4.0)])], &[(1, 0.5)]);
    check(
        &fusion(&[]),
        &[list(true, &[(2, 4.0), (1, 4.0)])],
        &[(1, 1.0), (2, 1.0)],
    );
}

#[test]
fn refused_parameters_still_give_finite_scores() {
    let lists = [list(true, &[(1, 9.0), (2, 3.0)])];
    for k in [0.0, -1.0, f32::NAN, f32::NEG_INFINITY] {
        check(&rrf(k, &[]), &lists, &[(1, 1.0), (2, 0.5)]);
    }
    for weight in [-1.0, f32::NAN, f32::INFINITY] {
        check(&rrf(2.0, &[weight]), &lists, &[(1, 0.0), (2, 0.0)]);
        check(
            &Fusion::MinMax {
                weights: vec![weight],
            },
            &lists,
            &[(1, 0.0), (2, 0.0)],
        );
    }
    check(
        &rrf(2.0, &[1.0]),
        &[lists[0].clone(), lists[0].clone()],
        &[(1, 1.0), (2, 2.0 / 3.0)],
    );
    let odd = list(
        true,
        &[
            (1, f32::INFINITY),
            (2, 0.0),
            (3, f32::NEG_INFINITY),
            (4, f32::NAN),
        ],
    );
    check(
        &Fusion::MinMax { weights: vec![] },
        &[odd],
        &[(1, 1.0), (2, 0.5), (3, 0.0), (4, 0.0)],
    );
}

#[test]
fn parameters_are_checked() {
    fn check(fusion: &Fusion, lists: usize, says: Option<&str>) {
        match (fusion.validate(lists), says) {
            (Ok(()), None) => {}
            (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{error}"),
            (result, says) => panic!("{fusion:?} for {lists}: {result:?}, expected {says:?}"),
        }
    }
    check(&rrf(2.0, &[]), 3, None);
    check(&rrf(1.0, &[0.0, 1.5]), 2, None);
    check(&Fusion::Dbsf, 0, None);
    check(&rrf(0.5, &[]), 1, Some("k is 0.5"));
    check(&rrf(f32::NAN, &[]), 1, Some("k is NaN"));
    check(&rrf(2.0, &[1.0]), 2, Some("1 weights for 2"));
    check(&rrf(2.0, &[1.0, -1.0]), 2, Some("weight -1"));
    check(
        &Fusion::MinMax {
            weights: vec![f32::INFINITY],
        },
        1,
        Some("weight inf"),
    );
}

fn any_fusion() -> impl Strategy<Value = Fusion> {
    let weights = || proptest::collection::vec(any::<f32>(), 0..4);
    prop_oneof![
        (any::<f32>(), weights()).prop_map(|(k, weights)| Fusion::Rrf { k, weights }),
        Just(Fusion::Dbsf),
        weights().prop_map(|weights| Fusion::MinMax { weights }),
    ]
}

fn any_list() -> impl Strategy<Value = FusionList> {
    let number = prop_oneof![
        any::<f32>(),
        -1.0f32..1.0,
        Just(0.1),
        Just(f32::NAN),
        Just(f32::INFINITY)
    ];
    let scores = proptest::collection::btree_map(0u64..20, number, 0..12);
    (scores, any::<bool>()).prop_map(|(scores, higher_is_better)| {
        let mut scores: Vec<_> = scores
            .into_iter()
            .map(|(id, score)| (PointId::Num(id), score))
            .collect();
        scores.sort_by(|a, b| {
            if higher_is_better {
                b.1.total_cmp(&a.1)
            } else {
                a.1.total_cmp(&b.1)
            }
        });
        FusionList {
            scores,
            higher_is_better,
        }
    })
}

proptest! {
    #[test]
    fn every_id_once_in_order_and_finite(fusion in any_fusion(), lists in proptest::collection::vec(any_list(), 0..4)) {
        let fused = fuse(&fusion, &lists);
        prop_assert!(fused.iter().all(|(_, score)| score.is_finite()), "{:?}", fused);
        for pair in fused.windows(2) {
            prop_assert!(pair[0].1 > pair[1].1 || (pair[0].1 == pair[1].1 && pair[0].0 < pair[1].0));
        }
        let mut ids: Vec<_> = lists.iter().flat_map(|list| &list.scores).map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids.dedup();
        let mut fused_ids: Vec<_> = fused.into_iter().map(|(id, _)| id).collect();
        fused_ids.sort();
        prop_assert_eq!(fused_ids, ids);
    }
}
