//! Graphs that come back from bytes, and no harm from damaged ones.

use super::walk::NO_EDGE;
use super::*;

/// What version 1 lacks was not measured: the recall of scans, and how good the graph was when it was built.
#[test]
fn headers_of_every_version_come_back() {
    let rows = rows_like(Metric::L2, 2000, 64, 1);
    for encoding in [Encoding::Sq8, Encoding::Sq4, Encoding::Binary] {
        let graph = Graph::build(
            Arc::new(rows.clone()),
            &train(Metric::L2, encoding),
            &BuildParams::default(),
        );
        let header = graph.header();
        let again = stored(&graph, &rows, &header).unwrap();
        assert_eq!(again.calibrations(), graph.calibrations());
        assert_eq!(again.best_anew, graph.best_anew);
        assert!(graph.best_anew.is_some_and(|recall| recall > 0.5));
        let scans = again.calibrations().0.scans;
        assert_eq!(scans.is_some(), encoding != Encoding::Sq8, "{encoding}");

        let scan_bytes = 4 * scans.map_or(0, |scans| scans.len());
        let at = header.len() - 8 - scan_bytes;
        let mut first = header[..at].to_vec();
        first[0] = 1;
        let old = stored(&graph, &rows, &first).unwrap();
        assert_eq!((old.best_anew, old.calibrations().0.scans), (None, None));
        let curve = |graph: &Graph| graph.calibrations().0.curve(10).to_vec();
        assert_eq!(curve(&old), curve(&graph));
        assert_eq!(old.header().len(), header.len() - scan_bytes);

        let damaged = |at: usize, bytes: [u8; 4]| {
            let mut header = header.clone();
            header[at..at + 4].copy_from_slice(&bytes);
            stored(&graph, &rows, &header).is_err()
        };
        assert!(damaged(at, 2u32.to_le_bytes()), "{encoding}");
        assert!(damaged(header.len() - 4, f32::NAN.to_le_bytes()));
        if scans.is_some() {
            for wrong in [-0.1, 1.1, f32::NAN] {
                assert!(damaged(at + 8, wrong.to_le_bytes()), "{wrong}");
            }
        }
    }
}

#[test]
fn comes_back_from_its_parts() {
    let rows = rows_like(Metric::Cosine, 2500, 40, 1);
    let graph = build(&rows, Metric::Cosine);
    for i in 0..60 {
        graph.observe(rows.row(i)).unwrap();
    }
    let header = graph.header();
    let mapped = stored(&graph, &rows, &header).unwrap();
    assert_eq!(mapped.header(), header);
    assert_eq!(mapped.calibrations(), graph.calibrations());
    assert_eq!(mapped.codes().memory(), 0);
    for i in 0..50 {
        let search = GraphSearch::new(10, Effort::Recall(0.95));
        assert_eq!(
            mapped.search(rows.row(i), &search),
            graph.search(rows.row(i), &search)
        );
    }
    let empty = Rows::new(40, Vec::new());
    let graph = build(&empty, Metric::L2);
    assert!(stored(&graph, &empty, &graph.header()).unwrap().is_empty());
}

#[test]
fn parts_that_are_no_graph_are_refused() {
    let rows = rows_like(Metric::L2, 600, 16, 1);
    let graph = build(&rows, Metric::L2);
    let header = graph.header();
    for len in 0..header.len() {
        assert!(
            stored(&graph, &rows, &header[..len]).is_err(),
            "cut at {len}"
        );
    }
    let mut random = Random::new(1);
    for _ in 0..3000 {
        // Whatever comes of it, it does not panic, and neither does a search.
        let mut damaged = header.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(damaged.len());
            damaged[at] ^= 1 << random.below(8);
        }
        if let Ok(graph) = stored(&graph, &rows, &damaged) {
            let query = rows.row(3);
            let search = GraphSearch::new(4, Effort::Recall(0.9));
            if graph.dim() == 16 {
                assert_eq!(graph.search(query, &search).unwrap().neighbors.len(), 4);
            }
        }
    }
    let parts = |codes: Vec<u8>, edges: Vec<u32>, rows: Rows| {
        Graph::stored(StoredGraph {
            header: &header,
            codes: Arc::new(codes),
            edges: Arc::new(edges),
            rows: Arc::new(rows),
        })
        .unwrap_err()
    };
    let (codes, edges) = (graph.codes().as_bytes().to_vec(), graph.edges().to_vec());
    let mut wrong = edges.clone();
    wrong[77] = 600;
    assert_eq!(
        parts(codes.clone(), wrong, rows.clone()),
        GraphError::Edge(77)
    );
    let short = edges[1..].to_vec();
    assert!(matches!(
        parts(codes.clone(), short, rows.clone()),
        GraphError::Edges { .. }
    ));
    let less = codes[1..].to_vec();
    assert!(matches!(
        parts(less, edges.clone(), rows),
        GraphError::Codes(_)
    ));
    let other = rows_like(Metric::L2, 599, 16, 1);
    assert!(matches!(
        parts(codes, edges, other),
        GraphError::Rows { .. }
    ));
}

