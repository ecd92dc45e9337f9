//! Named colours: real points in three dimensions with many ties.

use std::path::{Path, PathBuf};

use index::{IndexKind, Metric, Rows, SearchParams, Stats, build, choose, scan};

/// A file of the data folder; says so if there is none.
fn data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VECINO_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if !path.exists() {
        println!("skipped: no {}", path.display());
    }
    path.exists().then_some(path)
}

/// Red, green and blue of every line `id,name,hex,r,g,b`.
fn colours(path: &Path) -> Rows {
    let text = std::fs::read_to_string(path).unwrap();
    let values = text.lines().skip(1).flat_map(|line| {
        let mut fields: Vec<f32> = line
            .rsplit(',')
            .take(3)
            .map(|field| field.trim().parse().unwrap())
            .collect();
        fields.reverse();
        fields
    });
    Rows::new(3, values.collect())
}

#[test]
fn ten_thousand_colours_as_a_scan_finds_them() {
    let Some(path) = data("colors.csv") else {
        return;
    };
    let rows = colours(&path);
    for metric in [Metric::L2, Metric::L1, Metric::LInf] {
        assert_eq!(
            choose(None, metric, rows.dim(), rows.len()),
            Ok(IndexKind::KdTree)
        );
        let tree = build(IndexKind::KdTree, metric, rows.clone()).unwrap();
        let params = SearchParams::new(10);
        for i in 0..10_000u32 {
            // Colours of a regular walk through the cube, some between the whole numbers.
            let query = [17u32, 31, 101].map(|step| (i * step % 511) as f32 / 2.0);
            let answer = tree.search(&query, &params, &mut Stats::default()).unwrap();
            let expected = scan(
                metric,
                &query,
                rows.as_slice(),
                3,
                &params,
                &mut Stats::default(),
            );
            assert_eq!(answer, expected, "{metric:?} {query:?}");
        }
    }
}
