//! What comes from outside and does not fit is refused with the reason, never answered and never a panic.

use index::{
    BitSet, BuildError, ChooseError, IndexKind, Metric, Rows, SearchError, SearchParams, Stats,
    build,
};

#[test]
fn rows_that_are_not_finite() {
    for kind in [IndexKind::Flat, IndexKind::KdTree] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let refused =
                build(kind, Metric::L2, Rows::new(2, vec![0.0, 1.0, 2.0, bad])).map(|_| ());
            assert_eq!(
                refused,
                Err(BuildError::NotFinite {
                    offset: 1,
                    component: 1
                })
            );
        }
    }
}

#[test]
fn structures_that_cannot_serve() {
    let refused =
        |metric, dim| build(IndexKind::KdTree, metric, Rows::new(dim, vec![0.0; dim])).map(|_| ());
    assert_eq!(
        refused(Metric::L2, 33),
        Err(BuildError::Unsuitable(ChooseError::KdDim(33)))
    );
    assert_eq!(
        refused(Metric::Dot, 3),
        Err(BuildError::Unsuitable(ChooseError::KdMetric(Metric::Dot)))
    );
}

#[test]
fn queries_and_filters_that_do_not_fit() {
    for kind in [IndexKind::Flat, IndexKind::KdTree] {
        let index = build(kind, Metric::L2, Rows::new(2, vec![0.0; 20])).unwrap();
        let search = |query: &[f32], params: &SearchParams<'_>| {
            index.search(query, params, &mut Stats::default())
        };
        let params = SearchParams::new(3);
        assert_eq!(
            search(&[0.0; 3], &params),
            Err(SearchError::DimMismatch { wanted: 2, got: 3 })
        );
        assert_eq!(
            search(&[], &params),
            Err(SearchError::DimMismatch { wanted: 2, got: 0 })
        );
        assert_eq!(
            search(&[0.0, f32::NAN], &params),
            Err(SearchError::NotFinite { component: 1 })
        );
        let filter = BitSet::full(11);
        let params = SearchParams {
            filter: Some(&filter),
            ..params
        };
        assert_eq!(
            search(&[0.0; 2], &params),
            Err(SearchError::FilterLength {
                wanted: 10,
                got: 11
            })
        );
    }
}