/// Edges that a file lost: every answer is complete all the same.
#[test]
fn a_graph_cut_apart_answers_by_scanning() {
    let rows = rows_like(Metric::L2, 1500, 16, 1);
    let graph = build(&rows, Metric::L2);
    let cut = Graph::stored(StoredGraph {
        header: &graph.header(),
        codes: Arc::new(graph.codes().as_bytes().to_vec()),
        edges: Arc::new(vec![NO_EDGE; graph.edges().len()]),
        rows: Arc::new(rows.clone()),
    })
    .unwrap();
    let answer = cut
        .search(rows.row(9), &GraphSearch::new(10, Effort::Recall(0.9)))
        .unwrap();
    assert_eq!(answer.route, Route::WalkThenScan);
    assert_eq!(
        answer.neighbors,
        exact(Metric::L2, rows.row(9), &rows, 10, None)
    );
}

/// Edges in a file that is damaged while it is mapped.
struct Changing {
    sound: Vec<u32>,
    damaged: Vec<u32>,
    is_damaged: AtomicBool,
}

impl AsRef<[u32]> for Changing {
    fn as_ref(&self) -> &[u32] {
        if self.is_damaged.load(Ordering::SeqCst) {
            &self.damaged
        } else {
            &self.sound
        }
    }
}

#[test]
fn edges_that_are_damaged_while_they_are_searched_are_not_followed() {
    let rows = rows_like(Metric::L2, 3000, 24, 11);
    let built = build(&rows, Metric::L2);
    let damaged = built.edges().iter().enumerate().map(|(at, &edge)| {
        let garbage = [2_695_149_414, rows.len() as u32][at % 2];
        if at % 5 == 0 { garbage } else { edge }
    });
    let edges = Arc::new(Changing {
        sound: built.edges().to_vec(),
        damaged: damaged.collect(),
        is_damaged: AtomicBool::new(false),
    });
    let graph = Graph::stored(StoredGraph {
        header: &built.header(),
        codes: Arc::new(built.codes().as_bytes().to_vec()),
        edges: edges.clone(),
        rows: Arc::new(rows.clone()),
    })
    .unwrap();
    let half = {
        let mut half = BitSet::new(rows.len());
        for row in 0..rows.len() as Offset / 2 {
            half.insert(row);
        }
        half
    };
    graph.set_costs(Costs {
        scan: 1000.0,
        walk: 1.0,
    });
    let ask = |filter: Option<&BitSet>| {
        let search = GraphSearch {
            filter,
            ..GraphSearch::new(10, Effort::Recall(0.98))
        };
        graph.search(rows.row(5), &search).unwrap()
    };
    assert_eq!(ask(None).route, Route::Walk);
    assert_eq!(ask(Some(&half)).route, Route::FilteredWalk);
    assert!(!graph.is_damaged());
    edges.is_damaged.store(true, Ordering::SeqCst);
    graph.observe(rows.row(7)).unwrap();
    for filter in [Some(&half), None] {
        let answer = ask(filter);
        assert!(
            matches!(answer.route, Route::WalkThenScan | Route::Scan),
            "{:?}",
            answer.route
        );
        let expected = exact(Metric::L2, rows.row(5), &rows, 10, filter);
        assert_eq!(answer.neighbors, expected);
    }
    assert!(graph.is_damaged());
}
